#ifdef WITH_RDMA
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/num.h"
#include "transport/verbs.h"

int
verbs_refused(struct err *e, const char *what)
{
	char text[NUM_TEXT];
	struct rlimit r;
	int sys = errno;

	if ((sys == ENOMEM || sys == EAGAIN || sys == EPERM) &&
		getrlimit(RLIMIT_MEMLOCK, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
		return err_set(e, ERR_REFUSED, "%s: only %s may be locked in memory (ulimit -l)",
			what, num_size_text(text, r.rlim_cur));
	errno = sys;
	return err_sys(e, "%s", what);
}

struct ibv_mr *
verbs_register(struct ibv_pd *pd, const void *p, size_t len, int access, struct err *e)
{
	char what[128], text[NUM_TEXT];
	struct ibv_mr *mr = ibv_reg_mr(pd, (void *)(uintptr_t)p, len, access);

	if (!mr) {
		snprintf(what, sizeof(what), "register %s with %s", num_size_text(text, len),
			ibv_get_device_name(pd->context->device));
		verbs_refused(e, what);
	}
	return mr;
}

static void
region_drop(struct verbs_region *r)
{
	int i;

	for (i = 0; i < NIC_MAX; i++)
		if (r->mr[i])
			ibv_dereg_mr(r->mr[i]);
}

/* The pool is about to free a block. */
static void
gone(struct pool_watch *w, void *mem, size_t cap)
{
	struct verbs_memory *m = (struct verbs_memory *)w;
	size_t i;

	(void)cap;
	pthread_mutex_lock(&m->lock);
	for (i = 0; i < m->n && m->list[i].base != mem; i++)
		;
	if (i < m->n) {
		region_drop(&m->list[i]);
		m->list[i] = m->list[--m->n];
	}
	pthread_mutex_unlock(&m->lock);
}

int
verbs_memory_open(struct verbs *v, struct err *e)
{
	if (pthread_mutex_init(&v->memory.lock, NULL))
		return err_set(e, ERR_FAILED, "mutex");
	v->memory.watch.gone = gone;
	if (v->base.opts.pool)
		pool_watch(v->base.opts.pool, &v->memory.watch);
	return 0;
}

void
verbs_memory_close(struct verbs *v)
{
	if (!v->memory.watch.gone)
		return;
	if (v->base.opts.pool)
		pool_unwatch(v->base.opts.pool, &v->memory.watch);
	while (v->memory.n > 0)
		region_drop(&v->memory.list[--v->memory.n]);
	free(v->memory.list);
	pthread_mutex_destroy(&v->memory.lock);
}

/* Register b with every port and remember it; the lock is held. */
static int
region_add(struct verbs *v, const struct block *b, struct verbs_region *out, struct err *e)
{
	/* A sink's device may write, in any order within a message. A source's pages are asked
	 * for as writable too, so that later changes by the CPU are seen by the device. */
	int access = v->base.opts.source ? IBV_ACCESS_LOCAL_WRITE :
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_RELAXED_ORDERING;
	struct verbs_memory *m = &v->memory;
	struct verbs_region *more;
	int i;

	if (m->n == m->cap) {
		more = reallocarray(m->list, m->cap + 64, sizeof(*more));
		if (!more)
			return err_sys(e, "memory");
		m->list = more;
		m->cap += 64;
	}
	memset(out, 0, sizeof(*out));
	out->base = b->p;
	for (i = 0; i < v->ports; i++) {
		if (!v->port[i].pd)
			continue;
		out->mr[i] = verbs_register(v->port[i].pd, b->p, b->cap, access, e);
		if (!out->mr[i]) {
			region_drop(out);
			return -1;
		}
	}
	m->list[m->n++] = *out;
	return 0;
}

int
verbs_region(struct verbs *v, const struct block *b, struct verbs_region *out, struct err *e)
{
	struct verbs_memory *m = &v->memory;
	size_t i;
	int rc = 0;

	pthread_mutex_lock(&m->lock);
	for (i = 0; i < m->n && m->list[i].base != b->p; i++)
		;
	if (i < m->n)
		*out = m->list[i];
	else
		rc = region_add(v, b, out, e);
	pthread_mutex_unlock(&m->lock);
	return rc;
}
#endif
