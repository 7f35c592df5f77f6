#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "geom/float.h"

/* The formats once more, as their papers have them, in double arithmetic. */
static const struct format {
	enum dtype d;
	int exp, man, bias;
	uint32_t max;		/* code of the largest finite value */
	int inf;		/* the codes after it are infinity and NaNs, else NaNs only */
	int keep_inf;
	int fnuz;
} formats[] = {
	{ DT_BF16, 8, 7, 127, 0x7f7f, 1, 1, 0 },
	{ DT_F16, 5, 10, 15, 0x7bff, 1, 1, 0 },
	{ DT_F8_E4M3FN, 4, 3, 7, 0x7e, 0, 0, 0 },
	{ DT_F8_E4M3FNUZ, 4, 3, 8, 0x7f, 0, 0, 1 },
	{ DT_F8_E5M2, 5, 2, 15, 0x7b, 1, 0, 0 },
	{ DT_F8_E5M2FNUZ, 5, 2, 16, 0x7f, 0, 0, 1 },
};

#define N_FORMATS (sizeof(formats) / sizeof(formats[0]))

static const enum dtype narrow[] = { DT_F8_E4M3FN, DT_F8_E4M3FNUZ, DT_F8_E5M2,
	DT_F8_E5M2FNUZ };

static uint32_t
sign_bit(const struct format *f)
{
	return 1u << (f->exp + f->man);
}

static double
magnitude(const struct format *f, uint32_t code)
{
	int e = (int)(code >> f->man);
	double m = ldexp(code & ((1u << f->man) - 1), -f->man);

	return e == 0 ? ldexp(m, 1 - f->bias) : ldexp(1 + m, e - f->bias);
}

static double
value(const struct format *f, uint32_t code)
{
	uint32_t top = sign_bit(f), a = code & (top - 1);
	double v = magnitude(f, a);

	if (f->fnuz && code == top)
		return NAN;
	if (a > f->max)
		v = f->inf && a == f->max + 1 ? INFINITY : NAN;
	return code & top ? -v : v;
}

static int
is_nan(const struct format *f, uint32_t code)
{
	return isnan(value(f, code));
}

/* The nearest of all finite values, the even code of two. */
static uint32_t
nearest(const struct format *f, double v)
{
	uint32_t lo = 0, hi = f->max, sign = signbit(v) ? sign_bit(f) : 0;
	double a = fabs(v), below, above;

	if (isinf(v))
		return sign | (f->keep_inf ? f->max + 1 : f->max);
	if (a >= magnitude(f, f->max))
		return sign | f->max;
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (magnitude(f, mid) <= a)
			lo = mid;
		else
			hi = mid;
	}
	below = a - magnitude(f, lo);
	above = magnitude(f, hi) - a;
	if (above < below || (above == below && lo % 2))
		lo = hi;
	return f->fnuz && lo == 0 ? 0 : sign | lo;
}

static void
values_of_all_codes(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_FORMATS; k++) {
		const struct format *f = &formats[k];

		for (uint32_t c = 0; c < 2 * sign_bit(f); c++) {
			double want = value(f, c), got = float_value(f->d, c);

			if (isnan(want)) {
				assert_true(isnan(got));
				continue;
			}
			assert_true(got == want && !signbit(got) == !signbit(want));
			/* and the value's code is the code; e5m2 saturates infinity */
			assert_int_equal(float_code(f->d, (float)want),
				isinf(want) && !f->keep_inf ? c - 1 : c);
		}
	}
	assert_true(float_value(DT_F8_E4M3FN, 0x7e) == 448);
	assert_true(float_value(DT_F8_E4M3FNUZ, 0x7f) == 240);
	assert_true(float_value(DT_F8_E5M2, 0x7b) == 57344);
	assert_true(float_value(DT_F8_E5M2FNUZ, 0xff) == -57344);
	assert_true(float_value(DT_F8_E4M3FN, 1) == ldexp(1, -9));
	assert_true(float_value(DT_F8_E5M2FNUZ, 1) == ldexp(1, -17));
}

static void
codes_of_nan(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_FORMATS; k++) {
		uint32_t plus = float_code(formats[k].d, NAN);
		uint32_t minus = float_code(formats[k].d, -NAN);

		assert_true(is_nan(&formats[k], plus));
		assert_true(is_nan(&formats[k], minus));
		assert_int_equal(plus ^ minus, formats[k].fnuz ? 0 : sign_bit(&formats[k]));
	}
	assert_int_equal(float_code(DT_BF16, NAN), 0x7fc0);
	assert_int_equal(float_code(DT_F8_E4M3FN, -NAN), 0xff);
	assert_int_equal(float_code(DT_F8_E4M3FNUZ, NAN), 0x80);
}

