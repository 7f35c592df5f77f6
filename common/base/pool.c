#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/pool.h"
#include "base/stop.h"

#define ALIGN 4096
#define HUGE_PAGE ((size_t)2 << 20)
#define IDLE_MAX 512

struct waiter {
	uint64_t ticket;
	struct waiter *next;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t change;
	size_t max;
	size_t used;			/* bytes out */
	size_t idle_bytes;
	struct block idle[IDLE_MAX];	/* free blocks, kept warm */
	int n_idle;
	struct waiter *waiting;
	struct pool_watch *watch;
	struct err *why;		/* aborted: &reason */
	struct err reason;
};

int
pool_open(struct pool **out, size_t max, struct err *e)
{
	struct pool *p = calloc(1, sizeof(*p));

	*out = NULL;
	if (!p)
		return err_sys(e, "pool");
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->change, NULL);
	p->max = max;
	*out = p;
	return 0;
}

/* Free a block's memory; the lock is held, or nobody else is left. */
static void
block_drop(struct pool *p, struct block *b)
{
	struct pool_watch *w;

	for (w = p->watch; w; w = w->next)
		w->gone(w, b->p, b->cap);
	free(b->p);
	memset(b, 0, sizeof(*b));
}

void
pool_close(struct pool *p)
{
	if (!p)
		return;
	while (p->n_idle > 0)
		block_drop(p, &p->idle[--p->n_idle]);
	pthread_cond_destroy(&p->change);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static int
allocate(struct block *out, size_t cap, struct err *e)
{
	int huge = cap >= 2 * HUGE_PAGE;
	void *p;

	errno = posix_memalign(&p, huge ? HUGE_PAGE : ALIGN, cap);
	if (errno)
		return err_sys(e, "allocate %zu bytes", cap);
	if (huge)	/* first touched five times as fast; no matter if it fails */
		(void)madvise(p, cap, MADV_HUGEPAGE);
	out->p = p;
	return 0;
}

/* A block of cap bytes, the idle one that was used last if it fits; the lock is held. */
static int
take(struct pool *p, size_t cap, struct block *out, struct err *e)
{
	int i, best = -1;

	if (cap > SIZE_MAX - ALIGN)
		return err_set(e, ERR_FAILED, "allocate %zu bytes: out of memory", cap);
	cap = (cap + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (cap == 0)
		cap = ALIGN;
	for (i = p->n_idle - 1; i >= 0 && (best < 0 || p->idle[best].cap > cap); i--)
		if (p->idle[i].cap >= cap && p->idle[i].cap / 4 <= cap &&
		    (best < 0 || p->idle[i].cap < p->idle[best].cap))
			best = i;
	if (best >= 0) {
		*out = p->idle[best];
		p->idle[best] = p->idle[--p->n_idle];
		p->idle_bytes -= out->cap;
	} else {
		while (p->n_idle > 0 && p->used + p->idle_bytes + cap > p->max) {
			p->idle_bytes -= p->idle[--p->n_idle].cap;
			block_drop(p, &p->idle[p->n_idle]);
		}
		if (allocate(out, cap, e) < 0)
			return -1;
		out->cap = cap;
	}
	out->len = 0;
	p->used += out->cap;
	return 0;
}

static int
my_turn(const struct pool *p, uint64_t ticket, size_t cap)
{
	const struct waiter *w;

	for (w = p->waiting; w; w = w->next)
		if (w->ticket < ticket)
			return 0;
	return p->used == 0 || p->used + cap <= p->max;
}

int
pool_get(struct pool *p, uint64_t ticket, size_t cap, struct block *out, struct err *e)
{
	struct waiter me = { ticket, NULL }, **w;
	int rc = -1;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&p->lock);
	me.next = p->waiting;
	p->waiting = &me;
	while (!p->why && !stop_asked() && !my_turn(p, ticket, cap)) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_sec++;	/* a signal does not wake us: look now and then */
		pthread_cond_timedwait(&p->change, &p->lock, &t);
	}
	for (w = &p->waiting; *w != &me; w = &(*w)->next)
		;
	*w = me.next;
	if (p->why) {
		if (e)
			*e = *p->why;
	} else if (stop_asked()) {
		err_set(e, ERR_STOPPED, "stopped by a signal");
	} else {
		rc = take(p, cap, out, e);
	}
	pthread_cond_broadcast(&p->change);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

int
pool_try(struct pool *p, uint64_t ticket, size_t cap, struct block *out, struct err *e)
{
	int rc = 0;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&p->lock);
	if (!p->why && my_turn(p, ticket, cap))
		rc = take(p, cap, out, e) < 0 ? -1 : 1;
	pthread_mutex_unlock(&p->lock);
	return rc;
}

int
pool_extra(struct pool *p, size_t cap, struct block *out, struct err *e)
{
	int rc;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&p->lock);
	rc = take(p, cap, out, e);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

int
pool_grow(struct pool *p, struct block *b, size_t cap, struct err *e)
{
	struct block bigger;

	if (cap <= b->cap)
		return 0;
	if (pool_extra(p, cap, &bigger, e) < 0)
		return -1;
	if (b->len)
		memcpy(bigger.p, b->p, b->len);
	bigger.len = b->len;
	pool_put(p, b);
	*b = bigger;
	return 0;
}

void
pool_put(struct pool *p, struct block *b)
{
	if (!b->p)
		return;
	pthread_mutex_lock(&p->lock);
	p->used -= b->cap;
	if (p->n_idle < IDLE_MAX && p->used + p->idle_bytes + b->cap <= p->max) {
		p->idle[p->n_idle++] = *b;
		p->idle_bytes += b->cap;
		memset(b, 0, sizeof(*b));
	} else {
		block_drop(p, b);
	}
	pthread_cond_broadcast(&p->change);
	pthread_mutex_unlock(&p->lock);
}

void
pool_watch(struct pool *p, struct pool_watch *w)
{
	pthread_mutex_lock(&p->lock);
	w->next = p->watch;
	p->watch = w;
	pthread_mutex_unlock(&p->lock);
}

void
pool_unwatch(struct pool *p, struct pool_watch *w)
{
	struct pool_watch **at;

	pthread_mutex_lock(&p->lock);
	for (at = &p->watch; *at && *at != w; at = &(*at)->next)
		;
	if (*at)
		*at = w->next;
	pthread_mutex_unlock(&p->lock);
}

void
pool_abort(struct pool *p, const struct err *why)
{
	pthread_mutex_lock(&p->lock);
	if (!p->why) {
		p->reason = *why;
		p->why = &p->reason;
	}
	pthread_cond_broadcast(&p->change);
	pthread_mutex_unlock(&p->lock);
}
