#include <string.h>

#include "key/encode.h"

/* Both encodings walk a tuple in the same way. */
struct form {
	void (*integer)(struct buf *out, int64_t v);
	void (*text)(struct buf *out, const char *s);
	void (*none)(struct buf *out);
	void (*open)(struct buf *out, size_t n);	/* a tuple of n */
	void (*close)(struct buf *out, size_t n);
};

/* offset: from the chunk's first token; negative where the item began before. */
static void
media_item(struct buf *out, const char *id, int64_t offset, const struct form *f)
{
	f->open(out, 2);
	f->text(out, id);
	f->integer(out, offset);
	f->close(out, 2);
}

/* The items of l->extra that this chunk has: how many; written if f is given. */
static size_t
extra_items(struct buf *out, const struct link *l, const struct form *f)
{
	const struct key_extra *x = l->extra;
	size_t count = 0, i;

	if (x->lora) {
		count++;
		if (f)
			f->text(out, x->lora);
	}
	for (i = 0; i < x->n_media; i++) {
		const struct key_media *m = &x->media[i];

		if (m->first >= l->first + l->n || m->first + m->tokens <= l->first)
			continue;
		count++;
		if (f)
			media_item(out, m->id, (int64_t)(m->first - l->first), f);
	}
	if (x->salt && l->first == 0) {
		count++;
		if (f)
			f->text(out, x->salt);
	}
	return count;
}

static void
third(struct buf *out, const struct link *l, const struct form *f)
{
	size_t n = 0;

	if (l->third == THIRD_LEFT_OUT)
		return;
	if (l->third == THIRD_EXTRA && l->extra)
		n = extra_items(out, l, NULL);
	if (n == 0 && l->third != THIRD_EMPTY) {
		f->none(out);
		return;
	}
	f->open(out, n);
	if (n)
		extra_items(out, l, f);
	f->close(out, n);
}

static void
tokens(struct buf *out, const struct link *l, const struct form *f)
{
	size_t i;

	f->open(out, l->n);
	for (i = 0; i < l->n; i++)
		f->integer(out, l->tokens[i]);
	f->close(out, l->n);
}

static size_t
members(const struct link *l)
{
	return l->third == THIRD_LEFT_OUT ? 2 : 3;
}

enum {
	CBOR_UINT = 0,
	CBOR_NEGATIVE = 1,
	CBOR_BYTES = 2,
	CBOR_TEXT = 3,
	CBOR_ARRAY = 4,
	CBOR_NULL = 0xf6,
};

static void
cbor_head(struct buf *out, unsigned major, uint64_t v)
{
	uint8_t b[9];
	size_t n = v < 24 ? 0 : v <= UINT8_MAX ? 1 : v <= UINT16_MAX ? 2 : v <= UINT32_MAX ? 4 : 8;

	b[0] = (uint8_t)(major << 5 | (n == 0 ? v : n == 1 ? 24 : n == 2 ? 25 : n == 4 ? 26 : 27));
	if (n == 1)
		b[1] = (uint8_t)v;
	else if (n == 2)
		put_be16(b + 1, (uint16_t)v);
	else if (n == 4)
		put_be32(b + 1, (uint32_t)v);
	else if (n == 8)
		put_be64(b + 1, v);
	buf_add(out, b, 1 + n);
}

static void
cbor_integer(struct buf *out, int64_t v)
{
	if (v < 0)
		cbor_head(out, CBOR_NEGATIVE, (uint64_t)(-1 - v));
	else
		cbor_head(out, CBOR_UINT, (uint64_t)v);
}

void
encode_cbor_text(struct buf *out, const char *s)
{
	size_t n = strlen(s);

	cbor_head(out, CBOR_TEXT, n);
	buf_add(out, s, n);
}

static void
cbor_none(struct buf *out)
{
	buf_chr(out, (char)CBOR_NULL);
}

static void
cbor_open(struct buf *out, size_t n)
{
	cbor_head(out, CBOR_ARRAY, n);
}

static void
cbor_close(struct buf *out, size_t n)
{
	(void)out;
	(void)n;
}

static const struct form cbor = {
	cbor_integer, encode_cbor_text, cbor_none, cbor_open, cbor_close,
};

