#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "kvstat/common.h"
#include "kvstat/verbs.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

enum { SORT = OPT_FIRST, LIMIT };

static const struct opt options[] = {
	{ 'l', "long", NULL, "read the headers too: depth, tokens, parent, expiry", NULL },
	{ SORT, "sort", "ORDER", "name (default), size, age or chain", "name size age chain" },
	{ LIMIT, "limit", "N", "no more rows than this", NULL },
	SELECT_OPTIONS,
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvstat ls [options] STORE [NAME ...]",
	"Lists chunks, one row for all ranks of a chunk. Names and sizes answer; -l reads and\n"
	"checks the 4 KiB headers. Flags: I incomplete (ranks missing), C compressed, X expired,\n"
	"! damaged header.",
	options,
	"  kvstat ls ./store\n"
	"  kvstat ls -l --model 'llama*' --older-than 7d s3://bucket/kv\n"
	"  kvstat ls -o name ./store | xargs kvget ./store > all.kv",
	"kvstat(1)",
};

enum { NAME, DEPTH, TOKENS, SIZE, AGE, USED, RANKS, MODEL, DTYPE, TP, TENANT, GROUP, PARENT,
	FIRST, CREATED, EXPIRES, PRIORITY, HASH, FLAGS, N_COLS };

static const struct out_col cols[N_COLS] = {
	[NAME] = { "NAME", "name", OUT_TEXT, 0, 0 },
	[DEPTH] = { "DEPTH", "depth", OUT_COUNT, 0, 0 },
	[TOKENS] = { "TOKENS", "tokens", OUT_COUNT, 0, 0 },
	[SIZE] = { "SIZE", "size", OUT_SIZE, 0, 0 },
	[AGE] = { "AGE", "age", OUT_AGE, 0, 0 },
	[USED] = { "USED", "used", OUT_AGE, 1, 0 },
	[RANKS] = { "RANKS", "ranks", OUT_TEXT, 0, 0 },
	[MODEL] = { "MODEL", "model", OUT_TEXT, 0, 0 },
	[DTYPE] = { "DTYPE", "dtype", OUT_TEXT, 0, 0 },
	[TP] = { "TP", "tp", OUT_COUNT, 1, 0 },
	[TENANT] = { "TENANT", "tenant", OUT_TEXT, 1, 0 },
	[GROUP] = { "GROUP", "group", OUT_COUNT, 1, 0 },
	[PARENT] = { "PARENT", "parent", OUT_TEXT, 1, 0 },
	[FIRST] = { "FIRST", "first_token", OUT_COUNT, 1, 0 },
	[CREATED] = { "CREATED", "created", OUT_TIME, 1, 0 },
	[EXPIRES] = { "EXPIRES", "expires", OUT_TIME, 1, 0 },
	[PRIORITY] = { "PRIORITY", "priority", OUT_NUMBER, 1, 0 },
	[HASH] = { "HASH", "hash", OUT_TEXT, 2, 0 },
	[FLAGS] = { "FLAGS", "flags", OUT_TEXT, 0, 0 },
};

enum order { BY_NAME, BY_SIZE, BY_AGE, BY_CHAIN };

struct listing {
	const struct stat_place *s;
	const size_t *order;
	int64_t now;
};

static void
row(struct out *out, size_t i, void *ctx)
{
	const struct listing *l = ctx;
	const struct stat_place *s = l->s;
	size_t at = l->order[i];
	const struct cat_group *g = &s->cat.groups[s->cat.rows[at].group];
	const struct cat_head *h = s->heads ? &s->heads[at] : NULL;
	union out_value v[N_COLS];
	char name[KEY_SHORT], ranks[32], parent[KEY_HEX], brief[KEY_SHORT];
	struct folded f;

	stat_fold(s, at, &f);
	/* names for scripts and JSON are whole, for people 12 digits */
	v[NAME].s = out_human() ? key_hash_short(name, &s->cat.rows[at].hash) : f.name;
	v[DEPTH].u = stat_depth(h);
	v[TOKENS].u = h && !h->state ? h->tokens : OUT_NONE;
	v[SIZE].u = f.size;
	v[AGE].d = f.mtime_s ? (double)(l->now - f.mtime_s) : NAN;
	v[USED].d = f.atime_s ? (double)(l->now - f.atime_s) : NAN;
	snprintf(ranks, sizeof(ranks), "%u/%u", f.ranks, g->tp);
	v[RANKS].s = ranks;
	v[MODEL].s = g->model;
	v[DTYPE].s = *g->dtype ? g->dtype : NULL;
	v[TP].u = g->tp;
	v[TENANT].s = *g->salt ? g->salt : NULL;
	v[GROUP].u = g->group;
	v[PARENT].s = NULL;
	if (h && h->parent.len)
		v[PARENT].s = out_human() ? key_hash_short(brief, &h->parent) :
			key_hash_hex(parent, &h->parent);
	v[FIRST].u = h ? h->first_token : OUT_NONE;
	v[CREATED].i = h && h->created ? h->created : f.mtime_s;
	v[EXPIRES].i = h ? h->expires : 0;
	v[PRIORITY].d = h ? (double)h->priority : NAN;
	v[HASH].s = f.name;
	v[FLAGS].s = f.flags;
	out_row(out, v);
}

