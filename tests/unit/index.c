#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "index/index.h"

/* $KVTOOLS_TEST_INDEX: the place of a back end to test instead of an SQLite file. Each
 * test has a store of its own, so that a shared server serves them all. */
static char dir[] = "/tmp/kvtools-index.XXXXXX";
static char store[200];
static int serial;

static const char *
place(void)
{
	static char path[100];

	if (getenv("KVTOOLS_TEST_INDEX"))
		return getenv("KVTOOLS_TEST_INDEX");
	snprintf(path, sizeof(path), "%s/%d.db", dir, serial);
	return path;
}

static struct index *
fresh(void)
{
	struct index *ix;
	struct err e;

	snprintf(store, sizeof(store), "s3://bucket-%d-%d/p", (int)getpid(), ++serial);
	if (index_open(&ix, place(), store, INDEX_WRITE, NULL, &e) < 0)
		fail_msg("%s", e.text);
	return ix;
}

static struct index *
again(unsigned flags)
{
	struct index *ix;
	struct err e;

	if (index_open(&ix, place(), store, flags, NULL, &e) < 0)
		fail_msg("%s", e.text);
	return ix;
}

static struct index_entry
entry(const char *name, uint64_t size, int64_t created)
{
	return (struct index_entry){ .name = name, .size = size, .created_s = created };
}

static struct index_entry got;
static char got_text[5][200];

static int
take(void *ctx, const struct index_entry *x, struct err *e)
{
	(void)ctx;
	(void)e;
	got = *x;
	snprintf(got_text[0], 200, "%s", x->hash);
	snprintf(got_text[1], 200, "%s", x->parent);
	snprintf(got_text[2], 200, "%s", x->tenant);
	snprintf(got_text[3], 200, "%s", x->labels);
	return 0;
}

static void
look(struct index *ix, const char *name)
{
	struct err e;

	if (index_get(ix, name, take, NULL, &e) < 0)
		fail_msg("%s: %s", name, e.text);
}

