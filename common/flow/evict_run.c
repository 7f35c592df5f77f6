#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/par.h"
#include "base/stop.h"
#include "flow/evict.h"
#include "flow/evict_demote.h"

/*
 * The plan is followed in windows of some thousand steps. Within a window the steps are
 * sorted by height (leaves 0, what hangs over them 1 ...); those of one height are deleted in
 * parallel, a batch a job, and the next height is begun when all of them are through. A
 * step whose child is still there for whatever reason is not done.
 */
#define WINDOW 8192
#define BATCH_OBJECTS 1000

struct object {			/* of a batch */
	size_t name;		/* offset in names */
	uint32_t todo;		/* index of todo, within the batch */
	int twin;
};

struct todo {
	const struct plan_step *step;
	uint32_t height;
	enum evict_state state;
	struct err why;		/* EVICT_FAILED */
};

struct window {
	struct evict *ev;
	struct evict_run *r;
	struct demote *demote;
	struct todo *todo;
	size_t n;
	size_t from, count;	/* those of one height */
	size_t batch;		/* units a job */
	int recheck;		/* stat is cheap here: look again before deleting */
	int64_t read_ns;	/* when all had been read */
	uint32_t *height;	/* by unit */
};

/* ---- one batch, on any thread ---- */

struct batch {
	struct todo *todo;
	size_t n;
	struct buf names, objects;	/* struct object */
};

static int
add_object(struct batch *b, uint32_t todo, const char *name, int twin)
{
	struct object o = { b->names.len, todo, twin };

	if (buf_add(&b->names, name, strlen(name) + 1) < 0)
		return -1;
	return buf_add(&b->objects, &o, sizeof(o));
}

/* All objects of a unit; what makes an engine see a chunk (its twin) goes before the data. */
static int
add_unit(const struct evict *ev, struct batch *b, uint32_t todo, struct err *e)
{
	const struct units *u = &ev->units;
	uint32_t unit = b->todo[todo].step->entry, k;
	struct buf name = { 0 }, twin = { 0 };
	struct dialect_name n;
	int needed, rc = 0;

	for (k = u->start[unit]; rc == 0 && k < u->start[unit + 1]; k++) {
		const struct cat_row *r = units_row(u, k);

		name.len = twin.len = 0;
		rc = catalog_name(&ev->cat, r, &name);
		if (rc < 0 || !buf_text(&name))
			break;
		if (!ev->place->native &&
		    dialect_name(ev->place->dialect, name.p, r->size, &n) == DIALECT_CHUNK &&
		    dialect_twin(&n, name.p, &twin, &needed) && buf_text(&twin))
			rc = add_object(b, todo, twin.p, 1);
		if (rc == 0)
			rc = add_object(b, todo, name.p, 0);
	}
	rc = rc < 0 || name.fail || twin.fail;
	buf_free(&name);
	buf_free(&twin);
	return rc ? err_set(e, ERR_FAILED, "delete: out of memory") : 0;
}

/* Written or used since it was listed? Then somebody may be about to build on it. */
static int
used_since(const struct window *w, uint32_t unit, struct buf *name)
{
	const struct units *u = &w->ev->units;
	struct store_item it;
	uint32_t k;

	for (k = u->start[unit]; k < u->start[unit + 1]; k++) {
		const struct cat_row *r = units_row(u, k);

		name->len = 0;
		if (catalog_name(&w->ev->cat, r, name) < 0 || !buf_text(name))
			return 1;
		if (store_stat(w->ev->place->store, name->p, &it, NULL) < 0)
			continue;
		if (it.mtime_ns / 1000000000 != r->mtime_s || (it.atime_ns > w->read_ns &&
		    it.atime_ns / 1000000000 != r->atime_s))
			return 1;
	}
	return 0;
}

static void
fold_state(struct todo *t, const struct object *o, signed char state, const struct err *why)
{
	if (state < 0 && t->state != EVICT_FAILED) {
		t->state = EVICT_FAILED;
		t->why = *why;
	} else if (state == 0 && !o->twin && t->state == EVICT_VANISHED) {
		t->state = EVICT_GONE;
	}
}

static int
delete_batch(struct window *w, struct batch *b, struct err *e)
{
	struct object *o = (struct object *)(void *)b->objects.p;
	size_t n = b->objects.len / sizeof(*o), i, gone;
	const char **names = malloc((n + 1) * sizeof(*names));
	signed char *states = malloc(n + 1);
	struct err why = { 0 };

	if (!names || !states) {
		free(names);
		free(states);
		return err_set(e, ERR_FAILED, "delete: out of memory");
	}
	for (i = 0; i < n; i++)
		names[i] = b->names.p + o[i].name;
	store_delete(w->ev->place->store, names, n, states, &why);
	for (i = 0; i < n; i++)
		fold_state(&b->todo[o[i].todo], &o[i], states[i], &why);
	/* the index forgets what is gone; that it could not is found by its next rebuild */
	for (i = gone = 0; i < n; i++)
		if (states[i] >= 0)
			names[gone++] = names[i];
	if (w->ev->index)
		index_remove(w->ev->index, names, gone, NULL);
	free(names);
	free(states);
	return 0;
}

