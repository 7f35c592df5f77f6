#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flow/evict.h"

static int
no_memory(struct err *e)
{
	return err_set(e, ERR_FAILED, "evict: out of memory");
}

/* What names, sizes and times tell of a unit. */
static void
add_row(struct evict *ev, struct plan_entry *v, const struct cat_row *r)
{
	v->bytes += r->size;
	if (v->created_s < (double)r->mtime_s)
		v->created_s = (double)r->mtime_s;
	if (v->accessed_s < (double)r->atime_s)
		v->accessed_s = (double)r->atime_s;
	if (r->ttl_s >= 0)
		v->expires_s = ev->now_s + (double)r->ttl_s;
	if (r->hits >= 0 && v->hits < (uint32_t)r->hits)
		v->hits = (uint32_t)r->hits;
	ev->knows_use |= r->atime_s > 0;
	ev->knows_hits |= r->hits >= 0;
}

static int
make_entries(struct evict *ev, struct err *e)
{
	const struct units *u = &ev->units;
	uint32_t i, k;

	ev->v = calloc((size_t)u->n + 1, sizeof(*ev->v));
	ev->flags = calloc((size_t)u->n + 1, 1);
	ev->why = calloc((size_t)u->n + 1, 1);
	if (!ev->v || !ev->flags || !ev->why)
		return no_memory(e);
	for (i = 0; i < u->n; i++) {
		struct plan_entry *v = &ev->v[i];

		v->parent = PLAN_NONE;
		v->tenant = PLAN_NONE;
		for (k = u->start[i]; k < u->start[i + 1]; k++)
			add_row(ev, v, units_row(u, k));
	}
	return 0;
}

static void
set_parent(struct evict *ev, uint32_t unit, const struct key_hash *parent)
{
	uint32_t at = PLAN_NONE;

	if (!(ev->flags[unit] & EVICT_LINKED))
		ev->linked++;
	ev->flags[unit] |= EVICT_LINKED;
	if (!parent->len)
		return;
	at = units_find(&ev->units, units_class(&ev->units, unit), parent);
	if (at == UNIT_NONE || at == unit)
		ev->flags[unit] |= EVICT_ORPHAN;
	else
		ev->v[unit].parent = at;
}

/* Room is left for a tenant's priority to be added. */
static int16_t
short_priority(int64_t p)
{
	return (int16_t)(p > 20000 ? 20000 : p < -20000 ? -20000 : p);
}

/* ---- the index ---- */

static int
join_one(void *ctx, const struct index_entry *x, struct err *e)
{
	struct evict *ev = ctx;
	uint32_t unit = units_of_name(&ev->units, ev->place, x->name);
	struct key_hash parent = { 0 };
	struct plan_entry *v;

	(void)e;
	if (unit == UNIT_NONE)
		return 0;
	v = &ev->v[unit];
	if (v->created_s == 0)
		v->created_s = (double)x->created_s;
	if (v->accessed_s < (double)x->accessed_s)
		v->accessed_s = (double)x->accessed_s;
	if (v->hits < x->hits)
		v->hits = x->hits < UINT32_MAX ? (uint32_t)x->hits : UINT32_MAX;
	if (x->expires_s)
		v->expires_s = (double)x->expires_s;
	if (x->priority)
		v->priority = short_priority(x->priority);
	if (v->cost < (float)x->cost)
		v->cost = (float)x->cost;
	v->depth = x->depth;
	if (x->pinned)
		ev->flags[unit] |= EVICT_PINNED;
	if ((double)x->leased_s > ev->now_s)
		ev->flags[unit] |= EVICT_LEASED;
	if (!strcmp(x->parent, "-") ||
	    (*x->parent && key_hash_read(&parent, x->parent, strlen(x->parent), NULL) == 0))
		set_parent(ev, unit, &parent);
	return 0;
}

/* ---- headers ---- */

/* The nth row of each unit whose parent is not known yet. */
static int
unlinked_rows(const struct evict *ev, uint32_t nth, struct catalog *part, uint32_t **unit,
	struct err *e)
{
	const struct units *u = &ev->units;
	uint32_t i;

	*part = ev->cat;
	part->n = 0;
	part->rows = malloc((u->n - ev->linked + 1) * sizeof(*part->rows));
	*unit = malloc((u->n - ev->linked + 1) * sizeof(**unit));
	if (!part->rows || !*unit)
		return no_memory(e);
	for (i = 0; i < u->n; i++) {
		if (ev->flags[i] & EVICT_LINKED || u->start[i] + nth >= u->start[i + 1])
			continue;
		(*unit)[part->n] = i;
		part->rows[part->n++] = *units_row(u, u->start[i] + nth);
	}
	return 0;
}

static void
join_head(struct evict *ev, uint32_t unit, const struct cat_head *h)
{
	struct plan_entry *v = &ev->v[unit];

	/* gone, or its header is damaged: it has no place in a chain */
	if (h->state && !h->parent.len)
		return;
	/* names taken over from elsewhere have no parent that is known */
	if (h->parent.len || h->first_token == 0)
		set_parent(ev, unit, &h->parent);
	if (h->first_token != CHUNK_UNKNOWN && h->chunk_tokens)
		v->depth = (uint32_t)(h->first_token / h->chunk_tokens);
	if (h->expires && !v->expires_s)
		v->expires_s = (double)h->expires;
	if (h->priority && !v->priority)
		v->priority = short_priority(h->priority);
	if (h->created && !v->created_s)
		v->created_s = (double)h->created;
}

