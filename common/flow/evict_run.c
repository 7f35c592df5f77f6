#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/par.h"
#include "base/stop.h"
#include "flow/evict.h"
#include "flow/evict_demote.h"
#include "flow/evict_queue.h"
#include "store/s3_class.h"

/*
 * Jobs take batches of what is ready (evict_queue.h) until nothing is. So a chain goes leaf by
 * leaf, a request each, while other chains fill the requests; no request holds a chunk and
 * what it hangs on, for servers do as they like within one. A step whose child is still
 * there for whatever reason is not done.
 */
#define BATCH_OBJECTS 1000
#define BATCH_FILES 128
#define IN_VAIN 8192	/* failures in a row that show that going on is no use */

struct object {			/* of a batch */
	size_t name;		/* offset in names */
	uint32_t task;		/* its index in the batch */
	int twin;
};

struct task {
	uint32_t step;
	enum evict_state state;
	struct err why;		/* EVICT_FAILED */
};

/* Why a step failed, until it is told. */
struct failure {
	struct failure *next;
	uint32_t step;
	struct err why;
};

enum { OPEN = EVICT_STATES };	/* beside enum evict_state: not through */

struct run {
	struct evict *ev;
	struct evict_run *r;
	struct demote *demote;
	size_t most;		/* steps of a batch */
	unsigned jobs;
	int recheck;		/* stat is cheap here: look again before deleting */
	atomic_int unheard;	/* the index is away: nobody waits for it at each batch */
	pthread_mutex_t lock;	/* for what follows, the units' flags and telling */
	pthread_cond_t changed;
	struct evict_queue queue;
	uint8_t *state;		/* by step */
	size_t told, at_work;
	struct failure *failures;
	size_t in_vain;		/* failures since the last success, */
	enum err_kind why;	/* and of which kind */
	int over;		/* nothing more is begun */
};

/* ---- one batch, on any thread ---- */

struct batch {
	struct task *tasks;
	size_t n;
	struct buf names, objects;	/* struct object */
};

static int
add_object(struct batch *b, uint32_t task, const char *name, int twin)
{
	struct object o = { b->names.len, task, twin };

	if (buf_add(&b->names, name, strlen(name) + 1) < 0)
		return -1;
	return buf_add(&b->objects, &o, sizeof(o));
}

/* All objects of a unit; what makes an engine see a chunk (its twin) goes before the data. */
static int
add_unit(const struct evict *ev, struct batch *b, uint32_t task, struct err *e)
{
	const struct units *u = &ev->units;
	uint32_t unit = ev->plan.steps[b->tasks[task].step].entry, k;
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
			rc = add_object(b, task, twin.p, 1);
		if (rc == 0)
			rc = add_object(b, task, name.p, 0);
	}
	rc = rc < 0 || name.fail || twin.fail;
	buf_free(&name);
	buf_free(&twin);
	return rc ? err_set(e, ERR_FAILED, "delete: out of memory") : 0;
}

/* Written or used since it was listed? Then somebody may be about to build on it. */
static int
used_since(const struct run *w, uint32_t unit, struct buf *name)
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
		if (it.mtime_ns / 1000000000 != r->mtime_s || (it.atime_ns > w->ev->read_ns &&
		    it.atime_ns / 1000000000 != r->atime_s))
			return 1;
	}
	return 0;
}

static void
fold_state(struct task *t, const struct object *o, signed char state, const struct err *why)
{
	if (state < 0 && t->state != EVICT_FAILED) {
		t->state = EVICT_FAILED;
		t->why = *why;
	} else if (state == 0 && !o->twin && t->state == EVICT_VANISHED) {
		t->state = EVICT_GONE;
	}
}

static int
delete_batch(struct run *w, struct batch *b, struct err *e)
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
		fold_state(&b->tasks[o[i].task], &o[i], states[i], &why);
	/* the index forgets what is gone; that it could not is found by its next rebuild */
	for (i = gone = 0; i < n; i++)
		if (states[i] >= 0)
			names[gone++] = names[i];
	if (w->ev->index && !w->unheard && index_remove(w->ev->index, names, gone, &why) < 0)
		w->unheard = why.kind == ERR_TEMP;
	free(names);
	free(states);
	return 0;
}

