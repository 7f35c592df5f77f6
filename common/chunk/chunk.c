#include <inttypes.h>
#include <string.h>

#include "chunk/chunk.h"

void
chunk_free(struct chunk *c, struct pool *p)
{
	chunk_head_free(&c->head);
	pool_put(p, &c->mem);
}

int
chunk_open(struct chunk *c, struct err *e)
{
	size_t region;

	memset(&c->head, 0, sizeof(c->head));
	if (c->mem.len < CHUNK_ALIGN)
		return err_set(e, ERR_CORRUPT, "chunk: truncated: %zu bytes are no header",
			c->mem.len);
	region = chunk_region(c->mem.p, e);
	if (!region)
		return -1;
	if (region > c->mem.len)
		return err_set(e, ERR_CORRUPT, "chunk: truncated: %zu bytes of a header of %zu",
			c->mem.len, region);
	if (chunk_head_parse(&c->head, c->mem.p, region, e) < 0)
		return -1;
	if (c->mem.len != region + c->head.payload)
		return err_set(e, ERR_CORRUPT, "chunk: %s: %zu bytes, the header says %" PRIu64,
			c->mem.len < region + c->head.payload ? "truncated" : "too long",
			c->mem.len, region + c->head.payload);
	return 0;
}

int
chunk_verify(const struct chunk *c, struct err *e)
{
	char a[DIGEST128_HEX + 1], b[DIGEST128_HEX + 1];
	struct digest128 found;

	if (c->head.kind != CHUNK_DATA)
		return 0;
	if (c->hashed)
		found = c->found;
	else
		digest_xxh3(&found, chunk_payload(c), c->head.payload);
	if (digest_equal(&found, &c->head.digest))
		return 0;
	return err_set(e, ERR_CORRUPT, "chunk: payload is damaged: digest %s, found %s",
		digest_hex(a, &c->head.digest), digest_hex(b, &found));
}

/* Put the head's region in front of the payload that lies at mem.p + at. */
static int
write_region(struct chunk *c, struct pool *p, size_t at, struct err *e)
{
	struct buf b = { 0 };
	int rc = -1;

	if (chunk_head_write(&b, &c->head, e) < 0)
		goto free_b;
	if (b.len != at) {
		if (pool_grow(p, &c->mem, b.len + c->head.payload, e) < 0)
			goto free_b;
		memmove(c->mem.p + b.len, c->mem.p + at, c->head.payload);
	}
	memcpy(c->mem.p, b.p, b.len);
	c->mem.len = b.len + c->head.payload;
	rc = 0;
free_b:
	buf_free(&b);
	return rc;
}

int
chunk_seal(struct chunk *c, struct pool *p, struct err *e)
{
	struct chunk_head *h = &c->head;

	h->kind = CHUNK_DATA;
	c->hashed = 0;
	h->raw_size = h->payload = geom_bytes(&h->geom, h->tokens);
	if (h->payload == 0 || c->mem.len != CHUNK_ALIGN + h->payload)
		return err_set(e, ERR_FAILED, "chunk: %zu bytes for a payload of %" PRIu64,
			c->mem.len, h->payload);
	strcpy(h->key.dtype, dtype_word(h->geom.dtype));
	digest_xxh3(&h->digest, c->mem.p + CHUNK_ALIGN, h->payload);
	return write_region(c, p, CHUNK_ALIGN, e);
}

int
chunk_reseal(struct chunk *c, struct pool *p, struct err *e)
{
	return write_region(c, p, c->head.region, e);
}
