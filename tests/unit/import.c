#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "index/import.h"

static char told[1000];

static int
tell(void *ctx, const struct import_event *ev, struct err *e)
{
	static const char *const what[] = { "use", "put", "delete" };
	size_t n = strlen(told);

	(void)ctx;
	(void)e;
	if (ev->name)
		snprintf(told + n, sizeof(told) - n, "%s %s %llu %llu %lld;", what[ev->what],
			ev->name, (unsigned long long)ev->n, (unsigned long long)ev->size,
			(long long)ev->at_s);
	else
		snprintf(told + n, sizeof(told) - n, "%s<%s@%u %lld;", ev->hash, ev->parent,
			ev->depth, (long long)ev->at_s);
	return 0;
}

static int
line(enum import_form form, const char *bucket, const char *prefix, const char *text,
	struct err *e)
{
	struct import_where w = { form, bucket, prefix };

	told[0] = 0;
	return import_line(&w, text, strlen(text), tell, NULL, e);
}

#define RGW(op, uri, status) RGW_SENT(op, uri, status, "8388608")
#define RGW_SENT(op, uri, status, sent) "{\"bucket\":\"kv\",\"time\":\"2026-02-03T04:05:06.789012Z\"," \
	"\"time_local\":\"x\",\"remote_addr\":\"1.2.3.4\",\"user\":\"u\",\"operation\":\"" op \
	"\",\"uri\":\"" uri "\",\"http_status\":\"" status "\",\"error_code\":\"\"," \
	"\"bytes_sent\":" sent ",\"bytes_received\":0,\"object_size\":8388608,\"total_time\":3," \
	"\"http_x_headers\":[{\"HTTP_X\":\"y\"}],\"trans_id\":\"tx\"}"

static void
test_rgw(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(line(IMPORT_AUTO, "kv", "p/q", RGW("get_obj",
		"GET /kv/p/q/m%40x/a?x=y HTTP/1.1", "206"), &e), 1);
	assert_string_equal(told, "use m@x/a 1 8388608 1770091506;");
	/* as an array, the bucket in the host's name, a tenant's bucket, an older time */
	assert_int_equal(line(IMPORT_RGW, "kv", "", "[" RGW("put_obj", "PUT /a HTTP/1.1", "200")
		",", &e), 1);
	assert_string_equal(told, "put a 1 8388608 1770091506;");
	assert_int_equal(line(IMPORT_RGW, NULL, "", "{\"bucket\":\"t/kv\",\"time\":"
		"\"2026-02-03 04:05:06.789012Z\",\"operation\":\"delete_obj\",\"uri\":"
		"\"DELETE /kv/a HTTP/1.1\",\"http_status\":\"204\"}]", &e), 1);
	assert_string_equal(told, "delete a 1 0 1770091506;");
	/* not ours: another bucket or prefix, a HEAD, a failure, a listing */
	assert_int_equal(line(IMPORT_RGW, "b", "", RGW("get_obj", "GET /kv/a ", "200"), &e), 0);
	assert_int_equal(line(IMPORT_RGW, "kv", "z", RGW("get_obj", "GET /kv/a ", "200"), &e), 0);
	assert_int_equal(line(IMPORT_RGW, "kv", "p", RGW("get_obj", "GET /kv/p2/a ", "200"), &e), 0);
	assert_int_equal(line(IMPORT_RGW, "kv", "p/", RGW("get_obj", "GET /kv/pa ", "200"), &e), 0);
	assert_int_equal(line(IMPORT_RGW, "kv", "p/", RGW("get_obj", "GET /kv/p/a ", "200"), &e), 1);
	assert_int_equal(line(IMPORT_RGW, "kv", "", RGW("get_obj", "HEAD /kv/a ", "200"), &e), 0);
	assert_int_equal(line(IMPORT_RGW, "kv", "", RGW("get_obj", "GET /kv/a ", "404"), &e), 0);
	/* a look at a header is no use; a small part of the body is */
	assert_int_equal(line(IMPORT_RGW, "kv", "", RGW_SENT("get_obj", "GET /kv/a ", "206",
		"4096"), &e), 0);
	assert_int_equal(line(IMPORT_RGW, "kv", "", RGW_SENT("get_obj", "GET /kv/a ", "206",
		"4097"), &e), 1);
	assert_int_equal(line(IMPORT_RGW, "kv", "", RGW("list_bucket", "GET /kv ", "200"), &e), 0);
	assert_int_equal(line(IMPORT_RGW, "kv", "", "]", &e), 0);
	assert_int_equal(line(IMPORT_RGW, "kv", "", "", &e), 0);
}

