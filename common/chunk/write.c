#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "chunk/fields.h"

size_t
chunk_region(const void *first8, struct err *e)
{
	uint64_t n = get_le64(first8);

	if (n > CHUNK_HEADER_MAX - 8) {
		err_set(e, ERR_CORRUPT, "chunk: header of %" PRIu64 " bytes at offset 0 is over %u "
			"(not a chunk?)", n, CHUNK_HEADER_MAX);
		return 0;
	}
	if (n < 2 || (n + 8) % CHUNK_ALIGN) {
		err_set(e, ERR_CORRUPT, "chunk: header region of %" PRIu64 " bytes is no multiple "
			"of %d (not a chunk?)", n + 8, CHUNK_ALIGN);
		return 0;
	}
	return (size_t)n + 8;
}

int
chunk_seal_of(struct digest128 *out, const char *region, size_t n, const char *seal)
{
	char page[CHUNK_ALIGN], *copy = n == CHUNK_ALIGN ? page : malloc(n);

	if (!copy)
		return -1;
	memcpy(copy, region, n);
	memset(copy + (seal - region), '0', DIGEST128_HEX);
	digest_xxh3(out, copy, n);
	if (copy != page)
		free(copy);
	return 0;
}

static int
all_zero(const void *p, size_t n)
{
	const unsigned char *b = p;

	while (n && !*b)
		b++, n--;
	return n == 0;
}

static int
is_empty(const struct chunk_head *h, const struct chunk_field *f)
{
	const void *at = (const char *)h + f->at;

	switch (f->type) {
	case TEXT:
		return !*(const char *)at;
	case HASH:
		return ((const struct key_hash *)at)->len == 0;
	case PARTS:
		return h->n_parts == 0;
	case U64:
		return *(const uint64_t *)at == CHUNK_UNKNOWN;
	default:
		return all_zero(at, f->size);
	}
}

/* The shortest decimal that reads back as v. */
static void
put_real(struct buf *b, double v)
{
	char text[40];
	int digits = 1;

	do {
		snprintf(text, sizeof(text), "%.*g", digits, v);
	} while (strtod(text, NULL) != v && ++digits <= 17);
	buf_str(b, text);
}

static void
put_value(struct buf *b, const struct chunk_head *h, const struct chunk_field *f)
{
	const void *at = (const char *)h + f->at;
	const uint32_t *span = at;
	char text[KEY_HEX];	/* the longest of all */
	size_t i;

	if (f->type == TEXT) {
		buf_json(b, at, strlen(at));
		return;
	}
	buf_chr(b, '"');
	switch (f->type) {
	case U32:
		buf_printf(b, "%" PRIu32, *span);
		break;
	case U64:
		buf_printf(b, "%" PRIu64, *(const uint64_t *)at);
		break;
	case I64:
		buf_printf(b, "%" PRId64, *(const int64_t *)at);
		break;
	case REAL:
		put_real(b, *(const double *)at);
		break;
	case TIME:
		buf_str(b, clock_text(text, *(const int64_t *)at));
		break;
	case HASH:
		buf_str(b, key_hash_hex(text, at));
		break;
	case DIGEST:
		buf_str(b, digest_hex(text, at));
		break;
	case SPAN:
		buf_printf(b, "%" PRIu32 ":%" PRIu32 "/%" PRIu32, span[1], span[0], span[2]);
		break;
	default:
		for (i = 0; i < h->n_parts; i++)
			buf_printf(b, "%s%" PRIu64, i ? "," : "", h->parts[i]);
	}
	buf_chr(b, '"');
}

static void
put_metadata(struct buf *b, const struct chunk_head *h, size_t *seal)
{
	const struct geom *g = &h->geom;
	int coded = *h->codec || *h->cipher;
	size_t i;

	buf_str(b, "\"__metadata__\":{\"kvchunk\":\"1\",\"seal\":\"");
	*seal = b->len;
	buf_str(b, "00000000000000000000000000000000\"");
	if (h->kind != CHUNK_DATA)
		buf_printf(b, ",\"record\":\"%s\"", chunk_records[h->kind]);
	for (i = 0; i < chunk_n_fields; i++) {
		const struct chunk_field *f = &chunk_fields[i];

		if (!(f->where & 1u << h->kind) || (!(f->where & CHUNK_NEEDED) && is_empty(h, f)))
			continue;
		buf_printf(b, ",\"%s\":", f->name);
		put_value(b, h, f);
	}
	if (h->kind == CHUNK_DATA && (coded || g->dtype == DT_F8_E4M3FNUZ ||
	    g->dtype == DT_F8_E5M2FNUZ))
		buf_printf(b, ",\"dtype\":\"%s\"", dtype_word(g->dtype));
	if (coded)
		buf_printf(b, ",\"shape\":\"%u,%u,%" PRIu64 ",%u,%u\"", g->kv, g->layers,
			h->tokens, g->heads, g->head_dim);
	for (i = 0; i < h->n_meta; i++) {
		buf_chr(b, ',');
		buf_json(b, h->meta[i].name, strlen(h->meta[i].name));
		buf_chr(b, ':');
		buf_json(b, h->meta[i].value, strlen(h->meta[i].value));
	}
	buf_chr(b, '}');
}

static void
put_tensor(struct buf *b, const struct chunk_head *h)
{
	const struct geom *g = &h->geom;

	buf_str(b, ",\"kvcache\":{\"dtype\":");
	if (*h->codec || *h->cipher)
		buf_printf(b, "\"U8\",\"shape\":[%" PRIu64 "]", h->payload);
	else
		buf_printf(b, "\"%s\",\"shape\":[%u,%u,%" PRIu64 ",%u,%u]",
			dtype_safetensors(g->dtype), g->kv, g->layers, h->tokens, g->heads,
			g->head_dim);
	buf_printf(b, ",\"data_offsets\":[0,%" PRIu64 "]}", h->payload);
}

int
chunk_head_write(struct buf *out, struct chunk_head *h, struct err *e)
{
	size_t start = out->len, seal = 0, n;
	char text[DIGEST128_HEX + 1], *to;

	buf_add(out, "\0\0\0\0\0\0\0\0{", 9);
	put_metadata(out, h, &seal);
	if (h->kind == CHUNK_DATA)
		put_tensor(out, h);
	buf_chr(out, '}');
	n = (out->len - start + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
	to = buf_room(out, start + n - out->len);
	if (!to)
		return err_set(e, ERR_FAILED, "chunk: out of memory");
	if (n > CHUNK_HEADER_MAX)
		return err_set(e, ERR_USAGE, "chunk: metadata of %zu bytes is over %u", n,
			CHUNK_HEADER_MAX);
	memset(to, ' ', start + n - out->len);
	out->len = start + n;
	put_le64(out->p + start, n - 8);
	if (chunk_seal_of(&h->seal, out->p + start, n, out->p + seal) < 0)
		return err_set(e, ERR_FAILED, "chunk: out of memory");
	memcpy(out->p + seal, digest_hex(text, &h->seal), DIGEST128_HEX);
	h->region = n;
	return 0;
}
