#ifndef KEY_ALGO_H
#define KEY_ALGO_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "key/key.h"

/*
 * From tokens to hashes, bit for bit as the engines do it. Every algorithm makes a
 * chain: hash i is computed over hash i-1 and the tokens of chunk i; hash -1 is the
 * root, which often depends on PYTHONHASHSEED, so that belongs to the name:
 *
 *	NAME[:VARIANT][:seed=DIGITS]
 *
 * blake3			BLAKE3 over hash and tokens as big-endian words; constant root.
 *				Our default, and LMCache's server's
 *				(multiprocess/token_hasher.py, 0b2a1fc)
 * lmcache-builtin:C		CPython's hash() of (hash, tokens, ()); signed 64 bits.
 *				A: None for (), as CPython 3.12 hashes it; B: a pair;
 *				C-py3.10, B-py3.10: with a seed, under CPython before 3.11
 * lmcache-sha256_cbor:C	SHA-256 over canonical CBOR, its first 8 bytes chained, printed.
 *				C32: all 32 bytes; A, B: as above, 32 bytes; A64: the last 8
 *				(LMCache v1/token_database.py, 00e744e and later)
 * vllm-sha256			SHA-256 over pickle protocol 5 of (hash, tokens, extra keys)
 * vllm-sha256_cbor		the same over canonical CBOR
 * vllm-xxhash, -xxhash_cbor	XXH3-128 over the same encodings, 16 bytes
 *				(vLLM v1/core/kv_cache_utils.py, utils/hashing.py)
 * opaque[:FAMILY]		a name taken over from somewhere; never computed
 *
 * Without a seed LMCache's root is 0: that is LMCache without vLLM beside it. vLLM's
 * is random then, and only chains with a known parent can be computed.
 */

#define KEY_ALGO_TEXT 64
#define KEY_ALGO_DEFAULT "blake3"

struct key_kind;	/* a row of the table in algo.c */

struct key_algo {
	const struct key_kind *kind;
	char seed[11];		/* PYTHONHASHSEED as written, "" if none */
	char family[24];	/* opaque: whose name it is, "" if not said */
};

/* A variant left out is the first: C, or none. ERR_USAGE. */
int key_algo_parse(struct key_algo *a, const char *text, struct err *e);
/* The canonical text, which key_algo_parse() reads; out is returned. */
char *key_algo_text(char out[KEY_ALGO_TEXT], const struct key_algo *a);
/* 1 if both name the same computation. */
int key_algo_equal(const struct key_algo *a, const struct key_algo *b);

/* The i-th algorithm, without seed; -1 behind the last. For help and for trying all. */
int key_algo_nth(struct key_algo *a, size_t i);
/* Does a seed change its hashes? */
int key_algo_seeded(const struct key_algo *a);
/* Does it take extra keys? */
int key_algo_extra(const struct key_algo *a);
/* Bytes of its hashes; 0: opaque. */
size_t key_algo_width(const struct key_algo *a);
/* Are its hashes signed integers, printed with a '-' by LMCache? */
int key_algo_signed(const struct key_algo *a);

/* Things besides tokens that tell requests apart; vllm-* only. */
struct key_media {
	const char *id;		/* vLLM's identifier of the image, audio ... */
	uint64_t first;		/* token where its placeholder begins */
	uint64_t tokens;	/* of the placeholder */
};

struct key_extra {
	const char *lora;	/* adapter's name, NULL: none */
	const char *salt;	/* cache_salt, NULL: none; goes into the first chunk only */
	const struct key_media *media;	/* by first token */
	size_t n_media;
};

struct key_chain {
	struct key_algo algo;
	uint32_t chunk_tokens;
	const struct key_extra *extra;	/* NULL: nothing */
	struct key_hash parent;		/* of the first chunk; none: the root */
	uint64_t first_token;		/* place of tokens[0] in the sequence */
};

/* The root. ERR_USAGE if it is not known. */
int key_root(struct key_hash *out, const struct key_algo *a, struct err *e);

/* Hashes of the n / chunk_tokens whole chunks of tokens, into out; the tail has no hash.
 * ERR_USAGE for opaque, an unknown root, extra keys where there are none, a parent of
 * the wrong length, or chunks too large to be pickled in one frame (64 KiB). */
int key_chain(struct key_hash *out, const struct key_chain *c, const uint32_t *tokens,
	size_t n, struct err *e);

#endif
