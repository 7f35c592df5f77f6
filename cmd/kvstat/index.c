#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/stop.h"
#include "base/uri.h"
#include "index/import.h"
#include "kvstat/common.h"
#include "kvstat/verbs.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

enum { LOG_FORM = OPT_FIRST };

static const struct opt options[] = {
	{ LOG_FORM, "log", "FORM", "import: auto (default), rgw, s3, lookup or own",
		"auto rgw s3 lookup own" },
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvstat index rebuild STORE\nkvstat index verify STORE\nkvstat index export STORE\n"
	"kvstat index import [--log FORM] STORE [FILE ...]",
	"The index notes what a store cannot tell: last use, uses, parents, pins. rebuild makes\n"
	"it from the store's names and headers and keeps what is known of uses; verify compares\n"
	"it with the store; export writes it as NDJSON; import reads that, and other programs'\n"
	"access logs, as uses. --index says where it is.",
	options,
	"  kvstat index rebuild s3://bucket/kv\n"
	"  kvstat index import s3://bucket/kv --log rgw ops.log\n"
	"  kvstat index export ./kv | kvstat index import ./kv --index redis://cache",
	"kvstat(1)",
};

static enum import_form log_form;

static struct index *
open_index(const char *url, unsigned flags)
{
	const char *where = conf_get(opts_conf, "index");
	struct index *ix = NULL;
	struct err e;
	char *full;

	full = conf_store_url(opts_conf, url, &e);
	if (!full || index_open(&ix, where, full, flags, opts_conf, &e) < 0) {
		if (full && e.kind == ERR_ABSENT)
			err_set(&e, ERR_ABSENT, "no index of '%s' (kvstat index rebuild makes it)",
				url);
		tool_fail(&e);
	}
	free(full);
	return ix;
}

static void
close_index(struct index *ix)
{
	struct err e;

	if (index_close(ix, &e) < 0)
		tool_fail(&e);
}

/* ---- rebuild ---- */

#define BATCH 256

struct texts {
	struct buf name;
	char hash[KEY_HEX], parent[KEY_HEX];
};

/* What names and headers tell of a row. Texts are t's. */
static int
fill(struct index_entry *x, struct texts *t, const struct stat_place *s, size_t row,
	struct err *e)
{
	const struct cat_row *r = &s->cat.rows[row];
	const struct cat_head *h = s->heads && !s->heads[row].state ? &s->heads[row] : NULL;
	uint64_t depth = stat_depth(h);

	memset(x, 0, sizeof(*x));
	t->name.len = 0;
	if (catalog_name(&s->cat, r, &t->name) < 0 || !buf_text(&t->name))
		return err_set(e, ERR_FAILED, "index: out of memory");
	x->name = t->name.p;
	x->size = r->size;
	x->created_s = r->mtime_s;
	x->accessed_s = r->atime_s > r->mtime_s ? r->atime_s : 0;
	x->hash = key_hash_hex(t->hash, &r->hash);
	x->parent = x->labels = "";
	x->tenant = s->cat.groups[r->group].salt;
	if (r->ttl_s >= 0)
		x->expires_s = clock_now() + (int64_t)r->ttl_s;
	if (!h)
		return 0;
	if (h->expires && (!x->expires_s || h->expires < x->expires_s))
		x->expires_s = h->expires;
	x->priority = (int32_t)(h->priority > INT32_MAX ? INT32_MAX : h->priority < INT32_MIN ?
		INT32_MIN : h->priority);
	x->depth = depth == OUT_NONE || depth > UINT32_MAX ? 0 : (uint32_t)depth;
	if (h->parent.len)
		x->parent = key_hash_hex(t->parent, &h->parent);
	else if (h->first_token == 0)
		x->parent = "-";
	return 0;
}

static int
put_all(struct index *ix, const struct stat_place *s, struct err *e)
{
	static struct texts t[BATCH];
	static struct index_entry v[BATCH];
	size_t row, n = 0, i;
	int rc = 0;

	for (row = 0; row < s->cat.n && rc == 0; row++) {
		if (stop_asked())
			return err_set(e, ERR_STOPPED, "index: stopped by a signal");
		if (s->heads && s->heads[row].state == ERR_ABSENT)
			continue;
		rc = fill(&v[n], &t[n], s, row, e);
		n += rc == 0;
		if (n == BATCH && rc == 0) {
			rc = index_put(ix, v, n, e);
			n = 0;
		}
	}
	if (rc == 0)
		rc = index_put(ix, v, n, e);
	for (i = 0; i < BATCH; i++)
		buf_free(&t[i].name);
	return rc;
}

