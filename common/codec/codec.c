#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/buf.h"
#include "base/num.h"
#include "codec/codec.h"
#include "codec/planes.h"

#define LEVEL_MAX 19
#define LEVEL_PLANES 0	/* parameters of our own, for planes at level 1: plane_params() */
#define LEN_SIZE 4	/* of the length before a coded plane */
#define SAMPLES 1024

struct codec_ctx {
	ZSTD_CCtx *enc;
	ZSTD_DCtx *dec;
	int level;		/* what enc is set to; -1: nothing yet */
	unsigned char *scratch;
	size_t cap;
};

static const char *const names[CODEC_KINDS] = {
	[CODEC_NONE] = "none",
	[CODEC_ZSTD] = "zstd",
	[CODEC_PLANES_ZSTD] = "planes+zstd",
	[CODEC_AUTO] = "auto",
};

/* What auto means for each size of element. */
static const enum codec_kind best[] = {
	[1] = CODEC_ZSTD,
	[2] = CODEC_PLANES_ZSTD,
	[4] = CODEC_PLANES_ZSTD,
};

int
codec_parse(struct codec *out, const char *text, struct err *e)
{
	size_t n = strcspn(text, ":");
	uint64_t level = 1;

	for (int k = 0; k < CODEC_KINDS; k++) {
		if (strlen(names[k]) != n || strncmp(text, names[k], n) != 0)
			continue;
		if (text[n] && k == CODEC_NONE)
			break;
		if (text[n] && num_u64(&level, text + n + 1, 1, LEVEL_MAX, "codec level", e) < 0)
			return -1;
		out->kind = (enum codec_kind)k;
		out->level = (int)level;
		return 0;
	}
	return err_set(e, ERR_USAGE, "codec '%s': not one of none, zstd[:LEVEL], "
		"planes+zstd[:LEVEL], auto[:LEVEL]", text);
}

const char *
codec_name(enum codec_kind kind)
{
	return names[kind];
}

struct codec
codec_for(struct codec c, unsigned elem_size)
{
	if (c.kind != CODEC_AUTO)
		return c;
	c.kind = CODEC_ZSTD;
	if (elem_size < sizeof(best) / sizeof(best[0]) && best[elem_size] != CODEC_NONE)
		c.kind = best[elem_size];
	return c;
}

struct codec_ctx *
codec_ctx_new(struct err *e)
{
	struct codec_ctx *x = calloc(1, sizeof(*x));

	if (!x) {
		err_sys(e, "calloc");
		return NULL;
	}
	x->level = -1;
	return x;
}

void
codec_ctx_free(struct codec_ctx *x)
{
	if (!x)
		return;
	ZSTD_freeCCtx(x->enc);
	ZSTD_freeDCtx(x->dec);
	free(x->scratch);
	free(x);
}

static int
scratch_room(struct codec_ctx *x, size_t n, struct err *e)
{
	unsigned char *p;

	if (n <= x->cap)
		return 0;
	p = realloc(x->scratch, n);
	if (!p)
		return err_sys(e, "realloc");
	x->scratch = p;
	x->cap = n;
	return 0;
}

static int
set_param(struct codec_ctx *x, ZSTD_cParameter p, int value, struct err *e)
{
	size_t r = ZSTD_CCtx_setParameter(x->enc, p, value);

	if (ZSTD_isError(r))
		return err_set(e, ERR_FAILED, "zstd parameter %d: %s", (int)p,
			ZSTD_getErrorName(r));
	return 0;
}

/*
 * Exponents are nearly independent of one another: Huffman coding takes what there is
 * to take, and looking for matches takes the time. So: the fast strategy in large steps
 * (targetLength), which still finds rows that repeat, through a table that stays in the
 * first-level cache. Such steps switch Huffman coding off, and the parameter that keeps
 * it on (literalCompressionMode, enable) has only its number in the stable header.
 */
