#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "key/explain.h"

#define N 1000

static uint32_t tokens[N];

/* A store: the hashes it holds. */
struct held {
	struct key_hash h[200];
	size_t n;
	size_t compare;		/* bytes */
	size_t asked;
	size_t fail_at;		/* 0: never */
};

static int
present(void *ctx, const struct key_hash *h, struct err *e)
{
	struct held *s = ctx;
	size_t i;

	if (++s->asked == s->fail_at)
		return err_set(e, ERR_TEMP, "store is down");
	for (i = 0; i < s->n; i++)
		if (!memcmp(s->h[i].b, h->b, s->compare) && h->len >= s->compare)
			return 1;
	return 0;
}

static void
hold(struct held *s, const char *algo, uint32_t chunk, const uint32_t *ids, size_t n,
	const struct key_extra *extra)
{
	struct key_chain c = { .chunk_tokens = chunk, .extra = extra };
	struct err e;

	memset(s, 0, sizeof(*s));
	assert_int_equal(key_algo_parse(&c.algo, algo, &e), 0);
	assert_int_equal(key_chain(s->h, &c, ids, n, &e), 0);
	s->n = n / chunk;
	s->compare = key_algo_width(&c.algo);
}

static struct key_question
ask(struct held *s, const char *algo, uint32_t chunk)
{
	struct key_question q = { .tokens = tokens, .n = N, .present = present, .ctx = s };
	struct err e;

	assert_int_equal(key_algo_parse(&q.asked.algo, algo, &e), 0);
	q.asked.chunk_tokens = chunk;
	return q;
}

static void
assert_answer(const struct key_question *q, enum key_cause cause, const char *algo,
	uint32_t chunk, unsigned differs)
{
	struct key_answer a;
	char text[KEY_ALGO_TEXT];
	struct err e;

	assert_int_equal(key_explain(&a, q, &e), 0);
	assert_string_equal(key_cause_word(a.cause), key_cause_word(cause));
	if (!algo) {
		assert_int_equal(a.n_best, 0);
		return;
	}
	assert_true(a.n_best > 0);
	assert_string_equal(key_algo_text(text, &a.best[0].algo), algo);
	assert_int_equal(a.best[0].chunk_tokens, chunk);
	assert_int_equal(a.best[0].differs, differs);
	assert_int_equal(a.asked.present, 0);
}

static void
same_and_gap(void **state)
{
	struct held s;
	struct key_question q;
	struct key_answer a;
	struct err e;

	(void)state;
	hold(&s, "blake3", 256, tokens, N, NULL);
	q = ask(&s, "blake3", 256);
	assert_int_equal(key_explain(&a, &q, &e), 0);
	assert_int_equal(a.cause, KEY_CAUSE_SAME);
	assert_int_equal(a.asked.links, 3);
	assert_int_equal(a.asked.prefix, 3);
	assert_int_equal(key_hash_cmp(&a.asked.found, &s.h[0]), 0);
	assert_int_equal(a.n_best, 0);
	memset(&s.h[1], 0, sizeof(s.h[1]));	/* evicted */
	assert_int_equal(key_explain(&a, &q, &e), 0);
	assert_int_equal(a.cause, KEY_CAUSE_GAP);
	assert_int_equal(a.asked.prefix, 1);
	assert_int_equal(a.asked.present, 2);
	memset(&s.h[0], 0, sizeof(s.h[0]));
	assert_int_equal(key_explain(&a, &q, &e), 0);
	assert_int_equal(a.cause, KEY_CAUSE_GAP);
	assert_int_equal(a.asked.prefix, 0);
	assert_int_equal(a.asked.present, 1);
	assert_int_equal(key_hash_cmp(&a.asked.found, &s.h[2]), 0);
}

