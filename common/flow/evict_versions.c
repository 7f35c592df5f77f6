#include <stdlib.h>
#include <string.h>

#include "base/par.h"
#include "flow/evict_versions.h"
#include "store/s3_versions.h"

#define BATCH 1000	/* versions of a request */

struct item {			/* to be deleted: texts in names */
	size_t name, id;
	uint64_t size;
	int quiet;		/* its chunk has been told */
	int marker;
};

/* The name whose versions are being listed. */
struct group {
	struct buf name;
	int foreign;		/* not ours to judge */
	int evicted;		/* by this run */
	int hidden;		/* its newest is a marker */
	int first;		/* nothing of it has been seen below the newest */
	int left;		/* something below the newest stays */
	struct item marker;	/* the newest, if it is one that may go */
	int has_marker;
};

struct sweep {
	struct evict *ev;
	const struct versions_want *w;
	litter_told *told;
	void *ctx;
	int markers;		/* second round */
	uint8_t *planned;	/* dry: by unit */
	struct group g;
	struct buf names, items;	/* a load: struct item */
	signed char *states;
	struct err *whys;	/* by request */
	size_t most;		/* items of a load */
};

static int
no_memory(struct err *e)
{
	return err_set(e, ERR_FAILED, "versions: out of memory");
}

/* ---- deleting, a load at a time ---- */

static int
delete_some(void *ctx, size_t i, struct err *e)
{
	struct sweep *s = ctx;
	const struct item *v = (const struct item *)(void *)s->items.p + i * BATCH;
	size_t n = s->items.len / sizeof(*v) - i * BATCH, k;
	const char *names[BATCH], *ids[BATCH];

	n = n < BATCH ? n : BATCH;
	for (k = 0; k < n; k++) {
		names[k] = s->names.p + v[k].name;
		ids[k] = s->names.p + v[k].id;
	}
	s3_versions_delete(s->ev->place->store, names, ids, n, s->states + i * BATCH, &s->whys[i]);
	return s->whys[i].kind == ERR_STOPPED ? err_set(e, ERR_STOPPED, "stopped by a signal") : 0;
}

static int
unload(struct sweep *s, struct err *e)
{
	const struct item *v = (const struct item *)(void *)s->items.p;
	size_t n = s->items.len / sizeof(*v), i;

	memset(s->states, 0, n);
	if (!s->w->dry && par_each((n + BATCH - 1) / BATCH, s->w->jobs, delete_some, s, e) < 0)
		return -1;
	for (i = 0; i < n; i++)
		if (!v[i].quiet || s->states[i] < 0)
			s->told(s->ctx, s->names.p + v[i].name, v[i].size,
				v[i].marker ? "marker" : "version",
				s->states[i] < 0 ? &s->whys[i / BATCH] : NULL);
	s->names.len = s->items.len = 0;
	return 0;
}

static int
load(struct sweep *s, const char *name, const char *id, struct item *it, struct err *e)
{
	it->name = s->names.len;
	buf_add(&s->names, name, strlen(name) + 1);
	it->id = s->names.len;
	if (buf_add(&s->names, id, strlen(id) + 1) < 0 ||
	    buf_add(&s->items, it, sizeof(*it)) < 0)
		return no_memory(e);
	return s->items.len / sizeof(*it) < s->most ? 0 : unload(s, e);
}

/* ---- what may go ---- */

static int
was_evicted(const struct sweep *s, const char *name)
{
	uint32_t unit = units_of_name(&s->ev->units, s->ev->place, name);

	if (unit == UNIT_NONE)
		return 0;
	return s->w->dry ? s->planned[unit] : (s->ev->flags[unit] & EVICT_DONE) != 0;
}

static int
is_foreign(const struct place *p, const struct s3_version *v)
{
	struct dialect_name n;
	struct key k;

	if (v->own)
		return 0;
	return p->native ? key_parse_name(&k, v->name, NULL) < 0 :
		dialect_name(p->dialect, v->name, UINT64_MAX, &n) == DIALECT_FOREIGN;
}

