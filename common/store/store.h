#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/pool.h"
#include "base/uri.h"
#include "conf/conf.h"

/*
 * Opaque bytes under names. A store knows no chunk. Names are UTF-8 paths without a
 * leading '/', without empty, "." or ".." segments; store_name_check() says so before
 * any back end sees one. All functions may be called from several threads at once.
 * A put is atomic: whoever lists, stats or gets sees the whole object or none.
 */
struct store;

enum store_flags {
	STORE_READ	= 0,
	STORE_WRITE	= 1,	/* will put or delete */
	STORE_CREATE	= 2,	/* make the directory, bucket ... if it is not there */
	STORE_DIRECT	= 4,	/* O_DIRECT where the back end has it */
};

enum store_sync { STORE_SYNC_NONE, STORE_SYNC_DATA, STORE_SYNC_FULL };

struct store_opts {
	unsigned flags;
	enum store_sync sync;		/* file: none; fdatasync; file and directory */
	const struct conf *conf;	/* endpoint, region, retries, ...; may be NULL */
};

/* Open by URL. ERR_USAGE: no such scheme, directory or bucket. *out NULL on failure. */
int store_open(struct store **out, const char *url, const struct store_opts *o, struct err *e);
void store_close(struct store *s);

const char *store_url(const struct store *s);		/* safe to print */
const char *store_scheme(const struct store *s);	/* "file", "s3", "redis", "mem", ... */
/* How many operations at once this back end likes (disk 4, network 16 ...). */
unsigned store_jobs(const struct store *s);

/* What a listing or stat tells. Pointers live until the callback returns. */
struct store_item {
	const char *name;	/* a directory (STORE_LIST_DIRS) ends in '/' */
	uint64_t size;
	int64_t mtime_ns;	/* since 1970; 0 unknown */
	int64_t atime_ns;	/* 0: this back end cannot tell */
	double ttl_s;		/* seconds left to live; -1: no limit */
	int64_t hits;		/* use count if the back end keeps one (Redis LFU); -1 */
	unsigned char dir;	/* a common prefix, not an object */
	unsigned char litter;	/* a temporary or half-made thing, see store_sweep() */
	const char *class;	/* storage class, where a listing tells; NULL */
	const void *head;	/* STORE_LIST_HEADS: its first bytes; NULL: not brought */
	size_t n_head;		/* at most 4096 */
};

enum store_list_flags {
	STORE_LIST_DIRS	= 1,	/* one level only: objects here, and directories with dir set */
	STORE_LIST_FAST = 2,	/* names only; size and times may be left 0 */
	STORE_LIST_HEADS = 4,	/* with first bytes, where that costs little (directories) */
};

/* Every object whose name begins with prefix ("" all), each once, in no promised
 * order, litter left out. each() returns 0 to go on, 1 for enough, -1 for failure
 * (having set e). Objects that vanish meanwhile are left out. Returns 0 or -1. */
typedef int store_each(void *ctx, const struct store_item *it, struct err *e);
int store_list(struct store *s, const char *prefix, unsigned flags, store_each *each, void *ctx,
	struct err *e);

/* name, size and times; it->name is the caller's pointer. ERR_ABSENT: no such object. */
int store_stat(struct store *s, const char *name, struct store_item *it, struct err *e);

/* Bytes [off, off+len) of an object (len UINT64_MAX: to its end; a range past the end is cut
 * short) are appended to out. With a pool, out grows to fit (pool_grow); without, its capacity
 * must suffice: ERR_USAGE. seen, if set, is called with consecutive pieces as they
 * arrive, so that hashing is fused with reading; after a retry inside the store it is
 * never called twice for the same byte. ERR_ABSENT: no such object. */
struct store_get {
	struct pool *pool;
	struct block *out;
	void (*seen)(void *ctx, const void *p, size_t n);
	void *ctx;
	int blind;		/* size is not wanted: saves a look */
	uint64_t size;		/* out: the whole object's size */
};
int store_get(struct store *s, const char *name, uint64_t off, uint64_t len, struct store_get *g,
	struct err *e);

/* A descriptor to read an object from, the caller's to close. ERR_USAGE: objects are no files
 * here; ERR_ABSENT. */
int store_fd(struct store *s, const char *name, struct err *e);

/* Store the concatenation of iov under name. EXCL: returns 1 and stores nothing if the name
 * is there already; otherwise it is replaced. 0: stored. */
struct store_put {
	int excl;
	double ttl_s;		/* let the back end expire it, if it can; 0: no */
};
int store_put(struct store *s, const char *name, const struct iovec *iov, int n,
	const struct store_put *how, struct err *e);

/* Delete n objects. states[i]: 0 deleted, 1 was not there, -1 failed (the first failure
 * is in e). Returns 0, or -1 if any failed; what can be deleted is. */
int store_delete(struct store *s, const char *const *names, size_t n, signed char *states,
	struct err *e);

/* Note a use, where the back end keeps such a note (atime of files). No error if not. */
void store_touch(struct store *s, const char *name);

/* Remove litter: temporaries of killed writers, uploads never completed. At once where the writer
 * is known to be dead, never where it is known to live: temporaries that our writers hold
 * (file.h, FILE_HELD), uploads of this user on this host (s3_note.h). Else what is older than
 * min_age_s. each (may be NULL) hears of each before it is removed; dry: only hears. */
int store_sweep(struct store *s, double min_age_s, int dry, store_each *each, void *ctx,
	struct err *e);

/* Capacity and free bytes, 0 when the back end has no such notion. */
int store_space(struct store *s, uint64_t *total, uint64_t *free_bytes, struct err *e);

/* Advisory lock on the whole store under a short name ("evict"): ERR_TEMP with host, pid and age
 * of the holder if taken. A lock whose holder is a dead process of this host is taken over. */
int store_lock(struct store *s, const char *what, struct err *e);
void store_unlock(struct store *s, const char *what);

/* Well-formed name? ERR_REFUSED otherwise ("..", empty segments, NUL, control, > 1024 bytes). */
int store_name_check(const char *name, struct err *e);

#endif
