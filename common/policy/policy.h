#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Which blocks a cache of limited size should give up: one front, a table of
 * policies, each in its own file. Decisions only: no I/O, and no clock (time
 * comes with each reference).
 *
 * A policy is used in two ways. Online, below: it sees every reference and
 * keeps its own record of what is resident (the simulator, a tier in memory).
 * In batch, policy/plan.h: it ranks a snapshot of a store (kvevict). policy_find()
 * says what the policy of a name needs to know for the second.
 */
enum policy_needs {
	POLICY_ACCESSED = 1,	/* time of last access */
	POLICY_HITS = 2,	/* number of uses after the first */
	POLICY_EXPIRES = 4,	/* expiry times */
	POLICY_PRIORITY = 8,
};

struct policy_ops;		/* one row of the table */

/* The policy of a name ("lru", "2q", "auto"), or NULL with ERR_USAGE and a text
 * that lists the names. policy_at(i) walks the table, NULL after the last. */
const struct policy_ops *policy_find(const char *name, struct err *e);
const struct policy_ops *policy_at(size_t i);
const char *policy_name(const struct policy_ops *ops);
const char *policy_about(const struct policy_ops *ops);	/* one line for people */
unsigned policy_needs(const struct policy_ops *ops);	/* of enum policy_needs */
int policy_tail_first(const struct policy_ops *ops);	/* see struct policy_request */

/* Attributes of a block beyond its key; zero is a sensible value of each. */
struct policy_attr {
	double expires_s;	/* 0: never */
	float cost;		/* what a miss costs, relative; 0 counts as 1 */
	int priority;		/* higher stays longer */
};

/*
 * One request: the blocks of one prompt, first to last. Keys name prefixes (a block's
 * key depends on all blocks before it), so keys[i - 1] is the parent of keys[i].
 * A request is replayed in the order the caller chooses; a policy that says
 * policy_tail_first() is best, and is reported in the literature, when the last
 * block comes first, so that tails look older than the prefixes they need.
 */
struct policy_request {
	const uint64_t *keys;
	const uint64_t *bytes;		/* of each block, or NULL: 1 each */
	const struct policy_attr *attr;	/* of each block, or NULL */
	uint32_t n;
	double now_s;			/* never decreases between requests */
};

struct policy;

struct policy_options {
	uint64_t capacity;	/* in the unit of bytes[]: blocks when that is NULL */
	int dense;		/* keys are small numbers, below 2^32 - 1: arrays replace hashing */
	double alpha;		/* size exponent of "cost"; 0: 2 */
	double ttl_s;		/* idle time after which "ttl" drops a block first; 0: none */
	/* Called for each block that leaves, or that is not let in at all; may be NULL. */
	void (*evicted)(void *ctx, uint64_t key, uint64_t bytes);
	void *ctx;
};

/* *out is the caller's, for policy_close(). -1: ERR_USAGE (capacity 0), ERR_FAILED (memory). */
int policy_open(struct policy **out, const struct policy_ops *ops,
	const struct policy_options *o, struct err *e);
void policy_close(struct policy *p);

/* A request arrives: shown to the policy whole, before its blocks are referenced. */
int policy_begin(struct policy *p, const struct policy_request *r, struct err *e);

/* Reference block i of the request last begun. 1: was resident; 0: was not, and is
 * now unless the policy chose otherwise; -1: out of memory. */
int policy_access(struct policy *p, uint32_t i, struct err *e);

/* A whole request at once, which is faster: begun, and all its blocks referenced, tail: the last
 * first. Added to: references that hit, and blocks of the prefix that was resident when it
 * arrived, which is what an engine can use. 0 or -1. */
struct policy_found {
	uint64_t hits, prefix;
};
int policy_replay(struct policy *p, const struct policy_request *r, int tail,
	struct policy_found *f, struct err *e);

/* Is this block resident? Changes nothing. */
int policy_has(const struct policy *p, uint64_t key);

/* Bytes (or blocks) and number of blocks resident now; used is never above capacity. */
uint64_t policy_used(const struct policy *p);
uint64_t policy_count(const struct policy *p);

/* Records held, residents and ghosts: bounded by a constant factor of the resident set,
 * except lru2 and w-tinylfu as the literature's replays define them. */
uint64_t policy_records(const struct policy *p);

#endif
