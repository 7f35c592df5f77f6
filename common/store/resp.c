#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "store/resp_io.h"

#define IN_SIZE 65536		/* replies of lists come many at once */
#define DIRECT 16384		/* what is left of a value by this much skips the buffer */
#define PUSHES_MAX 10000	/* in front of one reply */

static struct resp *
resp_new(struct err *e)
{
	struct resp *r = calloc(1, sizeof(*r));

	if (r)
		r->in = malloc(IN_SIZE);
	if (r && r->in)
		return r;
	free(r);
	err_sys(e, "connect");
	return NULL;
}

int
resp_open(struct resp **out, const struct resp_end *end, struct err *e)
{
	struct resp *r = resp_new(e);

	*out = NULL;
	if (!r)
		return -1;
	if (resp_io_open(&r->io, end, e) < 0) {
		resp_close(r);
		return -1;
	}
	*out = r;
	return 0;
}

int
resp_open_source(struct resp **out, long (*source)(void *ctx, void *p, size_t n), void *ctx,
	struct err *e)
{
	struct resp *r = resp_new(e);

	*out = NULL;
	if (!r)
		return -1;
	if (resp_io_source(&r->io, source, ctx, e) < 0) {
		resp_close(r);
		return -1;
	}
	*out = r;
	return 0;
}

void
resp_close(struct resp *r)
{
	if (!r)
		return;
	resp_io_close(r->io);
	buf_free(&r->out);
	free(r->in);
	free(r);
}

int
resp_broken(const struct resp *r)
{
	return r->broken;
}

int
resp_settled(const struct resp *r)
{
	return !r->broken && r->owed == 0 && r->left == 0 && !r->open_body && r->out.len == 0;
}

int
resp_alive(struct resp *r)
{
	return resp_settled(r) && r->at == r->end && resp_io_alive(r->io);
}

const char *
resp_said(const struct resp *r)
{
	return r->said;
}

static int
corrupt(struct resp *r, const char *what, struct err *e)
{
	r->broken = 1;
	return err_set(e, ERR_CORRUPT, "reply: %s: this is not Redis, or not well", what);
}

/* More bytes behind those in the buffer. */
static int
fill(struct resp *r, struct err *e)
{
	ssize_t got;

	if (r->at == r->end)
		r->at = r->end = 0;
	if (r->end == IN_SIZE) {
		memmove(r->in, r->in + r->at, r->end - r->at);
		r->end -= r->at;
		r->at = 0;
	}
	if (r->end == IN_SIZE)
		return corrupt(r, "endless line", e);
	got = resp_io_read(r->io, r->in + r->end, IN_SIZE - r->end, 0, e);
	if (got < 0) {
		r->broken = 1;
		return -1;
	}
	r->end += (size_t)got;
	return 0;
}

/* The next line without its CR LF; valid until the next read. */
static int
line(struct resp *r, char **p, size_t *n, struct err *e)
{
	size_t seen = 0;
	char *lf;

	while (!(lf = memchr(r->in + r->at + seen, '\n', r->end - r->at - seen))) {
		seen = r->end - r->at;
		if (fill(r, e) < 0)
			return -1;
	}
	*p = r->in + r->at;
	*n = (size_t)(lf - *p);
	r->at += *n + 1;
	if (*n < 2 || (*p)[*n - 1] != '\r')
		return corrupt(r, "line without an end", e);
	(*n)--;
	return 0;
}

static int
end_body(struct resp *r, struct err *e)
{
	while (r->end - r->at < 2)
		if (fill(r, e) < 0)
			return -1;
	if (memcmp(r->in + r->at, "\r\n", 2) != 0)
		return corrupt(r, "value longer than announced", e);
	r->at += 2;
	r->open_body = 0;
	return 0;
}

int
resp_body(struct resp *r, void *p, size_t n, struct err *e)
{
	char *to = p;

	if (n > r->body)
		return corrupt(r, "value shorter than asked for", e);
	while (n > 0) {
		size_t have = r->end - r->at;
		ssize_t got;

		if (have) {
			got = (ssize_t)(have < n ? have : n);
			memcpy(to, r->in + r->at, (size_t)got);
			r->at += (size_t)got;
		} else if (n >= DIRECT) {
			got = resp_io_read(r->io, to, n, 1, e);
			if (got < 0) {
				r->broken = 1;
				return -1;
			}
		} else {
			if (fill(r, e) < 0)
				return -1;
			continue;
		}
		to += got;
		n -= (size_t)got;
		r->body -= (uint64_t)got;
	}
	return r->body == 0 && r->open_body ? end_body(r, e) : 0;
}

static int
drop_body(struct resp *r, struct err *e)
{
	char scrap[4096];

	while (r->body > 0)
		if (resp_body(r, scrap, r->body < sizeof(scrap) ? (size_t)r->body : sizeof(scrap),
		    e) < 0)
			return -1;
	return r->open_body ? end_body(r, e) : 0;
}

static int
number(struct resp *r, const char *p, size_t n, int64_t min, int64_t max, int64_t *out,
	struct err *e)
{
	char text[24];

	if (n >= sizeof(text))
		return corrupt(r, "bad number", e);
	memcpy(text, p, n);
	text[n] = 0;
	if (num_i64(out, text, min, max, "reply", NULL) < 0)
		return corrupt(r, "bad number or length", e);
	return 0;
}

/* A line for people: cut, and without what a terminal would obey. */
static void
keep_text(struct resp_item *it, const char *p, size_t n)
{
	size_t i;

	if (n > RESP_LINE_MAX)
		n = RESP_LINE_MAX;
	for (i = 0; i < n; i++)
		it->text[i] = (unsigned char)p[i] < 0x20 || p[i] == 0x7f ? '?' : p[i];
	it->text[n] = 0;
}

