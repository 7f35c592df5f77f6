#include <stdlib.h>

#include "policy/belady.h"
#include "policy/node.h"

/* next[i]: when keys[i] is referenced again, or n. */
static uint32_t *
next_uses(const uint64_t *keys, size_t n, uint64_t distinct)
{
	uint32_t *next = malloc((n + 1) * sizeof(*next));
	uint32_t *soonest = malloc((distinct + 1) * sizeof(*soonest));

	if (!next || !soonest) {
		free(next);
		free(soonest);
		return NULL;
	}
	for (uint64_t k = 0; k < distinct; k++)
		soonest[k] = (uint32_t)n;
	for (size_t i = n; i-- > 0;) {
		next[i] = soonest[keys[i]];
		soonest[keys[i]] = (uint32_t)i;
	}
	free(soonest);
	return next;
}

/* The heap holds what is resident, furthest next use first. */
static int
replay(uint64_t *hits, struct heap *h, const uint64_t *keys, const uint32_t *next, size_t n,
	uint64_t capacity, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t k = (uint32_t)keys[i];

		if (k < h->room && h->where[k] != NODE_NONE) {
			(*hits)++;
		} else if (next[i] == n) {
			continue;
		} else if (h->n >= capacity) {
			if (-h->rank[h->slots[0]].a <= next[i])
				continue;
			heap_pop(h);
		}
		if (heap_put(h, k, (struct rank){ -(double)next[i], 0 }, e) < 0)
			return -1;
	}
	return 0;
}

int
belady(uint64_t *hits, const uint64_t *keys, size_t n, uint64_t distinct, uint64_t capacity,
	struct err *e)
{
	struct heap h = { 0 };
	uint32_t *next;
	int r;

	*hits = 0;
	if (n >= UINT32_MAX || distinct >= UINT32_MAX)
		return err_set(e, ERR_FAILED, "belady: more than 4 billion references");
	next = next_uses(keys, n, distinct);
	if (!next)
		return err_sys(e, "belady");
	r = replay(hits, &h, keys, next, n, capacity, e);
	heap_free(&h);
	free(next);
	return r;
}
