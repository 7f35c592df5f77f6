#ifndef FLOW_OUTBOX_H
#define FLOW_OUTBOX_H

#include "flow/flow.h"
#include "wire/wire.h"

/*
 * Chunks for one or several peers: a thread of its own reads the inputs, once, and every
 * peer's wire_source takes from its feed. What can be read later is not read before a peer wants
 * it: native objects of a store, and streams in files; only their headers are.
 */
struct outbox;

struct outbox_opts {
	struct pool *pool;
	unsigned peers;
	int shard;		/* each chunk to one peer: rank modulo peers; else to all */
	unsigned jobs;		/* headers read at once */
	double max_duration;	/* s; then the feeds end as if the inputs had. 0: none */
	/* An input's chunk could not be had; the others go on. Any thread. */
	void (*failed)(void *ctx, const struct err *why);
	void *ctx;
};

int outbox_open(struct outbox **out, const struct outbox_opts *o, struct err *e);
/* Inputs, before outbox_start(). A file with a stream (must be a regular file; the descriptor is
 * the caller's and stays open): */
int outbox_add_file(struct outbox *b, int fd, struct err *e);
/* Any source; takes it. fd: the pipe that it reads, to wait for; -1: none. */
int outbox_add_source(struct outbox *b, struct source *s, int fd, struct err *e);
/* Rows of a native place; all stay the caller's. Other dialects: source_place(). */
int outbox_add_place(struct outbox *b, struct place *p, const struct catalog *c,
	const size_t *order, size_t n, struct err *e);
int outbox_start(struct outbox *b, struct err *e);

/* What peer i takes from. After an input failed its next() ends with that error. */
struct wire_feed outbox_feed(struct outbox *b, unsigned i);
/* What peers are done with so far, and whether max_duration ended it. */
struct outbox_now {
	uint64_t chunks, bytes;
	int timed_out;
};
void outbox_look(struct outbox *b, struct outbox_now *now);
/* Peer i takes no more: its share is dropped. */
void outbox_leave(struct outbox *b, unsigned i);

/* Stops the reader; all feeds must be at rest. Safe on NULL. */
void outbox_close(struct outbox *b);

#endif
