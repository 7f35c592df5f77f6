#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/holder.h"
#include "base/io.h"
#include "base/num.h"
#include "flow/evict_litter.h"
#include "store/file.h"

#define TEMP_AGE_S 600.0	/* no writer takes so long over one object */

/* Pairs: what is there, and what should be. */
struct half {
	size_t twin;		/* name of the small object, in names; of both the sort key */
	size_t data;		/* name of the data; SIZE_MAX: this is the small object itself */
	uint64_t size;
	double since_s;
	int needed;
};

struct finding {
	struct litter *l;
	struct evict *ev;
	struct buf names, halves;
	double boot_s;
};

static int
no_memory(struct err *e)
{
	return err_set(e, ERR_FAILED, "litter: out of memory");
}

static int
add_name(struct buf *names, const char *name, size_t *at)
{
	*at = names->len;
	return buf_add(names, name, strlen(name) + 1);
}

static int
add_litter(struct litter *l, const char *name, uint64_t size, const char *what, struct err *e)
{
	struct litter_item it = { .size = size, .what = what };

	return add_name(&l->names, name, &it.name) < 0 ||
		buf_add(&l->items, &it, sizeof(it)) < 0 ? no_memory(e) : 0;
}

static int
is_old(const struct evict *ev, double since_s, double min_age_s)
{
	return min_age_s <= 0 || (since_s > 0 && since_s <= ev->now_s - min_age_s);
}

/* ---- what the listing had beside chunks ---- */

static int
look_at(struct finding *f, const struct evict_other *o, struct err *e)
{
	const char *name = f->ev->names.p + o->name;
	struct half h = { .size = o->size, .since_s = o->since_s, .data = SIZE_MAX };

	if (o->what == DIALECT_TWIN)
		return add_name(&f->names, name, &h.twin) < 0 ||
			buf_add(&f->halves, &h, sizeof(h)) < 0 ? no_memory(e) : 0;
	if (!is_old(f->ev, o->since_s, TEMP_AGE_S))
		return 0;
	if (o->what == DIALECT_LITTER)
		return add_litter(f->l, name, o->size, "temporary", e);
	/* the top of the directory alone */
	return strchr(name, '/') || strcmp(store_scheme(f->ev->place->store), "file") ? 0 :
		add_litter(f->l, name, o->size, "region", e);
}

/* ---- halves of pairs ---- */

static int
half_cmp(const void *a, const void *b, void *names)
{
	const struct half *x = a, *y = b;
	int c = strcmp((char *)names + x->twin, (char *)names + y->twin);

	return c ? c : (x->data < y->data) - (x->data > y->data);
}

/* Sorted, a pair stands together: the small object first. */
static int
judge_halves(struct finding *f, struct err *e)
{
	struct half *v = (struct half *)(void *)f->halves.p;
	size_t n = f->halves.len / sizeof(*v), i;
	double min = f->l->min_age_s;

	if (n)
		qsort_r(v, n, sizeof(*v), half_cmp, f->names.p);
	for (i = 0; i < n; i++) {
		const char *twin = f->names.p + v[i].twin;
		uint32_t unit;

		if (i + 1 < n && v[i].data == SIZE_MAX && v[i + 1].data != SIZE_MAX &&
		    !strcmp(twin, f->names.p + v[i + 1].twin)) {
			i++;	/* both are there */
			continue;
		}
		if (!is_old(f->ev, v[i].since_s, min))
			continue;
		if (v[i].data == SIZE_MAX) {
			if (add_litter(f->l, twin, v[i].size, "half", e) < 0)
				return -1;
		} else if (v[i].needed) {
			unit = units_of_name(&f->ev->units, f->ev->place,
				f->names.p + v[i].data);
			if (unit != UNIT_NONE)
				f->ev->why[unit] = EVICT_HALF;
		}
	}
	return 0;
}

/* ---- .pt files that nobody can find ---- */

static double
boot_time(void)
{
	struct buf b = { 0 };
	uint64_t t = 0;
	char *p;

	if (io_slurp("/proc/stat", &b, 8 << 20, NULL) == 0 && buf_text(&b) &&
	    (p = strstr(b.p, "\nbtime ")) != NULL) {
		p += 7;
		p[strcspn(p, "\n")] = 0;
		if (num_u64(&t, p, 1, INT64_MAX, "btime", NULL) < 0)
			t = 0;
	}
	buf_free(&b);
	return (double)t;
}