static int
plane_params(struct codec_ctx *x, struct err *e)
{
	static const struct {
		ZSTD_cParameter name;
		int value;
	} params[] = {
		{ ZSTD_c_compressionLevel, 1 }, { ZSTD_c_strategy, ZSTD_fast },
		{ ZSTD_c_targetLength, 64 }, { ZSTD_c_minMatch, 7 }, { ZSTD_c_hashLog, 12 },
		{ ZSTD_c_windowLog, 20 }, { ZSTD_c_experimentalParam5, 1 },
	};

	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++)
		if (set_param(x, params[i].name, params[i].value, e) < 0)
			return -1;
	return 0;
}

static int
encoder(struct codec_ctx *x, int level, struct err *e)
{
	int r;

	if (!x->enc)
		x->enc = ZSTD_createCCtx();
	if (!x->enc)
		return err_set(e, ERR_FAILED, "zstd: out of memory");
	if (x->level == level)
		return 0;
	x->level = -1;
	ZSTD_CCtx_reset(x->enc, ZSTD_reset_session_and_parameters);
	r = level == LEVEL_PLANES ? plane_params(x, e)
		: set_param(x, ZSTD_c_compressionLevel, level, e);
	if (r == 0)
		x->level = level;
	return r;
}

/* One frame of at most cap bytes, at the level encoder() was given. *out is its length,
 * or 0 if it does not fit. */
static int
frame_encode(struct codec_ctx *x, const void *src, size_t n, void *dst, size_t cap,
	size_t *out, struct err *e)
{
	size_t r = ZSTD_compress2(x->enc, dst, cap, src, n);

	*out = ZSTD_isError(r) ? 0 : r;
	if (ZSTD_isError(r) && ZSTD_getErrorCode(r) != ZSTD_error_dstSize_tooSmall)
		return err_set(e, ERR_FAILED, "zstd: %s", ZSTD_getErrorName(r));
	return 0;
}

/* Exactly one frame, of exactly n bytes. */
static int
frame_decode(struct codec_ctx *x, const void *src, size_t len, void *dst, size_t n,
	struct err *e)
{
	size_t r;

	if (!x->dec)
		x->dec = ZSTD_createDCtx();
	if (!x->dec)
		return err_set(e, ERR_FAILED, "zstd: out of memory");
	if (ZSTD_findFrameCompressedSize(src, len) != len)
		return err_set(e, ERR_CORRUPT, "coded part: not one zstd frame of %zu bytes", len);
	r = ZSTD_decompressDCtx(x->dec, dst, n, src, len);
	if (ZSTD_isError(r))
		return err_set(e, ERR_CORRUPT, "coded part: zstd: %s", ZSTD_getErrorName(r));
	if (r != n)
		return err_set(e, ERR_CORRUPT, "coded part: %zu bytes where %zu belong", r, n);
	return 0;
}

/*
 * Whether entropy coding is likely to save a few per cent: a sample's sum of squared
 * counts is near its minimum where all bytes are about equally likely, as in mantissas.
 * Not so after a detour through 8 bits, or in padding: then every plane shrinks.
 */
static int
promising(const unsigned char *p, size_t n)
{
	uint32_t count[256] = { 0 };
	size_t step = n / SAMPLES | 1;	/* odd, so that no row length is met */
	size_t taken = 0;
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i += step, taken++)
		count[p[i]]++;
	for (int i = 0; i < 256; i++)
		sum += (uint64_t)count[i] * count[i];
	return sum >= taken + (uint64_t)taken * taken / 256 * 5 / 4;
}

/* Coded form of one plane of m bytes at dst, where room bytes are left: *out bytes, or
 * 0 if it is to stay as it is. */
static int
plane_encode(struct codec_ctx *x, const unsigned char *plane, size_t m, unsigned char *dst,
	size_t room, size_t *out, struct err *e)
{
	size_t cap = m - m / 32;	/* less gain than that is not worth the decoding */

	*out = 0;
	if (room <= LEN_SIZE)
		return 0;
	if (cap > room - LEN_SIZE)
		cap = room - LEN_SIZE;
	if (frame_encode(x, plane, m, dst + LEN_SIZE, cap, out, e) < 0)
		return -1;
	if (*out) {
		put_le32(dst, (uint32_t)*out);
		*out += LEN_SIZE;
	}
	return 0;
}

