#include <math.h>

#include "policy/policies.h"
#include "policy/ranked.h"

/* Three orders by one attribute; among equals the least recently used goes. */

static struct rank
priority_rank(const struct ranked *r, uint32_t at, uint32_t i)
{
	(void)at;
	return (struct rank){ node_attr(&r->p, i)->priority, (double)r->p.tick };
}

static int
priority_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	return ranked_access(p, i, at, priority_rank, e);
}

static double
priority_score(const struct plan_entry *v, const struct plan_want *w)
{
	(void)w;
	return v->priority;
}

static struct rank
size_rank(const struct ranked *r, uint32_t at, uint32_t i)
{
	(void)i;
	return (struct rank){ -(double)r->p.nodes[at].bytes, (double)r->p.tick };
}

static int
size_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	return ranked_access(p, i, at, size_rank, e);
}

static double
size_score(const struct plan_entry *v, const struct plan_want *w)
{
	(void)w;
	return -(double)v->bytes;
}

/* When it ends: its own expiry, or idle for the general time to live. */
static double
ends(double expires_s, double used_s, double ttl_s)
{
	double idle_end = ttl_s > 0 ? used_s + ttl_s : INFINITY;

	return expires_s > 0 && expires_s < idle_end ? expires_s : idle_end;
}

static struct rank
ttl_rank(const struct ranked *r, uint32_t at, uint32_t i)
{
	(void)at;
	return (struct rank){ ends(node_attr(&r->p, i)->expires_s, r->p.req->now_s, r->p.o.ttl_s),
		(double)r->p.tick };
}

static int
ttl_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	return ranked_access(p, i, at, ttl_rank, e);
}

static double
ttl_score(const struct plan_entry *v, const struct plan_want *w)
{
	return ends(v->expires_s, plan_used_s(v), w->ttl_s);
}

const struct policy_ops policy_priority = {
	.name = "priority", .about = "lowest priority first", .needs = POLICY_PRIORITY,
	.state = sizeof(struct ranked), .access = priority_access, .close = ranked_close,
	.score = priority_score,
};

const struct policy_ops policy_size = {
	.name = "size", .about = "largest first",
	.state = sizeof(struct ranked), .access = size_access, .close = ranked_close,
	.score = size_score,
};

const struct policy_ops policy_ttl = {
	.name = "ttl", .about = "earliest expiry first", .needs = POLICY_EXPIRES,
	.state = sizeof(struct ranked), .access = ttl_access, .close = ranked_close,
	.score = ttl_score,
};
