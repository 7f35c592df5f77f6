#ifndef CHUNK_STREAM_H
#define CHUNK_STREAM_H

#include "chunk/chunk.h"

/*
 * kvstream(5): chunks one after another. A writer opens with a begin record and closes with
 * an end record; readers also take bare chunks (a chunk file is a stream of one) and
 * several streams one after the other. After a begin, end of input without an end is
 * ERR_CORRUPT, as are input of no bytes, and an abort record.
 */
struct stream_in;
struct stream_out;

/* fd stays the caller's. pool gives the blocks. */
int stream_in_open(struct stream_in **out, int fd, struct pool *pool, struct err *e);
void stream_in_close(struct stream_in *s);

/* Next chunk: 1 and *c (to be freed by chunk_free), 0 at the end, -1. The header is checked;
 * the payload has been hashed on its way in, while it is in the cache, but is for
 * chunk_verify() to judge. ticket: see base/pool. */
int stream_in_next(struct stream_in *s, uint64_t ticket, struct chunk *c, struct err *e);

/* The same for a regular file, whose payloads are stepped over: the next head (to be freed by
 * chunk_head_free) and where in the file its chunk begins. Not to be mixed with the above. */
int stream_in_skip(struct stream_in *s, struct chunk_head *h, uint64_t *off, struct err *e);

/* Complete data chunks seen so far, and bytes read. */
uint64_t stream_in_count(const struct stream_in *s);
uint64_t stream_in_bytes(const struct stream_in *s);

int stream_out_open(struct stream_out **out, int fd, struct err *e);	/* writes begin */
/* A lent chunk may only go into a pipe. */
int stream_out_put(struct stream_out *s, const struct chunk *c, struct err *e);
/* Writes end, or with why an abort record; frees s. */
int stream_out_close(struct stream_out *s, const struct err *why, struct err *e);

/* XXH3-128 over all seals put so far, hex: for summaries. */
void stream_out_seals(const struct stream_out *s, char hex[33]);

#endif
