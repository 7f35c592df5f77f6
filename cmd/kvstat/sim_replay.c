#include <stdlib.h>

#include "kvstat/sim.h"
#include "policy/belady.h"

/* One replay. Writes go to all tiers, reads fill the tiers above the one that answers:
 * each tier sees what those above it missed. */
struct replay {
	struct sim_run *run;
	const struct trace *t;
	struct policy *policies[SIM_TIERS];
	uint8_t *seen;		/* of each block, up to 255: for admission; or NULL */
	uint64_t *keys;		/* of the present request */
	int tail;
};

static int
start(struct replay *r, struct err *e)
{
	struct sim_run *run = r->run;
	size_t longest = 0;
	int careful = 0;

	for (int i = 0; i < run->n_tiers; i++) {
		struct policy_options o = { .capacity = run->tiers[i].capacity,
			.dense = r->t->distinct, .alpha = run->alpha, .ttl_s = run->ttl_s };

		if (policy_open(&r->policies[i], run->tiers[i].policy, &o, e) < 0)
			return err_in(e, "tier %s", run->tiers[i].name);
		careful |= run->tiers[i].admit > 1;
		run->tiers[i].hits = run->tiers[i].prefix = run->tiers[i].written = 0;
	}
	run->hits = run->prefix = run->hit_tokens = 0;
	r->tail = run->tail >= 0 ? run->tail : policy_tail_first(run->tiers[0].policy);
	r->seen = careful ? calloc(r->t->distinct + 1, 1) : NULL;
	for (size_t i = 0; i < r->t->n; i++)
		if (trace_blocks(r->t, i) > longest)
			longest = trace_blocks(r->t, i);
	r->keys = malloc((longest + 1) * sizeof(*r->keys));
	return !r->keys || (careful && !r->seen) ? err_sys(e, "calloc") : 0;
}

/* What an engine can use: blocks up to the first that no tier has. */
static uint32_t
usable(struct replay *r, const struct policy_request *q)
{
	uint32_t n = 0;

	for (; n < q->n; n++) {
		int i = 0;

		while (i < r->run->n_tiers && !policy_has(r->policies[i], q->keys[n]))
			i++;
		if (i == r->run->n_tiers)
			break;
		r->run->tiers[i].prefix++;
	}
	return n;
}

static int
refer(struct replay *r, const struct policy_request *q, uint32_t block, struct err *e)
{
	uint8_t *seen = r->seen ? &r->seen[q->keys[block]] : NULL;

	if (seen && *seen < UINT8_MAX)
		++*seen;
	for (int i = 0; i < r->run->n_tiers; i++) {
		struct sim_tier *tier = &r->run->tiers[i];
		int hit;

		if (seen && *seen < tier->admit)
			continue;
		hit = policy_access(r->policies[i], block, e);
		if (hit < 0)
			return -1;
		if (hit) {
			tier->hits++;
			r->run->hits++;
			return 0;
		}
		tier->written++;
	}
	return 0;
}

/* One tier that takes all: its policy replays the request by itself. */
static int
by_policy(struct replay *r, const struct policy_request *q, uint32_t *usable_blocks,
	struct err *e)
{
	struct sim_tier *tier = &r->run->tiers[0];
	struct policy_found f = { 0 };

	if (policy_replay(r->policies[0], q, r->tail, &f, e) < 0)
		return -1;
	*usable_blocks = (uint32_t)f.prefix;
	tier->prefix += f.prefix;
	tier->hits += f.hits;
	tier->written += q->n - f.hits;
	r->run->hits += f.hits;
	return 0;
}

static int
by_tiers(struct replay *r, const struct policy_request *q, uint32_t *usable_blocks,
	struct err *e)
{
	*usable_blocks = usable(r, q);
	for (int k = 0; k < r->run->n_tiers; k++)
		if (policy_begin(r->policies[k], q, e) < 0)
			return -1;
	for (uint32_t b = 0; b < q->n; b++)
		if (refer(r, q, r->tail ? q->n - 1 - b : b, e) < 0)
			return -1;
	return 0;
}

static int
replay_request(struct replay *r, size_t i, struct err *e)
{
	const uint32_t *ids = r->t->ids + r->t->requests[i].first;
	struct policy_request q = {
		.keys = r->keys, .now_s = r->t->requests[i].time_s, .n = trace_blocks(r->t, i),
	};
	uint32_t n;

	for (uint32_t b = 0; b < q.n; b++)
		r->keys[b] = ids[b];
	if ((r->run->n_tiers == 1 && !r->seen ? by_policy : by_tiers)(r, &q, &n, e) < 0)
		return -1;
	r->run->prefix += n;
	r->run->hit_tokens += trace_prefix(r->t, i, n);
	return 0;
}

int
sim_replay(struct sim_run *run, const struct trace *t, struct err *e)
{
	struct replay r = { .run = run, .t = t };
	int ok = start(&r, e);

	for (size_t i = 0; i < t->n && ok == 0; i++)
		ok = replay_request(&r, i, e);
	for (int i = 0; i < run->n_tiers; i++)
		policy_close(r.policies[i]);
	free(r.seen);
	free(r.keys);
	return ok;
}

int
sim_bound(struct sim_run *run, const struct trace *t, struct err *e)
{
	uint64_t capacity = 0;

	for (int i = 0; i < run->n_tiers; i++)
		capacity += run->tiers[i].capacity;
	run->min_known = 1;
	return belady(&run->min_hits, t->ids, t->n_refs, t->distinct, capacity, e);
}
