#ifndef POLICY_RANKED_H
#define POLICY_RANKED_H

#include "policy/node.h"

/* A policy that gives each block a rank at each use, and evicts the least: lfu, gdsf,
 * cost, length-aware, priority, size, ttl, and lru2's base. */
struct ranked {
	struct policy p;
	struct heap heap;
	double level;		/* rank of the last one evicted */
};

/* The rank of record at, just referenced as block i (count is up to date). */
typedef struct rank ranked_fn(const struct ranked *r, uint32_t at, uint32_t i);

int ranked_access(struct policy *p, uint32_t i, uint32_t at, ranked_fn *rank, struct err *e);
void ranked_close(struct policy *p);

#endif
