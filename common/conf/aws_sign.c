#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/uri.h"
#include "conf/aws_sign.h"
#include "digest/digest.h"

static int
hmac(unsigned char out[DIGEST_SHA256], const void *key, size_t n_key, const char *text,
	struct err *e)
{
	return digest_hmac(out, key, n_key, text, strlen(text), e);
}

int
aws_hash(char out[AWS_HASH_TEXT], const void *p, size_t n, struct err *e)
{
	unsigned char digest[DIGEST_SHA256];

	if (digest_sha256(digest, p, n, e) < 0)
		return -1;
	hex_write(out, digest, sizeof(digest));
	return 0;
}

char *
aws_time(char out[17], int64_t t)
{
	time_t tt = (time_t)t;
	struct tm tm;

	if (!gmtime_r(&tt, &tm) || strftime(out, 17, "%Y%m%dT%H%M%SZ", &tm) != 16)
		strcpy(out, "19700101T000000Z");
	return out;
}

int
aws_query_add(struct buf *out, const char *name, const char *value)
{
	if (out->len)
		buf_chr(out, '&');
	uri_encode(out, name, strlen(name), "");
	buf_chr(out, '=');
	return uri_encode(out, value, strlen(value), "");
}

/* The chain of HMACs changes once a day: the scope says for what it was made. */
static int
day_key(struct aws_sign_key *k, const struct aws_request *r, const char *secret, struct err *e)
{
	char scope[sizeof(k->scope)], day[9];
	struct buf first = { 0 };
	int rc = -1, n;

	n = snprintf(scope, sizeof(scope), "%.8s/%s/%s/aws4_request", r->time, r->region,
		r->service);
	if (n >= (int)sizeof(scope))
		return err_set(e, ERR_USAGE, "region '%.64s': too long", r->region);
	if (!strcmp(k->scope, scope))
		return 0;
	k->scope[0] = 0;
	snprintf(day, sizeof(day), "%.8s", r->time);
	if (buf_printf(&first, "AWS4%s", secret) < 0)
		err_set(e, ERR_FAILED, "out of memory");
	else if (hmac(k->key, first.p, first.len, day, e) == 0 &&
	    hmac(k->key, k->key, 32, r->region, e) == 0 &&
	    hmac(k->key, k->key, 32, r->service, e) == 0 &&
	    hmac(k->key, k->key, 32, "aws4_request", e) == 0) {
		strcpy(k->scope, scope);
		rc = 0;
	}
	if (first.p)
		explicit_bzero(first.p, first.cap);
	buf_free(&first);
	return rc;
}

static void
header_names(struct buf *out, const struct aws_request *r)
{
	size_t i;

	for (i = 0; i < r->n_headers; i++) {
		buf_str(out, i ? ";" : "");
		buf_str(out, r->headers[i].name);
	}
}

static void
text_and(struct buf *b, const char *text, char end)
{
	buf_str(b, text);
	buf_chr(b, end);
}

static int
canonical_hash(char out[AWS_HASH_TEXT], const struct aws_request *r, struct err *e)
{
	struct buf b = { 0 };
	size_t i;
	int rc;

	buf_room(&b, 1024);
	text_and(&b, r->method, '\n');
	text_and(&b, r->path, '\n');
	text_and(&b, r->query, '\n');
	for (i = 0; i < r->n_headers; i++) {
		text_and(&b, r->headers[i].name, ':');
		text_and(&b, r->headers[i].value, '\n');
	}
	buf_chr(&b, '\n');
	header_names(&b, r);
	buf_chr(&b, '\n');
	buf_str(&b, r->payload);
	rc = b.fail ? err_set(e, ERR_FAILED, "sign: out of memory") : aws_hash(out, b.p, b.len, e);
	if (b.p)
		explicit_bzero(b.p, b.cap);	/* a session token is among the headers */
	buf_free(&b);
	return rc;
}

int
aws_sign(const struct aws_request *r, const char *id, const char *secret,
	struct aws_sign_key *key, struct buf *out, struct err *e)
{
	char hash[AWS_HASH_TEXT], text[320];
	unsigned char signature[32];

	if (canonical_hash(hash, r, e) < 0)
		return -1;
	if (day_key(key, r, secret, e) < 0)
		return err_in(e, "sign");
	snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", r->time, key->scope, hash);
	if (hmac(signature, key->key, sizeof(key->key), text, e) < 0)
		return err_in(e, "sign");
	buf_printf(out, "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=", id, key->scope);
	header_names(out, r);
	buf_str(out, ",Signature=");
	buf_hex(out, signature, sizeof(signature));
	return out->fail ? err_set(e, ERR_FAILED, "sign: out of memory") : 0;
}

void
aws_sign_key_forget(struct aws_sign_key *key)
{
	explicit_bzero(key, sizeof(*key));
}
