#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/held.h"
#include "base/io.h"
#include "base/stop.h"
#include "store/s3_lifecycle.h"
#include "store/s3_note.h"
#include "store/s3_versions.h"
#include "store/store.h"

/* The S3 back end against tests/server/s3hostile.py, which checks signatures by its own code. */

#define SIZE 300000
#define LIFE 3		/* seconds that issued keys are good */
#define LIFE_TEXT "3"

static pid_t server;
static int server_in = -1;
static char endpoint[64];
static unsigned char data[SIZE];
static char run[] = "/tmp/kvtools.run.XXXXXX";	/* notes of uploads */
static struct conf *confs[64];
static int n_confs;

static struct store *
open_with(const char *url, unsigned flags, struct err *e, ...)
{
	struct store_opts o = { .flags = flags };
	struct conf *c;
	struct store *s;
	const char *name;
	va_list ap;

	assert_int_equal(conf_open(&c, "/dev/null", e), 0);
	va_start(ap, e);
	while ((name = va_arg(ap, const char *)))
		conf_set(c, name, va_arg(ap, const char *), e);
	va_end(ap);
	o.conf = c;
	if (store_open(&s, url, &o, e) < 0) {
		conf_close(c);
		return NULL;
	}
	confs[n_confs++] = c;	/* it must outlive the store */
	return s;
}

static struct store *
the_bucket(const char *prefix)
{
	char url[128];
	struct err e;
	struct store *s;

	snprintf(url, sizeof(url), "s3://bucket/%s", prefix);
	s = open_with(url, STORE_WRITE, &e, "retries", "4", "timeout", "1s", NULL);
	if (!s)
		fail_msg("%s", e.text);
	return s;
}

static int
put(struct store *s, const char *name, const void *p, size_t n, int excl, struct err *e)
{
	struct iovec iov[2] = { { (void *)p, n / 3 }, { (char *)p + n / 3, n - n / 3 } };
	struct store_put how = { .excl = excl };

	return store_put(s, name, iov, 2, &how, e);
}

struct sum {
	size_t n;
	const unsigned char *next;
	int wrong;
};

/* Bytes must be seen once, in order. */
static void
seen(void *ctx, const void *p, size_t n)
{
	struct sum *m = ctx;

	if (m->n + n > SIZE || memcmp(m->next, p, n) != 0)
		m->wrong = 1;
	m->next += n;
	m->n += n;
}

static int
get(struct store *s, const char *name, uint64_t off, uint64_t len, struct err *e)
{
	struct block b = { malloc(SIZE), 0, SIZE };
	struct sum m = { .next = data + (off < SIZE ? off : 0) };
	struct store_get g = { .out = &b, .seen = seen, .ctx = &m };
	size_t want = off >= SIZE ? 0 : len < SIZE - off ? (size_t)len : (size_t)(SIZE - off);
	int rc = store_get(s, name, off, len, &g, e);

	if (rc == 0) {
		assert_int_equal(b.len, want);
		assert_memory_equal(b.p, data + (off < SIZE ? off : 0), want);
		assert_int_equal(m.wrong, 0);
		assert_int_equal(m.n, want);
		assert_int_equal(g.size, SIZE);
	}
	free(b.p);
	return rc;
}

static void
good(struct store *s, const char *name)
{
	struct err e;

	if (put(s, name, data, SIZE, 0, &e) < 0 || get(s, name, 0, UINT64_MAX, &e) < 0)
		fail_msg("%s", e.text);
}

