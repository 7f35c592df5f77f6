#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/num.h"
#include "dialect/safetensors.h"

/* The format's element types in its own order, which is also the writer's sort key. */
static const struct {
	const char *word;
	unsigned bits;
} types[] = {
	{ "BOOL", 8 }, { "F4", 4 }, { "F6_E2M3", 6 }, { "F6_E3M2", 6 }, { "U8", 8 }, { "I8", 8 },
	{ "F8_E5M2", 8 }, { "F8_E4M3", 8 }, { "F8_E8M0", 8 }, { "F8_E4M3FNUZ", 8 },
	{ "F8_E5M2FNUZ", 8 }, { "I16", 16 }, { "U16", 16 }, { "F16", 16 }, { "BF16", 16 },
	{ "I32", 32 }, { "U32", 32 }, { "F32", 32 }, { "C64", 64 }, { "F64", 64 }, { "I64", 64 },
	{ "U64", 64 },
};
#define TYPES (sizeof(types) / sizeof(*types))
#define META_MAX 10000	/* each is compared with all before it */

static enum dtype
dtype_of(const char *word)
{
	if (!strcmp(word, "F8_E4M3FNUZ"))
		return DT_F8_E4M3FNUZ;
	if (!strcmp(word, "F8_E5M2FNUZ"))
		return DT_F8_E5M2FNUZ;
	return dtype_parse(word);
}

static int
wrong(struct err *e, const char *name, const char *why)
{
	return err_set(e, ERR_CORRUPT, "safetensors: tensor '%.80s': %s", name, why);
}

static int
number(const struct json *j, uint64_t *out)
{
	char text[24];

	if (j->len >= sizeof(text))
		return -1;
	memcpy(text, j->text, j->len);
	text[j->len] = '\0';
	return num_u64(out, text, 0, UINT64_MAX, "", NULL);
}

/* Numbers of a list, at most max; how many, or -1. */
static int
numbers(struct json *j, uint64_t *v, int max, const char *name, struct err *e)
{
	int n = 0, t = json_next(j, e);

	if (t < 0)
		return -1;
	if (t != JSON_ARRAY)
		return wrong(e, name, "a list was expected");
	while ((t = json_next(j, e)) == JSON_NUMBER)
		if (n == max || number(j, &v[n++]) < 0)
			return wrong(e, name, "too many numbers, or not whole ones");
	if (t < 0)
		return -1;
	return t == JSON_ARRAY_END ? n : wrong(e, name, "a list of numbers was expected");
}

static int
member(struct json *j, struct st_tensor *t, unsigned *seen, struct err *e)
{
	uint64_t v[2];
	int k, type;

	if (json_is(j, "dtype") && !(*seen & 1)) {
		*seen |= 1;
		type = json_next(j, e);
		if (type < 0)
			return -1;
		for (t->type = 0; t->type < TYPES; t->type++)
			if (type == JSON_STRING && json_is(j, types[t->type].word))
				break;
		if (t->type == TYPES)
			return wrong(e, t->name, "unknown dtype");
		t->dtype = dtype_of(types[t->type].word);
		return 0;
	}
	if (json_is(j, "shape") && !(*seen & 2)) {
		*seen |= 2;
		k = numbers(j, t->shape, SAFETENSORS_DIMS, t->name, e);
		t->dims = (unsigned)k;
		return k < 0 ? -1 : 0;
	}
	if (json_is(j, "data_offsets") && !(*seen & 4)) {
		*seen |= 4;
		k = numbers(j, v, 2, t->name, e);
		if (k < 0)
			return -1;
		if (k != 2 || v[0] > v[1])
			return wrong(e, t->name, "bad data_offsets");
		t->begin = v[0];
		t->end = v[1];
		return 0;
	}
	return wrong(e, t->name, "unknown or repeated member");
}

/* One bit more than the product's bytes would be a part of an element. */
static int
size_ok(const struct st_tensor *t)
{
	uint64_t n = types[t->type].bits;
	unsigned i;

	for (i = 0; i < t->dims; i++)
		if (__builtin_mul_overflow(n, t->shape[i], &n))
			return 0;
	return n % 8 == 0 && n / 8 == t->end - t->begin;
}

static void *
more(void *p, size_t n, size_t size)
{
	if (n & (n - 1))	/* room is doubled at powers of two */
		return p;
	return reallocarray(p, n ? 2 * n : 1, size);
}

