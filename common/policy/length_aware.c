#include "policy/policies.h"
#include "policy/ranked.h"

#define POSITIONS 4294967296.0	/* more than a request has blocks */

/* Uses while resident; among equals the block deepest in its request goes. */
static struct rank
length_aware_rank(const struct ranked *r, uint32_t at, uint32_t i)
{
	return (struct rank){ r->p.nodes[at].count * POSITIONS - i, (double)r->p.tick };
}

static int
length_aware_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	return ranked_access(p, i, at, length_aware_rank, e);
}

static double
length_aware_score(const struct plan_entry *v, const struct plan_want *w)
{
	(void)w;
	return v->hits * POSITIONS - v->depth;
}

const struct policy_ops policy_length_aware = {
	.name = "length-aware", .about = "least often used first, deepest of equals",
	.needs = POLICY_HITS, .state = sizeof(struct ranked), .access = length_aware_access,
	.close = ranked_close, .score = length_aware_score,
};
