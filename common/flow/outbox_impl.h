#ifndef FLOW_OUTBOX_IMPL_H
#define FLOW_OUTBOX_IMPL_H

#include <pthread.h>

#include "flow/outbox.h"

/* For outbox.c, which reads, and outbox_feed.c, which gives away. */

enum input_kind { INPUT_FILE, INPUT_SOURCE, INPUT_PLACE };

struct input {
	enum input_kind kind;
	struct input *next;
	int fd;
	struct source *source;		/* of a place: for loading */
	struct place *place;
	const struct catalog *cat;
	const size_t *order;
	size_t n;
};

/* One chunk, shared by the peers that get it. */
struct parcel {
	struct wire_item item;		/* as each peer's begins */
	struct input *from;
	size_t index;			/* of a place's order */
	unsigned refs;
};

/* A peer's own view of it. */
struct share {
	struct wire_item item;		/* first */
	struct parcel *parcel;
	struct share *next;
};

struct peer {
	struct outbox *box;
	struct share *head, **tail;
	unsigned n;
	int gone;
};

struct outbox {
	struct outbox_opts opts;
	struct input *inputs;
	pthread_mutex_t lock;
	pthread_cond_t change;
	pthread_t reader;
	int started, ended, closing;
	struct err why;			/* ended badly */
	uint64_t ticket;
	uint64_t held;			/* bytes read from pipes and not dropped */
	double until;			/* clock_mono(); 0: no limit */
	struct outbox_now now;
	struct peer peer[];
};

/* One reference less; lock held. */
void outbox_drop(struct outbox *b, struct parcel *p);

#endif
