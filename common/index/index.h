#ifndef INDEX_INDEX_H
#define INDEX_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"

/*
 * What a store cannot tell by itself about its objects: when each was last used and how
 * often, its parent, priority, pins. One index belongs to one store. It is a note, never
 * the truth: an object that is missing here is still there, and losing the index costs a
 * rebuild, never an object.
 *
 * Back ends: an SQLite file (the default; safe with many processes of one host) and
 * Redis or Valkey (many hosts). All functions may be called from several threads at once.
 */
struct index;

/* One object of the store. Texts are never NULL: "" is "not known". */
struct index_entry {
	const char *name;	/* the object's name in its store */
	uint64_t size;		/* bytes; 0 with created_s 0: known from accesses alone */
	int64_t created_s;	/* since 1970; 0 unknown */
	int64_t accessed_s;	/* 0: never since created */
	int64_t expires_s;	/* 0: never */
	uint64_t hits;		/* uses after the first */
	const char *hash;	/* chunk hash, lower-case hex */
	const char *parent;	/* hash of the chunk before it; "-": a root */
	uint32_t depth;		/* chunks before it in its chain */
	int32_t priority;	/* higher stays longer */
	const char *tenant;
	double cost;		/* seconds to compute it again; 0 unknown */
	const char *labels;	/* "name=value,name=value" */
	int pinned;		/* 1: not to be evicted */
	int64_t leased_s;	/* not to be evicted before this time; 0 */
};

/* Uses of one object: n more, the last of them at at_s (0: now). */
struct index_use {
	const char *name;
	uint64_t n;
	int64_t at_s;
};

enum index_flags {
	INDEX_READ	= 0,	/* ERR_ABSENT when there is none yet */
	INDEX_WRITE	= 1,	/* made when there is none */
	INDEX_RENEW	= 2,	/* with WRITE: looks for damage, and puts a damaged one aside */
};

/* Open the index of the store at store_url (as the user wrote it, @names resolved).
 * where: NULL or "auto" is $XDG_STATE_HOME/kvtools/index/<XXH3 of the URL>.db; a path
 * (or file:, sqlite: and a path) is an SQLite file; a redis, rediss, valkey, valkeys or
 * redis+unix URL is a server. ERR_CORRUPT: damaged (the text names the remedy);
 * ERR_USAGE: the index of another store, the database of another program; ERR_TEMP: server
 * unreachable, file locked. */
int index_open(struct index **out, const char *where, const char *store_url,
	unsigned flags, const struct conf *conf, struct err *e);
/* Writes what index_note() collected, and frees. -1: something noted was lost (e says
 * why); ix is freed all the same. Safe on NULL. */
int index_close(struct index *ix, struct err *e);

const char *index_where(const struct index *ix);	/* path or URL, safe to print */
int index_shared(const struct index *ix);		/* 1: other hosts write it too */
int index_writable(const struct index *ix);		/* 1: opened with INDEX_WRITE */

/* What names a store for ever, malloc'ed, or NULL: one store has one name, however its URL
 * spells its directory. */
char *index_identity(const char *store_url, const struct conf *conf, struct err *e);

/* Insert or replace n entries, all of them or none. What is already known is kept where
 * the new entry does not know it ("", 0), and hits and accessed_s never go down. */
int index_put(struct index *ix, const struct index_entry *v, size_t n, struct err *e);

/* Add uses. A name that has no entry gets one with size and created_s 0. */
int index_access(struct index *ix, const struct index_use *v, size_t n, struct err *e);

/* Forget n objects; those not there are no error. */
int index_remove(struct index *ix, const char *const *names, size_t n, struct err *e);

/* Pin (1) or unpin (0); lease until a time (0: no more). ERR_ABSENT: no such entry. */
int index_pin(struct index *ix, const char *name, int pinned, struct err *e);
int index_lease(struct index *ix, const char *name, int64_t until_s, struct err *e);

/* Every entry whose name begins with prefix ("" all), in the order asked for, in bounded
 * memory. Entry and texts live until each() returns; it may call any function here. It
 * returns 0 to go on, 1 for enough, -1 for failure (having set e). Entries put or removed
 * meanwhile may or may not be seen, others are seen once. */
enum index_order { INDEX_BY_NAME, INDEX_BY_ACCESS /* least recent first */ };
typedef int index_fn(void *ctx, const struct index_entry *x, struct err *e);
int index_each(struct index *ix, const char *prefix, enum index_order order,
	index_fn *each, void *ctx, struct err *e);

/* One entry: each() is called once. ERR_ABSENT: none of that name. */
int index_get(struct index *ix, const char *name, index_fn *each, void *ctx,
	struct err *e);

struct index_info {
	uint64_t entries;
	uint64_t bytes;		/* of all entries whose size is known */
	int64_t made_s;		/* when the index was begun */
	int64_t rebuilt_s;	/* when it last saw the whole store; 0 never */
	unsigned version;
};
int index_info(struct index *ix, struct index_info *out, struct err *e);

/*
 * Notes off the hot path: collected in memory (uses of one name are added up), written in
 * batches by a thread of the index after INDEX_NOTE_MAX names or INDEX_NOTE_S seconds,
 * and at close. That much is lost at most when the process is killed. A note copies what it
 * is given, waits only while the buffer is full, and never fails: errors come out of
 * index_flush() and index_close(). After an error nobody waits: what finds the buffer full
 * then is lost.
 */
#define INDEX_NOTE_MAX 1024
#define INDEX_NOTE_S 2.0
void index_note(struct index *ix, const char *name, uint64_t n, int64_t at_s);
void index_note_put(struct index *ix, const struct index_entry *x);
int index_flush(struct index *ix, struct err *e);	/* waits until all is written */

/*
 * A rebuild from the store itself: begin; index_put() of everything that is there, by
 * several writers if need be; end, which forgets what was not put since begin.
 * Without an end nothing is forgotten. dropped: how many were, may be NULL.
 */
int index_rebuild_begin(struct index *ix, struct err *e);
int index_rebuild_end(struct index *ix, uint64_t *dropped, struct err *e);

/* One entry as a JSON object (schema kv.index/1), without newline; and back: texts
 * of x then point into keep, which the caller frees after use. ERR_CORRUPT: not one. */
int index_entry_json(struct buf *out, const struct index_entry *x);
int index_entry_read(struct index_entry *x, struct buf *keep, const char *line, size_t n,
	struct err *e);

#endif
