#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "policy/belady.h"
#include "policy/map.h"
#include "policy/plan.h"

static uint64_t seed = 1;

static uint64_t
rnd(uint64_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below;
}

/* ---- map ---- */

static void
map_is_a_map(void **state)
{
	uint32_t model[512];
	struct map m;

	(void)state;
	memset(model, 0xff, sizeof(model));
	assert_int_equal(map_open(&m, 0), 0);
	for (uint32_t i = 0; i < 200000; i++) {
		uint64_t k = rnd(512), key = k * 0x100000001ull;	/* regular keys */

		if (rnd(2)) {
			assert_int_equal(map_put(&m, key, i), 0);
			model[k] = i;
		} else {
			map_del(&m, key);
			model[k] = MAP_NONE;
		}
		k = rnd(512);
		assert_int_equal(map_get(&m, k * 0x100000001ull), model[k]);
	}
	map_close(&m);
	assert_int_equal(map_open(&m, 1), 0);
	assert_int_equal(map_put(&m, 9, 1), 0);
	assert_int_equal(map_get(&m, 10), MAP_NONE);
	assert_int_equal(map_put(&m, 10, 2) | map_put(&m, 3000, 3), 0);
	assert_int_equal(map_put(&m, MAP_NONE, 4), -1);
	assert_int_equal(map_put(&m, UINT64_MAX, 4), -1);
	for (uint32_t key = 0; key < 9000; key++)
		assert_int_equal(map_get(&m, key),
			key == 9 ? 1 : key == 10 ? 2 : key == 3000 ? 3 : MAP_NONE);
	map_close(&m);
}

/* ---- online ---- */

#define REQUESTS 3000
#define LENGTH 12

struct world {
	uint64_t keys[REQUESTS][LENGTH];
	uint64_t bytes[REQUESTS][LENGTH];
	uint32_t n[REQUESTS];
};

/* Chains that branch: a path through a tree of prefixes. */
static struct world *
world_new(int sized)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	for (int r = 0; r < REQUESTS; r++) {
		uint64_t key = 0;

		w->n[r] = 1 + (uint32_t)rnd(LENGTH);
		for (uint32_t i = 0; i < w->n[r]; i++) {
			key = key * 4 + 1 + (rnd(8) ? 0 : rnd(3));
			w->keys[r][i] = map_mix(key + i * 7919) % 100000;
			w->bytes[r][i] = sized ? 1 + w->keys[r][i] % 50 : 1;
		}
	}
	return w;
}

struct told {
	uint64_t blocks, bytes;
};

static void
evicted(void *ctx, uint64_t key, uint64_t bytes)
{
	struct told *t = ctx;

	(void)key;
	t->blocks++;
	t->bytes += bytes;
}

/* Hits of a policy; checks the bounds that hold for all, after each reference. */
static uint64_t
run(const struct policy_ops *ops, const struct world *w, uint64_t capacity, int dense)
{
	struct told told = { 0 };
	struct policy_options o = { .capacity = capacity, .dense = dense, .evicted = evicted,
		.ctx = &told };
	uint64_t hits = 0, misses = 0;
	struct policy *p;
	struct err e;

	assert_int_equal(policy_open(&p, ops, &o, &e), 0);
	for (int r = 0; r < REQUESTS; r++) {
		struct policy_request q = { .keys = w->keys[r], .bytes = w->bytes[r],
			.n = w->n[r], .now_s = r };

		assert_int_equal(policy_begin(p, &q, &e), 0);
		for (uint32_t i = 0; i < q.n; i++) {
			uint32_t at = policy_tail_first(ops) ? q.n - 1 - i : i;
			int had = policy_has(p, q.keys[at]), hit = policy_access(p, at, &e);

			assert_int_equal(had, hit);
			hits += (unsigned)hit;
			misses += !hit;
			assert_true(policy_used(p) <= capacity);
			assert_int_equal(policy_count(p), misses - told.blocks);
		}
	}
	if (strcmp(policy_name(ops), "lru2") && strcmp(policy_name(ops), "w-tinylfu"))
		assert_true(policy_records(p) <= 4 * policy_count(p) + 200);
	policy_close(p);
	return hits;
}

