#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "geom/layout.h"

/* The published formulas, written out one by one: what layout_offset() must agree with. */
static uint64_t
formula(const struct layout_side *s, uint64_t c, uint64_t b, uint64_t n, uint64_t h, uint64_t d)
{
	uint64_t B = s->blocks, N = s->block, H = s->heads, D = s->head_dim, x = 16 / s->elem;

	if (s->kv == 1)
		return (b * N + n) * D + d;
	switch (s->layout) {
	case LAYOUT_LTD:
	case LAYOUT_HPU:
		return ((b * N + n) * H + h) * D + d;
	case LAYOUT_G1_NHD:
		return (((c * B + b) * N + n) * H + h) * D + d;
	case LAYOUT_G1_HND:
		return (((c * B + b) * H + h) * N + n) * D + d;
	case LAYOUT_G2_NHD:
		return (((b * 2 + c) * N + n) * H + h) * D + d;
	case LAYOUT_G2_HND:
		return (((b * 2 + c) * H + h) * N + n) * D + d;
	case LAYOUT_G3_NHD:
		return ((b * N + n) * H + h) * (2 * D) + c * D + d;
	case LAYOUT_G3_HND:
		return ((b * H + h) * N + n) * (2 * D) + c * D + d;
	default:
		break;
	}
	if (c == 0)
		return (((b * H + h) * (D / x) + d / x) * N + n) * x + d % x;
	if (s->layout == LAYOUT_ROCM_X)
		return B * N * H * D + ((b * H + h) * D + d) * N + n;
	return B * N * H * D + (((b * H + h) * (N / x) + n / x) * D + d) * x + n % x;
}

static struct layout_side
side(enum layout l, uint32_t kv, uint32_t elem, uint32_t block)
{
	return (struct layout_side){ .layout = l, .kv = kv, .heads = kv == 1 ? 1 : 3,
		.head_dim = 32, .elem = elem, .block = block, .blocks = 96 / block };
}

/* Each offset is the formula's, and each place is used once. */
static void
check_bijection(const struct layout_side *s)
{
	uint64_t size = layout_bytes(s) / s->elem, off, i[4], places = 0;
	unsigned char *used[2] = { calloc(1, size), calloc(1, size) };
	unsigned memory;

	for (i[0] = 0; i[0] < s->kv; i[0]++)
	for (i[1] = 0; i[1] < s->blocks * s->block; i[1]++)
	for (i[2] = 0; i[2] < s->heads; i[2]++)
	for (i[3] = 0; i[3] < s->head_dim; i[3]++) {
		off = layout_offset(s, i, &memory);
		assert_int_equal(off, formula(s, i[0], i[1] / s->block, i[1] % s->block,
			i[2], i[3]));
		assert_true(memory < layout_memories(s) && off < size);
		assert_int_equal(used[memory][off], 0);
		used[memory][off] = 1;
		places++;
	}
	assert_int_equal(places, size * layout_memories(s));
	free(used[0]);
	free(used[1]);
}

static void
offsets(void **state)
{
	static const uint32_t elems[] = { 1, 2, 4 }, blocks[] = { 16, 32, 96 };
	struct layout_side s;
	int l, i, j;
	uint32_t kv;

	(void)state;
	for (l = LAYOUT_LTD; l < LAYOUT_COUNT; l++)
		for (i = 0; i < 3; i++)
			for (j = 0; j < 3; j++)
				for (kv = 1; kv <= 2; kv++) {
					s = side(l, kv, elems[i], blocks[j]);
					check_bijection(&s);
				}
}

static void
fill(const struct layout_side *s, unsigned char *m[2])
{
	uint64_t size = layout_bytes(s), i;
	unsigned k;

	for (k = 0; k < 2; k++) {
		m[k] = malloc(size);
		for (i = 0; i < size; i++)
			m[k][i] = (unsigned char)(rand() >> 7);
	}
}

/* One span copied by a plan, against one element at a time by the formulas. */
static void
check_copy(const struct layout_side *to, const struct layout_side *from,
	const struct layout_span *w)
{
	unsigned char *src[2], *dst[2], *want[2];
	struct layout_plan p;
	struct err e;
	uint64_t c, t, h, d;
	unsigned k, a, b;

	fill(from, src);
	fill(to, dst);
	for (k = 0; k < 2; k++) {
		want[k] = malloc(layout_bytes(to));
		memcpy(want[k], dst[k], layout_bytes(to));
	}
	for (c = 0; c < from->kv; c++)
	for (t = 0; t < w->tokens; t++)
	for (h = 0; h < w->heads; h++)
	for (d = 0; d < from->head_dim; d++) {
		uint64_t at[4] = { c, w->token_from + t, w->head_from + h, d };
		uint64_t x = layout_offset(from, at, &a), y;

		at[1] = w->token_to + t;
		at[2] = w->head_to + h;
		y = layout_offset(to, at, &b);
		memcpy(want[b] + y * to->elem, src[a] + x * to->elem, to->elem);
	}
	assert_int_equal(layout_plan(&p, to, from, w, &e), 0);
	layout_copy(&p, dst, src);
	layout_plan_free(&p);
	for (k = 0; k < layout_memories(to); k++)
		assert_memory_equal(dst[k], want[k], layout_bytes(to));
	for (k = 0; k < 2; k++) {
		free(src[k]);
		free(dst[k]);
		free(want[k]);
	}
}

