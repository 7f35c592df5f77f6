#include <stdlib.h>
#include <string.h>

#include "flow/units.h"
#include "index/index.h"
#include "opts.h"
#include "pick_hits.h"

struct taking {
	struct catalog *cat;
	struct units units;
	const struct place *place;
};

/* The at-th row in order of units. */
static struct cat_row *
row(const struct taking *t, uint32_t at)
{
	return &t->cat->rows[t->units.rows ? t->units.rows[at] : at];
}

/* All objects of a chunk count as the one that the index knows. */
static int
take_hits(void *ctx, const struct index_entry *x, struct err *e)
{
	struct taking *t = ctx;
	int32_t hits = x->hits < INT32_MAX ? (int32_t)x->hits : INT32_MAX;
	uint32_t unit = units_of_name(&t->units, t->place, x->name), k;
	(void)e;

	for (k = 0; unit != UNIT_NONE && k < t->units.start[unit + 1] - t->units.start[unit]; k++) {
		struct cat_row *r = row(t, t->units.start[unit] + k);

		r->hits = r->hits < hits ? hits : r->hits;
	}
	return 0;
}

/* An object's name stands for the hash of its whole chain, so its parent never changes. */
static int
take_parent(void *ctx, const struct index_entry *x, struct err *e)
{
	struct taking *t = ctx;
	struct cat_head h = { .first_token = CHUNK_UNKNOWN };
	uint32_t unit = units_of_name(&t->units, t->place, x->name), k;
	(void)e;

	if (strcmp(x->parent, "-") != 0 &&
	    key_hash_read(&h.parent, x->parent, strlen(x->parent), NULL) < 0)
		return 0;
	for (k = 0; unit != UNIT_NONE && k < t->units.start[unit + 1] - t->units.start[unit]; k++) {
		struct cat_row *r = row(t, t->units.start[unit] + k);

		if (!r->brought)
			r->brought = catalog_bring(t->cat, &h);
	}
	return 0;
}

/* Every entry of the store's index, unless there are more than most. */
static int
take(struct catalog *cat, const struct place *p, const char *url, index_fn *each, uint64_t most,
	struct err *e)
{
	struct index_info info = { 0 };
	struct taking t = { .cat = cat, .place = p };
	char *full = conf_store_url(opts_conf, url, e);
	struct index *ix = NULL;
	int rc = -1;

	if (full && index_open(&ix, conf_get(opts_conf, "index"), full, INDEX_READ, opts_conf,
	    e) == 0 && index_info(ix, &info, e) == 0 && info.entries <= most &&
	    units_make(&t.units, cat, e) == 0)
		rc = index_each(ix, "", INDEX_BY_NAME, each, &t, e);
	units_free(&t.units);
	index_close(ix, NULL);
	free(full);
	return rc;
}

int
pick_hits(struct catalog *cat, const struct place *p, const char *url, struct err *e)
{
	return take(cat, p, url, take_hits, UINT64_MAX, e);
}

void
pick_parents(struct catalog *cat, const struct place *p, const char *url)
{
	struct err e;

	/* a header costs a request, an entry some microseconds */
	(void)take(cat, p, url, take_parent, 16 * (uint64_t)cat->n, &e);
}
