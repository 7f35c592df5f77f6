#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "key/scan.h"
#include "key/tokens.h"

static int
token_list(struct buf *out, struct scan *s, struct err *e)
{
	int first, rc;
	uint32_t v;

	if (!scan_is(s, '['))
		return scan_fail(s, "not a list", e);
	for (first = 1; (rc = scan_more(s, ']', first, e)) > 0; first = 0) {
		if (scan_u32(s, &v, e) < 0)
			return -1;
		buf_add(out, &v, sizeof(v));
	}
	return rc;
}

static int
token_object(struct buf *out, struct scan *s, struct err *e)
{
	static const char *const names[] = {
		"tokens", "token_ids", "prompt_token_ids", "input_ids", NULL,
	};

	if (scan_member(s, names, e) < 0 || token_list(out, s, e) < 0)
		return -1;
	return scan_members_end(s, names, e);
}

static int
token_lines(struct buf *out, struct scan *s, struct err *e)
{
	uint32_t v;

	while (scan_peek(s)) {
		if (scan_u32(s, &v, e) < 0)
			return -1;
		if (s->p < s->end && !strchr(" \t\r\n", *s->p))
			return scan_fail(s, "not a number", e);
		buf_add(out, &v, sizeof(v));
	}
	return 0;
}

static int
token_words(struct buf *out, const uint8_t *p, size_t n, struct err *e)
{
	uint32_t v;
	size_t i;

	if (n % 4)
		return err_set(e, ERR_CORRUPT, "tokens: %zu bytes of binary, "
			"not a multiple of 4", n);
	for (i = 0; i < n; i += 4) {
		v = get_le32(p + i);
		buf_add(out, &v, sizeof(v));
	}
	return 0;
}

int
key_tokens_read(struct key_tokens *t, const void *p, size_t n, struct err *e)
{
	struct scan s = { .what = "tokens", .start = p, .p = p, .end = (const char *)p + n };
	struct buf out = { 0 };
	int rc;
	char c;

	memset(t, 0, sizeof(*t));
	if (n && memchr(p, 0, n)) {
		rc = token_words(&out, p, n, e);
	} else {
		c = scan_peek(&s);
		rc = c == '[' ? token_list(&out, &s, e) : c == '{' ? token_object(&out, &s, e) :
			token_lines(&out, &s, e);
		if (rc == 0 && scan_peek(&s))
			rc = scan_fail(&s, "something behind the end", e);
	}
	if (rc == 0 && out.fail)
		rc = err_sys(e, "tokens");
	if (rc == 0 && out.len == 0)
		rc = err_set(e, ERR_CORRUPT, "tokens: none");
	if (rc < 0) {
		buf_free(&out);
		return -1;
	}
	t->ids = (uint32_t *)(void *)out.p;
	t->n = out.len / sizeof(*t->ids);
	return 0;
}

void
key_tokens_free(struct key_tokens *t)
{
	free(t->ids);
	memset(t, 0, sizeof(*t));
}

/* A 64-bit integer of 1 to 16 hex digits. */
static int
parse_integer(struct key_hash *h, const char *s, size_t n, int negative)
{
	char padded[16];
	uint64_t v;

	memset(padded, '0', sizeof(padded));
	memcpy(padded + sizeof(padded) - n, s, n);
	if (hex_read(h->b, padded, 8) < 0)
		return -1;
	v = get_be64(h->b);
	if (negative && (v == 0 || v > UINT64_C(1) << 63))
		return -1;
	put_be64(h->b, negative ? 0 - v : v);
	h->len = 8;
	return 0;
}

int
key_hash_parse(struct key_hash *h, const char *s, size_t n, struct err *e)
{
	const char *digits = s;
	size_t left = n;
	int negative = n > 0 && *s == '-';

	memset(h, 0, sizeof(*h));
	if (negative) {
		digits++;
		left--;
	}
	if (left > 2 && digits[0] == '0' && digits[1] == 'x') {
		digits += 2;
		left -= 2;
	}
	if (left >= 1 && left <= 16 && parse_integer(h, digits, left, negative) == 0)
		return 0;
	if (left > 16 && !negative && key_hash_read(h, digits, left, NULL) == 0)
		return 0;
	memset(h, 0, sizeof(*h));
	return err_set(e, ERR_CORRUPT, "hash '%.*s': not hexadecimal of up to 64 digits",
		(int)(n < 80 ? n : 80), s);
}

static int
add_hash(struct buf *out, const struct scan *s, const char *text, size_t n, struct err *e)
{
	struct key_hash h;

	if (key_hash_parse(&h, text, n, NULL) < 0)
		return scan_fail(s, "not a hash", e);
	buf_add(out, &h, sizeof(h));
	return 0;
}

/* One record of the lookup log. */
static int
hash_record(struct buf *out, struct scan *s, struct err *e)
{
	static const char *const names[] = { "chunk_hashes", NULL };
	const char *text;
	int first, rc;
	size_t n;

	if (scan_member(s, names, e) < 0)
		return -1;
	if (!scan_is(s, '['))
		return scan_fail(s, "not a list", e);
	for (first = 1; (rc = scan_more(s, ']', first, e)) > 0; first = 0)
		if (scan_string(s, &text, &n, e) < 0 || add_hash(out, s, text, n, e) < 0)
			return -1;
	return rc < 0 ? -1 : scan_members_end(s, names, e);
}

static int
hash_line(struct buf *out, struct scan *s, struct err *e)
{
	const char *from = s->p;

	while (s->p < s->end && !strchr(" \t\r\n", *s->p))
		s->p++;
	return add_hash(out, s, from, (size_t)(s->p - from), e);
}

int
key_hashes_read(struct key_hashes *h, const void *p, size_t n, struct err *e)
{
	struct scan s = { .what = "hashes", .start = p, .p = p, .end = (const char *)p + n };
	struct buf out = { 0 };
	char c;

	memset(h, 0, sizeof(*h));
	while ((c = scan_peek(&s)))
		if ((c == '{' ? hash_record(&out, &s, e) : hash_line(&out, &s, e)) < 0)
			goto fail;
	if (s.p < s.end) {
		scan_fail(&s, "a zero byte", e);
		goto fail;
	}
	if (out.fail) {
		err_sys(e, "hashes");
		goto fail;
	}
	if (out.len == 0) {
		err_set(e, ERR_CORRUPT, "hashes: none");
		goto fail;
	}
	h->h = (struct key_hash *)(void *)out.p;
	h->n = out.len / sizeof(*h->h);
	return 0;
fail:
	buf_free(&out);
	return -1;
}

void
key_hashes_free(struct key_hashes *h)
{
	free(h->h);
	memset(h, 0, sizeof(*h));
}
