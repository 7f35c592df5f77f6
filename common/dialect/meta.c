#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/num.h"
#include "dialect/row.h"

/* What LMCache puts before or beside a body: RemoteMetadata (lmcache/v1/protocol.py
 * @0851d06c), seven int32, and the 4096-byte block of its GDS backend (gds_backend.py
 * @000fcdc5). */

/* Codes of element types; 1 is an older word for what is written as 2. */
static const enum dtype codes[] = { DT_NONE, DT_F16, DT_F16, DT_BF16, DT_F32, DT_F64, DT_U8,
	DT_F8_E4M3FN, DT_F8_E5M2 };
#define CODES (sizeof(codes) / sizeof(*codes))

int
meta_read(struct meta *m, const void *p28, struct err *e)
{
	const unsigned char *p = p28;
	uint32_t code = get_le32(p + 8), length = get_le32(p);
	int i;

	*m = (struct meta){ .length = length, .fmt = get_le32(p + 4) };
	if (length > INT32_MAX || m->fmt > 64)
		return err_set(e, ERR_CORRUPT, "not an LMCache header: length %u, format %u",
			length, m->fmt);
	if (code >= CODES)
		return err_set(e, ERR_CORRUPT, "LMCache header: element type %u is not known",
			code);
	m->dtype = codes[code];
	for (i = 0; i < 4; i++) {
		m->shape[i] = get_le32(p + 12 + 4 * i);
		if (m->shape[i] > INT32_MAX)
			return err_set(e, ERR_CORRUPT, "LMCache header: negative shape");
	}
	return 0;
}

int
meta_write(void *p28, const struct meta *m, struct err *e)
{
	unsigned char *p = p28;
	uint32_t code = CODES, i;

	for (i = 1; i < CODES; i++)
		if (codes[i] == m->dtype)
			code = i;
	if (code == CODES)
		return err_set(e, ERR_USAGE, "LMCache's header has no code for %s: convert with "
			"--to-dtype", dtype_word(m->dtype));
	if (m->length > INT32_MAX)
		return err_set(e, ERR_USAGE, "LMCache's header counts at most 2 GiB");
	put_le32(p, (uint32_t)m->length);
	put_le32(p + 4, m->fmt);
	put_le32(p + 8, code == 1 ? 2 : code);
	for (i = 0; i < 4; i++)
		put_le32(p + 12 + 4 * i, m->shape[i]);
	return 0;
}

int
meta_of(struct meta *m, const struct chunk_head *h, struct err *e)
{
	const struct geom *g = &h->geom;
	uint64_t row = (uint64_t)g->heads * g->head_dim;

	*m = (struct meta){ .length = geom_bytes(g, h->tokens), .dtype = g->dtype,
		.fmt = g->kv == 1 ? META_MLA : META_2LTD,
		.shape = { g->kv, g->layers, (uint32_t)h->tokens, (uint32_t)row } };
	if (m->length == 0 || h->tokens > INT32_MAX || row > INT32_MAX)
		return err_set(e, ERR_USAGE, "LMCache's header cannot describe this chunk");
	return 0;
}

/* Element types by the words of GDS files. */
static const struct {
	const char *word;
	enum dtype dtype;
} words[] = {
	{ "F16", DT_F16 }, { "BF16", DT_BF16 }, { "F32", DT_F32 }, { "F64", DT_F64 },
	{ "U8", DT_U8 }, { "I8", DT_I8 }, { "F8E4M3FN", DT_F8_E4M3FN },
	{ "F8E5M2", DT_F8_E5M2 }, { "F8_E4M3", DT_F8_E4M3FN }, { "F8_E5M2", DT_F8_E5M2 },
};
#define WORDS (sizeof(words) / sizeof(*words))

static int
gds_word(struct meta *m, const struct json *j)
{
	size_t i;

	for (i = 0; i < WORDS; i++)
		if (json_is(j, words[i].word)) {
			m->dtype = words[i].dtype;
			return 0;
		}
	return -1;
}

