#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "chunk/coding.h"

/* The head's canonical region, with room for the payload behind it: n bytes in *out. */
static int
region_block(struct chunk_head *h, size_t payload, struct pool *p, struct block *out,
	struct err *e)
{
	struct buf b = { 0 };
	int rc = chunk_head_write(&b, h, e);

	if (rc == 0)
		rc = pool_extra(p, b.len + payload, out, e);
	if (rc == 0) {
		memcpy(out->p, b.p, b.len);
		out->len = b.len + payload;
	}
	buf_free(&b);
	return rc;
}

static int
is_canonical(const struct chunk *k)
{
	struct chunk_head h = k->head;
	struct buf b = { 0 };
	int same = chunk_head_write(&b, &h, NULL) == 0 && b.len == k->head.region &&
		!memcmp(b.p, k->mem.p, b.len);

	buf_free(&b);
	return same;
}

/* All parts one after the other into to; their lengths into parts. The total, 0 if
 * it does not shrink by a page at least. */
static size_t
encode_parts(struct codec_ctx *x, struct codec c, const struct chunk *k, unsigned char *to,
	uint64_t *parts, struct err *e)
{
	const struct chunk_head *h = &k->head;
	size_t n_parts = (size_t)h->geom.kv * h->geom.layers, i;
	size_t part = (size_t)(geom_row(&h->geom) * h->tokens), total = 0, len;

	e->kind = ERR_NONE;
	for (i = 0; i < n_parts; i++) {
		if (codec_encode_part(x, c, chunk_payload(k) + i * part, part,
		    (unsigned)dtype_size(h->geom.dtype), to + total, &len, e) < 0)
			return 0;
		parts[i] = len;
		total += len;
	}
	return total + CHUNK_ALIGN <= h->payload ? total : 0;
}

int
chunk_encode(struct codec_ctx *x, struct codec c, struct chunk *k, struct pool *p, struct err *e)
{
	struct chunk_head *h = &k->head, new;
	struct block coded = { 0 }, out = { 0 };
	struct err why = { 0 };
	size_t n_parts = (size_t)h->geom.kv * h->geom.layers, total;
	int rc = -1;

	c = codec_for(c, (unsigned)dtype_size(h->geom.dtype));
	if (c.kind == CODEC_NONE || *h->codec || *h->cipher || !is_canonical(k))
		return 0;
	if (chunk_head_copy(&new, h, e) < 0)
		return -1;
	new.parts = malloc(n_parts * sizeof(*new.parts));
	if (!new.parts) {
		err_set(e, ERR_FAILED, "encode: out of memory");
		goto free_new;
	}
	new.n_parts = n_parts;
	if (pool_extra(p, (size_t)h->payload, &coded, e) < 0)
		goto free_new;
	total = encode_parts(x, c, k, coded.p, new.parts, &why);
	if (!total) {
		rc = why.kind == ERR_NONE ? 0 : -1;
		if (rc < 0 && e)
			*e = why;
		goto put_coded;
	}
	strcpy(new.codec, codec_name(c.kind));
	new.raw_digest = h->digest;
	new.payload = total;
	digest_xxh3(&new.digest, coded.p, total);
	if (region_block(&new, total, p, &out, e) < 0)
		goto put_coded;
	memcpy(out.p + new.region, coded.p, total);
	pool_put(p, &k->mem);
	chunk_head_free(h);
	k->mem = out;
	k->hashed = 0;
	*h = new;
	pool_put(p, &coded);
	return 0;
put_coded:
	pool_put(p, &coded);
free_new:
	chunk_head_free(&new);
	return rc;
}

static int
decode_parts(struct codec_ctx *x, enum codec_kind kind, const struct chunk *k,
	unsigned char *to, struct err *e)
{
	const struct chunk_head *h = &k->head;
	size_t part = (size_t)(geom_row(&h->geom) * h->tokens), at = 0, i;

	for (i = 0; i < h->n_parts; i++) {
		if (codec_decode_part(x, kind, chunk_payload(k) + at, (size_t)h->parts[i],
		    to + i * part, part, e) < 0)
			return err_in(e, "chunk: part %zu", i);
		at += (size_t)h->parts[i];
	}
	return 0;
}

/* A few bytes that become very many are zeros at best; caches do not shrink like that. */
static int
is_bomb(const struct chunk_head *h)
{
	return h->raw_size > BOMB_SIZE && h->raw_size / BOMB_RATIO > h->payload;
}

int
chunk_decode(struct codec_ctx *x, struct chunk *k, struct pool *p, struct err *e)
{
	struct chunk_head *h = &k->head, new;
	struct digest128 found;
	struct block out = { 0 };
	struct codec c;
	char size[2][NUM_TEXT];

	if (!*h->codec && !*h->cipher)
		return 0;
	if (*h->cipher || codec_parse(&c, h->codec, NULL) < 0 || c.kind == CODEC_AUTO)
		return err_set(e, ERR_CORRUPT, "chunk: unknown %s '%.30s'",
			*h->cipher ? "cipher" : "codec", *h->cipher ? h->cipher : h->codec);
	if (is_bomb(h))
		return err_set(e, ERR_REFUSED, "chunk: %s that decode to %s: not decoded",
			num_size_text(size[0], h->payload), num_size_text(size[1], h->raw_size));
	if (chunk_head_copy(&new, h, e) < 0)
		return -1;
	*new.codec = 0;
	free(new.parts);
	new.parts = NULL;
	new.n_parts = 0;
	new.payload = h->raw_size;
	new.digest = h->raw_digest;
	memset(&new.raw_digest, 0, sizeof(new.raw_digest));
	if (region_block(&new, (size_t)new.payload, p, &out, e) < 0)
		goto free_new;
	if (decode_parts(x, c.kind, k, out.p + new.region, e) < 0)
		goto put_out;
	digest_xxh3(&found, out.p + new.region, (size_t)new.payload);
	if (!digest_equal(&found, &new.digest)) {
		err_set(e, ERR_CORRUPT, "chunk: decoded payload has another digest");
		goto put_out;
	}
	pool_put(p, &k->mem);
	chunk_head_free(h);
	k->mem = out;
	k->hashed = 0;
	*h = new;
	return 0;
put_out:
	pool_put(p, &out);
free_new:
	chunk_head_free(&new);
	return -1;
}

int
chunk_plain(struct chunk *k, struct pool *p, struct err *e)
{
	struct codec_ctx *x = codec_ctx_new(e);
	int rc = x ? chunk_decode(x, k, p, e) : -1;

	codec_ctx_free(x);
	return rc;
}
