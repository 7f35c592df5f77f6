#ifndef FLOW_INBOX_H
#define FLOW_INBOX_H

#include "flow/flow.h"
#include "wire/wire.h"

/*
 * Where chunks from peers go: a sink of flow, whatever it is, shared by all sessions; and what
 * is not wanted, because it is here already. Known are chunks with the same name and seal;
 * a store's chunk of that name with another seal counts as here unless it is to be replaced.
 */
struct inbox;

struct inbox_opts {
	struct pool *pool;
	struct sink *to;		/* taken */
	struct place *const *have;	/* native places, looked up in order */
	size_t n_have;
	int replace;			/* chunks that differ are wanted */
	int remember;			/* what was put is known: a stream cannot be asked */
	const struct key_hash *only;	/* if n_only: other hashes are not wanted; sorted */
	size_t n_only;
	const char *const *prefixes;	/* if n_prefixes: ... or not of these digits */
	size_t n_prefixes;
	_Atomic unsigned char *met;	/* of each prefix: 1, one was offered; or NULL */
	unsigned jobs;			/* look-ups at once */
};

int inbox_open(struct inbox **out, const struct inbox_opts *o, struct err *e);
struct wire_sink inbox_sink(struct inbox *b);
/* Bytes and chunks put so far. */
void inbox_count(struct inbox *b, uint64_t *chunks, uint64_t *bytes);
/* why: it did not end well (NULL: it did). Closes the sink. Safe on NULL. */
int inbox_close(struct inbox *b, const struct err *why, struct err *e);

#endif