static int
gds_number(const struct json *j, uint64_t max, uint64_t *out, struct err *e)
{
	char text[24];

	if (j->len >= sizeof(text))
		return err_set(e, ERR_CORRUPT, "GDS header: number too long");
	memcpy(text, j->text, j->len);
	text[j->len] = '\0';
	if (num_u64(out, text, 0, max, "GDS header", e) < 0) {
		if (e)
			e->kind = ERR_CORRUPT;
		return -1;
	}
	return 0;
}

/* [a, b, ...]: at most max of them; returns how many. */
static int
gds_numbers(struct json *j, uint64_t *v, int max, struct err *e)
{
	int t, n = 0;

	if ((t = json_next(j, e)) != JSON_ARRAY)
		return t < 0 ? -1 : err_set(e, ERR_CORRUPT, "GDS header: no list");
	while ((t = json_next(j, e)) == JSON_NUMBER)
		if (n == max || gds_number(j, INT64_MAX, &v[n++], e) < 0)
			return n == max ? err_set(e, ERR_CORRUPT, "GDS header: long list") : -1;
	if (t != JSON_ARRAY_END)
		return t < 0 ? -1 : err_set(e, ERR_CORRUPT, "GDS header: not numbers");
	return n;
}

static int
gds_member(struct meta *m, struct json *j, struct err *e)
{
	uint64_t v[4] = { 0 }, fmt;
	int n, i, t;

	if (json_is(j, "dtype")) {
		t = json_next(j, e);
		if (t < 0)
			return -1;
		if (t != JSON_STRING || gds_word(m, j) < 0)
			return err_set(e, ERR_CORRUPT, "GDS header: unknown dtype");
		return 0;
	}
	if (json_is(j, "fmt")) {
		t = json_next(j, e);
		if (t != JSON_NUMBER)
			return t < 0 ? -1 : err_set(e, ERR_CORRUPT, "GDS header: fmt is no number");
		if (gds_number(j, 64, &fmt, e) < 0)
			return -1;
		m->fmt = (uint32_t)fmt;
		return 0;
	}
	if (json_is(j, "shape") || json_is(j, "data_offsets")) {
		int shape = json_is(j, "shape");

		n = gds_numbers(j, v, shape ? 4 : 2, e);
		for (i = 0; shape && i < n; i++)
			m->shape[i] = (uint32_t)(v[i] <= INT32_MAX ? v[i] : 0);
		if (!shape && n == 2)
			m->length = v[1] - v[0];
		return n < 0 ? -1 : 0;
	}
	return json_skip(j, e);
}

int
gds_read(struct meta *m, const void *p4096, struct err *e)
{
	struct json j;
	int t;

	*m = (struct meta){ .fmt = META_2LTD };
	if (get_le64(p4096) != CHUNK_ALIGN - 8)
		return err_set(e, ERR_CORRUPT, "not a GDS file: its header is not 4096 bytes");
	json_open(&j, (const char *)p4096 + 8, CHUNK_ALIGN - 8);
	if (json_next(&j, e) != JSON_OBJECT)
		goto bad;
	while ((t = json_next(&j, e)) == JSON_NAME) {
		if (!json_is(&j, "kvcache")) {
			if (json_skip(&j, e) < 0)
				return -1;
			continue;
		}
		if (json_next(&j, e) != JSON_OBJECT)
			goto bad;
		while ((t = json_next(&j, e)) == JSON_NAME)
			if (gds_member(m, &j, e) < 0)
				return -1;
		if (t != JSON_OBJECT_END)
			goto bad;
	}
	if (t == JSON_OBJECT_END && m->dtype != DT_NONE && m->length > 0)
		return 0;
bad:
	return err_set(e, ERR_CORRUPT, "not a GDS file: no tensor 'kvcache' in its header");
}

