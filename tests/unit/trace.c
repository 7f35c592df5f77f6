#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "trace/trace.h"

/* A line with the room behind it that is asked for, and digits there to be stumbled over. */
static int
line(struct trace *t, const char *text, struct err *e)
{
	size_t n = strlen(text);
	char *copy = malloc(n + 8);
	int r;

	assert_non_null(copy);
	memcpy(copy, text, n);
	memset(copy + n, '7', 8);
	r = trace_line(t, copy, n, e);
	free(copy);
	return r;
}

static void
three_formats(void **state)
{
	struct trace_part p = { 0 };
	struct trace t;
	struct err e;

	(void)state;
	assert_int_equal(trace_open(&t, &e), 0);
	assert_int_equal(line(&t, "{\"timestamp\": 1500, \"input_length\": 1000, "
		"\"hash_ids\": [0, 7, 123456, 4194303]}", &e), 0);
	assert_int_equal(line(&t, " ", &e), 0);
	assert_int_equal(line(&t, "{\"hash_ids\":[7,12345678,123456789,4194304,99999999,0], "
		"\"timestamp\":\t2000.5 }\r", &e), 0);
	assert_int_equal(t.n, 2);
	assert_int_equal(t.block_tokens, 512);
	assert_int_equal(t.distinct, 8);
	const uint32_t want[] = { 0, 1, 2, 3, 1, 4, 5, 6, 7, 0 };
	assert_int_equal(t.n_refs, sizeof(want) / sizeof(*want));
	assert_memory_equal(t.ids, want, sizeof(want));
	assert_true(t.requests[0].time_s == 1.5 && t.requests[1].time_s == 2.0005);
	assert_int_equal(t.requests[0].tokens, 1000);
	assert_int_equal(t.requests[1].tokens, 6 * 512);
	assert_int_equal(trace_blocks(&t.requests[1]), 6);
	assert_int_equal(trace_next(&p, &t, &e), 1);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.keys[p.requests[1].first], 1);
	assert_int_equal(trace_prefix(&p, 0, 1), 512);
	assert_int_equal(trace_prefix(&p, 0, 2), 1000);
	assert_int_equal(trace_next(&p, &t, &e), 0);
	trace_part_free(&p);
	trace_close(&t);

	assert_int_equal(trace_open(&t, &e), 0);
	assert_int_equal(line(&t, "{\"timestamp\": 9.5, \"chunk_size\": 256, \"seq_len\": 600, "
		"\"dtypes\": [\"bfloat16\"], \"shapes\": [[2, 4, 256, 64]], "
		"\"chunk_hashes\": [\"0xaa\", \"0x\\\"b\"]}", &e), 0);
	assert_int_equal(line(&t, "{\"time\":3,\"tokens\":300,\"x\":[{\"y\":\"}\"},null,-1e3],"
		"\"keys\":[\"0xaa\",18446744073709551615]}", &e), 0);
	assert_int_equal(t.block_bytes, 2 * 4 * 256 * 64 * 2);
	assert_int_equal(t.distinct, 3);
	assert_int_equal(trace_sort(&t, &e), 0);
	assert_int_equal(t.requests[0].tokens, 300);
	assert_int_equal(t.ids[1], 2);
	assert_int_equal(t.ids[3], 1);
	trace_close(&t);
}

