#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>	/* by what the CPU has: AVX-512 is three times SSE2 */
#endif

#include "base/buf.h"
#include "digest/digest.h"
#include "lib/lib.h"

struct digest_xxh3 {
	XXH3_state_t *x;
};

struct digest_sha256 {
	EVP_MD_CTX *ctx;
};

#define SHA256_BLOCK 64

static EVP_MD *sha256;

static void
canonical(struct digest128 *out, XXH128_hash_t h)
{
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, h);
	memcpy(out->b, c.digest, sizeof(out->b));
}

void
digest_xxh3(struct digest128 *out, const void *p, size_t n)
{
	canonical(out, XXH3_128bits(p, n));
}

int
digest_equal(const struct digest128 *a, const struct digest128 *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

char *
digest_hex(char out[DIGEST128_HEX + 1], const struct digest128 *d)
{
	hex_write(out, d->b, sizeof(d->b));
	return out;
}

int
digest_read(struct digest128 *out, const char *hex, size_t n)
{
	size_t i;

	if (n != DIGEST128_HEX)
		return -1;
	for (i = 0; i < n; i++)
		if (hex[i] >= 'A' && hex[i] <= 'F')
			return -1;
	return hex_read(out->b, hex, sizeof(out->b));
}

struct digest_xxh3 *
digest_xxh3_new(struct err *e)
{
	struct digest_xxh3 *s = malloc(sizeof(*s));

	if (!s || !(s->x = XXH3_createState())) {
		err_sys(e, "digest");
		free(s);
		return NULL;
	}
	digest_xxh3_begin(s);
	return s;
}

void
digest_xxh3_free(struct digest_xxh3 *s)
{
	if (!s)
		return;
	XXH3_freeState(s->x);
	free(s);
}

void
digest_xxh3_begin(struct digest_xxh3 *s)
{
	XXH3_128bits_reset(s->x);
}

void
digest_xxh3_add(struct digest_xxh3 *s, const void *p, size_t n)
{
	if (n)
		XXH3_128bits_update(s->x, p, n);
}

void
digest_xxh3_end(const struct digest_xxh3 *s, struct digest128 *out)
{
	canonical(out, XXH3_128bits_digest(s->x));
}

static void
fetch_sha256(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* Fetched once: OpenSSL 3.0 looks it up by name otherwise, each time, which costs more than hashing
 * a chunk's tokens or signing a request. */
static int
need_sha256(struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (lib_openssl(e) < 0)
		return -1;
	pthread_once(&once, fetch_sha256);
	return sha256 ? 0 : err_set(e, ERR_FAILED, "sha256: the crypto library has none");
}

int
digest_sha256(uint8_t out[DIGEST_SHA256], const void *p, size_t n, struct err *e)
{
	if (need_sha256(e) < 0)
		return -1;
	if (!EVP_Digest(p, n, out, NULL, sha256, NULL))
		return err_set(e, ERR_FAILED, "sha256: the crypto library failed");
	return 0;
}

int
digest_md5(uint8_t out[DIGEST_MD5], const void *p, size_t n, struct err *e)
{
	if (lib_openssl(e) < 0)
		return -1;
	if (!EVP_Digest(p, n, out, NULL, EVP_md5(), NULL))
		return err_set(e, ERR_FAILED, "md5: the crypto library has none");
	return 0;
}

struct digest_sha256 *
digest_sha256_new(struct err *e)
{
	struct digest_sha256 *s;

	if (need_sha256(e) < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s) {
		err_sys(e, "sha256");
		return NULL;
	}
	s->ctx = EVP_MD_CTX_new();
	if (!s->ctx) {
		err_set(e, ERR_FAILED, "sha256: the crypto library failed");
		goto fail;
	}
	if (digest_sha256_begin(s, e) < 0)
		goto fail;
	return s;
fail:
	digest_sha256_free(s);
	return NULL;
}

void
digest_sha256_free(struct digest_sha256 *s)
{
	if (!s)
		return;
	EVP_MD_CTX_free(s->ctx);
	free(s);
}

int
digest_sha256_begin(struct digest_sha256 *s, struct err *e)
{
	if (!EVP_DigestInit_ex(s->ctx, sha256, NULL))
		return err_set(e, ERR_FAILED, "sha256: the crypto library failed");
	return 0;
}

int
digest_sha256_add(struct digest_sha256 *s, const void *p, size_t n, struct err *e)
{
	if (!EVP_DigestUpdate(s->ctx, p, n))
		return err_set(e, ERR_FAILED, "sha256: the crypto library failed");
	return 0;
}

int
digest_sha256_end(struct digest_sha256 *s, uint8_t out[DIGEST_SHA256], struct err *e)
{
	if (!EVP_DigestFinal_ex(s->ctx, out, NULL))
		return err_set(e, ERR_FAILED, "sha256: the crypto library failed");
	return 0;
}

static void
flip(uint8_t pad[SHA256_BLOCK], uint8_t with)
{
	int i;

	for (i = 0; i < SHA256_BLOCK; i++)
		pad[i] ^= with;
}

int
digest_hmac(uint8_t out[DIGEST_SHA256], const void *key, size_t n_key, const void *p, size_t n,
	struct err *e)
{
	struct digest_sha256 *s = digest_sha256_new(e);
	uint8_t pad[SHA256_BLOCK] = { 0 };
	int rc = s ? 0 : -1;

	if (rc == 0 && n_key > sizeof(pad))
		rc = digest_sha256(pad, key, n_key, e);
	else if (rc == 0)
		memcpy(pad, key, n_key);
	flip(pad, 0x36);
	if (rc < 0 || digest_sha256_add(s, pad, sizeof(pad), e) < 0 ||
	    digest_sha256_add(s, p, n, e) < 0 || digest_sha256_end(s, out, e) < 0)
		rc = -1;
	flip(pad, 0x36 ^ 0x5c);
	if (rc < 0 || digest_sha256_begin(s, e) < 0 ||
	    digest_sha256_add(s, pad, sizeof(pad), e) < 0 ||
	    digest_sha256_add(s, out, DIGEST_SHA256, e) < 0 || digest_sha256_end(s, out, e) < 0)
		rc = -1;
	explicit_bzero(pad, sizeof(pad));
	digest_sha256_free(s);
	return rc;
}
