#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/io.h"
#include "key/algo.h"
#include "key/tokens.h"

static void
assert_reads(const void *p, size_t n, const uint32_t *want, size_t count)
{
	struct key_tokens t;
	struct err e;

	if (key_tokens_read(&t, p, n, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(t.n, count);
	assert_memory_equal(t.ids, want, count * sizeof(*want));
	key_tokens_free(&t);
	key_tokens_free(&t);
}

static void
token_forms(void **state)
{
	static const uint32_t three[] = { 1, 128000, 4294967295 };
	static const uint8_t words[] = { 1, 0, 0, 0, 0, 0xf4, 1, 0, 0xff, 0xff, 0xff, 0xff };
	static const char *const texts[] = {
		"[1,128000,4294967295]",
		" [ 1 , 128000\n,\t4294967295 ] \r\n",
		"{\"count\":3,\"max_model_len\":4096,\"tokens\":[1,128000,4294967295],"
			"\"token_strs\":[\"a\",\"\\\"]\\\\\"]}",
		"{\"usage\":{\"a\":[{},[],[1,{\"tokens\":[7]}]],\"b\":-1.5e+3},\"x\":null,"
			"\"prompt_token_ids\":[1,128000,4294967295],\"y\":true,\"z\":{}}\n",
		"{\"input_ids\" : [1,128000,4294967295]}",
		"1\n128000\n4294967295\n",
		"\n1\r\n128000\r\n\r\n4294967295",
		"1 128000 4294967295",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_reads(texts[i], strlen(texts[i]), three, 3);
	assert_reads(words, sizeof(words), three, 3);
}

static void
token_refusals(void **state)
{
	static const struct { const char *text, *reason; } bad[] = {
		{ "", "none" }, { " \n", "none" }, { "[]", "none" }, { "{\"tokens\":[]}", "none" },
		{ "[1,-2]", "byte 3: a negative" }, { "-1\n", "negative" },
		{ "[4294967296]", "over 4294967295" }, { "99999999999999999999999", "over" },
		{ "[1,2.0]", "whole" }, { "[1e3]", "whole" }, { "[01]", "leading zeros" },
		{ "[1,]", "not a number" }, { "[,1]", "not a number" }, { "[1 2]", "no comma" },
		{ "[1,2", "too early" }, { "[1,2]]", "byte 5: something behind" },
		{ "[1][2]", "behind the end" }, { "[[1]]", "not a number" },
		{ "[\"1\"]", "not a number" }, { "[null]", "not a number" },
		{ "1,2", "not a number" }, { "1\nx\n", "not a number" }, { "12a", "not a number" },
		{ "0x10", "not a number" }, { "hello", "not a number" }, { "\xef\xbb\xbf[1]", "not" },
		{ "{\"count\":3}", "no \"tokens\"" }, { "{\"tokens\":3}", "not a list" },
		{ "{\"tokens\":[1],\"input_ids\":[1]}", "second" },
		{ "{\"tokens\":[1]", "too early" }, { "{\"tokens\":[1]}}", "behind" },
		{ "{\"a\":[1,{\"b\":2]}", "no comma" }, { "{\"a\" 1}", "no colon" },
		{ "{\"a\":}", "not a value" }, { "{a:1}", "not a string" },
		{ "{\"a\":\"\\", "without end" }, { "{\"a\":\"x\ny\"}", "control" },
	};
	char deep[400];
	struct key_tokens t;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (key_tokens_read(&t, bad[i].text, strlen(bad[i].text), &e) == 0)
			fail_msg("'%s' passed", bad[i].text);
		assert_int_equal(e.kind, ERR_CORRUPT);
		if (!strstr(e.text, bad[i].reason))
			fail_msg("'%s': %s", bad[i].text, e.text);
		assert_null(t.ids);
	}
	assert_int_equal(key_tokens_read(&t, "\0\0\0\1\0", 5, &e), -1);
	assert_non_null(strstr(e.text, "multiple of 4"));
	memcpy(deep, "{\"a\":", 5);
	memset(deep + 5, '[', sizeof(deep) - 5);
	assert_int_equal(key_tokens_read(&t, deep, sizeof(deep), &e), -1);
	assert_non_null(strstr(e.text, "deeply"));
}

#define H "084547b6c40ed5b05ba8cd0305db5bf74d5617673948d9ed193ab7d6cbc484d4"

static void
assert_hash(const struct key_hash *h, const char *hex)
{
	char own[KEY_HEX];

	assert_string_equal(key_hash_hex(own, h), hex);
}

static void
hash_forms(void **state)
{
	static const char lines[] = H "\n0x" H "\r\n\nbc2f72bd16a94d9\n-adc333b9eaa0e45\n"
		"-0x1\n-8000000000000000\n5f05dec65811b7cc\n0";
	static const char log[] = "{\"timestamp\":1711929600.123,\"model_name\":\"m\","
		"\"chunk_size\":256,\"shapes\":[[32,256,128]],\"chunk_hashes\":[\"0x" H "\"],"
		"\"seq_len\":300}\n{\"chunk_hashes\":[]}\n{\"chunk_hashes\":[\"0x1\",\"-2\"]}\n";
	struct key_hashes h;
	struct err e;

	(void)state;
	assert_int_equal(key_hashes_read(&h, lines, strlen(lines), &e), 0);
	assert_int_equal(h.n, 8);
	assert_hash(&h.h[0], H);
	assert_hash(&h.h[1], H);
	assert_hash(&h.h[2], "0bc2f72bd16a94d9");
	assert_hash(&h.h[3], "f523ccc46155f1bb");
	assert_hash(&h.h[4], "ffffffffffffffff");
	assert_hash(&h.h[5], "8000000000000000");
	assert_hash(&h.h[6], "5f05dec65811b7cc");
	assert_hash(&h.h[7], "0000000000000000");
	key_hashes_free(&h);
	assert_int_equal(key_hashes_read(&h, log, strlen(log), &e), 0);
	assert_int_equal(h.n, 3);
	assert_hash(&h.h[0], H);
	assert_hash(&h.h[1], "0000000000000001");
	assert_hash(&h.h[2], "fffffffffffffffe");
	key_hashes_free(&h);
	key_hashes_free(&h);
}

static void
hash_refusals(void **state)
{
	static const char *const bad[] = {
		"", "\n", "{\"chunk_hashes\":[]}", "xyz", H "00", "-" H, "-8000000000000001", "-0",
		"-", "0x", "12345678901234567", "[\"" H "\"]", "{\"chunk_hashes\":[1]}",
		"{\"chunk_hashes\":[\"\"]}", "{\"chunk_hashes\":[\"0x1\"]", "{\"hashes\":[\"0x1\"]}",
		"{\"chunk_hashes\":\"0x1\"}", "{\"chunk_hashes\":[\"\\u0031\"]}", H " " "g",
	};
	struct key_hashes h;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (key_hashes_read(&h, bad[i], strlen(bad[i]), &e) == 0)
			fail_msg("'%s' passed", bad[i]);
		assert_int_equal(e.kind, ERR_CORRUPT);
		assert_null(h.h);
	}
	assert_int_equal(key_hashes_read(&h, "01\0", 3, &e), -1);
}

/* A real prompt; the names under which LMCache and vLLM keep its chunks. */
static void
real_prompt(void **state)
{
	static const struct { const char *algo; uint32_t chunk; const char *names[4]; } stores[] = {
		{ "lmcache-sha256_cbor:C:seed=0", 256, { "b2994be40d9648ab", "1c8d3fd245d1dc9b" } },
		{ "lmcache-builtin:C:seed=0", 256, { "-1cea871653945ef5", "-73bbb7410bd1aeed" } },
		{ "blake3", 256, {
		  "6fbd639fbe5d75086e1aeef5acc1ee55bc13bf1a404ef0de80eb2c69c9bc539b",
		  "d91666ca730384f8682de552f88f93cf31c2763788df4f83fded99fba5d4692c" } },
		{ "vllm-sha256_cbor:seed=0", 128, {
		  "e8b9a0619fcf5cc1083d8eaed03778d94d15594721cf11a4ecb983788c146c00",
		  "19b6fbb41a1f973dd642e0c7621a5b61a9c36e37a92722c89ab71dc6b47787b3",
		  "c511d8d3b6a55675caf6d6aabe7441b0f39d4691a31c8bdc4d3c64c1befb9b03",
		  "1e4a194751da5ff3d74b1dc5060825fd2cebd8f1825bd3f49da0a644a3f09c2c" } },
	};
	struct buf file = { 0 };
	struct key_tokens t;
	struct err e;
	size_t i, k;

	(void)state;
	if (io_slurp("tests/golden/a.tokens.json", &file, 1 << 20, &e) < 0 ||
	    key_tokens_read(&t, file.p, file.len, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(t.n, 600);
	for (i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		struct key_chain c = { .chunk_tokens = stores[i].chunk };
		struct key_hash own[4], found;

		assert_int_equal(key_algo_parse(&c.algo, stores[i].algo, &e), 0);
		assert_int_equal(key_chain(own, &c, t.ids, t.n, &e), 0);
		for (k = 0; k < 600 / c.chunk_tokens; k++) {
			const char *name = stores[i].names[k];

			assert_int_equal(key_hash_parse(&found, name, strlen(name), &e), 0);
			if (key_hash_cmp(&own[k], &found))
				fail_msg("%s: chunk %zu is not %s", stores[i].algo, k, name);
		}
	}
	key_tokens_free(&t);
	buf_free(&file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(token_forms),
		cmocka_unit_test(token_refusals),
		cmocka_unit_test(hash_forms),
		cmocka_unit_test(hash_refusals),
		cmocka_unit_test(real_prompt),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
