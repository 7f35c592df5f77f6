#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/xml.h"
#include "store/s3.h"
#include "store/s3_lifecycle.h"

#define HEAD "<LifecycleConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
#define TAIL "</LifecycleConfiguration>"

const char *
s3_lifecycle_prefix(const struct store *s)
{
	return s->ops == &store_s3 ? ((const struct s3 *)s)->prefix : NULL;
}

static void
add_rule(struct buf *out, const struct s3_rule *r)
{
	buf_str(out, "<Rule><ID>");
	s3_xml_text(out, r->id);
	buf_str(out, "</ID><Filter><Prefix>");
	s3_xml_text(out, r->prefix);
	buf_printf(out, "</Prefix></Filter><Status>%s</Status>",
		r->enabled ? "Enabled" : "Disabled");
	if (r->days)
		buf_printf(out, "<Expiration><Days>%u</Days></Expiration>", r->days);
	if (r->abort_days)
		buf_printf(out, "<AbortIncompleteMultipartUpload><DaysAfterInitiation>%u"
			"</DaysAfterInitiation></AbortIncompleteMultipartUpload>", r->abort_days);
	buf_str(out, "</Rule>");
}

int
s3_lifecycle_print(struct buf *out, const struct s3_rule *rules, size_t n, struct err *e)
{
	size_t i;

	buf_str(out, HEAD);
	for (i = 0; i < n; i++)
		add_rule(out, &rules[i]);
	buf_str(out, TAIL);
	return buf_text(out) ? 0 : err_set(e, ERR_FAILED, "lifecycle: out of memory");
}

int
s3_lifecycle_get(struct store *base, struct buf *xml, struct err *e)
{
	struct s3 *s = s3_of(base, "lifecycle rules", e);
	struct s3_call c = { .method = "GET", .query = { { "lifecycle", "" } }, .text = xml };

	if (!s)
		return -1;
	if (s3_do(s, &c, e) < 0 && c.status != 404)
		return err_in(e, "lifecycle of '%s'", s->bucket);
	return 0;
}

struct reading {
	struct s3_rule *rules, now;
	size_t n;
};

static int
take_text(char *to, size_t n, const char *text, struct err *e)
{
	if (strlen(text) >= n)
		return err_set(e, ERR_CORRUPT, "lifecycle: a text is too long");
	strcpy(to, text);
	return 0;
}

static int
take_days(unsigned *out, const char *text, struct err *e)
{
	uint64_t v;

	if (num_u64(&v, text, 0, INT32_MAX, "lifecycle: days", e) < 0)
		return -1;
	*out = (unsigned)v;
	return 0;
}

static int
take_element(void *ctx, const char *path, const char *text, struct err *e)
{
	static const char root[] = "LifecycleConfiguration/Rule";
	struct reading *r = ctx;
	struct s3_rule *more;

	if (strncmp(path, root, sizeof(root) - 1) != 0)
		return 0;
	path += sizeof(root) - 1;
	if (!strcmp(path, "/ID"))
		return take_text(r->now.id, sizeof(r->now.id), text, e);
	/* The prefix stands in one of three places, by age and number of conditions. */
	if (!strcmp(path, "/Prefix") || !strcmp(path, "/Filter/Prefix") ||
	    !strcmp(path, "/Filter/And/Prefix"))
		return take_text(r->now.prefix, sizeof(r->now.prefix), text, e);
	if (!strcmp(path, "/Status"))
		r->now.enabled = !strcmp(text, "Enabled");
	if (!strcmp(path, "/Expiration/Days"))
		return take_days(&r->now.days, text, e);
	if (!strcmp(path, "/AbortIncompleteMultipartUpload/DaysAfterInitiation"))
		return take_days(&r->now.abort_days, text, e);
	if (*path)
		return 0;
	more = realloc(r->rules, (r->n + 1) * sizeof(*more));
	if (!more)
		return err_sys(e, "lifecycle");
	r->rules = more;
	r->rules[r->n++] = r->now;
	memset(&r->now, 0, sizeof(r->now));
	return 0;
}