/* Every prefix of a good line, and some lines that are wrong in themselves. */
static void
not_a_trace(void **state)
{
	static const char good[] = "{\"timestamp\": 20.5, \"x\": {\"y\": [1, {\"z\": null}]}, "
		"\"chunk_size\": 256, \"seq_len\": 600, \"shapes\": [[2, 4]], "
		"\"chunk_hashes\": [\"0xaa\", 123456, 17]}";
	static const char *const bad[] = {
		"[]", "{}", "{\"tokens\":1}", "{\"keys\":[1,]}", "{\"keys\":[-1]}", "{\"keys\":[1.5]}",
		"{\"keys\":[8,9,:,1,2,3]}", "{\"keys\":[18, 19, 1:, 20, 21]}",
		"{\"keys\":[198, 199, 1:0, 201, 202]}",
		"{\"keys\":[1],\"keys\":[2]}", "{\"keys\":[18446744073709551616]}",
		"{\"keys\":[123456789012345678901234567890]}", "{\"keys\":[1]}}", "{\"keys\":[1] ",
		"{\"time\":\"x\",\"keys\":[1]}", "{\"time\":-1,\"keys\":[1]}",
		"{\"time\":1e999,\"keys\":[1]}", "{\"tokens\":4294967296,\"keys\":[1]}",
		"{\"chunk_tokens\":4294967296,\"keys\":[1]}",
		"{\"shapes\":[[4294967296]],\"keys\":[1]}", "{\"keys\":[1]", "{\"keys\":[1", "{\"keys\":[",
		"{\"a\":\"\\", "{\"a\":\"\\\"", "{\"keys\":[\"a\\\"]}", "null", "7",
	};
	struct trace t;
	struct err e;

	(void)state;
	for (size_t n = 1; n < sizeof(good) - 1; n++) {
		char cut[sizeof(good)];

		memcpy(cut, good, n);
		cut[n] = '\0';
		assert_int_equal(trace_open(&t, &e), 0);
		assert_int_equal(line(&t, cut, &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		trace_close(&t);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(trace_open(&t, &e), 0);
		assert_int_equal(line(&t, bad[i], &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		trace_close(&t);
	}
	assert_int_equal(trace_open(&t, &e), 0);
	assert_int_equal(line(&t, "{\"chunk_tokens\":16,\"keys\":[1]}", &e), 0);
	assert_int_equal(line(&t, "{\"chunk_tokens\":32,\"keys\":[1]}", &e), -1);
	trace_close(&t);
}

/* Lines longer than a piece, a last one without its end, the number of a bad one. */
static void
files(void **state)
{
	char path[] = "/tmp/trace.unit.XXXXXX";
	FILE *f = fdopen(mkstemp(path), "w");
	struct trace t;
	struct err e;
	size_t refs = 0;

	(void)state;
	assert_non_null(f);
	for (int i = 0; i < 400; i++) {
		int n = i == 200 ? 60000 : i % 50;

		fprintf(f, "%s{\"time\":%d,\"keys\":[1000000", i ? "\n" : "", i);
		for (int k = 0; k < n; k++)
			fprintf(f, k % 3 ? ",%d" : ", %d", i * 64 + k);
		fprintf(f, "]}");
		refs += (size_t)n + 1;
	}
	assert_int_equal(fclose(f), 0);
	assert_int_equal(trace_open(&t, &e), 0);
	assert_int_equal(trace_read(&t, path, &e), 0);
	assert_int_equal(t.n, 400);
	assert_int_equal(t.n_refs, refs);
	assert_int_equal(trace_blocks(&t.requests[200]), 60001);
	trace_close(&t);
	f = fopen(path, "a");
	assert_non_null(f);
	fprintf(f, "\n\n{\"keys\":[1}");
	assert_int_equal(fclose(f), 0);
	assert_int_equal(trace_open(&t, &e), 0);
	assert_int_equal(trace_read(&t, path, &e), -1);
	assert_non_null(strstr(e.text, ":402"));
	trace_close(&t);
	assert_int_equal(trace_open(&t, &e), 0);
	assert_int_equal(trace_read(&t, "/nonexistent/trace", &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	trace_close(&t);
	unlink(path);
}

/* Runs that count on, over tens, hundreds and the greatest name that needs no hashing, and what only
 * looks like one: with spaces and without, a line as text and name by name must be the same. */
static void
runs(void **state)
{
	static const uint64_t starts[] = { 0, 5, 97, 985, 9990, 99995, 999985, 4194290, 9999990 };
	static char text[1 << 20];
	struct trace t;
	struct err err;

	(void)state;
	assert_int_equal(trace_open(&t, &err), 0);
	assert_int_equal(line(&t, "{\"keys\":[7,8,9,0,1,98,99,00,1,199,100,101,7]}", &err), 0);
	assert_int_equal(t.n_refs, 13);
	assert_int_equal(t.distinct, 10);
	trace_close(&t);
	srand(1);
	for (int round = 0; round < 300; round++) {
		size_t at = (size_t)sprintf(text, "{\"keys\":[%d", round);
		struct trace a, b;
		struct err e;

		assert_int_equal(trace_open(&a, &e) | trace_open(&b, &e), 0);
		assert_int_equal(trace_add(&b, (unsigned)round, &e), 0);
		for (int run = 0; run < 50; run++) {
			uint64_t name = starts[rand() % 9] + (unsigned)(rand() % 10);

			for (int n = rand() % 30; n-- > 0;) {
				at += (size_t)sprintf(text + at, ",%s%0*llu",
					rand() % (2 + round % 40) ? " " : "",
					rand() % 100 ? 1 : 6, (unsigned long long)name);
				assert_int_equal(trace_add(&b, name, &e), 0);
				name += rand() % 20 ? 1 : (unsigned)(rand() % 3);
			}
		}
		strcpy(text + at, "]}");
		assert_int_equal(line(&a, text, &e), 0);
		assert_int_equal(a.distinct, b.distinct);
		assert_int_equal(a.n_refs, b.n_refs);
		assert_memory_equal(a.ids, b.ids, a.n_refs * sizeof(*a.ids));
		trace_close(&a);
		trace_close(&b);
	}
}

/* More references than the first room. */
static void
it_grows(void **state)
{
	struct trace t;
	struct err e;

	(void)state;
	assert_int_equal(trace_open(&t, &e), 0);
	for (uint64_t i = 0; i < 3000000; i++)
		assert_int_equal(trace_add(&t, i % 1000000 * 7, &e), 0);
	assert_int_equal(trace_end(&t, 0, 1, &e), 0);
	assert_int_equal(t.distinct, 1000000);
	for (uint32_t i = 0; i < 3000000; i++)
		assert_int_equal(t.ids[i], i % 1000000);
	trace_close(&t);
}

/* What a follower has seen: sums that depend on every number and on their order. */
struct follower {
	pthread_t thread;
	struct trace *t;
	uint64_t requests, keys, sum;
};

static void
see(struct follower *f, double time_s, const uint64_t *keys, size_t n)
{
	f->sum = f->sum * 31 + (uint64_t)(time_s * 1000);
	for (size_t k = 0; k < n; k++)
		f->sum = f->sum * 31 + keys[k];
	f->keys += n;
	f->requests++;
}

static void *
follow(void *arg)
{
	struct follower *f = arg;
	struct trace_part p = { 0 };
	struct err e;

	while (trace_next(&p, f->t, &e) == 1)
		for (size_t i = 0; i < p.n; i++)
			see(f, p.requests[i].time_s, p.keys + p.requests[i].first,
				trace_blocks(&p.requests[i]));
	trace_part_free(&p);
	return NULL;
}

/* Three follow what one reads, and all see all of it, while arrays grow and move and the reader is
 * now ahead, now waited for; a fourth comes afterwards. */
static void
followed(void **state)
{
	static uint64_t keys[70000];
	struct follower want = { 0 }, f[4] = { 0 };
	struct trace t;
	struct err e;

	(void)state;
	srand(2);
	assert_int_equal(trace_open(&t, &e), 0);
	trace_grows(&t);
	for (int i = 0; i < 4; i++)
		f[i].t = &t;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&f[i].thread, NULL, follow, &f[i]), 0);
	for (int i = 0; i < 20000; i++) {
		size_t n = i % 5000 == 4000 ? 70000 : (size_t)(rand() % 80);

		for (size_t k = 0; k < n; k++) {
			keys[k] = t.distinct ? (uint64_t)rand() % (t.distinct + 1) : 0;
			assert_int_equal(trace_add(&t, keys[k], &e), 0);
		}
		assert_int_equal(trace_end(&t, i / 8.0, 1, &e), 0);
		see(&want, i / 8.0, keys, n);
		if (rand() % 50 == 0)
			trace_ready(&t);
		if (i % 4000 == 0)
			usleep(20000);
	}
	trace_ends(&t);
	assert_true(t.n_refs > 1u << 19);
	for (int i = 0; i < 4; i++) {
		if (i < 3)
			assert_int_equal(pthread_join(f[i].thread, NULL), 0);
		else
			follow(&f[i]);
		assert_int_equal(f[i].requests, want.requests);
		assert_int_equal(f[i].keys, want.keys);
		assert_int_equal(f[i].sum, want.sum);
	}
	trace_close(&t);
}

/* One who follows fails: the reader stops at the next piece, the others at once, without more. */
static void
abandoned(void **state)
{
	char path[] = "/tmp/kvtools.trace.XXXXXX";
	struct follower f = { 0 };
	struct trace t;
	struct err e;
	FILE *file = fdopen(mkstemp(path), "w");

	(void)state;
	assert_non_null(file);
	for (int i = 0; i < 100000; i++)
		fprintf(file, "{\"keys\":[%d]}\n", i);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(trace_open(&t, &e), 0);
	trace_grows(&t);
	f.t = &t;
	assert_int_equal(pthread_create(&f.thread, NULL, follow, &f), 0);
	usleep(20000);		/* it sleeps */
	trace_abandon(&t);
	assert_int_equal(pthread_join(f.thread, NULL), 0);
	assert_int_equal(f.requests, 0);
	assert_int_equal(trace_read(&t, path, &e), 0);
	assert_in_range(t.n, 1, 50000);
	trace_close(&t);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_formats),
		cmocka_unit_test(not_a_trace),
		cmocka_unit_test(files),
		cmocka_unit_test(runs),
		cmocka_unit_test(it_grows),
		cmocka_unit_test(followed),
		cmocka_unit_test(abandoned),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
