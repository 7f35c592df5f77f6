#ifndef CMD_KVSEND_INPUTS_H
#define CMD_KVSEND_INPUTS_H

#include "flow/outbox.h"
#include "pick.h"

/* What kvsend was told to send: files, or a selection of a store. */
struct what {
	const char *from, *geometry;	/* store, or NULL: the names are files */
	struct select sel;
	struct pick pick;
	char **names;			/* files; none: standard input */
	int n_names;
	int shard;
	void (*failed)(void *ctx, const struct err *why);	/* a chunk; any thread */
};

/* One reading of it, for one peer or several. */
struct inputs {
	struct outbox *box;
	struct place place;
	struct picked picked;
	int fds[256];
	int n_fds;
};

/* On failure too, inputs_close() it. */
int inputs_open(struct inputs *in, const struct what *w, unsigned peers, struct err *e);
void inputs_close(struct inputs *in);

#endif
