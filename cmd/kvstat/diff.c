#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "kvstat/common.h"
#include "kvstat/verbs.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

static const struct opt options[] = {
	SELECT_OPTIONS,
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvstat diff [options] STORE STORE",
	"What the first store has and the second lacks (<), the other way round (>), and objects\n"
	"of another size (!), from the listings alone. Exit status 1 if they differ.",
	options,
	"  kvstat diff ./a s3://bucket/a\n"
	"  kvstat diff redis://h s3://prod/kv | awk '$2 == \"<\" { print $1 }' |\n"
	"      kvget redis://h --names-from - --fill s3://prod/kv",
	"kvstat(1)",
};

enum { NAME, STATE, SIZE_A, SIZE_B, RANK, MODEL, DTYPE, HASH, N_COLS };

static const struct out_col cols[N_COLS] = {
	[NAME] = { "NAME", "name", OUT_TEXT, 0, 0 },
	[STATE] = { "WHERE", "where", OUT_TEXT, 0, 0 },
	[SIZE_A] = { "FIRST", "size_first", OUT_SIZE, 0, 0 },
	[SIZE_B] = { "SECOND", "size_second", OUT_SIZE, 0, 0 },
	[RANK] = { "RANK", "rank", OUT_COUNT, 0, 0 },
	[MODEL] = { "MODEL", "model", OUT_TEXT, 0, 0 },
	[DTYPE] = { "DTYPE", "dtype", OUT_TEXT, 0, 0 },
	[HASH] = { "HASH", "hash", OUT_TEXT, 2, 0 },
};

struct joining {
	const struct catalog *a, *b;
	struct out *out;
	uint64_t same, only_a, only_b, other;
};

static void
row(struct joining *j, const struct cat_row *x, const struct cat_row *y)
{
	const struct catalog *c = x ? j->a : j->b;
	const struct cat_row *r = x ? x : y;
	union out_value v[N_COLS];
	char hex[KEY_HEX], brief[KEY_SHORT];

	v[HASH].s = key_hash_hex(hex, &r->hash);
	v[NAME].s = out_human() ? key_hash_short(brief, &r->hash) : hex;
	v[STATE].s = !y ? "<" : !x ? ">" : "!";
	v[SIZE_A].u = x ? x->size : OUT_NONE;
	v[SIZE_B].u = y ? y->size : OUT_NONE;
	v[RANK].u = r->rank;
	v[MODEL].s = c->groups[r->group].model;
	v[DTYPE].s = c->groups[r->group].dtype;
	out_row(j->out, v);
}

/* Order of rows of two catalogs: their groups have different numbers. */
static int
cmp(const struct joining *j, const struct cat_row *x, const struct cat_row *y)
{
	struct key a, b;
	int c;

	catalog_key(j->a, x, &a);
	catalog_key(j->b, y, &b);
	a.rank = b.rank = 0;
	c = strcmp(a.model, b.model);
	if (!c)
		c = strcmp(a.dtype, b.dtype);
	if (!c)
		c = (a.tp > b.tp) - (a.tp < b.tp);
	if (!c)
		c = (a.group > b.group) - (a.group < b.group);
	if (!c)
		c = strcmp(a.salt, b.salt);
	if (!c)
		c = key_hash_cmp(&x->hash, &y->hash);
	return c ? c : (x->rank > y->rank) - (x->rank < y->rank);
}

static void
join(struct joining *j, int sizes)
{
	size_t i = 0, k = 0;

	while (i < j->a->n || k < j->b->n) {
		const struct cat_row *x = &j->a->rows[i], *y = &j->b->rows[k];
		int c = i == j->a->n ? 1 : k == j->b->n ? -1 : cmp(j, x, y);

		if (c < 0) {
			row(j, x, NULL);
			j->only_a++;
			i++;
		} else if (c > 0) {
			row(j, NULL, y);
			j->only_b++;
			k++;
		} else {
			if (sizes && x->size != y->size) {
				row(j, x, y);
				j->other++;
			} else {
				j->same++;
			}
			i++, k++;
		}
	}
}

void
verb_diff(int argc, char **argv)
{
	struct joining j = { 0 };
	struct stat_place a, b;
	static struct select sel;
	char json[200];
	int c;

	select_init(&sel);
	while ((c = opts_next(argc, argv, &usage)) != -1)
		select_option(c, &sel);
	if (argc - optind != 2)
		opts_bad("two stores, please: kvstat diff STORE STORE");
	if (stat_open(&a, argv[optind], &sel, 0) < 0)
		return;
	if (stat_open(&b, argv[optind + 1], &sel, 0) < 0)
		goto close_a;
	j.a = &a.cat;
	j.b = &b.cat;
	j.out = out_open("kv.diff/1", cols, N_COLS, NAME);
	/* stores of different dialects hold the same chunk in different sizes */
	join(&j, a.place.dialect == b.place.dialect);
	out_close(j.out);
	if (j.only_a || j.only_b || j.other)
		tool_mark(ERR_ABSENT);
	tool_note("same %" PRIu64 ", only in the first %" PRIu64 ", only in the second %" PRIu64
		", of another size %" PRIu64, j.same, j.only_a, j.only_b, j.other);
	snprintf(json, sizeof(json), "\"same\":%" PRIu64 ",\"only_first\":%" PRIu64
		",\"only_second\":%" PRIu64 ",\"differ\":%" PRIu64, j.same, j.only_a, j.only_b,
		j.other);
	out_summary("kvstat diff", json, 0);
	stat_close(&b);
close_a:
	stat_close(&a);
}
