#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "flow/evict_queue.h"
#include "store/ops.h"

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

/* ---- deletions that fail ---- */

#define CHUNKS 150
#define RANKS 2

/* A store whose deletions fail or find that somebody was quicker, and which does the names of a
 * request in any order. */
static struct flaky {
	const struct store_ops *real;
	struct evict *ev;
	unsigned bad;			/* of 100 objects fail each time */
	pthread_mutex_t lock;
	unsigned char there[CHUNKS];	/* objects of each unit */
	unsigned orphans;		/* units that went before their child */
} flaky;

static int
kids_there(uint32_t unit)
{
	uint32_t i;

	for (i = 0; i < CHUNKS; i++)
		if (flaky.ev->v[i].parent == unit && flaky.there[i])
			return 1;
	return 0;
}

static int
flaky_delete(struct store *s, const char *const *names, size_t n, signed char *states,
	struct err *e)
{
	size_t i, from;
	int rc = 0;

	pthread_mutex_lock(&flaky.lock);
	from = rnd((uint32_t)n);
	for (i = 0; i < n; i++) {
		size_t k = (from + i) % n;
		uint32_t unit = units_of_name(&flaky.ev->units, flaky.ev->place, names[k]);

		if (rnd(100) < flaky.bad) {
			states[k] = -1;
			rc = err_set(e, ERR_REFUSED, "not that one");
			continue;
		}
		flaky.orphans += kids_there(unit) != 0;
		flaky.there[unit]--;
		flaky.real->del(s, &names[k], 1, &states[k], NULL);
		states[k] = (signed char)rnd(2);
	}
	pthread_mutex_unlock(&flaky.lock);
	return rc;
}

static void
put_chunks(struct place *p)
{
	struct iovec one = { "x", 1 };
	char name[120];
	unsigned i, rank;

	for (i = 0; i < CHUNKS; i++)
		for (rank = 0; rank < RANKS; rank++) {
			snprintf(name, sizeof(name), "m/bf16-tp2-r%u/%02x/%02x%062u"
				".kv.safetensors", rank, i, i, i);
			assert_int_equal(store_put(p->store, name, &one, 1, NULL, NULL), 0);
		}
}

struct tale {
	size_t told;
	enum evict_state state[CHUNKS];
};

static void
told(void *ctx, const struct plan_step *s, enum evict_state state, const struct err *why)
{
	struct tale *t = ctx;

	assert_int_equal(s - flaky.ev->plan.steps, t->told);
	assert_int_equal(why != NULL, state == EVICT_FAILED);
	t->state[s->entry] = state;
	t->told++;
}

static void
link_at_random(struct evict *ev)
{
	uint32_t i;

	for (i = 0; i < CHUNKS; i++)
		ev->v[i].parent = i + 1 < CHUNKS && rnd(8) ? i + 1 + rnd(CHUNKS - i - 1 < 5 ?
			CHUNKS - i - 1 : 5) : PLAN_NONE;
	memset(flaky.there, RANKS, sizeof(flaky.there));
}

/* One run; checks that what is still there has all that it hangs on, and was told so. */
static void
run_flaky(struct place *p, unsigned bad, unsigned jobs)
{
	struct evict_want want = { .max_bytes = 0, .max_chunks = UINT64_MAX,
		.max_delete = UINT64_MAX, .max_delete_share = 1,
		.policy = policy_find("size", NULL) };
	struct tale tale = { 0 };
	struct evict_run r = { .jobs = jobs, .told = told, .ctx = &tale };
	struct evict ev;
	uint32_t i, up;
	struct err e;

	assert_int_equal(evict_read(&ev, p, NULL, &want, &e), 0);
	assert_int_equal(ev.units.n, CHUNKS);
	flaky.ev = &ev;
	flaky.bad = bad;
	link_at_random(&ev);
	assert_int_equal(evict_plan(&ev, &want, &e), 0);
	assert_int_equal(ev.plan.n, CHUNKS);
	assert_int_equal(evict_run(&ev, &r, &e), 0);
	assert_int_equal(tale.told, CHUNKS);
	assert_int_equal(flaky.orphans, 0);
	for (i = 0; i < CHUNKS; i++) {
		up = ev.v[i].parent;
		assert_int_equal(!flaky.there[i], tale.state[i] == EVICT_GONE ||
			tale.state[i] == EVICT_VANISHED);
		assert_int_equal((ev.flags[i] & EVICT_DONE) != 0, !flaky.there[i]);
		if (up == PLAN_NONE || !flaky.there[i])
			continue;
		assert_int_equal(flaky.there[up], RANKS);
		assert_int_equal(tale.state[up], EVICT_KEPT);
	}
	if (!bad)
		assert_int_equal(r.count[EVICT_GONE] + r.count[EVICT_VANISHED], CHUNKS);
	evict_free(&ev);
}

static void
a_failed_child_holds_its_parents(void **state)
{
	struct store_opts o = { .flags = STORE_WRITE };
	struct store_ops ops;
	struct place p;
	unsigned i;

	(void)state;
	assert_int_equal(place_open(&p, "mem:", &o, NULL, NULL), 0);
	p.native = 1;
	pthread_mutex_init(&flaky.lock, NULL);
	flaky.real = p.store->ops;
	ops = *flaky.real;
	ops.del = flaky_delete;
	for (i = 0; i < 24; i++) {
		p.store->ops = flaky.real;
		put_chunks(&p);
		p.store->ops = &ops;
		run_flaky(&p, i % 4 * 5, 1 + i % 5);
	}
	p.store->ops = flaky.real;
	place_close(&p);
	pthread_mutex_destroy(&flaky.lock);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(children_first),
		cmocka_unit_test(empty_plan),
		cmocka_unit_test(a_failed_child_holds_its_parents),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
