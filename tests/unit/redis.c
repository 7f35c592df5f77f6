#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/uri.h"
#include "store/redis_cluster.h"
#include "store/redis_login.h"
#include "store/redis_net.h"
#include "store/store.h"

/* With a server's URL in $KVTOOLS_TEST_REDIS (tests/store-redis.t) the store's contract is
 * tested on it; without, only what needs no server. $KVTOOLS_TEST_BREAK is a command that
 * makes that server fail for a moment. */
static struct store *s;

static void
test_slot(void **state)
{
	(void)state;
	/* Redis Cluster specification: CRC16 of "123456789" is 0x31c3 */
	assert_int_equal(redis_slot("123456789", 9), 0x31c3 % REDIS_SLOTS);
	assert_int_equal(redis_slot("{user1000}.following", 20), redis_slot("user1000", 8));
	assert_int_equal(redis_slot("foo{}{bar}", 10), redis_slot("foo{}{bar}", 10));
	assert_int_not_equal(redis_slot("foo{}{bar}", 10), redis_slot("bar", 3));
	assert_int_equal(redis_slot("foo{{bar}}zap", 13), redis_slot("{bar", 4));
}

static void
test_redirect(void **state)
{
	struct redis_place at;
	unsigned slot;
	int asking;

	(void)state;
	assert_int_equal(redis_redirect("MOVED 3999 127.0.0.1:6381", &slot, &at, &asking), 0);
	assert_int_equal(slot, 3999);
	assert_int_equal(asking, 0);
	assert_string_equal(at.host, "127.0.0.1");
	assert_int_equal(at.port, 6381);
	assert_int_equal(redis_redirect("ASK 0 ::1:7000", &slot, &at, &asking), 0);
	assert_int_equal(asking, 1);
	assert_string_equal(at.host, "::1");
	assert_int_equal(redis_redirect("MOVED 5 :7000", &slot, &at, &asking), 0);
	assert_string_equal(at.host, "");
	assert_int_equal(redis_redirect("MOVED 16384 h:1", &slot, &at, &asking), -1);
	assert_int_equal(redis_redirect("MOVED 1 h:0", &slot, &at, &asking), -1);
	assert_int_equal(redis_redirect("MOVED 1 h:99999", &slot, &at, &asking), -1);
	assert_int_equal(redis_redirect("MOVED 1", &slot, &at, &asking), -1);
	assert_int_equal(redis_redirect("MOVED", &slot, &at, &asking), -1);
	assert_int_equal(redis_redirect("ERR MOVED 1 h:1", &slot, &at, &asking), -1);
}

static int
login(struct redis_login *l, const char *url, struct err *e)
{
	struct uri *u;
	int rc;

	if (uri_parse(&u, url, e) < 0)
		return -1;
	rc = redis_login_open(l, u, NULL, e);
	uri_free(u);
	return rc;
}

