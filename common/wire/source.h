#ifndef WIRE_SOURCE_H
#define WIRE_SOURCE_H

#include "wire/session.h"

/* For the files of the source's side alone. */

#define SOURCE_GROUP 16		/* chunks whose layers go out together */

enum slot_state {
	SLOT_FREE,
	SLOT_OFFERED,
	SLOT_WANTED,	/* by the sink, which has no memory for it yet */
	SLOT_LOADING,
	SLOT_QUEUED,	/* for a lane */
	SLOT_SENT,	/* or on its way */
};

/* What was offered, by id modulo the window. */
struct slot {
	struct wire_item *item;
	enum slot_state state;
	unsigned again;		/* sent so many times more */
	unsigned lane;		/* by which it was sent last */
	int along;		/* its bytes went with the offer; not answered yet */
	unsigned busy;		/* so many threads use the item: settle later */
	int settled;
	enum wire_end how;
	struct err why;
	unsigned char grant[FABRIC_GRANT];
	size_t n_grant;
};

struct queue {
	uint32_t id[WIRE_WINDOW];
	uint32_t head, n;
};

struct worker {
	struct out *o;
	unsigned index;
	int cut;		/* the sink has given up this lane */
	pthread_t thread;
};

/* A session. Everything below fate is under its lock. */
struct out {
	struct wire_source *s;
	struct wire_link link;
	struct wire_fate fate;
	struct slot slot[WIRE_WINDOW];
	uint32_t base, next;	/* ids on offer */
	struct queue load, send;
	int ended;		/* the feed has no more */
	int wanted;		/* what the sink answered last was */
	unsigned waiting;	/* threads, for chunks to be released */
	int over;		/* the totals came: threads go home */
	double pace;		/* when the next bytes may leave, if there is a limit */
	struct worker lanes[FABRIC_LANES];
	struct worker loaders[FABRIC_LANES];
	unsigned n_lanes, n_loaders;
};

struct wire_source {
	struct wire_feed feed;
	const struct wire_opts *opts;
	unsigned char run[16];
	struct wire_item *pending[WIRE_WINDOW];	/* not settled when a session broke */
	uint32_t n_pending, at_pending;
	int ended;
	struct err ended_why;		/* kind ERR_NONE: complete */
	struct wire_totals totals;
	char transport[200];
	uint64_t line;
	int returns;
};

void source_queue_push(struct queue *q, uint32_t id);
uint32_t source_queue_pop(struct queue *q);

/* The slot of id, if it is on offer; lock held. */
struct slot *out_slot(struct out *o, uint32_t id);
/* A chunk is finished with; lock held. */
void out_settle(struct out *o, uint32_t id, enum wire_end how, const struct err *why);
/* The thread that was busy with it is so no more; lock held. */
void out_unbusy(struct out *o, uint32_t id);
/* The source cannot deliver a chunk that the sink waits for; lock not held. */
void out_give_up(struct out *o, uint32_t id, const struct err *why);

/* Thread that hears the sink, until the totals or the end of the connection. */
void *out_hear(void *arg);
/* Threads that load and send. */
int out_start(struct out *o, struct err *e);
void out_join(struct out *o);

#endif