/* A whole request at once is the same as its blocks one by one, whatever the keys. */
static void
replayed(const struct policy_ops *ops, const struct world *w, uint64_t capacity, int tail)
{
	struct policy_options o = { .capacity = capacity, .dense = 1 };
	struct policy_options hashed = { .capacity = capacity };
	struct policy_found found = { 0 }, also = { 0 };
	uint64_t hits = 0, prefix = 0;
	struct policy *p, *q, *h;
	struct err e;

	assert_int_equal(policy_open(&p, ops, &o, &e), 0);
	assert_int_equal(policy_open(&q, ops, &o, &e), 0);
	assert_int_equal(policy_open(&h, ops, &hashed, &e), 0);
	for (int r = 0; r < REQUESTS; r++) {
		struct policy_request req = { .keys = w->keys[r], .n = w->n[r], .now_s = r };
		uint32_t n = 0;

		while (n < req.n && policy_has(q, req.keys[n]))
			n++;
		prefix += n;
		assert_int_equal(policy_begin(q, &req, &e), 0);
		for (uint32_t i = 0; i < req.n; i++)
			hits += (unsigned)policy_access(q, tail ? req.n - 1 - i : i, &e);
		assert_int_equal(policy_replay(p, &req, tail, &found, &e), 0);
		assert_int_equal(policy_replay(h, &req, tail, &also, &e), 0);
		assert_int_equal(found.hits, hits);
		assert_int_equal(found.prefix, prefix);
		assert_int_equal(policy_used(p), policy_used(q));
	}
	assert_int_equal(also.hits, hits);
	assert_int_equal(also.prefix, prefix);
	policy_close(p);
	policy_close(q);
	policy_close(h);
}

static void
requests_at_once(void **state)
{
	struct world *w = world_new(0);

	(void)state;
	for (size_t i = 0; policy_at(i); i++)
		for (uint64_t capacity = 1; capacity < 5000; capacity *= 7)
			replayed(policy_at(i), w, capacity, i % 2);
	replayed(policy_at(1), w, 300, 0);
	replayed(policy_at(1), w, 300, 1);
	free(w);
}

static void
policies_keep_their_bounds(void **state)
{
	struct world *unit = world_new(0), *sized = world_new(1);

	(void)state;
	for (size_t i = 0; policy_at(i); i++) {
		for (uint64_t capacity = 1; capacity < 1000; capacity *= 3)
			run(policy_at(i), unit, capacity, 0);
		run(policy_at(i), sized, 30, 0);	/* some blocks never fit */
		assert_int_equal(run(policy_at(i), sized, 700, 0), run(policy_at(i), sized, 700, 1));
		assert_int_equal(run(policy_at(i), unit, 100, 0),
			run(policy_at(i), unit, 100, 1));
	}
	free(unit);
	free(sized);
}

/* Belady's hits of these references, handed over in parts. */
static uint64_t
belady_of(const uint64_t *refs, size_t n, uint64_t capacity)
{
	struct belady *b;
	uint64_t hits;
	struct err e;

	assert_int_equal(belady_open(&b, capacity, &e), 0);
	for (size_t i = 0, part; i < n; i += part) {
		part = 1 + rnd(300);
		part = part < n - i ? part : n - i;
		assert_int_equal(belady_refer(b, refs + i, part, &e), 0);
	}
	hits = belady_hits(b);
	belady_close(b);
	return hits;
}

