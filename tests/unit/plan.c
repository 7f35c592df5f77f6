#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "policy/plan.h"

/* Snapshots against the same policy online, and the shares of tenants. */

static uint64_t seed = 7;

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 33) % below);
}

static struct plan_want
want(const char *policy)
{
	struct err e;

	return (struct plan_want){ .policy = policy_find(policy, &e), .now_s = 1e6,
		.max_bytes = UINT64_MAX, .low_bytes = UINT64_MAX, .max_chunks = UINT64_MAX,
		.low_chunks = UINT64_MAX };
}

/* ---- a snapshot's victims are those that would have gone online ---- */

#define BLOCKS 300
#define REQUESTS 2000
#define DEEP 12
#define TTL_S 500

struct world {
	struct plan_entry v[BLOCKS];	/* filled as the requests come */
	struct policy_attr attr[BLOCKS];
	uint32_t out[BLOCKS];		/* what went online, in that order */
	size_t n_out;
};

/* chained: a tree of prefixes; otherwise each block is a prompt of its own. */
static void
make_blocks(struct world *w, int chained)
{
	uint32_t i;

	memset(w, 0, sizeof(*w));
	for (i = 0; i < BLOCKS; i++) {
		struct plan_entry *v = &w->v[i];

		v->bytes = 1 + rnd(50);
		v->parent = chained && i && rnd(10) ? rnd(i) : PLAN_NONE;
		if (v->parent != PLAN_NONE && w->v[v->parent].depth + 1 == DEEP)
			v->parent = PLAN_NONE;
		v->depth = v->parent == PLAN_NONE ? 0 : w->v[v->parent].depth + 1;
		v->tenant = PLAN_NONE;
		v->cost = (float)rnd(4);
		v->priority = (int16_t)(rnd(5) - 2);
		v->expires_s = rnd(3) ? 0 : 1 + rnd(2 * REQUESTS);
		w->attr[i] = (struct policy_attr){ v->expires_s, v->cost, v->priority };
	}
}

static void
evicted(void *ctx, uint64_t key, uint64_t bytes)
{
	struct world *w = ctx;

	(void)bytes;
	w->out[w->n_out++] = (uint32_t)key;
}

/* The prompt that ends with this block, tail first. */
static void
use(struct policy *p, struct world *w, uint32_t block, double now_s)
{
	uint64_t keys[DEEP], bytes[DEEP];
	struct policy_attr attr[DEEP];
	struct policy_request r = { .keys = keys, .bytes = bytes, .attr = attr, .now_s = now_s,
		.n = w->v[block].depth + 1 };
	uint32_t at = block, i;
	struct err e;

	for (i = r.n; i-- > 0; at = w->v[at].parent) {
		struct plan_entry *v = &w->v[at];

		keys[i] = at;
		bytes[i] = v->bytes;
		attr[i] = w->attr[at];
		v->hits += v->created_s > 0;
		v->accessed_s = v->created_s > 0 ? now_s : 0;
		v->created_s = v->created_s > 0 ? v->created_s : now_s;
	}
	assert_int_equal(policy_begin(p, &r, &e), 0);
	for (i = r.n; i-- > 0;)
		assert_true(policy_access(p, i, &e) >= 0);
}

/* So much comes in that about half must go. */
static void
push_out(struct policy *p, uint64_t bytes)
{
	uint64_t key = BLOCKS;
	struct policy_request r = { .keys = &key, .bytes = &bytes, .n = 1, .now_s = REQUESTS + 1 };
	struct err e;

	assert_int_equal(policy_begin(p, &r, &e), 0);
	assert_int_equal(policy_access(p, 0, &e), 0);
}

static void
same_victims(const char *name, int chained)
{
	struct plan_want q = want(name);
	struct policy_options o = { .capacity = 0, .ttl_s = TTL_S, .evicted = evicted };
	struct world *w = malloc(sizeof(*w));
	struct policy *p;
	struct plan plan;
	struct err e;
	uint32_t i;

	assert_non_null(w);
	make_blocks(w, chained);
	o.ctx = w;
	for (i = 0; i < BLOCKS; i++)
		o.capacity += w->v[i].bytes;
	assert_int_equal(policy_open(&p, q.policy, &o, &e), 0);
	for (i = 0; i < REQUESTS; i++)
		use(p, w, i < BLOCKS ? i : BLOCKS - 1 - rnd(1 + rnd(BLOCKS)), i + 1);
	assert_int_equal(w->n_out, 0);
	push_out(p, o.capacity / 2);
	policy_close(p);

	q.max_bytes = q.low_bytes = o.capacity - o.capacity / 2;
	/* what the time to live says as a policy, not as a limit */
	q.ttl_s = !strcmp(name, "ttl") ? TTL_S : 0;
	q.now_s = 0;
	assert_int_equal(plan_make(&plan, w->v, BLOCKS, &q, &e), 0);
	assert_int_equal(plan.n, w->n_out);
	for (i = 0; i < plan.n; i++)
		assert_int_equal(plan.steps[i].entry, w->out[i]);
	plan_free(&plan);
	free(w);
}

