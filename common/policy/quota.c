#include <stdlib.h>

#include "policy/policies.h"
#include "policy/ranked.h"

/*
 * Who uses most of his quota gives first, and of his what was used longest ago. An entry's value
 * is how full its tenant's quota would be with it and all that is worth more: what was used
 * later, and what those hang on. So those who are fullest are lowered to the level of the
 * next, and then together. Who has no quota gives last. Without tenants (online) it is lru.
 */
struct used {
	double at_s;
	uint32_t entry;
};

static int
latest_first(const void *pa, const void *pb)
{
	const struct used *a = pa, *b = pb;

	if (a->at_s != b->at_s)
		return a->at_s > b->at_s ? -1 : 1;
	return a->entry < b->entry ? -1 : a->entry > b->entry;
}

/* What counts before entry at and has not been counted, nearest first, at itself included. */
static size_t
climb(uint32_t *path, unsigned char *seen, const struct plan_entry *v, uint32_t at)
{
	size_t n = 0;

	for (; at != PLAN_NONE && !seen[at]; at = v[at].parent) {
		seen[at] = 1;
		path[n++] = at;
	}
	return n;
}

static double
fullness(const struct plan_quota *q, double bytes, double chunks)
{
	double by_bytes = q->max_bytes ? bytes / (double)q->max_bytes : 0;
	double by_chunks = q->max_chunks ? chunks / (double)q->max_chunks : 0;

	return by_bytes > by_chunks ? by_bytes : by_chunks;
}

static double
add(struct plan_quota *held, const struct plan_quota *quotas, const struct plan_entry *v)
{
	struct plan_quota *h = &held[v->tenant];

	h->max_bytes += v->bytes;
	h->max_chunks++;
	return fullness(&quotas[v->tenant], (double)h->max_bytes, (double)h->max_chunks);
}

static int
quota_scores(double *score, const struct plan_entry *v, size_t n, const struct plan_want *w,
	struct err *e)
{
	struct used *order = malloc((n + 1) * sizeof(*order));
	uint32_t *path = malloc((n + 1) * sizeof(*path));
	unsigned char *seen = calloc(n + 1, 1);
	struct plan_quota *held = calloc(w->nquotas + 1, sizeof(*held));
	int rc = order && path && seen && held ? 0 : err_sys(e, "plan: %zu entries", n);

	for (size_t i = 0; rc == 0 && i < n; i++)
		order[i] = (struct used){ plan_used_s(&v[i]), (uint32_t)i };
	if (rc == 0)
		qsort(order, n, sizeof(*order), latest_first);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		size_t k = climb(path, seen, v, order[i].entry);

		while (k-- > 0)
			score[path[k]] = v[path[k]].tenant == PLAN_NONE ? 0 :
				-add(held, w->quotas, &v[path[k]]);
	}
	free(order);
	free(path);
	free(seen);
	free(held);
	return rc;
}

static struct rank
quota_rank(const struct ranked *r, uint32_t at, uint32_t i)
{
	(void)at, (void)i;
	return (struct rank){ 0, (double)r->p.tick };
}

static int
quota_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	return ranked_access(p, i, at, quota_rank, e);
}

const struct policy_ops policy_quota = {
	.name = "quota", .about = "the tenant nearest to or furthest over its quota first",
	.needs = POLICY_ACCESSED, .state = sizeof(struct ranked), .access = quota_access,
	.close = ranked_close, .scores = quota_scores,
};
