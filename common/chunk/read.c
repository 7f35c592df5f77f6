#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/num.h"
#include "chunk/fields.h"

struct reader {
	struct json j;
	struct chunk_head *h;
	uint64_t seen;		/* bits of chunk_fields[] */
	size_t next;		/* the field that comes next in a canonical header */
	const char *name;	/* of the current pair, in the header or in text */
	size_t name_len;
	int escaped;		/* the name was */
	char text[256];
	const char *seal;
	char version[16];
	char record[16];
	char dtype[32];
	char shape[128];
	enum dtype tensor_dtype;
	int tensor, metadata;
	uint64_t dims[5];
	int n_dims;
	uint64_t offsets[2];
};

static int
corrupt(const struct reader *r, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "chunk: %s at offset %zu", what,
		(size_t)(r->j.p - r->j.begin) + 8);
}

static int
next_is(struct reader *r, int type, const char *what, struct err *e)
{
	int t = json_next(&r->j, e);

	return t < 0 ? -1 : t == type ? 0 : corrupt(r, what, e);
}

/* The current string into out[size]; -1 if too long, escaped badly or with a NUL. */
static int
take_text(struct reader *r, char *out, size_t size, struct err *e)
{
	struct buf b = { 0 };
	int rc = -1;

	if (!r->j.escaped && r->j.len < size) {
		memcpy(out, r->j.text, r->j.len);
		out[r->j.len] = 0;
		return 0;
	}
	if (json_unescape(&r->j, &b, e) == 0 && b.len < size && buf_text(&b)) {
		memcpy(out, b.p, b.len + 1);
		rc = 0;
	} else {
		corrupt(r, "text too long", e);
	}
	buf_free(&b);
	return rc;
}

static int
take_field(struct reader *r, const struct chunk_field *f, struct err *e)
{
	void *at = (char *)r->h + f->at;
	char text[64];
	uint64_t v;

	if (f->type == TEXT)
		return take_text(r, at, f->size, e);
	if (f->type == PARTS)
		return chunk_take_parts(r->h, r->j.text, r->j.len) < 0 ?
			corrupt(r, "bad list of parts", e) : 0;
	if (f->type == HASH)
		return key_hash_read(at, r->j.text, r->j.len, e);
	if (f->type == DIGEST)
		return digest_read(at, r->j.text, r->j.len) < 0 ? corrupt(r, "bad digest", e) : 0;
	if (take_text(r, text, sizeof(text), e) < 0)
		return -1;
	switch (f->type) {
	case U32:
		if (chunk_take_u64(text, strlen(text), &v) < 0 || v > UINT32_MAX)
			return corrupt(r, "bad number", e);
		*(uint32_t *)at = (uint32_t)v;
		return 0;
	case U64:
		return chunk_take_u64(text, strlen(text), at) < 0 ? corrupt(r, "bad number", e) : 0;
	case I64:
		return num_i64(at, text, INT64_MIN, INT64_MAX, f->name, e);
	case REAL:
		return num_double(at, text, 0, 1e15, f->name, e);
	case TIME:
		return clock_read(at, text, e);
	default:
		return chunk_take_span(text, at) < 0 ? corrupt(r, "bad span", e) : 0;
	}
}

static int
take_other(struct reader *r, size_t i, struct err *e)
{
	char *const at[] = { r->version, NULL, r->record, r->dtype, r->shape };
	const size_t size[] = { sizeof(r->version), 0, sizeof(r->record), sizeof(r->dtype),
		sizeof(r->shape) };

	if (at[i])
		return *at[i] ? corrupt(r, "name twice", e) : take_text(r, at[i], size[i], e);
	if (r->seal || r->j.len != DIGEST128_HEX || r->j.escaped ||
	    digest_read(&r->h->seal, r->j.text, r->j.len) < 0)
		return corrupt(r, "bad seal", e);
	r->seal = r->j.text;
	return 0;
}

