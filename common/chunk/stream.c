#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "chunk/stream.h"

#define PIECE (256u << 10)	/* fits the second-level cache */

struct stream_in {
	int fd;
	struct pool *pool;
	struct digest_xxh3 *seals;	/* since begin */
	struct digest_xxh3 *sum;	/* of the payload being read */
	uint64_t count, bytes;		/* since begin */
	uint64_t total, read;		/* of all */
	int open;			/* after a begin, before its end */
	int records;			/* anything seen at all */
};

int
stream_in_open(struct stream_in **out, int fd, struct pool *pool, struct err *e)
{
	struct stream_in *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return err_sys(e, "stream");
	s->seals = digest_xxh3_new(e);
	s->sum = digest_xxh3_new(e);
	if (!s->seals || !s->sum) {
		stream_in_close(s);
		return -1;
	}
	s->fd = fd;
	s->pool = pool;
	*out = s;
	return 0;
}

void
stream_in_close(struct stream_in *s)
{
	if (!s)
		return;
	digest_xxh3_free(s->seals);
	digest_xxh3_free(s->sum);
	free(s);
}

uint64_t
stream_in_count(const struct stream_in *s)
{
	return s->total;
}

uint64_t
stream_in_bytes(const struct stream_in *s)
{
	return s->read;
}

static int
at_end(const struct stream_in *s, struct err *e)
{
	if (!s->records)
		return err_set(e, ERR_CORRUPT, "stream: empty input, not even a begin record");
	if (s->open)
		return err_set(e, ERR_CORRUPT, "stream ended without its end record after %" PRIu64
			" complete chunks", s->total);
	return 0;
}

/* n bytes or an error that says what was cut. */
static int
fill(struct stream_in *s, void *to, size_t n, const char *what, struct err *e)
{
	ssize_t got = io_read(s->fd, to, n, e);

	if (got < 0)
		return err_in(e, "stream");
	s->read += (uint64_t)got;
	if ((size_t)got < n)
		return err_set(e, ERR_CORRUPT, "stream truncated inside a %s at byte %" PRIu64
			" after %" PRIu64 " complete chunks", what, s->read, s->total);
	return 0;
}

/* The header region, into *region (the page given, or malloc'ed), its size; 0 at the end. */
static int
read_region(struct stream_in *s, char *page, char **region, size_t *n, struct err *e)
{
	ssize_t got = io_read(s->fd, page, CHUNK_ALIGN, e);

	*region = page;
	if (got < 0)
		return err_in(e, "stream");
	if (got == 0)
		return at_end(s, e) < 0 ? -1 : 0;
	*n = got >= 8 ? chunk_region(page, e) : CHUNK_ALIGN;
	if (!*n)
		return err_in(e, "stream at byte %" PRIu64, s->read);
	s->read += (uint64_t)got;
	if (got < CHUNK_ALIGN)
		return err_set(e, ERR_CORRUPT, "stream truncated inside a header at byte %" PRIu64
			" after %" PRIu64 " complete chunks", s->read, s->total);
	if (*n == CHUNK_ALIGN)
		return 1;
	*region = malloc(*n);
	if (!*region)
		return err_sys(e, "stream");
	memcpy(*region, page, CHUNK_ALIGN);
	return fill(s, *region + CHUNK_ALIGN, *n - CHUNK_ALIGN, "header", e) < 0 ? -1 : 1;
}

static int
take_record(struct stream_in *s, const struct chunk_head *h, struct err *e)
{
	struct digest128 seals;

	switch (h->kind) {
	case CHUNK_BEGIN:
		if (s->open)
			return err_set(e, ERR_CORRUPT, "stream: begin record inside a stream");
		s->open = 1;
		s->count = s->bytes = 0;
		digest_xxh3_begin(s->seals);
		return 0;
	case CHUNK_ABORT:
		return err_set(e, ERR_CORRUPT, "stream aborted by its producer: %s", h->reason);
	default:
		break;
	}
	digest_xxh3_end(s->seals, &seals);
	if (!s->open)
		return err_set(e, ERR_CORRUPT, "stream: end record without a begin");
	if (h->count != s->count || h->bytes != s->bytes || !digest_equal(&seals, &h->seals))
		return err_set(e, ERR_CORRUPT, "stream: end record says %" PRIu64 " chunks, %"
			PRIu64 " bytes; %" PRIu64 ", %" PRIu64 " came%s", h->count, h->bytes,
			s->count, s->bytes, h->count == s->count ? " with other seals" : "");
	s->open = 0;
	return 0;
}

static void
count(struct stream_in *s, const struct chunk_head *h)
{
	s->count++;
	s->total++;
	s->bytes += h->region + h->payload;
	digest_xxh3_add(s->seals, h->seal.b, sizeof(h->seal.b));
}

static int
read_payload(struct stream_in *s, uint64_t ticket, struct chunk *c, const char *region,
	struct err *e)
{
	struct chunk_head *h = &c->head;
	size_t n = h->region + (size_t)h->payload, at, piece;

	if (pool_get(s->pool, ticket, n, &c->mem, e) < 0)
		return -1;
	memcpy(c->mem.p, region, h->region);
	c->mem.len = n;
	digest_xxh3_begin(s->sum);
	for (at = h->region; at < n; at += piece) {
		piece = n - at < PIECE ? n - at : PIECE;
		if (fill(s, c->mem.p + at, piece, "payload", e) < 0)
			return -1;
		digest_xxh3_add(s->sum, c->mem.p + at, piece);
	}
	digest_xxh3_end(s->sum, &c->found);
	c->hashed = 1;
	count(s, h);
	return 1;
}

