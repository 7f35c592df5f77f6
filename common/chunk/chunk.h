#ifndef CHUNK_CHUNK_H
#define CHUNK_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pool.h"
#include "digest/digest.h"
#include "geom/geom.h"
#include "key/key.h"

/*
 * kvchunk(5): a sealed safetensors file of one tensor "kvcache", in a store, in a bucket
 * and in a pipe the same bytes. A header region (8-byte length, JSON, spaces; a multiple
 * of 4096) and a payload. The payload is the neutral layout
 * [kv][layers][tokens][heads][head_dim], C order, little-endian, or its coded form.
 */

#define CHUNK_ALIGN 4096
#define CHUNK_HEADER_MAX (1u << 20)
#define CHUNK_PAYLOAD_MAX (1ull << 36)
#define CHUNK_UNKNOWN UINT64_MAX

enum chunk_kind {
	CHUNK_DATA,
	CHUNK_BEGIN,	/* opens a stream; these three have no tensor and are one page */
	CHUNK_END,	/* closes it: count, bytes, seals */
	CHUNK_ABORT,	/* closes it badly: reason */
};



struct chunk_head {
	enum chunk_kind kind;
	/* identity */
	struct key key;
	struct key_hash parent;		/* len 0: a root, or not known */
	char algo[64];			/* key/: algorithm and seed, "opaque" */
	uint64_t first_token;		/* CHUNK_UNKNOWN: names taken over do not tell */
	uint64_t tokens;
	uint64_t chunk_tokens;
	struct geom geom;
	/* life */
	int64_t created;		/* seconds since 1970; 0: not stated */
	int64_t expires;		/* 0: never */
	int64_t priority;		/* 0: not stated */
	double cost;			/* seconds to recompute; 0: not stated */
	/* coding; codec "" means the payload is the plain tensor */
	char codec[32];
	char cipher[32];
	uint64_t raw_size;		/* bytes of the plain tensor */
	struct digest128 raw_digest;	/* of the plain tensor; coded chunks only */
	uint64_t *parts;		/* lengths of coded parts, one a layer-half; malloc'ed */
	size_t n_parts;
	/* the bytes that follow */
	uint64_t payload;		/* bytes of the payload as stored */
	struct digest128 digest;	/* of the payload as stored */
	struct digest128 seal;	/* of the header region */
	size_t region;			/* bytes of the header region */
	/* records */
	uint64_t count;			/* end: chunks since begin */
	uint64_t bytes;			/* end: their bytes */
	struct digest128 seals;	/* end: XXH3-128 over their seals in order */
	char reason[200];		/* abort */
	/* everything else in __metadata__: labels, token_ids, k_scale, v_scale, what others
	 * put there; pairs of malloc'ed texts, sorted by name */
	struct chunk_meta { char *name, *value; } *meta;
	size_t n_meta;
};

void chunk_head_free(struct chunk_head *h);	/* frees what it holds and zeroes it */
int chunk_head_copy(struct chunk_head *to, const struct chunk_head *from, struct err *e);

/* Value of a metadata entry, or NULL; set replaces (NULL removes). Names that the format
 * itself uses are refused (ERR_USAGE). */
const char *chunk_meta_get(const struct chunk_head *h, const char *name);
int chunk_meta_set(struct chunk_head *h, const char *name, const char *value, struct err *e);

/* Bytes of the header region, from its first 8; 0 with ERR_CORRUPT if it cannot be one. */
size_t chunk_region(const void *first8, struct err *e);

/* Parse and check a whole region of n bytes: form, seal, that sizes multiply out.
 * ERR_CORRUPT with offset and reason. *h is initialised in any case; free it. */
int chunk_head_parse(struct chunk_head *h, const void *region, size_t n, struct err *e);

/* The canonical region for h, appended to out; sets h->seal and h->region. Same head,
 * same bytes. */
int chunk_head_write(struct buf *out, struct chunk_head *h, struct err *e);

/* A chunk in memory: mem holds region and payload one after the other, the file's bytes. */
struct chunk {
	struct chunk_head head;
	struct block mem;
	int hashed;			/* found is what the payload has turned out to be */
	struct digest128 found;
	int lent;			/* mem is empty: the bytes are those of the file fd */
	int fd;
};

static inline uint64_t
chunk_size(const struct chunk *c)
{
	return c->head.region + c->head.payload;
}

static inline unsigned char *
chunk_payload(const struct chunk *c)
{
	return c->mem.p + c->head.region;
}

void chunk_free(struct chunk *c, struct pool *p);	/* safe on zero */
void chunk_forget(struct chunk *c);	/* all but mem */

/* From mem alone (mem.len bytes): parse, check that the length is right. Takes mem. */
int chunk_open(struct chunk *c, struct err *e);
/* The same from a regular file, and the payload checked: it is read in pieces through mem, which
 * must have room for CHUNK_HEADER_MAX, and not kept; the chunk is lent. Takes fd in any case. */
int chunk_open_file(struct chunk *c, int fd, struct err *e);
/* Check the payload against the digest: ERR_CORRUPT names both. */
int chunk_verify(const struct chunk *c, struct err *e);

/* Finish a chunk whose plain payload lies at mem.p + CHUNK_ALIGN and whose head has its
 * identity: computes the digest, writes the region in front (moving the payload if the region
 * needs more than one page). */
int chunk_seal(struct chunk *c, struct pool *p, struct err *e);

/* Replace the header by a new one for a changed head (labels, expiry), payload untouched. */
int chunk_reseal(struct chunk *c, struct pool *p, struct err *e);

#endif