static void
test_put_get(void **state)
{
	struct index *ix = fresh();
	struct index_entry x = entry("a/b", 100, 1000);
	struct err e;

	(void)state;
	x.hash = "ab12";
	x.parent = "-";
	x.depth = 3;
	x.priority = -7;
	x.tenant = "t\xc3\xa9";
	x.cost = 0.25;
	x.labels = "doc=x,y=z";
	x.expires_s = 5000;
	x.leased_s = 77;
	x.pinned = 1;
	if (index_put(ix, &x, 1, &e) < 0)
		fail_msg("%s", e.text);
	index_close(ix, NULL);
	ix = again(INDEX_READ);
	look(ix, "a/b");
	assert_int_equal(got.size, 100);
	assert_int_equal(got.created_s, 1000);
	assert_int_equal(got.accessed_s, 0);
	assert_int_equal(got.hits, 0);
	assert_int_equal(got.depth, 3);
	assert_int_equal(got.priority, -7);
	assert_true(got.cost == 0.25);
	assert_int_equal(got.expires_s, 5000);
	assert_int_equal(got.leased_s, 77);
	assert_int_equal(got.pinned, 1);
	assert_string_equal(got_text[0], "ab12");
	assert_string_equal(got_text[1], "-");
	assert_string_equal(got_text[2], "t\xc3\xa9");
	assert_string_equal(got_text[3], "doc=x,y=z");
	assert_int_equal(index_get(ix, "a", take, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	index_close(ix, NULL);
}

/* A listing knows size and time only: what else is known stays. */
static void
test_put_again(void **state)
{
	struct index *ix = fresh();
	struct index_entry x = entry("k", 100, 1000), bare = entry("k", 120, 1030);
	struct index_use u = { "k", 4, 2000 };
	struct err e;

	(void)state;
	x.parent = "00ff";
	x.depth = 9;
	x.expires_s = 9000;
	x.tenant = "acme";
	assert_int_equal(index_put(ix, &x, 1, &e), 0);
	assert_int_equal(index_access(ix, &u, 1, &e), 0);
	assert_int_equal(index_put(ix, &bare, 1, &e), 0);
	look(ix, "k");
	assert_int_equal(got.size, 120);
	assert_int_equal(got.created_s, 1030);
	assert_int_equal(got.hits, 4);
	assert_int_equal(got.accessed_s, 2000);
	assert_int_equal(got.expires_s, 9000);	/* within the clocks' skew: the same object */
	assert_int_equal(got.depth, 9);
	assert_string_equal(got_text[1], "00ff");
	assert_string_equal(got_text[2], "acme");
	bare.created_s = 5000;			/* stored anew, without an expiry */
	assert_int_equal(index_put(ix, &bare, 1, &e), 0);
	look(ix, "k");
	assert_int_equal(got.expires_s, 0);
	index_close(ix, NULL);
}

static void
test_access(void **state)
{
	struct index *ix = fresh();
	struct index_use u[] = { { "x", 1, 500 }, { "x", 2, 400 }, { "new", 5, 0 } };
	struct index_entry x = entry("x", 1, 100);
	const char *const gone[] = { "x", "never" };
	struct err e;

	(void)state;
	assert_int_equal(index_put(ix, &x, 1, &e), 0);
	assert_int_equal(index_access(ix, u, 3, &e), 0);
	look(ix, "x");
	assert_int_equal(got.hits, 3);
	assert_int_equal(got.accessed_s, 500);
	look(ix, "new");
	assert_int_equal(got.hits, 5);
	assert_int_equal(got.size, 0);
	assert_int_equal(got.created_s, 0);
	assert_true(got.accessed_s >= clock_now() - 5 && got.accessed_s <= clock_now());
	assert_int_equal(index_remove(ix, gone, 2, &e), 0);
	assert_int_equal(index_get(ix, "x", take, NULL, &e), -1);
	assert_int_equal(index_pin(ix, "x", 1, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	assert_int_equal(index_pin(ix, "new", 1, &e), 0);
	assert_int_equal(index_lease(ix, "new", 12345, &e), 0);
	look(ix, "new");
	assert_int_equal(got.pinned, 1);
	assert_int_equal(got.leased_s, 12345);
	assert_int_equal(index_pin(ix, "new", 0, &e), 0);
	look(ix, "new");
	assert_int_equal(got.pinned, 0);
	index_close(ix, NULL);
}

struct seen {
	struct index *ix;
	char last[100];
	int64_t accessed;
	int n, stop_at, by_access, sorted, again;
};

static int
see(void *ctx, const struct index_entry *x, struct err *e)
{
	struct seen *s = ctx;
	int order = strcmp(x->name, s->last);

	if (s->n && (s->by_access ? x->accessed_s < s->accessed ||
	    (x->accessed_s == s->accessed && order <= 0) : order <= 0))
		s->sorted = 0;
	snprintf(s->last, sizeof(s->last), "%s", x->name);
	s->accessed = x->accessed_s;
	if (s->again && index_pin(s->ix, x->name, 1, e) < 0)	/* from within each() */
		return -1;
	return ++s->n == s->stop_at;
}

static int
count(struct index *ix, const char *prefix, enum index_order order, struct seen *s)
{
	struct err e;

	s->ix = ix;
	s->sorted = 1;
	s->by_access = order == INDEX_BY_ACCESS;
	if (index_each(ix, prefix, order, see, s, &e) < 0)
		fail_msg("%s", e.text);
	return s->n;
}

#define MANY 2000
static void
test_each(void **state)
{
	static char names[MANY][20];
	static struct index_entry v[MANY];
	struct index *ix = fresh();
	struct index_info info;
	struct seen s;
	struct err e;
	int i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "%c/%d", "abc"[i % 3], i);
		v[i] = entry(names[i], 10, 100);
		v[i].accessed_s = i / 700;	/* long runs of the same time */
	}
	assert_int_equal(index_put(ix, v, MANY, &e), 0);
	s = (struct seen){ 0 };
	assert_int_equal(count(ix, "", INDEX_BY_NAME, &s), MANY);
	assert_true(s.sorted);
	s = (struct seen){ 0 };
	assert_int_equal(count(ix, "", INDEX_BY_ACCESS, &s), MANY);
	assert_true(s.sorted);
	s = (struct seen){ .again = 1 };
	assert_int_equal(count(ix, "b/", INDEX_BY_NAME, &s), 667);
	s = (struct seen){ 0 };
	assert_int_equal(count(ix, "b/", INDEX_BY_ACCESS, &s), 667);
	assert_true(s.sorted);
	s = (struct seen){ .stop_at = 600 };
	assert_int_equal(count(ix, "", INDEX_BY_NAME, &s), 600);
	s = (struct seen){ 0 };
	assert_int_equal(count(ix, "zz", INDEX_BY_NAME, &s), 0);
	assert_int_equal(index_info(ix, &info, &e), 0);
	assert_int_equal(info.entries, MANY);
	assert_int_equal(info.bytes, MANY * 10);
	assert_int_equal(info.version, 1);
	assert_int_equal(info.rebuilt_s, 0);
	assert_true(info.made_s >= clock_now() - 60 && info.made_s <= clock_now());
	index_close(ix, NULL);
}

static void
test_rebuild(void **state)
{
	struct index *a = fresh(), *b = again(INDEX_WRITE);
	struct index_entry v[] = { entry("old", 1, 1), entry("kept", 2, 2), entry("new", 3, 3) };
	struct index_use used = { "kept", 7, 50 };
	struct index_info info;
	uint64_t dropped;
	struct err e;

	(void)state;
	assert_int_equal(index_rebuild_end(a, NULL, &e), -1);
	assert_int_equal(index_put(a, v, 2, &e), 0);
	assert_int_equal(index_access(a, &used, 1, &e), 0);
	assert_int_equal(index_rebuild_begin(a, &e), 0);
	assert_int_equal(index_put(a, v + 1, 1, &e), 0);
	assert_int_equal(index_put(b, v + 2, 1, &e), 0);	/* another writer meanwhile */
	assert_int_equal(index_rebuild_end(a, &dropped, &e), 0);
	assert_int_equal(dropped, 1);
	look(a, "kept");
	assert_int_equal(got.hits, 7);
	look(a, "new");
	assert_int_equal(index_get(a, "old", take, NULL, &e), -1);
	assert_int_equal(index_info(a, &info, &e), 0);
	assert_true(info.rebuilt_s >= clock_now() - 60 && info.rebuilt_s <= clock_now());
	index_close(a, NULL);
	index_close(b, NULL);
}

static void
test_notes(void **state)
{
	struct index *ix = fresh(), *other = again(INDEX_WRITE);
	struct index_entry x = entry("n/1", 11, 22);
	struct err e;
	int i;

	(void)state;
	index_note_put(ix, &x);
	for (i = 0; i < 1000; i++)
		index_note(ix, "n/1", 1, 1000 + i);
	index_note(ix, "n/2", 2, 0);
	assert_int_equal(index_flush(ix, &e), 0);
	look(other, "n/1");
	assert_int_equal(got.hits, 1000);
	assert_int_equal(got.accessed_s, 1999);
	assert_int_equal(got.size, 11);
	index_note(ix, "n/2", 3, 0);
	assert_int_equal(index_close(ix, &e), 0);
	look(other, "n/2");
	assert_int_equal(got.hits, 5);
	index_close(other, NULL);
}

#define HOSTS 20		/* processes with an index each */
#define THREADS 5	/* of one more */
#define NAMES 300
#define ROUNDS 10

static void *
note_many(void *arg)
{
	char name[20];
	int i, k;

	for (k = 0; k < ROUNDS; k++)
		for (i = 0; i < NAMES; i++) {
			snprintf(name, sizeof(name), "w/%d", i);
			index_note(arg, name, 1, 100 + k);
		}
	return NULL;
}

/* Writes each round at once, so that others' writes come in between. */
static int
be_host(void)
{
	struct index *ix = again(INDEX_WRITE);
	int i, k, rc = 0;

	for (k = 0; k < ROUNDS; k++) {
		struct index_use v[NAMES];
		char name[NAMES][20];
		struct err e;

		for (i = 0; i < NAMES; i++) {
			snprintf(name[i], sizeof(name[i]), "w/%d", i);
			v[i] = (struct index_use){ name[i], 1, 100 + k };
		}
		if (index_access(ix, v, NAMES, &e) < 0)
			rc = fprintf(stderr, "# %s\n", e.text);
	}
	return index_close(ix, NULL) != 0 || rc;
}

static int
check_hits(void *ctx, const struct index_entry *x, struct err *e)
{
	if (x->hits != (HOSTS + THREADS) * ROUNDS || x->accessed_s != 100 + ROUNDS - 1)
		return err_set(e, ERR_FAILED, "%s: %llu hits, at %lld", x->name,
			(unsigned long long)x->hits, (long long)x->accessed_s);
	*(int *)ctx += 1;
	return 0;
}

/* Threads in one handle, and processes with one each: no use is lost. */
static void
test_many_writers(void **state)
{
	struct index *ix = fresh();
	pthread_t t[THREADS];
	pid_t pid[HOSTS];
	struct err e = { 0 };
	int i, status, n = 0;

	(void)state;
	index_close(ix, NULL);
	for (i = 0; i < HOSTS; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			_exit(be_host());
	}
	ix = again(INDEX_WRITE);
	for (i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, note_many, ix);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(index_flush(ix, &e), 0);
	for (i = 0; i < HOSTS; i++) {
		waitpid(pid[i], &status, 0);
		assert_int_equal(status, 0);
	}
	if (index_each(ix, "w/", INDEX_BY_NAME, check_hits, &n, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(n, NAMES);
	index_close(ix, NULL);
}

static void
test_absent(void **state)
{
	struct index *ix;
	struct err e;

	(void)state;
	serial++;
	assert_int_equal(index_open(&ix, place(), "s3://never/made", INDEX_READ, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	assert_null(ix);
	assert_int_equal(index_open(&ix, "ftp://x/y", "s3://b/p", INDEX_WRITE, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_int_equal(index_close(NULL, &e), 0);
}

static void
test_foreign_and_damaged(void **state)
{
	struct index_entry x = entry("k", 1, 1);
	struct index *ix = fresh();
	struct err e;
	int fd;

	(void)state;
	if (getenv("KVTOOLS_TEST_INDEX")) {	/* only a file can be either */
		index_close(ix, NULL);
		return;
	}
	index_put(ix, &x, 1, &e);
	index_close(ix, NULL);
	assert_int_equal(index_open(&ix, place(), "s3://other/p", INDEX_WRITE, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	/* the query that only says how to read, and a slash, make no other store */
	strcat(store, "/?dialect=lmcache");
	ix = again(INDEX_READ);
	index_close(ix, NULL);
	fd = open(place(), O_WRONLY);
	assert_int_equal(write(fd, "no database this", 16), 16);
	close(fd);
	assert_int_equal(index_open(&ix, place(), store, INDEX_WRITE, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_non_null(strstr(e.text, "kvstat index rebuild"));
	ix = again(INDEX_WRITE | INDEX_RENEW);
	assert_int_equal(index_get(ix, "k", take, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	index_close(ix, NULL);
}

/* Neither who asks nor how an answer is read makes it another store; its place does. */
static void
test_identity(void **state)
{
	char *a = index_identity("redis://h/3", NULL, NULL);
	char *b = index_identity("redis://h/3/?user=evictor&retry=5s", NULL, NULL);
	char *c = index_identity("redis://h/3?prefix=x", NULL, NULL);

	(void)state;
	assert_string_equal(a, b);
	assert_string_not_equal(a, c);
	free(a);
	free(b);
	free(c);
}

static void
test_json(void **state)
{
	struct index_entry x = entry("m/\xc3\xa9\"\\", 77, 1700000000), y;
	struct buf out = { 0 }, keep = { 0 };
	struct err e;

	(void)state;
	x.hash = "ab";
	x.parent = "-";
	x.tenant = x.labels = "";
	x.hits = 3;
	x.priority = -1;
	x.pinned = 1;
	x.cost = 1.5;
	x.accessed_s = 1700000001;
	assert_int_equal(index_entry_json(&out, &x), 0);
	if (index_entry_read(&y, &keep, out.p, out.len, &e) < 0)
		fail_msg("%s in %.*s", e.text, (int)out.len, out.p);
	assert_string_equal(y.name, x.name);
	assert_string_equal(y.parent, "-");
	assert_string_equal(y.tenant, "");
	assert_int_equal(y.size, 77);
	assert_int_equal(y.accessed_s, 1700000001);
	assert_int_equal(y.priority, -1);
	assert_int_equal(y.pinned, 1);
	assert_true(y.cost == 1.5);
	buf_free(&out);
	buf_free(&keep);
}

static void
test_json_bad(void **state)
{
	static const char *const bad[] = {
		"", "[]", "{}", "{\"schema\":\"kv.index/1\"}",
		"{\"schema\":\"kv.index/2\",\"name\":\"x\"}", "{\"name\":\"x\"}",
		"{\"schema\":\"kv.index/1\",\"name\":\"\"}",
		"{\"schema\":\"kv.index/1\",\"name\":5}",
		"{\"schema\":\"kv.index/1\",\"name\":\"x\",\"size\":-1}",
		"{\"schema\":\"kv.index/1\",\"name\":\"x\",\"size\":\"1\"}",
		"{\"schema\":\"kv.index/1\",\"name\":\"x\",\"created\":\"soon\"}",
		"{\"schema\":\"kv.index/1\",\"name\":\"x\",\"depth\":4294967296}",
		"{\"schema\":\"kv.index/1\",\"name\":\"x\"} {}",
		"{\"schema\":\"kv.index/1\",\"name\":\"x\"",
		"{\"schema\":\"kv.index/1\",\"name\":\"\\u0000\"}",
	};
	struct buf keep = { 0 };
	struct index_entry x;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		e.kind = ERR_NONE;
		if (index_entry_read(&x, &keep, bad[i], strlen(bad[i]), &e) != -1)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(e.kind, ERR_CORRUPT);
		buf_free(&keep);
	}
}

static int
clean(void **state)
{
	char cmd[100];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_get), cmocka_unit_test(test_put_again),
		cmocka_unit_test(test_access), cmocka_unit_test(test_each),
		cmocka_unit_test(test_rebuild), cmocka_unit_test(test_notes),
		cmocka_unit_test(test_many_writers), cmocka_unit_test(test_absent),
		cmocka_unit_test(test_foreign_and_damaged), cmocka_unit_test(test_identity),
		cmocka_unit_test(test_json), cmocka_unit_test(test_json_bad),
	};

	if (!mkdtemp(dir))
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, clean);
}