static void
rebuild(const char *url, const struct select *all)
{
	struct index *ix = open_index(url, INDEX_WRITE | INDEX_RENEW);
	struct stat_place s;
	struct index_info info;
	uint64_t dropped = 0;
	char json[200];
	struct err e;

	if (!ix)
		return;
	if (index_rebuild_begin(ix, &e) < 0) {
		tool_fail(&e);
		goto close;
	}
	if (stat_open(&s, url, all, 1) < 0)
		goto close;
	if (put_all(ix, &s, &e) < 0 || index_rebuild_end(ix, &dropped, &e) < 0 ||
	    index_info(ix, &info, &e) < 0) {
		tool_fail(&e);
	} else {
		tool_note("%s: %" PRIu64 " entries, %" PRIu64 " forgotten", index_where(ix),
			info.entries, dropped);
		snprintf(json, sizeof(json), "\"entries\":%" PRIu64 ",\"bytes\":%" PRIu64
			",\"forgotten\":%" PRIu64, info.entries, info.bytes, dropped);
		out_summary("kvstat index rebuild", json, 0);
	}
	stat_close(&s);
close:
	close_index(ix);
}

/* ---- verify ---- */

enum { NAME, STATE, SIZE, NOTED, N_COLS };

static const struct out_col cols[N_COLS] = {
	[NAME] = { "NAME", "name", OUT_TEXT, 0, 0 },
	[STATE] = { "STATE", "state", OUT_TEXT, 0, 0 },
	[SIZE] = { "SIZE", "size", OUT_SIZE, 0, 0 },
	[NOTED] = { "NOTED", "noted", OUT_SIZE, 0, 0 },
};

struct object {
	UT_hash_handle hh;
	uint64_t size;
	int noted;
	char name[];
};

struct checking {
	struct object *all;
	struct out *out;
	uint64_t good, bad;
};

static void
tell(struct checking *c, const char *name, const char *state, uint64_t size, uint64_t noted)
{
	union out_value v[N_COLS];
	char safe[1100];

	v[NAME].s = out_safe(safe, sizeof(safe), name);
	v[STATE].s = state;
	v[SIZE].u = size;
	v[NOTED].u = noted;
	out_row(c->out, v);
	c->bad++;
}

static int
check_entry(void *ctx, const struct index_entry *x, struct err *e)
{
	struct checking *c = ctx;
	struct object *o;

	(void)e;
	HASH_FIND_STR(c->all, x->name, o);
	if (!o) {
		tell(c, x->name, "gone", OUT_NONE, x->size);
		return 0;
	}
	o->noted = 1;
	if (x->size == o->size)
		c->good++;
	else
		tell(c, x->name, x->created_s || x->size ? "differs" : "bare", o->size, x->size);
	return 0;
}

static int
take_objects(struct checking *c, const struct catalog *cat, struct err *e)
{
	struct buf name = { 0 };
	struct object *o;
	size_t i;

	for (i = 0; i < cat->n; i++) {
		name.len = 0;
		o = catalog_name(cat, &cat->rows[i], &name) == 0 && buf_text(&name) ?
			calloc(1, sizeof(*o) + name.len + 1) : NULL;
		if (!o) {
			buf_free(&name);
			return err_set(e, ERR_FAILED, "index: out of memory");
		}
		memcpy(o->name, name.p, name.len + 1);
		o->size = cat->rows[i].size;
		HASH_ADD_STR(c->all, name, o);
	}
	buf_free(&name);
	return 0;
}

static void
verify(const char *url, const struct select *all)
{
	struct index *ix = open_index(url, INDEX_READ);
	struct checking c = { 0 };
	struct object *o, *next;
	struct stat_place s;
	char json[100];
	struct err e;
	int rc;

	if (!ix)
		return;
	if (stat_open(&s, url, all, 0) < 0)
		goto close;
	c.out = out_open("kv.index.verify/1", cols, N_COLS, NAME);
	rc = take_objects(&c, &s.cat, &e);
	if (rc == 0)
		rc = index_each(ix, "", INDEX_BY_NAME, check_entry, &c, &e);
	if (rc < 0)
		tool_fail(&e);
	HASH_ITER(hh, c.all, o, next) {
		if (!o->noted && rc == 0)
			tell(&c, o->name, "unknown", o->size, OUT_NONE);
		HASH_DEL(c.all, o);
		free(o);
	}
	out_close(c.out);
	if (c.bad)
		tool_mark(ERR_ABSENT);
	tool_note("%s: %" PRIu64 " right, %" PRIu64 " not", index_where(ix), c.good, c.bad);
	snprintf(json, sizeof(json), "\"right\":%" PRIu64 ",\"wrong\":%" PRIu64, c.good, c.bad);
	out_summary("kvstat index verify", json, 0);
	stat_close(&s);
close:
	close_index(ix);
}

/* ---- export, import ---- */

static int
print_entry(void *ctx, const struct index_entry *x, struct err *e)
{
	struct buf line = { 0 };
	int rc;

	(void)ctx;
	if (index_entry_json(&line, x) < 0 || buf_chr(&line, '\n') < 0) {
		buf_free(&line);
		return err_set(e, ERR_FAILED, "index: out of memory");
	}
	rc = fwrite(line.p, 1, line.len, stdout) == line.len;
	buf_free(&line);
	return rc ? 0 : err_sys(e, "write");
}

