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

enum { BY = OPT_FIRST };

static const struct opt options[] = {
	{ BY, "by", "WHAT", "model (default), dtype, tenant, tp, rank or age",
		"model dtype tenant tp rank age" },
	SELECT_OPTIONS,
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvstat du [options] STORE",
	"Totals by model, element type, tenant, tensor-parallel size, rank or age.",
	options,
	"  kvstat du ./store\n  kvstat du --by tenant s3://bucket/kv",
	"kvstat(1)",
};

enum { GROUP, CHUNKS, OBJECTS, SIZE, SHARE, OLDEST, NEWEST, N_COLS };

static const struct out_col cols[N_COLS] = {
	[GROUP] = { "GROUP", "group", OUT_TEXT, 0, 0 },
	[CHUNKS] = { "CHUNKS", "chunks", OUT_COUNT, 0, 0 },
	[OBJECTS] = { "OBJECTS", "objects", OUT_COUNT, 1, 0 },
	[SIZE] = { "SIZE", "size", OUT_SIZE, 0, 0 },
	[SHARE] = { "SHARE", "share", OUT_SHARE, 0, 0 },
	[OLDEST] = { "OLDEST", "oldest", OUT_AGE, 0, 0 },
	[NEWEST] = { "NEWEST", "newest", OUT_AGE, 0, 0 },
};

struct sum {
	char what[300];
	uint64_t chunks, objects, bytes;
	int64_t oldest, newest;
};

struct sums {
	struct sum *v;
	size_t n;
};

static const char *
age_class(double s)
{
	static const struct { double below; const char *text; } classes[] = {
		{ 3600, "under 1h" }, { 86400, "1h to 1d" }, { 7 * 86400, "1d to 7d" },
		{ 30 * 86400, "7d to 30d" },
	};
	size_t i;

	for (i = 0; i < 4; i++)
		if (s < classes[i].below)
			return classes[i].text;
	return "over 30d";
}

static void
label(char *out, size_t size, const struct cat_group *g, const struct cat_row *r, char by,
	int64_t now)
{
	switch (by) {
	case 'd': snprintf(out, size, "%s", *g->dtype ? g->dtype : "-"); break;
	case 't': snprintf(out, size, "%s", *g->salt ? g->salt : "*"); break;
	case 'p': snprintf(out, size, "tp%" PRIu32, g->tp); break;
	case 'r': snprintf(out, size, "rank %" PRIu32 " of %" PRIu32, r->rank, g->tp); break;
	case 'a': snprintf(out, size, "%s", age_class((double)(now - r->mtime_s))); break;
	default: snprintf(out, size, "%s", g->model);
	}
}

static struct sum *
find(struct sums *t, const char *what)
{
	size_t i = t->n;
	struct sum *v;

	while (i-- > 0)
		if (!strcmp(t->v[i].what, what))
			return &t->v[i];
	v = realloc(t->v, (t->n + 1) * sizeof(*v));
	if (!v)
		opts_no_memory();
	t->v = v;
	v += t->n++;
	memset(v, 0, sizeof(*v));
	snprintf(v->what, sizeof(v->what), "%s", what);
	return v;
}

static int
larger(const void *a, const void *b)
{
	const struct sum *x = a, *y = b;

	return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : strcmp(x->what, y->what);
}

static void
add_up(struct sums *t, const struct catalog *c, char by, int64_t now)
{
	char what[300];
	size_t i, end;

	for (i = 0; i < c->n; i = end) {
		size_t k;

		end = by == 'r' ? i + 1 : catalog_chunk_end(c, i);
		for (k = i; k < end; k++) {
			const struct cat_row *r = &c->rows[k];
			struct sum *s;

			label(what, sizeof(what), &c->groups[r->group], r, by, now);
			s = find(t, what);
			s->chunks += k == i;
			s->objects++;
			s->bytes += r->size;
			if (r->mtime_s && (!s->oldest || r->mtime_s < s->oldest))
				s->oldest = r->mtime_s;
			if (r->mtime_s > s->newest)
				s->newest = r->mtime_s;
		}
	}
	if (t->n)
		qsort(t->v, t->n, sizeof(*t->v), larger);
}

static void
print(const struct sums *t, const struct catalog *c, int64_t now)
{
	struct out *out = out_open("kv.du/1", cols, N_COLS, GROUP);
	char size[NUM_TEXT], count[NUM_TEXT], json[200];
	uint64_t chunks = 0;
	size_t i;

	for (i = 0; i < t->n; i++) {
		const struct sum *s = &t->v[i];
		union out_value v[N_COLS];

		chunks += s->chunks;
		v[GROUP].s = s->what;
		v[CHUNKS].u = s->chunks;
		v[OBJECTS].u = s->objects;
		v[SIZE].u = s->bytes;
		v[SHARE].d = c->bytes ? (double)s->bytes / (double)c->bytes : NAN;
		v[OLDEST].d = s->oldest ? (double)(now - s->oldest) : NAN;
		v[NEWEST].d = s->newest ? (double)(now - s->newest) : NAN;
		out_row(out, v);
	}
	out_close(out);
	if (out_human())
		tool_note("%s, %s", num_count_text(count, chunks, "chunk"),
			num_size_text(size, c->bytes));
	snprintf(json, sizeof(json), "\"chunks\":%" PRIu64 ",\"objects\":%zu,\"bytes\":%" PRIu64
		",\"foreign\":%" PRIu64 ",\"litter\":%" PRIu64, chunks, c->n, c->bytes, c->foreign,
		c->litter);
	out_summary("kvstat du", json, 0);
}

void
verb_du(int argc, char **argv)
{
	static const char *const words[] = { "model", "dtype", "tenant", "tp", "rank", "age" };
	int64_t now = clock_now();
	struct sums t = { 0 };
	struct stat_place s;
	static struct select sel;
	char by = 'm';
	int c, i;

	select_init(&sel);
	while ((c = opts_next(argc, argv, &usage)) != -1) {
		if (select_option(c, &sel))
			continue;
		for (i = 0; i < 6 && strcmp(words[i], opts_arg) != 0; i++)
			;
		if (i == 6)
			opts_bad("--by '%.20s': model, dtype, tenant, tp, rank or age", opts_arg);
		by = "mdtpra"[i];
	}
	if (stat_open(&s, stat_only_url(argc, argv, "du"), &sel, 0) < 0)
		return;
	add_up(&t, &s.cat, by, now);
	print(&t, &s.cat, now);
	free(t.v);
	stat_close(&s);
}
