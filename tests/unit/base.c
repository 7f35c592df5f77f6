#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/near.h"
#include "base/num.h"
#include "base/par.h"
#include "base/pool.h"
#include "base/stop.h"
#include "base/uri.h"

static void
sizes(void **state)
{
	static const struct { const char *text; uint64_t v; } good[] = {
		{ "0", 0 }, { "500", 500 }, { "500G", 500ull << 30 }, { "500GiB", 500ull << 30 },
		{ "2TB", 2000000000000 }, { "1.5K", 1536 }, { "7B", 7 },
		{ "18446744073709551615", UINT64_MAX },
	};
	static const char *const bad[] = { "", "-1", " 1", "1 ", "G", "1X", "1GBB", "0x10", "1e3",
		"18446744073709551616", "99999999P", "1..5K", "." };
	struct err e;
	uint64_t v;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(num_size(&v, good[i].text, "size", &e), 0);
		assert_true(v == good[i].v);
	}
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		e.kind = ERR_NONE;
		assert_int_equal(num_size(&v, bad[i], "size", &e), -1);
		assert_int_equal(e.kind, ERR_USAGE);
	}
}

static void
durations_and_rates(void **state)
{
	static const char *const bad[] = { "", "1", "d", "1x", "1d 2h", "-1s", "3mo", "1h2" };
	struct err e;
	double s;
	uint64_t r;
	size_t i;

	(void)state;
	assert_int_equal(num_duration(&s, "1d12h", "t", &e), 0);
	assert_true(s == 129600);
	assert_int_equal(num_duration(&s, "90", "t", &e), 0);
	assert_true(s == 90);
	assert_int_equal(num_duration(&s, "250ms", "t", &e), 0);
	assert_true(s == 0.25);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (strcmp(bad[i], "1") != 0)
			assert_int_equal(num_duration(&s, bad[i], "t", &e), -1);
	assert_int_equal(num_rate(&r, "2GB/s", "r", &e), 0);
	assert_int_equal(r, 2000000000);
	assert_int_equal(num_rate(&r, "10Gbit/s", "r", &e), 0);
	assert_int_equal(r, 1250000000);
	assert_int_equal(num_rate(&r, "10Gb/s", "r", &e), -1);
	assert_int_equal(num_percent(&s, "25%", "p", &e), 0);
	assert_int_equal(num_percent(&s, "25", "p", &e), -1);
	assert_int_equal(num_percent(&s, "101%", "p", &e), -1);
}

static void
uris(void **state)
{
	static const char *const bad[] = { "", "redis://u:secret@h/0", "s3://me@b/k", "tcp://[::1",
		"tcp://h:99999", "tcp://h:x", "s3://b/%zz", "s3://b/%00" };
	struct uri *u;
	struct err e;
	char safe[256];
	size_t i;

	(void)state;
	assert_int_equal(uri_parse(&u, "s3://bucket/a%20b/c?dialect=lmcache&x=1%2B1", &e), 0);
	assert_string_equal(u->scheme, "s3");
	assert_string_equal(u->host, "bucket");
	assert_string_equal(u->path, "/a b/c");
	assert_string_equal(uri_arg(u, "x"), "1+1");
	assert_null(uri_arg(u, "y"));
	uri_free(u);
	assert_int_equal(uri_parse(&u, "tcp://[::1]:7471", &e), 0);
	assert_string_equal(u->host, "::1");
	assert_int_equal(u->port, 7471);
	uri_free(u);
	/* paths are taken as they are */
	assert_int_equal(uri_parse(&u, "./what?is:this%20", &e), 0);
	assert_string_equal(u->scheme, "file");
	assert_string_equal(u->path, "./what?is:this%20");
	uri_free(u);
	assert_int_equal(uri_parse(&u, "/kv?dialect=lmcache", &e), 0);
	assert_string_equal(u->path, "/kv");
	uri_free(u);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(uri_parse(&u, bad[i], &e), -1);
		assert_null(strstr(e.text, "secret"));
	}
	assert_null(strstr(uri_safe(safe, "redis://u:secret@h/0?a=secret"), "secret"));
}

