#include "policy/policies.h"

/* ARC (Megiddo and Modha): recent and frequent blocks in two queues, a ghost queue of
 * each, and a share p of the first that follows the ghosts that come back. */
enum { RECENT, FREQUENT, RECENT_GHOST, FREQUENT_GHOST, QUEUES };

struct arc {
	struct policy p;
	struct queue q[QUEUES];
	double share;
};

static int
arc_open(struct policy *p, struct err *e)
{
	(void)e;
	for (int i = 0; i < QUEUES; i++)
		node_queue(&((struct arc *)p)->q[i]);
	return 0;
}

static void
move(struct arc *a, uint32_t at, int to)
{
	node_unlink(&a->p, &a->q[a->p.nodes[at].queue], at);
	a->p.nodes[at].queue = (uint8_t)to;
	node_push(&a->p, &a->q[to], at);
}

/* One block leaves for its ghost queue. */
static void
replace(struct arc *a, int for_frequent_ghost)
{
	double recent = (double)a->q[RECENT].bytes;
	int from = FREQUENT;

	if (a->q[RECENT].n && (recent > a->share ||
	    (for_frequent_ghost && a->q[RECENT].bytes == (uint64_t)a->share)))
		from = RECENT;
	else if (!a->q[FREQUENT].n)
		from = RECENT;
	node_evict(&a->p, a->q[from].tail);
	move(a, a->q[from].tail, from + RECENT_GHOST);
}

static int
full(const struct arc *a, uint32_t i)
{
	return a->p.used + node_bytes(&a->p, i) > a->p.o.capacity;
}

static void
come_back(struct arc *a, uint32_t at, uint32_t i)
{
	int kind = a->p.nodes[at].queue, other = RECENT_GHOST + FREQUENT_GHOST - kind;
	double c = (double)a->p.o.capacity, step = 1;

	if (a->q[other].bytes > a->q[kind].bytes)
		step = (double)a->q[other].bytes / (double)a->q[kind].bytes;
	step *= (double)node_bytes(&a->p, i);
	if (kind == RECENT_GHOST)
		a->share = a->share + step < c ? a->share + step : c;
	else
		a->share = a->share > step ? a->share - step : 0;
	while (full(a, i))
		replace(a, kind == FREQUENT_GHOST);
	node_unlink(&a->p, &a->q[kind], at);
	node_revive(&a->p, at, i);
	a->p.nodes[at].queue = FREQUENT;
	node_push(&a->p, &a->q[FREQUENT], at);
}

static void
forget_oldest(struct arc *a, int ghost)
{
	node_forget(&a->p, node_pop(&a->p, &a->q[ghost]));
}

/* Room for a block never seen, within the bounds of the ghosts: recent queue and its
 * ghosts one capacity, all four two capacities. */
static void
make_room(struct arc *a, uint32_t i)
{
	uint64_t c = a->p.o.capacity, bytes = node_bytes(&a->p, i);

	while (a->q[RECENT].bytes + a->q[RECENT_GHOST].bytes + bytes > c) {
		if (a->q[RECENT_GHOST].n)
			forget_oldest(a, RECENT_GHOST);
		else
			node_drop(&a->p, node_pop(&a->p, &a->q[RECENT]));
	}
	while (full(a, i)) {
		while (a->q[FREQUENT_GHOST].n && a->p.used + a->q[RECENT_GHOST].bytes +
		    a->q[FREQUENT_GHOST].bytes + bytes > 2 * c)
			forget_oldest(a, FREQUENT_GHOST);
		replace(a, 0);
	}
}

static int
arc_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	struct arc *a = (struct arc *)p;

	if (at != NODE_NONE && !p->nodes[at].ghost) {
		move(a, at, FREQUENT);
		return 1;
	}
	if (node_too_big(p, i))
		return 0;
	if (at != NODE_NONE) {
		come_back(a, at, i);
		return 0;
	}
	make_room(a, i);
	at = node_new(p, i, e);
	if (at == NODE_NONE)
		return -1;
	p->nodes[at].queue = RECENT;
	node_push(p, &a->q[RECENT], at);
	return 0;
}

/* A snapshot has no ghosts to learn the share from: half and half. */
static double
arc_score(const struct plan_entry *v, const struct plan_want *w)
{
	double idle = w->now_s - plan_used_s(v);

	return v->hits ? -idle / 2 : -idle;
}

const struct policy_ops policy_arc = {
	.name = "arc", .about = "recency and frequency, balanced by ghosts",
	.needs = POLICY_ACCESSED | POLICY_HITS, .tail_first = 1, .state = sizeof(struct arc),
	.open = arc_open, .access = arc_access, .score = arc_score,
};
