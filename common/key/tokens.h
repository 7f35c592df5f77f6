#ifndef KEY_TOKENS_H
#define KEY_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "key/key.h"

/* What --tokens and --hashes name, once it is in memory. Both fail with ERR_CORRUPT and
 * the place of what is wrong; then nothing is to be freed. */

struct key_tokens {
	uint32_t *ids;
	size_t n;		/* never 0 after a success */
};

/*
 * Forms, told apart by the bytes themselves:
 * a JSON list [1, 2, 3]
 * a JSON object with one of the lists "tokens" (vLLM's and SGLang's /tokenize), "token_ids",
 *	"prompt_token_ids" (vLLM's completions), "input_ids" (tokenizers)
 * decimal numbers with white space between them
 * binary, 4 bytes a token, little-endian: anything that has a zero byte. Every id below
 *	2^24 has one, and text has none.
 */
int key_tokens_read(struct key_tokens *t, const void *p, size_t n, struct err *e);
void key_tokens_free(struct key_tokens *t);	/* zeroes it; safe on zero */

struct key_hashes {
	struct key_hash *h;
	size_t n;		/* never 0 after a success */
};

/*
 * One hash a line, or LMCache's lookup log: a JSON object a line with "chunk_hashes"
 * (lmcache/tools/cache_simulator/README.md, 090b924); those of all lines, in order.
 * Hashes stand as people find them: hex of 16 to 64 digits, or a 64-bit integer as Python
 * prints it, without leading zeros, perhaps negative; "0x" before the digits or not.
 */
int key_hashes_read(struct key_hashes *h, const void *p, size_t n, struct err *e);
void key_hashes_free(struct key_hashes *h);

/* One such hash from n characters. ERR_CORRUPT. */
int key_hash_parse(struct key_hash *h, const char *s, size_t n, struct err *e);

#endif