static int
is_true(struct resp *r, struct resp_item *it, const char *p, size_t n, struct err *e)
{
	if (n != 1 || (*p != 't' && *p != 'f'))
		return corrupt(r, "bad boolean", e);
	it->type = RESP_FLAG;
	it->n = *p == 't';
	return 0;
}

/* A length: -1 is nil in RESP 2. */
static int
counted(struct resp *r, struct resp_item *it, enum resp_type type, const char *p, size_t n,
	struct err *e)
{
	int64_t max = type == RESP_BULK ? (int64_t)RESP_BULK_MAX : (int64_t)RESP_ARRAY_MAX;

	if (number(r, p, n, -1, max, &it->n, e) < 0)
		return -1;
	it->type = it->n < 0 ? RESP_NIL : type;
	if (it->n < 0)
		it->n = 0;
	if (it->type == RESP_BULK) {
		r->body = (uint64_t)it->n;
		r->open_body = 1;
		if (r->body == 0)
			return end_body(r, e);
	}
	return 0;
}

/* RESP 3's long error: a bulk that must never be taken for a value. */
static int
long_error(struct resp *r, struct resp_item *it, struct err *e)
{
	char text[RESP_LINE_MAX];
	size_t n = it->n < RESP_LINE_MAX ? (size_t)it->n : RESP_LINE_MAX;

	if (resp_body(r, text, n, e) < 0 || drop_body(r, e) < 0)
		return -1;
	it->type = RESP_ERROR;
	it->n = 0;
	keep_text(it, text, n);
	return 0;
}

/* RESP 3's text with its kind before it: "txt:". */
static int
verbatim(struct resp *r, struct resp_item *it, struct err *e)
{
	char kind[4];

	if (it->n < 4)
		return corrupt(r, "bad length", e);
	it->n -= 4;
	return resp_body(r, kind, 4, e);
}

/* One item of any type; aside: it is a push or an attribute, and not part of the reply. */
static int
item(struct resp *r, struct resp_item *it, int *aside, struct err *e)
{
	char *p, kind;
	size_t n;

	*aside = 0;
	it->n = 0;
	it->text[0] = 0;
	if (drop_body(r, e) < 0 || line(r, &p, &n, e) < 0)
		return -1;
	kind = *p++;
	n--;
	switch (kind) {
	case '+': case '-': case ',': case '(':
		it->type = kind == '+' ? RESP_STATUS : kind == '-' ? RESP_ERROR : RESP_REAL;
		keep_text(it, p, n);
		return 0;
	case ':':
		it->type = RESP_NUMBER;
		return number(r, p, n, INT64_MIN, INT64_MAX, &it->n, e);
	case '$':
		return counted(r, it, RESP_BULK, p, n, e);
	case '=': case '!':
		if (counted(r, it, RESP_BULK, p, n, e) < 0 || it->type == RESP_NIL)
			return corrupt(r, "bad length", e);
		return kind == '=' ? verbatim(r, it, e) : long_error(r, it, e);
	case '*': case '~':
		return counted(r, it, RESP_ARRAY, p, n, e);
	case '%': case '|': case '>':
		*aside = kind != '%';
		if (counted(r, it, RESP_ARRAY, p, n, e) < 0)
			return -1;
		it->n *= kind == '>' ? 1 : 2;
		return 0;
	case '_':
		it->type = RESP_NIL;
		return 0;
	case '#':
		return is_true(r, it, p, n, e);
	default:
		return corrupt(r, "unknown type", e);
	}
}

int
resp_drop(struct resp *r, const struct resp_item *it, struct err *e)
{
	int64_t left[RESP_DEPTH_MAX];
	struct resp_item inner;
	int depth = 0, aside;

	if (it->type == RESP_BULK)
		return drop_body(r, e);
	if (it->type != RESP_ARRAY)
		return 0;
	left[0] = it->n;
	r->left -= it->n;
	while (depth >= 0) {
		if (left[depth] == 0) {
			depth--;
			continue;
		}
		if (item(r, &inner, &aside, e) < 0)
			return -1;
		left[depth] -= !aside;
		if (inner.type != RESP_ARRAY)
			continue;
		if (++depth == RESP_DEPTH_MAX)
			return corrupt(r, "nested too deeply", e);
		left[depth] = inner.n;
	}
	return drop_body(r, e);
}

/* The next item that is part of a reply. */
static int
next(struct resp *r, struct resp_item *it, struct err *e)
{
	int aside, i;

	for (i = 0; i < PUSHES_MAX; i++) {
		if (item(r, it, &aside, e) < 0)
			return -1;
		if (!aside)
			return 0;
		r->left += it->n;	/* which resp_drop() takes off again */
		if (resp_drop(r, it, e) < 0)
			return -1;
	}
	return corrupt(r, "nothing but pushed messages", e);
}

int
resp_next(struct resp *r, struct resp_item *it, struct err *e)
{
	if (r->broken)
		return err_set(e, ERR_TEMP, "read: the connection is broken");
	r->owed -= r->left == 0 && r->owed > 0;
	if (r->asking && r->left == 0) {
		if (next(r, it, e) < 0)
			return -1;
		if (it->type != RESP_STATUS)
			return corrupt(r, "no answer to ASKING", e);
	}
	if (next(r, it, e) < 0)
		return -1;
	if (it->type == RESP_ERROR && !r->said[0])
		strcpy(r->said, it->text);
	r->left -= r->left > 0;
	if (it->type == RESP_ARRAY)
		r->left += it->n;
	return 0;
}
