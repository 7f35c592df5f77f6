#include "policy/policies.h"

/* First in, first out; what comes back is as new as before. */
struct fifo {
	struct policy p;
	struct queue q;
};

static int
fifo_open(struct policy *p, struct err *e)
{
	(void)e;
	node_queue(&((struct fifo *)p)->q);
	return 0;
}

static int
enter(struct policy *p, uint32_t i, struct err *e)
{
	struct fifo *f = (struct fifo *)p;
	uint32_t at;

	if (node_too_big(p, i))
		return 0;
	while (p->used + node_bytes(p, i) > p->o.capacity)
		node_drop(p, node_pop(p, &f->q));
	at = node_new(p, i, e);
	if (at == NODE_NONE)
		return -1;
	node_push(p, &f->q, at);
	return 0;
}

static int
fifo_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	return at != NODE_NONE ? 1 : enter(p, i, e);
}

static double
fifo_score(const struct plan_entry *v, const struct plan_want *w)
{
	(void)w;
	return v->created_s;
}

const struct policy_ops policy_fifo = {
	.name = "fifo", .about = "oldest entry first",
	.state = sizeof(struct fifo), .open = fifo_open, .access = fifo_access,
	.score = fifo_score,
};
