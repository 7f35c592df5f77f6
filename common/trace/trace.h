#ifndef TRACE_TRACE_H
#define TRACE_TRACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "policy/map.h"

/*
 * Requests in order of arrival and the blocks they refer to: what the simulator replays.
 * Blocks are numbered from 0 as they are first seen, whatever their names outside.
 *
 * Formats, one JSON object a line, a line a request:
 * Mooncake (its FAST'25 traces, README of FAST25-release): timestamp in ms, input_length,
 * hash_ids; blocks of 512 tokens. LMCache (lookup-hash log of its server, v0.4): timestamp in
 * s, seq_len, chunk_size, chunk_hashes, shapes and dtypes of one chunk. Ours (kv.access/1):
 * time in s, tokens, chunk_tokens, chunk_bytes, keys; kvstat-sim(1). Other members are skipped.
 */
struct trace_request {
	double time_s;
	uint32_t first;			/* of its blocks in ids[]; they end where the next begin */
	uint32_t tokens;		/* of the prompt */
};

struct trace {
	uint32_t *ids;			/* of the blocks referred to */
	size_t n_refs, room_refs;
	struct trace_request *requests;	/* n, and one more that says where the last one ends */
	size_t n, room;
	uint64_t distinct;
	uint64_t total_tokens;
	uint64_t block_tokens;		/* 0 until told */
	uint64_t block_bytes;		/* 0: not known */
	struct map names;		/* outside names to numbers */
	uint32_t *small;		/* the same for names that are small numbers, + 1 */
	/* While it is read in one thread and followed in others: */
	pthread_mutex_t lock;		/* of where the arrays are */
	pthread_cond_t more;
	atomic_int asleep;		/* who may wait for it */
	atomic_size_t ready;		/* requests that may be taken */
	atomic_int growing, abandoned;
};

int trace_open(struct trace *t, struct err *e);
void trace_close(struct trace *t);

/* Append a file ("-": stdin); an error names file and line. ERR_CORRUPT: not a trace. */
int trace_read(struct trace *t, const char *path, struct err *e);

/* The same for the text of one line without its end; p[n] to p[n + 7] must be readable. Empty
 * lines are none. ERR_CORRUPT: not a request; the trace is of no use then. */
int trace_line(struct trace *t, const char *p, size_t n, struct err *e);

/* The building blocks of that, for generators: any number of blocks, end. 0 tokens: those of
 * the blocks. */
int trace_add(struct trace *t, uint64_t name, struct err *e);
int trace_end(struct trace *t, double time_s, uint64_t tokens, struct err *e);

/* Several files were read: by time. */
int trace_sort(struct trace *t, struct err *e);

/* Room for so many references more, so that a line need not ask for each. */
int trace_room(struct trace *t, size_t refs, struct err *e);

/*
 * What of a trace is replayed next: some requests in a row, with their blocks as keys. Zeroes to
 * begin with. trace_next() goes on to those behind: 1; 0: there are none; -1: no memory. Any number
 * of threads may follow a trace while one reads it: between trace_grows(), said before the first
 * follows, and trace_ends() trace_next() waits for more.
 */
struct trace_part {
	size_t n;
	struct trace_request *requests;	/* n and one more; first: in keys[] */
	uint64_t *keys;
	uint64_t block_tokens;
	size_t before;			/* requests before these */
	size_t room_keys;
	int in_vain;			/* it waited, once, for longer than it likes to */
};
int trace_next(struct trace_part *p, struct trace *t, struct err *e);
void trace_part_free(struct trace_part *p);

void trace_grows(struct trace *t);
void trace_ready(struct trace *t);	/* all whole requests so far may be taken */
void trace_ends(struct trace *t);
/* Something failed: reading ends at the next piece, as if all were read, trace_next() at once. */
void trace_abandon(struct trace *t);

/* Tokens of the first n blocks of a request of a part. */
uint64_t trace_prefix(const struct trace_part *p, size_t request, uint64_t n);

static inline uint32_t
trace_blocks(const struct trace_request *r)
{
	return r[1].first - r[0].first;
}

/* Names below this need no hashing. Untouched room costs nothing. */
#define TRACE_SMALL (1u << 22)

uint32_t trace_new_name(struct trace *t, uint64_t name, struct err *e);	/* MAP_NONE: error */

/* trace_add() where trace_room() has been asked; MAP_NONE: error. */
static inline uint32_t
trace_number(struct trace *t, uint64_t name, struct err *e)
{
	uint32_t id = name < TRACE_SMALL ? t->small[name] - 1 : map_get(&t->names, name);

	return id != MAP_NONE ? id : trace_new_name(t, name, e);
}

#endif
