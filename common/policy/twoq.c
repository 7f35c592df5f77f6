#include "policy/policies.h"

/* Full 2Q (Johnson and Shasha): new blocks pass a queue of a quarter of the capacity;
 * what comes back while its ghost is remembered (half a capacity) enters the main queue. */
enum { FRESH, MAIN, OUT, QUEUES };

struct twoq {
	struct policy p;
	struct queue q[QUEUES];
	uint64_t fresh_max, out_max;
};

static uint64_t
at_least_1(uint64_t n)
{
	return n ? n : 1;
}

static int
twoq_open(struct policy *p, struct err *e)
{
	struct twoq *t = (struct twoq *)p;

	(void)e;
	for (int i = 0; i < QUEUES; i++)
		node_queue(&t->q[i]);
	t->fresh_max = at_least_1(p->o.capacity / 4);
	t->out_max = at_least_1(p->o.capacity / 2);
	return 0;
}

static void
make_room(struct twoq *t)
{
	struct policy *p = &t->p;

	if (t->q[FRESH].bytes <= t->fresh_max && t->q[MAIN].n) {
		node_drop(p, node_pop(p, &t->q[MAIN]));
		return;
	}
	uint32_t at = node_pop(p, &t->q[FRESH]);
	node_evict(p, at);
	p->nodes[at].queue = OUT;
	node_push(p, &t->q[OUT], at);
	while (t->q[OUT].bytes > t->out_max)
		node_forget(p, node_pop(p, &t->q[OUT]));
}

static int
twoq_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	struct twoq *t = (struct twoq *)p;
	int queue = FRESH;

	if (at != NODE_NONE && !p->nodes[at].ghost) {
		if (p->nodes[at].queue == MAIN)
			node_renew(p, &t->q[MAIN], at);
		return 1;
	}
	if (node_too_big(p, i))
		return 0;
	while (p->used + node_bytes(p, i) > p->o.capacity)
		make_room(t);
	/* Making room may have pushed the ghost out. */
	at = map_get(&p->map, p->req->keys[i]);
	if (at != NODE_NONE) {
		node_unlink(p, &t->q[OUT], at);
		node_revive(p, at, i);
		queue = MAIN;
	} else if ((at = node_new(p, i, e)) == NODE_NONE) {
		return -1;
	}
	p->nodes[at].queue = (uint8_t)queue;
	node_push(p, &t->q[queue], at);
	return 0;
}

/* Once used blocks first, then by last use. */
static double
twoq_score(const struct plan_entry *v, const struct plan_want *w)
{
	(void)w;
	return v->hits ? plan_used_s(v) : -1 / (1 + v->created_s);
}

const struct policy_ops policy_2q = {
	.name = "2q", .about = "used once first, then least recently used",
	.needs = POLICY_ACCESSED | POLICY_HITS, .tail_first = 1, .state = sizeof(struct twoq),
	.open = twoq_open, .access = twoq_access, .score = twoq_score,
};
