#ifndef DIGEST_DIGEST_H
#define DIGEST_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * XXH3-128 without seed, as xxh128sum prints it: our digest of payloads, seals
 * and streams. It finds accidents, not forgers. b is the canonical, big-endian
 * form (libxxhash, XXH128_canonicalFromHash), so hex and memcmp agree.
 */
struct digest128 {
	uint8_t b[16];
};

#define DIGEST128_HEX 32	/* digits, without the NUL */

void digest_xxh3(struct digest128 *out, const void *p, size_t n);
int digest_equal(const struct digest128 *a, const struct digest128 *b);	/* 1 or 0 */

/* 32 lower-case digits and a NUL into out, which is returned. */
char *digest_hex(char out[DIGEST128_HEX + 1], const struct digest128 *d);
/* From the n characters at hex: exactly 32 digits, lower case; else -1. */
int digest_read(struct digest128 *out, const char *hex, size_t n);

/* The same in pieces. new gives a state that digest_xxh3_free() frees; begin makes
 * it fresh again; end leaves it usable: more may be added after a look. */
struct digest_xxh3;
struct digest_xxh3 *digest_xxh3_new(struct err *e);
void digest_xxh3_free(struct digest_xxh3 *s);	/* safe on NULL */
void digest_xxh3_begin(struct digest_xxh3 *s);
void digest_xxh3_add(struct digest_xxh3 *s, const void *p, size_t n);
void digest_xxh3_end(const struct digest_xxh3 *s, struct digest128 *out);

#define DIGEST_SHA256 32	/* bytes */
#define DIGEST_MD5 16

/* Those of OpenSSL fail only when the library does (not here, memory, no provider). */
int digest_sha256(uint8_t out[DIGEST_SHA256], const void *p, size_t n, struct err *e);
int digest_md5(uint8_t out[DIGEST_MD5], const void *p, size_t n, struct err *e);
/* HMAC-SHA-256 (RFC 2104). out may be the key. */
int digest_hmac(uint8_t out[DIGEST_SHA256], const void *key, size_t n_key, const void *p, size_t n,
	struct err *e);

/* SHA-256 in pieces. end closes the sum; begin makes the state fresh again. */
struct digest_sha256;
struct digest_sha256 *digest_sha256_new(struct err *e);
void digest_sha256_free(struct digest_sha256 *s);	/* safe on NULL */
int digest_sha256_begin(struct digest_sha256 *s, struct err *e);
int digest_sha256_add(struct digest_sha256 *s, const void *p, size_t n, struct err *e);
int digest_sha256_end(struct digest_sha256 *s, uint8_t out[DIGEST_SHA256], struct err *e);

#endif
