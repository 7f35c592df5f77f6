#ifndef WIRE_PROTO_H
#define WIRE_PROTO_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "digest/digest.h"
#include "transport/conn.h"
#include "transport/transport.h"

/*
 * kvwire(5): the messages of the control connection. Each side begins with the magic, whose
 * seventh byte is the major version, and a hello. A message is type (u8), three zero bytes,
 * length (u32), body. Integers are little-endian. The decoders here take bytes from strangers:
 * every one checks lengths and ranges, and that nothing is left over.
 */
#define WIRE_MAGIC "KVWIRE\1\n"
#define WIRE_MAJOR 1
#define WIRE_HEAD 8
#define WIRE_BODY_MAX ((size_t)1 << 20)
#define WIRE_HELLO_MAX ((size_t)4096)	/* before a peer has said who it is */

#define WIRE_OFFERS_MAX 64		/* offers in a message */
#define WIRE_WINDOW 4096		/* offers not yet settled, at most */
#define WIRE_CHUNK_MAX ((size_t)256 << 10)	/* of a chunk that goes with its offer */
#define WIRE_NAME_MAX 1024
#define WIRE_TEXT_MAX 300

enum wire_type {
	WIRE_HELLO = 1,	/* both */
	WIRE_REFUSE,	/* both: kind, text; then the connection is closed */
	WIRE_TRY,	/* dialler: a transport, lanes */
	WIRE_TICKET,	/* listener: token and ticket, or why not */
	WIRE_LANES,	/* both: lanes are up, or why not */
	WIRE_OFFERS,	/* source */
	WIRE_ANSWERS,	/* sink: which of some offers it wants */
	WIRE_GRANT,	/* sink: memory is ready for a chunk */
	WIRE_DONE,	/* sink: a chunk is settled, or is to be sent again */
	WIRE_GIVE_UP,	/* source: a wanted chunk cannot be had after all */
	WIRE_END,	/* source: no more offers */
	WIRE_TOTALS,	/* sink: everything is settled */
	WIRE_BYE,	/* source: heard the totals; a line for people */
	WIRE_PING,	/* both: alive */
	WIRE_CHUNK,	/* source: an offer, and at once its bytes */
	WIRE_LOST,	/* both: a lane is of no more use; source: what it was to bring */
	WIRE_TYPES
};

struct wire_hello {
	uint32_t flags;
	uint32_t transports;	/* 1 << enum transport */
	uint32_t lanes;		/* as many as this end likes */
	uint32_t window;	/* sink: offers open at most; source: chunks worked on at once */
	uint64_t chunk_max;	/* sink: largest chunk it takes */
	unsigned char run[16];	/* source: the same after a reconnect */
	char host[64];		/* for messages */
};
#define WIRE_SOURCE 1u		/* flags: this end sends */
#define WIRE_RETRIES 2u		/* this end connects again if cut */
#define WIRE_BENCH 4u		/* source: chunks are to be checked and dropped */
#define WIRE_TAKES 8u		/* sink: takes chunks that come with their offer */
#define WIRE_MOVES 16u		/* goes on when a lane is lost */

struct wire_verdict {		/* refuse, lanes, done, give up, end, bye */
	uint32_t id;
	uint8_t state;		/* enum wire_state, or for lanes 1: up */
	uint8_t kind;		/* enum err_kind */
	char text[WIRE_TEXT_MAX];
};
enum wire_state { WIRE_STORED, WIRE_AGAIN, WIRE_FAILED, WIRE_COMPLETE, WIRE_ABORTED };

/* What is on offer: one chunk. */
struct wire_offer {
	uint64_t size;		/* of region and payload */
	uint32_t region;
	struct digest128 digest;
	struct digest128 seal;
	char name[WIRE_NAME_MAX + 1];	/* our object name, key/ */
};

struct wire_totals {
	uint64_t offered, offered_bytes;
	uint64_t had, had_bytes;
	uint64_t sent, sent_bytes;
	uint64_t failed;
	uint64_t again;		/* chunks sent more than once */
	uint64_t reconnects;
	uint64_t fallbacks;	/* transports that did not come up */
	uint64_t prepare_us, wire_us, settle_us;
	uint64_t lanes;		/* lost; each end counts, the message does not tell */
};

