#ifndef DIALECT_DIALECT_H
#define DIALECT_DIALECT_H

#include <sys/uio.h>

#include "base/pool.h"
#include "base/uri.h"
#include "chunk/chunk.h"
#include "geom/layout.h"

/*
 * How engines name and encode the objects of a store. A dialect is one row: a word
 * ("lmcache-gds"), of a family ("lmcache"). Reading accepts every form of the family,
 * mixed as they come; writing makes exactly the form of the row. Nothing here does I/O.
 * Facts: LMCache lmcache/utils.py, lmcache/v1/protocol.py, lmcache/v1/storage_backend/,
 * lmcache/v1/distributed/; vLLM vllm/v1/kv_offload/, shared_storage (example) connector;
 * each codec's file names its own.
 */
struct dialect;

enum dialect_flags {
	DIALECT_NATIVE	= 1,	/* ours: bytes go through as they are */
	DIALECT_WRITES	= 2,	/* we can write it so that the engine reads it */
	DIALECT_SELF	= 4,	/* bodies tell their shape: no geometry needed */
	DIALECT_EXPORT	= 8,	/* one object holds a whole prompt: written by tensor_out */
	DIALECT_LEARNS	= 16,	/* has DIALECT_CONFIG objects */
};

/* By word, or by family ("lmcache") with the store's scheme ("file", "s3", "redis", ...)
 * choosing the usual form there. NULL if there is none. */
const struct dialect *dialect_find(const char *word, const char *scheme);
const struct dialect *dialect_at(size_t i);		/* all rows; NULL after the last */
const char *dialect_word(const struct dialect *d);
const char *dialect_family(const struct dialect *d);
const char *dialect_about(const struct dialect *d);	/* one line for help */
unsigned dialect_flags(const struct dialect *d);

/* ---- names ---- */

enum dialect_what {
	DIALECT_FOREIGN,	/* not of this family */
	DIALECT_CHUNK,		/* KV data: the whole chunk, or one layer of it */
	DIALECT_TWIN,		/* small object that goes with a chunk's data, same key */
	DIALECT_CONFIG,		/* tells about others: give it to dialect_learn() first */
	DIALECT_LITTER,		/* a temporary that a dead writer left */
};

struct dialect_name {
	const struct dialect *d;	/* the form this name has */
	enum dialect_what what;
	struct key key;		/* model as the name spells it; dtype "" where names have none;
				 * LMCache's tags are its salt: "name%value,name%value" */
	char algo[64];		/* "opaque:lmcache": see key/algo.h */
	int32_t layer;		/* layerwise objects; -1: all layers */
	unsigned char minus;	/* the hash was printed as a negative number */
	unsigned char lossy;	/* '/' of the model was replaced by something ambiguous */
};

/* What is this object, as an object of d's family? Returns n->what. size helps with
 * forms that names cannot tell apart; UINT64_MAX: not known. */
enum dialect_what dialect_name(const struct dialect *d, const char *name, uint64_t size,
	struct dialect_name *n);

/* Name of the object that belongs with this chunk's data (GDS .metadata, Redis metadata),
 * appended to out: to delete with it, and, where *needed, to read before it. 0: has none. */
int dialect_twin(const struct dialect_name *n, const char *name, struct buf *out, int *needed);

/* What dialect is a store in? Add names with sizes, a sample or all of them. */
#define DIALECT_MAX 40
struct dialect_detect {
	size_t seen, fits[DIALECT_MAX];
};
struct dialect_guess {
	const struct dialect *d;	/* most of the objects; NULL: none known */
	size_t seen, ours;		/* of them, of d's family */
	int sure;			/* all of them: never write on less */
	char text[160];			/* "lmcache-gds: 24 of 24 objects", for saying it aloud */
};
void dialect_detect_add(struct dialect_detect *t, const char *name, uint64_t size);
struct dialect_guess dialect_detect_end(const struct dialect_detect *t);

/* ---- bodies ---- */

