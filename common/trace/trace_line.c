#include <string.h>

#include "base/buf.h"
#include "base/num.h"
#include "digest/digest.h"
#include "geom/geom.h"
#include "trace/trace.h"

/*
 * A reader of our own, as jansson takes longer than the replay; eight characters are looked at
 * at once. What it takes is JSON, but for escapes in names of members, which nobody writes.
 */
#define DEPTH_MAX 32
#define MOONCAKE_TOKENS 512		/* its blocks, where the trace does not say */
#define EACH(byte) (0x0101010101010101ull * (byte))

struct line {
	const char *p, *end;	/* 8 more bytes may be looked at, not taken */
	struct trace *t;
	double time;
	uint64_t tokens, chunk_tokens, chunk_bytes;
	uint64_t elements, element_size;	/* of shapes and dtypes */
	enum { NO_KEYS, MOONCAKE, LMCACHE, OURS } kind;
};

static inline void
space(struct line *l)
{
	while (l->p < l->end && *l->p <= ' ' && (*l->p == ' ' || *l->p == '\t' || *l->p == '\r'))
		l->p++;
}

static inline int
take(struct line *l, char c)
{
	if (l->p < l->end && *l->p == c) {
		l->p++;
		return 1;
	}
	space(l);
	if (l->p == l->end || *l->p != c)
		return 0;
	l->p++;
	return 1;
}

/* Top bits of the bytes that are c; of those above the lowest such byte some may be wrong. */
static inline uint64_t
equal(uint64_t v, char c)
{
	v ^= EACH((unsigned char)c);
	return (v - EACH(1)) & ~v & EACH(0x80);
}

/* A string without its quotes; escapes stay as they are. */
static int
text(struct line *l, const char **s, size_t *n)
{
	if (!take(l, '"'))
		return -1;
	*s = l->p;
	while (l->p < l->end) {
		uint64_t v = get_le64(l->p), stop = equal(v, '"') | equal(v, '\\');

		l->p += stop ? __builtin_ctzll(stop) / 8 : 8;
		if (!stop || l->p >= l->end)
			continue;
		if (*l->p == '"') {
			*n = (size_t)(l->p++ - *s);
			return 0;
		}
		l->p += 2;
	}
	return -1;
}

/* The digits at the start of these eight characters, at most seven, as a number; how many, or 0.
 * Made a number in three steps: pairs, fours, all (the carries of the products never meet). */
static inline int
digits(uint64_t v, uint64_t *out)
{
	uint64_t other;
	int n;

	v ^= EACH('0');
	other = ((v + EACH(0x76)) | v) & EACH(0x80);
	n = other ? __builtin_ctzll(other) / 8 : 0;
	if (!n)
		return 0;
	v <<= 64 - 8 * n;
	v = v * 10 + (v >> 8);
	*out = ((v & 0xff000000ff) * (100 + (1000000ull << 32)) +
		(v >> 16 & 0xff000000ff) * (1 + (10000ull << 32))) >> 32;
	return n;
}

/* A whole number below 2^64. */
static inline int
whole(struct line *l, uint64_t *out)
{
	uint64_t v = 0;
	const char *s;
	int n;

	space(l);
	n = digits(get_le64(l->p), out);
	if (n) {
		l->p += n;
		return l->p <= l->end ? 0 : -1;
	}
	for (s = l->p; l->p < l->end && *l->p >= '0' && *l->p <= '9'; l->p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (unsigned)(*l->p - '0'), &v))
			return -1;
	*out = v;
	return l->p > s ? 0 : -1;
}

static int
skip(struct line *l, int depth)
{
	const char *s;
	uint64_t v;
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
	s = l->p;
	if (whole(l, &v) == 0 && l->p < l->end && (*l->p == ',' || *l->p == '}'))
		return 0;
	for (; l->p < l->end && !strchr(",]} \t\r", *l->p); l->p++)
		;
	return l->p > s ? 0 : -1;
}

/* Whole numbers only where they count; fractions and exponents in times. */
static int
number(struct line *l, double *out, struct err *e)
{
	char digits[64];
	uint64_t v;
	size_t n = 0;
	const char *s;

	space(l);
	s = l->p;
	if (whole(l, &v) == 0 && l->p < l->end && (*l->p == ',' || *l->p == '}')) {
		*out = (double)v;
		return 0;
	}
	while (s < l->end && n < sizeof(digits) - 1 && strchr("+-.eE0123456789", *s) && *s)
		digits[n++] = *s++;
	l->p = s;
	digits[n] = '\0';
	if (num_double(out, digits, 0, 1e300, "time", NULL) < 0)
		return err_set(e, ERR_CORRUPT, "time '%s': not a number from 0 up", digits);
	return 0;
}

