#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static const char hex_digits[] = "0123456789abcdef";

void
buf_free(struct buf *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}

void *
buf_room(struct buf *b, size_t n)
{
	size_t cap = b->cap ? b->cap : 64;
	char *p;

	if (b->fail)
		return NULL;
	if (n <= b->cap - b->len && b->p)
		return b->p + b->len;
	if (n > SIZE_MAX / 4 || b->len > SIZE_MAX / 4)
		goto fail;
	while (cap - b->len < n || cap < b->len)
		cap *= 2;
	p = realloc(b->p, cap);
	if (!p)
		goto fail;
	b->p = p;
	b->cap = cap;
	return b->p + b->len;
fail:
	b->fail = 1;
	return NULL;
}

int
buf_add(struct buf *b, const void *p, size_t n)
{
	char *to = buf_room(b, n);

	if (!to)
		return -1;
	if (n)
		memcpy(to, p, n);
	b->len += n;
	return 0;
}

int
buf_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_chr(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int
buf_u64(struct buf *b, uint64_t v)
{
	char digits[20], *p = digits + sizeof(digits);

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	return buf_add(b, p, (size_t)(digits + sizeof(digits) - p));
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	char *to = buf_room(b, 128);
	va_list ap;
	int n;

	if (!to)
		return -1;
	va_start(ap, fmt);
	n = vsnprintf(to, b->cap - b->len, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->fail = 1;
		return -1;
	}
	if ((size_t)n >= b->cap - b->len) {
		to = buf_room(b, (size_t)n + 1);
		if (!to)
			return -1;
		va_start(ap, fmt);
		vsnprintf(to, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->len += (size_t)n;
	return 0;
}

size_t
utf8_len(const void *p, size_t n)
{
	const unsigned char *s = p;
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 :
		s[0] < 0xf5 ? 4 : 0;
	size_t i;

	if (!len || len > n)
		return 0;
	for (i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

int
buf_json(struct buf *b, const char *s, size_t n)
{
	size_t i, len;

	buf_chr(b, '"');
	for (i = 0; i < n; i += len) {
		unsigned char c = (unsigned char)s[i];

		len = utf8_len(s + i, n - i);
		if (!len) {
			buf_str(b, "\xef\xbf\xbd");
			len = 1;
		} else if (c == '"' || c == '\\') {
			buf_printf(b, "\\%c", c);
		} else if (c < 0x20 || c == 0x7f) {
			buf_printf(b, "\\u%04x", c);
		} else {
			buf_add(b, s + i, len);
		}
	}
	return buf_chr(b, '"');
}

int
buf_hex(struct buf *b, const void *p, size_t n)
{
	char *to = buf_room(b, 2 * n + 1);

	if (!to)
		return -1;
	hex_write(to, p, n);
	b->len += 2 * n;
	return 0;
}

char *
buf_text(struct buf *b)
{
	char *to = buf_room(b, 1);

	if (!to)
		return NULL;
	*to = 0;
	return b->p;
}

/* Value + 1 of a hex digit; 0: it is none. */
static const unsigned char hex_values[256] = {
	['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8,
	['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15,
	['f'] = 16, ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

int
hex_read(void *out, const char *hex, size_t n)
{
	unsigned char *o = out;
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned hi = hex_values[(unsigned char)hex[2 * i]];
		unsigned lo = hi ? hex_values[(unsigned char)hex[2 * i + 1]] : 0;

		if (!lo)
			return -1;
		o[i] = (unsigned char)((hi - 1) << 4 | (lo - 1));
	}
	return 0;
}

void
hex_write(char *out, const void *p, size_t n)
{
	const unsigned char *s = p;
	size_t i;

	for (i = 0; i < n; i++) {
		out[2 * i] = hex_digits[s[i] >> 4];
		out[2 * i + 1] = hex_digits[s[i] & 15];
	}
	out[2 * n] = 0;
}
