#ifndef WIRE_SESSION_H
#define WIRE_SESSION_H

#include <pthread.h>

#include "wire/wire.h"

/* For the files of wire.h alone: how two ends meet, and what both do in a session. */

/* Both ends said hello, and the lanes are up. */
struct wire_link {
	struct conn *c;			/* the caller's */
	struct fabric *f;
	struct wire_hello peer;
	struct fabric_opts fo;
	uint64_t fallbacks;
	char transport[200];
	uint64_t line;
};

/* The first eight bytes of a connection: kvwire's of our version, or a lane's. */
int wire_magic(struct conn *c, unsigned char magic[8], struct err *e);

/* mine: what to say; its transports are filled in here. On failure nothing is left open and the
 * peer was told why. */
int wire_meet(struct wire_link *l, struct conn *c, struct wire_hello *mine,
	const struct wire_opts *o, struct wire_door *door, struct err *e);
void wire_part(struct wire_link *l);

/* A fabric that waits for its lanes. */
int door_open(struct wire_door *d, const unsigned char token[FABRIC_TOKEN], struct fabric *f,
	struct err *e);
void door_close(struct wire_door *d, struct fabric *f);

/* Tell the peer why we go; it may be gone itself. */
void wire_refuse(struct conn *c, const struct err *why);
/* The same to who has not seen our magic yet: it tells what we are. */
void wire_turn_away(struct conn *c, const struct err *why);

void wire_note(const struct wire_opts *o, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

enum fate_cond {
	FATE_TALK,	/* who offers, or plans */
	FATE_LANES,	/* who sends, or stores */
	FATE_LOADERS,
	FATE_PULSE,
	FATE_CONDS
};

/* The first thing that went wrong in a session: later ones are its echo. Shuts all. */
struct wire_fate {
	pthread_mutex_t lock;
	/* Of the session's state, under lock. Each kind of thread has its own, as waking all for
	 * every event costs more than the event. */
	pthread_cond_t change[FATE_CONDS];
	int failed;
	int unfit;			/* of kind ERR_TEMP, but the peer is there and is told */
	struct err why;
	struct wire_link *link;
	int over;			/* the session's work is done */
	unsigned live;			/* lanes */
	pthread_t pulse;		/* pings */
};
int fate_open(struct wire_fate *f, struct wire_link *l, struct err *e);
void fate_over(struct wire_fate *f);	/* ends the pings; before fate_close() */
void fate_close(struct wire_fate *f);
/* From who does not hear the control connection: when the peer went away (ERR_TEMP) that may
 * soon tell why, and is waited for a moment. Lock not held. */
void fate_fail(struct wire_fate *f, const struct err *why);
void fate_fail_locked(struct wire_fate *f, const struct err *why);	/* at once; lock held */
/* Memory may not be registered, or not so much, and there are transports that need none of that:
 * the session fails with ERR_TEMP, so that who connects again can go on by one of those. */
void fate_unfit(struct wire_fate *f, unsigned transports, const struct err *why);
/* A lane failed: 1, the session goes on with those that are left; 0: it does not, and failed as by
 * fate_fail(). Either after a moment, as when the peer went away all lanes fail, one by one. Lock
 * not held. */
int fate_lose(struct wire_fate *f, const struct err *why);
/* Wait for a change for at most a second; lock held. Fails the session when a stop is asked. */
void fate_wait(struct wire_fate *f, enum fate_cond which);
void fate_wake(struct wire_fate *f, enum fate_cond which);
void fate_wake_all(struct wire_fate *f);

#define WIRE_PULSE_S 5.0

#endif