static int
tensor(struct safetensors *s, struct json *j, struct buf *name, struct err *e)
{
	struct st_tensor *t = more(s->t, s->n, sizeof(*t));
	unsigned seen = 0;
	int k;

	if (!t)
		return err_sys(e, "safetensors");
	s->t = t;
	t += s->n;
	*t = (struct st_tensor){ .name = strdup(buf_text(name) ? name->p : "") };
	s->n++;
	if (name->fail || !t->name)
		return err_sys(e, "safetensors");
	if ((k = json_next(j, e)) != JSON_OBJECT)
		return k < 0 ? -1 : wrong(e, t->name, "an object was expected");
	while ((k = json_next(j, e)) == JSON_NAME)
		if (member(j, t, &seen, e) < 0)
			return -1;
	if (k < 0)
		return -1;
	if (seen != 7)
		return wrong(e, t->name, "dtype, shape or data_offsets is missing");
	return size_ok(t) ? 0 : wrong(e, t->name, "its size is not that of its shape");
}

static int
metadata(struct safetensors *s, struct json *j, struct err *e)
{
	struct buf name = { 0 }, value = { 0 };
	int k = json_next(j, e), r = -1;

	if (s->meta || k != JSON_OBJECT)
		return k < 0 ? -1 : wrong(e, "__metadata__", "one object was expected");
	while ((k = json_next(j, e)) == JSON_NAME) {
		name.len = value.len = 0;
		if (json_unescape(j, &name, e) < 0)
			goto done;
		k = json_next(j, e);
		if (k != JSON_STRING) {
			r = k < 0 ? -1 : wrong(e, "__metadata__", "only texts are allowed");
			goto done;
		}
		if (json_unescape(j, &value, e) < 0 || !buf_text(&name) || !buf_text(&value) ||
			safetensors_add_meta(s, name.p, value.p, e) < 0)
			goto done;
	}
	r = k < 0 ? -1 : 0;
done:
	buf_free(&name);
	buf_free(&value);
	return r;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct st_tensor *)a)->name, ((const struct st_tensor *)b)->name);
}