/* To another storage class; the chunk stays where it is. */
static void
move_unit(struct run *w, struct task *t, struct buf *name)
{
	const struct units *u = &w->ev->units;
	uint32_t unit = w->ev->plan.steps[t->step].entry, k;

	for (k = u->start[unit]; k < u->start[unit + 1]; k++) {
		name->len = 0;
		if (catalog_name(&w->ev->cat, units_row(u, k), name) < 0 || !buf_text(name)) {
			err_set(&t->why, ERR_FAILED, "out of memory");
			t->state = EVICT_FAILED;
		} else if (s3_class_set(w->ev->place->store, name->p, w->r->class, &t->why) == 0) {
			t->state = EVICT_GONE;
		} else if (t->why.kind != ERR_ABSENT) {
			t->state = EVICT_FAILED;
		}
		if (t->state == EVICT_FAILED)
			return;
	}
}

/* What is to be deleted of it, and that. */
static int
run_batch(struct run *w, struct batch *b, struct err *e)
{
	struct buf name = { 0 };
	size_t i;
	int rc = 0;

	b->names.len = b->objects.len = 0;
	for (i = 0; rc == 0 && i < b->n; i++) {
		struct task *t = &b->tasks[i];
		uint32_t unit = w->ev->plan.steps[t->step].entry;

		if (t->state == EVICT_KEPT)
			continue;
		if (w->recheck && used_since(w, unit, &name)) {
			t->state = EVICT_USED;
			continue;
		}
		t->state = EVICT_VANISHED;
		if (w->r->class) {
			move_unit(w, t, &name);
			continue;
		}
		if (w->demote && demote_unit(w->demote, unit, &t->why) < 0)
			t->state = t->why.kind == ERR_ABSENT ? EVICT_VANISHED : EVICT_FAILED;
		else
			rc = add_unit(w->ev, b, (uint32_t)i, e);
	}
	if (rc == 0 && b->objects.len)
		rc = delete_batch(w, b, e);
	buf_free(&name);
	return rc;
}

/* ---- what is next; the lock is held ---- */

/* Wait for something to do: 1, or 0 at the end. */
static int
take(struct run *w, struct batch *b, uint32_t *steps)
{
	size_t n, i;

	while (!w->over && !w->queue.n_ready && w->at_work)
		pthread_cond_wait(&w->changed, &w->lock);
	if (w->queue.n_ready && w->r->until_mono > 0 && clock_mono() >= w->r->until_mono)
		w->over = w->r->timed_out = 1;
	if (w->over || !w->queue.n_ready || stop_asked())
		return 0;
	n = (w->queue.n_ready + w->jobs - 1) / w->jobs;
	b->n = evict_queue_take(&w->queue, steps, n < w->most ? n : w->most);
	for (i = 0; i < b->n; i++) {
		uint32_t unit = w->ev->plan.steps[steps[i]].entry;

		b->tasks[i].step = steps[i];
		b->tasks[i].state = w->ev->flags[unit] & EVICT_HELD ? EVICT_KEPT : EVICT_GONE;
	}
	w->at_work++;
	return 1;
}

/* The store is away, or will not have it. */
static int
in_vain(const struct run *w, struct err *e)
{
	return err_set(e, w->why, "none of %zu chunks could be deleted", w->in_vain);
}

/* What is still there holds what it hangs on. */
static int
settle(struct run *w, const struct task *t, struct err *e)
{
	uint32_t unit = w->ev->plan.steps[t->step].entry, up = w->ev->v[unit].parent;
	struct failure *f;

	w->state[t->step] = (uint8_t)t->state;
	if (t->state == EVICT_GONE || t->state == EVICT_VANISHED)
		w->ev->flags[unit] |= EVICT_DONE;
	else if (up != PLAN_NONE)
		w->ev->flags[up] |= EVICT_HELD;
	evict_queue_done(&w->queue, t->step);
	if (t->state != EVICT_FAILED) {
		w->in_vain = t->state == EVICT_KEPT ? w->in_vain : 0;
		return 0;
	}
	f = malloc(sizeof(*f));
	if (!f)
		return err_set(e, ERR_FAILED, "delete: out of memory");
	*f = (struct failure){ w->failures, t->step, t->why };
	w->failures = f;
	w->why = t->why.kind;
	return ++w->in_vain < IN_VAIN ? 0 : in_vain(w, e);
}

