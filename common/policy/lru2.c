#include "policy/policies.h"
#include "policy/ranked.h"

/* LRU-K with K = 2: oldest last but one use first. The history of evicted blocks is
 * kept for good, as in the literature's replays: ghosts grow with the trace. Ranks stay
 * in the heap's array after a record has left the heap, and are that history. */
static int
lru2_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	struct ranked *r = (struct ranked *)p;
	int known = at != NODE_NONE, hit = known && !p->nodes[at].ghost;

	if (!hit) {
		if (node_too_big(p, i))
			return 0;
		while (p->used + node_bytes(p, i) > p->o.capacity)
			node_evict(p, heap_pop(&r->heap));
		if (known)
			node_revive(p, at, i);
		else if ((at = node_new(p, i, e)) == NODE_NONE)
			return -1;
	}
	double last = known ? r->heap.rank[at].b : 0;
	return heap_put(&r->heap, at, (struct rank){ last, (double)p->tick }, e) < 0 ? -1 : hit;
}

/* A snapshot knows the last use and their number: the last but one is estimated from
 * their mean distance; never, when there was only one. */
static double
lru2_score(const struct plan_entry *v, const struct plan_want *w)
{
	double used = plan_used_s(v);

	(void)w;
	return v->hits ? used - (used - v->created_s) / v->hits : 0;
}

const struct policy_ops policy_lru2 = {
	.name = "lru2", .about = "oldest last but one use first",
	.needs = POLICY_ACCESSED | POLICY_HITS, .tail_first = 1, .state = sizeof(struct ranked),
	.access = lru2_access, .close = ranked_close, .score = lru2_score,
};