/* Append whole messages. */
void wire_put_hello(struct buf *b, const struct wire_hello *h);
void wire_put_verdict(struct buf *b, enum wire_type t, const struct wire_verdict *v);
void wire_put_try(struct buf *b, enum transport t, unsigned lanes);
void wire_put_ticket(struct buf *b, const unsigned char token[FABRIC_TOKEN], const void *ticket,
	size_t n);
/* begin, add up to WIRE_OFFERS_MAX, end. */
size_t wire_begin_offers(struct buf *b, uint32_t first);
void wire_add_offer(struct buf *b, const struct wire_offer *o);
void wire_end_offers(struct buf *b, size_t at, uint32_t n);
/* For a chunk of at most WIRE_CHUNK_MAX, whose bytes the caller sends behind. */
void wire_put_chunk(struct buf *b, uint32_t id, const struct wire_offer *o);
void wire_put_answers(struct buf *b, uint32_t first, uint32_t n, const unsigned char *want);
void wire_put_grant(struct buf *b, uint32_t id, const void *grant, size_t n);
void wire_put_totals(struct buf *b, const struct wire_totals *t);
void wire_put_lost(struct buf *b, uint32_t lane, const uint32_t *ids, uint32_t n);
void wire_put_empty(struct buf *b, enum wire_type t);

/* A message as it came. body is reused from one to the next. */
struct wire_msg {
	uint8_t type;
	uint32_t len;
	struct buf body;
};

/* Head of a message: ERR_CORRUPT if it cannot be one. */
int wire_get_head(struct wire_msg *m, const unsigned char head[WIRE_HEAD], size_t max,
	struct err *e);
/* Decode a body: 0, or -1 with ERR_CORRUPT. */
int wire_get_hello(struct wire_hello *h, const struct wire_msg *m, struct err *e);
int wire_get_verdict(struct wire_verdict *v, const struct wire_msg *m, struct err *e);
int wire_get_try(enum transport *t, unsigned *lanes, const struct wire_msg *m, struct err *e);
int wire_get_ticket(unsigned char token[FABRIC_TOKEN], const void **ticket, size_t *n,
	const struct wire_msg *m, struct err *e);
/* Calls each() for every offer. */
int wire_get_offers(const struct wire_msg *m, uint32_t *first, uint32_t *n,
	int (*each)(void *ctx, uint32_t id, const struct wire_offer *o, struct err *e),
	void *ctx, struct err *e);
/* bytes: o->size of them; points into the body. */
int wire_get_chunk(uint32_t *id, struct wire_offer *o, const unsigned char **bytes,
	const struct wire_msg *m, struct err *e);
/* bits: n bits, bit i of byte i / 8 first; points into the body. */
int wire_get_answers(uint32_t *first, uint32_t *n, const unsigned char **bits,
	const struct wire_msg *m, struct err *e);
int wire_get_grant(uint32_t *id, const unsigned char **grant, size_t *n, const struct wire_msg *m,
	struct err *e);
int wire_get_totals(struct wire_totals *t, const struct wire_msg *m, struct err *e);
int wire_get_empty(const struct wire_msg *m, struct err *e);
/* ids: up to WIRE_WINDOW of them. */
int wire_get_lost(uint32_t *lane, uint32_t ids[WIRE_WINDOW], uint32_t *n, const struct wire_msg *m,
	struct err *e);

/* The next message of a connection: 1, 0 at its end, -1. wait: see conn_read(). */
int wire_recv(struct conn *c, struct wire_msg *m, size_t max, int wait, struct err *e);
/* Send what b holds, and empty it. */
int wire_send(struct conn *c, struct buf *b, struct err *e);
/* The same, and n bytes behind it. */
int wire_send_with(struct conn *c, struct buf *b, const void *p, size_t n, struct err *e);

/* An error for a verdict, and back ("peer 'host': ..." is for the caller to add). */
void wire_verdict_of(struct wire_verdict *v, uint32_t id, int state, const struct err *why);
int wire_verdict_err(const struct wire_verdict *v, struct err *e);	/* always -1 */

#endif
