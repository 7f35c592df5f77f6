#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "codec/codec.h"
#include "codec/planes.h"

#define MAX (300 * 1024)

static unsigned char raw[MAX], coded[MAX + 1], back[MAX + 1];

static const struct codec zstd1 = { CODEC_ZSTD, 1 }, planes1 = { CODEC_PLANES_ZSTD, 1 };

static uint32_t
rnd(uint32_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 17;
	*s ^= *s << 5;
	return *s;
}

/* Contents of n bytes, in elements of elem_size: what caches hold, and what they do not. */
enum { ZEROS, NOISE, FLOATS, COARSE, REPEATED, N_FILLS };

static void
fill(unsigned char *p, size_t n, unsigned elem_size, int how)
{
	uint32_t s = 7;

	for (size_t i = 0; i < n; i++)
		p[i] = how == ZEROS ? 0 : (unsigned char)rnd(&s);
	if (how == REPEATED)
		for (size_t i = 333; i < n; i++)
			p[i] = p[i - 333];
	if (how != FLOATS && how != COARSE)
		return;
	for (size_t i = 0; i + elem_size <= n; i += elem_size) {
		/* few exponents; COARSE: no more than three bits of mantissa beside them */
		unsigned exp = 120 + (unsigned)__builtin_popcount(rnd(&s) & 0xff);

		p[i + elem_size - 1] = (unsigned char)(exp >> 1 | (rnd(&s) & 0x80));
		if (elem_size > 1)
			p[i + elem_size - 2] = (unsigned char)(exp << 7 |
				(rnd(&s) & (how == COARSE ? 0x70 : 0x7f)));
		if (elem_size == 4 && how == COARSE)
			memset(p + i, 0, 2);
	}
}

static size_t
encode(struct codec_ctx *x, struct codec c, const unsigned char *src, size_t n,
	unsigned elem_size)
{
	struct err e;
	size_t len = MAX + 1;

	coded[n] = 0xa5;
	assert_int_equal(codec_encode_part(x, c, src, n, elem_size, coded, &len, &e), 0);
	assert_true(len <= n);
	assert_int_equal(coded[n], 0xa5);
	return len;
}

static void
there_and_back(struct codec_ctx *x, struct codec c, size_t n, unsigned elem_size)
{
	size_t len = encode(x, c, raw, n, elem_size);
	struct err e;

	memset(back, 0x5a, n + 1);
	assert_int_equal(codec_decode_part(x, c.kind, coded, len, back, n, &e), 0);
	assert_memory_equal(back, raw, n);
	assert_int_equal(back[n], 0x5a);
}

static void
names_and_levels(void **state)
{
	static const struct {
		const char *text;
		enum codec_kind kind;
		int level;
	} good[] = {
		{ "none", CODEC_NONE, 1 }, { "auto", CODEC_AUTO, 1 }, { "zstd", CODEC_ZSTD, 1 },
		{ "zstd:1", CODEC_ZSTD, 1 }, { "zstd:19", CODEC_ZSTD, 19 },
		{ "planes+zstd", CODEC_PLANES_ZSTD, 1 },
		{ "planes+zstd:3", CODEC_PLANES_ZSTD, 3 }, { "auto:9", CODEC_AUTO, 9 },
	};
	static const char *const bad[] = { "", "zst", "zstdx", "zstd:", "zstd:0", "zstd:20",
		"zstd:-1", "zstd: 1", "zstd:1x", "none:1", "planes", "planes+zstd:", "ZSTD", ":1" };
	struct codec c;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(codec_parse(&c, good[i].text, &e), 0);
		assert_int_equal(c.kind, good[i].kind);
		assert_int_equal(c.level, good[i].level);
		assert_int_equal(strncmp(good[i].text, codec_name(c.kind),
			strlen(codec_name(c.kind))), 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		e.kind = ERR_NONE;
		assert_int_equal(codec_parse(&c, bad[i], &e), -1);
		assert_int_equal(e.kind, ERR_USAGE);
	}
}

static void
auto_goes_by_element(void **state)
{
	static const unsigned sizes[] = { 0, 1, 2, 3, 4, 5, 8, 584 };
	const struct codec wish = { CODEC_AUTO, 7 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct codec c = codec_for(wish, sizes[i]);

		assert_int_equal(c.kind, sizes[i] == 2 || sizes[i] == 4 ? CODEC_PLANES_ZSTD
			: CODEC_ZSTD);
		assert_int_equal(c.level, 7);
	}
	assert_int_equal(codec_for((struct codec){ CODEC_NONE, 1 }, 2).kind, CODEC_NONE);
}