/* The same by the definition: with the future known, who is used last leaves. */
static uint64_t
by_definition(const uint64_t *refs, size_t n, size_t capacity)
{
	size_t next[512], there[64], used = 0, hits = 0;	/* when residents are used next */

	for (size_t i = n; i-- > 0;)
		for (next[i] = i + 1; next[i] < n && refs[next[i]] != refs[i];)
			next[i]++;
	for (size_t i = 0; i < n; i++) {
		size_t last = 0;

		for (size_t k = 0; k < used; k++)
			if (there[k] == i) {
				there[k] = there[--used];
				hits++;
				break;
			}
		if (next[i] == n)
			continue;
		there[used++] = next[i];
		for (size_t k = 1; k < used; k++)
			last = there[k] > there[last] ? k : last;
		if (used > capacity)
			there[last] = there[--used];
	}
	return hits;
}

static void
belady_is_as_defined(void **state)
{
	uint64_t refs[512];

	(void)state;
	for (int round = 0; round < 2000; round++) {
		size_t n = 1 + rnd(511), keys = 1 + rnd(round % 2 ? 20 : 200), capacity = 1 + rnd(50);

		for (size_t i = 0; i < n; i++)
			refs[i] = i && rnd(2) ? (refs[i - 1] + 1) % keys : rnd(keys);
		assert_int_equal(belady_of(refs, n, capacity), by_definition(refs, n, capacity));
	}
}

static void
nothing_beats_belady(void **state)
{
	struct world *w = world_new(0);
	uint64_t *refs = malloc(REQUESTS * LENGTH * sizeof(*refs));
	uint64_t best;
	size_t n = 0;

	(void)state;
	assert_non_null(refs);
	for (uint64_t capacity = 5; capacity < 4000; capacity *= 4)
		for (size_t i = 0; policy_at(i); i++) {
			n = 0;
			for (int r = 0; r < REQUESTS; r++)	/* in the order of this policy */
				for (uint32_t k = 0; k < w->n[r]; k++)
					refs[n++] = w->keys[r][policy_tail_first(policy_at(i)) ?
						w->n[r] - 1 - k : k];
			best = belady_of(refs, n, capacity);
			assert_true(run(policy_at(i), w, capacity, 0) <= best);
		}
	assert_true(best <= belady_of(refs, n, 100000));
	free(refs);
	free(w);
}

/* A loop longer than the cache: LRU gets nothing, what learns gets a part. */
static void
auto_learns_a_loop(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err e;

	(void)state;
	assert_non_null(w);
	for (int r = 0; r < REQUESTS; r++) {
		w->n[r] = 4;
		for (uint32_t i = 0; i < 4; i++) {
			w->keys[r][i] = (uint64_t)(r % 100) * 4 + i;
			w->bytes[r][i] = 1;
		}
	}
	assert_int_equal(run(policy_find("lru", &e), w, 200, 0), 0);
	assert_true(run(policy_find("auto", &e), w, 200, 0) > REQUESTS);	/* of 4 x REQUESTS */
	free(w);
}

/* Requests end in three blocks that the conversation's next turn replaces. Where only the last
 * is taken for a tip there are 10 % more hits than LRU has, not 23. */
static void
auto_learns_how_long_tips_are(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	uint32_t turns[REQUESTS] = { 0 }, x = 1, c, i;
	struct err e;

	(void)state;
	assert_non_null(w);
	for (uint32_t r = 0; r < REQUESTS; r++) {
		x = x * 1664525 + 1013904223;
		c = r > 64 ? r - (x >> 26) : r;
		turns[c] += turns[c] < 4;
		for (i = 0; i < 2 * turns[c]; i++)
			w->keys[r][i] = (uint64_t)c * 100 + i;
		w->n[r] = i + 3;
		for (; i < w->n[r]; i++)
			w->keys[r][i] = 1000000 + (uint64_t)r * LENGTH + i;
		for (i = 0; i < w->n[r]; i++)
			w->bytes[r][i] = 1;
	}
	assert_true(run(policy_find("auto", &e), w, 150, 0) * 100 >
		run(policy_find("lru", &e), w, 150, 0) * 118);
	free(w);
}