/* *out is 0 if nothing is gained. */
static int
planes_encode(struct codec_ctx *x, const unsigned char *src, size_t n, unsigned elem_size,
	unsigned char *dst, size_t *out, struct err *e)
{
	unsigned char *planes[PLANES_MAX] = { NULL };
	size_t m, pos = 1, len;
	unsigned mask = 0;

	*out = 0;
	if (!planes_size_ok(elem_size) || n % elem_size || n > UINT32_MAX)
		return 0;
	if (scratch_room(x, n, e) < 0)
		return -1;
	m = n / elem_size;
	for (unsigned p = 0; p < elem_size; p++)
		planes[p] = x->scratch + p * m;
	planes_split(planes, src, n, elem_size);
	for (unsigned p = 0; p < elem_size; p++) {
		len = 0;
		if ((p == 0 || x->level != LEVEL_PLANES || promising(planes[p], m)) &&
				plane_encode(x, planes[p], m, dst + pos, n - pos, &len, e) < 0)
			return -1;
		if (len) {
			mask |= 1u << p;
		} else {
			if (m >= n - pos)
				return 0;
			len = m;
			memcpy(dst + pos, planes[p], m);
		}
		pos += len;
	}
	dst[0] = (unsigned char)(elem_size << 4 | mask);
	*out = mask && pos < n ? pos : 0;
	return 0;
}

static int
planes_decode(struct codec_ctx *x, const unsigned char *src, size_t len, unsigned char *dst,
	size_t n, struct err *e)
{
	const unsigned char *planes[PLANES_MAX] = { NULL };
	unsigned elem_size = len ? src[0] >> 4 : 0, mask = len ? src[0] & 15 : 0;
	size_t m, take, pos = 1;

	if (!planes_size_ok(elem_size) || n % elem_size || !mask || mask >> elem_size)
		return err_set(e, ERR_CORRUPT, "coded part: no planes of %zu bytes", n);
	if (scratch_room(x, n, e) < 0)
		return -1;
	m = n / elem_size;
	for (unsigned p = 0; p < elem_size; p++, pos += take) {
		take = m;
		if (mask >> p & 1) {
			if (len - pos < LEN_SIZE)
				return err_set(e, ERR_CORRUPT, "coded part: cut off");
			take = get_le32(src + pos);
			pos += LEN_SIZE;
		}
		if (take > len - pos)
			return err_set(e, ERR_CORRUPT, "coded part: cut off");
		planes[p] = src + pos;
		if (mask >> p & 1) {
			planes[p] = x->scratch + p * m;
			if (frame_decode(x, src + pos, take, x->scratch + p * m, m, e) < 0)
				return -1;
		}
	}
	if (pos != len)
		return err_set(e, ERR_CORRUPT, "coded part: %zu bytes too many", len - pos);
	planes_merge(dst, planes, n, elem_size);
	return 0;
}

int
codec_encode_part(struct codec_ctx *x, struct codec c, const void *src, size_t n,
	unsigned elem_size, void *dst, size_t *out_len, struct err *e)
{
	int planes = c.kind == CODEC_PLANES_ZSTD;
	int level = c.level ? c.level : 1;
	int r;

	*out_len = 0;
	if (c.kind != CODEC_NONE && n) {
		if (encoder(x, planes && level == 1 ? LEVEL_PLANES : level, e) < 0)
			return -1;
		r = planes ? planes_encode(x, src, n, elem_size, dst, out_len, e)
			: frame_encode(x, src, n, dst, n - 1, out_len, e);
		if (r < 0)
			return -1;
	}
	if (*out_len == 0 && n) {
		memcpy(dst, src, n);
		*out_len = n;
	}
	return 0;
}

int
codec_decode_part(struct codec_ctx *x, enum codec_kind kind, const void *src, size_t len,
	void *dst, size_t n, struct err *e)
{
	if (len == n) {
		if (n)
			memcpy(dst, src, n);
		return 0;
	}
	if (len > n)
		return err_set(e, ERR_CORRUPT, "coded part: %zu bytes for %zu", len, n);
	if (kind == CODEC_PLANES_ZSTD)
		return planes_decode(x, src, len, dst, n, e);
	if (kind == CODEC_ZSTD)
		return frame_decode(x, src, len, dst, n, e);
	return err_set(e, ERR_CORRUPT, "coded part: no codec to decode it");
}