static int
by_offset(const void *a, const void *b)
{
	const struct st_tensor *x = *(const struct st_tensor *const *)a;
	const struct st_tensor *y = *(const struct st_tensor *const *)b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* No holes, no overlap, no data before, between or after. */
static int
covered(const struct safetensors *s, uint64_t data, struct err *e)
{
	const struct st_tensor **o = calloc(s->n + 1, sizeof(*o));
	uint64_t at = 0;
	size_t i;
	int r = 0;

	if (!o)
		return err_sys(e, "safetensors");
	for (i = 0; i < s->n; i++)
		o[i] = &s->t[i];
	qsort(o, s->n, sizeof(*o), by_offset);
	for (i = 0; i < s->n && r == 0; i++) {
		if (o[i]->begin != at)
			r = wrong(e, o[i]->name, "data has a hole or is used twice");
		at = o[i]->end;
	}
	if (r == 0 && at != data)
		r = err_set(e, ERR_CORRUPT, "safetensors: tensors end at byte %llu of %llu of data",
			(unsigned long long)at, (unsigned long long)data);
	free(o);
	return r;
}

static int
entries(struct safetensors *s, struct json *j, struct err *e)
{
	struct buf name = { 0 };
	int k, r = -1;

	if ((k = json_next(j, e)) != JSON_OBJECT)
		return k < 0 ? -1 : err_set(e, ERR_CORRUPT, "safetensors: header is no object");
	while ((k = json_next(j, e)) == JSON_NAME) {
		name.len = 0;
		if (json_unescape(j, &name, e) < 0)
			goto done;
		r = json_is(j, "__metadata__") ? metadata(s, j, e) : tensor(s, j, &name, e);
		if (r < 0)
			goto done;
	}
	r = k < 0 ? -1 : 0;
	if (r == 0 && (k = json_next(j, e)) != JSON_END)
		r = k < 0 ? -1 : err_set(e, ERR_CORRUPT, "safetensors: text after the header");
done:
	buf_free(&name);
	return r;
}

int
safetensors_parse(struct safetensors *s, const void *p, size_t n, uint64_t size, struct err *e)
{
	struct json j;
	uint64_t len;
	size_t i;

	*s = (struct safetensors){ 0 };
	len = n < 8 ? 0 : get_le64(p);
	if (n < 8 || len < 2 || len > SAFETENSORS_HEADER_MAX || len > size - 8 || len > n - 8)
		return err_set(e, ERR_CORRUPT, "safetensors: header length %llu of a file of %llu",
			(unsigned long long)len, (unsigned long long)size);
	if (((const char *)p)[8] != '{')
		return err_set(e, ERR_CORRUPT, "safetensors: header does not begin with '{'");
	json_open(&j, (const char *)p + 8, len);
	if (entries(s, &j, e) < 0)
		return -1;
	s->data = 8 + len;
	if (s->n)
		qsort(s->t, s->n, sizeof(*s->t), by_name);
	for (i = 1; i < s->n; i++)
		if (!strcmp(s->t[i - 1].name, s->t[i].name))
			return wrong(e, s->t[i].name, "named twice");
	return covered(s, size - s->data, e);
}

void
safetensors_free(struct safetensors *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		free(s->t[i].name);
	for (i = 0; i < s->n_meta; i++) {
		free(s->meta[i].name);
		free(s->meta[i].value);
	}
	free(s->t);
	free(s->meta);
	*s = (struct safetensors){ 0 };
}

const struct st_tensor *
safetensors_find(const struct safetensors *s, const char *name)
{
	struct st_tensor key = { .name = (char *)name };

	return s->n ? bsearch(&key, s->t, s->n, sizeof(*s->t), by_name) : NULL;
}

int
safetensors_add(struct safetensors *s, const char *name, enum dtype dtype,
	const uint64_t *shape, unsigned dims, struct err *e)
{
	const char *word = dtype_safetensors(dtype);
	struct st_tensor *t = more(s->t, s->n, sizeof(*t));
	uint64_t n;
	unsigned i;

	if (!t)
		return err_sys(e, "safetensors");
	s->t = t;
	t += s->n;
	*t = (struct st_tensor){ .name = strdup(name), .dtype = dtype, .dims = dims };
	if (!t->name)
		return err_sys(e, "safetensors");
	s->n++;
	for (t->type = 0; t->type < TYPES && strcmp(types[t->type].word, word);)
		t->type++;
	n = dtype_size(dtype);
	for (i = 0; i < dims; i++) {
		t->shape[i] = shape[i];
		if (__builtin_mul_overflow(n, shape[i], &n))
			return wrong(e, name, "too large");
	}
	t->end = n;
	return t->type < TYPES ? 0 : wrong(e, name, "no dtype");
}

int
safetensors_add_meta(struct safetensors *s, const char *name, const char *value, struct err *e)
{
	struct st_meta *m;
	size_t i;

	if (s->n_meta == META_MAX)
		return wrong(e, "__metadata__", "more than 10000 pairs");
	m = more(s->meta, s->n_meta, sizeof(*m));
	if (!m)
		return err_sys(e, "safetensors");
	s->meta = m;
	for (i = 0; i < s->n_meta; i++)
		if (!strcmp(m[i].name, name))
			return wrong(e, "__metadata__", "a name stands twice");
	m[i] = (struct st_meta){ strdup(name), strdup(value) };
	s->n_meta++;
	return m[i].name && m[i].value ? 0 : err_sys(e, "safetensors");
}

static int
by_type(const void *a, const void *b)
{
	const struct st_tensor *x = a, *y = b;

	if (x->type != y->type)
		return x->type > y->type ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void
entry(const struct st_tensor *t, struct buf *out)
{
	unsigned k;

	buf_json(out, t->name, strlen(t->name));
	buf_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", types[t->type].word);
	for (k = 0; k < t->dims; k++)
		buf_printf(out, "%s%llu", k ? "," : "", (unsigned long long)t->shape[k]);
	buf_printf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)t->begin,
		(unsigned long long)t->end);
}

int
safetensors_header(struct safetensors *s, struct buf *out, struct err *e)
{
	size_t start = out->len, i;
	uint64_t at = 0;

	buf_add(out, "\0\0\0\0\0\0\0", 8);
	buf_chr(out, '{');
	for (i = 0; i < s->n_meta; i++) {
		buf_str(out, i ? "," : "\"__metadata__\":{");
		buf_json(out, s->meta[i].name, strlen(s->meta[i].name));
		buf_chr(out, ':');
		buf_json(out, s->meta[i].value, strlen(s->meta[i].value));
	}
	if (s->n_meta)
		buf_chr(out, '}');
	if (s->n)
		qsort(s->t, s->n, sizeof(*s->t), by_type);
	for (i = 0; i < s->n; i++) {
		s->t[i].end = at + (s->t[i].end - s->t[i].begin);
		s->t[i].begin = at;
		at = s->t[i].end;
		if (i || s->n_meta)
			buf_chr(out, ',');
		entry(&s->t[i], out);
	}
	buf_chr(out, '}');
	while (!out->fail && (out->len - start) % 8)
		buf_chr(out, ' ');
	if (out->fail)
		return err_sys(e, "safetensors header");
	put_le64(out->p + start, out->len - start - 8);
	s->data = out->len - start;
	return 0;
}
