#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/num.h"
#include "digest/digest.h"
#include "geom/geom.h"
#include "kvstat/sim.h"

/*
 * Traces as people have them, one JSON object a line, one line a request:
 * Mooncake (FAST'25 traces): timestamp in ms, input_length, hash_ids;
 * LMCache (lookup-hash log of its server): timestamp in s, seq_len, chunk_size, chunk_hashes,
 * shapes and dtypes of one chunk; ours (kv.access/1): time, tokens, chunk_tokens,
 * chunk_bytes, keys. A reader of our own, as jansson takes longer than the replay.
 */
#define TRACE_MAX (4ull << 30)		/* bytes of one file */
#define DEPTH_MAX 32
#define MOONCAKE_TOKENS 512		/* its blocks, where the trace does not say */

struct line {
	const char *p, *end;
	struct sim_trace *t;
	double time;
	uint64_t tokens, chunk_tokens, chunk_bytes;
	uint64_t elements, element_size;	/* of shapes and dtypes */
	enum { NO_KEYS, MOONCAKE, LMCACHE, OURS } kind;
};

static void
space(struct line *l)
{
	while (l->p < l->end && (*l->p == ' ' || *l->p == '\t' || *l->p == '\r'))
		l->p++;
}

static int
take(struct line *l, char c)
{
	space(l);
	if (l->p == l->end || *l->p != c)
		return 0;
	l->p++;
	return 1;
}

/* A string without its quotes; escapes stay as they are. */
static int
text(struct line *l, const char **s, size_t *n)
{
	if (!take(l, '"'))
		return -1;
	*s = l->p;
	while (l->p < l->end && *l->p != '"')
		l->p += *l->p == '\\' ? 2 : 1;
	if (l->p >= l->end)
		return -1;
	*n = (size_t)(l->p++ - *s);
	return 0;
}

static int
skip(struct line *l, int depth)
{
	const char *s;
	size_t n;

	space(l);
	if (depth > DEPTH_MAX || l->p == l->end)
		return -1;
	if (*l->p == '"')
		return text(l, &s, &n);
	if (*l->p == '{' || *l->p == '[') {
		char close = *l->p++ == '{' ? '}' : ']';

		if (take(l, close))
			return 0;
		do {
			if (close == '}' && (text(l, &s, &n) < 0 || !take(l, ':')))
				return -1;
			if (skip(l, depth + 1) < 0)
				return -1;
		} while (take(l, ','));
		return take(l, close) ? 0 : -1;
	}
	for (s = l->p; l->p < l->end && !strchr(",]} \t\r", *l->p); l->p++)
		;
	return l->p > s ? 0 : -1;
}

/* Whole numbers only where they count; fractions and exponents in times. */
static int
whole(struct line *l, uint64_t *out)
{
	uint64_t v = 0;
	const char *s;

	space(l);
	for (s = l->p; l->p < l->end && *l->p >= '0' && *l->p <= '9'; l->p++) {
		if (v > (UINT64_MAX - 9) / 10)
			return -1;
		v = v * 10 + (uint64_t)(*l->p - '0');
	}
	*out = v;
	return l->p > s ? 0 : -1;
}

static int
number(struct line *l, double *out, struct err *e)
{
	char digits[64];
	size_t n = 0;

	space(l);
	while (l->p < l->end && n < sizeof(digits) - 1 && strchr("+-.eE0123456789", *l->p))
		digits[n++] = *l->p++;
	digits[n] = '\0';
	return num_double(out, digits, 0, 1e300, "time", e);
}

static int
key_list(struct line *l, struct err *e)
{
	struct digest128 d;
	const char *s;
	uint64_t name;
	size_t n;

	if (!take(l, '['))
		return -1;
	if (take(l, ']'))
		return 0;
	do {
		space(l);
		if (l->p < l->end && *l->p == '"') {
			if (text(l, &s, &n) < 0)
				return -1;
			digest_xxh3(&d, s, n);
			name = get_le64(&d);
		} else if (whole(l, &name) < 0) {
			return -1;
		}
		if (sim_trace_key(l->t, name, e) < 0)
			return -1;
	} while (take(l, ','));
	return take(l, ']') ? 0 : -1;
}

/* [[32, 256, 128], ...]: the elements of all tensors. */
static int
shapes(struct line *l)
{
	if (!take(l, '['))
		return -1;
	if (take(l, ']'))
		return 0;
	do {
		uint64_t product = 1, v;

		if (!take(l, '['))
			return -1;
		do {
			if (whole(l, &v) < 0 || v > 1u << 30 || product > 1ull << 32)
				return -1;
			product *= v;
		} while (take(l, ','));
		if (!take(l, ']'))
			return -1;
		l->elements += product;
	} while (take(l, ','));
	return take(l, ']') ? 0 : -1;
}

