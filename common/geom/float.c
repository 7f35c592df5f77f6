#include <endian.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "geom/float.h"

/* Loops over arrays become vector code, which gcc does from -O3 on; and wider where the
 * processor has it: each function is there twice, and what the C library found when it started
 * chooses. (With target_clones every program asks again, 0.1 ms on a virtual machine.) */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#if defined(__x86_64__) && __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#endif
#ifdef CPU_FEATURE_ACTIVE
#define WIDER(name, params, args)							\
	__attribute__((target("avx2"))) static void name##_avx2 params { name##_any args; } \
	static void name params								\
	{										\
		if (CPU_FEATURE_ACTIVE(AVX2))						\
			name##_avx2 args;						\
		else									\
			name##_any args;						\
	}
#else
#define WIDER(name, params, args) static void name params { name##_any args; }
#endif
#define TWICE __attribute__((always_inline)) static inline

#define BLOCK 512		/* numbers: all arrays of a block stay in the first cache */
#define F32_MAN 23
#define F32_BIAS 127
#define F32_INF 0x7f800000u
#define F32_NAN 0x7fc00000u
#define MAGNITUDE 0x7fffffffu

/* A format of 8 or 16 bits. Magnitudes above the largest are infinity (if inf) and NaNs. */
struct format {
	unsigned bits;
	unsigned man;		/* bits of mantissa */
	unsigned bias;
	uint32_t max;		/* code of the largest finite value */
	uint32_t nan;
	uint32_t inf;		/* code, or 0 */
	int keep_inf;		/* an infinity becomes inf, not max */
	int fnuz;		/* code of -0 is the only NaN */
};

static const struct format formats[DT_COUNT] = {
	[DT_BF16] = { 16, 7, 127, 0x7f7f, 0x7fc0, 0x7f80, 1, 0 },
	[DT_F16] = { 16, 10, 15, 0x7bff, 0x7e00, 0x7c00, 1, 0 },
	[DT_F8_E4M3FN] = { 8, 3, 7, 0x7e, 0x7f, 0, 0, 0 },
	[DT_F8_E4M3FNUZ] = { 8, 3, 8, 0x7f, 0x80, 0, 0, 1 },
	[DT_F8_E5M2] = { 8, 2, 15, 0x7b, 0x7f, 0x7c, 0, 0 },
	[DT_F8_E5M2FNUZ] = { 8, 2, 16, 0x7f, 0x80, 0, 0, 1 },
};

static inline uint32_t
bits_of(float v)
{
	uint32_t u;

	memcpy(&u, &v, sizeof(u));
	return u;
}

static inline float
of_bits(uint32_t u)
{
	float v;

	memcpy(&v, &u, sizeof(v));
	return v;
}

/* Both ways are taken and a mask chooses: a branch would keep loops from being vectors. */
static inline uint32_t
pick(int which, uint32_t yes, uint32_t no)
{
	uint32_t mask = 0 - (uint32_t)which;

	return (yes & mask) | (no & ~mask);
}

/* Power of two. Also 2^-127 and less, which have no exponent of their own in f32. */
static float
pow2(int e)
{
	return ldexpf(1, e);
}

/* c[i] is the code of v[i]. */
TWICE void
encode_any(uint32_t *restrict c, const float *restrict v, size_t n, enum dtype d)
{
	const struct format f = formats[d];
	const uint32_t shift = F32_MAN - f.man, half = (1u << (shift - 1)) - 1;
	const uint32_t rebias = (F32_BIAS - f.bias) << f.man;
	/* Below the smallest normal number, adding a number whose last place is the
	 * format's smallest rounds there; bf16 has f32's exponent and rounds like normal. */
	const uint32_t small = f.bias == F32_BIAS ? 0 : bits_of(pow2(1 - (int)f.bias));
	const float magic = pow2(F32_MAN + 1 - (int)f.bias - (int)f.man);
	const uint32_t over = f.keep_inf ? f.inf : f.max, zero_sign = f.fnuz ? 0 : UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		uint32_t u = bits_of(v[i]), a = u & MAGNITUDE, sign = (u >> 31) << (f.bits - 1);
		uint32_t normal = ((a + half + (a >> shift & 1)) >> shift) - rebias;
		uint32_t tiny = bits_of(of_bits(a) + magic) - bits_of(magic);
		uint32_t r = pick(a < small, tiny, normal);

		r = pick(r > f.max, f.max, r);
		r = pick(a == F32_INF, over, r);
		sign = pick(r == 0, zero_sign & sign, sign);
		r = pick(a > F32_INF, f.nan, r);
		c[i] = r | sign;
	}
}
WIDER(encode, (uint32_t *restrict c, const float *restrict v, size_t n, enum dtype d), (c, v, n, d))

