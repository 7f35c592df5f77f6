#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/par.h"
#include "base/stop.h"
#include "flow/flow.h"

#define WORKERS_MAX 64

struct run {
	struct source *from;
	struct sink *to;
	struct flow_opts *o;
	struct pool *pool;
	double start;
	pthread_mutex_t in;		/* guards next() */
	uint64_t tickets;
	int end;			/* no more: end, time or failure */
	pthread_mutex_t out;		/* guards turn; ordered sinks put under it */
	pthread_cond_t change;
	uint64_t turn;
	int failed;
	int cut;			/* a chunk was given up: an ordered sink takes no more */
	struct err first;
};

static void
fail(struct run *r, const struct err *e)
{
	pthread_mutex_lock(&r->out);
	if (!r->failed)
		r->first = *e;
	r->failed = 1;
	pthread_cond_broadcast(&r->change);
	pthread_mutex_unlock(&r->out);
	pool_abort(r->pool, e);
}

static int
has_failed(struct run *r)
{
	int v;

	pthread_mutex_lock(&r->out);
	v = r->failed;
	pthread_mutex_unlock(&r->out);
	return v;
}

/* Slow down to the limit of bytes a second; the lock of next() is held, so that all wait. */
static int
pace(struct run *r, struct err *e)
{
	double due = (double)atomic_load(&r->o->stats->bytes_in) / (double)r->o->bwlimit;
	double ahead = due - (clock_mono() - r->start);

	return ahead > 0.001 ? clock_sleep(ahead, e) : 0;
}

static int
take_next(struct run *r, struct flow_item *it, struct err *e)
{
	int rc = 0;

	memset(it, 0, sizeof(*it));
	pthread_mutex_lock(&r->in);
	if (r->end || has_failed(r))
		goto unlock;
	if (stop_asked()) {
		rc = err_set(e, ERR_STOPPED, "stopped by a signal");
		goto unlock;
	}
	if (r->o->max_duration > 0 && clock_mono() - r->start > r->o->max_duration) {
		r->o->timed_out = 1;
		r->end = 1;
		goto unlock;
	}
	if (r->o->bwlimit && pace(r, e) < 0) {
		rc = -1;
		goto unlock;
	}
	it->ticket = r->tickets;
	rc = r->from->ops->next(r->from, r->pool, it, e);
	if (rc == 1)
		r->tickets++;
	else
		r->end = 1;
unlock:
	pthread_mutex_unlock(&r->in);
	return rc;
}

static int
load(struct run *r, struct flow_item *it, struct err *e)
{
	struct flow_stats *s = r->o->stats;
	struct flow_step *step;

	if (r->from->ops->load) {
		if (r->from->ops->load(r->from, r->pool, it, e) < 0)
			return -1;
	} else if (chunk_verify(&it->chunk, e) < 0) {
		return -1;
	}
	atomic_fetch_add(&s->in, 1);
	if (it->had) {
		atomic_fetch_add(&s->skipped, 1);
		return 0;
	}
	atomic_fetch_add(&s->bytes_in, chunk_size(&it->chunk));
	for (step = r->o->steps; step && !it->drop; step = step->next)
		if (step->run(step->ctx, r->pool, it, e) < 0)
			return -1;
	return 0;
}

static int
put(struct run *r, struct flow_item *it, struct err *e)
{
	struct flow_stats *s = r->o->stats;
	const struct chunk_head *h = &it->chunk.head;
	uint64_t n = chunk_size(&it->chunk), tokens = h->key.rank == 0 ? h->tokens : 0;
	int rc = r->to->ops->put(r->to, r->pool, it, e);

	if (rc == 0) {
		atomic_fetch_add(&s->put, 1);
		atomic_fetch_add(&s->bytes_put, n);
	} else if (rc == 1) {
		atomic_fetch_add(&s->skipped, 1);
		atomic_fetch_add(&s->bytes_skipped, n);
	}
	if (rc >= 0)
		atomic_fetch_add(&s->tokens, tokens);
	return rc;
}

/* Did it end because time is over? What nobody waits for is left out, and is no failure. */
static int
too_late(struct run *r, const struct err *e)
{
	if (e->kind != ERR_STOPPED || stop_asked() != STOP_TIME)
		return 0;
	pthread_mutex_lock(&r->in);
	r->o->timed_out = 1;
	r->end = 1;
	pthread_mutex_unlock(&r->in);
	return 1;
}

