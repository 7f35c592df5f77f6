#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "policy/plan.h"

/* policy access NAME: references a second on a Zipf-like stream, keys hashed and dense, one by one
 * and whole requests at once.
 * policy plan N [NAME]: plan half the bytes of N entries in chains of 16 away. */

static uint64_t seed = 1;

static uint64_t
rnd(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return seed >> 33;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t
one_by_one(struct policy *p, const struct policy_request *r)
{
	uint64_t hits = 0;
	struct err e;

	policy_begin(p, r, &e);
	for (uint32_t k = 0; k < r->n; k++)
		hits += (uint64_t)policy_access(p, k, &e);
	return hits;
}

static int
access_rate(const char *name, int dense, int whole)
{
	enum { N = 4000000, KEYS = 1 << 18, ROOM = 50000, LEN = 16 };
	struct policy_options o = { .capacity = ROOM, .dense = dense };
	uint64_t *keys = malloc(N * sizeof(*keys));
	struct policy_found found = { 0 };
	struct policy *p;
	struct err e;
	double t;

	if (!keys || policy_open(&p, policy_find(name, &e), &o, &e) < 0)
		return 1;
	for (int i = 0; i < N; i++)	/* a product of uniforms: a few are frequent */
		keys[i] = rnd() % KEYS * (rnd() % KEYS) / KEYS * (rnd() % 4 + 1) / 4;
	t = now();
	for (int i = 0; i < N; i += LEN) {
		struct policy_request r = { .keys = keys + i, .n = LEN, .now_s = i };

		if (whole)
			policy_replay(p, &r, 0, &found, &e);
		else
			found.hits += one_by_one(p, &r);
	}
	t = now() - t;
	printf("%-12s %-7s %-8s %6.1f M references/s, %.3f hit\n", name, dense ? "dense" : "hashed",
		whole ? "requests" : "", N / t / 1e6, (double)found.hits / N);
	policy_close(p);
	free(keys);
	return 0;
}

static int
plan_rate(size_t n, const char *name)
{
	struct plan_entry *v = calloc(n, sizeof(*v));
	struct err e;
	struct plan_want w = { .policy = policy_find(name, &e), .now_s = 2e9,
		.max_chunks = UINT64_MAX, .low_chunks = UINT64_MAX };
	struct rusage u;
	struct plan p;
	double t;

	if (!v || !w.policy)
		return 1;
	for (size_t i = 0; i < n; i++) {
		v[i] = (struct plan_entry){ .bytes = 1 << 20, .created_s = 1.9e9 + (double)(rnd() % 90000000),
			.parent = i % 16 ? (uint32_t)i - 1 : PLAN_NONE, .depth = i % 16,
			.hits = (uint32_t)(rnd() % 8), .tenant = PLAN_NONE };
		v[i].accessed_s = v[i].hits ? v[i].created_s + (double)(rnd() % 9000000) : 0;
		w.max_bytes += v[i].bytes / 2;
	}
	w.low_bytes = w.max_bytes;
	t = now();
	if (plan_make(&p, v, n, &w, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	t = now() - t;
	getrusage(RUSAGE_SELF, &u);
	printf("%-12s %zu entries: plan of %zu in %.2f s, %.2f GiB in all\n", name, n, p.n, t,
		(double)u.ru_maxrss / (1 << 20));
	plan_free(&p);
	free(v);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "access"))
		return access_rate(argv[2], 0, 0) | access_rate(argv[2], 1, 0) |
			access_rate(argv[2], 1, 1);
	if (argc == 4 && !strcmp(argv[1], "plan"))
		return plan_rate(strtoull(argv[2], NULL, 10), argv[3]);
	fprintf(stderr, "usage: policy access NAME | policy plan N NAME\n");
	return 2;
}
