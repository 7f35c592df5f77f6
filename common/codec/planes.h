#ifndef CODEC_PLANES_H
#define CODEC_PLANES_H

#include <stddef.h>

/* Most bytes an element may have. */
#define PLANES_MAX 4

/* Whether elements of so many bytes can be split: 1, 2 or 4. */
int planes_size_ok(unsigned elem_size);

/* Split n bytes of elements into elem_size planes of n / elem_size bytes each, after
 * rotating each element left by one bit; planes[0] takes the highest bytes. */
void planes_split(unsigned char *const planes[], const unsigned char *src, size_t n,
	unsigned elem_size);

/* The inverse. */
void planes_merge(unsigned char *dst, const unsigned char *const planes[], size_t n,
	unsigned elem_size);

#endif