TWICE void
decode_any(float *restrict v, const uint32_t *restrict c, size_t n, enum dtype d)
{
	const struct format f = formats[d];
	const uint32_t shift = F32_MAN - f.man, top = 1u << (f.bits - 1);
	const uint32_t rebias = (F32_BIAS - f.bias) << F32_MAN;
	const uint32_t small = f.bias == F32_BIAS ? 0 : 1u << f.man;
	const float unit = pow2(1 - (int)f.bias - (int)f.man);
	const uint32_t inf = f.inf ? f.inf : UINT32_MAX, zero_nan = f.fnuz ? top : UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		uint32_t a = c[i] & (top - 1), sign = (c[i] & top) << (32 - f.bits);
		uint32_t r = (a << shift) + rebias;

		r = pick(a < small, bits_of((float)(int32_t)a * unit), r);
		r = pick(a > f.max, F32_NAN, r);
		r = pick(a == inf, F32_INF, r);
		v[i] = of_bits(pick(c[i] == zero_nan, F32_NAN, r | sign));
	}
}
WIDER(decode, (float *restrict v, const uint32_t *restrict c, size_t n, enum dtype d), (v, c, n, d))

int
float_known(enum dtype d)
{
	return d == DT_F32 || (d < DT_COUNT && formats[d].bits);
}

float
float_value(enum dtype d, uint32_t code)
{
	float v;

	if (d == DT_F32)
		return of_bits(code);
	decode(&v, &code, 1, d);
	return v;
}

uint32_t
float_code(enum dtype d, float value)
{
	uint32_t c;

	if (d == DT_F32)
		return bits_of(value);
	encode(&c, &value, 1, d);
	return c;
}

float
float_rescale(enum dtype from, enum dtype to)
{
	if (from == to)
		return 1;
	if ((from == DT_F8_E4M3FNUZ && to == DT_F8_E4M3FN) ||
			(from == DT_F8_E5M2FNUZ && to == DT_F8_E5M2))
		return 0.5f;
	if ((from == DT_F8_E4M3FN && to == DT_F8_E4M3FNUZ) ||
			(from == DT_F8_E5M2 && to == DT_F8_E5M2FNUZ))
		return 2;
	return 0;
}

static void
load(float *v, const unsigned char *src, size_t n, enum dtype d)
{
	uint32_t c[BLOCK];
	uint16_t h[BLOCK];

	if (d == DT_F32) {
		for (size_t i = 0; i < n; i++)
			v[i] = of_bits(get_le32(src + 4 * i));
		return;
	}
	memcpy(h, src, 2 * n);
	for (size_t i = 0; i < n; i++)
		c[i] = le16toh(h[i]);
	if (d == DT_BF16)
		for (size_t i = 0; i < n; i++)
			v[i] = of_bits(c[i] << 16);
	else
		decode(v, c, n, d);
}

static void
store(unsigned char *dst, const uint32_t *c, size_t n, size_t size)
{
	uint16_t h[BLOCK];
	uint8_t b[BLOCK];

	for (size_t i = 0; size == 1 && i < n; i++)
		b[i] = (uint8_t)c[i];
	for (size_t i = 0; size == 2 && i < n; i++)
		h[i] = htole16((uint16_t)c[i]);
	for (size_t i = 0; size == 4 && i < n; i++)
		put_le32(dst + 4 * i, c[i]);
	if (size < 4)
		memcpy(dst, size == 1 ? (void *)b : (void *)h, n * size);
}

/* What became of v: w. Floats without sign are in the order of their bits, and integers
 * are what vectors have a maximum of. */