/* Keys that name texts wherever they stand, not prefixes: popular ones are worth their room for their
 * own sake, and stand in a request several times, which is one use each. */
static void
auto_takes_blocks_that_are_no_chain(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	uint64_t x = 1;
	struct err e;

	(void)state;
	assert_non_null(w);
	for (int r = 0; r < REQUESTS; r++) {
		w->n[r] = LENGTH;
		for (uint32_t i = 0; i < LENGTH; i++) {
			uint64_t product = 1;

			for (int k = 0; k < 3; k++) {
				x = x * 6364136223846793005ull + 1442695040888963407ull;
				product *= (x >> 33) % 4096;
			}
			w->keys[r][i] = product / 4096 / 4096;
			w->bytes[r][i] = 1;
		}
	}
	for (uint64_t room = 100; room <= 800; room *= 2) {
		uint64_t hits = run(policy_find("auto", &e), w, room, 0);

		assert_true(hits > run(policy_find("gdsf", &e), w, room, 0));
		assert_true(hits > run(policy_find("s3fifo", &e), w, room, 0));
	}
	free(w);
}

static void
names(void **state)
{
	struct policy_options o = { 0 };
	struct policy *p;
	struct err e;

	(void)state;
	assert_null(policy_find("fastest", &e));
	assert_int_equal(e.kind, ERR_USAGE);
	assert_non_null(strstr(e.text, "lru"));
	for (size_t i = 0; policy_at(i); i++) {
		assert_ptr_equal(policy_find(policy_name(policy_at(i)), &e), policy_at(i));
		assert_non_null(policy_about(policy_at(i)));
	}
	assert_true(policy_needs(policy_find("lru", &e)) & POLICY_ACCESSED);
	assert_false(policy_needs(policy_find("size", &e)));
	assert_int_equal(policy_open(&p, policy_find("lru", &e), &o, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_null(p);
}

/* ---- batch ---- */

#define ENTRY(b, used, up) { .bytes = (b), .created_s = (used), .parent = (up), .tenant = PLAN_NONE }

static struct plan_want
want(const char *policy)
{
	struct err e;

	return (struct plan_want){ .policy = policy_find(policy, &e), .now_s = 10000,
		.max_bytes = UINT64_MAX, .low_bytes = UINT64_MAX, .max_chunks = UINT64_MAX,
		.low_chunks = UINT64_MAX };
}

static void
a_parent_goes_after_its_children(void **state)
{
	/* 0 <- 1 <- 2, the root oldest by far; 3 alone, youngest */
	struct plan_entry v[] = { ENTRY(10, 1, PLAN_NONE), ENTRY(10, 50, 0), ENTRY(10, 60, 1),
		ENTRY(10, 100, PLAN_NONE) };
	struct plan_want w = want("lru");
	struct plan p;
	struct err e;

	(void)state;
	w.max_bytes = 25;
	w.low_bytes = 20;
	assert_int_equal(plan_make(&p, v, 4, &w, &e), 0);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.steps[0].entry, 2);
	assert_int_equal(p.steps[1].entry, 1);
	assert_int_equal(p.steps[0].reason, PLAN_SIZE);
	assert_int_equal(p.left_bytes, 20);
	assert_int_equal(p.left_chunks, 2);
	plan_free(&p);

	w.max_bytes = 40;	/* nothing to do */
	assert_int_equal(plan_make(&p, v, 4, &w, &e), 0);
	assert_int_equal(p.n, 0);
	plan_free(&p);

	v[2].flags = PLAN_KEEP;	/* and so its ancestors */
	w.max_bytes = w.low_bytes = 0;
	assert_int_equal(plan_make(&p, v, 4, &w, &e), 0);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.steps[0].entry, 3);
	assert_int_equal(p.short_of, 1);
	plan_free(&p);
}

