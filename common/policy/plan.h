#ifndef POLICY_PLAN_H
#define POLICY_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"

/*
 * What to evict from a store, and in which order: batch use of the policies.
 *
 *	struct plan_entry *v = ...;	one entry a chunk, all its objects (ranks,
 *					groups, layers, pair halves) added together
 *	struct plan_want w = { .policy = policy_find("lru", e), .now_s = now,
 *	    .max_bytes = 2e12, .low_bytes = 1.8e12 };
 *	if (plan_make(&plan, v, n, &w, e) < 0) ...
 *	for (i = 0; i < plan.n; i++)	delete v[plan.steps[i].entry], in this order
 *	plan_free(&plan);
 *
 * Every prefix of the plan is safe: an entry comes after all entries that
 * name it as parent, so a run may stop anywhere (a guard, a signal, a time
 * limit) without an orphan. An entry is never planned while one of its
 * children stays, whatever the reason for wanting it away. Links form a cycle only in
 * damaged input: the entries of the cycle stay and are counted in plan.cyclic.
 *
 * PLAN_KEEP is the caller's: pinned, leased, younger than --min-age, another model's,
 * not selected. Such an entry and its ancestors stay, and count towards the size.
 *
 * Order: the policy gives each entry a keep value; a parent is worth at least as
 * much as the best of its descendants (which are useless without it). Ascending;
 * among equals, older access first, then leaves before what they hang on, then the
 * lower index: the same input gives the same plan.
 *
 * Time is n log n, memory at most 80 bytes an entry besides the entries.
 */
#define PLAN_NONE UINT32_MAX

enum plan_flags {
	PLAN_KEEP = 1,		/* never evict */
	PLAN_EVICT = 2,		/* evict in any case, if no child stays (reason PLAN_ASKED) */
};

struct plan_entry {
	uint64_t bytes;
	double created_s;	/* since the epoch; 0: unknown */
	double accessed_s;	/* 0: never since created */
	double expires_s;	/* 0: never */
	uint32_t parent;	/* index in the array; PLAN_NONE: a root, or not known */
	uint32_t depth;		/* chunks before it in its chain; 0 when not known */
	uint32_t hits;		/* uses after the first */
	uint32_t tenant;	/* index in plan_want.quotas; PLAN_NONE: no quota */
	float cost;		/* relative cost of computing it again; 0 counts as 1 */
	int16_t priority;	/* higher stays longer */
	uint8_t flags;		/* enum plan_flags */
};

/* Limits of one tenant. */
struct plan_quota {
	uint64_t max_bytes;	/* 0: none */
	uint64_t max_chunks;	/* 0: none */
	double ttl_s;		/* since last use; 0: none */
};

struct plan_want {
	const struct policy_ops *policy;
	double now_s;
	double ttl_s;		/* evict what was not used for so long; 0: none */
	uint64_t max_bytes;	/* above this, evict down to low_bytes; UINT64_MAX: no limit */
	uint64_t low_bytes;	/* at most max_bytes; 0 with a limit of 0 means all */
	uint64_t max_chunks;	/* the same in chunks */
	uint64_t low_chunks;
	double alpha;		/* size exponent of "cost"; 0: 2 */
	const struct plan_quota *quotas;
	size_t nquotas;
};

enum plan_reason {
	PLAN_ASKED,		/* PLAN_EVICT was set */
	PLAN_EXPIRED,		/* its own expiry has passed */
	PLAN_TTL,		/* idle for longer than the (tenant's) ttl */
	PLAN_QUOTA,		/* its tenant is over quota */
	PLAN_SIZE,		/* the store is over max_bytes */
	PLAN_CHUNKS,		/* the store is over max_chunks */
	PLAN_REASONS
};

struct plan_step {
	uint32_t entry;		/* index in the array */
	uint32_t reason;	/* enum plan_reason */
	double score;		/* the policy's keep value: lowest goes first */
};

struct plan {
	struct plan_step *steps;
	size_t n;
	uint64_t bytes;			/* of all steps */
	uint64_t by_reason[PLAN_REASONS];	/* bytes */
	uint64_t left_bytes, left_chunks;	/* what the store holds afterwards */
	uint64_t cyclic;		/* entries whose parent links run in a circle */
	int short_of;			/* 1: a limit cannot be met, too much is kept */
};

/* Make the plan: 0, or -1 with ERR_USAGE (a parent, tenant or limit out of range,
 * more than 4 billion entries) or ERR_FAILED (memory). It is empty when nothing is to do. */
int plan_make(struct plan *out, const struct plan_entry *v, size_t n,
	const struct plan_want *want, struct err *e);
void plan_free(struct plan *p);		/* safe on zero */

/* "asked", "expired", "ttl", "quota", "size", "chunks". */
const char *plan_reason(enum plan_reason r);

/* The policy's keep values alone, without chains or limits, into score[n]: for
 * listings that show what would go first. */
int plan_scores(double *score, const struct plan_entry *v, size_t n,
	const struct plan_want *want, struct err *e);

#endif