static int
take_unknown(struct reader *r, struct err *e)
{
	struct buf v = { 0 };
	char name[256];
	int rc = -1;

	if (r->name_len >= sizeof(name))
		return corrupt(r, "text too long", e);
	memcpy(name, r->name, r->name_len);
	name[r->name_len] = 0;
	if (chunk_meta_get(r->h, name)) {
		corrupt(r, "name twice", e);
	} else if (json_unescape(&r->j, &v, e) == 0) {
		if (!buf_text(&v) || chunk_meta_set(r->h, name, v.p, e) < 0) {
			if (e)
				e->kind = ERR_CORRUPT;
		} else {
			rc = 0;
		}
	}
	buf_free(&v);
	return rc;
}

/* Index of the field that the current name is, or chunk_n_fields. */
static size_t
field_of(const struct reader *r)
{
	size_t i = r->next, k;

	for (k = 0; k < chunk_n_fields; k++, i++) {
		if (i == chunk_n_fields)
			i = 0;
		if (chunk_fields[i].name_len == r->name_len &&
		    !memcmp(chunk_fields[i].name, r->name, r->name_len))
			return i;
	}
	return k;
}

static size_t
other_of(const struct reader *r)
{
	size_t i = 0;

	while (i < N_OTHERS && (strlen(chunk_others[i]) != r->name_len ||
	    memcmp(chunk_others[i], r->name, r->name_len) != 0))
		i++;
	return i;
}

/* On to the next name and its value, a string. 1, 0: there is none, -1 */
static int
next_pair(struct reader *r, struct err *e)
{
	int t;

	r->escaped = 0;
	if (json_plain_pair(&r->j, &r->name, &r->name_len))
		return 1;
	t = json_next(&r->j, e);
	if (t != JSON_NAME)
		return t < 0 ? -1 : 0;
	r->name = r->j.text;
	r->name_len = r->j.len;
	r->escaped = r->j.escaped;
	if (r->escaped) {
		if (take_text(r, r->text, sizeof(r->text), e) < 0)
			return -1;
		r->name = r->text;
		r->name_len = strlen(r->text);
	}
	return next_is(r, JSON_STRING, "metadata must be strings", e) < 0 ? -1 : 1;
}

/* names of the format are never escaped */
static int
read_pair(struct reader *r, struct err *e)
{
	size_t field = r->escaped ? chunk_n_fields : field_of(r), other;

	if (field < chunk_n_fields) {
		r->next = field + 1;
		if (r->seen & 1ull << field)
			return corrupt(r, "name twice", e);
		r->seen |= 1ull << field;
		return take_field(r, &chunk_fields[field], e);
	}
	other = r->escaped ? N_OTHERS : other_of(r);
	return other < N_OTHERS ? take_other(r, other, e) : take_unknown(r, e);
}

static int
read_metadata(struct reader *r, struct err *e)
{
	int t;

	if (r->metadata++)
		return corrupt(r, "name twice", e);
	if (next_is(r, JSON_OBJECT, "'__metadata__' is no object", e) < 0)
		return -1;
	while ((t = next_pair(r, e)) == 1)
		if (read_pair(r, e) < 0)
			return -1;
	return t;
}

/* "[1,2,3]" of at most max numbers; returns how many */
static int
read_numbers(struct reader *r, uint64_t *out, int max, struct err *e)
{
	int n = 0, t;

	if (next_is(r, JSON_ARRAY, "a list was expected", e) < 0)
		return -1;
	while ((t = json_next(&r->j, e)) == JSON_NUMBER) {
		if (n == max || chunk_take_u64(r->j.text, r->j.len, &out[n++]) < 0)
			return corrupt(r, "bad number in a list", e);
	}
	return t < 0 ? -1 : t == JSON_ARRAY_END ? n : corrupt(r, "bad list", e);
}

static int
read_tensor(struct reader *r, struct err *e)
{
	char word[32];
	int t, parts = 0;

	if (r->tensor++)
		return corrupt(r, "name twice", e);
	if (next_is(r, JSON_OBJECT, "a tensor must be an object", e) < 0)
		return -1;
	while ((t = json_next(&r->j, e)) == JSON_NAME) {
		if (json_is(&r->j, "dtype")) {
			parts |= 1;
			if (next_is(r, JSON_STRING, "bad dtype", e) < 0 ||
			    take_text(r, word, sizeof(word), e) < 0)
				return -1;
			r->tensor_dtype = dtype_parse(word);
		} else if (json_is(&r->j, "shape")) {
			parts |= 2;
			r->n_dims = read_numbers(r, r->dims, 5, e);
			if (r->n_dims < 0)
				return -1;
		} else if (json_is(&r->j, "data_offsets")) {
			parts |= 4;
			if (read_numbers(r, r->offsets, 2, e) != 2)
				return corrupt(r, "bad data_offsets", e);
		} else {
			return corrupt(r, "unknown member of a tensor", e);
		}
	}
	return t < 0 ? -1 : parts == 7 ? 0 : corrupt(r, "incomplete tensor", e);
}

