#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/pool.h"
#include "transport/conn.h"

/*
 * How the bytes of chunks get from a source's memory into a sink's memory. A session
 * (wire/) has one control connection (conn.h) and one fabric: a transport as this
 * session uses it, with its devices open and its memory registered. A fabric has
 * lanes, each one way from source to sink and each with a thread of its own.
 *
 * The sink grants a block for each chunk that it wants: fabric_grant() gives an opaque
 * text of bytes (address and keys for verbs, nothing for sockets) that wire/ carries to
 * the source, where it comes back in struct lane_piece. The source writes pieces; the
 * sink's lane thread hears of them through struct lane_in.
 *
 * Failure is simple on purpose: a lane that returns -1 is finished. No lane needs to tell
 * which of its pieces arrived: wire/ acknowledges whole chunks, end to end, over the
 * control connection, and sends by another lane, or in another session, what was not. A
 * block is used again only after its chunk is complete, or after the lane was dropped
 * or the fabric closed.
 */

enum transport { TRANSPORT_TCP, TRANSPORT_SHM, TRANSPORT_VERBS, TRANSPORT_COUNT };

const char *transport_word(enum transport t);		/* "tcp", "shm", "rdma" */
int transport_parse(enum transport *t, const char *word, struct err *e);	/* ERR_USAGE */

/* The transports that a list in UCX_TLS syntax permits, as a set of 1 << enum transport:
 * "rc,sm", "^tcp", "\\rc_verbs", "all". Aliases and their members as in UCX 1.17
 * src/ucp/core/ucp_context.c; unknown names are ignored, as there, unless none is left:
 * ERR_USAGE. Names of devices' transports (cuda, rocm, gaudi ...) permit nothing here. */
int transport_ucx(unsigned *set, const char *list, struct err *e);

/* In order of preference; a set as above. */
#define TRANSPORT_ALL ((1u << TRANSPORT_COUNT) - 1)
unsigned transport_built(void);			/* those that this program has */

#define FABRIC_TOKEN 16		/* bytes of a session's secret name */
#define FABRIC_GRANT 96		/* most bytes of a grant */
#define FABRIC_TICKET 512	/* most bytes of what a listener tells about itself */
#define FABRIC_LANES 64

struct fabric_opts {
	const struct conn_opts *conn;	/* for lanes that are connections: TLS, time-outs */
	struct pool *pool;		/* blocks come from here; see pool_watch() */
	const char *nic;		/* UCX_NET_DEVICES: "mlx5_0:1,eth0", "^mlx5_1"; NULL any */
	unsigned lanes;			/* 1 .. FABRIC_LANES */
	double timeout_s;		/* no progress for so long is ERR_TEMP */
	int source;			/* this end sends */
	const char *near;		/* verbs: device_path() of the device whose memory moves,
					 * for choosing ports; NULL: host memory */
};

struct fabric;
struct lane;

/* The first bytes of a connection that is to be a lane; then come index (u32), zero (u32)
 * and the session's token. The rest of kvwire(5) begins with another magic. */
#define LANE_MAGIC "KVLANE\1\n"
#define LANE_HELLO 32

/* Bytes of a transfer on their way. p stays as it is until the sink acknowledged the whole
 * transfer or the fabric was closed. p NULL: take them from fd at fd_off, if fabric_files(). */
struct lane_piece {
	uint32_t id;			/* of the transfer: counts from 0 in each session */
	uint64_t off;			/* where in the sink's block */
	const unsigned char *p;
	size_t len;			/* at most the grant's rest; verbs cuts it further */
	int fd;
	uint64_t fd_off;
	const unsigned char *grant;	/* what fabric_grant() gave at the sink */
	size_t n_grant;
	const struct block *block;	/* of the fabric's pool, that p lies in: registered once for
					 * all its pieces; NULL: foreign memory, registered for this
					 * piece alone, and lane_send() waits until it has left */
};

/* What a sink's lane thread calls, from that thread. */
struct lane_in {
	void *ctx;
	/* Where the bytes go, or NULL with e: no such transfer, out of range. Called once before
	 * the arrived() of its len bytes; verbs asks when they are there already. */
	unsigned char *(*place)(void *ctx, uint32_t id, uint64_t off, size_t len, struct err *e);
	/* len bytes more of a transfer are there, at off, or somewhere (LANE_SOMEWHERE: verbs
	 * with immediate data). They may be reported in parts. -1 ends the lane. */
	int (*arrived)(void *ctx, uint32_t id, uint64_t off, size_t len, struct err *e);
};
#define LANE_SOMEWHERE UINT64_MAX