/* All tensors of a chunk have one type in practice: the first is taken. */
static int
dtypes(struct line *l)
{
	char word[32];
	const char *s;
	size_t n;

	if (!take(l, '['))
		return -1;
	if (take(l, ']'))
		return 0;
	do {
		if (text(l, &s, &n) < 0)
			return -1;
		if (!l->element_size && n < sizeof(word)) {
			memcpy(word, s, n);
			word[n] = '\0';
			l->element_size = dtype_size(dtype_parse(word));
		}
	} while (take(l, ','));
	return take(l, ']') ? 0 : -1;
}

static int
is(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && !memcmp(s, word, n);
}

static int
member(struct line *l, struct err *e)
{
	const char *s;
	size_t n;

	if (text(l, &s, &n) < 0 || !take(l, ':'))
		return -1;
	if (is(s, n, "hash_ids") || is(s, n, "chunk_hashes") || is(s, n, "keys")) {
		if (l->kind != NO_KEYS)
			return -1;
		l->kind = *s == 'h' ? MOONCAKE : *s == 'c' ? LMCACHE : OURS;
		return key_list(l, e);
	}
	if (is(s, n, "timestamp") || is(s, n, "time"))
		return number(l, &l->time, e);
	if (is(s, n, "input_length") || is(s, n, "seq_len") || is(s, n, "tokens"))
		return whole(l, &l->tokens);
	if (is(s, n, "chunk_size") || is(s, n, "chunk_tokens") || is(s, n, "block_size"))
		return whole(l, &l->chunk_tokens);
	if (is(s, n, "chunk_bytes"))
		return whole(l, &l->chunk_bytes);
	if (is(s, n, "shapes"))
		return shapes(l);
	if (is(s, n, "dtypes"))
		return dtypes(l);
	return skip(l, 0);
}

/* What a line says about block sizes; all lines must agree. */
static int
block_size(struct line *l, struct err *e)
{
	struct sim_trace *t = l->t;
	uint64_t tokens = l->chunk_tokens, bytes = l->chunk_bytes;

	if (!tokens && !t->block_tokens)
		tokens = MOONCAKE_TOKENS;
	if (!bytes && l->elements && l->element_size)
		bytes = l->elements * l->element_size;
	if (tokens && t->block_tokens && tokens != t->block_tokens)
		return err_set(e, ERR_CORRUPT, "blocks of %llu tokens after blocks of %llu",
			(unsigned long long)tokens, (unsigned long long)t->block_tokens);
	if (tokens)
		t->block_tokens = tokens;
	if (bytes && !t->block_bytes)
		t->block_bytes = bytes;
	return 0;
}

static int
request(struct line *l, struct err *e)
{
	err_set(e, ERR_CORRUPT, "not a request of a known trace format");
	if (!take(l, '{'))
		return -1;
	if (!take(l, '}')) {
		do {
			if (member(l, e) < 0)
				return -1;
		} while (take(l, ','));
		if (!take(l, '}'))
			return -1;
	}
	space(l);
	if (l->p != l->end || l->kind == NO_KEYS)
		return -1;
	if (block_size(l, e) < 0)
		return -1;
	return sim_trace_end(l->t, l->kind == MOONCAKE ? l->time / 1000 : l->time, l->tokens, e);
}

static int
read_lines(struct sim_trace *t, const char *path, const struct buf *b, struct err *e)
{
	const char *p = b->p, *end = b->p + b->len;

	for (size_t number_of = 1; p < end; number_of++) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		struct line l = { .p = p, .end = stop ? stop : end, .t = t };

		space(&l);
		if (l.p < l.end && request(&l, e) < 0)
			return err_in(e, "%s:%zu", path, number_of);
		p = stop ? stop + 1 : end;
	}
	return 0;
}

static int
slurp_stdin(struct buf *b, struct err *e)
{
	for (;;) {
		char *room = buf_room(b, 1 << 20);
		ssize_t n;

		if (!room || b->len > TRACE_MAX)
			return err_set(e, ERR_FAILED, "trace: too long");
		n = io_read(STDIN_FILENO, room, 1 << 20, e);
		if (n <= 0)
			return (int)n;
		b->len += (size_t)n;
	}
}

int
sim_trace_read(struct sim_trace *t, const char *path, struct err *e)
{
	struct buf b = { 0 };
	int r = strcmp(path, "-") ? io_slurp(path, &b, TRACE_MAX, e) : slurp_stdin(&b, e);

	if (r == 0)
		r = read_lines(t, path, &b, e);
	buf_free(&b);
	return r;
}
