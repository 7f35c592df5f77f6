#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "trace/trace.h"

#define PART_REQUESTS 1024
#define PART_KEYS (1u << 13)		/* or one request; stays in the core's cache */
#define PATIENCE 0.003			/* s, before it sleeps */

/* More than so many requests are there, or there will be no more. */
static int
is_ready(struct trace *t, size_t before)
{
	return !atomic_load(&t->growing) || atomic_load(&t->ready) > before ||
		atomic_load(&t->abandoned);
}

/* What a loop that only looks should do, for a neighbour on the same core. */
static inline void
pause_core(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/*
 * Looks for a while before it sleeps, for the kernel likes to wake a sleeper on the core of who
 * woke it, behind that. Not with sched_yield(): each is charged as a whole turn, and whoever
 * comes by goes first then. Where that was in vain once, the trace comes slowly.
 */
static void
look(struct trace_part *p, struct trace *t)
{
	double until = clock_mono() + PATIENCE;

	while (!p->in_vain) {
		for (int i = 0; i < 100; i++, pause_core())
			if (is_ready(t, p->before))
				return;
		p->in_vain = clock_mono() > until;
	}
}

static int
room_for(struct trace_part *p, size_t keys)
{
	if (!p->requests) {
		p->requests = malloc((PART_REQUESTS + 1) * sizeof(*p->requests));
		if (!p->requests)
			return -1;
	}
	if (keys <= p->room_keys)
		return 0;
	free(p->keys);
	p->room_keys = keys < PART_KEYS ? PART_KEYS : keys;
	p->keys = malloc(p->room_keys * sizeof(*p->keys));
	if (p->keys)
		return 0;
	p->room_keys = 0;
	return -1;
}

/* The lock is held, or the trace does not grow any more. */
static int
copy(struct trace_part *p, const struct trace *t, size_t end)
{
	const struct trace_request *from = t->requests + p->before;
	const uint32_t *ids = t->ids + from->first;
	size_t most = end - p->before < PART_REQUESTS ? end - p->before : PART_REQUESTS;
	uint32_t n;

	while (p->n < most && (!p->n || from[p->n + 1].first - from->first <= PART_KEYS))
		p->n++;
	n = p->n ? from[p->n].first - from->first : 0;
	if (room_for(p, n) < 0)
		return -1;
	memcpy(p->requests, from, p->n * sizeof(*from));
	p->requests[p->n].first = from[p->n].first;
	for (size_t i = 0; i <= p->n; i++)
		p->requests[i].first -= from->first;
	for (uint32_t k = 0; k < n; k++)
		p->keys[k] = ids[k];
	p->block_tokens = t->block_tokens;
	return 0;
}

int
trace_next(struct trace_part *p, struct trace *t, struct err *e)
{
	int r;

	p->before += p->n;
	p->n = 0;
	look(p, t);
	if (!atomic_load(&t->growing)) {
		r = copy(p, t, t->n);
	} else {
		pthread_mutex_lock(&t->lock);
		atomic_fetch_add(&t->asleep, 1);
		while (!is_ready(t, p->before))
			pthread_cond_wait(&t->more, &t->lock);
		atomic_fetch_sub(&t->asleep, 1);
		r = copy(p, t, atomic_load(&t->growing) ? atomic_load(&t->ready) : t->n);
		pthread_mutex_unlock(&t->lock);
	}
	if (r < 0)
		return err_sys(e, "trace");
	return p->n > 0 && !atomic_load(&t->abandoned);
}

void
trace_part_free(struct trace_part *p)
{
	free(p->requests);
	free(p->keys);
	*p = (struct trace_part){ 0 };
}

/* Without the lock: who has to wait for it sleeps, and may wake on the other's core, behind it. */
static void
wake(struct trace *t)
{
	if (!atomic_load(&t->asleep))
		return;
	pthread_mutex_lock(&t->lock);
	pthread_cond_broadcast(&t->more);
	pthread_mutex_unlock(&t->lock);
}

static void
tell(struct trace *t, int growing)
{
	atomic_store(&t->ready, t->n);
	atomic_store(&t->growing, growing);
	wake(t);
}

void
trace_abandon(struct trace *t)
{
	atomic_store(&t->abandoned, 1);
	wake(t);
}

void
trace_grows(struct trace *t)
{
	tell(t, 1);
}

void
trace_ready(struct trace *t)
{
	if (atomic_load(&t->growing))
		tell(t, 1);
}

void
trace_ends(struct trace *t)
{
	tell(t, 0);
}

uint64_t
trace_prefix(const struct trace_part *p, size_t request, uint64_t n)
{
	uint64_t tokens = n * p->block_tokens;

	return tokens < p->requests[request].tokens ? tokens : p->requests[request].tokens;
}
