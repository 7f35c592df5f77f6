#include "policy/policies.h"
#include "policy/ranked.h"

static double
cost_of(float cost)
{
	return cost > 0 ? (double)cost : 1;
}

/* Greedy-Dual-Size-Frequency: uses x cost / size above the level of the last one
 * evicted, so that what was popular once grows old. */
static struct rank
gdsf_rank(const struct ranked *r, uint32_t at, uint32_t i)
{
	const struct node *n = &r->p.nodes[at];
	double size = n->bytes ? (double)n->bytes : 1;

	return (struct rank){ r->level + n->count * cost_of(node_attr(&r->p, i)->cost) / size,
		(double)r->p.tick };
}

static int
gdsf_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	return ranked_access(p, i, at, gdsf_rank, e);
}

/* A snapshot has no level; age takes its place: uses a second since creation. */
static double
gdsf_score(const struct plan_entry *v, const struct plan_want *w)
{
	double idle = w->now_s - plan_used_s(v), size = v->bytes ? (double)v->bytes : 1;

	return (v->hits + 1) * cost_of(v->cost) / size / (idle > 1 ? idle : 1);
}

const struct policy_ops policy_gdsf = {
	.name = "gdsf", .about = "least uses x cost / size first, ageing",
	.needs = POLICY_HITS | POLICY_ACCESSED, .tail_first = 1, .state = sizeof(struct ranked),
	.access = gdsf_access, .close = ranked_close, .score = gdsf_score,
};
