#ifndef CODEC_CODEC_H
#define CODEC_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Coding of payloads. A payload is cut by its owner into parts, one a layer and half
 * (K or V), which are coded and decoded each on its own, in parallel if wished.
 * What a part's coded form is, byte for byte:
 *
 *   A part as long as its decoded form is that form, unchanged, whatever the codec:
 *   coding that does not shrink a part is thrown away, so a coded part is always
 *   shorter. Nothing is longer than what it stands for.
 *
 *   zstd          one zstd frame (RFC 8878) with its content size, no dictionary.
 *   planes+zstd   elements of E = 1, 2 or 4 bytes, little-endian, each rotated left by
 *                 one bit; plane 0 is the highest bytes of all elements, the last plane
 *                 the lowest ones. So plane 0 of a bf16 or f32 is its exponent, and the
 *                 sign ends up as bit 0 of the last plane.
 *
 *     offset    bytes   what
 *     0         1       E * 16 + mask; bit p of the mask: plane p is coded. Mask 0 and
 *                       bits from E on are invalid
 *     then for plane 0 to E - 1, if coded:
 *               4       length of the frame, little-endian, not 0
 *               length  one zstd frame holding the plane
 *     if not coded:
 *               N / E   the plane itself (N: length of the decoded part, a multiple of E)
 *     and nothing after the last plane.
 *
 * The same part, codec and level give the same bytes from the same zstd library;
 * another version of it may code differently, and every version decodes all. So
 * digests of coded bytes name those bytes, digests of decoded ones the content.
 */

enum codec_kind {
	CODEC_NONE,
	CODEC_ZSTD,
	CODEC_PLANES_ZSTD,
	CODEC_AUTO,		/* a wish, never stored: see codec_for() */
	CODEC_KINDS
};

struct codec {
	enum codec_kind kind;
	int level;		/* zstd's 1 to 19, 0 for 1; only the encoder looks at it */
};

/* Reads "none", "auto", "zstd", "planes+zstd", the last three with an optional
 * ":LEVEL" (1 if absent). ERR_USAGE if it is none of these. */
int codec_parse(struct codec *out, const char *text, struct err *e);

/* "none", "zstd", "planes+zstd", "auto": without the level, as chunks name it. */
const char *codec_name(enum codec_kind kind);

/* What CODEC_AUTO means for elements of so many bytes (planes+zstd for 2 and 4, else
 * zstd; the level stays); any other codec comes back as it is. */
struct codec codec_for(struct codec c, unsigned elem_size);

/*
 * Work space of one thread: zstd's contexts and a plane buffer, made when first needed
 * and kept. Memory: about the size of the largest part, plus 1 MiB at level 1.
 */
struct codec_ctx;

struct codec_ctx *codec_ctx_new(struct err *e);
void codec_ctx_free(struct codec_ctx *x);	/* safe on NULL */

/*
 * Encode one part of n bytes. dst has room for n bytes, which is always enough;
 * *out_len becomes the coded length, n if the part stands there unchanged.
 * elem_size matters to planes only: with one other than 1, 2 or 4, or one that does
 * not divide n, the part stays unchanged. c is not CODEC_AUTO. src and dst do not
 * overlap. Fails with ERR_FAILED only (memory).
 */
int codec_encode_part(struct codec_ctx *x, struct codec c, const void *src, size_t n,
	unsigned elem_size, void *dst, size_t *out_len, struct err *e);

/*
 * Decode one part of len bytes into exactly n bytes at dst. Any input is safe: what
 * is not a valid part of that size is ERR_CORRUPT, dst then holds nothing useful.
 * Memory taken is bounded by n.
 */
int codec_decode_part(struct codec_ctx *x, enum codec_kind kind, const void *src, size_t len,
	void *dst, size_t n, struct err *e);

#endif
