#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/par.h"
#include "base/xml.h"
#include "store/s3.h"

#define GET_PART (32ull << 20)	/* larger objects come in ranges of this size, side by side */
#define GET_JOBS 4

static struct s3 *
of(struct store *s)
{
	return (struct s3 *)s;
}

int
s3_stat(struct store *base, const char *name, struct store_item *it, struct err *e)
{
	struct s3 *s = of(base);
	char *key = s3_key(s, name, e);
	struct s3_call c = { .method = "HEAD", .key = key };
	int rc = key ? s3_do(s, &c, e) : -1;

	free(key);
	it->size = c.size;
	it->mtime_ns = clock_ns(c.mtime);
	return rc < 0 ? err_in(e, "stat '%s'", name) : 0;
}

/* The rest of a large object, in ranges. */
struct ranges {
	struct s3 *s;
	const char *key, *etag;
	struct store_get *g;
	unsigned char *into;
	uint64_t off, len;
};

static int
get_range(void *ctx, size_t i, struct err *e)
{
	struct ranges *r = ctx;
	uint64_t at = i * GET_PART;
	struct s3_call c = {
		.method = "GET", .key = r->key, .get = r->g, .into = r->into + at,
		.off = r->off + at, .len = r->len - at < GET_PART ? r->len - at : GET_PART,
		.match = r->etag,
	};

	if (s3_do(r->s, &c, e) < 0)
		return -1;
	return c.got == c.len ? 0 : err_set(e, ERR_CORRUPT, "the object became shorter");
}

static int
get_rest(struct s3 *s, const struct s3_call *first, uint64_t off, uint64_t len,
	struct store_get *g, struct err *e)
{
	struct ranges r = { s, first->key, first->etag, g, NULL, off, len };

	if (store_get_room(g, (size_t)len, e) < 0)
		return -1;
	r.into = g->out->p + g->out->len;
	if (par_each((size_t)((len + GET_PART - 1) / GET_PART), GET_JOBS, get_range, &r, e) < 0)
		return -1;
	g->out->len += (size_t)len;
	if (g->seen)
		g->seen(g->ctx, r.into, (size_t)len);
	return 0;
}

static int
get_object(struct s3 *s, const char *key, uint64_t off, uint64_t len, struct store_get *g,
	struct err *e)
{
	struct s3_call c = {
		.method = "GET", .key = key, .get = g, .off = off,
		.len = len < GET_PART ? len : GET_PART,
	};
	struct s3_call head = { .method = "HEAD", .key = key };

	if (len == 0)
		return 0;
	if (s3_do(s, &c, e) < 0)
		return -1;
	g->size = c.size;
	/* Past the end, and not every server says where that is. */
	if (c.status == 416 && !c.size && off > 0) {
		if (s3_do(s, &head, e) < 0)
			return -1;
		g->size = head.size;
	}
	if (len <= c.len || c.size <= off + c.len)
		return 0;
	len = len < c.size - off ? len : c.size - off;
	return get_rest(s, &c, off + c.len, len - c.len, g, e);
}

int
s3_get(struct store *base, const char *name, uint64_t off, uint64_t len, struct store_get *g,
	struct err *e)
{
	struct s3 *s = of(base);
	char *key = s3_key(s, name, e);
	int rc = key ? get_object(s, key, off, len, g, e) : -1;

	free(key);
	return rc < 0 ? err_in(e, "get '%s'", name) : 0;
}

static int
exists(struct s3 *s, const char *key, struct err *e)
{
	struct s3_call c = { .method = "HEAD", .key = key };

	if (s3_do(s, &c, e) == 0)
		return 1;
	return c.status == 404 ? 0 : -1;
}

/* One PUT. Servers that do not know conditions answer 501 (Swift's s3api): then a look before
 * has to do, which two writers at once can pass. */
static int
put_once(struct s3 *s, const char *key, const struct s3_body *b, int excl, struct err *e)
{
	struct s3_call c = { .method = "PUT", .key = key, .body = b };
	int i = 0, there;

	if (excl && !s->if_none_match && (there = exists(s, key, e)) != 0)
		return there;
	if (excl && s->if_none_match)
		c.header[i++] = (struct s3_pair){ "if-none-match", "*" };
	s3_put_headers(s, &c, i, s->storage_class);
	if (s3_do(s, &c, e) == 0)
		return 0;
	if (excl && c.status == 412)
		return 1;
	if (i > 0 && c.status == 501) {
		s->if_none_match = 0;
		return put_once(s, key, b, excl, e);
	}
	return -1;
}

int
s3_put(struct store *base, const char *name, const struct iovec *iov, int n,
	const struct store_put *how, struct err *e)
{
	struct s3 *s = of(base);
	struct s3_body b = { .iov = iov, .n = n, .len = store_iov_size(iov, n) };
	char *key = s3_key(s, name, e);
	int rc = -1;

	if (key && b.len > s->multipart)
		rc = s3_multipart(s, key, &b, how->excl, e);
	else if (key)
		rc = put_once(s, key, &b, how->excl, e);
	free(key);
	return rc < 0 ? err_in(e, "put '%s'", name) : rc;
}

