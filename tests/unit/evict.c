#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "flow/evict_queue.h"

#define N 400

static uint64_t seed = 1;

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % below;
}

/* A forest, parents at higher numbers; the plan takes those without a planned child left out. */
static void
make(struct evict *ev, uint32_t n, uint32_t keep)
{
	uint32_t i;

	memset(ev, 0, sizeof(*ev));
	ev->units.n = n;
	ev->v = calloc(n, sizeof(*ev->v));
	ev->plan.steps = calloc(n, sizeof(*ev->plan.steps));
	for (i = 0; i < n; i++) {
		ev->v[i].parent = i + 1 < n && rnd(5) ? i + 1 + rnd(n - i - 1) : PLAN_NONE;
		if (i < n - keep)
			ev->plan.steps[ev->plan.n++].entry = i;
	}
}

/* Whatever is taken, and in whatever order it is given back: no chunk goes before its child. */
static void
children_first(void **state)
{
	struct evict_queue q;
	struct evict ev;
	uint32_t steps[N], taken[N], done[N] = { 0 }, order = 0;
	size_t out = 0, n, i, k, all;
	int round;

	(void)state;
	for (round = 0; round < 50; round++) {
		make(&ev, N, rnd(N / 2));
		assert_int_equal(evict_queue_open(&q, &ev, NULL), 0);
		memset(done, 0, sizeof(done));
		for (all = 0, order = 1, out = 0; all < ev.plan.n;) {
			n = evict_queue_take(&q, steps, 1 + rnd(30));
			for (i = 0; i < n; i++) {
				assert_true(i == 0 || steps[i] > steps[i - 1]);
				for (k = 0; k < ev.plan.n; k++)
					assert_false(ev.v[k].parent == steps[i] && !done[k]);
				taken[out++] = steps[i];
			}
			assert_true(out > 0);
			k = rnd((uint32_t)out);
			done[taken[k]] = order++;
			evict_queue_done(&q, taken[k]);
			taken[k] = taken[--out];
			all++;
		}
		assert_int_equal(evict_queue_take(&q, steps, N), 0);
		evict_queue_close(&q);
		free(ev.v);
		plan_free(&ev.plan);
	}
}

static void
empty_plan(void **state)
{
	struct evict ev = { .plan.n = 0 };
	struct evict_queue q;
	uint32_t step;

	(void)state;
	assert_int_equal(evict_queue_open(&q, &ev, NULL), 0);
	assert_int_equal(evict_queue_take(&q, &step, 1), 0);
	evict_queue_close(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(children_first),
		cmocka_unit_test(empty_plan),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