/* Headers never change: what one tells need not be read again. */
static int
note_head(struct evict *ev, const struct cat_row *r, const struct cat_head *h, struct err *e)
{
	char hash[KEY_HEX], parent[KEY_HEX];
	struct index_entry x = { .size = r->size, .created_s = r->mtime_s, .labels = "",
		.hash = key_hash_hex(hash, &r->hash), .parent = "",
		.tenant = ev->cat.groups[r->group].salt, .expires_s = h->expires,
		.priority = short_priority(h->priority) };
	struct buf name = { 0 };
	int rc = catalog_name(&ev->cat, r, &name);

	if (rc < 0 || !buf_text(&name))
		rc = no_memory(e);
	x.name = name.p;
	if (h->parent.len)
		x.parent = key_hash_hex(parent, &h->parent);
	else if (h->first_token == 0)
		x.parent = "-";
	if (h->first_token != CHUNK_UNKNOWN && h->chunk_tokens)
		x.depth = (uint32_t)(h->first_token / h->chunk_tokens);
	if (rc == 0)
		index_note_put(ev->index, &x);
	buf_free(&name);
	return rc;
}

/* From the nth object of each unit that has it; *bad of them were no use. */
static int
link_by(struct evict *ev, uint32_t nth, unsigned jobs, size_t *bad, struct err *e)
{
	struct cat_head *heads = NULL;
	struct catalog part;
	uint32_t *unit = NULL;
	size_t i;
	int rc;

	*bad = 0;
	rc = unlinked_rows(ev, nth, &part, &unit, e);
	if (rc == 0)
		rc = catalog_heads(&part, ev->place, jobs, &heads, e);
	ev->cat.brought = part.brought;
	ev->cat.n_brought = part.n_brought;
	ev->cat.room_brought = part.room_brought;
	for (i = 0; rc == 0 && i < part.n; i++) {
		join_head(ev, unit[i], &heads[i]);
		*bad += heads[i].state != 0;
		if (!heads[i].state && ev->index && index_writable(ev->index))
			rc = note_head(ev, &part.rows[i], &heads[i], e);
	}
	free(heads);
	free(part.rows);
	free(unit);
	return rc;
}

/* Where one rank's header is damaged, another's tells. */
int
evict_link(struct evict *ev, unsigned jobs, struct err *e)
{
	uint32_t nth = 0;
	size_t bad = 1;
	int rc = 0;

	for (; rc == 0 && bad && ev->place->native; nth++)
		rc = link_by(ev, nth, jobs, &bad, e);
	/* before anything is forgotten; that it could not be noted costs the next run a look */
	if (ev->index && index_writable(ev->index))
		index_flush(ev->index, NULL);
	ev->read_ns = clock_now_ns();
	return rc;
}

/* One listing serves chunks and litter. */
static int
keep_other(void *ctx, enum dialect_what what, const struct store_item *it, struct err *e)
{
	struct evict *ev = ctx;
	struct evict_other o = { .name = ev->names.len, .size = it->size, .what = what };

	if (what != DIALECT_TWIN && what != DIALECT_LITTER &&
	    fnmatch(EVICT_REGION, it->name, FNM_PATHNAME) != 0)
		return 0;
	o.since_s = (double)(it->mtime_ns ? it->mtime_ns : it->atime_ns) / 1e9;
	return buf_add(&ev->names, it->name, strlen(it->name) + 1) < 0 ||
		buf_add(&ev->others, &o, sizeof(o)) < 0 ? no_memory(e) : 0;
}

int
evict_read(struct evict *ev, struct place *p, struct index *ix, const struct evict_want *w,
	struct err *e)
{
	struct select all;

	memset(ev, 0, sizeof(*ev));
	ev->place = p;
	ev->index = ix;
	ev->now_s = (double)clock_now();
	ev->max_bytes = ev->low_bytes = UINT64_MAX;
	select_init(&all);
	all.other = keep_other;
	all.other_ctx = ev;
	all.not_class = w->class;
	if (catalog_read(&ev->cat, p, &all, w->jobs, e) < 0 ||
	    units_make(&ev->units, &ev->cat, e) < 0 || make_entries(ev, e) < 0)
		return -1;
	if (ix && index_each(ix, "", INDEX_BY_NAME, join_one, ev, e) < 0)
		return -1;
	if (ix)
		ev->knows_use = ev->knows_hits = 1;
	ev->read_ns = clock_now_ns();
	return 0;
}

void
evict_free(struct evict *ev)
{
	plan_free(&ev->plan);
	units_free(&ev->units);
	catalog_free(&ev->cat);
	buf_free(&ev->others);
	buf_free(&ev->names);
	free(ev->v);
	free(ev->flags);
	free(ev->why);
	free(ev->quotas);
	memset(ev, 0, sizeof(*ev));
}