static int
read_top(struct reader *r, struct err *e)
{
	int t;

	if (next_is(r, JSON_OBJECT, "header is no JSON object", e) < 0)
		return -1;
	while ((t = json_next(&r->j, e)) == JSON_NAME) {
		int rc = json_is(&r->j, "__metadata__") ? read_metadata(r, e) :
			json_is(&r->j, "kvcache") ? read_tensor(r, e) :
			corrupt(r, "unknown tensor", e);

		if (rc < 0)
			return -1;
	}
	return t < 0 ? -1 : next_is(r, JSON_END, "text after the header", e);
}

/* ---- does it make sense? ---- */

static int
check_record(struct reader *r, struct err *e)
{
	struct chunk_head *h = r->h;

	if (r->tensor)
		return err_set(e, ERR_CORRUPT, "chunk: record with a tensor");
	if (h->region != CHUNK_ALIGN)
		return err_set(e, ERR_CORRUPT, "chunk: record of %zu bytes", h->region);
	return 0;
}

/* Shape of the plain tensor: the tensor's own, or for coded payloads the metadata's. */
static int
take_shape(struct reader *r, struct err *e)
{
	struct geom *g = &r->h->geom;
	uint64_t *d = r->dims;
	int i;

	if (*r->h->codec || *r->h->cipher) {
		if (r->tensor_dtype != DT_U8 || r->n_dims != 1 ||
		    d[0] != r->offsets[1] || !*r->shape || !*r->dtype)
			return err_set(e, ERR_CORRUPT, "chunk: coded payload is no U8 tensor with "
				"dtype and shape");
		r->n_dims = chunk_take_list(r->shape, ',', d, 5);
	} else if (*r->shape || r->h->n_parts) {
		return err_set(e, ERR_CORRUPT, "chunk: shape or parts without a codec");
	}
	g->dtype = *r->dtype ? dtype_parse(r->dtype) : r->tensor_dtype;
	if (r->n_dims != 5)
		return err_set(e, ERR_CORRUPT, "chunk: shape has not 5 dimensions");
	for (i = 0; i < 5; i++)
		if (d[i] > UINT32_MAX)
			return err_set(e, ERR_CORRUPT, "chunk: dimension too large");
	g->kv = (uint32_t)d[0];
	g->head_dim = (uint32_t)d[4];
	if (geom_check(g, e) < 0)
		return -1;
	if (d[1] != g->layers || d[2] != r->h->tokens || d[3] != g->heads ||
	    (!*r->h->codec && !*r->h->cipher &&
	     strcmp(dtype_safetensors(g->dtype), dtype_safetensors(r->tensor_dtype)) != 0))
		return err_set(e, ERR_CORRUPT, "chunk: shape or dtype contradicts the metadata");
	return 0;
}

static int
check_sizes(struct reader *r, struct err *e)
{
	struct chunk_head *h = r->h;
	uint64_t sum = 0;
	size_t i;

	h->payload = r->offsets[1];
	h->raw_size = geom_bytes(&h->geom, h->tokens);
	if (r->offsets[0] != 0 || h->payload > CHUNK_PAYLOAD_MAX || h->raw_size == 0 ||
	    h->raw_size > CHUNK_PAYLOAD_MAX)
		return err_set(e, ERR_CORRUPT, "chunk: impossible payload size");
	if (!*h->codec && !*h->cipher)
		return h->payload == h->raw_size ? 0 : err_set(e, ERR_CORRUPT,
			"chunk: payload of %" PRIu64 " bytes, the shape says %" PRIu64,
			h->payload, h->raw_size);
	for (i = 0; i < h->n_parts; i++)
		if (__builtin_add_overflow(sum, h->parts[i], &sum))
			break;
	if (*h->codec && (i < h->n_parts || h->n_parts != (uint64_t)h->geom.kv * h->geom.layers ||
	    (!*h->cipher && sum != h->payload)))
		return err_set(e, ERR_CORRUPT, "chunk: lengths of the parts do not add up");
	return 0;
}