static void
export_all(const char *url)
{
	struct index *ix = open_index(url, INDEX_READ);
	struct err e;

	if (!ix)
		return;
	if (index_each(ix, "", INDEX_BY_NAME, print_entry, NULL, &e) < 0 && e.sys != EPIPE)
		tool_fail(&e);
	close_index(ix);
}

static int
import_file(struct import *im, const char *name, struct err *e)
{
	FILE *f = strcmp(name, "-") != 0 ? fopen(name, "re") : stdin;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int rc = 0;

	if (!f) {
		err_sys(e, "open '%s'", name);
		return err_named(e);
	}
	while (rc == 0 && (n = getline(&line, &size, f)) > 0) {
		rc = import_add(im, line, (size_t)n, e);
		if (rc == 0 && stop_asked())
			rc = err_set(e, ERR_STOPPED, "import: stopped by a signal");
	}
	if (rc == 0 && ferror(f))
		rc = err_sys(e, "read '%s'", name);
	if (f != stdin)
		fclose(f);
	free(line);
	return rc;
}

static void
tell_import(const struct import_counts *n, const char *where)
{
	char json[300], count[NUM_TEXT];

	tool_note("%s: %" PRIu64 " lines: %" PRIu64 " uses, %" PRIu64 " puts, %" PRIu64
		" deletions, %" PRIu64 " of other things", where, n->lines, n->uses, n->puts,
		n->deletes, n->other);
	if (n->unknown)
		tool_warn("%s of chunks the index does not know: kvstat index rebuild first",
			num_count_text(count, n->unknown, "use"));
	if (n->bad)
		tool_warn("%s left out: not understood", num_count_text(count, n->bad, "line"));
	if (n->bad)
		tool_mark(n->bad == n->lines ? ERR_CORRUPT : ERR_PARTIAL);
	snprintf(json, sizeof(json), "\"lines\":%" PRIu64 ",\"uses\":%" PRIu64 ",\"puts\":%" PRIu64
		",\"deletes\":%" PRIu64 ",\"other\":%" PRIu64 ",\"unknown\":%" PRIu64
		",\"bad\":%" PRIu64,
		n->lines, n->uses, n->puts, n->deletes, n->other, n->unknown, n->bad);
	out_summary("kvstat index import", json, 0);
}

static void
import_all(const char *url, char **files, int n)
{
	static char *standard_input[] = { "-" };
	struct index *ix = open_index(url, INDEX_WRITE);
	struct import_where w = { log_form, NULL, "" };
	struct import_counts counts = { 0 };
	struct import *im = NULL;
	struct uri *u = NULL;
	char *full = NULL;
	struct err e;
	int i, rc;

	if (!ix)
		return;
	full = conf_store_url(opts_conf, url, &e);
	rc = full ? uri_parse(&u, full, &e) : -1;
	if (rc == 0 && !strcmp(u->scheme, "s3")) {	/* bucket and prefix stand in logs */
		w.bucket = u->host;
		w.prefix = u->path + strspn(u->path, "/");
	}
	if (rc == 0)
		rc = import_open(&im, ix, &w, &e);
	if (n == 0) {
		files = standard_input;
		n = 1;
	}
	for (i = 0; i < n && rc == 0; i++)
		rc = import_file(im, files[i], &e);
	if (rc < 0)
		tool_fail(&e);
	if (import_close(im, &counts, &e) < 0)
		tool_fail(&e);
	else if (rc == 0)
		tell_import(&counts, index_where(ix));
	uri_free(u);
	free(full);
	close_index(ix);
}

void
verb_index(int argc, char **argv)
{
	struct select all;
	const char *what;
	struct err e;
	int c;

	select_init(&all);
	while ((c = opts_next(argc, argv, &usage)) != -1)
		if (import_form(opts_arg, &log_form, &e) < 0)
			opts_die(&e);
	if (optind >= argc)
		opts_bad("kvstat index rebuild, verify, export or import?");
	what = argv[optind++];
	if (opts_common.dry && (!strcmp(what, "rebuild") || !strcmp(what, "import")))
		opts_bad("kvstat index %s: no dry run; it changes nothing but the index", what);
	if (!strcmp(what, "rebuild"))
		rebuild(stat_only_url(argc, argv, "index rebuild"), &all);
	else if (!strcmp(what, "verify"))
		verify(stat_only_url(argc, argv, "index verify"), &all);
	else if (!strcmp(what, "export"))
		export_all(stat_only_url(argc, argv, "index export"));
	else if (!strcmp(what, "import"))
		import_all(stat_url(argc, argv, "index import"), argv + optind + 1,
			argc - optind - 1);
	else
		opts_bad("kvstat index '%.40s': rebuild, verify, export or import", what);
}
