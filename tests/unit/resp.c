#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/resp.h"

/* Replies as they come, whole and byte by byte. */
struct said {
	const char *p;
	size_t n, step;
};

static long
source(void *ctx, void *p, size_t n)
{
	struct said *s = ctx;

	if (n > s->step)
		n = s->step;
	if (n > s->n)
		n = s->n;
	memcpy(p, s->p, n);
	s->p += n;
	s->n -= n;
	return (long)n;
}

static struct said said;

static struct resp *
replies(const char *text, size_t n, size_t step)
{
	struct resp *r;
	struct err e;

	said = (struct said){ text, n, step };
	assert_int_equal(resp_open_source(&r, source, &said, &e), 0);
	return r;
}

static void
read_all(size_t step)
{
	static const char text[] = "+OK\r\n:-42\r\n$5\r\nhe\r\no\r\n$-1\r\n*-1\r\n$0\r\n\r\n"
		"*2\r\n$1\r\na\r\n*1\r\n:1\r\n-WRONGPASS no\r\n_\r\n#t\r\n,1.5\r\n"
		"%1\r\n+k\r\n:7\r\n>2\r\n+push\r\n:1\r\n|1\r\n+a\r\n+b\r\n:9\r\n"
		"!5\r\nERR x\r\n=7\r\ntxt:abc\r\n";
	struct resp *r = replies(text, sizeof(text) - 1, step);
	struct resp_item it;
	struct err e;
	char out[8];
	int64_t v;
	size_t n;

	assert_int_equal(resp_ok(r, &e), 0);
	assert_int_equal(resp_get_number(r, &v, &e), 0);
	assert_int_equal(v, -42);
	assert_int_equal(resp_get_text(r, out, sizeof(out), &e), 0);
	assert_memory_equal(out, "he\r\no", 6);
	assert_int_equal(resp_get_text(r, out, sizeof(out), &e), 1);
	assert_int_equal(resp_get_array(r, &n, &e), 0);
	assert_int_equal(n, 0);
	assert_int_equal(resp_get_text(r, out, sizeof(out), &e), 0);
	assert_string_equal(out, "");
	assert_int_equal(resp_next(r, &it, &e), 0);
	assert_int_equal(it.type, RESP_ARRAY);
	assert_int_equal(resp_drop(r, &it, &e), 0);
	assert_int_equal(resp_ok(r, &e), -1);
	assert_int_equal(e.kind, ERR_REFUSED);
	assert_false(resp_broken(r));
	assert_int_equal(resp_next(r, &it, &e), 0);
	assert_int_equal(it.type, RESP_NIL);
	assert_int_equal(resp_next(r, &it, &e), 0);
	assert_int_equal(it.type, RESP_FLAG);
	assert_int_equal(it.n, 1);
	assert_int_equal(resp_next(r, &it, &e), 0);
	assert_int_equal(it.type, RESP_REAL);
	assert_string_equal(it.text, "1.5");
	assert_int_equal(resp_get_array(r, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(resp_ok(r, &e), 0);
	assert_int_equal(resp_get_number(r, &v, &e), 0);
	assert_int_equal(resp_get_number(r, &v, &e), 0);
	assert_int_equal(v, 9);			/* behind a push and an attribute */
	assert_int_equal(resp_get_text(r, out, sizeof(out), &e), -1);
	assert_non_null(strstr(e.text, "ERR x"));
	assert_int_equal(resp_get_text(r, out, sizeof(out), &e), 0);
	assert_string_equal(out, "abc");
	assert_int_equal(resp_ok(r, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);	/* the end */
	assert_true(resp_broken(r));
	resp_close(r);
}

static void
test_types(void **state)
{
	(void)state;
	read_all(1);
	read_all(3);
	read_all(100000);
}

static void
test_body(void **state)
{
	size_t i, n = 3 << 20;
	char *text = malloc(n + 100), *out = malloc(n);
	size_t head = (size_t)sprintf(text, "$%zu\r\n", n);
	struct resp *r;
	struct resp_item it;
	struct err e;

	(void)state;
	for (i = 0; i < n; i++)
		text[head + i] = (char)(i * 7);
	memcpy(text + head + n, "\r\n+OK\r\n", 7);
	r = replies(text, head + n + 7, 70000);
	assert_int_equal(resp_next(r, &it, &e), 0);
	assert_int_equal(it.n, n);
	assert_int_equal(resp_body(r, out, 1000, &e), 0);
	assert_int_equal(resp_body(r, out + 1000, n - 1000, &e), 0);
	assert_memory_equal(out, text + head, n);
	assert_int_equal(resp_ok(r, &e), 0);
	resp_close(r);
	/* what is not read of a value is stepped over */
	r = replies(text, head + n + 7, 4096);
	assert_int_equal(resp_next(r, &it, &e), 0);
	assert_int_equal(resp_body(r, out, 10, &e), 0);
	assert_int_equal(resp_ok(r, &e), 0);
	resp_close(r);
	/* cut short */
	r = replies(text, head + n - 1, 4096);
	assert_int_equal(resp_next(r, &it, &e), 0);
	assert_int_equal(resp_body(r, out, n, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_true(resp_broken(r));
	resp_close(r);
	free(text);
	free(out);
}

static void
test_hostile(void **state)
{
	static const char *const bad[] = {
		"HTTP/1.1 400 Bad Request\r\n", "\r\n", "+OK\n", "$5\r\nhello__", "$-2\r\n",
		"$9223372036854775807\r\n", "$99999999999999999999\r\n", "$536870913\r\n",
		"*9223372036854775807\r\n", "*16777217\r\n", ":\r\n", ":12x\r\n", "#x\r\n",
		"$0x10\r\n", "=2\r\nab\r\n", "!-1\r\n", "%9223372036854775807\r\n",
		"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n+x\r\n",
		"?\r\n", "$ 1\r\nx\r\n",
	};
	struct resp_item it;
	struct resp *r;
	struct err e;
	char *endless;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		r = replies(bad[i], strlen(bad[i]), 5);
		if (resp_next(r, &it, &e) == 0 && resp_drop(r, &it, &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(e.kind, ERR_CORRUPT);
		assert_true(resp_broken(r));
		assert_int_equal(resp_next(r, &it, &e), -1);
		resp_close(r);
	}
	endless = malloc(1 << 20);
	memset(endless, '+', 1 << 20);
	r = replies(endless, 1 << 20, 100000);
	assert_int_equal(resp_next(r, &it, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	resp_close(r);
	free(endless);
	/* nothing a terminal would obey */
	r = replies("-ERR \033[2J\r\n", 11, 99);
	assert_int_equal(resp_ok(r, &e), -1);
	assert_null(strchr(e.text, '\033'));
	resp_close(r);
}

static void
test_errors(void **state)
{
	struct err e;

	(void)state;
	resp_error("NOAUTH Authentication required.", &e);
	assert_int_equal(e.kind, ERR_REFUSED);
	resp_error("OOM command not allowed when used memory > 'maxmemory'.", &e);
	assert_int_equal(e.kind, ERR_FAILED);
	resp_error("LOADING Redis is loading the dataset in memory", &e);
	assert_int_equal(e.kind, ERR_TEMP);
	resp_error("NOPERM this user has no permissions", &e);
	assert_int_equal(e.kind, ERR_REFUSED);
	resp_error("ERR unknown command", &e);
	assert_int_equal(e.kind, ERR_FAILED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types), cmocka_unit_test(test_body),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_errors),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