void
encode_cbor(struct buf *out, const struct link *l)
{
	cbor_head(out, CBOR_ARRAY, members(l));
	if (l->parent->len == 8) {
		cbor_head(out, CBOR_UINT, get_be64(l->parent->b));
	} else {
		cbor_head(out, CBOR_BYTES, l->parent->len);
		buf_add(out, l->parent->b, l->parent->len);
	}
	tokens(out, l, &cbor);
	third(out, l, &cbor);
}

/* Opcodes of Python's pickletools. */
enum {
	PROTO = 0x80, FRAME = 0x95, STOP = '.', MEMOIZE = 0x94,
	NONE = 'N', BININT = 'J', BININT1 = 'K', BININT2 = 'M', LONG1 = 0x8a,
	SHORT_BINBYTES = 'C', SHORT_BINUNICODE = 0x8c, BINUNICODE = 'X',
	MARK = '(', EMPTY_TUPLE = ')', TUPLE1 = 0x85, TUPLE2 = 0x86, TUPLE3 = 0x87, TUPLE = 't',
};

#define PICKLE_HEAD 11	/* PROTO 5 FRAME u64 */

static void
op(struct buf *out, int code)
{
	buf_chr(out, (char)code);
}

static void
pickle_integer(struct buf *out, int64_t v)
{
	uint8_t b[9];
	size_t n;

	put_le64(b + 1, (uint64_t)v);
	if (v >= 0 && v <= UINT8_MAX) {
		b[0] = BININT1;
		n = 1;
	} else if (v >= 0 && v <= UINT16_MAX) {
		b[0] = BININT2;
		n = 2;
	} else if (v >= INT32_MIN && v <= INT32_MAX) {
		b[0] = BININT;
		n = 4;
	} else {	/* two's complement in as few bytes as hold it */
		for (n = 5; n < 8 && v >> (8 * n - 1) != (v < 0 ? -1 : 0); n++)
			;
		op(out, LONG1);
		b[0] = (uint8_t)n;
	}
	buf_add(out, b, 1 + n);
}

static void
pickle_text(struct buf *out, const char *s)
{
	size_t n = strlen(s);
	uint8_t b[4];

	if (n <= UINT8_MAX) {
		op(out, SHORT_BINUNICODE);
		op(out, (int)n);
	} else {
		op(out, BINUNICODE);
		put_le32(b, (uint32_t)n);
		buf_add(out, b, sizeof(b));
	}
	buf_add(out, s, n);
	op(out, MEMOIZE);
}

static void
pickle_none(struct buf *out)
{
	op(out, NONE);
}

static void
pickle_open(struct buf *out, size_t n)
{
	if (n > 3)
		op(out, MARK);
}

static void
pickle_close(struct buf *out, size_t n)
{
	static const uint8_t small[] = { EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3 };

	op(out, n > 3 ? TUPLE : small[n]);
	if (n > 0)
		op(out, MEMOIZE);
}

static const struct form pickle = {
	pickle_integer, pickle_text, pickle_none, pickle_open, pickle_close,
};

static size_t
pickle_begin(struct buf *out)
{
	size_t at = out->len;

	op(out, PROTO);
	op(out, 5);
	op(out, FRAME);
	buf_add(out, "\0\0\0\0\0\0\0", 8);
	return at;
}

static void
pickle_end(struct buf *out, size_t at)
{
	op(out, STOP);
	if (!out->fail)
		put_le64(out->p + at + 3, out->len - at - PICKLE_HEAD);
}

void
encode_pickle(struct buf *out, const struct link *l)
{
	size_t at = pickle_begin(out);

	op(out, SHORT_BINBYTES);
	op(out, l->parent->len);
	buf_add(out, l->parent->b, l->parent->len);
	op(out, MEMOIZE);
	tokens(out, l, &pickle);
	third(out, l, &pickle);
	pickle_close(out, members(l));
	pickle_end(out, at);
}

void
encode_pickle_text(struct buf *out, const char *s)
{
	size_t at = pickle_begin(out);

	pickle_text(out, s);
	pickle_end(out, at);
}
