#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/stop.h"
#include "chunk/chunk.h"

#define PIECE (256u << 10)	/* fits the second-level cache */

void
chunk_free(struct chunk *c, struct pool *p)
{
	chunk_forget(c);
	pool_put(p, &c->mem);
}

void
chunk_forget(struct chunk *c)
{
	chunk_head_free(&c->head);
	if (c->lent)
		close(c->fd);
	c->lent = c->hashed = 0;
}

/* The head, of a chunk of size bytes whose region is in mem. */
static int
open_head(struct chunk *c, uint64_t size, struct err *e)
{
	size_t region;

	memset(&c->head, 0, sizeof(c->head));
	if (size < CHUNK_ALIGN)
		return err_set(e, ERR_CORRUPT, "chunk: truncated: %" PRIu64 " bytes are no header",
			size);
	region = chunk_region(c->mem.p, e);
	if (!region)
		return -1;
	if (region > size)
		return err_set(e, ERR_CORRUPT, "chunk: truncated: %" PRIu64 " bytes of a header of "
			"%zu", size, region);
	if (chunk_head_parse(&c->head, c->mem.p, region, e) < 0)
		return -1;
	if (size != chunk_size(c))
		return err_set(e, ERR_CORRUPT, "chunk: %s: %" PRIu64 " bytes, the header says %"
			PRIu64, size < chunk_size(c) ? "truncated" : "too long", size,
			chunk_size(c));
	return 0;
}

int
chunk_open(struct chunk *c, struct err *e)
{
	return open_head(c, c->mem.len, e);
}

/* The header region, however large, at the beginning of mem. */
static int
read_region(struct chunk *c, struct err *e)
{
	ssize_t got = io_pread(c->fd, c->mem.p, CHUNK_ALIGN, 0, e);
	size_t region = got == CHUNK_ALIGN ? chunk_region(c->mem.p, NULL) : 0;

	if (region > CHUNK_ALIGN)
		got = io_pread(c->fd, c->mem.p, region, 0, e);
	return got < 0 ? -1 : 0;
}

static int
sum_payload(struct chunk *c, struct err *e)
{
	struct digest_xxh3 *sum = digest_xxh3_new(e);
	uint64_t at = c->head.region, end = chunk_size(c);
	int rc = sum ? 0 : -1;

	while (rc == 0 && at < end) {
		size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;
		ssize_t got = io_pread(c->fd, c->mem.p, n, at, e);

		if (got < 0)
			rc = -1;
		else if ((size_t)got < n)
			rc = err_set(e, ERR_CORRUPT, "chunk: truncated while it was read");
		else if (stop_asked())
			rc = err_set(e, ERR_STOPPED, "stopped by a signal");
		else
			digest_xxh3_add(sum, c->mem.p, n);
		at += n;
	}
	if (rc == 0)
		digest_xxh3_end(sum, &c->found);
	c->hashed = rc == 0;
	digest_xxh3_free(sum);
	return rc;
}

int
chunk_open_file(struct chunk *c, int fd, struct err *e)
{
	struct stat st;

	c->lent = 1;
	c->fd = fd;
	c->mem.len = 0;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat");
	if (read_region(c, e) < 0 || open_head(c, (uint64_t)st.st_size, e) < 0 ||
	    sum_payload(c, e) < 0)
		return -1;
	return chunk_verify(c, e);
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
