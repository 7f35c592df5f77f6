#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
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
	EVP_MD *md;		/* fetched once: a fetch costs more than hashing a chunk's tokens */
	EVP_MD_CTX *ctx;
};

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

int
digest_sha256(uint8_t out[DIGEST_SHA256], const void *p, size_t n, struct err *e)
{
	if (lib_openssl(e) < 0)
		return -1;
	if (!EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL))
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

int
digest_hmac(uint8_t out[DIGEST_SHA256], const void *key, size_t n_key, const void *p, size_t n,
	struct err *e)
{
	if (lib_openssl(e) < 0)
		return -1;
	if (!HMAC(EVP_sha256(), key, (int)n_key, p, n, out, NULL))
		return err_set(e, ERR_FAILED, "hmac: the crypto library failed");
	return 0;
}

struct digest_sha256 *
digest_sha256_new(struct err *e)
{
	struct digest_sha256 *s;

	if (lib_openssl(e) < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s) {
		err_sys(e, "sha256");
		return NULL;
	}
	s->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	s->ctx = EVP_MD_CTX_new();
	if (!s->md || !s->ctx) {
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
	EVP_MD_free(s->md);
	free(s);
}

int
digest_sha256_begin(struct digest_sha256 *s, struct err *e)
{
	if (!EVP_DigestInit_ex(s->ctx, s->md, NULL))
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
