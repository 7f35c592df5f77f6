#include <math.h>

#include "policy/policies.h"
#include "policy/ranked.h"

#define ALPHA 2		/* unless told */

/* Benefit of keeping: frequency x cost x size^alpha, the rule of vLLM's RFC 23641. */
static double
benefit(double uses, float cost, uint64_t bytes, double alpha)
{
	return uses * (cost > 0 ? (double)cost : 1) * pow((double)bytes, alpha ? alpha : ALPHA);
}

static struct rank
cost_rank(const struct ranked *r, uint32_t at, uint32_t i)
{
	const struct node *n = &r->p.nodes[at];

	return (struct rank){ benefit(n->count, node_attr(&r->p, i)->cost, n->bytes, r->p.o.alpha),
		(double)r->p.tick };
}

static int
cost_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	return ranked_access(p, i, at, cost_rank, e);
}

static double
cost_score(const struct plan_entry *v, const struct plan_want *w)
{
	return benefit(v->hits + 1.0, v->cost, v->bytes, w->alpha);
}

const struct policy_ops policy_cost = {
	.name = "cost", .about = "least uses x cost x size^alpha first", .needs = POLICY_HITS,
	.state = sizeof(struct ranked), .access = cost_access, .close = ranked_close,
	.score = cost_score,
};
