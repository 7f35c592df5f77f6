#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/par.h"

struct par {
	atomic_size_t next;
	atomic_int failed;
	size_t n;
	int (*fn)(void *ctx, size_t i, struct err *e);
	void *ctx;
	pthread_mutex_t lock;
	struct err first;
	cpu_set_t cores;	/* that we may use; none if not known */
};

static void *
worker(void *arg)
{
	struct par *p = arg;
	size_t i;

	while (!atomic_load(&p->failed) && (i = atomic_fetch_add(&p->next, 1)) < p->n) {
		struct err e = { 0 };

		if (p->fn(p->ctx, i, &e) == 0)
			continue;
		pthread_mutex_lock(&p->lock);
		if (!atomic_load(&p->failed))
			p->first = e;
		atomic_store(&p->failed, 1);
		pthread_mutex_unlock(&p->lock);
	}
	return NULL;
}

static void *
elsewhere(void *arg)
{
	struct par *p = arg;

	(void)sched_setaffinity(0, sizeof(p->cores), &p->cores);
	return worker(arg);
}

/* A thread begins on another core than this one, where that can be chosen, and is free after
 * that. Left to itself the kernel may keep it here until it next balances, which is longer than a
 * short job takes. */
static int
start(pthread_t *t, struct par *p)
{
	cpu_set_t others = p->cores;
	int here = sched_getcpu(), rc = -1;
	pthread_attr_t a;

	if (here >= 0)
		CPU_CLR(here, &others);
	if (CPU_COUNT(&others)) {
		pthread_attr_init(&a);
		(void)pthread_attr_setaffinity_np(&a, sizeof(others), &others);
		rc = pthread_create(t, &a, elsewhere, p);
		pthread_attr_destroy(&a);
	}
	return rc == 0 ? 0 : pthread_create(t, NULL, worker, p);
}

int
par_each(size_t n, unsigned j, int (*fn)(void *ctx, size_t i, struct err *e), void *ctx,
	struct err *e)
{
	struct par p = { .n = n, .fn = fn, .ctx = ctx };
	pthread_t *threads;
	unsigned started = 0, i;

	if (j == 0)
		j = par_cores();
	if (j > n)
		j = (unsigned)n;
	pthread_mutex_init(&p.lock, NULL);
	threads = j > 1 ? calloc(j - 1, sizeof(*threads)) : NULL;
	if (sched_getaffinity(0, sizeof(p.cores), &p.cores) < 0)
		CPU_ZERO(&p.cores);
	/* Fewer threads than wished for are no error: the caller's always works. */
	while (threads && started + 1 < j && start(&threads[started], &p) == 0)
		started++;
	worker(&p);
	for (i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	pthread_mutex_destroy(&p.lock);
	if (!atomic_load(&p.failed))
		return 0;
	if (e)
		*e = p.first;
	return -1;
}

unsigned
par_cores(void)
{
	unsigned n;
	long quota, period;
	cpu_set_t set;
	FILE *f;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = (unsigned)CPU_COUNT(&set);
	else		/* more than such a set has */
		n = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	f = fopen("/sys/fs/cgroup/cpu.max", "re");
	if (f) {
		if (fscanf(f, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0 &&
		    (quota + period - 1) / period < (long)n)
			n = (unsigned)((quota + period - 1) / period);
		fclose(f);
	}
	return n ? n : 1;
}