/* All 16-bit values into all formats, in bulk, with the losses counted the slow way. */
static void
all_to(const struct format *from, const struct format *to, float scale)
{
	static unsigned char src[1 << 17], dst[1 << 17];
	uint32_t n = 2 * sign_bit(from);
	unsigned size = from->d == DT_BF16 || from->d == DT_F16 ? 2 : 1;
	unsigned to_size = to->d == DT_BF16 || to->d == DT_F16 ? 2 : 1;
	float scale_to = to_size == 1 ? scale : 1;
	struct float_loss loss = { 0 }, want = { 0 };

	for (uint32_t c = 0; c < n; c++)
		memcpy(src + c * size, (unsigned char[]){ c & 0xff, c >> 8 }, size);
	float_convert(dst, (struct float_form){ to->d, scale }, src,
		(struct float_form){ from->d, 1 }, n, &loss);
	for (uint32_t c = 0; c < n; c++) {
		uint32_t got = to_size == 2 ? get_le16(dst + c * 2) : dst[c];
		float v = (float)(value(from, c) / scale_to);
		double after = value(to, got) * scale_to, error = fabs(after - (double)v * scale_to);

		if (isnan(v)) {
			want.nans++;
			assert_true(is_nan(to, got));
			continue;
		}
		assert_int_equal(got, nearest(to, v));
		want.clipped += fabsf(v) > magnitude(to, to->max) && !isinf(after);
		want.flushed += v != 0 && after == 0;
		if (isfinite(error) && error > want.max_error)
			want.max_error = error;
	}
	assert_int_equal(loss.nans, want.nans);
	assert_int_equal(loss.clipped, want.clipped);
	assert_int_equal(loss.flushed, want.flushed);
	assert_true(fabs(loss.max_error - want.max_error) <= want.max_error * 1e-6);
}

static void
all_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_FORMATS; i++)
		for (size_t k = 0; k < N_FORMATS; k++) {
			if (i == k)
				continue;
			all_to(&formats[i], &formats[k], 1);
			if (i < 2)
				all_to(&formats[i], &formats[k], 0.037f);
		}
}

/* f32: every code, the middle between it and the next, and one f32 to either side. */
static void
ties_and_neighbours(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_FORMATS; k++) {
		const struct format *f = &formats[k];

		for (uint32_t c = 0; c < f->max; c++) {
			float mid = (float)((magnitude(f, c) + magnitude(f, c + 1)) / 2);
			float v[3] = { nextafterf(mid, 0), mid, nextafterf(mid, INFINITY) };

			for (int i = 0; i < 3; i++) {
				assert_int_equal(float_code(f->d, v[i]), nearest(f, v[i]));
				assert_int_equal(float_code(f->d, -v[i]), nearest(f, -v[i]));
			}
		}
		assert_int_equal(float_code(f->d, 3.4e38f), f->max);
		assert_int_equal(float_code(f->d, -INFINITY), nearest(f, -INFINITY));
		assert_int_equal(float_code(f->d, -1e-45f), f->fnuz ? 0 : sign_bit(f));
	}
}

static uint32_t
convert_one(enum dtype to, float to_scale, enum dtype from, float from_scale, uint32_t code)
{
	unsigned char in = (unsigned char)code, out;

	float_convert(&out, (struct float_form){ to, to_scale }, &in,
		(struct float_form){ from, from_scale }, 1, NULL);
	return out;
}

/* Scale halved (or doubled): bytes stay, but those the other type has no number for. */
static void
codes_kept(void **state)
{
	const enum dtype a = DT_F8_E4M3FNUZ, b = DT_F8_E4M3FN, c = DT_F8_E5M2FNUZ, d = DT_F8_E5M2;
	const float s = 0.0371f;

	(void)state;
	assert_true(float_rescale(a, b) == 0.5f && float_rescale(b, a) == 2);
	assert_true(float_rescale(c, d) == 0.5f && float_rescale(d, c) == 2);
	assert_true(float_rescale(a, a) == 1 && float_rescale(a, c) == 0);
	assert_true(float_rescale(DT_BF16, a) == 0);
	for (uint32_t x = 0; x < 256; x++) {
		uint32_t fn = x == 0x80 ? 0x7f : x == 0x7f ? 0x7e : x == 0xff ? 0xfe : x;
		uint32_t fnuz = (x & 0x7f) == 0x7f ? 0x80 : x == 0x80 ? 0 : x;
		uint32_t e5 = x == 0x80 ? 0x7f : (x & 0x7f) > 0x7b ? (x & 0x80) | 0x7b : x;
		uint32_t e5uz = (x & 0x7f) > 0x7c ? 0x80 : x == 0x80 ? 0 :
			(x & 0x7f) == 0x7c ? x | 0x7f : x;

		assert_int_equal(convert_one(b, s * float_rescale(a, b), a, s, x), fn);
		assert_int_equal(convert_one(a, s * float_rescale(b, a), b, s, x), fnuz);
		assert_int_equal(convert_one(d, s * float_rescale(c, d), c, s, x), e5);
		assert_int_equal(convert_one(c, s * float_rescale(d, c), d, s, x), e5uz);
	}
}