static void
reasons_and_quotas(void **state)
{
	struct plan_quota q[] = { { .max_bytes = 15 }, { .ttl_s = 100 } };
	struct plan_entry v[] = { ENTRY(10, 9000, PLAN_NONE), ENTRY(10, 9100, PLAN_NONE),
		ENTRY(10, 9990, PLAN_NONE), ENTRY(10, 9200, PLAN_NONE),
		ENTRY(10, 9995, PLAN_NONE), ENTRY(10, 9996, PLAN_NONE) };
	struct plan_want w = want("lru");
	struct plan p;
	struct err e;

	(void)state;
	v[0].tenant = v[1].tenant = 0;		/* 20 bytes where 15 are allowed */
	v[2].tenant = v[3].tenant = 1;		/* one idle for longer than 100 s */
	v[4].expires_s = 9999;
	v[5].flags = PLAN_EVICT;
	w.quotas = q;
	w.nquotas = 2;
	assert_int_equal(plan_make(&p, v, 6, &w, &e), 0);
	assert_int_equal(p.n, 4);
	assert_int_equal(p.steps[0].entry, 5);
	assert_string_equal(plan_reason(p.steps[0].reason), "asked");
	assert_int_equal(p.steps[1].entry, 4);
	assert_string_equal(plan_reason(p.steps[1].reason), "expired");
	assert_int_equal(p.steps[2].entry, 3);
	assert_string_equal(plan_reason(p.steps[2].reason), "ttl");
	assert_int_equal(p.steps[3].entry, 0);
	assert_string_equal(plan_reason(p.steps[3].reason), "quota");
	assert_int_equal(p.by_reason[PLAN_QUOTA], 10);
	assert_int_equal(p.short_of, 0);
	plan_free(&p);

	w.max_chunks = 4;
	w.low_chunks = 1;
	w.nquotas = 0;
	assert_int_equal(plan_make(&p, v, 6, &w, &e), -1);	/* tenants without quotas */
	assert_int_equal(e.kind, ERR_USAGE);
	for (int i = 0; i < 6; i++)
		v[i].tenant = PLAN_NONE;
	assert_int_equal(plan_make(&p, v, 6, &w, &e), 0);
	assert_int_equal(p.left_chunks, 4);	/* asked and expired went: within the limit */
	w.max_chunks = 3;
	plan_free(&p);
	assert_int_equal(plan_make(&p, v, 6, &w, &e), 0);
	assert_int_equal(p.left_chunks, 1);
	plan_free(&p);
}

static void
hostile_links(void **state)
{
	struct plan_entry v[] = { ENTRY(1, 1, 1), ENTRY(1, 2, 0), ENTRY(1, 3, 1),
		ENTRY(1, 4, PLAN_NONE) };
	struct plan_want w = want("lru");
	struct plan p;
	struct err e;

	(void)state;
	w.max_bytes = w.low_bytes = 0;
	assert_int_equal(plan_make(&p, v, 4, &w, &e), 0);	/* 0 and 1 in a circle */
	assert_int_equal(p.cyclic, 2);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.short_of, 1);
	plan_free(&p);
	v[0].parent = 4;
	assert_int_equal(plan_make(&p, v, 4, &w, &e), -1);
	v[0].parent = 0;
	assert_int_equal(plan_make(&p, v, 4, &w, &e), -1);
	v[0].parent = PLAN_NONE;
	w.low_bytes = 1;
	assert_int_equal(plan_make(&p, v, 4, &w, &e), -1);
	w.low_bytes = 0;
	assert_int_equal(plan_make(&p, v, 0, &w, &e), 0);
	assert_int_equal(p.n, 0);
	plan_free(&p);
}

#define FOREST 400