/* Tokens of a text as one letter each; "!" where it fails. */
static const char *
tokens(const char *text)
{
	static char out[100];
	static const char letters[] = "E{}[]NSntfz";
	struct json j;
	struct err e;
	int t, n = 0;

	json_open(&j, text, strlen(text));
	do {
		t = json_next(&j, &e);
		out[n++] = t < 0 ? '!' : letters[t];
	} while (t > 0 && n < 99);
	out[n] = 0;
	return out;
}

static void
json(void **state)
{
	static const char *const bad[] = { "", "{", "[1,]", "{\"a\":}", "{\"a\" 1}", "{a:1}", "01",
		"1.", "-", "\"\x01\"", "\"\\x\"", "\"\\u12\"", "\"", "nul", "[1 2]", "{} {}",
		"\"\xff\"", "\"\xc0\x80\"", "{\"a\":1,}", "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]" };
	struct buf b = { 0 };
	struct json j;
	struct err e;
	size_t i;

	(void)state;
	assert_string_equal(tokens(" {\"a\":[1,true,null,\"x\"],\"b\":{}} "), "{N[ntzS]N{}}E");
	assert_string_equal(tokens("-1.5e+3"), "nE");
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_non_null(strchr(tokens(bad[i]), '!'));
	json_open(&j, "\"a\\u00e4\\n\\ud83d\\ude00\"", 24);
	assert_int_equal(json_next(&j, &e), JSON_STRING);
	assert_int_equal(json_unescape(&j, &b, &e), 0);
	assert_string_equal(buf_text(&b), "a\xc3\xa4\n\xf0\x9f\x98\x80");
	b.len = 0;
	buf_json(&b, "q\"\\\x01\xff", 5);
	assert_string_equal(buf_text(&b), "\"q\\\"\\\\\\u0001\xef\xbf\xbd\"");
	buf_free(&b);
	/* what ends or breaks a string does so wherever it stands among others */
	for (i = 0; i < 20; i++) {
		char text[80];

		snprintf(text, sizeof(text), "\"%.*s\"", (int)i, "aaaaaaaaaaaaaaaaaaaa");
		assert_string_equal(tokens(text), "SE");
		snprintf(text, sizeof(text), "\"%.*s\x1f\"", (int)i, "zzzzzzzzzzzzzzzzzzzz");
		assert_string_equal(tokens(text), "!");
		snprintf(text, sizeof(text), "\"%.*s\\\"\xc3\xa4\x7f\"  ", (int)i, "~~~~~~~~~~~~~~~~~~~~");
		assert_string_equal(tokens(text), "SE");
		snprintf(text, sizeof(text), "%*s[%*s]%*s", (int)i, "", (int)i, "", (int)i, "");
		assert_string_equal(tokens(text), "[]E");
	}
	buf_u64(&b, 0);
	buf_u64(&b, UINT64_MAX);
	assert_string_equal(buf_text(&b), "018446744073709551615");
	b.len = 0;
	json_open(&j, "\"\\u0000\"", 8);
	assert_int_equal(json_next(&j, &e), JSON_STRING);
	assert_int_equal(json_unescape(&j, &b, &e), -1);
	buf_free(&b);
}

static void
times(void **state)
{
	struct err e;
	char text[32];
	int64_t t;

	(void)state;
	assert_int_equal(clock_read(&t, "2026-11-21T02:16:00Z", &e), 0);
	assert_string_equal(clock_text(text, t), "2026-11-21T02:16:00Z");
	assert_int_equal(clock_ns(t), t * 1000000000);
	assert_true(clock_ns(253402300799) > INT64_MAX - 1000000000);	/* of the year 9999 */
	assert_true(clock_ns(-253402300799) < INT64_MIN + 1000000000);
	assert_int_equal(clock_read(&t, "2026-02-31T00:00:00Z", &e), -1);
	assert_int_equal(clock_read(&t, "2026-02-01", &e), -1);
	assert_int_equal(clock_read(&t, "2026-02-01T00:00:00+02:00", &e), -1);
}

static void
severity(void **state)
{
	(void)state;
	assert_int_equal(err_worst(ERR_PARTIAL, ERR_ABSENT), ERR_PARTIAL);
	assert_int_equal(err_worst(ERR_CORRUPT, ERR_REFUSED), ERR_CORRUPT);
	assert_int_equal(err_worst(ERR_REFUSED, ERR_TEMP), ERR_REFUSED);
	assert_int_equal(err_worst(ERR_NONE, ERR_ABSENT), ERR_ABSENT);
	assert_int_equal(err_status(ERR_CORRUPT), 4);
}