#define S3(op, key, status) S3_SENT(op, key, status, "8388608")
#define S3_SENT(op, key, status, sent) "79a5 kv [06/Feb/2026:00:00:38 +0000] 192.0.2.3 79a5 3E57 " op \
	" " key " \"GET /kv/x?a=b HTTP/1.1\" " status " - " sent " 8388608 7 6 \"-\" \"S3 Console/0.4\" -"

static void
test_s3(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(line(IMPORT_AUTO, "kv", "", S3("REST.GET.OBJECT", "m%2Fa%40b", "200"),
		&e), 1);
	assert_string_equal(told, "use m/a@b 1 8388608 1770336038;");
	assert_int_equal(line(IMPORT_S3, "kv", "", S3("S3.EXPIRE.OBJECT", "a", "-"), &e), 1);
	assert_string_equal(told, "delete a 1 8388608 1770336038;");
	assert_int_equal(line(IMPORT_S3, "other", "", S3("REST.GET.OBJECT", "a", "200"), &e), 0);
	assert_int_equal(line(IMPORT_S3, "kv", "", S3("REST.GET.OBJECT", "a", "404"), &e), 0);
	assert_int_equal(line(IMPORT_S3, "kv", "", S3_SENT("REST.GET.OBJECT", "a", "206", "4096"),
		&e), 0);
	assert_int_equal(line(IMPORT_S3, "kv", "", S3("REST.GET.BUCKET", "-", "200"), &e), 0);
	assert_int_equal(line(IMPORT_S3, "kv", "", "79a5 kv [06/Feb/2026:00:00:38 +0000", &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
}

static void
test_lookup(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(line(IMPORT_AUTO, NULL, "", "{\"timestamp\": 1711929600.123, "
		"\"request_id\": \"r\", \"model_name\": \"m\", \"chunk_size\": 256, "
		"\"seq_len\": 1024, \"dtypes\": [\"bf16\"], \"shapes\": [[32, 256, 128]], "
		"\"chunk_hashes\": [\"0x00AB\", \"-0xadc333b9eaa0e45\", \"0x7\"]}", &e), 1);
	assert_string_equal(told, "ab<-@0 1711929600;f523ccc46155f1bb<ab@1 1711929600;"
		"7<f523ccc46155f1bb@2 1711929600;");
	assert_int_equal(line(IMPORT_LOOKUP, NULL, "", "{\"timestamp\":1,\"chunk_hashes\":[]}",
		&e), 0);
}

static void
test_own(void **state)
{
	struct err e;

	(void)state;
	/* of a request what was found, wherever that stands; all of it if nobody says */
	assert_int_equal(line(IMPORT_AUTO, NULL, "", "{\"schema\":\"kv.access/1\",\"time\":"
		"1770091506.5,\"keys\":[\"0a\",\"0b\",\"c\",\"d\"],\"found\":[1,1,0,1]}", &e), 1);
	assert_string_equal(told, "a<-@0 1770091506;b<a@1 1770091506;d<c@3 1770091506;");
	assert_int_equal(line(IMPORT_OWN, NULL, "", "{\"found\":[0,1],\"keys\":[\"a\",\"b\"],"
		"\"time\":7,\"schema\":\"kv.access/1\"}", &e), 1);
	assert_string_equal(told, "b<a@1 7;");
	assert_int_equal(line(IMPORT_AUTO, NULL, "", "{\"schema\":\"kv.access/1\",\"time\":7,"
		"\"keys\":[\"a\",\"b\"]}", &e), 1);
	assert_string_equal(told, "a<-@0 7;b<a@1 7;");
	assert_int_equal(line(IMPORT_AUTO, NULL, "", "{\"schema\":\"kv.access/1\",\"time\":7,"
		"\"keys\":[\"a\"],\"found\":[0]}", &e), 0);
	assert_string_equal(told, "");
	assert_int_equal(line(IMPORT_AUTO, NULL, "", "{\"schema\":\"kv.audit/1\",\"time\":"
		"\"2026-02-03T04:05:06Z\",\"action\":\"delete\",\"objects\":[\"a\\u00e9\",\"b\"]}",
		&e), 1);
	assert_string_equal(told, "delete a\xc3\xa9 1 0 1770091506;delete b 1 0 1770091506;");
	assert_int_equal(line(IMPORT_AUTO, NULL, "", "{\"schema\":\"kv.audit/1\",\"time\":"
		"\"2026-02-03T04:05:06Z\",\"action\":\"move\",\"objects\":[\"a\"]}", &e), 0);
	assert_int_equal(line(IMPORT_AUTO, NULL, "", "{\"schema\":\"kv.index/1\",\"name\":\"a\","
		"\"size\":7,\"created\":\"2026-02-03T04:05:06Z\"}", &e), 1);
	assert_string_equal(told, "put a 1 7 1770091506;");
	assert_int_equal(line(IMPORT_AUTO, NULL, "", "{\"schema\":\"kv.summary/1\"}", &e), 0);
}

static void
test_bad(void **state)
{
	static const struct { enum import_form form; const char *text; } bad[] = {
		{ IMPORT_RGW, "{" }, { IMPORT_RGW, "hello" }, { IMPORT_RGW, "{\"bucket\":\"kv\"}" },
		{ IMPORT_RGW, "{\"bucket\":\"kv\",\"time\":\"now\",\"operation\":\"get_obj\","
			"\"uri\":\"GET /kv/a\",\"http_status\":\"200\"}" },
		{ IMPORT_RGW, RGW("get_obj", "GET kv", "200") },
		{ IMPORT_RGW, RGW("get_obj", "GET /kv/%zz", "200") },
		{ IMPORT_RGW, "[" RGW("get_obj", "GET /kv/a", "200") ","
			RGW("get_obj", "GET /kv/b", "200") "]" },
		{ IMPORT_S3, "a b c" }, { IMPORT_S3, "a b [x] d e f REST.GET.OBJECT k u 200 - 1 2" },
		{ IMPORT_LOOKUP, "{\"chunk_hashes\":[\"0x1\"]}" },
		{ IMPORT_LOOKUP, "{\"timestamp\":1}" },
		{ IMPORT_LOOKUP, "{\"timestamp\":1,\"chunk_hashes\":[1]}" },
		{ IMPORT_LOOKUP, "{\"timestamp\":1,\"chunk_hashes\":[\"0xg\"]}" },
		{ IMPORT_LOOKUP, "{\"timestamp\":1,\"chunk_hashes\":[\"\"]}" },
		{ IMPORT_LOOKUP, "{\"timestamp\":1e99,\"chunk_hashes\":[\"1\"]}" },
		{ IMPORT_LOOKUP, "{\"timestamp\":1,\"chunk_hashes\":\"x\"}" },
		{ IMPORT_OWN, "{\"schema\":\"kv.access/1\",\"time\":1}" },
		{ IMPORT_OWN, "{\"schema\":\"kv.access/1\",\"keys\":[\"a\"]}" },
		{ IMPORT_OWN, "{\"schema\":\"kv.access/1\",\"time\":1,\"keys\":[1]}" },
		{ IMPORT_OWN, "{\"schema\":\"kv.access/1\",\"time\":1,\"keys\":\"a\"}" },
		{ IMPORT_OWN, "{\"schema\":\"kv.access/1\",\"time\":1,\"keys\":[\"a\",\"b\"],"
			"\"found\":[1]}" },
		{ IMPORT_OWN, "{\"schema\":\"kv.access/1\",\"time\":1,\"keys\":[\"a\"],"
			"\"found\":1}" },
		{ IMPORT_OWN, "{\"schema\":\"kv.audit/1\",\"time\":\"2026-02-03T04:05:06Z\","
			"\"action\":\"delete\",\"name\":\"a\"}" },
		{ IMPORT_OWN, "{}" },
	};
	enum import_form form;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		e.kind = ERR_NONE;
		if (line(bad[i].form, NULL, "", bad[i].text, &e) != -1)
			fail_msg("taken: %s", bad[i].text);
		assert_int_equal(e.kind, ERR_CORRUPT);
	}
	assert_int_equal(import_form("s3", &form, &e), 0);
	assert_int_equal(form, IMPORT_S3);
	assert_int_equal(import_form("apache", &form, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
}

struct found {
	uint64_t hits;
	char parent[40];
	uint32_t depth;
};

static int
found(void *ctx, const struct index_entry *x, struct err *e)
{
	struct found *f = ctx;

	(void)e;
	f->hits = x->hits;
	f->depth = x->depth;
	snprintf(f->parent, sizeof(f->parent), "%s", x->parent);
	return 0;
}

static void
test_import(void **state)
{
	static const char *const log[] = {
		"{\"timestamp\":50,\"chunk_hashes\":[\"0xaa\",\"0xbb\",\"0xcc\"]}",
		"{\"timestamp\":60,\"chunk_hashes\":[\"0xaa\",\"0xbb\"]}",
		RGW("get_obj", "GET /kv/two HTTP/1.1", "200"),
		RGW("get_obj", "GET /kv/gone HTTP/1.1", "200"),
		RGW("delete_obj", "DELETE /kv/gone HTTP/1.1", "204"),
		"nonsense",
	};
	struct index_entry v[] = {
		{ .name = "one", .size = 1, .created_s = 9, .hash = "00000000000000aa" },
		{ .name = "two", .size = 2, .created_s = 9, .hash = "00000000000000bb" },
	};
	struct import_where w = { IMPORT_AUTO, "kv", "" };
	struct import_counts c;
	struct index *ix;
	struct import *im;
	struct found f;
	char path[40] = "/tmp/kvtools-import.XXXXXX";
	struct err e;
	size_t i;

	(void)state;
	close(mkstemp(path));
	unlink(path);
	assert_int_equal(index_open(&ix, path, "s3://kv", INDEX_WRITE, NULL, &e), 0);
	assert_int_equal(index_put(ix, v, 2, &e), 0);
	assert_int_equal(import_open(&im, ix, &w, &e), 0);
	for (i = 0; i < sizeof(log) / sizeof(*log); i++)
		if (import_add(im, log[i], strlen(log[i]), &e) < 0)
			fail_msg("%s", e.text);
	assert_int_equal(import_close(im, &c, &e), 0);
	assert_int_equal(c.lines, 6);
	assert_int_equal(c.bad, 1);
	assert_int_equal(c.uses, 7);
	assert_int_equal(c.deletes, 1);
	assert_int_equal(c.unknown, 1);
	assert_int_equal(index_get(ix, "two", found, &f, &e), 0);
	assert_int_equal(f.hits, 3);
	assert_int_equal(f.depth, 1);
	assert_string_equal(f.parent, "00000000000000aa");
	assert_int_equal(index_get(ix, "one", found, &f, &e), 0);
	assert_int_equal(f.hits, 2);
	assert_string_equal(f.parent, "-");
	assert_int_equal(index_get(ix, "gone", found, &f, &e), -1);
	assert_int_equal(index_close(ix, &e), 0);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rgw), cmocka_unit_test(test_s3),
		cmocka_unit_test(test_lookup), cmocka_unit_test(test_own),
		cmocka_unit_test(test_bad), cmocka_unit_test(test_import),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
