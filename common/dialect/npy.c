#include <string.h>

#include "dialect/npy.h"

/* Element words; the first of a type is what is written. */
static const struct {
	const char *word;
	enum dtype dtype;
	unsigned size;
} words[] = {
	{ "<f2", DT_F16, 2 }, { "<f4", DT_F32, 4 }, { "<f8", DT_F64, 8 }, { "|u1", DT_U8, 1 },
	{ "|i1", DT_I8, 1 }, { "<u2", DT_NONE, 2 }, { "<V2", DT_NONE, 2 }, { "|V2", DT_NONE, 2 },
	{ "|V1", DT_U8, 1 },
};
#define WORDS (sizeof(words) / sizeof(*words))

struct text {
	const char *p, *end;
};

static int
bad(const char *why, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "npy: %s", why);
}

static void
blanks(struct text *t)
{
	while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t'))
		t->p++;
}

static int
eat(struct text *t, const char *word)
{
	size_t n = strlen(word);

	blanks(t);
	if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n))
		return 0;
	t->p += n;
	return 1;
}

/* 'word' or "word" into out. */
static int
quoted(struct text *t, char *out, size_t max)
{
	size_t n = 0;
	char q;

	blanks(t);
	if (t->p == t->end || (*t->p != '\'' && *t->p != '"'))
		return -1;
	for (q = *t->p++; t->p < t->end && *t->p != q; t->p++) {
		if (n + 1 == max || *t->p == '\\')
			return -1;
		out[n++] = *t->p;
	}
	out[n] = '\0';
	return t->p++ < t->end ? 0 : -1;
}

static int
digits(struct text *t, uint64_t *v)
{
	int any = 0;

	blanks(t);
	for (*v = 0; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++, any = 1)
		if (__builtin_mul_overflow(*v, 10, v)
			|| __builtin_add_overflow(*v, (uint64_t)(*t->p - '0'), v))
			return -1;
	if (any && t->p < t->end && *t->p == 'L')	/* as Python 2 wrote it */
		t->p++;
	return any ? 0 : -1;
}

static int
shape(struct text *t, struct npy *a, struct err *e)
{
	if (!eat(t, "("))
		return bad("shape is no tuple", e);
	while (!eat(t, ")")) {
		if (a->dims == NPY_DIMS || digits(t, &a->shape[a->dims]) < 0)
			return bad("bad shape", e);
		a->dims++;
		if (!eat(t, ",") && (a->dims == 1 || t->p == t->end || *t->p != ')'))
			return bad("bad shape", e);
	}
	return 0;
}

static int
member(struct text *t, struct npy *a, unsigned *seen, struct err *e)
{
	char name[16], word[16];
	size_t i;

	if (quoted(t, name, sizeof(name)) < 0 || !eat(t, ":"))
		return bad("header is no dict", e);
	if (!strcmp(name, "descr") && !(*seen & 1)) {
		*seen |= 1;
		if (quoted(t, word, sizeof(word)) < 0)
			return bad("descr is not one plain type", e);
		for (i = 0; i < WORDS && strcmp(words[i].word, word); i++)
			;
		if (i == WORDS)
			return err_set(e, *word == '>' ? ERR_USAGE : ERR_CORRUPT,
				"npy: elements '%s' cannot be read", word);
		a->dtype = words[i].dtype;
		a->size = words[i].size;
		return 0;
	}
	if (!strcmp(name, "fortran_order") && !(*seen & 2)) {
		*seen |= 2;
		if (eat(t, "True"))
			return err_set(e, ERR_USAGE, "npy: Fortran order: save with "
				"numpy.ascontiguousarray()");
		return eat(t, "False") ? 0 : bad("fortran_order is no truth value", e);
	}
	if (!strcmp(name, "shape") && !(*seen & 4)) {
		*seen |= 4;
		return shape(t, a, e);
	}
	return bad("unknown or repeated name in the header", e);
}

static int
header(struct text *t, struct npy *a, struct err *e)
{
	unsigned seen = 0;

	if (!eat(t, "{"))
		return bad("header is no dict", e);
	while (!eat(t, "}")) {
		if (member(t, a, &seen, e) < 0)
			return -1;
		blanks(t);
		if (!eat(t, ",") && (t->p == t->end || *t->p != '}'))
			return bad("header is no dict", e);
	}
	blanks(t);
	if (t->p != t->end || seen != 7)
		return bad("header is incomplete, or has more behind it", e);
	return 0;
}

int
npy_parse(struct npy *a, const void *p, size_t n, uint64_t size, struct err *e)
{
	const unsigned char *b = p;
	uint64_t len, bytes;
	struct text t;
	unsigned i;
	size_t at;

	memset(a, 0, sizeof(*a));
	if (n < 12 || memcmp(b, "\x93NUMPY", 6) || b[6] < 1 || b[6] > 3)
		return bad("no such file, or an unknown version", e);
	at = b[6] == 1 ? 10 : 12;
	len = b[6] == 1 ? get_le16(b + 8) : get_le32(b + 8);
	if (len > NPY_HEADER_MAX || len > n - at)
		return bad("header is longer than the file, or than 1 MiB", e);
	t.p = (const char *)b + at;
	t.end = t.p + len;
	if (header(&t, a, e) < 0)
		return -1;
	bytes = a->size;
	for (i = 0; i < a->dims; i++)
		if (__builtin_mul_overflow(bytes, a->shape[i], &bytes))
			return bad("shape overflows", e);
	a->data = at + len;
	if (bytes != size - a->data)
		return err_set(e, ERR_CORRUPT, "npy: %llu bytes of data, its shape has %llu",
			(unsigned long long)(size - a->data), (unsigned long long)bytes);
	return 0;
}

int
npy_header(struct buf *out, enum dtype dtype, const uint64_t *shape_of, unsigned dims,
	struct err *e)
{
	size_t start = out->len, i;
	const char *word = dtype_size(dtype) == 2 ? "<u2" : "|u1";
	unsigned k;

	for (i = 0; i < WORDS; i++)
		if (words[i].dtype == dtype && dtype != DT_NONE) {
			word = words[i].word;
			break;
		}
	buf_add(out, "\x93NUMPY\1\0\0\0", 10);
	buf_printf(out, "{'descr': '%s', 'fortran_order': False, 'shape': (", word);
	for (k = 0; k < dims; k++)
		buf_printf(out, "%s%llu", k ? ", " : "", (unsigned long long)shape_of[k]);
	buf_str(out, dims == 1 ? ",), }" : "), }");
	while (!out->fail && (out->len - start + 1) % 64)
		buf_chr(out, ' ');
	buf_chr(out, '\n');
	if (out->fail)
		return err_sys(e, "npy header");
	put_le16(out->p + start + 8, (uint16_t)(out->len - start - 10));
	return 0;
}