static void
everything_comes_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 3, 4, 8, 31, 32, 33, 64, 1000, 1001, 65536,
		131072 + 4, MAX };
	static const unsigned elems[] = { 1, 2, 3, 4, 8 };
	static const struct codec codecs[] = { { CODEC_NONE, 1 }, { CODEC_ZSTD, 1 },
		{ CODEC_ZSTD, 5 }, { CODEC_PLANES_ZSTD, 1 }, { CODEC_PLANES_ZSTD, 4 },
		{ CODEC_ZSTD, 0 } };
	struct codec_ctx *x = codec_ctx_new(NULL);

	(void)state;
	assert_non_null(x);
	for (int f = 0; f < N_FILLS; f++)
		for (size_t k = 0; k < 5; k++) {
			fill(raw, MAX, elems[k], f);
			for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
				for (size_t c = 0; c < sizeof(codecs) / sizeof(codecs[0]); c++)
					there_and_back(x, codecs[c], sizes[s], elems[k]);
		}
	codec_ctx_free(x);
}

static void
gains_where_there_is_something(void **state)
{
	struct codec_ctx *x = codec_ctx_new(NULL);
	const size_t n = 256 * 1024;
	size_t len;

	(void)state;
	/* Exponents of about 2.55 bits where 8 are spent; the other plane is noise. */
	fill(raw, n, 2, FLOATS);
	len = encode(x, planes1, raw, n, 2);
	assert_int_equal(coded[0], 0x21);
	assert_true(len >= n * 655 / 1000 && len <= n * 668 / 1000);
	assert_true(encode(x, zstd1, raw, n, 2) > len * 107 / 100);
	fill(raw, n, 2, COARSE);	/* four bits of the other plane are always zero */
	len = encode(x, planes1, raw, n, 2);
	assert_int_equal(coded[0], 0x23);
	assert_true(len >= n * 400 / 1000 && len <= n * 428 / 1000);
	fill(raw, n, 4, COARSE);	/* and of f32 that was f16 half is zero, too */
	len = encode(x, planes1, raw, n, 4);
	assert_int_equal(coded[0], 0x4f);
	assert_true(len < n * 220 / 1000);
	fill(raw, n, 2, ZEROS);
	assert_true(encode(x, planes1, raw, n, 2) < 64);
	fill(raw, n, 2, NOISE);
	assert_int_equal(encode(x, planes1, raw, n, 2), n);
	assert_memory_equal(coded, raw, n);
	assert_int_equal(encode(x, zstd1, raw, n, 2), n);
	codec_ctx_free(x);
}

/* What a context did before leaves no trace in the bytes. */
static void
same_input_same_bytes(void **state)
{
	static unsigned char first[MAX];
	struct codec_ctx *used = codec_ctx_new(NULL);

	(void)state;
	fill(raw, MAX, 2, REPEATED);
	for (int level = 1; level < 6; level++) {
		encode(used, (struct codec){ CODEC_PLANES_ZSTD, level }, raw, 70000, 2);
		encode(used, (struct codec){ CODEC_ZSTD, level }, raw, MAX, 2);
	}
	for (int f = FLOATS; f < N_FILLS; f++) {
		struct codec_ctx *fresh = codec_ctx_new(NULL);
		size_t len;

		fill(raw, MAX, 2, f);
		len = encode(fresh, planes1, raw, MAX, 2);
		memcpy(first, coded, len);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(encode(used, planes1, raw, MAX, 2), len);
			assert_memory_equal(coded, first, len);
		}
		codec_ctx_free(fresh);
	}
	codec_ctx_free(used);
}

/* A part put together by hand after the table in the header, its frame made by the zstd
 * program: 96 elements, plane 0 coded. */
static const char golden[] =
	"21" "1b000000" "28b52ffd2060950000507e807f7e81807f81807f0200e01ed6598c"
	"01828487080a0d0e90939416191a1c9fa0a22526282bacaeb132343738babdbe40434446c9cacc4f"
	"505255d6d8db5c5e6162e4e7e86a6d6e70f3f4f6797a7c7f00020586888b8c0e11129497989a1d1e"
	"20a3a4a6a92a2c2fb0b2b5b6383b3cbe";

static void
golden_part(void **state)
{
	struct codec_ctx *x = codec_ctx_new(NULL);
	size_t len = (sizeof(golden) - 1) / 2;
	struct err e;

	(void)state;
	assert_int_equal(hex_read(coded, golden, len), 0);
	for (unsigned i = 0; i < 96; i++)
		put_le16(raw + 2 * i, (uint16_t)((0x3f00 + (i * 5 % 7) * 0x40 + i) ^
			(i % 3 ? 0 : 0x8000)));
	assert_int_equal(codec_decode_part(x, CODEC_PLANES_ZSTD, coded, len, back, 192, &e), 0);
	assert_memory_equal(back, raw, 192);
	codec_ctx_free(x);
}

