#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/xml.h"
#include "store/s3.h"
#include "store/s3_listing.h"

#define CUT_TRIES 2

/* encoding-type=url has '+' for a space (so botocore decodes it too); a real '+' comes as
 * %2B. */
int
s3_listing_text(struct buf *out, const char *text, struct err *e)
{
	char *plus = strdup(text), *p;
	int rc = -1;

	out->len = 0;
	if (!plus)
		return err_sys(e, "listing");
	for (p = plus; (p = strchr(p, '+'));)
		*p = ' ';
	if (uri_decode(out, plus, strlen(plus)) == 0 && buf_text(out))
		rc = 0;
	free(plus);
	return rc < 0 ? err_set(e, ERR_CORRUPT, "listing: a name is badly coded") : 0;
}

static int
emit(struct s3_page *p, unsigned char dir, struct err *e)
{
	const char *name = p->key.p;
	struct store_item it = {
		.size = dir ? 0 : p->size, .mtime_ns = dir ? 0 : clock_ns(p->mtime),
		.ttl_s = -1, .hits = -1, .dir = dir, .class = *p->class ? p->class : NULL,
	};
	int rc;

	if (p->enough || !p->key.len || strncmp(name, p->prefix, p->n_prefix) != 0)
		return 0;
	name += p->n_prefix;
	/* Ours, or what consoles make to show an empty folder. */
	if (!*name || !strncmp(name, S3_OWN, strlen(S3_OWN)) || strstr(name, "/" S3_OWN) ||
	    (!dir && name[strlen(name) - 1] == '/'))
		return 0;
	it.name = name;
	rc = p->each(p->ctx, &it, e);
	p->enough = rc != 0;
	return rc < 0 ? -1 : 0;
}

static int
take_element(void *ctx, const char *path, const char *text, struct err *e)
{
	struct s3_page *p = ctx;

	p->whole |= !strcmp(path, "ListBucketResult");
	if (strncmp(path, "ListBucketResult/", 17) != 0)
		return 0;
	path += 17;
	if (!strcmp(path, "Contents")) {
		int rc = emit(p, 0, e);

		p->key.len = 0;
		p->size = 0;
		p->mtime = 0;
		*p->class = 0;
		return rc;
	}
	if (!strcmp(path, "Contents/Key"))
		return s3_listing_text(&p->key, text, e);
	if (!strcmp(path, "Contents/Size"))
		return num_u64(&p->size, text, 0, INT64_MAX, "listing: size", e);
	if (!strcmp(path, "Contents/LastModified"))
		return clock_read(&p->mtime, text, e);
	if (!strcmp(path, "Contents/StorageClass"))
		snprintf(p->class, sizeof(p->class), "%s", text);
	if (!strcmp(path, "CommonPrefixes/Prefix")) {
		int rc = s3_listing_text(&p->key, text, e) < 0 ? -1 : emit(p, 1, e);

		p->key.len = 0;
		return rc;
	}
	if (!strcmp(path, "IsTruncated"))
		p->more = !strcmp(text, "true");
	else if (!strcmp(path, "NextContinuationToken")) {
		p->token.len = 0;
		buf_str(&p->token, text);
		return buf_text(&p->token) ? 0 : err_sys(e, "listing");
	}
	return 0;
}

int
s3_page_read(struct s3_page *p, char *text, size_t n, struct err *e)
{
	p->more = p->whole = 0;
	p->key.len = 0;
	if (xml_scan(text, n, take_element, p, e) < 0)
		return -1;
	if (!p->whole)
		return err_set(e, ERR_CORRUPT, "listing: the answer is another document");
	if (p->more && !p->token.len)
		return err_set(e, ERR_CORRUPT, "listing: it goes on, and does not say where");
	return 0;
}

void
s3_page_free(struct s3_page *p)
{
	buf_free(&p->key);
	buf_free(&p->token);
}

static int
ends_well(const struct buf *text)
{
	static const char end[] = "</ListBucketResult>";
	size_t n = text->len;

	while (n > 0 && strchr(" \t\r\n", text->p[n - 1]))
		n--;
	return n >= sizeof(end) - 1 && !memcmp(text->p + n - (sizeof(end) - 1), end,
		sizeof(end) - 1);
}

/* One page. One that was cut on its way is asked for again, before any of it is told. */
static int
list_page(struct s3 *s, struct s3_call *c, struct s3_page *p, struct err *e)
{
	int tries = 0;

	do {
		if (s3_do(s, c, e) < 0)
			return -1;
	} while (!ends_well(c->text) && tries++ < CUT_TRIES);
	if (!c->text->len || !buf_room(c->text, 1))
		return err_set(e, ERR_CORRUPT, "listing: the answer is empty");
	return s3_page_read(p, c->text->p, c->text->len, e);
}

int
s3_list(struct store *base, const char *prefix, unsigned flags, store_each *each, void *ctx,
	struct err *e)
{
	struct s3 *s = (struct s3 *)base;
	struct s3_page p = {
		.prefix = s->prefix, .n_prefix = strlen(s->prefix), .each = each, .ctx = ctx,
	};
	char *key = s3_key(s, prefix, e), last[S3_TOKEN_LEN] = "";
	struct buf text = { 0 };
	int rc = key ? 0 : -1;

	p.more = 1;
	while (rc == 0 && p.more && !p.enough) {
		struct s3_call c = {
			.method = "GET", .text = &text,
			.query = {
				{ "encoding-type", "url" }, { "list-type", "2" }, { "prefix", key },
			},
		};
		int n = 3;

		if (flags & STORE_LIST_DIRS)
			c.query[n++] = (struct s3_pair){ "delimiter", "/" };
		if (p.token.len)
			c.query[n++] = (struct s3_pair){ "continuation-token", p.token.p };
		snprintf(last, sizeof(last), "%s", p.token.len ? p.token.p : "");
		p.token.len = 0;
		rc = list_page(s, &c, &p, e);
		if (rc == 0 && p.more && !strcmp(last, p.token.p))
			rc = err_set(e, ERR_CORRUPT, "listing: it goes round in a circle");
	}
	buf_free(&text);
	s3_page_free(&p);
	free(key);
	return rc < 0 ? err_in(e, "list '%s'", prefix) : 0;
}
