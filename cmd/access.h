#ifndef CMD_ACCESS_H
#define CMD_ACCESS_H

#include <pthread.h>

#include "flow/flow.h"
#include "pick.h"

/*
 * The access log: schema kv.access/1, a line a request, as kvstat-sim(1) has it.
 */

/* A line as far as its list of keys; they, "]" and what else belongs are the caller's to add.
 * 0: not known. */
void access_begin(struct buf *line, double time_s, uint64_t tokens, uint64_t chunk_tokens,
	uint64_t chunk_bytes);

/* Which chunks of a request came: of the same ones that the index counts as used. */
struct access {
	struct flow_step step;	/* first */
	const struct picked *picked;
	pthread_mutex_t lock;
	unsigned char *found;	/* by key; NULL: none */
	size_t last;		/* the key found last */
	uint64_t bytes, chunk_tokens;
};

/* Have the chunks that come through these steps noted; picked stays the caller's, and a too, until
 * access_write(). The new list, or the old one without memory. */
struct flow_step *access_watch(struct access *a, const struct picked *picked,
	struct flow_step *list);

/* Append the line of a request to a file, be it watched or not, and free what a holds; if that
 * fails it is told, and no more. chunk_tokens: of the names of a prompt. */
void access_write(struct access *a, const char *file, const struct picked *picked,
	uint64_t chunk_tokens);

#endif
