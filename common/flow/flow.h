#ifndef FLOW_FLOW_H
#define FLOW_FLOW_H

#include <stdatomic.h>

#include "chunk/chunk.h"
#include "flow/catalog.h"

/*
 * Bounded copying between any two ends. A source gives chunks in order; workers load, check and
 * change them in parallel; a sink takes them, in order if it must. Memory is the pool's bound;
 * every chunk is verified before it is passed on.
 */
struct source;
struct flow_item {
	uint64_t ticket;	/* 0, 1, 2 ... in the source's order */
	struct chunk chunk;
	size_t index;		/* the source's own */
	struct source *from;	/* source_cat: which of its sources */
	int drop;		/* a step took it out: not an error, not put */
	int had;		/* it lies where it should go: neither loaded nor put */
	int heals;		/* a copy of it is damaged: it is put over what is there */
};

struct source {
	const struct source_ops *ops;
	uint64_t chunks, bytes;		/* in all, if known beforehand; else 0 */
	int lend;			/* the caller's to set: chunks may be lent, chunk.h, as no
					 * step needs their bytes and a pipe takes them */
	struct place *unless;		/* the caller's to set, NULL: all; both are native: what
					 * this has by the same name and size is not loaded */
};
struct source_ops {
	/* The next chunk or where it is: 1, 0 at the end, -1. Called by one thread at a time. */
	int (*next)(struct source *s, struct pool *pool, struct flow_item *it, struct err *e);
	/* Fetch and verify it; any thread. NULL: next() brought it, chunk_verify() suffices. */
	int (*load)(struct source *s, struct pool *pool, struct flow_item *it, struct err *e);
	void (*close)(struct source *s);
};

struct sink {
	const struct sink_ops *ops;
};
struct sink_ops {
	int ordered;		/* put() in ticket order, one at a time */
	/* 0 put, 1 it was there already, -1. */
	int (*put)(struct sink *s, struct pool *pool, struct flow_item *it, struct err *e);
	/* After the last put; why: the run failed (NULL: it did not). Frees s. */
	int (*close)(struct sink *s, const struct err *why, struct err *e);
};

/* A change of each chunk on its way; any thread. */
struct flow_step {
	int (*run)(void *ctx, struct pool *pool, struct flow_item *it, struct err *e);
	void *ctx;
	void (*free)(struct flow_step *s);
	struct flow_step *next;
};

struct flow_stats {
	_Atomic uint64_t in, bytes_in;		/* chunks loaded */
	_Atomic uint64_t put, bytes_put;	/* chunks stored or written */
	_Atomic uint64_t skipped, bytes_skipped;	/* there already */
	_Atomic uint64_t tokens;		/* of both as far as loaded, one rank's */
	_Atomic uint64_t dropped;		/* taken out by a step */
	_Atomic uint64_t vanished;		/* gone between listing and reading */
	_Atomic uint64_t failed;		/* with keep_going */
};

struct flow_opts {
	unsigned jobs;		/* 0: cores, at most 4 */
	uint64_t mem;		/* bound of the pool */
	int keep_going;		/* a failed chunk is counted and told, the rest goes on */
	void (*failed)(void *ctx, const struct flow_item *it, const struct err *e);
	void *ctx;
	double max_duration;	/* s, 0 none: then ends as if the source had (timed_out set) */
	uint64_t bwlimit;	/* bytes/s read, 0 none */
	struct flow_step *steps;
	struct flow_stats *stats;
	int timed_out;		/* out */
};

/* Copy everything. Closes both ends. -1: e is the first failure (a sink's abort record has
 * been written); with keep_going only failures that end the run. */
int flow_copy(struct source *from, struct sink *to, struct flow_opts *o, struct err *e);

/* ---- ends ---- */

/* A stream on a descriptor (kvstream(5)); fd stays the caller's. */
int source_stream(struct source **out, int fd, struct err *e);
int sink_stream(struct sink **out, int fd, struct err *e);

/* Objects of a place: rows order[0..n) of the catalog, which all stay the caller's. With a merged
 * catalog p is the array of places by tier; what cannot be had from one comes from the next one
 * that holds it, counted in *fallen (may be NULL). */
int source_place(struct source **out, struct place *p, const struct catalog *c,
	const size_t *order, size_t n, _Atomic uint64_t *fallen, struct err *e);

/* Into two sinks, one after the other; takes both. put: as the first one says. */
int sink_tee(struct sink **out, struct sink *a, struct sink *b, struct err *e);

/* Into a place. replace: put what is there already again. ttl_s: let the store expire it. */
struct place_put {
	int replace;
	int dry;		/* only look what is there already */
	int looked;		/* the caller did: what is there after all may be no whole chunk */
	double ttl_s;
	int bounded;		/* ERR_REFUSED for what would go beyond */
	uint64_t room;		/* bytes */
	uint64_t room_chunks;	/* counted by their first rank and group of layers */
};
int sink_place(struct sink **out, struct place *p, const struct place_put *how, struct err *e);

/* gen:MODEL?tokens=N&seed=S[&chunk-tokens=N&tp=N&dtype=..&tail=1]: deterministic chunks with the
 * statistics of real KV. Same arguments, same bytes, everywhere. */
int source_gen(struct source **out, const char *url, struct err *e);

/* Tensor files of other programs (dialect/tensor.h). The tokens in o stay the caller's. dropped
 * gets the tokens of a tail that is left out. The sink wants plain chunks of one chain and
 * shows nothing before it is closed well. */
struct tensor_opts;
int source_tensor(struct source **out, const char *path, const struct tensor_opts *o,
	uint64_t *dropped, struct err *e);
int sink_tensor(struct sink **out, const char *path, const struct tensor_opts *o, struct err *e);

/* Each of n sources after the other; takes them. */
int source_cat(struct source **out, struct source **v, size_t n, struct err *e);

/* ---- steps ---- */

/* Recode payloads to a codec ("none" decodes); keeps a payload that does not shrink. */
int step_recode(struct flow_step **out, const char *codec, struct err *e);
/* Change the head: what is set is set. */
struct relabel {
	const char *tenant;
	int64_t expires, priority;	/* expires 0: leave; priority INT64_MIN: leave */
	const char *labels;
	const char *const *meta;	/* "name=value", NULL ends */
};
int step_relabel(struct flow_step **out, const struct relabel *r, struct err *e);
/* Keep what s selects. */
int step_select(struct flow_step **out, const struct select *s, struct err *e);
void step_free(struct flow_step *s);	/* the whole list */

#endif
