#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Block buffers under one bound. A copying run takes all its chunk-sized memory
 * here, so memory is bound by --mem whatever the input. Buffers are page-aligned
 * (O_DIRECT, registration), reused warm, and grow.
 *
 * Grants go in the order of tickets, so that ordered pipelines cannot deadlock:
 * a request waits until it is the lowest ticket waiting and fits under the bound;
 * when nothing is out, it is granted whatever its size.
 */
struct pool;

struct block {
	unsigned char *p;	/* 4096-aligned */
	size_t len;		/* bytes in use: the holder's to set */
	size_t cap;
};

int pool_open(struct pool **out, size_t max, struct err *e);
void pool_close(struct pool *p);	/* all blocks must be back */

/* A block of at least cap bytes, len 0. Waits; -1 on ERR_STOPPED, on pool_abort()
 * or without memory. Tickets are the caller's, growing from 0. */
int pool_get(struct pool *p, uint64_t ticket, size_t cap, struct block *out, struct err *e);
/* The same, but 1: there it is, 0: it would have to wait. */
int pool_try(struct pool *p, uint64_t ticket, size_t cap, struct block *out, struct err *e);
/* Make b at least cap bytes, keeping its len bytes; does not wait (counts over the
 * bound if it must, so that the holder of a block can always finish). */
int pool_grow(struct pool *p, struct block *b, size_t cap, struct err *e);
/* A second block for the holder of one; does not wait, like pool_grow. */
int pool_extra(struct pool *p, size_t cap, struct block *out, struct err *e);
void pool_put(struct pool *p, struct block *b);		/* zeroes *b; safe on zero */

/* Hear of each block whose memory is about to be freed: for who registered it with a device.
 * gone() is called with the pool's lock held, so it may not call the pool. */
struct pool_watch {
	void (*gone)(struct pool_watch *w, void *mem, size_t cap);
	struct pool_watch *next;	/* the pool's */
};
void pool_watch(struct pool *p, struct pool_watch *w);
void pool_unwatch(struct pool *p, struct pool_watch *w);	/* no gone() runs after it */

/* All that wait, and all later pool_get(), fail with a copy of why. */
void pool_abort(struct pool *p, const struct err *why);

#endif