/* In ticket order: wait for it, then pass the turn on. ok: there is something to put. late: it was
 * given up, and so is all behind it. */
static int
put_ordered(struct run *r, struct flow_item *it, int ok, int late, struct err *e)
{
	int rc = 0;

	pthread_mutex_lock(&r->out);
	while (r->turn != it->ticket && !r->failed)
		pthread_cond_wait(&r->change, &r->out);
	r->cut |= late;
	if (r->failed || r->cut)
		ok = 0;
	pthread_mutex_unlock(&r->out);
	if (ok)
		rc = put(r, it, e);
	late = rc < 0 && too_late(r, e);
	if (rc < 0 && !late)	/* before it is another's turn */
		fail(r, e);
	pthread_mutex_lock(&r->out);
	r->cut |= late;
	r->turn++;
	pthread_cond_broadcast(&r->change);
	pthread_mutex_unlock(&r->out);
	return rc;
}

/* A chunk that failed: does the run go on? */
static int
excused(struct run *r, const struct flow_item *it, const struct err *e)
{
	if (e->kind == ERR_ABSENT) {
		atomic_fetch_add(&r->o->stats->vanished, 1);
		return 1;
	}
	if (!r->o->keep_going || (e->kind != ERR_CORRUPT && e->kind != ERR_USAGE &&
	    !err_is_local(e)))
		return 0;
	atomic_fetch_add(&r->o->stats->failed, 1);
	if (r->o->failed) {
		pthread_mutex_lock(&r->out);
		r->o->failed(r->o->ctx, it, e);
		pthread_mutex_unlock(&r->out);
	}
	return 1;
}

static int
one(struct run *r, struct flow_item *it)
{
	struct err e = { 0 };
	int ok = load(r, it, &e) == 0, rc = 0, late = !ok && too_late(r, &e);

	if (!ok && !late && !excused(r, it, &e)) {
		fail(r, &e);
		rc = -1;
	}
	if (ok && it->drop) {
		atomic_fetch_add(&r->o->stats->dropped, 1);
		ok = 0;
	}
	ok &= !it->had;
	if (r->to->ops->ordered)
		rc = put_ordered(r, it, ok, late, &e) < 0 ? -2 : rc;
	else if (ok)
		rc = put(r, it, &e) < 0 ? -2 : 0;
	if (rc == -2 && !too_late(r, &e))
		fail(r, &e);
	chunk_free(&it->chunk, r->pool);
	return rc;
}

static void *
worker(void *arg)
{
	struct run *r = arg;
	struct flow_item it;
	struct err e;
	int rc;

	while ((rc = take_next(r, &it, &e)) == 1)
		if (one(r, &it) < 0)
			return NULL;
	if (rc < 0 && !too_late(r, &e))
		fail(r, &e);
	return NULL;
}

static void
work(struct run *r, unsigned jobs)
{
	pthread_t threads[WORKERS_MAX];
	unsigned n = 0, i;

	while (n + 1 < jobs && pthread_create(&threads[n], NULL, worker, r) == 0)
		n++;
	worker(r);
	for (i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

int
flow_copy(struct source *from, struct sink *to, struct flow_opts *o, struct err *e)
{
	struct flow_stats local = { 0 };
	struct run r = { .from = from, .to = to, .o = o, .start = clock_mono() };
	unsigned jobs = o->jobs ? o->jobs : par_cores() < 4 ? par_cores() : 4;
	struct err closing;
	int rc;

	if (!o->stats)
		o->stats = &local;
	o->timed_out = 0;
	if (pool_open(&r.pool, o->mem ? (size_t)o->mem : 1u << 30, e) < 0) {
		from->ops->close(from);
		to->ops->close(to, e, NULL);
		return -1;
	}
	pthread_mutex_init(&r.in, NULL);
	pthread_mutex_init(&r.out, NULL);
	pthread_cond_init(&r.change, NULL);
	work(&r, jobs < WORKERS_MAX ? jobs + 1 : WORKERS_MAX);
	from->ops->close(from);
	rc = to->ops->close(to, r.failed ? &r.first : NULL, &closing);
	if (rc < 0 && !r.failed)
		r.first = closing;
	if (r.failed || rc < 0)
		*e = r.first;
	pthread_cond_destroy(&r.change);
	pthread_mutex_destroy(&r.out);
	pthread_mutex_destroy(&r.in);
	pool_close(r.pool);
	if (o->stats == &local)
		o->stats = NULL;
	return r.failed || rc < 0 ? -1 : 0;
}
