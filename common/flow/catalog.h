#ifndef FLOW_CATALOG_H
#define FLOW_CATALOG_H

#include "chunk/chunk.h"
#include "conf/conf.h"
#include "dialect/dialect.h"
#include "index/index.h"
#include "store/store.h"

/*
 * What a store holds, as compact rows in memory (about 100 bytes a chunk), sorted so that the
 * ranks of one chunk stand together. Listings are made in parallel, from names and
 * sizes alone; headers are read when asked for.
 */
struct place {			/* a store and how its objects are to be read */
	struct store *store;
	const struct dialect *dialect;	/* never NULL after place_open() */
	struct dialect_ctx *ctx;
	char detected[160];	/* what was detected and should be said aloud; "" if told */
	int native;
	int quiet;		/* reading here is no use: for looking alone */
	struct index *index;	/* of the caller: where uses and puts are noted, or NULL */
};

/* Open a store by URL, "@name" resolved, ?dialect= and its arguments taken; hints (may be NULL)
 * are what the command line tells of bodies. Without ?dialect= the dialect is detected for
 * reading (an empty store is native); writing is native then, and ERR_USAGE where a store
 * holds something else. */
int place_open(struct place *p, const char *url, const struct store_opts *o,
	const struct dialect_opts *hints, struct err *e);
void place_close(struct place *p);

/* Are its objects files of a directory? */
int place_in_dir(const struct place *p);

/* The header of an object of a native place, read into b (room for a page at least) and its seal
 * checked; chunk_head_free() it. size, if not NULL, gets the object's. ERR_CORRUPT: it is none,
 * or longer than b; ERR_ABSENT. */
int place_head(struct place *p, const char *name, struct block *b, struct chunk_head *out,
	uint64_t *size, struct err *e);

/* Which chunks. Zero selects all. Texts are the caller's. */
struct select {
	const char *model;	/* shell pattern, also matched against '/' written as '_' or '-' */
	const char *dtype;
	int64_t tp, rank;	/* -1: any. (select_init) */
	const char *tenant;	/* NULL: any */
	double older_s, newer_s;	/* 0: any */
	uint64_t larger, smaller;	/* 0: any */
	const char *const *include, *const *exclude;	/* patterns of object names; NULL ends */
	const char *const *prefixes;	/* hash prefixes; NULL: any */
	size_t n_prefixes;
	int heads;		/* catalog_heads() will be wanted: bring them where that is cheap */
	const char *not_class;	/* leave out objects of this storage class; NULL */
	/* Hears of what is no chunk, one at a time, from any thread; or NULL. */
	int (*other)(void *ctx, enum dialect_what what, const struct store_item *it,
		struct err *e);
	void *other_ctx;
};
void select_init(struct select *s);
/* Does a chunk with this key, object name, size and write time belong? name may be NULL. */
int select_match(const struct select *s, const struct key *k, const char *name, uint64_t size,
	int64_t mtime_s);
/* Only what all rows of a group share. */
int select_group(const struct select *s, const struct key *k);

struct cat_group {		/* what the chunks of a listing share */
	char model[256], salt[129], dtype[16];
	uint32_t tp, group;
	char algo[64];
	int lossy;		/* model's '/' cannot be told from others */
};

struct cat_row {
	struct key_hash hash;
	uint8_t tier;		/* which of the places it was listed from; 0 */
	uint32_t group;		/* index of groups */
	uint32_t rank;
	int32_t layer;		/* layerwise objects of other dialects; -1 */
	uint32_t name;		/* offset in names; CAT_NATIVE: made from the key */
	int32_t hits;		/* uses, if the store counts them; -1 */
	uint64_t size;
	int64_t mtime_s, atime_s;
	float ttl_s;		/* -1: none */
	uint32_t brought;	/* number, from 1 on, of the header that came with the listing */
};
#define CAT_NATIVE UINT32_MAX

struct catalog {
	struct cat_group *groups;
	size_t n_groups;
	struct cat_row *rows;		/* sorted: group, hash, rank, layer, tier */
	size_t n;
	struct buf names;
	uint64_t bytes;			/* of all rows */
	uint64_t foreign, foreign_bytes;	/* objects that are no chunks */
	uint64_t litter;
	struct cat_head *brought;	/* headers that came with the listing */
	size_t n_brought, room_brought;
};

/* List a place. jobs 0: what the store likes. */
int catalog_read(struct catalog *c, struct place *p, const struct select *s, unsigned jobs,
	struct err *e);
void catalog_free(struct catalog *c);

/* Several tiers as one: takes n catalogs, whose rows get tiers 0 to n - 1. The same object in
 * several tiers is as many rows next to each other, the first tier's first; below, p is then
 * the array of places by tier. */
int catalog_merge(struct catalog *out, struct catalog *v, size_t n, struct err *e);
/* Is row i the same object as the row before it, in a lower tier? */
int catalog_is_copy(const struct catalog *c, size_t i);

/* A row's object name appended to out, and its key. */
int catalog_name(const struct catalog *c, const struct cat_row *r, struct buf *out);
void catalog_key(const struct catalog *c, const struct cat_row *r, struct key *out);

/* Rows [i, end) are the ranks (and layers) of one chunk. */
size_t catalog_chunk_end(const struct catalog *c, size_t i);
/* Different ranks among them. */
unsigned catalog_ranks(const struct catalog *c, size_t i, size_t end);

/* What a header tells, for rows of native places. */
struct cat_head {
	struct key_hash parent;
	uint64_t first_token;	/* CHUNK_UNKNOWN */
	uint32_t tokens, chunk_tokens;
	int64_t created, expires, priority;
	unsigned char state;	/* 0 ok, else an enum err_kind */
	unsigned char coded;	/* has a codec */
};

/* Keep a header that need not be read: its number for cat_row.brought, or 0 without memory. */
uint32_t catalog_bring(struct catalog *c, const struct cat_head *h);

/* Read the 4 KiB headers of all rows, in parallel, seals checked; heads[i] belongs to rows[i],
 * to be freed. Bad ones have their state; vanished ones ERR_ABSENT, those that
 * cannot be read (err_is_local()) what is said of them. What the listing brought is
 * not read again; c->brought may be handed on. */
int catalog_heads(struct catalog *c, struct place *p, unsigned jobs,
	struct cat_head **heads, struct err *e);

/* Row of the chunk (its first rank) with this hash in a group; SIZE_MAX: none. */
size_t catalog_find(const struct catalog *c, uint32_t group, const struct key_hash *h);

/* The chain that ends with the chunk at row head: rows of all its ranks, root first, in *order
 * (to be freed), *n of them. *missing: the first parent that is not there (len 0: complete). */
int catalog_chain(const struct catalog *c, struct place *p, size_t head, size_t **order, size_t *n,
	struct key_hash *missing, struct err *e);

/* Chain by chain: order[k] is an index of rows; parents before children, chains sorted by the
 * hash of their root, ranks of a chunk together. heads may be NULL: order of rows. To be freed. */
int catalog_chains(const struct catalog *c, const struct cat_head *heads, size_t **order,
	struct err *e);

#endif