/* What neither names nor bodies tell. */
struct dialect_opts {
	const struct geom *geom;	/* of the whole model (geom_read(), or a sibling's with
					 * heads_total, layers_total); NULL: not known */
	const char *model;		/* its true spelling; NULL: as the names have it */
	const char *algo;		/* of the hashes in names; NULL: see dialect_name.algo */
	uint64_t chunk_tokens;		/* 0: 256, or what config or body say */
	enum layout layout;		/* of engine pages; LAYOUT_NONE: not known */
	uint32_t block;			/* tokens a block of engine pages; 0: not known */
};

/* The opts that stand in a URL's arguments: model=, algo=, chunk-tokens=, layout=, block=.
 * Texts are the uri's. geometry= is for the caller (geom_read). ERR_USAGE. */
extern const char *const dialect_args[];	/* these and "dialect", "geometry"; NULL ends */
int dialect_opts_uri(struct dialect_opts *o, const struct uri *u, struct err *e);

/* State of reading or writing one store. Safe to use from several threads, except
 * dialect_learn(). Copies what it needs of o. */
struct dialect_ctx;
int dialect_open(struct dialect_ctx **out, const struct dialect *d, const struct dialect_opts *o,
	struct err *e);
void dialect_close(struct dialect_ctx *x);	/* safe on NULL */

/* Take in a DIALECT_CONFIG object (vLLM's config.json). */
int dialect_learn(struct dialect_ctx *x, const char *name, const void *p, size_t n,
	struct err *e);

/* The key as the chunk will have it: true model, dtype filled in where it is known. */
void dialect_key(const struct dialect_ctx *x, const char *name, const struct dialect_name *n,
	struct key *out);

/* Is enough known to read objects like this one? ERR_USAGE: geometry or layout must be given,
 * and how. */
int dialect_ready(const struct dialect_ctx *x, const struct dialect_name *n, struct err *e);

/* Can size be right? ERR_CORRUPT with the reason: shorter than a chunk, an LMCache encrypt
 * frame (29 bytes more), fp8 serde (half). 0 where nothing tells. */
int dialect_size_check(const struct dialect_ctx *x, const char *name, const struct dialect_name *n,
	uint64_t size, struct err *e);

/* Read an object of this size to offset dialect_front() of a block, and its payload will
 * lie at CHUNK_ALIGN: no copy. (Any other offset costs one move.) */
size_t dialect_front(const struct dialect_name *n, uint64_t size);

struct dialect_part {
	const char *name;
	struct dialect_name n;
	struct block mem;	/* the object's bytes from mem.p + front to mem.len */
	size_t front;
};

/* One chunk from its objects: one, with its twin if that is needed, or one a layer. Takes
 * the blocks. *out then has identity and geometry and the plain payload at CHUNK_ALIGN:
 * chunk_seal() finishes it. (Native: it is sealed already.) ERR_CORRUPT: it cannot be what
 * its name says; ERR_USAGE: geometry or layout must be given, and how. */
int dialect_read(const struct dialect_ctx *x, struct dialect_part *parts, size_t n,
	struct pool *pool, struct chunk *out, struct err *e);

/* Can a chunk with this head be written here? ERR_USAGE with the reason and the way out:
 * names of another hash family need tokens, an element type the format lacks ... */
int dialect_takes(const struct dialect_ctx *x, const struct chunk_head *h, struct err *e);

/* Objects to put for one chunk, in order. */
struct dialect_object {
	char *name;
	struct iovec iov[2];
	int n_iov;
	int once;		/* the same for many chunks: leave it if it is there */
};
struct dialect_out {
	struct dialect_object *obj;
	size_t n;
	/* private */
	struct buf small;	/* headers */
	struct block mem;	/* a converted payload */
};

/* c is plain (no codec) and stays the caller's; the iovecs point into it where layouts agree.
 * Free out in any case. */
int dialect_write(const struct dialect_ctx *x, const struct chunk *c, struct pool *pool,
	struct dialect_out *out, struct err *e);
void dialect_out_free(struct dialect_out *out, struct pool *pool);

#endif