static void
grow_forest(struct plan_entry *v)
{
	for (uint32_t i = 0; i < FOREST; i++) {
		uint32_t up = i && rnd(5) ? (uint32_t)rnd(i) : PLAN_NONE;

		v[i] = (struct plan_entry){ .bytes = rnd(100), .created_s = (double)rnd(9000),
			.parent = up, .depth = up == PLAN_NONE ? 0 : v[up].depth + 1,
			.hits = (uint32_t)rnd(4), .tenant = rnd(2) ? PLAN_NONE : 0,
			.cost = (float)rnd(3), .priority = (int16_t)rnd(3),
			.flags = rnd(50) ? 0 : PLAN_KEEP, .expires_s = rnd(9) ? 0 : 9999 };
		v[i].accessed_s = rnd(2) ? v[i].created_s + (double)rnd(900) : 0;
	}
}

/* Whatever the policy: nothing kept goes, no child outlives its parent, no entry goes twice,
 * sums are right, and the same input gives the same plan. */
static void
random_forests(void **state)
{
	struct plan_entry v[FOREST];
	struct plan_quota quota = { .max_chunks = 20 };
	struct plan p, again;
	struct err e;

	(void)state;
	for (int round = 0; round < 20; round++) {
		grow_forest(v);
		for (size_t k = 0; policy_at(k); k++) {
			struct plan_want w = want(policy_name(policy_at(k)));
			char gone[FOREST] = { 0 };
			uint64_t bytes = 0;

			w.max_bytes = w.low_bytes = rnd(20000);
			w.quotas = &quota;
			w.nquotas = 1;
			assert_int_equal(plan_make(&p, v, FOREST, &w, &e), 0);
			assert_int_equal(plan_make(&again, v, FOREST, &w, &e), 0);
			assert_int_equal(p.n, again.n);
			if (p.n)
				assert_memory_equal(p.steps, again.steps, p.n * sizeof(*p.steps));
			for (size_t s = 0; s < p.n; s++) {
				uint32_t i = p.steps[s].entry;

				assert_false(gone[i] || v[i].flags & PLAN_KEEP);
				gone[i] = 1;
				bytes += v[i].bytes;
				for (uint32_t c = 0; c < FOREST; c++)
					assert_false(v[c].parent == i && !gone[c]);
			}
			assert_int_equal(bytes, p.bytes);
			assert_true(p.short_of || p.left_bytes <= w.max_bytes);
			plan_free(&p);
			plan_free(&again);
		}
	}
}

/* Entries that were used every 100 s, one idle for 90 s and one for 5000: the second has
 * missed its time. New ones that nobody ever came back to are worth least. */
static void
auto_learns_from_a_snapshot(void **state)
{
	enum { N = 300 };
	struct plan_entry v[N];
	struct plan_want w = want("auto");
	double score[N];
	struct err e;

	(void)state;
	for (int i = 0; i < N; i++) {
		int back = i % 3 != 0, fresh = i % 3 == 1;

		v[i] = (struct plan_entry){ .bytes = 100, .parent = PLAN_NONE, .tenant = PLAN_NONE,
			.created_s = back ? (fresh ? 8910 : 4000) : 9500,
			.accessed_s = back ? (fresh ? 9910 : 5000) : 0, .hits = back ? 10 : 0 };
	}
	assert_int_equal(plan_scores(score, v, N, &w, &e), 0);
	assert_true(score[1] > score[2]);
	assert_true(score[1] > score[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(map_is_a_map),
		cmocka_unit_test(requests_at_once),
		cmocka_unit_test(policies_keep_their_bounds),
		cmocka_unit_test(belady_is_as_defined),
		cmocka_unit_test(nothing_beats_belady),
		cmocka_unit_test(auto_learns_a_loop),
		cmocka_unit_test(auto_learns_how_long_tips_are),
		cmocka_unit_test(auto_takes_blocks_that_are_no_chain),
		cmocka_unit_test(names),
		cmocka_unit_test(a_parent_goes_after_its_children),
		cmocka_unit_test(reasons_and_quotas),
		cmocka_unit_test(hostile_links),
		cmocka_unit_test(random_forests),
		cmocka_unit_test(auto_learns_from_a_snapshot),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