static void
replacing(void **state)
{
	char dir[] = "/tmp/kvtools-base.XXXXXX", path[64];
	struct buf b = { 0 };
	struct stat st;
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/f", dir);
	assert_int_equal(io_replace(path, "one", 3, 0644, &e), 0);
	assert_int_equal(io_replace(path, "two!", 4, 0600, &e), 0);
	assert_int_equal(io_slurp(path, &b, 100, &e), 0);
	assert_int_equal(b.len, 4);
	assert_int_equal(io_slurp(path, &b, 3, &e), -1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	buf_free(&b);
	unlink(path);
	rmdir(dir);
	assert_int_equal(io_replace(path, "x", 1, 0644, &e), -1);
	assert_int_equal(io_replace("/dev/null", "x", 1, 0644, &e), 0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

static void *
empty_slowly(void *arg)
{
	char piece[50000];
	size_t all = 0;
	ssize_t n;

	while ((n = read(*(int *)arg, piece, sizeof(piece))) > 0) {
		all += (size_t)n;
		usleep(1000);
	}
	return (void *)all;
}

/* A file that cannot be spliced is copied; one that ends before is told of either way. */
static void
splicing(void **state)
{
	static const char *const files[] = { "/proc/self/exe", "/proc/self/cmdline" };
	char want[16], got[16];
	struct err e;
	int fd, p[2];
	ssize_t n;
	size_t i;

	(void)state;
	assert_int_equal(pipe(p), 0);
	for (i = 0; i < 2; i++) {
		fd = open(files[i], O_RDONLY);
		n = pread(fd, want, 4, 1);
		assert_int_equal(n, 4);
		assert_int_equal(io_splice(p[1], fd, 1, 4, &e), 0);
		assert_int_equal(read(p[0], got, sizeof(got)), 4);
		assert_memory_equal(got, want, 4);
		assert_int_equal(io_splice(p[1], fd, 1ull << 40, 1, &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		close(fd);
	}
	close(p[0]);
	close(p[1]);
}

/* Somebody else who has the pipe too may make it non-blocking. */
static void
unblocked(void **state)
{
	static char some[1000000];
	pthread_t t;
	struct err e;
	void *all;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	assert_int_equal(fcntl(p[0], F_SETFL, 0), 0);
	assert_int_equal(pthread_create(&t, NULL, empty_slowly, p), 0);
	assert_int_equal(io_write(p[1], some, sizeof(some), &e), 0);
	close(p[1]);
	pthread_join(t, &all);
	assert_int_equal((size_t)all, sizeof(some));
	close(p[0]);
}

static int
third_fails(void *ctx, size_t i, struct err *e)
{
	__atomic_fetch_add((int *)ctx, 1, __ATOMIC_SEQ_CST);
	return i == 3 ? err_set(e, ERR_CORRUPT, "three") : 0;
}

static void
parallel(void **state)
{
	int done = 0;
	struct err e;

	(void)state;
	assert_int_equal(par_each(3, 8, third_fails, &done, &e), 0);
	assert_int_equal(done, 3);
	assert_int_equal(par_each(1000000, 4, third_fails, &done, &e), -1);
	assert_string_equal(e.text, "three");
	assert_true(done < 1000000);
	assert_int_equal(par_each(0, 4, third_fails, &done, &e), 0);
}

/* Both jobs at once, each where the caller may be; ended if one waits alone. */
struct both {
	pthread_barrier_t here;
	cpu_set_t cores;
};

static int
at_once(void *ctx, size_t i, struct err *e)
{
	struct both *b = ctx;
	cpu_set_t cores;

	(void)i, (void)e;
	pthread_barrier_wait(&b->here);
	return sched_getaffinity(0, sizeof(cores), &cores) == 0 && !CPU_EQUAL(&cores, &b->cores) ?
		-1 : 0;
}

static int
both_run(void)
{
	struct both b;
	cpu_set_t after;

	alarm(10);
	pthread_barrier_init(&b.here, NULL, 2);
	if (sched_getaffinity(0, sizeof(b.cores), &b.cores) < 0)
		CPU_ZERO(&b.cores);
	if (par_each(2, 2, at_once, &b, NULL) < 0)
		return 0;
	return sched_getaffinity(0, sizeof(after), &after) < 0 || CPU_EQUAL(&after, &b.cores);
}

/* This system call is refused from now on, as container runtimes and large machines do. */
static int
refuse(unsigned call, unsigned why)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | why),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { sizeof(f) / sizeof(*f), f };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == 0;
}

/* Where cores cannot be chosen threads run all the same, and where they cannot be asked for they
 * are counted. */
static void
threads_anywhere(void **state)
{
	unsigned cores = par_cores();
	int status = -1;
	pid_t child;

	(void)state;
	assert_true(both_run());
	alarm(0);
	child = fork();
	if (child == 0)
		_exit(!refuse(SYS_sched_setaffinity, EPERM) || !both_run() ? 1 :
			!refuse(SYS_sched_getaffinity, EINVAL) || par_cores() < cores ? 2 : 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

struct later {
	struct pool *pool;
	struct block b;
};

static void *
gives_back(void *arg)
{
	struct later *l = arg;

	usleep(20000);
	pool_put(l->pool, &l->b);
	return NULL;
}

static void
pools(void **state)
{
	struct block a, b, c;
	struct later l;
	pthread_t t;
	struct err e, why;

	(void)state;
	assert_int_equal(pool_open(&l.pool, 1 << 20, &e), 0);
	/* larger than the bound, but nothing is out */
	assert_int_equal(pool_get(l.pool, 0, 2 << 20, &a, &e), 0);
	assert_int_equal((uintptr_t)a.p % 4096, 0);
	l.b = a;
	pthread_create(&t, NULL, gives_back, &l);
	assert_int_equal(pool_get(l.pool, 1, 1 << 19, &b, &e), 0);	/* waits for it */
	pthread_join(t, NULL);
	assert_int_equal(pool_get(l.pool, 2, 1 << 19, &c, &e), 0);
	memset(b.p, 7, b.cap);
	b.len = 100;
	assert_int_equal(pool_grow(l.pool, &b, 1 << 21, &e), 0);
	assert_int_equal(b.len, 100);
	assert_int_equal(b.p[99], 7);
	assert_int_equal(pool_grow(l.pool, &b, SIZE_MAX, &why), -1);	/* rounded up it is 0 */
	assert_int_equal(b.p[99], 7);
	err_set(&why, ERR_FAILED, "over");
	pool_abort(l.pool, &why);
	assert_int_equal(pool_get(l.pool, 3, 1, &a, &e), -1);
	assert_string_equal(e.text, "over");
	pool_put(l.pool, &b);
	pool_put(l.pool, &c);
	pool_put(l.pool, &c);
	pool_close(l.pool);
}

static const char *
nearest(const char *word)
{
	static const char *const known[] = { "file", "s3", "redis", "rediss", "valkey", "shm", "mem",
		"compress", "dry-run" };
	struct near n = { .word = word };
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(*known); i++)
		near_offer(&n, known[i]);
	return n.best ? n.best : "";
}

static void
nearness(void **state)
{
	(void)state;
	assert_string_equal(nearest("reds"), "redis");
	assert_string_equal(nearest("rediss"), "rediss");
	assert_string_equal(nearest("s4"), "s3");
	assert_string_equal(nearest("3s"), "s3");
	assert_string_equal(nearest("fiel"), "file");
	assert_string_equal(nearest("dry-rum"), "dry-run");
	assert_string_equal(nearest("dryrun"), "dry-run");
	assert_string_equal(nearest("compess"), "compress");
	assert_string_equal(nearest("http"), "");
	assert_string_equal(nearest("gen"), "");
	assert_string_equal(nearest("x"), "");
	assert_string_equal(nearest(""), "");
	assert_string_equal(nearest("a word that is much longer than any that is known here"), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes), cmocka_unit_test(durations_and_rates),
		cmocka_unit_test(uris), cmocka_unit_test(json), cmocka_unit_test(times),
		cmocka_unit_test(severity), cmocka_unit_test(replacing), cmocka_unit_test(unblocked), cmocka_unit_test(splicing),
		cmocka_unit_test(parallel), cmocka_unit_test(threads_anywhere), cmocka_unit_test(pools), cmocka_unit_test(nearness),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
