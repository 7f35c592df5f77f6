#ifndef GEOM_FLOAT_H
#define GEOM_FLOAT_H

#include <stddef.h>
#include <stdint.h>

#include "geom/geom.h"

/*
 * Number formats of KV caches: bf16, f16, f32 and four of 8 bits. Facts: OCP 8-bit
 * Floating Point Specification 1.0 (e4m3fn: no infinity, largest 448; e5m2), and the FNUZ
 * ones of AMD's gfx94x: bias greater by one, no -0, no infinity, 0x80 the only NaN.
 *
 * Narrowing rounds to nearest, ties to even, and saturates: what lies beyond the largest
 * finite value becomes that value; infinity too, but for bf16 and f16, where it stays.
 * NaN stays NaN, with its sign where there are two.
 */

/* Is it one of the seven? */
int float_known(enum dtype d);

/* Value of a code; code of a value. d is one of the seven. */
float float_value(enum dtype d, uint32_t code);
uint32_t float_code(enum dtype d, float value);

/* Type of one side of a conversion. In 8 bits, the number meant is the code's value times
 * the scale (finite, above 0); elsewhere the scale is not looked at. */
struct float_form {
	enum dtype dtype;
	float scale;
};

/* What a conversion did to the numbers. Zero it first: conversions add up. */
struct float_loss {
	uint64_t clipped;	/* beyond the largest finite value, and became it */
	uint64_t flushed;	/* was not 0, became 0 */
	uint64_t nans;		/* were none before and after */
	double max_error;	/* largest difference, of numbers finite before and after */
};

/*
 * Convert n numbers, little-endian. dst may be src if elements do not grow. loss may be
 * NULL. From 8 bits: code of float(value * from.scale), to 8 bits of value * from.scale /
 * to.scale rounded once to float. Equal types with equal scales: bytes are copied, NaNs
 * and all, and no loss is counted.
 *
 * Between e4m3fnuz and e4m3fn (or the e5m2 pair), with from.scale on both sides the
 * numbers are kept as well as they can be; with to.scale = from.scale *
 * float_rescale(from, to) the codes are, and all numbers the other type has.
 */
void float_convert(void *dst, struct float_form to, const void *src, struct float_form from,
	size_t n, struct float_loss *loss);

/* 0.5 from a FNUZ type to its twin, 2 the other way, 1 between equal types, 0 for others. */
float float_rescale(enum dtype from, enum dtype to);

#endif