/* Not among them: fifo and those by attributes with chains, for online they may take a parent
 * before its child; and those whose state a snapshot cannot tell. */
static void
batch_is_online(void **state)
{
	static const char *const single[] = { "lru", "fifo", "lfu", "size", "priority", "ttl",
		"cost", "length-aware", "quota" };
	static const char *const chained[] = { "lru", "lfu", "length-aware", "quota" };
	size_t i, round;

	(void)state;
	for (round = 0; round < 10; round++) {
		for (i = 0; i < sizeof(single) / sizeof(*single); i++)
			same_victims(single[i], 0);
		for (i = 0; i < sizeof(chained) / sizeof(*chained); i++)
			same_victims(chained[i], 1);
	}
}

/* ---- policy quota ---- */

#define TENANTS 4
#define FOREST 200

struct shares {
	struct plan_entry v[FOREST];
	double used_s[FOREST];		/* the last use of what hangs on it, too */
	struct plan_quota quota[TENANTS], held[TENANTS];
	uint32_t free;			/* entries of no tenant */
};

static double
fullness(const struct shares *s, uint32_t t)
{
	double bytes = s->quota[t].max_bytes ? (double)s->held[t].max_bytes /
		(double)s->quota[t].max_bytes : 0;
	double chunks = s->quota[t].max_chunks ? (double)s->held[t].max_chunks /
		(double)s->quota[t].max_chunks : 0;

	return bytes > chunks ? bytes : chunks;
}

/* Chains within tenants; limits in bytes, in chunks, or both. */
static void
make_shares(struct shares *s)
{
	uint32_t i, t, up;

	memset(s, 0, sizeof(*s));
	for (t = 0; t < TENANTS; t++) {
		s->quota[t].max_bytes = t != 1 ? 500 + rnd(5000) : 0;
		s->quota[t].max_chunks = t < 2 ? 10 + rnd(60) : 0;
	}
	for (i = 0; i < FOREST; i++) {
		t = rnd(TENANTS + 1);
		up = i ? rnd(i) : 0;
		s->v[i] = (struct plan_entry){ .bytes = 1 + rnd(100), .created_s = 1 + rnd(900),
			.parent = PLAN_NONE, .tenant = t < TENANTS ? t : PLAN_NONE };
		if (i && s->v[up].tenant == s->v[i].tenant)
			s->v[i].parent = up;
		s->free += t == TENANTS;
		if (t < TENANTS) {
			s->held[t].max_bytes += s->v[i].bytes;
			s->held[t].max_chunks++;
		}
	}
	for (i = FOREST; i-- > 0;) {
		up = s->v[i].parent;
		if (s->used_s[i] < s->v[i].created_s)
			s->used_s[i] = s->v[i].created_s;
		if (up != PLAN_NONE && s->used_s[up] < s->used_s[i])
			s->used_s[up] = s->used_s[i];
	}
}

/* It is of the fullest tenant, and of that the longest unused; no tenant's goes last. */
static void
check_step(struct shares *s, uint32_t i, double *last_s)
{
	uint32_t t = s->v[i].tenant, k;

	for (k = 0; k < TENANTS; k++)
		if (t == PLAN_NONE)
			assert_int_equal(s->held[k].max_chunks, 0);
		else
			assert_true(fullness(s, t) >= fullness(s, k));
	k = t == PLAN_NONE ? TENANTS : t;
	assert_true(s->used_s[i] >= last_s[k]);
	last_s[k] = s->used_s[i];
	if (t == PLAN_NONE)
		return;
	s->held[t].max_bytes -= s->v[i].bytes;
	s->held[t].max_chunks--;
}

static void
the_fullest_tenant_gives(void **state)
{
	struct plan_want w = want("quota");
	struct shares s;
	struct plan p;
	struct err e;
	size_t i;
	int round;

	(void)state;
	for (round = 0; round < 200; round++) {
		double last_s[TENANTS + 1] = { 0 };

		make_shares(&s);
		w.quotas = s.quota;
		w.nquotas = TENANTS;
		w.max_chunks = w.low_chunks = round ? rnd(FOREST) : 0;
		assert_int_equal(plan_make(&p, s.v, FOREST, &w, &e), 0);
		assert_true(p.left_chunks <= w.max_chunks);
		for (i = 0; i < p.n; i++)
			check_step(&s, p.steps[i].entry, last_s);
		for (i = 0; i < TENANTS; i++)
			assert_true(fullness(&s, (uint32_t)i) <= 1);
		plan_free(&p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batch_is_online),
		cmocka_unit_test(the_fullest_tenant_gives),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