int
s3_lifecycle_parse(struct s3_rule **rules, size_t *n, const struct buf *xml, struct err *e)
{
	struct reading r = { 0 };
	struct buf copy = { 0 };
	int rc = 0;

	*rules = NULL;
	*n = 0;
	if (xml->len == 0)
		return 0;
	if (buf_add(&copy, xml->p, xml->len) < 0 || !buf_room(&copy, 1))
		rc = err_sys(e, "lifecycle");
	else
		rc = xml_scan(copy.p, copy.len, take_element, &r, e);
	buf_free(&copy);
	if (rc < 0) {
		free(r.rules);
		return -1;
	}
	*rules = r.rules;
	*n = r.n;
	return 0;
}

/* The text of each rule that is not ours. */
static int
keep_others(struct buf *out, const struct buf *old, struct err *e)
{
	const char *p = old->p, *end = old->p + old->len, *stop;

	while (old->len && (p = memmem(p, (size_t)(end - p), "<Rule>", 6))) {
		struct buf one = { 0 };
		struct s3_rule *r;
		size_t n;
		int rc;

		stop = memmem(p, (size_t)(end - p), "</Rule>", 7);
		if (!stop)
			return err_set(e, ERR_CORRUPT, "lifecycle: a rule without end");
		stop += 7;
		buf_str(&one, "<LifecycleConfiguration>");
		buf_add(&one, p, (size_t)(stop - p));
		buf_str(&one, TAIL);
		rc = s3_lifecycle_parse(&r, &n, &one, e);
		buf_free(&one);
		if (rc < 0)
			return -1;
		if (n == 1 && strncmp(r->id, S3_RULE_OWN, strlen(S3_RULE_OWN)) != 0)
			buf_add(out, p, (size_t)(stop - p));
		free(r);
		p = stop;
	}
	return 0;
}

static int
put_set(struct s3 *s, const struct buf *xml, struct err *e)
{
	struct s3_text body;
	char md5[32];
	struct s3_call c = {
		.method = "PUT", .query = { { "lifecycle", "" } }, .body = s3_text(&body, xml),
		.header = { { "content-md5", md5 }, { "content-type", "application/xml" } },
	};

	return s3_md5(md5, xml, e) < 0 ? -1 : s3_do(s, &c, e);
}

static int
delete_set(struct s3 *s, struct err *e)
{
	struct s3_call c = { .method = "DELETE", .query = { { "lifecycle", "" } } };

	return s3_do(s, &c, e);
}

/* A server may take the set and leave out what it does not know. */
static int
check_set(struct store *base, const struct s3_rule *rules, size_t n, struct err *e)
{
	struct buf xml = { 0 };
	struct s3_rule *now = NULL;
	size_t n_now = 0, i, k;
	int rc = -1;

	if (s3_lifecycle_get(base, &xml, e) < 0 || s3_lifecycle_parse(&now, &n_now, &xml, e) < 0)
		goto done;
	rc = 0;
	for (i = 0; i < n && rc == 0; i++) {
		for (k = 0; k < n_now && strcmp(now[k].id, rules[i].id) != 0; k++)
			;
		if (k == n_now || now[k].days != rules[i].days ||
		    now[k].abort_days != rules[i].abort_days ||
		    now[k].enabled != rules[i].enabled ||
		    strcmp(now[k].prefix, rules[i].prefix) != 0)
			rc = err_set(e, ERR_FAILED, "rule '%.100s' is not there as it was put",
				rules[i].id);
	}
done:
	free(now);
	buf_free(&xml);
	return rc;
}

int
s3_lifecycle_install(struct store *base, const struct s3_rule *rules, size_t n, struct err *e)
{
	struct s3 *s = s3_of(base, "lifecycle rules", e);
	struct buf old = { 0 }, set = { 0 };
	size_t i, empty;
	int rc = -1;

	if (!s)
		return -1;
	if (s3_lifecycle_get(base, &old, e) < 0)
		goto done;
	buf_str(&set, HEAD);
	empty = set.len;
	if (keep_others(&set, &old, e) < 0)
		goto done;
	for (i = 0; i < n; i++)
		add_rule(&set, &rules[i]);
	if (set.len == empty) {
		rc = old.len ? delete_set(s, e) : 0;
	} else {
		buf_str(&set, TAIL);
		rc = set.fail ? err_set(e, ERR_FAILED, "out of memory") : put_set(s, &set, e);
	}
	if (rc == 0)
		rc = check_set(base, rules, n, e);
done:
	buf_free(&old);
	buf_free(&set);
	return rc < 0 ? err_in(e, "lifecycle of '%s'", s->bucket) : 0;
}