static void
copies(void **state)
{
	static const uint32_t table[] = { 5, 0, 3, 1, 4, 2 };
	static const struct layout_span spans[] = {
		{ 0, 0, 96, 0, 0, 3 }, { 16, 32, 48, 0, 0, 3 }, { 7, 21, 70, 1, 0, 2 },
		{ 95, 0, 1, 2, 1, 1 },
	};
	struct layout_side a, b;
	int l, m;
	unsigned i, elem;

	(void)state;
	for (l = LAYOUT_LTD; l < LAYOUT_COUNT; l++)
		for (m = LAYOUT_LTD; m < LAYOUT_COUNT; m++)
			for (elem = 1; elem <= 2; elem++) {
				a = side(l, 2, elem, 16);
				b = side(m, 2, elem, 32);
				a.table = table;
				for (i = 0; i < 4; i++) {
					check_copy(&b, &a, &spans[i]);
					check_copy(&a, &b, &spans[i]);
				}
			}
	a = side(LAYOUT_G3_NHD, 1, 2, 16);
	b = side(LAYOUT_LTD, 1, 2, 96);
	check_copy(&b, &a, &(struct layout_span){ 3, 0, 90, 0, 0, 1 });
}

/* Equal layouts copy in the fewest pieces: whole memories. */
static void
coalesced(void **state)
{
	struct layout_side a = side(LAYOUT_HPU, 2, 2, 16), b = side(LAYOUT_LTD, 2, 2, 96);
	struct layout_span w = { .tokens = 96, .heads = 3 };
	struct layout_plan p;
	struct err e;

	(void)state;
	assert_int_equal(layout_plan(&p, &b, &a, &w, &e), 0);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.runs[1].len, layout_bytes(&b));
	layout_plan_free(&p);
}

static void
refused(void **state)
{
	struct layout_side a = side(LAYOUT_ROCM_X, 2, 2, 16), b = side(LAYOUT_LTD, 2, 2, 96);
	struct layout_span w = { .tokens = 96, .heads = 3 };
	struct layout_plan p;
	struct err e;

	(void)state;
	a.head_dim = b.head_dim = 20;
	assert_int_equal(layout_plan(&p, &b, &a, &w, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	a = side(LAYOUT_G1_NHD, 2, 2, 16);
	assert_int_equal(layout_plan(&p, &b, &a, &w, &e), -1);
	b = side(LAYOUT_LTD, 2, 2, 96);
	w.token_to = 1;
	assert_int_equal(layout_plan(&p, &b, &a, &w, &e), -1);
	w.token_to = 0;
	w.head_from = 1;
	assert_int_equal(layout_plan(&p, &b, &a, &w, &e), -1);
	w.heads = 2;
	assert_int_equal(layout_plan(&p, &b, &a, &w, &e), 0);
	layout_plan_free(&p);
	assert_int_equal(layout_parse("G3-HND"), LAYOUT_G3_HND);
	assert_int_equal(layout_parse("nhd"), LAYOUT_NONE);
}

/* Four ranks to two and back through single heads, two pipeline halves. */
static void
reshard(void **state)
{
	enum { T = 5, L = 4, H = 8, D = 4 };
	struct geom whole = { .dtype = DT_BF16, .kv = 2, .layers = L, .layers_total = L,
		.heads = H, .heads_total = H, .head_dim = D }, part;
	static uint16_t src[2 * L * T * H * D], dst[2 * L * T * H * D], piece[2 * L * T * H * D];
	struct err e;
	unsigned i, j;

	(void)state;
	for (i = 0; i < sizeof(src) / 2; i++)
		src[i] = (uint16_t)i;
	for (i = 0; i < 4; i++)
		for (j = 0; j < 2; j++) {
			part = whole;
			part.heads = 2;
			part.head_first = 2 * i;
			part.layers = 2;
			part.layer_first = 2 * j;
			assert_int_equal(layout_reshard(piece, &part, src, &whole, T, &e), 0);
			assert_int_equal(piece[0], 2 * j * T * H * D + 2 * i * D);
			assert_int_equal(layout_reshard(dst, &whole, piece, &part, T, &e), 0);
		}
	assert_memory_equal(src, dst, sizeof(src));
	part.dtype = DT_F16;
	assert_int_equal(layout_reshard(dst, &whole, piece, &part, T, &e), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets), cmocka_unit_test(copies), cmocka_unit_test(coalesced),
		cmocka_unit_test(refused), cmocka_unit_test(reshard),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
