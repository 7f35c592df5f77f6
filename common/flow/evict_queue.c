#include <stdlib.h>
#include <string.h>

#include "flow/evict_queue.h"

static void
push(struct evict_queue *q, uint32_t step)
{
	size_t i = q->n_ready++;

	for (; i > 0 && step < q->ready[(i - 1) / 2]; i = (i - 1) / 2)
		q->ready[i] = q->ready[(i - 1) / 2];
	q->ready[i] = step;
}

static uint32_t
pop(struct evict_queue *q)
{
	uint32_t least = q->ready[0], last = q->ready[--q->n_ready];
	size_t i = 0, kid;

	for (; (kid = 2 * i + 1) < q->n_ready; i = kid) {
		if (kid + 1 < q->n_ready && q->ready[kid + 1] < q->ready[kid])
			kid++;
		if (last <= q->ready[kid])
			break;
		q->ready[i] = q->ready[kid];
	}
	q->ready[i] = last;
	return least;
}

/* The step of what this one hangs on; PLAN_NONE: it stays, or there is none. */
static uint32_t
parent_step(const struct evict_queue *q, uint32_t step)
{
	uint32_t up = q->ev->v[q->ev->plan.steps[step].entry].parent;

	return up == PLAN_NONE ? PLAN_NONE : q->step_of[up];
}

int
evict_queue_open(struct evict_queue *q, const struct evict *ev, struct err *e)
{
	const struct plan *p = &ev->plan;
	uint32_t i, up;

	memset(q, 0, sizeof(*q));
	q->ev = ev;
	q->ready = malloc((p->n + 1) * sizeof(*q->ready));
	q->waits = calloc(p->n + 1, sizeof(*q->waits));
	q->step_of = malloc(((size_t)ev->units.n + 1) * sizeof(*q->step_of));
	if (!q->ready || !q->waits || !q->step_of)
		return err_set(e, ERR_FAILED, "delete: out of memory");
	memset(q->step_of, 0xff, ((size_t)ev->units.n + 1) * sizeof(*q->step_of));
	for (i = 0; i < p->n; i++)
		q->step_of[p->steps[i].entry] = i;
	for (i = 0; i < p->n; i++)
		if ((up = parent_step(q, i)) != PLAN_NONE)
			q->waits[up]++;
	for (i = 0; i < p->n; i++)
		if (!q->waits[i])
			push(q, i);
	return 0;
}

void
evict_queue_close(struct evict_queue *q)
{
	free(q->ready);
	free(q->waits);
	free(q->step_of);
	memset(q, 0, sizeof(*q));
}

size_t
evict_queue_take(struct evict_queue *q, uint32_t *steps, size_t max)
{
	size_t n = 0;

	while (n < max && q->n_ready)
		steps[n++] = pop(q);
	return n;
}

void
evict_queue_done(struct evict_queue *q, uint32_t step)
{
	uint32_t up = parent_step(q, step);

	if (up != PLAN_NONE && --q->waits[up] == 0)
		push(q, up);
}