static void
test_url(void **state)
{
	static const char *const bad[] = {
		"redis://h:0/", "redis://h/3?db=x", "redis://h/a?prefix=b", "redis+unix://h/x",
		"redis://a,,b", "redis://h?user=x", "redis://h?timeout=0", "redis://h/99999",
		"redis://a:1x,b", "redis+unix:rel",
	};
	struct redis_login l;
	struct err e;
	size_t i;

	(void)state;
	assert_int_equal(login(&l, "redis://h", &e), 0);
	assert_string_equal(l.seeds[0].host, "h");
	assert_int_equal(l.seeds[0].port, 6379);
	assert_string_equal(l.prefix, "");
	redis_login_close(&l);
	assert_int_equal(login(&l, "valkey://[::1]:7/3/models/x/", &e), 0);
	assert_string_equal(l.seeds[0].host, "::1");
	assert_int_equal(l.seeds[0].port, 7);
	assert_int_equal(l.db, 3);
	assert_string_equal(l.prefix, "models/x/");
	redis_login_close(&l);
	assert_int_equal(login(&l, "redis://a:1,b,c:3?sentinel=kv&db=2&prefix=lm:", &e), 0);
	assert_int_equal(l.n_seeds, 3);
	assert_int_equal(l.seeds[0].port, 1);
	assert_int_equal(l.seeds[1].port, 26379);
	assert_int_equal(l.seeds[2].port, 3);
	assert_string_equal(l.sentinel, "kv");
	assert_string_equal(l.prefix, "lm:");
	assert_int_equal(l.db, 2);
	redis_login_close(&l);
	assert_int_equal(login(&l, "redis+unix:///run/redis/sock?db=1&prefix=x/", &e), 0);
	assert_string_equal(l.path, "/run/redis/sock");
	assert_string_equal(l.prefix, "x/");
	redis_login_close(&l);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		memset(&l, 0, sizeof(l));
		if (login(&l, bad[i], &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(e.kind, ERR_USAGE);
		redis_login_close(&l);
	}
}

/* ---- with a server ---- */

#define BIG (9u << 20)

struct data {
	struct pool *pool;
	struct block b;
	size_t hashed;
	unsigned long sum;
};

static void
sum_up(void *ctx, const void *p, size_t n)
{
	struct data *d = ctx;
	size_t i;

	assert_ptr_equal(p, d->b.p + d->hashed);	/* consecutive, none twice */
	d->hashed += n;
	for (i = 0; i < n; i += 4096)
		d->sum += ((const unsigned char *)p)[i];
}

static int
get(struct data *d, const char *name, uint64_t off, uint64_t len, struct err *e)
{
	struct store_get g = { .pool = d->pool, .out = &d->b, .seen = sum_up, .ctx = d };

	pool_put(d->pool, &d->b);
	d->hashed = 0;
	d->sum = 0;
	return store_get(s, name, off, len, &g, e) < 0 ? -1 : (int)(g.size & 0x7fffffff);
}

static void
put(const char *name, const void *p, size_t n)
{
	struct iovec v[3] = { { (void *)p, n / 3 }, { (char *)p + n / 3, 0 },
		{ (char *)p + n / 3, n - n / 3 } };
	struct err e;

	if (store_put(s, name, v, 3, NULL, &e) != 0)
		fail_msg("%s", e.text);
}

static unsigned char *
bytes(unsigned seed)
{
	unsigned char *p = malloc(BIG);
	size_t i;

	for (i = 0; i < BIG; i++)
		p[i] = (unsigned char)((i * 2654435761u + seed) >> 13);
	return p;
}

static void
test_objects(void **state)
{
	struct data d = { 0 };
	struct store_item it;
	unsigned char *p = bytes(1);
	struct err e;
	int got;

	(void)state;
	assert_int_equal(pool_open(&d.pool, 4 * BIG, &e), 0);
	put("obj/big", p, BIG);
	put("obj/none", p, 0);
	put("obj/\xc3\xa9 *?[x]", p, 100);
	got = get(&d, "obj/big", 0, UINT64_MAX, &e);
	if (got < 0)
		fail_msg("%s", e.text);
	assert_int_equal(got, BIG);
	assert_int_equal(d.b.len, BIG);
	assert_int_equal(d.hashed, BIG);
	assert_memory_equal(d.b.p, p, BIG);
	assert_int_equal(get(&d, "obj/big", 5, 4096, &e), BIG);
	assert_int_equal(d.b.len, 4096);
	assert_memory_equal(d.b.p, p + 5, 4096);
	assert_int_equal(get(&d, "obj/big", BIG - 3, 100, &e), BIG);
	assert_int_equal(d.b.len, 3);
	assert_int_equal(get(&d, "obj/big", BIG + 3, 100, &e), BIG);
	assert_int_equal(d.b.len, 0);
	assert_int_equal(get(&d, "obj/big", 0, 0, &e), BIG);
	assert_int_equal(get(&d, "obj/none", 0, UINT64_MAX, &e), 0);
	assert_int_equal(get(&d, "obj/none", 0, 100, &e), 0);
	assert_int_equal(get(&d, "obj/absent", 0, UINT64_MAX, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	assert_int_equal(get(&d, "obj/absent", 7, 100, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	assert_int_equal(store_stat(s, "obj/big", &it, &e), 0);
	assert_int_equal(it.size, BIG);
	assert_true(it.ttl_s == -1);
	assert_int_equal(store_stat(s, "obj/absent", &it, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	pool_put(d.pool, &d.b);
	pool_close(d.pool);
	free(p);
}

static void
test_put_options(void **state)
{
	struct iovec v = { "value", 5 };
	struct store_put excl = { .excl = 1 }, ttl = { .ttl_s = 100 }, brief = { .ttl_s = 0.05 };
	struct store_item it;
	struct iovec huge = { "", (513ull << 20) };
	struct err e;

	(void)state;
	assert_int_equal(store_put(s, "opt/a", &v, 1, &excl, &e), 0);
	assert_int_equal(store_put(s, "opt/a", &v, 1, &excl, &e), 1);
	assert_int_equal(store_put(s, "opt/a", &v, 1, &ttl, &e), 0);
	assert_int_equal(store_stat(s, "opt/a", &it, &e), 0);
	assert_true(it.ttl_s > 90 && it.ttl_s <= 100);
	assert_int_equal(store_put(s, "opt/brief", &v, 1, &brief, &e), 0);
	usleep(80000);
	assert_int_equal(store_stat(s, "opt/brief", &it, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	assert_int_equal(store_put(s, "opt/huge", &huge, 1, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_REFUSED);
	assert_non_null(strstr(e.text, "512 MiB"));
}

struct seen {
	size_t n, bytes;
	unsigned char had[3000];
};

static int
see(void *ctx, const struct store_item *it, struct err *e)
{
	struct seen *t = ctx;
	size_t i = (size_t)atoi(it->name + 4);

	if (strncmp(it->name, "l*s/", 4) != 0 || t->had[i]++)
		return err_set(e, ERR_FAILED, "'%s': unexpected or twice", it->name);
	t->n++;
	t->bytes += it->size;
	return 0;
}

static int
enough(void *ctx, const struct store_item *it, struct err *e)
{
	(void)it;
	(void)e;
	return ++*(int *)ctx == 10;
}

static int
give_up(void *ctx, const struct store_item *it, struct err *e)
{
	(void)ctx;
	(void)it;
	return err_set(e, ERR_CORRUPT, "enough of this");
}

static void
test_list_and_delete(void **state)
{
	static char text[3000][16];
	static const char *names[3000];
	static signed char states[3000];
	static struct seen t;
	int i, n = 0;
	struct err e;

	(void)state;
	for (i = 0; i < 3000; i++) {
		snprintf(text[i], sizeof(text[i]), "l*s/%d", i);
		names[i] = text[i];
		put(text[i], "0123456789", (size_t)(i % 10));
	}
	put("lxs/1", "x", 1);	/* not of the prefix, which has a '*' */
	memset(&t, 0, sizeof(t));
	if (store_list(s, "l*s/", 0, see, &t, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(t.n, 3000);
	assert_int_equal(t.bytes, 3000 / 10 * 45);
	memset(&t, 0, sizeof(t));
	assert_int_equal(store_list(s, "l*s/", STORE_LIST_FAST, see, &t, &e), 0);
	assert_int_equal(t.n, 3000);
	assert_int_equal(store_list(s, "l*s/", 0, enough, &n, &e), 0);
	assert_int_equal(n, 10);
	assert_int_equal(store_list(s, "l*s/", 0, give_up, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	names[7] = "l*s/none";
	if (store_delete(s, names, 3000, states, &e) < 0)
		fail_msg("%s", e.text);
	for (i = 0; i < 3000; i++)
		assert_int_equal(states[i], i == 7);
	memset(&t, 0, sizeof(t));
	assert_int_equal(store_list(s, "l*s/", 0, see, &t, &e), 0);
	assert_int_equal(t.n, 1);
}

static void
test_lock(void **state)
{
	struct store *other;
	struct err e;

	(void)state;
	assert_int_equal(store_open(&other, getenv("KVTOOLS_TEST_REDIS"), NULL, &e), 0);
	assert_int_equal(store_lock(s, "evict", &e), 0);
	assert_int_equal(store_lock(other, "evict", &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_non_null(strstr(e.text, "held by process"));
	store_unlock(s, "evict");
	assert_int_equal(store_lock(other, "evict", &e), 0);
	store_unlock(other, "evict");
	store_close(other);
}

#define THREADS 4
#define EACH 30

/* 0: stored and read back equal. A master that dies takes with it what it acknowledged and had
 * not yet passed on (Redis replicates afterwards): such an object is absent, and put again, as
 * a second run of kvput would. Never may it come back wrong. */
static int
there_and_back(const char *name, const struct iovec *v, struct store_get *g, struct err *e)
{
	int tries = getenv("KVTOOLS_TEST_BREAK") ? 5 : 1;

	while (tries-- > 0) {
		if (store_put(s, name, v, 1, NULL, e) != 0)
			return -1;
		g->out->len = 0;
		if (store_get(s, name, 0, UINT64_MAX, g, e) == 0)
			return g->out->len == v->iov_len &&
				!memcmp(g->out->p, v->iov_base, v->iov_len) ? 0 : -1;
		if (e->kind != ERR_ABSENT)
			return -1;
	}
	return -1;
}

static void *
copy(void *arg)
{
	unsigned id = *(unsigned *)arg;
	unsigned char *p = bytes(id);
	struct pool *pool;
	struct block b = { 0 };
	struct store_get g = { .out = &b };
	char name[40];
	struct err e = { 0 };
	size_t bad = 0;
	unsigned i;

	pool_open(&pool, 1 << 30, &e);
	g.pool = pool;
	for (i = 0; i < EACH && !bad; i++) {
		struct iovec v = { p + i * 1000, 700000 + i };

		snprintf(name, sizeof(name), "copy/%u/%u", id, i);
		bad = there_and_back(name, &v, &g, &e) != 0;
		pool_put(pool, &b);
	}
	if (bad)
		printf("# thread %u: %s\n", id, e.text);
	pool_close(pool);
	free(p);
	return (void *)bad;
}

static void *
break_it(void *arg)
{
	(void)arg;
	usleep(50000);
	return (void *)(long)system(getenv("KVTOOLS_TEST_BREAK"));
}

/* Several threads; with a server that goes away and comes back, or moves, meanwhile. */
static void
test_threads(void **state)
{
	pthread_t t[THREADS], breaker;
	unsigned id[THREADS], i;
	void *bad;
	int breaks = getenv("KVTOOLS_TEST_BREAK") != NULL;

	(void)state;
	if (breaks)
		pthread_create(&breaker, NULL, break_it, NULL);
	for (i = 0; i < THREADS; i++) {
		id[i] = i;
		pthread_create(&t[i], NULL, copy, &id[i]);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	if (breaks) {
		pthread_join(breaker, &bad);
		assert_null(bad);
	}
}

static int
connect_server(void **state)
{
	struct err e;

	(void)state;
	if (store_open(&s, getenv("KVTOOLS_TEST_REDIS"), NULL, &e) < 0) {
		print_error("%s\n", e.text);
		return -1;
	}
	return 0;
}

static int
disconnect(void **state)
{
	(void)state;
	store_close(s);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest alone[] = {
		cmocka_unit_test(test_slot), cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_url),
	};
	const struct CMUnitTest served[] = {
		cmocka_unit_test(test_objects), cmocka_unit_test(test_put_options),
		cmocka_unit_test(test_list_and_delete), cmocka_unit_test(test_lock),
		cmocka_unit_test(test_threads),
	};
	const struct CMUnitTest broken[] = { cmocka_unit_test(test_threads) };

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (!getenv("KVTOOLS_TEST_REDIS"))
		return cmocka_run_group_tests(alone, NULL, NULL);
	if (getenv("KVTOOLS_TEST_BREAK"))
		return cmocka_run_group_tests(broken, connect_server, disconnect);
	return cmocka_run_group_tests(served, connect_server, disconnect);
}
