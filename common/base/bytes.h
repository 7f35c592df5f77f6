#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Integers at p, aligned or not. Little-endian: our disk and wire form. */
static inline void put_le16(void *p, uint16_t v) { v = htole16(v); memcpy(p, &v, sizeof(v)); }
static inline void put_le32(void *p, uint32_t v) { v = htole32(v); memcpy(p, &v, sizeof(v)); }
static inline void put_le64(void *p, uint64_t v) { v = htole64(v); memcpy(p, &v, sizeof(v)); }

static inline uint16_t
get_le16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t
get_le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t
get_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* Big-endian, for other people's formats. */
static inline void put_be16(void *p, uint16_t v) { put_le16(p, __builtin_bswap16(v)); }
static inline void put_be32(void *p, uint32_t v) { put_le32(p, __builtin_bswap32(v)); }
static inline void put_be64(void *p, uint64_t v) { put_le64(p, __builtin_bswap64(v)); }
static inline uint16_t get_be16(const void *p) { return __builtin_bswap16(get_le16(p)); }
static inline uint32_t get_be32(const void *p) { return __builtin_bswap32(get_le32(p)); }
static inline uint64_t get_be64(const void *p) { return __builtin_bswap64(get_le64(p)); }

/* Are n secret bytes the same? How long it takes says nothing of where they differ. */
static inline int
bytes_same(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char differ = 0;

	while (n-- > 0)
		differ |= x[n] ^ y[n];
	return differ == 0;
}

#endif
