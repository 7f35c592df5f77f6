#include "policy/policies.h"

/* SIEVE (Zhang and others): one queue, a visited bit, a hand that moves from old to
 * new and evicts the first block not visited since it last came by. */
struct sieve {
	struct policy p;
	struct queue q;
	uint32_t hand;
};

static int
sieve_open(struct policy *p, struct err *e)
{
	struct sieve *s = (struct sieve *)p;

	(void)e;
	node_queue(&s->q);
	s->hand = NODE_NONE;
	return 0;
}

static void
evict(struct sieve *s)
{
	struct node *nodes = s->p.nodes;
	uint32_t at = s->hand != NODE_NONE ? s->hand : s->q.tail;

	while (nodes[at].count) {
		nodes[at].count = 0;
		at = nodes[at].prev != NODE_NONE ? nodes[at].prev : s->q.tail;
	}
	s->hand = nodes[at].prev;
	node_unlink(&s->p, &s->q, at);
	node_drop(&s->p, at);
}

static int
sieve_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	struct sieve *s = (struct sieve *)p;

	if (at != NODE_NONE) {
		p->nodes[at].count = 1;
		return 1;
	}
	if (node_too_big(p, i))
		return 0;
	while (p->used + node_bytes(p, i) > p->o.capacity)
		evict(s);
	at = node_new(p, i, e);
	if (at == NODE_NONE)
		return -1;
	node_push(p, &s->q, at);
	return 0;
}

/* Not visited since creation first; a visit is worth a creation at that time. */
static double
sieve_score(const struct plan_entry *v, const struct plan_want *w)
{
	(void)w;
	return v->hits ? plan_used_s(v) : -1 / (1 + v->created_s);
}

const struct policy_ops policy_sieve = {
	.name = "sieve", .about = "oldest not visited first", .tail_first = 1,
	.needs = POLICY_ACCESSED | POLICY_HITS, .state = sizeof(struct sieve),
	.open = sieve_open, .access = sieve_access, .score = sieve_score,
};