static void
algorithms_and_seeds(void **state)
{
	static const char *const mine[] = { "777", NULL };
	struct held s;
	struct key_question q;

	(void)state;
	hold(&s, "lmcache-sha256_cbor:C:seed=0", 256, tokens, N, NULL);
	q = ask(&s, "blake3", 256);
	assert_answer(&q, KEY_CAUSE_ALGO, "lmcache-sha256_cbor:C:seed=0", 256, KEY_DIFF_ALGO);
	q = ask(&s, "lmcache-sha256_cbor:C:seed=42", 256);
	assert_answer(&q, KEY_CAUSE_SEED, "lmcache-sha256_cbor:C:seed=0", 256, KEY_DIFF_SEED);
	q = ask(&s, "lmcache-sha256_cbor:C", 256);
	assert_answer(&q, KEY_CAUSE_SEED, "lmcache-sha256_cbor:C:seed=0", 256, KEY_DIFF_SEED);
	q = ask(&s, "lmcache-sha256_cbor:A:seed=0", 256);
	assert_answer(&q, KEY_CAUSE_ALGO, "lmcache-sha256_cbor:C:seed=0", 256, KEY_DIFF_ALGO);
	q = ask(&s, "opaque", 256);
	assert_answer(&q, KEY_CAUSE_ALGO, "lmcache-sha256_cbor:C:seed=0", 256, KEY_DIFF_ALGO);
	hold(&s, "lmcache-builtin:C", 256, tokens, N, NULL);
	q = ask(&s, "lmcache-builtin:C:seed=0", 256);
	assert_answer(&q, KEY_CAUSE_SEED, "lmcache-builtin:C", 256, KEY_DIFF_SEED);
	/* Both names of one computation match: the seed is the simpler explanation. */
	hold(&s, "vllm-sha256_cbor:seed=42", 16, tokens, N, NULL);
	q = ask(&s, "vllm-sha256_cbor:seed=0", 16);
	assert_answer(&q, KEY_CAUSE_SEED, "vllm-sha256_cbor:seed=42", 16, KEY_DIFF_SEED);
	hold(&s, "vllm-sha256:seed=777", 16, tokens, N, NULL);
	q = ask(&s, "blake3", 256);
	assert_answer(&q, KEY_CAUSE_NOTHING, NULL, 0, 0);
	q.seeds = mine;
	assert_answer(&q, KEY_CAUSE_SEVERAL, "vllm-sha256:seed=777", 16,
		KEY_DIFF_ALGO | KEY_DIFF_CHUNK);
	/* The asked seed is tried with the other algorithms, too. */
	q = ask(&s, "vllm-xxhash:seed=777", 16);
	assert_answer(&q, KEY_CAUSE_ALGO, "vllm-sha256:seed=777", 16, KEY_DIFF_ALGO);
}

static void
chunk_sizes(void **state)
{
	struct held s;
	struct key_question q;

	(void)state;
	hold(&s, "blake3", 64, tokens, N, NULL);
	q = ask(&s, "blake3", 256);
	assert_answer(&q, KEY_CAUSE_CHUNK, "blake3", 64, KEY_DIFF_CHUNK);
	q = ask(&s, "blake3", 100);
	assert_answer(&q, KEY_CAUSE_CHUNK, "blake3", 64, KEY_DIFF_CHUNK);
	q = ask(&s, "blake3", 2000);
	assert_answer(&q, KEY_CAUSE_CHUNK, "blake3", 64, KEY_DIFF_CHUNK);
	s.n = 0;
	assert_answer(&q, KEY_CAUSE_SHORT, NULL, 0, 0);
	q = ask(&s, "blake3", 3);
	assert_answer(&q, KEY_CAUSE_NOTHING, NULL, 0, 0);
	q.n = 0;
	assert_answer(&q, KEY_CAUSE_SHORT, NULL, 0, 0);
}

