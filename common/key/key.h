#ifndef KEY_KEY_H
#define KEY_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * What names a chunk: model, element type, tensor-parallel size and rank, group,
 * tenant (salt) and the hash of its tokens and all before them. Dialects turn
 * other engines' names into this and back; our own names are made here.
 */

#define KEY_HASH_MIN 8
#define KEY_HASH_MAX 32

/* Any algorithm's hash: 8 to 32 bytes, or none (len 0). 64-bit hashes are big-endian,
 * signed ones in two's complement. Bytes beyond len are zero. */
struct key_hash {
	uint8_t len;
	uint8_t b[KEY_HASH_MAX];
};

struct key {
	char model[256];	/* "meta-llama/Llama-3.1-8B"; UTF-8, never empty */
	char salt[129];		/* tenant, or "" */
	char dtype[16];		/* "bf16", "f8_e4m3fn": a word of geom's, taken as text here */
	uint32_t tp;		/* ranks the heads are split over; at least 1 */
	uint32_t rank;		/* below tp */
	uint32_t group;		/* of layers with a cache of its own; usually 0 */
	struct key_hash hash;
};

#define KEY_TP_MAX 65536

/* <0, 0, >0: bytes first, then length. */
int key_hash_cmp(const struct key_hash *a, const struct key_hash *b);

#define KEY_HEX 65		/* room for a whole hash in hex and a NUL */
#define KEY_SHORT 13		/* what people see: 12 digits and a NUL */
#define KEY_PREFIX_MIN 6	/* digits that people must type at least */

/* All digits, or the first 12, lower case, NUL-terminated; out is returned. No hash: "-". */
char *key_hash_hex(char out[KEY_HEX], const struct key_hash *h);
char *key_hash_short(char out[KEY_SHORT], const struct key_hash *h);

/* From n hex digits (either case): 16 to 64 of them, an even number. ERR_USAGE. */
int key_hash_read(struct key_hash *h, const char *hex, size_t n, struct err *e);

/* What people type to name a hash: 6 to 64 hex digits. ERR_USAGE if it cannot be. */
int key_prefix_check(const char *hex, struct err *e);
/* 1 if the hash begins with these digits (either case), else 0. */
int key_hash_match(const struct key_hash *h, const char *hex);

/* Lengths, ranges, characters: model and salt are UTF-8 without control characters,
 * model is not "", "." or "..", salt has none of "@/\", dtype is [a-z0-9_]+, rank is
 * below tp, the hash has 8 to 32 bytes, and no part of the name is over 255 bytes.
 * ERR_CORRUPT: keys come from outside. */
int key_check(const struct key *k, struct err *e);

/* Order of listings: model, dtype, tp, rank, group, salt, hash. */
int key_cmp(const struct key *a, const struct key *b);

#define KEY_TEXT 512
/* For messages: "meta-llama/Llama-3.1-8B bf16 tp4 r2 1c8d3fd245d1", then " g1" and
 * " tenant x" where there are any. Nothing in it can harm a terminal. out is returned. */
char *key_text(char out[KEY_TEXT], const struct key *k);

/*
 * Our object name: MODEL/DTYPE-tpN-rR[-gG][-SALT]/HH/HASH.kv.safetensors
 *
 * MODEL and SALT are percent-encoded into one path segment (all but letters, digits and
 * "-._~", upper-case escapes; a first '.' of MODEL too, so that nothing of ours is hidden).
 * HH is HASH's first two digits. -gG stands where G is not 0 or SALT begins with 'g'.
 * One key has one name, and one name one key.
 */
int key_name(struct buf *out, const struct key *k, struct err *e);	/* appended, no NUL */
/* ERR_CORRUPT unless key_name() of the result would give exactly this. */
int key_parse_name(struct key *k, const char *name, struct err *e);
/* Listings: k came from the name before. A name that differs from that one in the digits of its
 * hash alone (and has the same HH) gives k its hash: 0; else -1, and k stays. */
int key_parse_next(struct key *k, const char *before, const char *name);

/* What all names begin with that share k's first fields, for prefix listings, appended:
 * model "": nothing. dtype "": "MODEL/". No hash: "MODEL/DTYPE-.../". Else ".../HH/". */
int key_name_prefix(struct buf *out, const struct key *k, struct err *e);

#endif
