#include <openssl/evp.h>

#include "store/s3.h"

void
s3_cursor_set(struct s3_cursor *c, const struct s3_body *b, uint64_t at)
{
	uint64_t skip = b->off + at;

	c->body = b;
	c->left = b->len - at;
	for (c->i = 0; c->i < b->n && skip >= b->iov[c->i].iov_len; c->i++)
		skip -= b->iov[c->i].iov_len;
	c->in = (size_t)skip;
}

size_t
s3_cursor_next(struct s3_cursor *c, const void **p, size_t n)
{
	const struct iovec *v;

	while (c->i < c->body->n && c->in == c->body->iov[c->i].iov_len) {
		c->i++;
		c->in = 0;
	}
	if (c->left == 0 || c->i == c->body->n)
		return 0;
	v = &c->body->iov[c->i];
	if (n > v->iov_len - c->in)
		n = v->iov_len - c->in;
	if (n > c->left)
		n = (size_t)c->left;
	*p = (const char *)v->iov_base + c->in;
	c->in += n;
	c->left -= n;
	return n;
}

int
s3_body_hash(char out[AWS_HASH_TEXT], const struct s3_body *b, struct err *e)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char digest[32];
	struct s3_cursor c;
	const void *p;
	size_t n;
	int good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);

	for (s3_cursor_set(&c, b, 0); good && (n = s3_cursor_next(&c, &p, SIZE_MAX)) > 0;)
		good = EVP_DigestUpdate(ctx, p, n);
	good = good && EVP_DigestFinal_ex(ctx, digest, NULL);
	EVP_MD_CTX_free(ctx);
	if (!good)
		return err_set(e, ERR_FAILED, "sha-256: OpenSSL refused");
	hex_write(out, digest, sizeof(digest));
	return 0;
}

const struct s3_body *
s3_text(struct s3_text *t, const struct buf *b)
{
	t->iov.iov_base = b->p;
	t->iov.iov_len = b->len;
	t->body = (struct s3_body){ .iov = &t->iov, .n = 1, .len = b->len };
	return &t->body;
}

void
s3_xml_text(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '&')
			buf_str(b, "&amp;");
		else if (*s == '<')
			buf_str(b, "&lt;");
		else if (*s == '>')
			buf_str(b, "&gt;");
		else
			buf_chr(b, *s);
	}
}

int
s3_md5(char out[32], const struct buf *b, struct err *e)
{
	unsigned char digest[16];

	if (!EVP_Digest(b->p, b->len, digest, NULL, EVP_md5(), NULL))
		return err_set(e, ERR_FAILED, "md5: OpenSSL refused");
	EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest));
	return 0;
}