TWICE void
compare_any(struct float_loss *loss, const float *restrict v, const float *restrict w, size_t n,
	struct float_form to)
{
	const uint32_t max = to.dtype == DT_F32 ? F32_INF - 1
		: bits_of(float_value(to.dtype, formats[to.dtype].max));
	uint32_t clipped = 0, flushed = 0, nans = 0;
	int32_t worst = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t a = bits_of(v[i]) & MAGNITUDE, b = bits_of(w[i]) & MAGNITUDE;
		int32_t error = (int32_t)(bits_of(w[i] - v[i]) & MAGNITUDE);

		nans += a > F32_INF;
		clipped += (a > max) & (a <= F32_INF) & (b == max);
		flushed += (a != 0) & (b == 0);
		error = (int32_t)pick(error < (int32_t)F32_INF, (uint32_t)error, 0);
		worst = error > worst ? error : worst;
	}
	loss->nans += nans;
	loss->clipped += clipped;
	loss->flushed += flushed;
	loss->max_error = fmax(loss->max_error, (double)of_bits((uint32_t)worst) * to.scale);
}
WIDER(compare, (struct float_loss *loss, const float *restrict v, const float *restrict w, size_t n,
	struct float_form to), (loss, v, w, n, to))

/* From 16 or 32 bits. */
static void
convert_wide(unsigned char *dst, struct float_form to, const unsigned char *src,
	struct float_form from, size_t n, struct float_loss *loss)
{
	const size_t size = dtype_size(to.dtype), from_size = dtype_size(from.dtype);
	float v[BLOCK], w[BLOCK];
	uint32_t c[BLOCK];

	for (size_t k; n > 0; n -= k, src += k * from_size, dst += k * size) {
		k = n < BLOCK ? n : BLOCK;
		load(v, src, k, from.dtype);
		for (size_t i = 0; to.scale != 1 && i < k; i++)
			v[i] /= to.scale;
		if (to.dtype == DT_F32)
			memcpy(c, v, k * sizeof(c[0]));
		else
			encode(c, v, k, to.dtype);
		store(dst, c, k, size);
		if (!loss)
			continue;
		if (to.dtype == DT_F32)
			memcpy(w, v, k * sizeof(w[0]));
		else
			decode(w, c, k, to.dtype);
		compare(loss, v, w, k, to);
	}
}

/* From 8 bits: all there is to know is a table of 256. */
static void
convert_narrow(unsigned char *dst, struct float_form to, const unsigned char *src,
	struct float_form from, size_t n, struct float_loss *loss)
{
	const size_t size = dtype_size(to.dtype);
	uint32_t code[256];
	uint64_t count[256] = { 0 };

	for (uint32_t b = 0; b < 256; b++)
		code[b] = float_code(to.dtype,
			(float)((double)float_value(from.dtype, b) * from.scale / to.scale));
	for (size_t i = 0; loss && i < n; i++)
		count[src[i]]++;
	for (size_t i = 0; size == 1 && i < n; i++)
		dst[i] = (unsigned char)code[src[i]];
	for (size_t i = 0; size == 2 && i < n; i++) {
		uint16_t h = htole16((uint16_t)code[src[i]]);

		memcpy(dst + 2 * i, &h, 2);
	}
	for (size_t i = 0; size == 4 && i < n; i++)
		put_le32(dst + 4 * i, code[src[i]]);
	for (uint32_t b = 0; loss && b < 256; b++) {
		struct float_loss one = { 0 };
		float v = (float)((double)float_value(from.dtype, b) * from.scale / to.scale);
		float w = float_value(to.dtype, code[b]);

		if (!count[b])
			continue;
		compare(&one, &v, &w, 1, to);
		loss->nans += count[b] * one.nans;
		loss->clipped += count[b] * one.clipped;
		loss->flushed += count[b] * one.flushed;
		loss->max_error = fmax(loss->max_error, one.max_error);
	}
}

void
float_convert(void *dst, struct float_form to, const void *src, struct float_form from,
	size_t n, struct float_loss *loss)
{
	if (dtype_size(to.dtype) != 1)
		to.scale = 1;
	if (dtype_size(from.dtype) != 1)
		from.scale = 1;
	if (to.dtype == from.dtype && to.scale == from.scale)
		memmove(dst, src, n * dtype_size(to.dtype));
	else if (dtype_size(from.dtype) == 1)
		convert_narrow(dst, to, src, from, n, loss);
	else
		convert_wide(dst, to, src, from, n, loss);
}
