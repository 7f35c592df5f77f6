#include <stdlib.h>

#include "kvstat/sim.h"
#include "policy/belady.h"

/* One replay. Writes go to all tiers, reads fill the tiers above the one that answers:
 * each tier sees what those above it missed. */
struct replay {
	struct sim_run *run;
	struct policy *policies[SIM_TIERS];
	struct belady *bound;	/* or NULL */
	struct map seen;	/* how often each block was; for admission */
	int careful;		/* there is any */
	int tail;
};

int
sim_open(struct sim_run *run, struct err *e)
{
	struct replay *r = run->replay = calloc(1, sizeof(*r));
	uint64_t room = 0;

	if (!r)
		return err_sys(e, "sim");
	r->run = run;
	for (int i = 0; i < run->n_tiers; i++) {
		struct policy_options o = { .capacity = run->tiers[i].capacity,
			.dense = 1, .alpha = run->alpha, .ttl_s = run->ttl_s };

		if (policy_open(&r->policies[i], run->tiers[i].policy, &o, e) < 0)
			return err_in(e, "tier %s", run->tiers[i].name);
		room += run->tiers[i].capacity;
		r->careful |= run->tiers[i].admit > 1;
		run->tiers[i].hits = run->tiers[i].prefix = run->tiers[i].written = 0;
	}
	run->hits = run->prefix = run->hit_tokens = 0;
	r->tail = run->tail >= 0 ? run->tail : policy_tail_first(run->tiers[0].policy);
	if (r->careful && map_open(&r->seen, 1) < 0)
		return err_sys(e, "sim");
	return run->with_min ? belady_open(&r->bound, room, e) : 0;
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

/* The so-manieth sighting of a block, or UINT32_MAX: nobody asks. 0: no memory. */
static uint32_t
sighting(struct replay *r, uint64_t key)
{
	uint32_t n;

	if (!r->careful)
		return UINT32_MAX;
	n = map_get(&r->seen, key);
	n = n == MAP_NONE ? 1 : n + 1;
	return map_put(&r->seen, key, n) < 0 ? 0 : n;
}

static int
refer(struct replay *r, const struct policy_request *q, uint32_t block, struct err *e)
{
	uint32_t seen = sighting(r, q->keys[block]);

	if (!seen)
		return err_sys(e, "sim");
	for (int i = 0; i < r->run->n_tiers; i++) {
		struct sim_tier *tier = &r->run->tiers[i];
		int hit;

		if (seen < tier->admit)
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
replay_part(struct replay *r, const struct trace_part *p, struct err *e)
{
	int one = r->run->n_tiers == 1 && !r->careful;

	for (size_t i = 0; i < p->n; i++) {
		const struct trace_request *from = &p->requests[i];
		struct policy_request q = { .keys = p->keys + from->first,
			.now_s = from->time_s, .n = trace_blocks(from) };
		uint32_t n;

		if ((one ? by_policy : by_tiers)(r, &q, &n, e) < 0)
			return -1;
		r->run->prefix += n;
		r->run->hit_tokens += trace_prefix(p, i, n);
	}
	return r->bound ? belady_refer(r->bound, p->keys, p->requests[p->n].first, e) : 0;
}

int
sim_replay(struct sim_run *run, struct trace *t, struct err *e)
{
	struct trace_part part = { 0 };
	int ok;

	while ((ok = trace_next(&part, t, e)) > 0)
		if (replay_part(run->replay, &part, e) < 0)
			break;
	if (run->with_min)
		run->min_hits = belady_hits(run->replay->bound);
	trace_part_free(&part);
	sim_close(run);
	return ok == 0 ? 0 : -1;
}

void
sim_close(struct sim_run *run)
{
	struct replay *r = run->replay;

	if (!r)
		return;
	for (int i = 0; i < run->n_tiers; i++)
		policy_close(r->policies[i]);
	belady_close(r->bound);
	map_close(&r->seen);
	free(r);
	run->replay = NULL;
}