static void
objects(void **state)
{
	static const char *const names[] = {
		"plain", "a/b/c", "per%cent %41", "at@plus+ tilde~", "\xc3\xa9\xe2\x82\xac",
		"q?a=b&c", "<&>\"'", "(*)!$,;:=", "#hash",
	};
	struct store *s = the_bucket("odd names");
	struct store_item it;
	struct err e;
	size_t i;
	(void)state;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		good(s, names[i]);
		assert_int_equal(store_stat(s, names[i], &it, &e), 0);
		assert_int_equal(it.size, SIZE);
		assert_true(it.mtime_ns / 1000000000 > clock_now() - 60);
	}
	assert_int_equal(get(s, "plain", 10, 20, &e), 0);
	assert_int_equal(get(s, "plain", SIZE - 5, 20, &e), 0);
	assert_int_equal(get(s, "plain", SIZE, 20, &e), 0);
	assert_int_equal(get(s, "plain", SIZE + 9, UINT64_MAX, &e), 0);
	assert_int_equal(put(s, "plain", data, 10, 1, &e), 1);
	assert_int_equal(get(s, "plain", 0, UINT64_MAX, &e), 0);
	assert_int_equal(get(s, "absent", 0, UINT64_MAX, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	assert_int_equal(store_stat(s, "absent", &it, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	store_close(s);
}

static int
collect(void *ctx, const struct store_item *it, struct err *e)
{
	(void)e;
	return buf_printf(ctx, "%s%s ", it->name, it->dir ? "(dir)" : "");
}

static void
list_and_delete(void **state)
{
	struct store *s = the_bucket("l");
	static const char *const gone[] = { "a/1", "a/<2>&", "fonce", "nothere" };
	static const char *const kept[] = { "b", "fkeep" };
	static const char *const other[] = { "fother-1", "fother-2" };
	signed char states[4];
	struct store_item it;
	struct buf got = { 0 };
	struct err e;
	size_t i;
	(void)state;

	for (i = 0; i < 3; i++)
		put(s, gone[i], "x", 1, 0, &e);
	for (i = 0; i < 2; i++)
		put(s, kept[i], "x", 1, 0, &e);
	assert_int_equal(store_lock(s, "evict", &e), 0);
	assert_int_equal(store_list(s, "", 0, collect, &got, &e), 0);
	assert_string_equal(buf_text(&got), "a/1 a/<2>& b fkeep fonce ");
	got.len = 0;
	assert_int_equal(store_list(s, "", STORE_LIST_DIRS, collect, &got, &e), 0);
	assert_non_null(strstr(buf_text(&got), "a/(dir) "));
	assert_null(strstr(got.p, "a/1"));
	got.len = 0;
	assert_int_equal(store_list(s, "a/", 0, collect, &got, &e), 0);
	assert_string_equal(buf_text(&got), "a/1 a/<2>& ");
	store_unlock(s, "evict");

	assert_int_equal(store_delete(s, gone, 4, states, &e), 0);
	assert_int_equal(store_delete(s, kept, 2, states, &e), -1);
	assert_int_equal(states[0], 0);
	got.len = 0;
	assert_int_equal(store_list(s, "", 0, collect, &got, &e), 0);
	buf_text(&got);
	assert_null(strstr(got.p, "a/"));
	assert_null(strstr(got.p, "fonce"));
	buf_free(&got);

	for (i = 0; i < 2; i++)
		put(s, other[i], "x", 1, 0, &e);
	assert_int_equal(store_delete(s, other, 2, states, &e), 0);
	assert_int_equal(store_stat(s, other[0], &it, &e), -1);
	store_close(s);
}

/* A server that is down is not asked for each object once more. */
static void
delete_of_many(void **state)
{
	static char name[200][24];
	const char *names[200];
	signed char states[200];
	struct err e;
	struct store *s = open_with("s3://bucket/many", STORE_WRITE, &e, "retries", "1", NULL);
	double start = clock_mono();
	size_t i;
	(void)state;

	assert_non_null(s);
	for (i = 0; i < 200; i++) {
		snprintf(name[i], sizeof(name[i]), "f503-9-fbatch-%zu", i);
		names[i] = name[i];
	}
	assert_int_equal(store_delete(s, names, 200, states, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	for (i = 0; i < 200; i++)
		assert_int_equal(states[i], -1);
	assert_true(clock_mono() - start < 5);
	store_close(s);
}

/* An answer to a batch that does not tell what was deleted: then each is asked for alone. */
static void
dumb_deletes(void **state)
{
	static const char *const how[] = { "empty", "html", "late", "cut", "nokey", "other" };
	struct store *s = the_bucket("l");
	char names[3][40];
	const char *v[3] = { names[0], names[1], names[2] };
	signed char states[3];
	struct buf got = { 0 };
	struct err e;
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(how) / sizeof(*how); i++) {
		for (k = 0; k < 3; k++) {
			snprintf(names[k], sizeof(names[k]), "dumb/fdumb-%s-%zu", how[i], k);
			put(s, names[k], "x", 1, 0, &e);
		}
		assert_int_equal(store_delete(s, v, 3, states, &e), 0);
		got.len = 0;
		assert_int_equal(store_list(s, "dumb/", 0, collect, &got, &e), 0);
		assert_string_equal(buf_text(&got), "");
		for (k = 0; k < 3; k++)
			assert_int_equal(states[k], 0);
	}
	buf_free(&got);
	store_close(s);
}

static void
transient_failures(void **state)
{
	struct store *s = the_bucket("t");
	static const char *const names[] = {
		"f503-2", "f500-1", "fslow-1", "fexpired-1", "fcut-2", "freset-1", "fstall-1",
		"fnorange", "fchunked", "funsized", "fcut-1-fnotag",
	};
	double start;
	struct err e;
	size_t i;
	(void)state;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		good(s, names[i]);
	assert_int_equal(get(s, "fnorange", 1000, 500, &e), 0);
	/* Retry-After is waited for. */
	start = clock_mono();
	assert_int_equal(put(s, "fslow-1 again", data, 10, 0, &e), 0);
	assert_true(clock_mono() - start > 0.9);
	store_close(s);
}

static void
lasting_failures(void **state)
{
	static const struct { const char *name; enum err_kind kind; const char *text; } all[] = {
		{ "f503-99", ERR_TEMP, "not available" },
		{ "fshort", ERR_TEMP, "299994 bytes of 299995" },
		{ "frange", ERR_CORRUPT, "another range" },
		{ "fswap-1", ERR_TEMP, "replaced" },
		{ "fskew", ERR_REFUSED, "clocks differ" },
		{ "fpolicy", ERR_REFUSED, "policy" },
		{ "fxml", ERR_FAILED, "status 400" },
		{ "fstranger", ERR_FAILED, "status 418" },
		{ "fredirect", ERR_USAGE, "--region" },
		{ "flength", ERR_CORRUPT, "length" },
		{ "ferrors", ERR_FAILED, "status 400" },
		{ "ftrailers", ERR_CORRUPT, "no end" },
	};
	struct err e;
	struct store *s = open_with("s3://bucket/bad", STORE_WRITE, &e, "retries", "1", NULL);
	size_t i;
	(void)state;

	assert_non_null(s);
	for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
		int rc = put(s, all[i].name, data, SIZE, 0, &e);

		if (rc == 0)
			rc = get(s, all[i].name, 5, UINT64_MAX, &e);
		assert_int_equal(rc, -1);
		if (e.kind != all[i].kind || !strstr(e.text, all[i].text))
			fail_msg("%s: %s (%s)", all[i].name, e.text, err_word(e.kind));
	}
	store_close(s);
}

/* A server that sends more than was asked for is not listened to for ever. */
static void
without_end(void **state)
{
	struct store *s = the_bucket("endless");
	unsigned char few[10];
	struct block b = { few, 0, sizeof(few) };
	struct store_get g = { .out = &b };
	struct err e;
	(void)state;

	assert_int_equal(put(s, "fendless", data, SIZE, 0, &e), 0);
	assert_int_equal(store_get(s, "fendless", 0, sizeof(few), &g, &e), 0);
	assert_memory_equal(few, "bodybodybo", sizeof(few));
	store_close(s);
}

/* Objects that come in several ranges: one that claims to be larger than memory, one that is
 * replaced after the first. */
static void
large(void **state)
{
	struct store *s = the_bucket("large");
	size_t n = 33 << 20;
	unsigned char *big = calloc(n, 1);
	struct store_get g = { 0 };
	struct pool *pool;
	struct block b;
	struct err e;
	(void)state;

	big[0] = 1;
	assert_int_equal(put(s, "fhuge", big, n, 0, &e), 0);
	assert_int_equal(put(s, "fnew", big, n, 0, &e), 0);
	assert_int_equal(pool_open(&pool, 256 << 20, &e), 0);
	assert_int_equal(pool_get(pool, 0, 8192, &b, &e), 0);
	g.pool = pool;
	g.out = &b;
	b.len = 4096;		/* as where a header will stand */
	assert_int_equal(store_get(s, "fhuge", 0, UINT64_MAX, &g, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	b.len = 0;
	assert_int_equal(store_get(s, "fnew", 0, UINT64_MAX, &g, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	pool_put(pool, &b);
	pool_close(pool);
	free(big);
	store_close(s);
}

static enum err_kind
why_not(const char *url, struct err *e, const char *name, const char *value)
{
	struct store *s = open_with(url, 0, e, "retries", "0", name, value, NULL);

	assert_null(s);
	return e->kind;
}

static void
cannot_open(void **state)
{
	char https[80];
	struct err e;
	(void)state;

	assert_int_equal(why_not("s3://nobucket", &e, "region", "r"), ERR_USAGE);
	assert_non_null(strstr(e.text, "bucket 'nobucket' does not exist"));
	assert_int_equal(why_not("s3://bucket", &e, "endpoint-url", "http://127.0.0.1:1"), ERR_TEMP);
	assert_non_null(strstr(e.text, "cannot be reached"));
	assert_int_equal(why_not("s3://bucket", &e, "endpoint-url", "http://h.invalid"), ERR_TEMP);
	snprintf(https, sizeof(https), "https%s", endpoint + 4);
	assert_int_equal(why_not("s3://bucket", &e, "endpoint-url", https), ERR_REFUSED);
	assert_non_null(strstr(e.text, "TLS"));
	assert_int_equal(why_not("s3://bucket", &e, "endpoint-url", "ftp://x"), ERR_USAGE);
}

static void
keys_that_fail(void **state)
{
	struct err e;
	(void)state;

	setenv("AWS_SECRET_ACCESS_KEY", "canary-secret", 1);
	assert_int_equal(why_not("s3://bucket", &e, "region", "r"), ERR_REFUSED);
	assert_non_null(strstr(e.text, "SignatureDoesNotMatch"));
	assert_null(strstr(e.text, "canary"));
	setenv("AWS_ACCESS_KEY_ID", "NOBODY", 1);
	assert_int_equal(why_not("s3://bucket", &e, "region", "r"), ERR_REFUSED);
	assert_non_null(strstr(e.text, "InvalidAccessKeyId"));
}

static int
count(void *ctx, const struct store_item *it, struct err *e)
{
	(void)it, (void)e;
	++*(long *)ctx;
	return 0;
}

static int
year(void *ctx, const struct store_item *it, struct err *e)
{
	(void)ctx, (void)e;
	assert_true(it->mtime_ns / 1000000000 > clock_now() + 86400);
	return 0;
}

static void
listings(void **state)
{
	struct store *s;
	struct err e;
	long n = 0;
	(void)state;

	s = open_with("s3://listcut-2", 0, &e, NULL);
	assert_int_equal(store_list(s, "", 0, count, &n, &e), 0);
	assert_int_equal(n, 0);
	store_close(s);
	s = open_with("s3://listbad", 0, &e, NULL);
	assert_int_equal(store_list(s, "", 0, count, &n, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	store_close(s);
	s = open_with("s3://listcircle", 0, &e, NULL);
	assert_int_equal(store_list(s, "", 0, count, &n, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	store_close(s);
	s = open_with("s3://listother", 0, &e, NULL);
	assert_int_equal(store_list(s, "", 0, count, &n, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_int_equal(store_sweep(s, 0, 1, count, &n, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_int_equal(s3_versions_each(s, NULL, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	store_close(s);
	s = open_with("s3://listyear9999", 0, &e, NULL);
	assert_int_equal(store_list(s, "", 0, year, &n, &e), 0);
	store_close(s);
	s = open_with("s3://million/m", 0, &e, NULL);
	n = 0;
	assert_int_equal(store_list(s, "bf16-tp1-r0/7f/", 0, count, &n, &e), 0);
	assert_true(n == 3906 || n == 3907);
	n = 0;
	assert_int_equal(store_list(s, "bf16-tp1-r0/", STORE_LIST_DIRS, count, &n, &e), 0);
	assert_int_equal(n, 256);
	store_close(s);
}

static void
region_of_bucket(void **state)
{
	struct err e;
	struct store *s = open_with("s3://region-eu-north-1", 0, &e, NULL);
	long n = 0;
	(void)state;

	assert_non_null(s);
	assert_int_equal(store_list(s, "", 0, count, &n, &e), 0);
	store_close(s);
	/* What cannot stand in a host's name is not gone after. */
	s = open_with("s3://region-a,b", 0, &e, "retries", "0", NULL);
	assert_null(s);
	assert_int_equal(e.kind, ERR_USAGE);
}

static void
parts(void **state)
{
	struct err e;
	struct store *s = open_with("s3://bucket/parts", STORE_WRITE, &e, "multipart-size", "5MiB",
		"retries", "1", NULL);
	size_t n = (12 << 20) + 5;
	unsigned char *big = malloc(n);
	struct block b = { malloc(n), 0, n };
	struct store_get g = { .out = &b };
	long litter = 0;
	(void)state;

	for (size_t i = 0; i < n; i++)
		big[i] = (unsigned char)(i >> 12);
	assert_int_equal(put(s, "big", big, n, 1, &e), 0);
	assert_int_equal(put(s, "big", big, n, 1, &e), 1);
	assert_int_equal(store_get(s, "big", 0, UINT64_MAX, &g, &e), 0);
	assert_int_equal(b.len, n);
	assert_memory_equal(b.p, big, n);
	/* The answer to the completion was lost; the object is there. */
	assert_int_equal(put(s, "flost", big, n, 0, &e), 0);
	/* It failed: nothing is there, and no upload is left. */
	assert_int_equal(put(s, "finside", big, n, 0, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_int_equal(store_sweep(s, 0, 1, count, &litter, &e), 0);
	assert_int_equal(litter, 0);
	free(big);
	free(b.p);
	store_close(s);
}

static size_t
notes(void)
{
	char pattern[64];
	glob_t g;
	size_t n;

	snprintf(pattern, sizeof(pattern), "%s/kvtools/*", run);
	n = glob(pattern, 0, NULL, &g) == 0 ? g.gl_pathc : 0;
	if (n)
		globfree(&g);
	return n;
}

static void
need_locks(void)
{
	int fd = open(run, O_RDONLY | O_DIRECTORY), here = held_here(fd);

	close(fd);
	if (!here)
		skip();
}

/* How many a sweep tells of. */
static long
swept(struct store *s, double min_age_s, int dry)
{
	struct err e;
	long n = 0;

	if (store_sweep(s, min_age_s, dry, count, &n, &e) < 0)
		fail_msg("%s", e.text);
	return n;
}

static pid_t
begin_upload(const char *prefix)
{
	size_t n = 12 << 20;
	pid_t pid = fork();
	char url[64];
	struct err e;

	if (pid == 0) {
		snprintf(url, sizeof(url), "s3://bucket/%s", prefix);
		_exit(put(open_with(url, STORE_WRITE, &e, "multipart-size", "5MiB", "bwlimit",
			"2MB/s", NULL), "x", calloc(1, n), n, 0, &e) < 0);
	}
	for (int i = 0; i < 10000 && notes() == 0; i++)
		usleep(1000);
	return pid;
}

static void
dead_writers(void **state)
{
	struct store *s = the_bucket("dead"), *other = the_bucket("other");
	struct s3_note note;
	pid_t pid;
	(void)state;

	need_locks();
	pid = begin_upload("dead");
	/* it lives: at no age */
	assert_int_equal(swept(s, -10, 0), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(swept(other, 3600, 0), 0);
	assert_int_equal(notes(), 1);
	assert_int_equal(swept(s, 3600, 1), 1);
	assert_int_equal(swept(s, -10, 1), 1);	/* by note and by age, but told once */
	assert_int_equal(swept(s, 3600, 0), 1);
	assert_int_equal(swept(s, -10, 0), 0);
	assert_int_equal(notes(), 0);
	/* it died when all was done, but for its note */
	s3_note_begin(&note, (struct s3 *)s, "dead/x", "nosuch");
	s3_note_end(&note, 1);
	assert_int_equal(swept(s, 3600, 1), 0);
	assert_int_equal(notes(), 1);
	assert_int_equal(swept(s, 3600, 0), 0);
	assert_int_equal(notes(), 0);
	store_close(other);
	store_close(s);
}

static void
bad_notes(void **state)
{
	struct store *s = the_bucket("dead");
	struct s3_note note;
	int dirs[S3_NOTE_DIRS];
	char text[300];
	(void)state;

	need_locks();
	/* neither text nor name of one */
	snprintf(text, sizeof(text), "cd %s/kvtools && echo x >x && echo aws b c d >%032d && "
		"head -c 20000 /dev/zero >%032d && mkdir %032d && >.%032d", run, 1, 2, 3, 4);
	assert_int_equal(system(text), 0);
	assert_int_equal(swept(s, 3600, 0), 0);
	assert_int_equal(notes(), 4);		/* all but the one that had no name yet */
	snprintf(text, sizeof(text), "rm -r %s/kvtools/*; ls -A %s/kvtools | grep .", run, run);
	assert_int_not_equal(system(text), 0);
	/* where others may write no note counts */
	s3_note_begin(&note, (struct s3 *)s, "dead/x", "id");
	s3_notes_open(dirs);
	assert_true(dirs[0] >= 0);
	assert_int_equal(s3_notes_have(dirs, (struct s3 *)s, "dead/x", "id"), 1);
	assert_int_equal(s3_notes_have(dirs, (struct s3 *)s, "dead/x", "id2"), 0);
	s3_notes_close(dirs);
	s3_note_end(&note, 0);
	snprintf(text, sizeof(text), "%s/kvtools", run);
	assert_int_equal(chmod(text, 0770), 0);
	s3_notes_open(dirs);
	assert_int_equal(dirs[0], -1);
	s3_notes_close(dirs);
	assert_int_equal(rmdir(text), 0);
	assert_int_equal(symlink("/", text), 0);
	s3_notes_open(dirs);
	assert_int_equal(dirs[0], -1);
	s3_notes_close(dirs);
	assert_int_equal(unlink(text), 0);
	store_close(s);
}

static void
locks(void **state)
{
	struct store *a = the_bucket("lock"), *b = the_bucket("lock");
	struct err e;
	pid_t pid;
	(void)state;

	assert_int_equal(store_lock(a, "evict", &e), 0);
	assert_int_equal(store_lock(b, "other", &e), 0);
	assert_int_equal(store_lock(b, "evict", &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_non_null(strstr(e.text, "held by process"));
	store_unlock(a, "evict");
	assert_int_equal(store_lock(b, "evict", &e), 0);
	store_unlock(b, "evict");
	/* The answer to the request for it was lost. */
	assert_int_equal(store_lock(a, "flost", &e), 0);
	assert_int_equal(store_lock(b, "flost", &e), -1);
	/* A dead holder's lock is taken over. */
	pid = fork();
	if (pid == 0)
		_exit(store_lock(a, "dead", &e) < 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(store_lock(b, "dead", &e), 0);
	store_close(a);
	store_close(b);
}

static void
lifecycles(void **state)
{
	static const char foreign[] = "<LifecycleConfiguration><Rule><ID>theirs</ID><Filter><And>"
		"<Prefix>x</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>"
		"<Status>Disabled</Status><Expiration><Days>3</Days></Expiration></Rule>"
		"</LifecycleConfiguration>";
	struct s3_rule ours = {
		.id = "kvtools-a&b", .prefix = "p/<m>/", .days = 7, .abort_days = 2, .enabled = 1,
	}, *got;
	struct store *s = the_bucket("");
	struct buf xml = { 0 };
	struct err e;
	size_t n;
	(void)state;

	assert_int_equal(s3_lifecycle_get(s, &xml, &e), 0);
	assert_int_equal(xml.len, 0);
	buf_str(&xml, foreign);
	assert_int_equal(s3_lifecycle_parse(&got, &n, &xml, &e), 0);
	assert_int_equal(n, 1);
	assert_string_equal(got->id, "theirs");
	assert_string_equal(got->prefix, "x");
	assert_int_equal(got->days, 3);
	assert_int_equal(got->enabled, 0);
	free(got);
	xml.len = 0;
	if (s3_lifecycle_install(s, &ours, 1, &e) < 0)
		fail_msg("%s", e.text);
	ours.days = 9;
	assert_int_equal(s3_lifecycle_install(s, &ours, 1, &e), 0);
	assert_int_equal(s3_lifecycle_get(s, &xml, &e), 0);
	assert_int_equal(s3_lifecycle_parse(&got, &n, &xml, &e), 0);
	assert_int_equal(n, 1);
	assert_memory_equal(got, &ours, sizeof(ours.id));
	assert_string_equal(got->prefix, ours.prefix);
	assert_int_equal(got->days, 9);
	free(got);
	xml.len = 0;
	assert_int_equal(s3_lifecycle_install(s, NULL, 0, &e), 0);
	assert_int_equal(s3_lifecycle_get(s, &xml, &e), 0);
	assert_int_equal(xml.len, 0);
	buf_free(&xml);
	store_close(s);
	store_open(&s, "mem:", NULL, &e);
	assert_int_equal(s3_lifecycle_install(s, &ours, 1, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	store_close(s);
}

/* Each service that gives credentials, and signing with a session token. */
static void
services(void **state)
{
	char url[128], path[] = "/tmp/kvtools.s3.XXXXXX";
	int fd = mkstemp(path);
	struct err e;
	struct store *s;
	(void)state;

	unsetenv("AWS_ACCESS_KEY_ID");
	snprintf(url, sizeof(url), "%s/creds", endpoint);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token", 1);
	s = the_bucket("c");
	good(s, "container");
	store_close(s);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrong", 1);
	assert_int_equal(why_not("s3://bucket", &e, "region", "r"), ERR_REFUSED);
	unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");

	unsetenv("AWS_EC2_METADATA_DISABLED");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint, 1);
	s = the_bucket("c");
	good(s, "instance");
	store_close(s);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	assert_int_equal(why_not("s3://bucket", &e, "region", "r"), ERR_REFUSED);
	assert_non_null(strstr(e.text, "no AWS credentials"));

	assert_int_equal(io_write(fd, "web-token\n", 10, &e), 0);
	close(fd);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", path, 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", 1);
	s = the_bucket("c");
	good(s, "web");
	store_close(s);
	unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");
	unlink(path);
}

/* Keys that end are renewed: by their time, and when the server will not have them. */
static void
renewed(void **state)
{
	char url[128];
	struct store *s;
	struct err e;
	(void)state;

	unsetenv("AWS_ACCESS_KEY_ID");
	snprintf(url, sizeof(url), "%s/creds", endpoint);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token", 1);
	s = the_bucket("c");
	good(s, "first");
	assert_int_equal(clock_sleep(LIFE + 1, &e), 0);
	good(s, "second");
	good(s, "fexpired-1");
	/* Nothing better to be had, and these still good: they stay in use. */
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrong", 1);
	good(s, "third");
	unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	store_close(s);
}

static void
assumed_role(void **state)
{
	char path[] = "/tmp/kvtools.s3.XXXXXX";
	int fd = mkstemp(path);
	struct err e;
	struct store *s;
	static const char text[] = "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = b\n"
		"[profile b]\naws_access_key_id = TESTKEY\naws_secret_access_key = testsecret\n"
		"[profile env]\nrole_arn = arn:aws:iam::1:role/r\n"
		"credential_source = Environment\n";
	(void)state;

	unsetenv("AWS_ACCESS_KEY_ID");
	assert_int_equal(io_write(fd, text, sizeof(text) - 1, &e), 0);
	close(fd);
	setenv("AWS_CONFIG_FILE", path, 1);
	s = the_bucket("c");
	good(s, "role");
	store_close(s);
	setenv("AWS_ACCESS_KEY_ID", "TESTKEY", 1);
	s = open_with("s3://bucket/c", STORE_WRITE, &e, "profile", "env", NULL);
	assert_non_null(s);
	good(s, "role2");
	store_close(s);
	setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
	unlink(path);
}

static void
stopped(void **state)
{
	struct store *s = the_bucket("s");
	struct err e;
	(void)state;

	stop_ask(15);
	assert_int_equal(put(s, "x", data, 10, 0, &e), -1);
	assert_int_equal(e.kind, ERR_STOPPED);
	stop_ask(0);
	store_close(s);
}

static void
slow_lane(void **state)
{
	struct err e;
	struct store *s = open_with("s3://bucket/slow", STORE_WRITE, &e, "bwlimit", "1MB/s", NULL);
	double start = clock_mono(), took;
	(void)state;

	assert_int_equal(put(s, "x", data, SIZE, 0, &e), 0);
	assert_int_equal(get(s, "x", 0, UINT64_MAX, &e), 0);
	took = clock_mono() - start;
	assert_true(took >= 0.4 && took < 1.3);
	store_close(s);
}

/* What every test begins with. */
static int
environment(void **state)
{
	(void)state;
	setenv("XDG_RUNTIME_DIR", run, 1);
	setenv("AWS_ACCESS_KEY_ID", "TESTKEY", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "testsecret", 1);
	setenv("AWS_ENDPOINT_URL", endpoint, 1);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
	setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
	return 0;
}

static int
start_server(void **state)
{
	int in[2], out[2];
	char line[64] = "";
	struct err e;

	(void)state;
	if (!mkdtemp(run) || pipe(in) < 0 || pipe(out) < 0)
		return -1;
	server = fork();
	if (server == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[0]), close(in[1]), close(out[0]), close(out[1]);
		execl("tests/server/s3hostile.py", "s3hostile.py", "--life", LIFE_TEXT, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server_in = in[1];
	for (size_t n = 0; n + 1 < sizeof(line) && !strchr(line, '\n'); n++)
		if (io_read(out[0], line + n, 1, &e) != 1)
			return -1;
	close(out[0]);
	snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", atoi(line + 5));
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (unsigned char)(i * 7 + (i >> 8));
	return 0;
}

static int
end_server(void **state)
{
	(void)state;
	while (n_confs > 0)
		conf_close(confs[--n_confs]);
	close(server_in);
	rmdir(run);
	return waitpid(server, NULL, 0) == server ? 0 : -1;
}

#define T(f) cmocka_unit_test_setup(f, environment)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(objects), T(list_and_delete), T(delete_of_many), T(dumb_deletes), T(without_end),
		T(large),
		T(transient_failures), T(lasting_failures),
		T(cannot_open), T(keys_that_fail), T(listings), T(region_of_bucket), T(parts),
		T(dead_writers), T(bad_notes), T(locks), T(lifecycles), T(services), T(renewed), T(assumed_role), T(stopped), T(slow_lane),
	};

	if (access("/usr/bin/python3", X_OK) < 0) {
		printf("1..0 # SKIP no python3\n");
		return 0;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, start_server, end_server);
}
