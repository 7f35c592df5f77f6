#include "policy/policies.h"

/* S3-FIFO (Yang and others): a small queue of a tenth, a main queue with second chances,
 * ghosts as long as the main queue, counters up to 3. */
enum { SMALL, MAIN, GHOST, QUEUES };

#define COUNT_MAX 3

struct s3fifo {
	struct policy p;
	struct queue q[QUEUES];
	uint64_t small_max, main_max;
};

static int
s3fifo_open(struct policy *p, struct err *e)
{
	struct s3fifo *s = (struct s3fifo *)p;

	(void)e;
	for (int i = 0; i < QUEUES; i++)
		node_queue(&s->q[i]);
	s->small_max = p->o.capacity >= 10 ? p->o.capacity / 10 : 1;
	s->main_max = p->o.capacity - s->small_max;
	return 0;
}

static void
push(struct s3fifo *s, uint32_t at, int queue)
{
	s->p.nodes[at].queue = (uint8_t)queue;
	node_push(&s->p, &s->q[queue], at);
}

static void
evict_main(struct s3fifo *s)
{
	while (s->q[MAIN].n) {
		uint32_t at = node_pop(&s->p, &s->q[MAIN]);

		if (!s->p.nodes[at].count) {
			node_drop(&s->p, at);
			return;
		}
		s->p.nodes[at].count--;
		node_push(&s->p, &s->q[MAIN], at);
	}
}

static void
evict_small(struct s3fifo *s)
{
	while (s->q[SMALL].n) {
		uint32_t at = node_pop(&s->p, &s->q[SMALL]);

		if (s->p.nodes[at].count <= 1) {
			node_evict(&s->p, at);
			push(s, at, GHOST);
			while (s->q[GHOST].bytes > s->main_max)
				node_forget(&s->p, node_pop(&s->p, &s->q[GHOST]));
			return;
		}
		s->p.nodes[at].count = 0;
		push(s, at, MAIN);
		if (s->q[MAIN].bytes > s->main_max) {
			evict_main(s);
			return;
		}
	}
	evict_main(s);
}

static int
s3fifo_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	struct s3fifo *s = (struct s3fifo *)p;
	int queue = SMALL;

	if (at != NODE_NONE && !p->nodes[at].ghost) {
		p->nodes[at].count += p->nodes[at].count < COUNT_MAX;
		return 1;
	}
	if (node_too_big(p, i))
		return 0;
	while (p->used + node_bytes(p, i) > p->o.capacity) {
		if (s->q[SMALL].bytes >= s->small_max || !s->q[MAIN].n)
			evict_small(s);
		else
			evict_main(s);
	}
	/* Making room may have pushed the ghost out. */
	at = map_get(&p->map, p->req->keys[i]);
	if (at != NODE_NONE) {
		node_unlink(p, &s->q[GHOST], at);
		node_revive(p, at, i);
		p->nodes[at].count = 0;
		queue = MAIN;
	} else if ((at = node_new(p, i, e)) == NODE_NONE) {
		return -1;
	}
	push(s, at, queue);
	return 0;
}

/* What was used at most once more is in the small queue; each goes first in, first out,
 * a second chance being worth a creation at the last use. */
static double
s3fifo_score(const struct plan_entry *v, const struct plan_want *w)
{
	(void)w;
	return v->hits > 1 ? plan_used_s(v) : -1 / (1 + v->created_s);
}

const struct policy_ops policy_s3fifo = {
	.name = "s3fifo", .about = "small queue for the new, main queue with second chances",
	.needs = POLICY_ACCESSED | POLICY_HITS, .tail_first = 1, .state = sizeof(struct s3fifo),
	.open = s3fifo_open, .access = s3fifo_access, .score = s3fifo_score,
};