static void
first_tokens(void **state)
{
	static const uint32_t mine[] = { 77777 };
	uint32_t with[N + 1];
	struct key_answer a;
	struct key_question q;
	struct held s;
	struct err e;

	(void)state;
	memcpy(with + 1, tokens, sizeof(tokens));
	with[0] = 128000;
	hold(&s, "blake3", 256, with, N + 1, NULL);
	q = ask(&s, "blake3", 256);
	assert_answer(&q, KEY_CAUSE_ADDED, "blake3", 256, KEY_DIFF_ADDED);
	assert_int_equal(key_explain(&a, &q, &e), 0);
	assert_int_equal(a.best[0].bos, 128000);
	with[0] = 77777;
	hold(&s, "blake3", 256, with, N + 1, NULL);
	assert_answer(&q, KEY_CAUSE_NOTHING, NULL, 0, 0);
	q.bos = mine;
	q.n_bos = 1;
	assert_answer(&q, KEY_CAUSE_ADDED, "blake3", 256, KEY_DIFF_ADDED);
	hold(&s, "blake3", 128, tokens + 1, N - 1, NULL);
	q = ask(&s, "blake3", 256);
	assert_answer(&q, KEY_CAUSE_SEVERAL, "blake3", 128, KEY_DIFF_DROPPED | KEY_DIFF_CHUNK);
	hold(&s, "blake3", 256, tokens + 1, N - 1, NULL);
	assert_answer(&q, KEY_CAUSE_DROPPED, "blake3", 256, KEY_DIFF_DROPPED);
}

static void
extra_keys(void **state)
{
	static const struct key_extra lora = { .lora = "adapter" };
	struct held s;
	struct key_question q;

	(void)state;
	hold(&s, "vllm-sha256:seed=0", 16, tokens, N, NULL);
	q = ask(&s, "vllm-sha256:seed=0", 16);
	q.asked.extra = &lora;
	assert_answer(&q, KEY_CAUSE_EXTRA, "vllm-sha256:seed=0", 16, KEY_DIFF_EXTRA);
	hold(&s, "vllm-sha256:seed=42", 16, tokens, N, &lora);
	assert_answer(&q, KEY_CAUSE_SEED, "vllm-sha256:seed=42", 16, KEY_DIFF_SEED);
	hold(&s, "lmcache-builtin:B:seed=1", 16, tokens, N, NULL);
	assert_answer(&q, KEY_CAUSE_ALGO, "lmcache-builtin:B:seed=1", 16, KEY_DIFF_ALGO);
}

/* The first links are gone, or only 64 bits are kept. */
static void
remains(void **state)
{
	struct held s;
	struct key_answer a;
	struct key_question q;
	struct err e;

	(void)state;
	hold(&s, "vllm-sha256_cbor:seed=42", 128, tokens, N, NULL);
	memset(s.h, 0, 3 * sizeof(s.h[0]));
	q = ask(&s, "vllm-sha256_cbor:seed=0", 128);
	assert_answer(&q, KEY_CAUSE_SEED, "vllm-sha256_cbor:seed=42", 128, KEY_DIFF_SEED);
	assert_int_equal(key_explain(&a, &q, &e), 0);
	assert_int_equal(a.best[0].links, 7);
	assert_int_equal(a.best[0].present, 4);
	assert_int_equal(a.best[0].prefix, 0);
	assert_int_equal(key_hash_cmp(&a.best[0].found, &s.h[3]), 0);
	assert_true(a.tried > 1000);
	s.compare = 8;
	assert_answer(&q, KEY_CAUSE_SEED, "vllm-sha256_cbor:seed=42", 128, KEY_DIFF_SEED);
}

static void
failures(void **state)
{
	struct held s;
	struct key_question q;
	struct key_answer a;
	struct err e;

	(void)state;
	hold(&s, "lmcache-builtin:C", 256, tokens, N, NULL);
	q = ask(&s, "blake3", 256);
	s.fail_at = 20;
	assert_int_equal(key_explain(&a, &q, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	q = ask(&s, "blake3", 0);
	assert_int_equal(key_explain(&a, &q, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_and_gap),
		cmocka_unit_test(algorithms_and_seeds),
		cmocka_unit_test(chunk_sizes),
		cmocka_unit_test(first_tokens),
		cmocka_unit_test(extra_keys),
		cmocka_unit_test(remains),
		cmocka_unit_test(failures),
	};
	uint32_t i;

	for (i = 0; i < N; i++)
		tokens[i] = i * 2654435761u % 120000;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
