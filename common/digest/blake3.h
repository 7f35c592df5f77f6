#ifndef DIGEST_BLAKE3_H
#define DIGEST_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

/*
 * BLAKE3, plain hash mode, 32 bytes of output (BLAKE3 paper, sections 2.1-2.6).
 * It names chunks. Portable C: a few hundred MB/s, and tokens are few bytes.
 */
#define BLAKE3_OUT 32

struct blake3 {
	uint32_t cv[8];		/* of the 1024-byte chunk being filled */
	uint8_t block[64];	/* its last block: compressed only when more follows */
	size_t block_len;
	unsigned blocks;	/* of this chunk, compressed so far */
	uint64_t chunk;		/* its number */
	uint32_t stack[54][8];	/* subtrees that wait for their right half */
};

void blake3(uint8_t out[BLAKE3_OUT], const void *p, size_t n);

void blake3_begin(struct blake3 *s);
void blake3_add(struct blake3 *s, const void *p, size_t n);
/* Leaves s as it was: more may be added after a look. */
void blake3_end(const struct blake3 *s, uint8_t out[BLAKE3_OUT]);

#endif