static void
tell_step(struct run *w, uint32_t step, enum evict_state state)
{
	const struct plan_step *s = &w->ev->plan.steps[step];
	struct failure **at = &w->failures, *f = NULL;

	w->r->count[state]++;
	w->r->bytes[state] += w->ev->v[s->entry].bytes;
	if (state == EVICT_FAILED) {
		while ((*at)->step != step)
			at = &(*at)->next;
		f = *at;
		*at = f->next;
	}
	if (w->r->told)
		w->r->told(w->r->ctx, s, state, f ? &f->why : NULL);
	free(f);
}

static int
give_back(struct run *w, const struct batch *b, struct err *e)
{
	int rc = 0;
	size_t i;

	for (i = 0; i < b->n; i++)
		if (settle(w, &b->tasks[i], rc == 0 ? e : NULL) < 0)
			rc = -1;
	while (w->told < w->ev->plan.n && w->state[w->told] != OPEN) {
		tell_step(w, (uint32_t)w->told, (enum evict_state)w->state[w->told]);
		w->told++;
	}
	return rc;
}

static int
work(void *ctx, size_t job, struct err *e)
{
	struct run *w = ctx;
	struct batch b = { .tasks = malloc(w->most * sizeof(*b.tasks)) };
	uint32_t *steps = malloc(w->most * sizeof(*steps));
	int rc = b.tasks && steps ? 0 : err_set(e, ERR_FAILED, "delete: out of memory");

	(void)job;
	pthread_mutex_lock(&w->lock);
	while (rc == 0 && take(w, &b, steps)) {
		pthread_mutex_unlock(&w->lock);
		rc = run_batch(w, &b, e);
		pthread_mutex_lock(&w->lock);
		if (rc == 0)
			rc = give_back(w, &b, e);
		w->at_work--;
		pthread_cond_broadcast(&w->changed);
	}
	w->over |= rc < 0;
	pthread_mutex_unlock(&w->lock);
	buf_free(&b.names);
	buf_free(&b.objects);
	free(b.tasks);
	free(steps);
	return rc;
}

/* ---- the run ---- */

static int
is_files(const struct store *s)
{
	return !strcmp(store_scheme(s), "file") || !strcmp(store_scheme(s), "shm");
}

/* What was done out of order when the run ended early. */
static void
tell_rest(struct run *w)
{
	for (; w->told < w->ev->plan.n; w->told++)
		if (w->state[w->told] != OPEN)
			tell_step(w, (uint32_t)w->told, (enum evict_state)w->state[w->told]);
}

static int
run_all(struct run *w, struct err *e)
{
	int rc;

	memset(w->state, OPEN, w->ev->plan.n);
	rc = par_each(w->jobs, w->jobs, work, w, e);
	tell_rest(w);
	if (rc < 0)
		return -1;
	if (stop_asked())
		return err_set(e, ERR_STOPPED, "stopped by a signal");
	if (w->r->count[EVICT_FAILED] == w->ev->plan.n)
		return in_vain(w, e);
	return 0;
}

int
evict_run(struct evict *ev, struct evict_run *r, struct err *e)
{
	struct run w = { .ev = ev, .r = r, .recheck = is_files(ev->place->store),
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
	int rc;

	if (!ev->plan.n)
		return 0;
	w.jobs = r->jobs ? r->jobs : store_jobs(ev->place->store);
	w.most = BATCH_OBJECTS * (size_t)ev->units.n / ev->cat.n;
	if (w.recheck && w.most > BATCH_FILES)
		w.most = BATCH_FILES;
	w.most = w.most && !r->demote && !r->class ? w.most : 1;
	w.state = malloc(ev->plan.n);
	rc = w.state ? 0 : err_set(e, ERR_FAILED, "delete: out of memory");
	if (rc == 0)
		rc = evict_queue_open(&w.queue, ev, e);
	if (rc == 0 && r->demote)
		rc = demote_open(&w.demote, ev, r, &w.jobs, e);
	if (rc == 0)
		rc = run_all(&w, e);
	demote_close(w.demote);
	evict_queue_close(&w.queue);
	free(w.state);
	return rc;
}