static int
check_data(struct reader *r, struct err *e)
{
	struct chunk_head *h = r->h;

	if (!r->tensor)
		return err_set(e, ERR_CORRUPT, "chunk: no tensor 'kvcache'");
	if (h->tokens == 0 || h->tokens > h->chunk_tokens || h->chunk_tokens > 1u << 20)
		return err_set(e, ERR_CORRUPT, "chunk: %" PRIu64 " tokens of %" PRIu64, h->tokens,
			h->chunk_tokens);
	if (take_shape(r, e) < 0)
		return -1;
	strcpy(h->key.dtype, dtype_word(h->geom.dtype));
	if (key_check(&h->key, e) < 0)
		return err_in(e, "chunk");
	return check_sizes(r, e);
}

static int
check_fields(struct reader *r, struct err *e)
{
	unsigned bit = 1u << r->h->kind;
	size_t i;

	for (i = 0; i < chunk_n_fields; i++) {
		const struct chunk_field *f = &chunk_fields[i];

		if (r->seen & 1ull << i && !(f->where & bit))
			return err_set(e, ERR_CORRUPT, "chunk: '%s' in a record", f->name);
		if (!(r->seen & 1ull << i) && f->where & bit && f->where & CHUNK_NEEDED)
			return err_set(e, ERR_CORRUPT, "chunk: no '%s' in the metadata", f->name);
	}
	return r->h->kind == CHUNK_DATA ? check_data(r, e) : check_record(r, e);
}

static int
check_seal(struct reader *r, const char *region, size_t n, struct err *e)
{
	struct digest128 found;
	char a[DIGEST128_HEX + 1], b[DIGEST128_HEX + 1];

	if (!*r->version)
		return err_set(e, ERR_CORRUPT, "chunk: no 'kvchunk' in the metadata (another "
			"program's safetensors file?)");
	if (strcmp(r->version, "1") != 0)
		return err_set(e, ERR_CORRUPT, "chunk: version %s, this reader knows 1",
			r->version);
	if (!r->seal)
		return err_set(e, ERR_CORRUPT, "chunk: no seal");
	if (chunk_seal_of(&found, region, n, r->seal) < 0)
		return err_set(e, ERR_FAILED, "chunk: out of memory");
	if (digest_equal(&found, &r->h->seal))
		return 0;
	return err_set(e, ERR_CORRUPT, "chunk: header is damaged: seal %s, found %s",
		digest_hex(a, &r->h->seal), digest_hex(b, &found));
}

static int
parse(struct chunk_head *h, const void *region, size_t n, struct err *e)
{
	struct reader r = { .h = h };

	if (n < CHUNK_ALIGN)
		return err_set(e, ERR_CORRUPT, "chunk: truncated header of %zu bytes", n);
	h->region = chunk_region(region, e);
	if (!h->region)
		return -1;
	if (h->region != n)
		return err_set(e, ERR_CORRUPT, "chunk: header of %zu bytes where %zu are",
			h->region, n);
	json_open(&r.j, (const char *)region + 8, n - 8);
	if (read_top(&r, e) < 0)
		return err_in(e, "header");
	if (check_seal(&r, region, n, e) < 0)
		return -1;
	while (h->kind < 4 && strcmp(chunk_records[h->kind], r.record) != 0)
		h->kind++;
	if (h->kind == 4)
		return err_set(e, ERR_CORRUPT, "chunk: unknown record '%s'", r.record);
	return check_fields(&r, e);
}

int
chunk_head_parse(struct chunk_head *h, const void *region, size_t n, struct err *e)
{
	memset(h, 0, sizeof(*h));
	h->first_token = CHUNK_UNKNOWN;
	if (parse(h, region, n, e) == 0)
		return 0;
	if (e && e->kind == ERR_USAGE)	/* a bad number is bad data here */
		e->kind = ERR_CORRUPT;
	return -1;
}
