#include "policy/ranked.h"

int
ranked_access(struct policy *p, uint32_t i, uint32_t at, ranked_fn *rank, struct err *e)
{
	struct ranked *r = (struct ranked *)p;
	int hit = at != NODE_NONE;

	if (!hit) {
		if (node_too_big(p, i))
			return 0;
		while (p->used + node_bytes(p, i) > p->o.capacity) {
			uint32_t out = heap_pop(&r->heap);

			r->level = r->heap.rank[out].a;
			node_drop(p, out);
		}
		at = node_new(p, i, e);
		if (at == NODE_NONE)
			return -1;
	}
	p->nodes[at].count++;
	return heap_put(&r->heap, at, rank(r, at, i), e) < 0 ? -1 : hit;
}

void
ranked_close(struct policy *p)
{
	heap_free(&((struct ranked *)p)->heap);
}
