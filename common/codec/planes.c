#include "codec/planes.h"

/* Bytes only, so the order of bytes in the machine does not matter; plain loops over
 * restricted pointers become vector code, which gcc does from -O3 on. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

/* The element's byte hi rotated left by one: its own bits, and the top bit of the next
 * lower byte (the highest one for the lowest). */
#define LEFT(hi, lo) ((unsigned char)((hi) << 1 | (lo) >> 7))
#define RIGHT(lo, hi) ((unsigned char)((lo) >> 1 | (hi) << 7))

int
planes_size_ok(unsigned elem_size)
{
	return elem_size == 1 || elem_size == 2 || elem_size == 4;
}

static void
split1(unsigned char *restrict p0, const unsigned char *restrict s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p0[i] = LEFT(s[i], s[i]);
}

static void
split2(unsigned char *restrict p0, unsigned char *restrict p1,
	const unsigned char *restrict s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		p0[i] = LEFT(s[2 * i + 1], s[2 * i]);
		p1[i] = LEFT(s[2 * i], s[2 * i + 1]);
	}
}

static void
split4(unsigned char *restrict p0, unsigned char *restrict p1, unsigned char *restrict p2,
	unsigned char *restrict p3, const unsigned char *restrict s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		p0[i] = LEFT(s[4 * i + 3], s[4 * i + 2]);
		p1[i] = LEFT(s[4 * i + 2], s[4 * i + 1]);
		p2[i] = LEFT(s[4 * i + 1], s[4 * i]);
		p3[i] = LEFT(s[4 * i], s[4 * i + 3]);
	}
}

static void
merge1(unsigned char *restrict d, const unsigned char *restrict p0, size_t n)
{
	for (size_t i = 0; i < n; i++)
		d[i] = RIGHT(p0[i], p0[i]);
}

static void
merge2(unsigned char *restrict d, const unsigned char *restrict p0,
	const unsigned char *restrict p1, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		d[2 * i] = RIGHT(p1[i], p0[i]);
		d[2 * i + 1] = RIGHT(p0[i], p1[i]);
	}
}

static void
merge4(unsigned char *restrict d, const unsigned char *restrict p0,
	const unsigned char *restrict p1, const unsigned char *restrict p2,
	const unsigned char *restrict p3, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		d[4 * i] = RIGHT(p3[i], p2[i]);
		d[4 * i + 1] = RIGHT(p2[i], p1[i]);
		d[4 * i + 2] = RIGHT(p1[i], p0[i]);
		d[4 * i + 3] = RIGHT(p0[i], p3[i]);
	}
}

void
planes_split(unsigned char *const planes[], const unsigned char *src, size_t n,
	unsigned elem_size)
{
	switch (elem_size) {
	case 1:
		split1(planes[0], src, n);
		break;
	case 2:
		split2(planes[0], planes[1], src, n / 2);
		break;
	case 4:
		split4(planes[0], planes[1], planes[2], planes[3], src, n / 4);
		break;
	}
}

void
planes_merge(unsigned char *dst, const unsigned char *const planes[], size_t n,
	unsigned elem_size)
{
	switch (elem_size) {
	case 1:
		merge1(dst, planes[0], n);
		break;
	case 2:
		merge2(dst, planes[0], planes[1], n / 2);
		break;
	case 4:
		merge4(dst, planes[0], planes[1], planes[2], planes[3], n / 4);
		break;
	}
}