static int
delete_one(struct s3 *s, const char *name, struct err *e)
{
	char *key = s3_key(s, name, e);
	struct s3_call c = { .method = "DELETE", .key = key };
	int rc = key ? s3_do(s, &c, e) : -1;

	free(key);
	if (rc == 0 || !strcmp(c.code, "NoSuchKey"))
		return rc != 0;
	return err_in(e, "delete '%s'", name);
}

/* Which of a batch the server could not delete. */
struct failures {
	const struct s3 *s;
	const char *const *names;
	size_t n, at;
	int versions;		/* several of one name */
	int whole;		/* it is such an answer */
	int named, unknown;	/* this error's key is one of ours; an error's was not */
	signed char *states;
};

/* The answer tells keys in the order asked on every server we know, so the search goes on
 * from the last hit. */
static void
mark_failed(struct failures *f, const char *name)
{
	size_t from = f->at, i;

	for (i = 0; i < f->n; i++) {
		size_t k = (from + i) % f->n;

		if (strcmp(f->names[k], name) != 0)
			continue;
		f->states[k] = -1;
		f->at = k;
		f->named = 1;
		if (!f->versions)
			break;
	}
}

static int
take_failure(void *ctx, const char *path, const char *text, struct err *e)
{
	struct failures *f = ctx;
	size_t prefix = strlen(f->s->prefix);
	(void)e;

	if (!strcmp(path, "DeleteResult/Error/Key") && !strncmp(text, f->s->prefix, prefix)) {
		mark_failed(f, text + prefix);
	} else if (!strcmp(path, "DeleteResult/Error")) {
		f->unknown |= !f->named;
		f->named = 0;
	}
	f->whole |= !strcmp(path, "DeleteResult");
	return 0;
}

/* What it does not name as failed is deleted, if that is what the answer says. */
static int
read_failures(struct failures *f, struct buf *answer, struct err *e)
{
	int rc = 0;

	memset(f->states, 0, f->n);
	if (answer->len && buf_room(answer, 1))
		rc = xml_scan(answer->p, answer->len, take_failure, f, e);
	if (rc == 0 && (!f->whole || f->unknown))
		rc = err_set(e, ERR_CORRUPT, "the answer does not say what became of them");
	if (rc < 0)
		memset(f->states, -1, f->n);
	return rc;
}

int
s3_delete_batch(struct s3 *s, const char *const *names, const char *const *ids, size_t n,
	signed char *states, struct err *e)
{
	struct buf xml = { 0 }, answer = { 0 };
	struct failures f = {
		.s = s, .names = names, .n = n, .versions = ids != NULL, .states = states,
	};
	struct s3_text body;
	char md5[32];
	struct s3_call c = {
		.method = "POST", .query = { { "delete", "" } }, .text = &answer,
		.header = { { "content-md5", md5 }, { "content-type", "application/xml" } },
	};
	size_t i;
	int rc = -1;

	buf_str(&xml, "<Delete><Quiet>true</Quiet>");
	for (i = 0; i < n; i++) {
		buf_str(&xml, "<Object><Key>");
		s3_xml_text(&xml, s->prefix);
		s3_xml_text(&xml, names[i]);
		buf_str(&xml, "</Key>");
		if (ids) {
			buf_str(&xml, "<VersionId>");
			s3_xml_text(&xml, ids[i]);
			buf_str(&xml, "</VersionId>");
		}
		buf_str(&xml, "</Object>");
	}
	buf_str(&xml, "</Delete>");
	if (xml.fail) {
		err_set(e, ERR_FAILED, "out of memory");
		goto done;
	}
	c.body = s3_text(&body, &xml);
	if (s3_md5(md5, &xml, e) < 0 || s3_do(s, &c, e) < 0)
		goto done;
	rc = read_failures(&f, &answer, e);
done:
	buf_free(&xml);
	buf_free(&answer);
	return rc < 0 ? err_in(e, "delete %zu objects", n) : 0;
}

/* Does it concern the server, or us, and no object? */
static int
all_fail(const struct err *e)
{
	return e->kind == ERR_TEMP || e->kind == ERR_STOPPED;
}

/* Those that failed in a batch get their own request, whose retries and words are better; so do
 * all when the server knows no batches. */
static int
delete_again(struct s3 *s, const char *const *names, size_t n, signed char *states,
	struct err *e)
{
	struct err why = { 0 };
	size_t i;
	int rc = 0;

	for (i = 0; i < n && !all_fail(&why); i++) {
		if (states[i] >= 0)
			continue;
		states[i] = (signed char)delete_one(s, names[i], &why);
		if (states[i] >= 0)
			continue;
		if (rc == 0 && e)
			*e = why;
		rc = -1;
	}
	return rc;
}

int
s3_del(struct store *base, const char *const *names, size_t n, signed char *states,
	struct err *e)
{
	struct s3 *s = of(base);
	struct err why;
	int rc = 0;

	while (n > 0) {
		size_t k = n < S3_DELETE_MAX ? n : S3_DELETE_MAX;
		struct err *to = rc == 0 ? e : &why;
		int batch = k > 1 ? s3_delete_batch(s, names, NULL, k, states, &why) : 0;

		if (batch < 0 && (why.kind == ERR_REFUSED || all_fail(&why))) {
			if (to)
				*to = why;
			rc = -1;
		} else if (delete_again(s, names, k, states, to) < 0) {
			rc = -1;
		}
		names += k;
		states += k;
		n -= k;
	}
	return rc;
}