static int
key_name(struct line *l, uint64_t *name)
{
	struct digest128 d;
	const char *s;
	size_t n;

	space(l);
	if (l->p == l->end || *l->p != '"')
		return whole(l, name);
	if (text(l, &s, &n) < 0)
		return -1;
	digest_xxh3(&d, s, n);
	*name = get_le64(&d);
	return 0;
}

/* "17, 18, 19, " as far as it goes on like that and names are small: what most of a trace is. And
 * most names are the one before and one: of those, up to the next hundred, only the text is
 * compared, and none has to wait until the end of the one before is found. */
static void
key_run(struct line *l)
{
	struct trace *t = l->t;
	const char *p = l->p;
	uint32_t *ids = t->ids + t->n_refs, *small = t->small;
	uint64_t name, distinct = t->distinct;

	while (l->end - p >= 10 && distinct < MAP_NONE - 100) {
		uint64_t next = get_le64(p), mask, one, ten, last, more;
		int n = digits(next, &name), len;

		if (!n || name >= TRACE_SMALL || p[n] != ',')
			break;
		len = n + 1 + (p[n + 1] == ' ');
		mask = ~0ull >> (len < 8 ? 64 - 8 * len : 0);
		one = 1ull << 8 * (n - 1);
		ten = (one >> 8) - 9 * one;
		last = name % 10;
		more = n == 7 ? 0 : n > 1 ? 99 - name % 100 : 9 - last;
		for (;; more--, name++) {
			uint32_t id = small[name];

			if (!id)
				small[name] = id = (uint32_t)++distinct;
			*ids++ = id - 1;
			p += len;
			next += last < 9 ? one : ten;
			last = last < 9 ? last + 1 : 0;
			if (!more || l->end - p < 10 || (get_le64(p) ^ next) & mask)
				break;
		}
	}
	l->p = p;
	t->n_refs = (size_t)(ids - t->ids);
	t->distinct = distinct;
}

static int
key_list(struct line *l, struct err *e)
{
	struct trace *t = l->t;
	uint64_t name;
	uint32_t id;

	if (!take(l, '['))
		return -1;
	if (take(l, ']'))
		return 0;
	if (trace_room(t, (size_t)(l->end - l->p) / 2 + 1, e) < 0)	/* a key and its comma */
		return -1;
	do {
		key_run(l);
		if (key_name(l, &name) < 0 || (id = trace_number(t, name, e)) == MAP_NONE)
			return -1;
		t->ids[t->n_refs++] = id;
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
		if (!take(l, ']') || __builtin_add_overflow(l->elements, product, &l->elements))
			return -1;
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

static inline int
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
	struct trace *t = l->t;
	uint64_t tokens = l->chunk_tokens, bytes = l->chunk_bytes;

	if (!tokens && !t->block_tokens)
		tokens = MOONCAKE_TOKENS;
	if (!bytes && l->elements && l->element_size &&
	    __builtin_mul_overflow(l->elements, l->element_size, &bytes))
		return err_set(e, ERR_CORRUPT, "blocks of more bytes than can be");
	if (tokens > UINT32_MAX)
		return err_set(e, ERR_CORRUPT, "blocks of more than 4 billion tokens");
	if (tokens && t->block_tokens && tokens != t->block_tokens)
		return err_set(e, ERR_CORRUPT, "blocks of %llu tokens after blocks of %llu",
			(unsigned long long)tokens, (unsigned long long)t->block_tokens);
	if (!t->block_tokens)
		t->block_tokens = tokens;
	if (bytes && !t->block_bytes)
		t->block_bytes = bytes;
	return 0;
}

static int
request(struct line *l, struct err *e)
{
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
	return trace_end(l->t, l->kind == MOONCAKE ? l->time / 1000 : l->time, l->tokens, e);
}

int
trace_line(struct trace *t, const char *p, size_t n, struct err *e)
{
	struct line l = { .p = p, .end = p + n, .t = t };
	struct err why;

	space(&l);
	if (l.p == l.end)
		return 0;
	why.kind = ERR_NONE;
	if (request(&l, &why) == 0)
		return 0;
	return err_set(e, why.kind == ERR_NONE ? ERR_CORRUPT : why.kind, "%s",
		why.kind == ERR_NONE ? "not a request of a known trace format" : why.text);
}
