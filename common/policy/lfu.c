#include "policy/policies.h"
#include "policy/ranked.h"

/* Uses while resident; among equals the least recently used goes. */
static struct rank
lfu_rank(const struct ranked *r, uint32_t at, uint32_t i)
{
	(void)i;
	return (struct rank){ r->p.nodes[at].count, (double)r->p.tick };
}

static int
lfu_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	return ranked_access(p, i, at, lfu_rank, e);
}

static double
lfu_score(const struct plan_entry *v, const struct plan_want *w)
{
	(void)w;
	return v->hits;
}

const struct policy_ops policy_lfu = {
	.name = "lfu", .about = "least often used first", .needs = POLICY_HITS,
	.state = sizeof(struct ranked), .access = lfu_access, .close = ranked_close,
	.score = lfu_score,
};