static int
may_go(const struct sweep *s, const struct s3_version *v)
{
	if (s->g.foreign)
		return 0;
	if (s->g.evicted)
		return 1;
	return !s->w->evicted && (s->w->min_age_s <= 0 ||
		(v->mtime_s > 0 && (double)v->mtime_s <= s->ev->now_s - s->w->min_age_s));
}

/* All of a name have been seen: its marker may go when it hides nothing any more. */
static int
end_group(struct sweep *s, struct err *e)
{
	struct group *g = &s->g;
	const char *id = g->name.p ? g->name.p + strlen(g->name.p) + 1 : NULL;

	if (!s->markers || !g->has_marker || g->left)
		return 0;
	g->has_marker = 0;
	return load(s, g->name.p, id, &g->marker, e);
}

/* The group's name and the id of its newest, one after the other. */
static int
begin_group(struct sweep *s, const struct s3_version *v, struct err *e)
{
	struct group *g = &s->g;
	struct buf name = g->name;

	*g = (struct group){ .name = name, .foreign = is_foreign(s->ev->place, v),
		.evicted = was_evicted(s, v->name), .hidden = v->marker, .first = 1 };
	g->name.len = 0;
	buf_add(&g->name, v->name, strlen(v->name) + 1);
	if (buf_add(&g->name, v->id, strlen(v->id) + 1) < 0)
		return no_memory(e);
	g->has_marker = v->marker && may_go(s, v);
	g->marker = (struct item){ .quiet = g->evicted && !s->w->dry, .marker = 1 };
	return 0;
}

static int
look_at(void *ctx, const struct s3_version *v, struct err *e)
{
	struct sweep *s = ctx;
	struct group *g = &s->g;
	struct item it = { .size = v->size, .marker = v->marker };

	if (!g->name.len || strcmp(g->name.p, v->name) != 0) {
		if (end_group(s, e) < 0)
			return -1;
		return begin_group(s, v, e);
	}
	/* under the marker that this run laid is the object that it told of */
	it.quiet = g->first && g->evicted && g->hidden && !s->w->dry;
	g->first = 0;
	if (!may_go(s, v)) {
		g->left = 1;
		return 0;
	}
	if (s->markers) {
		g->left |= !s->w->dry;
		return 0;
	}
	return load(s, v->name, v->id, &it, e);
}

static int
go_round(struct sweep *s, int markers, struct err *e)
{
	s->markers = markers;
	s->g.name.len = 0;
	s->g.has_marker = 0;
	if (s3_versions_each(s->ev->place->store, look_at, s, e) < 0 || end_group(s, e) < 0)
		return -1;
	return unload(s, e);
}

int
evict_versions(struct evict *ev, const struct versions_want *w, litter_told *told, void *ctx,
	struct err *e)
{
	struct versions_want want = *w;
	struct sweep s = { .ev = ev, .w = &want, .told = told, .ctx = ctx };
	int rc = -1;
	size_t i;

	if (!want.jobs)
		want.jobs = store_jobs(ev->place->store);
	s.most = (size_t)want.jobs * BATCH;
	s.states = malloc(s.most);
	s.whys = calloc(want.jobs, sizeof(*s.whys));
	s.planned = calloc((size_t)ev->units.n + 1, 1);
	if (!s.states || !s.whys || !s.planned) {
		no_memory(e);
		goto done;
	}
	for (i = 0; i < ev->plan.n; i++)
		s.planned[ev->plan.steps[i].entry] = 1;
	rc = go_round(&s, 0, e) < 0 || go_round(&s, 1, e) < 0 ? -1 : 0;
done:
	buf_free(&s.g.name);
	buf_free(&s.names);
	buf_free(&s.items);
	free(s.states);
	free(s.whys);
	free(s.planned);
	return rc;
}
