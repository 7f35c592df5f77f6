#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "base/pool.h"
#include "chunk/chunk.h"
#include "transport/transport.h"
#include "wire/proto.h"

/*
 * What kvsend and kvrecv say to each other, kvwire(5). A source offers chunks, the sink says
 * which it lacks, grants memory for them one by one, checks what arrives and acknowledges
 * each when it is stored. Whoever listens, data moves from source to sink.
 *
 * A session is one control connection and its lanes. It may break: the transfer (struct
 * source) outlives it, and what was not acknowledged is offered again in the next one.
 */

struct wire_opts {
	const struct conn_opts *conn;
	struct pool *pool;		/* all chunk memory; it bounds both ends */
	unsigned transports;		/* allowed, 1 << enum transport */
	unsigned wanted;		/* of these, asked for by name: their lack is told */
	const char *nic;
	unsigned lanes;			/* data connections or queue pairs; 0: as pays here */
	unsigned retries;		/* of a chunk; of a broken session, if reconnect */
	int reconnect;
	double until;			/* source: no chunk is begun after it, clock_mono(); 0 */
	uint64_t bwlimit;		/* source: bytes a second; 0: none */
	int layers;			/* source: order of layers, see kvwire(5) */
	uint64_t chunk_max;		/* sink: the largest chunk taken */
	uint64_t peer_max;		/* sink: bytes on their way from one peer, before the last
					 * grant; 0: what the pool has. Few blocks stay warm. */
	double stall_s;			/* sink: granted, and nothing came for so long: dropped */
	unsigned jobs;			/* source: loads at once; sink: stores at once */
	int bench;			/* source: the sink is to check chunks and drop them */
	/* Source: a line for people at the sink, asked for when all is settled. May be NULL. */
	const char *(*farewell)(void *ctx);
	void *farewell_ctx;
	/* A line for people: fallback, reconnect. Any thread. May be NULL. */
	void (*note)(void *ctx, const char *text);
	void *note_ctx;
};

#define WIRE_DEFAULT_TIMEOUT_S 60
#define WIRE_DEFAULT_STALL_S 300

/* One chunk on its way out. Where its bytes are: mem, or fd at fd_off, or (both none) to be
 * had by the feed's load(). */
struct wire_item {
	struct wire_offer offer;
	struct block mem;
	int fd;				/* -1: none */
	uint64_t fd_off;
	uint64_t layer_size;		/* of a layer's K or V; 0: not known, or coded */
	uint32_t layers;
	uint32_t kv;			/* 2: all layers' K, then all V; 1: MLA */
	void *own;			/* the feed's */
};

enum wire_end { WIRE_END_SENT, WIRE_END_HAD, WIRE_END_FAILED };

/* What a source sends. next and done are called from one thread or another, load from
 * several at once. */
struct wire_feed {
	void *ctx;
	/* The next chunk to offer: 1; 0: no more; 2: none yet (wait 0 only); -1: the rest cannot
	 * be had, what was offered is still sent. */
	int (*next)(void *ctx, int wait, struct wire_item **out, struct err *e);
	/* Bytes into it->mem, from the pool with this ticket; only for chunks that are wanted.
	 * May be called again after unload. NULL if none needs it. */
	int (*load)(void *ctx, struct wire_item *it, uint64_t ticket, struct err *e);
	/* The bytes are not needed for now: the session broke. NULL as load. */
	void (*unload)(void *ctx, struct wire_item *it);
	/* Settled. Takes the item back, and whatever is in mem, a block of the pool. */
	void (*done)(void *ctx, struct wire_item *it, enum wire_end how, const struct err *why);
};

struct wire_source;
/* o outlives it: wire_dial() may leave out transports in there. */
int wire_source_open(struct wire_source **out, const struct wire_feed *f, const struct wire_opts *o,
	struct err *e);
/* What is not settled is given to done() as failed, with why. */
void wire_source_close(struct wire_source *s, const struct err *why);
/* One session over c, whose TLS is up; c stays the caller's. 0: everything is settled (failed
 * chunks were told to done()). -1: the feed ended badly (its error), or the session broke:
 * it may be called again with another connection if e's kind is ERR_TEMP. door: see below,
 * NULL when c was dialled. */
struct wire_door;
int wire_source_run(struct wire_source *s, struct conn *c, struct wire_door *door, struct err *e);
const struct wire_totals *wire_source_totals(const struct wire_source *s);
/* "rdma, mlx5_0:1 -> ..."; "" before a session was up. Bits a second of the line or 0. */
const char *wire_source_transport(const struct wire_source *s, uint64_t *line);

/* Does the peer of the last session connect again when it was cut? */
int wire_source_returns(const struct wire_source *s);

/* What a sink does with chunks; any thread. */
struct wire_sink {
	void *ctx;
	int ordered;		/* put() in the order of the offers, one at a time a session */
	/* want[i] = 1 for those that are lacking. */
	int (*choose)(void *ctx, const struct wire_offer *const *o, size_t n, unsigned char *want,
		struct err *e);
	/* A chunk, checked. Takes it (its block goes back to the pool). 0: it is safe. -1: not;
	 * ERR_FAILED and ERR_REFUSED end the session, others fail the chunk alone. */
	int (*put)(void *ctx, struct chunk *c, struct err *e);
};

struct wire_run {
	unsigned char run[16];		/* the source's, the same after a reconnect */
	char peer[160];
	char transport[200];
	uint64_t line;
	int retries;			/* the source will connect again if cut */
	int ended;			/* the source said that there is no more */
	struct wire_totals totals;
};

/* One session over c, whose TLS is up. r is zero, or from an earlier session; its totals add
 * up if run is the same. 0: the source ended and everything was settled; r->totals.failed counts
 * what was not. -1: broken, or ended by the source's abort. */
int wire_sink_run(const struct wire_sink *k, const struct wire_opts *o, struct conn *c,
	struct wire_door *door, struct wire_run *r, struct err *e);

/* Connect, call run() with the connection, and when that fails for reasons that may pass (ERR_TEMP)
 * and o allows it, do so again: o->retries times without a success of progress() (chunks settled so
 * far) in between. A transport that broke two sessions is left out of o->transports if others
 * remain. */
struct wire_dial {
	const struct conn_addr *addr;
	struct wire_opts *opts;		/* as run() uses them */
	void *ctx;
	int (*run)(void *ctx, struct conn *c, struct err *e);
	uint64_t (*progress)(void *ctx);
	enum transport (*transport)(void *ctx);	/* of the last session; TRANSPORT_COUNT: none */
};
int wire_dial(const struct wire_dial *d, struct err *e);

/*
 * The listening side: takes connections, does their handshakes in threads of their own, brings
 * lanes to their sessions, and calls session() for each control connection, TLS up and the
 * magic read, in its thread. It may call wire_source_run() or wire_sink_run() with the door.
 */
struct wire_serve {
	struct listener *listener;
	unsigned max_conns;		/* at a time; more are closed */
	void *ctx;
	void (*session)(void *ctx, struct conn *c, struct wire_door *door);
	/* Somebody was turned away, and why. Any thread. May be NULL. */
	void (*refused)(void *ctx, const char *peer, const struct err *why);
	/* Asked after each session, and several times a second; 1: no more connections. */
	int (*enough)(void *ctx);
};
/* Until enough, or a stop: then sessions are shut, and waited for. */
int wire_serve(const struct wire_serve *s, const struct conn_opts *o, struct err *e);

#endif