struct sorting {
	const struct stat_place *s;
	enum order by;
};

static int
cmp(const void *a, const void *b, void *ctx)
{
	const struct sorting *o = ctx;
	size_t i = *(const size_t *)a, k = *(const size_t *)b;
	const struct cat_row *x = &o->s->cat.rows[i], *y = &o->s->cat.rows[k];

	if (o->by == BY_SIZE && x->size != y->size)
		return x->size < y->size ? 1 : -1;
	if (o->by == BY_AGE && x->mtime_s != y->mtime_s)
		return x->mtime_s > y->mtime_s ? 1 : -1;
	return (i > k) - (i < k);
}

/* First rows of chunks, in the order wished. */
static size_t *
ordered(const struct stat_place *s, enum order by, size_t *n)
{
	size_t *order = NULL, i, k = 0;
	struct sorting o = { s, by };
	struct err e;

	if (catalog_chains(&s->cat, by == BY_CHAIN ? s->heads : NULL, &order, &e) < 0) {
		tool_fail(&e);
		return NULL;
	}
	for (i = 0; i < s->cat.n; i = catalog_chunk_end(&s->cat, order[i]) - order[i] + i)
		order[k++] = order[i];
	*n = k;
	if (by == BY_SIZE || by == BY_AGE)
		qsort_r(order, k, sizeof(*order), cmp, &o);
	return order;
}

static enum order
order_word(const char *word)
{
	static const char *const words[] = { "name", "size", "age", "chain" };
	int i;

	for (i = 0; i < 4; i++)
		if (!strcmp(words[i], word))
			return (enum order)i;
	opts_bad("--sort '%.20s': name, size, age or chain", word);
}

static void
list(const struct stat_place *s, enum order by, uint64_t limit)
{
	char size[NUM_TEXT], count[NUM_TEXT], json[256];
	size_t n = 0, *order = ordered(s, by, &n);
	struct listing l = { s, order, clock_now() };
	struct out *out;

	if (!order)
		return;
	out = out_open("kv.ls/1", cols, N_COLS, NAME);
	out_rows(out, limit < n ? limit : n, row, &l);
	out_close(out);
	free(order);
	if (out_human())
		tool_note("%s, %s", num_count_text(count, n, "chunk"),
			num_size_text(size, s->cat.bytes));
	if (s->cat.foreign)
		tool_note("%s, %s", num_count_text(count, s->cat.foreign, "other object"),
			num_size_text(size, s->cat.foreign_bytes));
	snprintf(json, sizeof(json), "\"chunks\":%zu,\"objects\":%zu,\"bytes\":%" PRIu64
		",\"foreign\":%" PRIu64, n, s->cat.n, s->cat.bytes, s->cat.foreign);
	out_summary("kvstat ls", json, 0);
}

void
verb_ls(int argc, char **argv)
{
	enum order by = BY_NAME;
	uint64_t limit = UINT64_MAX;
	struct stat_place s;
	static struct select sel;
	struct err e;
	int c, lng = 0;

	select_init(&sel);
	while ((c = opts_next(argc, argv, &usage)) != -1) {
		if (select_option(c, &sel))
			continue;
		if (c == 'l')
			lng = 1;
		else if (c == SORT)
			by = order_word(opts_arg);
		else if (num_u64(&limit, opts_arg, 0, UINT64_MAX, "--limit", &e) < 0)
			opts_die(&e);
	}
	stat_url(argc, argv, "ls");
	select_names(&sel, argv + optind + 1, argc - optind - 1);
	if (stat_open(&s, argv[optind], &sel, lng || by == BY_CHAIN) < 0)
		return;
	if (!sel.n_prefixes || select_unique(&sel, &s.cat) == 0 || s.cat.n)
		list(&s, by, limit);
	stat_close(&s);
}
