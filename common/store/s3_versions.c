#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/xml.h"
#include "store/s3.h"
#include "store/s3_listing.h"
#include "store/s3_versions.h"

/* A listing while its pages come. */
struct listing {
	const struct s3 *s;
	s3_version_fn *each;
	void *ctx;
	struct buf name, id;		/* of the element being read */
	struct s3_version v;
	struct buf next_name, next_id;	/* where the next page begins */
	int more, enough, whole;
};

static int
keep(struct buf *b, const char *text, struct err *e)
{
	b->len = 0;
	buf_str(b, text);
	return buf_text(b) ? 0 : err_sys(e, "listing");
}

static int
tell(struct listing *l, int marker, struct err *e)
{
	size_t n = strlen(l->s->prefix);
	int rc = 0;

	if (!l->enough && l->name.len && l->id.len && !strncmp(l->name.p, l->s->prefix, n)) {
		l->v.name = l->name.p + n;
		l->v.id = l->id.p;
		l->v.marker = marker;
		l->v.own = !strncmp(l->v.name, S3_OWN, strlen(S3_OWN));
		if (*l->v.name)
			rc = l->each(l->ctx, &l->v, e);
		l->enough = rc != 0;
	}
	l->name.len = l->id.len = 0;
	memset(&l->v, 0, sizeof(l->v));
	return rc < 0 ? -1 : 0;
}

static int
take_field(struct listing *l, const char *field, const char *text, struct err *e)
{
	if (!strcmp(field, "Key"))
		return s3_listing_text(&l->name, text, e);
	if (!strcmp(field, "VersionId"))
		return keep(&l->id, text, e);
	if (!strcmp(field, "Size"))
		return num_u64(&l->v.size, text, 0, INT64_MAX, "listing: size", e);
	if (!strcmp(field, "LastModified"))
		return clock_read(&l->v.mtime_s, text, e);
	if (!strcmp(field, "IsLatest"))
		l->v.latest = !strcmp(text, "true");
	return 0;
}

static int
take_element(void *ctx, const char *path, const char *text, struct err *e)
{
	static const char root[] = "ListVersionsResult/";
	struct listing *l = ctx;

	l->whole |= !strcmp(path, "ListVersionsResult");
	if (strncmp(path, root, sizeof(root) - 1) != 0)
		return 0;
	path += sizeof(root) - 1;
	if (!strcmp(path, "Version"))
		return tell(l, 0, e);
	if (!strcmp(path, "DeleteMarker"))
		return tell(l, 1, e);
	if (!strncmp(path, "Version/", 8))
		return take_field(l, path + 8, text, e);
	if (!strncmp(path, "DeleteMarker/", 13))
		return take_field(l, path + 13, text, e);
	if (!strcmp(path, "IsTruncated"))
		l->more = !strcmp(text, "true");
	else if (!strcmp(path, "NextKeyMarker"))
		return s3_listing_text(&l->next_name, text, e);
	else if (!strcmp(path, "NextVersionIdMarker"))
		return keep(&l->next_id, text, e);
	return 0;
}

static int
same(const struct buf *x, const struct buf *y)
{
	return x->len == y->len && (!x->len || !memcmp(x->p, y->p, x->len));
}

/* The page after the one told; where that began is in l->next_name, l->next_id. */
static int
list_page(struct s3 *s, struct listing *l, struct err *e)
{
	struct buf text = { 0 }, name = l->next_name, id = l->next_id;
	struct s3_call c = {
		.method = "GET", .text = &text,
		.query = {
			{ "versions", "" }, { "encoding-type", "url" }, { "prefix", s->prefix },
		},
	};
	int n = 3, rc = -1;

	if (name.len)
		c.query[n++] = (struct s3_pair){ "key-marker", name.p };
	if (id.len)
		c.query[n++] = (struct s3_pair){ "version-id-marker", id.p };
	l->next_name = l->next_id = (struct buf){ 0 };
	l->more = l->whole = 0;
	if (s3_do(s, &c, e) < 0)
		goto done;
	rc = text.len && buf_room(&text, 1) ? xml_scan(text.p, text.len, take_element, l, e) : 0;
	if (rc == 0 && !l->whole)
		rc = err_set(e, ERR_CORRUPT, "the answer is none");
	if (rc == 0 && l->more && (!l->next_name.len || (same(&name, &l->next_name) &&
	    same(&id, &l->next_id))))
		rc = err_set(e, ERR_CORRUPT, "it does not go on");
done:
	buf_free(&text);
	buf_free(&name);
	buf_free(&id);
	return rc;
}

int
s3_versions_each(struct store *base, s3_version_fn *each, void *ctx, struct err *e)
{
	struct s3 *s = s3_of(base, "versions", e);
	struct listing l = { .s = s, .each = each, .ctx = ctx, .more = 1 };
	int rc = s ? 0 : -1;

	while (rc == 0 && l.more && !l.enough)
		rc = list_page(s, &l, e);
	buf_free(&l.name);
	buf_free(&l.id);
	buf_free(&l.next_name);
	buf_free(&l.next_id);
	return rc < 0 ? err_in(e, "list versions") : 0;
}

int
s3_versions_delete(struct store *base, const char *const *names, const char *const *ids,
	size_t n, signed char *states, struct err *e)
{
	struct s3 *s = s3_of(base, "versions", e);
	size_t i;

	memset(states, -1, n);
	if (!s || s3_delete_batch(s, names, ids, n, states, e) < 0)
		return -1;
	for (i = 0; i < n; i++)
		if (states[i] < 0)
			return err_set(e, ERR_REFUSED, "delete '%.200s', version %.40s: refused",
				names[i], ids[i]);
	return 0;
}