/* The next data chunk's head; records are taken in. Its region stays in *region, which may be
 * page. 1, 0, -1. */
static int
next_head(struct stream_in *s, char *page, char **region, struct chunk_head *h, struct err *e)
{
	size_t n = 0;
	int rc;

	do {
		memset(h, 0, sizeof(*h));
		rc = read_region(s, page, region, &n, e);
		if (rc != 1)
			break;
		rc = chunk_head_parse(h, *region, n, e);
		if (rc < 0)
			err_in(e, "stream at byte %" PRIu64, s->read - n);
		else if (h->kind != CHUNK_DATA)
			rc = take_record(s, h, e) < 0 ? -1 : 2;
		else
			rc = 1;
		s->records = 1;
		if (rc != 1)
			chunk_head_free(h);
		if (rc == 2 && *region != page)
			free(*region);
	} while (rc == 2);
	return rc;
}

int
stream_in_next(struct stream_in *s, uint64_t ticket, struct chunk *c, struct err *e)
{
	char page[CHUNK_ALIGN], *region = page;
	int rc;

	memset(c, 0, sizeof(*c));
	rc = next_head(s, page, &region, &c->head, e);
	if (rc == 1)
		rc = read_payload(s, ticket, c, region, e);
	if (region != page)
		free(region);
	if (rc != 1)
		chunk_free(c, s->pool);
	return rc;
}

static int
step_over(struct stream_in *s, const struct chunk_head *h, uint64_t *off, struct err *e)
{
	off_t at = lseek(s->fd, 0, SEEK_CUR);
	struct stat st;

	if (at < 0 || fstat(s->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_USAGE, "stream: not a regular file");
	if ((uint64_t)st.st_size - (uint64_t)at < h->payload)
		return err_set(e, ERR_CORRUPT, "stream truncated inside a payload after %" PRIu64
			" complete chunks", s->total);
	if (lseek(s->fd, (off_t)h->payload, SEEK_CUR) < 0)
		return err_sys(e, "stream");
	*off = (uint64_t)at - h->region;
	s->read += h->payload;
	count(s, h);
	return 1;
}

int
stream_in_skip(struct stream_in *s, struct chunk_head *h, uint64_t *off, struct err *e)
{
	char page[CHUNK_ALIGN], *region = page;
	int rc = next_head(s, page, &region, h, e);

	if (rc == 1)
		rc = step_over(s, h, off, e);
	if (region != page)
		free(region);
	if (rc < 0)
		chunk_head_free(h);
	return rc;
}

struct stream_out {
	int fd;
	struct digest_xxh3 *seals;
	uint64_t count, bytes;
};

static int
put_record(struct stream_out *s, struct chunk_head *h, struct err *e)
{
	struct buf b = { 0 };
	int rc = chunk_head_write(&b, h, e);

	if (rc == 0)
		rc = io_write(s->fd, b.p, b.len, e);
	buf_free(&b);
	return rc;
}

int
stream_out_open(struct stream_out **out, int fd, struct err *e)
{
	struct stream_out *s = calloc(1, sizeof(*s));
	struct chunk_head begin = { .kind = CHUNK_BEGIN };

	*out = NULL;
	if (!s)
		return err_sys(e, "stream");
	s->fd = fd;
	s->seals = digest_xxh3_new(e);
	if (!s->seals || put_record(s, &begin, e) < 0) {
		digest_xxh3_free(s->seals);
		free(s);
		return -1;
	}
	*out = s;
	return 0;
}

int
stream_out_put(struct stream_out *s, const struct chunk *c, struct err *e)
{
	int rc = c->lent ? io_splice(s->fd, c->fd, 0, (size_t)chunk_size(c), e) :
		io_write(s->fd, c->mem.p, c->mem.len, e);
	char hex[KEY_HEX];

	if (rc < 0 && e && e->kind == ERR_CORRUPT)
		return err_in(e, "chunk %.12s", key_hash_hex(hex, &c->head.key.hash));
	if (rc < 0)
		return -1;
	s->count++;
	s->bytes += chunk_size(c);
	digest_xxh3_add(s->seals, c->head.seal.b, sizeof(c->head.seal.b));
	return 0;
}

/* As much of a text as fits, and "..." if it does not: whole characters, '?' for what is none. */
static void
take_reason(char *out, size_t size, const char *text)
{
	size_t n = 0, with_dots = 0, len;

	for (; *text; text += len ? len : 1) {
		len = utf8_len(text, strlen(text));
		if (n + (len ? len : 1) >= size) {
			memcpy(out + with_dots, "...", 4);
			return;
		}
		memcpy(out + n, len ? text : "?", len ? len : 1);
		n += len ? len : 1;
		if (n + 4 <= size)
			with_dots = n;
	}
	out[n] = 0;
}

int
stream_out_close(struct stream_out *s, const struct err *why, struct err *e)
{
	struct chunk_head last = { .kind = why ? CHUNK_ABORT : CHUNK_END };
	int rc;

	if (!s)
		return 0;
	if (why) {
		take_reason(last.reason, sizeof(last.reason), why->text);
	} else {
		last.count = s->count;
		last.bytes = s->bytes;
		digest_xxh3_end(s->seals, &last.seals);
	}
	rc = put_record(s, &last, e);
	digest_xxh3_free(s->seals);
	free(s);
	return rc;
}

void
stream_out_seals(const struct stream_out *s, char hex[33])
{
	struct digest128 d;

	digest_xxh3_end(s->seals, &d);
	digest_hex(hex, &d);
}
