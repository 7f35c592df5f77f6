#include <openssl/evp.h>

#include "digest/digest.h"
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
	struct digest_sha256 *sum = digest_sha256_new(e);
	unsigned char digest[DIGEST_SHA256];
	struct s3_cursor c;
	const void *p;
	size_t n;
	int rc = sum ? 0 : -1;

	for (s3_cursor_set(&c, b, 0); rc == 0 && (n = s3_cursor_next(&c, &p, SIZE_MAX)) > 0;)
		rc = digest_sha256_add(sum, p, n, e);
	if (rc == 0)
		rc = digest_sha256_end(sum, digest, e);
	digest_sha256_free(sum);
	if (rc == 0)
		hex_write(out, digest, sizeof(digest));
	return rc;
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
	unsigned char digest[DIGEST_MD5];

	if (digest_md5(digest, b->p, b->len, e) < 0)
		return -1;
	EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest));
	return 0;
}
