#ifndef FLOW_EVICT_QUEUE_H
#define FLOW_EVICT_QUEUE_H

#include "flow/evict.h"

/*
 * Which steps of a plan may be done now: those that no undone step hangs on, first of the plan
 * first. Steps taken together never hang on each other, so that they may go in one request
 * to a server that promises no order. Not for several threads at once.
 */
struct evict_queue {
	const struct evict *ev;
	uint32_t *ready;	/* heap: the least step on top */
	size_t n_ready;
	uint32_t *step_of;	/* by unit; PLAN_NONE: not in the plan */
	uint32_t *waits;	/* by step: for so many children */
};

/* ev has its plan. Free in any case. */
int evict_queue_open(struct evict_queue *q, const struct evict *ev, struct err *e);
void evict_queue_close(struct evict_queue *q);

/* Up to max ready steps (indexes of ev->plan.steps), ascending; how many. */
size_t evict_queue_take(struct evict_queue *q, uint32_t *steps, size_t max);

/* This one is through, in whatever state: what waited for it may be ready now. */
void evict_queue_done(struct evict_queue *q, uint32_t step);

#endif
