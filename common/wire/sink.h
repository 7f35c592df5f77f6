#ifndef WIRE_SINK_H
#define WIRE_SINK_H

#include "wire/session.h"

/* For the files of the sink's side alone. */

enum xfer_state {
	XFER_FREE,
	XFER_OFFERED,
	XFER_WANTED,	/* answered; waits for memory */
	XFER_GRANTED,
	XFER_COMPLETE,	/* all bytes are there; waits to be stored */
	XFER_STORING,
};

/* A chunk on its way in, by id modulo the window. */
struct xfer {
	struct wire_offer *offer;
	enum xfer_state state;
	struct block mem;
	uint64_t placed;	/* bytes announced: never more than size, so that when all */
	uint64_t got;		/* have arrived nobody writes any more */
	struct digest_xxh3 *sum;
	uint64_t summed;	/* bytes of the chunk that sum has seen, from the region's end on */
	unsigned lane;		/* that brings it and feeds sum, from 1 on; 0: none yet */
	int shared;		/* another one does, too */
	unsigned lost;		/* lane that was to bring it, from 1 on: it comes anew */
	int along;		/* came with its offer: nothing was granted */
	int scattered;		/* out of order: summed when complete */
	double asked;		/* when it was granted; 0: not for the first time */
	uint64_t came;		/* bytes that had come by then */
};

struct in_lane {
	struct in *in;
	unsigned index;
	int lost;		/* the source says so */
	int ended;		/* and was dropped */
	pthread_t thread;
};

/* A session. Everything below fate is under its lock. */
struct in {
	const struct wire_sink *k;
	const struct wire_opts *opts;
	struct wire_run *run;
	struct wire_link link;
	struct wire_fate fate;
	struct xfer x[WIRE_WINDOW];
	uint32_t base, next;	/* ids on offer */
	uint32_t planned;	/* first that was not yet looked at */
	uint32_t deliver;	/* ordered: the next to be put */
	unsigned open;		/* offers not released */
	unsigned leaving;	/* of these: the source may know already that they are settled */
	uint64_t granted;	/* bytes */
	uint64_t due;		/* of these still to come */
	uint64_t low;		/* the planner waits until no more is due; 0: it does not */
	uint64_t came;		/* bytes of whole chunks */
	double delay;		/* s from a grant to its first byte, the least; 0: none came */
	double rate;		/* bytes/s, the highest */
	int ended;
	struct err ended_why;
	unsigned losing;	/* lanes whose loss is being told */
	int told;		/* the totals went out */
	int over;
	double began, first_data, last_data, last_move;
	pthread_t planner;
	int has_planner;
	struct in_lane lanes[FABRIC_LANES], storers[FABRIC_LANES];
	unsigned n_lanes, n_storers;
};

/* Lock held. */
struct xfer *in_xfer(struct in *s, uint32_t id);
void in_release(struct in *s, uint32_t id);
/* Bytes came. */
void in_moved(struct in *s);
/* All of a chunk; then somebody may store it. */
void in_complete(struct in *s, struct xfer *x);

/* Lock held: a granted chunk that nobody writes any more is to come from its beginning. */
void in_anew(struct in *s, struct xfer *x);
/* What the source thinks of a chunk. */
int in_verdict(struct in *s, uint32_t id, enum wire_state state, const struct err *why,
	struct err *e);
/* The lane's thread failed: go on without it, or fail the session. */
void in_lose(struct in_lane *l, const struct err *why);
/* The source has lost a lane; lock held, but not all the time. */
int in_hear_lost(struct in *s, const struct wire_msg *m, struct err *e);

/* Thread that answers offers, grants memory, and at last tells the totals. */
void *in_plan(void *arg);
/* That one, and those that take and store. */
int in_start(struct in *s, struct err *e);
/* Lanes and storers are gone after it, then memory, then the planner that waits for some. */
void in_join(struct in *s);

#endif