/* Without its .meta? */
static void
look_for_meta(struct evict *ev, uint32_t unit, struct buf *name)
{
	struct store_item it;

	buf_str(name, ".meta");
	if (buf_text(name) && store_stat(ev->place->store, name->p, &it, NULL) < 0)
		ev->why[unit] = EVICT_DEAD;
}

static int
look_at_chunk(struct finding *f, uint32_t unit, const struct cat_row *r, struct buf *name)
{
	struct half h = { .size = r->size, .since_s = (double)(r->mtime_s ? r->mtime_s :
		r->atime_s) };
	struct buf twin = { 0 };
	struct dialect_name n;
	int rc = 0;

	name->len = 0;
	if (catalog_name(&f->ev->cat, r, name) < 0 || !buf_text(name))
		return -1;
	if (dialect_name(f->ev->place->dialect, name->p, r->size, &n) != DIALECT_CHUNK)
		return 0;
	if (r->mtime_s && (double)r->mtime_s < f->boot_s &&
	    !strcmp(dialect_word(n.d), "lmcache-disk"))
		look_for_meta(f->ev, unit, name);
	else if (dialect_twin(&n, name->p, &twin, &h.needed))
		rc = !buf_text(&twin) || add_name(&f->names, twin.p, &h.twin) < 0 ||
			add_name(&f->names, name->p, &h.data) < 0 ||
			buf_add(&f->halves, &h, sizeof(h)) < 0 ? -1 : 0;
	buf_free(&twin);
	return rc;
}

static int
look_at_chunks(struct finding *f, struct err *e)
{
	const struct units *u = &f->ev->units;
	struct buf name = { 0 };
	uint32_t i, k;
	int rc = 0;

	f->boot_s = boot_time();
	for (i = 0; i < u->n; i++)
		for (k = u->start[i]; rc == 0 && k < u->start[i + 1]; k++)
			rc = look_at_chunk(f, i, units_row(u, k), &name);
	buf_free(&name);
	return rc < 0 ? no_memory(e) : 0;
}

int
litter_find(struct litter *l, struct evict *ev, double min_age_s, struct err *e)
{
	const struct evict_other *o = (const struct evict_other *)(void *)ev->others.p;
	struct finding f = { .l = l, .ev = ev };
	size_t i, n = ev->others.len / sizeof(*o);
	int rc = 0;

	memset(l, 0, sizeof(*l));
	l->min_age_s = min_age_s;
	for (i = 0; rc == 0 && i < n; i++)
		rc = look_at(&f, &o[i], e);
	if (rc == 0 && !ev->place->native)
		rc = look_at_chunks(&f, e);
	if (rc == 0)
		rc = judge_halves(&f, e);
	buf_free(&f.names);
	buf_free(&f.halves);
	return rc;
}

void
litter_free(struct litter *l)
{
	buf_free(&l->names);
	buf_free(&l->items);
}

/* ---- removing ---- */

struct removing {
	litter_told *told;
	void *ctx;
};

static int
swept(void *ctx, const struct store_item *it, struct err *e)
{
	const struct removing *r = ctx;

	(void)e;
	r->told(r->ctx, it->name, it->size, "temporary", NULL);
	return 0;
}

static void
remove_one(struct evict *ev, const struct litter_item *it, const char *name, int dry,
	const struct removing *r)
{
	struct err why = { 0 };
	signed char state;
	int rc = 0;

	if (!strcmp(it->what, "region"))
		rc = holder_any(file_dir_fd(ev->place->store), name, &why);
	if (rc == 0 && !dry)
		rc = store_delete(ev->place->store, &name, 1, &state, &why);
	if (rc <= 0)
		r->told(r->ctx, name, it->size, it->what, rc < 0 ? &why : NULL);
}

int
litter_remove(struct litter *l, struct evict *ev, int dry, litter_told *told, void *ctx,
	struct err *e)
{
	const struct litter_item *v = (const struct litter_item *)(void *)l->items.p;
	struct removing r = { told, ctx };
	size_t i;

	for (i = 0; i < l->items.len / sizeof(*v); i++)
		remove_one(ev, &v[i], l->names.p + v[i].name, dry, &r);
	return store_sweep(ev->place->store, l->min_age_s > TEMP_AGE_S ? l->min_age_s : TEMP_AGE_S,
		dry, swept, &r, e);
}