/* Scale kept: known codes, and what is lost. */
static void
numbers_kept(void **state)
{
	static const unsigned char from[] = { 0x7f, 0x78, 0x18, 0x02, 0x03, 0x05, 0x07, 0x09,
		0x0f, 0x80, 0x8f }, to[] = { 0x77, 0x70, 0x10, 0x01, 0x02, 0x02, 0x04, 0x04,
		0x08, 0x7f, 0x88 };
	const float s = 0.0371f;
	const struct float_form fnuz = { DT_F8_E4M3FNUZ, s }, fn = { DT_F8_E4M3FN, s };
	struct float_loss loss = { 0 };
	unsigned char all[256], out[256];
	unsigned lossy = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(from); i++)
		assert_int_equal(convert_one(fn.dtype, s, fnuz.dtype, s, from[i]), to[i]);
	for (unsigned i = 0; i < 256; i++)
		all[i] = (unsigned char)i;
	float_convert(out, fn, all, fnuz, 256, &loss);
	for (unsigned i = 0; i < 256; i++)
		lossy += i != 0x80 && float_value(fn.dtype, out[i]) != float_value(fnuz.dtype, i);
	assert_int_equal(lossy, 16);
	assert_int_equal(loss.clipped, 0);
	assert_int_equal(loss.flushed, 2);	/* 0x01 and 0x81: half of the smallest */
	assert_int_equal(loss.nans, 1);
	assert_true(fabs(loss.max_error - s * ldexp(1, -10)) < 1e-9);
	memset(&loss, 0, sizeof(loss));
	float_convert(all, fnuz, all, fn, 256, &loss);		/* in place */
	assert_int_equal(loss.clipped, 14);
	assert_int_equal(loss.flushed, 0);
	assert_int_equal(loss.nans, 2);
	assert_true(fabs(loss.max_error - (448 - 240) * s) < 1e-4);
	assert_int_equal(all[0x7e], 0x7f);
	assert_int_equal(all[0x80], 0);
}

/* More than a block, every offset of its end; f32 on both sides; dst is src. */
static void
lengths(void **state)
{
	static unsigned char f32[4 * 1100], bf16[2 * 1100], back[4 * 1100], f8[1101];
	const struct float_form f = { DT_F32, 1 }, b = { DT_BF16, 1 }, e = { DT_F8_E4M3FN, 0.5f };

	(void)state;
	for (uint32_t i = 0; i < 1100; i++) {
		float v = (float)i / 16 - 30;
		uint32_t u;

		memcpy(&u, &v, sizeof(u));
		put_le32(f32 + 4 * i, u);
	}
	float_convert(bf16, b, f32, f, 1100, NULL);
	float_convert(back, f, bf16, b, 1100, NULL);
	for (size_t n = 500; n < 1100; n += 7) {
		memset(f8, 0xee, sizeof(f8));
		float_convert(f8, e, bf16, b, n, NULL);
		assert_int_equal(f8[n], 0xee);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(f8[i], float_code(DT_F8_E4M3FN,
				2 * float_value(DT_F32, get_le32(back + 4 * i))));
	}
	float_convert(f32, b, f32, f, 1100, NULL);
	assert_memory_equal(f32, bf16, 2 * 1100);
	float_convert(bf16, e, bf16, b, 1100, NULL);
	float_convert(back, e, back, f, 1100, NULL);
	assert_memory_equal(back, bf16, 1100);
	float_convert(back, f, bf16, e, 1100, NULL);
	assert_true(float_value(DT_F32, get_le32(back)) == -30);
}

static void
equal_types_are_copied(void **state)
{
	unsigned char all[256], out[256];

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		all[i] = (unsigned char)i;
	for (size_t k = 0; k < N_FORMATS; k++) {
		struct float_form f = { formats[k].d, 0.3f };

		memset(out, 0, sizeof(out));
		float_convert(out, f, all, f, 256 / dtype_size(f.dtype), NULL);
		assert_memory_equal(out, all, 256);
	}
	assert_int_equal(convert_one(DT_F8_E5M2, 1, DT_F8_E5M2, 2, 0x30), 0x34);
}

static void
known_types(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_FORMATS; k++)
		assert_true(float_known(formats[k].d));
	for (size_t k = 0; k < sizeof(narrow) / sizeof(narrow[0]); k++)
		assert_int_equal(dtype_size(narrow[k]), 1);
	assert_true(float_known(DT_F32));
	assert_false(float_known(DT_U8));
	assert_false(float_known(DT_I8));
	assert_false(float_known(DT_F64));
	assert_false(float_known(DT_NONE));
	assert_false(float_known(DT_COUNT));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_all_codes),
		cmocka_unit_test(codes_of_nan),
		cmocka_unit_test(all_pairs),
		cmocka_unit_test(ties_and_neighbours),
		cmocka_unit_test(codes_kept),
		cmocka_unit_test(numbers_kept),
		cmocka_unit_test(lengths),
		cmocka_unit_test(equal_types_are_copied),
		cmocka_unit_test(known_types),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("float", tests, NULL, NULL);
}