int
gds_write(void *p4096, const struct meta *m, struct err *e)
{
	char *p = p4096;
	size_t i;
	int n;

	for (i = 0; i < WORDS && words[i].dtype != m->dtype; i++)
		;
	if (i == WORDS)
		return err_set(e, ERR_USAGE, "LMCache's GDS files have no word for %s: convert "
			"with --to-dtype", dtype_word(m->dtype));
	memset(p, ' ', CHUNK_ALIGN);
	put_le64(p, CHUNK_ALIGN - 8);
	n = snprintf(p + 8, CHUNK_ALIGN - 8, "{\"kvcache\": {\"dtype\": \"%s\", \"shape\": "
		"[%u, %u, %u, %u], \"data_offsets\": [0, %llu], \"fmt\": %u, "
		"\"__metadata__\": {\"lmcache_version\": \"1\"}}}", words[i].word, m->shape[0],
		m->shape[1], m->shape[2], m->shape[3], (unsigned long long)m->length, m->fmt);
	p[8 + n] = ' ';
	return 0;
}

/* Layers, tokens and width, wherever this form has them. */
static int
meta_parts(const struct meta *m, struct geom *g, uint64_t *tokens, uint32_t *width,
	struct err *e)
{
	const uint32_t *s = m->shape;

	g->kv = 2;
	g->layers = 1;
	switch (m->fmt) {
	case META_2LTD:
	case META_MLA:
		g->kv = s[0];
		g->layers = s[1];
		*tokens = s[2];
		*width = s[3];
		return 0;
	case META_T2D:
		*tokens = s[0];
		*width = s[2];
		return s[1] == 2 ? 0 : err_set(e, ERR_CORRUPT, "LMCache header: shape is not T2D");
	case META_2TD:
		*tokens = s[1];
		*width = s[2];
		return s[0] == 2 ? 0 : err_set(e, ERR_CORRUPT, "LMCache header: shape is not 2TD");
	case META_BINARY:
	case META_BINARY_BUFFER:
		return err_set(e, ERR_CORRUPT, "the body is coded by a serde of LMCache (format "
			"%u) that only LMCache can undo", m->fmt);
	}
	return err_set(e, ERR_CORRUPT, "LMCache header: format %u is not known", m->fmt);
}

int
meta_geom(const struct dialect_ctx *x, const struct key *k, const struct meta *m,
	struct geom *g, uint64_t *tokens, struct err *e)
{
	uint32_t width = 0;

	*g = (struct geom){ .dtype = m->dtype };
	if (meta_parts(m, g, tokens, &width, e) < 0)
		return -1;
	g->layers_total = g->layers;
	g->heads = g->heads_total = 1;
	g->head_dim = width;
	if (x->o.geom && g->kv == x->geom.kv) {
		struct geom part, whole = x->geom;

		if (geom_shard(&part, &whole, k->tp, k->rank, e) < 0)
			return -1;
		if ((uint64_t)part.heads * part.head_dim != width
			|| (m->fmt != META_T2D && m->fmt != META_2TD
			&& g->layers > part.layers_total))
			return err_set(e, ERR_CORRUPT, "the body has %u layers of %u elements a "
				"token, --geometry says %u of %u x %u", g->layers, width,
				part.layers, part.heads, part.head_dim);
		g->heads = part.heads;
		g->head_first = part.head_first;
		g->heads_total = part.heads_total;
		g->head_dim = part.head_dim;
		g->layers_total = part.layers_total > g->layers ? part.layers_total : g->layers;
	} else if (g->kv == 2) {	/* a rank's heads, how many is not known: taken as one */
		g->head_first = k->rank;
		g->heads_total = k->tp;
	}
	if (geom_check(g, e) < 0)
		return -1;
	if (geom_bytes(g, *tokens) != m->length || *tokens == 0)
		return err_set(e, ERR_CORRUPT, "header says %llu bytes, its shape %llu",
			(unsigned long long)m->length, (unsigned long long)geom_bytes(g, *tokens));
	return 0;
}