/* Exactly sized copies, so that the sanitizer sees every byte too far. */
static int
decode_copy(enum codec_kind kind, const unsigned char *p, size_t len, size_t n)
{
	struct codec_ctx *x = codec_ctx_new(NULL);
	unsigned char *in = malloc(len ? len : 1), *out = malloc(n ? n : 1);
	struct err e;
	int r;

	assert_true(in && out);
	memcpy(in, p, len);
	r = codec_decode_part(x, kind, in, len, out, n, &e);
	if (r < 0)
		assert_int_equal(e.kind, ERR_CORRUPT);
	free(in);
	free(out);
	codec_ctx_free(x);
	return r;
}

static void
wrong_frames(size_t len)
{
	unsigned char bad[512];

	for (unsigned b = 0; b < 256; b++) {	/* no other first byte fits this body */
		memcpy(bad, coded, len);
		bad[0] = (unsigned char)b;
		assert_int_equal(decode_copy(CODEC_PLANES_ZSTD, bad, len, 192),
			b == 0x21 ? 0 : -1);
	}
	memcpy(bad, coded, len);
	bad[len] = 0;				/* something after the end */
	assert_int_equal(decode_copy(CODEC_PLANES_ZSTD, bad, len + 1, 192), -1);
	for (unsigned l = 0; l < 40; l++) {	/* length of the frame */
		put_le32(bad + 1, l);
		assert_int_equal(decode_copy(CODEC_PLANES_ZSTD, bad, len, 192),
			l == 0x1b ? 0 : -1);
	}
	put_le32(bad + 1, UINT32_MAX);
	assert_int_equal(decode_copy(CODEC_PLANES_ZSTD, bad, len, 192), -1);
	memcpy(bad, coded + 5, 0x1b);		/* a frame, right as such; then two of them */
	memcpy(bad + 0x1b, coded + 5, 0x1b);
	assert_int_equal(decode_copy(CODEC_ZSTD, bad, 0x1b, 96), 0);
	assert_int_equal(decode_copy(CODEC_ZSTD, bad, 0x1b, 95), -1);
	assert_int_equal(decode_copy(CODEC_ZSTD, bad, 0x1b, 97), -1);
	assert_int_equal(decode_copy(CODEC_ZSTD, bad, 2 * 0x1b, 192), -1);
	assert_int_equal(decode_copy(CODEC_ZSTD, bad, 0x1a, 96), -1);
}

static void
hostile_parts(void **state)
{
	size_t len = (sizeof(golden) - 1) / 2;
	unsigned char bad[512];

	(void)state;
	assert_int_equal(hex_read(coded, golden, len), 0);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(decode_copy(CODEC_PLANES_ZSTD, coded, cut, 192), -1);
	for (size_t n = 0; n < 400; n++)	/* n as long as the part: it is the content */
		assert_int_equal(decode_copy(CODEC_PLANES_ZSTD, coded, len, n),
			n == 192 || n == len ? 0 : -1);
	assert_int_equal(decode_copy(CODEC_NONE, coded, len, 192), -1);
	assert_int_equal(decode_copy(CODEC_NONE, coded, len, len), 0);
	assert_int_equal(decode_copy(CODEC_AUTO, coded, len, 192), -1);
	assert_int_equal(decode_copy(CODEC_ZSTD, coded, len, 192), -1);
	for (size_t bit = 0; bit < 8 * len; bit++) {	/* must not harm; may decode */
		memcpy(bad, coded, len);
		bad[bit / 8] ^= (unsigned char)(1 << bit % 8);
		decode_copy(CODEC_PLANES_ZSTD, bad, len, 192);
	}
	wrong_frames(len);
}

/* The planes against the plain statement: rotate, then take bytes. */
static void
planes_by_definition(void **state)
{
	unsigned char *p[PLANES_MAX];
	const unsigned char *q[PLANES_MAX];
	const size_t n = 4 * 77;

	(void)state;
	fill(raw, n, 1, NOISE);
	for (unsigned es = 1; es <= 4; es *= 2) {
		for (unsigned k = 0; k < es; k++)
			q[k] = p[k] = coded + k * 1000;
		planes_split(p, raw, n, es);
		for (size_t i = 0; i < n / es; i++) {
			uint64_t v = 0;

			for (unsigned k = es; k-- > 0; )
				v = v << 8 | raw[i * es + k];
			v = v << 1 | v >> (8 * es - 1);
			for (unsigned k = 0; k < es; k++)
				assert_int_equal(p[k][i], v >> 8 * (es - 1 - k) & 0xff);
		}
		memset(back, 0, n);
		planes_merge(back, q, n, es);
		assert_memory_equal(back, raw, n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_levels),
		cmocka_unit_test(auto_goes_by_element),
		cmocka_unit_test(everything_comes_back),
		cmocka_unit_test(gains_where_there_is_something),
		cmocka_unit_test(same_input_same_bytes),
		cmocka_unit_test(golden_part),
		cmocka_unit_test(hostile_parts),
		cmocka_unit_test(planes_by_definition),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
