#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/uri.h"
#include "kvevict/kvevict.h"
#include "opts.h"
#include "out.h"
#include "store/s3_lifecycle.h"
#include "tool.h"

/*
 * Rules by which the server expires objects: by age alone, whatever is used or hangs
 * together. One rule for each prefix that we were asked for; rules of others stay.
 */
#define DAY_S 86400.0
#define ABORT_DAYS 1

static void
make_rule(const struct kvevict *k, struct s3_rule *r, const char *prefix)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->id, sizeof(r->id), S3_RULE_OWN "%.200s", *prefix ? prefix : "all");
	snprintf(r->prefix, sizeof(r->prefix), "%s", prefix);
	r->days = (unsigned)((k->want.ttl_s + DAY_S - 1) / DAY_S);
	r->abort_days = ABORT_DAYS;
	r->enabled = 1;
}

/* As 'aws s3api put-bucket-lifecycle-configuration' takes it. */
static void
print_json(struct buf *b, const struct s3_rule *r)
{
	buf_str(b, "{\"Rules\":[{\"ID\":");
	buf_json(b, r->id, strlen(r->id));
	buf_str(b, ",\"Status\":\"Enabled\",\"Filter\":{\"Prefix\":");
	buf_json(b, r->prefix, strlen(r->prefix));
	buf_printf(b, "},\"Expiration\":{\"Days\":%u},\"AbortIncompleteMultipartUpload\":"
		"{\"DaysAfterInitiation\":%u}}]}\n", r->days, r->abort_days);
}

static int
print_rule(const struct kvevict *k, const char *prefix, struct err *e)
{
	struct buf b = { 0 };
	struct s3_rule r;
	int rc = 0;

	if (k->want.ttl_s <= 0)
		return err_set(e, ERR_USAGE, "--print-lifecycle: --ttl of a day or more");
	make_rule(k, &r, prefix);
	if (opts_common.json)
		print_json(&b, &r);
	else
		rc = s3_lifecycle_print(&b, &r, 1, e);
	if (rc == 0 && buf_text(&b))
		printf("%s%s", b.p, b.len && b.p[b.len - 1] == '\n' ? "" : "\n");
	buf_free(&b);
	return rc;
}

/* The bucket's rules as the server has them. */
static int
show_rules(struct store *s, struct err *e)
{
	static const struct out_col cols[] = {
		{ "ID", "id", OUT_TEXT, 0, 0 }, { "PREFIX", "prefix", OUT_TEXT, 0, 0 },
		{ "DAYS", "days", OUT_COUNT, 0, 0 }, { "ABORT", "abort_days", OUT_COUNT, 0, 0 },
		{ "STATUS", "status", OUT_TEXT, 0, 0 },
	};
	struct s3_rule *rules = NULL;
	struct buf xml = { 0 };
	struct out *out;
	size_t n = 0, i;

	if (s3_lifecycle_get(s, &xml, e) < 0 ||
	    (xml.len && s3_lifecycle_parse(&rules, &n, &xml, e) < 0)) {
		buf_free(&xml);
		return -1;
	}
	out = out_open("kv.lifecycle/1", cols, 5, 0);
	for (i = 0; i < n; i++) {
		union out_value v[5];

		v[0].s = rules[i].id;
		v[1].s = rules[i].prefix;
		v[2].u = rules[i].days ? rules[i].days : OUT_NONE;
		v[3].u = rules[i].abort_days ? rules[i].abort_days : OUT_NONE;
		v[4].s = rules[i].enabled ? "enabled" : "disabled";
		out_row(out, v);
	}
	out_close(out);
	free(rules);
	buf_free(&xml);
	return 0;
}

/* Our rules for other prefixes stay; --ttl 0 takes the one for this prefix away. */
static int
install_rule(const struct kvevict *k, struct store *s, const char *prefix, struct err *e)
{
	struct s3_rule *rules = NULL, *all;
	struct buf xml = { 0 };
	size_t n = 0, i, kept = 0;
	int rc = s3_lifecycle_get(s, &xml, e);

	if (rc == 0 && xml.len)
		rc = s3_lifecycle_parse(&rules, &n, &xml, e);
	buf_free(&xml);
	all = calloc(n + 1, sizeof(*all));
	if (rc == 0 && !all)
		rc = err_set(e, ERR_FAILED, "out of memory");
	for (i = 0; rc == 0 && i < n; i++)
		if (!strncmp(rules[i].id, S3_RULE_OWN, strlen(S3_RULE_OWN)) &&
		    strcmp(rules[i].prefix, prefix) != 0)
			all[kept++] = rules[i];
	if (rc == 0 && k->want.ttl_s > 0)
		make_rule(k, &all[kept++], prefix);
	if (rc == 0 && !opts_common.dry)
		rc = s3_lifecycle_install(s, all, kept, e);
	free(rules);
	free(all);
	return rc == 0 ? show_rules(s, e) : -1;
}

/* From the URL alone: printing needs no bucket, no key and no network. */
static int
print_for(const struct kvevict *k, const char *url, struct err *e)
{
	char prefix[1024] = "";
	struct uri *u;
	size_t n;
	int rc = uri_parse(&u, url, e);

	if (rc < 0)
		return -1;
	if (strcmp(u->scheme, "s3") != 0)
		rc = err_set(e, ERR_USAGE, "%s: only buckets have lifecycle rules", url);
	snprintf(prefix, sizeof(prefix) - 1, "%s", u->path + strspn(u->path, "/"));
	for (n = strlen(prefix); n > 0 && prefix[n - 1] == '/'; n--)
		;
	strcpy(prefix + n, n ? "/" : "");
	uri_free(u);
	return rc < 0 ? -1 : print_rule(k, prefix, e);
}

static int
install_for(const struct kvevict *k, const char *url, struct err *e)
{
	struct store_opts so = { .conf = opts_conf };
	const char *prefix;
	struct store *s;
	int rc;

	if (store_open(&s, url, &so, e) < 0)
		return -1;
	prefix = s3_lifecycle_prefix(s);
	rc = prefix ? install_rule(k, s, prefix, e) :
		err_set(e, ERR_USAGE, "%s: only buckets have lifecycle rules", store_url(s));
	store_close(s);
	return rc;
}

void
lifecycle(const struct kvevict *k, const char *url)
{
	struct err e;
	char *full = conf_store_url(opts_conf, url, &e);
	int rc = !full ? -1 : k->rule == 'i' ? install_for(k, full, &e) : print_for(k, full, &e);

	if (rc < 0)
		tool_fail(&e);
	free(full);
}
