#include "policy/policies.h"

/* W-TinyLFU (Einziger, Friedman, Manes): a window of a hundredth, a segmented main
 * queue (80 % protected), and entry to the main queue only for what was referenced more
 * often than what would leave. Counters are exact and halved every ten capacities
 * of references; ghosts are the counters of what is not resident. */
enum { WINDOW, PROBATION, PROTECTED, GHOST, QUEUES };

#define SAMPLE 10	/* capacities between halvings */

struct tinylfu {
	struct policy p;
	struct queue q[QUEUES];
	uint64_t window_max, protected_max;
	uint64_t seen;		/* bytes referenced since the counters were halved */
};

static int
tinylfu_open(struct policy *p, struct err *e)
{
	struct tinylfu *t = (struct tinylfu *)p;

	(void)e;
	for (int i = 0; i < QUEUES; i++)
		node_queue(&t->q[i]);
	t->window_max = p->o.capacity >= 100 ? p->o.capacity / 100 : 1;
	t->protected_max = (uint64_t)((double)(p->o.capacity - t->window_max) * 0.8 + 1e-9);
	return 0;
}

static void
halve(struct tinylfu *t)
{
	struct policy *p = &t->p;

	t->seen = 0;
	for (int i = 0; i < QUEUES; i++) {
		for (uint32_t at = t->q[i].tail, newer; at != NODE_NONE; at = newer) {
			newer = p->nodes[at].prev;
			p->nodes[at].count >>= 1;
			if (i != GHOST || p->nodes[at].count)
				continue;
			node_unlink(p, &t->q[GHOST], at);
			node_forget(p, at);
		}
	}
}

static void
push(struct tinylfu *t, uint32_t at, int queue)
{
	t->p.nodes[at].queue = (uint8_t)queue;
	node_push(&t->p, &t->q[queue], at);
}

static void
leave(struct tinylfu *t, uint32_t at)
{
	node_evict(&t->p, at);
	push(t, at, GHOST);
}

/* The block that leaves the window against the next victims of the main queue. The
 * candidate is counted in p->used already. */
static void
admit(struct tinylfu *t, uint32_t at)
{
	struct policy *p = &t->p;

	while (p->used > p->o.capacity) {
		int from = t->q[PROBATION].n ? PROBATION : PROTECTED;
		uint32_t victim = t->q[from].tail;

		if (victim == NODE_NONE || p->nodes[at].count <= p->nodes[victim].count) {
			leave(t, at);
			return;
		}
		leave(t, node_pop(p, &t->q[from]));
	}
	push(t, at, PROBATION);
}

static void
touch(struct tinylfu *t, uint32_t at)
{
	struct policy *p = &t->p;
	int queue = p->nodes[at].queue;

	if (queue != PROBATION) {
		node_renew(p, &t->q[queue], at);
		return;
	}
	node_unlink(p, &t->q[PROBATION], at);
	push(t, at, PROTECTED);
	while (t->q[PROTECTED].bytes > t->protected_max)
		push(t, node_pop(p, &t->q[PROTECTED]), PROBATION);
}

static int
tinylfu_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	struct tinylfu *t = (struct tinylfu *)p;
	int hit;

	if (node_too_big(p, i))
		return 0;
	hit = at != NODE_NONE && !p->nodes[at].ghost;
	if (!hit && at != NODE_NONE) {
		node_unlink(p, &t->q[GHOST], at);
		node_revive(p, at, i);
	} else if (!hit && (at = node_new(p, i, e)) == NODE_NONE) {
		return -1;
	}
	if (!hit)
		push(t, at, WINDOW);
	p->nodes[at].count++;
	t->seen += node_bytes(p, i);
	if (t->seen / SAMPLE >= p->o.capacity)
		halve(t);
	if (hit)
		touch(t, at);
	while (t->q[WINDOW].n && (t->q[WINDOW].bytes > t->window_max || p->used > p->o.capacity))
		admit(t, node_pop(p, &t->q[WINDOW]));
	return hit;
}

static double
tinylfu_score(const struct plan_entry *v, const struct plan_want *w)
{
	(void)w;
	return v->hits;
}

const struct policy_ops policy_w_tinylfu = {
	.name = "w-tinylfu", .about = "enters only if referenced more often than what leaves",
	.needs = POLICY_HITS, .tail_first = 1, .state = sizeof(struct tinylfu),
	.open = tinylfu_open, .access = tinylfu_access, .score = tinylfu_score,
};