/* Could this host do it: 0, or -1 and e says what is missing ("no active port", "libibverbs:
 * not built in"); ERR_TEMP: it has none, and nothing is wrong. Quick and without side effects.
 * line (may be NULL): bits a second of what would be used, 0 unknown. */
int fabric_probe(enum transport t, const struct fabric_opts *o, uint64_t *line, struct err *e);

/* Listening side: open, and append to ticket what the other side needs to reach us. control
 * is the session's connection: its local address tells which network we are reached on. */
int fabric_listen(struct fabric **out, enum transport t, const struct fabric_opts *o,
	struct conn *control, struct buf *ticket, struct err *e);
/* Then: take o->lanes lanes whose first message carries this token (the comparison is
 * constant-time; others are refused). Connections of the session's port reach a fabric of
 * sockets through fabric_hand(). */
int fabric_accept(struct fabric *f, const unsigned char token[FABRIC_TOKEN], struct err *e);
/* Takes c, a connection that has said the token; index < lanes. */
int fabric_hand(struct fabric *f, struct conn *c, unsigned index, struct err *e);

/* Connecting side: open and connect all lanes. */
struct fabric_hail {
	const void *ticket;		/* as fabric_listen() made it at the other side */
	size_t n_ticket;
	const unsigned char *token;	/* FABRIC_TOKEN bytes */
};
int fabric_connect(struct fabric **out, enum transport t, const struct fabric_opts *o,
	struct conn *control, const struct fabric_hail *hail, struct err *e);

enum transport fabric_transport(const struct fabric *f);
unsigned fabric_lanes(const struct fabric *f);
struct lane *fabric_lane(struct fabric *f, unsigned i);
/* Can lane_send() take bytes from a file? */
int fabric_files(const struct fabric *f);
/* For the summary: "mlx5_0:1 -> mlx5_1:1, 4 queue pairs", "tcp, 2 connections, TLS 1.3"; and
 * bits a second of the line, 0 unknown. Into out, returned. */
const char *fabric_describe(const struct fabric *f, char out[160]);
uint64_t fabric_line(const struct fabric *f);

/* Sink: prepare b for len bytes of a transfer and append the grant (at most FABRIC_GRANT) to
 * out. Memory is registered once and stays so until the pool lets it go. ERR_REFUSED: memory
 * may not be locked (RLIMIT_MEMLOCK). Any thread. */
int fabric_grant(struct fabric *f, uint32_t id, const struct block *b, size_t len,
	struct buf *out, struct err *e);

/* Source: put a piece on its way; waits for room in the queue, not for the piece. One thread
 * a lane. Every completion is looked at, here or in lane_flush(): -1 is the lane's end. */
int lane_send(struct lane *l, const struct lane_piece *p, struct err *e);
/* All pieces have left (verbs: completed), or -1. Called when there is nothing more to send
 * for now, so that errors are seen without a further piece. */
int lane_flush(struct lane *l, struct err *e);
/* Source: no more pieces; the sink's lane_recv() returns 0 after the last. */
int lane_finish(struct lane *l, struct err *e);

/* Sink: serve arrivals until the source finished (0), or -1. One thread a lane. Waits without
 * limit between pieces (the control connection finds dead peers); within a piece timeout_s.
 * Does not spin: CPUs are shared with an engine. */
int lane_recv(struct lane *l, const struct lane_in *in, struct err *e);

/* A source's lane while it has nothing to send: -1 if it is known to be of no more use. Does not
 * wait. By the lane's thread. */
int lane_check(struct lane *l, struct err *e);
/* Any thread: who waits in this lane returns -1 soon (ERR_TEMP). */
void lane_cut(struct lane *l);
/* A lane that failed, with no thread in it any more: after it nothing moves there, so that what
 * was granted can be filled by another lane. */
void lane_drop(struct lane *l);

/* Any thread: whoever waits in any of the lanes returns -1 soon. */
void fabric_shut(struct fabric *f);
/* No thread is in a lane any more. After it nothing writes into granted memory: queue pairs
 * are gone before it returns. Safe on NULL. */
void fabric_close(struct fabric *f);

#endif