static int
run_batch(void *ctx, size_t job, struct err *e)
{
	struct window *w = ctx;
	size_t first = job * w->batch, i;
	struct batch b = { .todo = w->todo + w->from + first };
	struct buf name = { 0 };
	int rc = 0;

	b.n = w->count - first < w->batch ? w->count - first : w->batch;
	for (i = 0; rc == 0 && i < b.n; i++) {
		struct todo *t = &b.todo[i];
		uint32_t unit = t->step->entry;

		if (w->ev->flags[unit] & EVICT_HELD) {
			t->state = EVICT_KEPT;
			continue;
		}
		if (w->recheck && used_since(w, unit, &name)) {
			t->state = EVICT_USED;
			continue;
		}
		t->state = EVICT_VANISHED;
		if (w->demote && demote_unit(w->demote, unit, &t->why) < 0)
			t->state = t->why.kind == ERR_ABSENT ? EVICT_VANISHED : EVICT_FAILED;
		else
			rc = add_unit(w->ev, &b, (uint32_t)i, e);
	}
	if (rc == 0 && b.objects.len)
		rc = delete_batch(w, &b, e);
	buf_free(&name);
	buf_free(&b.names);
	buf_free(&b.objects);
	return rc;
}

/* ---- windows ---- */

static int
by_height(const void *a, const void *b)
{
	const struct todo *x = a, *y = b;

	if (x->height != y->height)
		return x->height < y->height ? -1 : 1;
	return x->step < y->step ? -1 : x->step > y->step;
}

static int
by_step(const void *a, const void *b)
{
	const struct todo *x = a, *y = b;

	return x->step < y->step ? -1 : x->step > y->step;
}

/* Children come before parents in the plan, so that heights are known when they are read. */
static void
fill(struct window *w, size_t at)
{
	const struct plan *p = &w->ev->plan;
	size_t i;

	w->n = p->n - at < WINDOW ? p->n - at : WINDOW;
	memset(w->todo, 0, w->n * sizeof(*w->todo));
	for (i = 0; i < w->n; i++) {
		const struct plan_step *s = &p->steps[at + i];
		uint32_t up = w->ev->v[s->entry].parent;

		w->todo[i].step = s;
		w->todo[i].height = w->height[s->entry];
		if (up != PLAN_NONE && w->height[up] <= w->todo[i].height)
			w->height[up] = w->todo[i].height + 1;
	}
	for (i = 0; i < w->n; i++) {	/* those of the next window begin anew */
		uint32_t up = w->ev->v[p->steps[at + i].entry].parent;

		if (up != PLAN_NONE)
			w->height[up] = 0;
	}
	qsort(w->todo, w->n, sizeof(*w->todo), by_height);
}

/* What is still there holds what it hangs on. */
static void
hold_parents(struct window *w)
{
	size_t i;

	for (i = w->from; i < w->from + w->count; i++) {
		const struct todo *t = &w->todo[i];
		uint32_t unit = t->step->entry, up = w->ev->v[unit].parent;

		if (t->state == EVICT_GONE || t->state == EVICT_VANISHED)
			w->ev->flags[unit] |= EVICT_DONE;
		else if (up != PLAN_NONE)
			w->ev->flags[up] |= EVICT_HELD;
	}
}

static int
run_heights(struct window *w, unsigned jobs, struct err *e)
{
	size_t most = w->ev->units.n ? BATCH_OBJECTS * (size_t)w->ev->units.n / w->ev->cat.n : 1;

	for (w->from = 0; w->from < w->n; w->from += w->count) {
		for (w->count = 1; w->from + w->count < w->n; w->count++)
			if (w->todo[w->from + w->count].height != w->todo[w->from].height)
				break;
		w->batch = (w->count + jobs - 1) / jobs;
		if (w->batch > most)
			w->batch = most ? most : 1;
		if (w->demote)
			w->batch = 1;
		if (par_each((w->count + w->batch - 1) / w->batch, jobs, run_batch, w, e) < 0)
			return -1;
		hold_parents(w);
	}
	return 0;
}

/* -1: not one step of the window could be done: the store is away, or will not have it. */
static int
tell(struct window *w, struct err *e)
{
	struct evict_run *r = w->r;
	size_t i, failed = 0;

	qsort(w->todo, w->n, sizeof(*w->todo), by_step);
	for (i = 0; i < w->n; i++) {
		const struct todo *t = &w->todo[i];

		r->count[t->state]++;
		r->bytes[t->state] += w->ev->v[t->step->entry].bytes;
		if (r->told)
			r->told(r->ctx, t->step, t->state, &t->why);
		failed += t->state == EVICT_FAILED;
	}
	if (failed < w->n)
		return 0;
	return err_set(e, w->todo[0].why.kind, "none of %zu chunks could be deleted", w->n);
}

static int
is_files(const struct store *s)
{
	return !strcmp(store_scheme(s), "file") || !strcmp(store_scheme(s), "shm");
}

int
evict_run(struct evict *ev, struct evict_run *r, struct err *e)
{
	struct window w = { .ev = ev, .r = r, .recheck = is_files(ev->place->store),
		.read_ns = ev->read_ns };
	unsigned jobs = r->jobs ? r->jobs : store_jobs(ev->place->store);
	size_t at;
	int rc = 0;

	w.todo = malloc(WINDOW * sizeof(*w.todo));
	w.height = calloc((size_t)ev->units.n + 1, sizeof(*w.height));
	if (!w.todo || !w.height)
		rc = err_set(e, ERR_FAILED, "delete: out of memory");
	if (rc == 0 && r->demote)
		rc = demote_open(&w.demote, ev, r, &jobs, e);
	for (at = 0; rc == 0 && at < ev->plan.n; at += w.n) {
		if (stop_asked()) {
			rc = err_set(e, ERR_STOPPED, "stopped by a signal");
			break;
		}
		if (r->until_mono > 0 && clock_mono() >= r->until_mono) {
			r->timed_out = 1;
			break;
		}
		fill(&w, at);
		rc = run_heights(&w, jobs, e);
		if (rc == 0)
			rc = tell(&w, e);
	}
	demote_close(w.demote);
	free(w.todo);
	free(w.height);
	return rc;
}
