#include <stdlib.h>

#include "flow/units.h"
#include "index/index.h"
#include "opts.h"
#include "pick_hits.h"

struct taking {
	struct catalog *cat;
	struct units units;
	const struct place *place;
};

/* All objects of a chunk count as the one that the index knows. */
static int
take_hits(void *ctx, const struct index_entry *x, struct err *e)
{
	struct taking *t = ctx;
	int32_t hits = x->hits < INT32_MAX ? (int32_t)x->hits : INT32_MAX;
	uint32_t unit = units_of_name(&t->units, t->place, x->name), k;
	(void)e;

	for (k = 0; unit != UNIT_NONE && k < t->units.start[unit + 1] - t->units.start[unit]; k++) {
		uint32_t at = t->units.start[unit] + k;
		struct cat_row *r = &t->cat->rows[t->units.rows ? t->units.rows[at] : at];

		r->hits = r->hits < hits ? hits : r->hits;
	}
	return 0;
}

int
pick_hits(struct catalog *cat, const struct place *p, const char *url, struct err *e)
{
	struct taking t = { .cat = cat, .place = p };
	char *full = conf_store_url(opts_conf, url, e);
	struct index *ix = NULL;
	int rc = -1;

	if (full && index_open(&ix, conf_get(opts_conf, "index"), full, INDEX_READ, opts_conf,
	    e) == 0 && units_make(&t.units, cat, e) == 0)
		rc = index_each(ix, "", INDEX_BY_NAME, take_hits, &t, e);
	units_free(&t.units);
	index_close(ix, NULL);
	free(full);
	return rc;
}
