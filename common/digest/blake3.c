#include <string.h>

#include "base/buf.h"
#include "digest/blake3.h"

#define BLOCK 64
#define CHUNK_BLOCKS 16

enum {
	CHUNK_START = 1,
	CHUNK_END = 2,
	PARENT = 4,
	ROOT = 8,
};

static const uint32_t iv[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

/* Which message word each of the 16 places of a round takes. */
static const uint8_t order[7][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8 },
	{ 3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1 },
	{ 10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6 },
	{ 12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4 },
	{ 9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7 },
	{ 11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13 },
};

static inline uint32_t
rotr(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

#define MIX(a, b, c, d, x, y) do {		\
	v[a] += v[b] + (x);			\
	v[d] = rotr(v[d] ^ v[a], 16);		\
	v[c] += v[d];				\
	v[b] = rotr(v[b] ^ v[c], 12);		\
	v[a] += v[b] + (y);			\
	v[d] = rotr(v[d] ^ v[a], 8);		\
	v[c] += v[d];				\
	v[b] = rotr(v[b] ^ v[c], 7);		\
} while (0)

static void
compress(uint32_t out[8], const uint32_t cv[8], const uint8_t block[BLOCK], uint64_t counter,
	uint32_t len, uint32_t flags)
{
	uint32_t v[16], m[16];
	int i;

	for (i = 0; i < 16; i++)
		m[i] = get_le32(block + 4 * i);
	memcpy(v, cv, 32);
	memcpy(v + 8, iv, 16);
	v[12] = (uint32_t)counter;
	v[13] = (uint32_t)(counter >> 32);
	v[14] = len;
	v[15] = flags;
#pragma GCC unroll 7
	for (i = 0; i < 7; i++) {
		const uint8_t *s = order[i];

		MIX(0, 4, 8, 12, m[s[0]], m[s[1]]);
		MIX(1, 5, 9, 13, m[s[2]], m[s[3]]);
		MIX(2, 6, 10, 14, m[s[4]], m[s[5]]);
		MIX(3, 7, 11, 15, m[s[6]], m[s[7]]);
		MIX(0, 5, 10, 15, m[s[8]], m[s[9]]);
		MIX(1, 6, 11, 12, m[s[10]], m[s[11]]);
		MIX(2, 7, 8, 13, m[s[12]], m[s[13]]);
		MIX(3, 4, 9, 14, m[s[14]], m[s[15]]);
	}
	for (i = 0; i < 8; i++)
		out[i] = v[i] ^ v[i + 8];
}

static void
parent(uint32_t out[8], const uint32_t left[8], const uint32_t right[8], uint32_t flags)
{
	uint8_t block[BLOCK];
	int i;

	for (i = 0; i < 8; i++) {
		put_le32(block + 4 * i, left[i]);
		put_le32(block + 32 + 4 * i, right[i]);
	}
	compress(out, iv, block, 0, BLOCK, PARENT | flags);
}

static uint32_t
start_flag(const struct blake3 *s)
{
	return s->blocks == 0 ? CHUNK_START : 0;
}

void
blake3_begin(struct blake3 *s)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->cv, iv, sizeof(s->cv));
}

/* Subtrees on the stack: one for each bit set in the number of finished chunks. */
static unsigned
stacked(uint64_t chunks)
{
	return (unsigned)__builtin_popcountll(chunks);
}

/* The last block of a chunk that is not the last: it joins its equals. */
static void
close_chunk(struct blake3 *s)
{
	uint64_t done = s->chunk + 1, bits;
	unsigned top = stacked(s->chunk);

	compress(s->cv, s->cv, s->block, s->chunk, BLOCK, start_flag(s) | CHUNK_END);
	for (bits = done; !(bits & 1); bits >>= 1)
		parent(s->cv, s->stack[--top], s->cv, 0);
	memcpy(s->stack[top], s->cv, sizeof(s->cv));
	memcpy(s->cv, iv, sizeof(s->cv));
	s->chunk = done;
	s->blocks = 0;
}

void
blake3_add(struct blake3 *s, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n) {
		size_t take = BLOCK - s->block_len;

		if (take == 0) {
			if (s->blocks + 1 == CHUNK_BLOCKS) {
				close_chunk(s);
			} else {
				compress(s->cv, s->cv, s->block, s->chunk, BLOCK, start_flag(s));
				s->blocks++;
			}
			s->block_len = 0;
			continue;
		}
		if (take > n)
			take = n;
		memcpy(s->block + s->block_len, p, take);
		s->block_len += take;
		p += take;
		n -= take;
	}
}

void
blake3_end(const struct blake3 *s, uint8_t out[BLAKE3_OUT])
{
	unsigned top = stacked(s->chunk), i;
	uint8_t block[BLOCK] = { 0 };
	uint32_t cv[8];

	memcpy(block, s->block, s->block_len);
	compress(cv, s->cv, block, s->chunk, (uint32_t)s->block_len,
		start_flag(s) | CHUNK_END | (top ? 0 : ROOT));
	while (top) {
		top--;
		parent(cv, s->stack[top], cv, top ? 0 : ROOT);
	}
	for (i = 0; i < 8; i++)
		put_le32(out + 4 * i, cv[i]);
}

void
blake3(uint8_t out[BLAKE3_OUT], const void *p, size_t n)
{
	struct blake3 s;

	blake3_begin(&s);
	blake3_add(&s, p, n);
	blake3_end(&s, out);
}
