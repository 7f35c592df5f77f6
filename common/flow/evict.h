#ifndef FLOW_EVICT_H
#define FLOW_EVICT_H

#include "flow/units.h"
#include "index/index.h"
#include "policy/plan.h"

/*
 * Keeping a store within bounds. Four steps, each on top of the one before:
 *
 *	evict_read()	what the store holds, and what its index tells
 *	evict_mark()	what its headers tell, what must stay and what is asked to go
 *	evict_plan()	limits, the plan (policy/plan.h), the guards: nothing is deleted yet
 *	evict_run()	delete or demote, in parallel, children before parents
 *
 * The unit of all decisions is the chunk with all its ranks, groups and layers (units.h).
 */
enum evict_why {		/* why a unit is asked to go, whatever the limits */
	EVICT_NOT,
	EVICT_ALL,		/* everything, or everything selected */
	EVICT_NAMED,
	EVICT_CORRUPT,
	EVICT_INCOMPLETE,	/* ranks are missing */
	EVICT_UNREACHABLE,	/* a chunk before it in its chain is not there */
	EVICT_HALF,		/* data that is useless without its other object */
	EVICT_DEAD,		/* written by an engine that cannot find it any more */
	EVICT_WHYS
};

enum evict_flags {		/* of a unit */
	EVICT_LINKED = 1,	/* its parent, or that it has none, is known */
	EVICT_ORPHAN = 2,	/* its parent is known and not there */
	EVICT_YOUNG = 4,
	EVICT_PINNED = 8,	/* by index or pin file */
	EVICT_LEASED = 16,
	EVICT_OUTSIDE = 32,	/* not selected */
	EVICT_DONE = 64,	/* evict_run(): it is gone */
	EVICT_HELD = 128,	/* evict_run(): a child is still there */
};

struct evict_want {
	const struct select *select;
	const struct policy_ops *policy;	/* NULL: lru; lfu or fifo, see kvevict(1) */
	double alpha;			/* size exponent of "cost"; 0: its default */
	double ttl_s;			/* 0: none */
	uint64_t max_bytes;		/* UINT64_MAX: no limit */
	double max_share;		/* of the capacity that may be in use; 0: no limit */
	uint64_t max_chunks;		/* UINT64_MAX: no limit */
	double low_share;		/* evict down to this share of the limit; 0: to the limit */
	uint64_t low_bytes;		/* or to this; 0 */
	double min_age_s;		/* what was written later stays */
	uint64_t min_keep;		/* never leave less; 0 */
	uint64_t max_delete;		/* chunks; UINT64_MAX: see max_delete_share */
	double max_delete_share;	/* of the store's chunks */
	unsigned ask;			/* bits 1 << enum evict_why */
	const char *pin_file, *corrupt_file, *quota_file;	/* NULL */
	const char *class;		/* instead of deleting, move to this storage class; NULL */
	unsigned jobs;			/* 0: what the store likes */
};

struct evict_quota {
	char tenant[129];		/* "*": each that has no line of its own */
	struct plan_quota limit;
	int16_t priority;
};

/* vLLM's CPU tier, at the top of /dev/shm. */
#define EVICT_REGION "vllm_offload_*.mmap"

/* What the listing has beside chunks and may be of no use (evict_litter.h). */
struct evict_other {
	size_t name;			/* offset in evict.names */
	uint64_t size;
	double since_s;			/* when it was written; 0 unknown */
	enum dialect_what what;		/* DIALECT_TWIN, _LITTER; _FOREIGN: vLLM's regions */
};

struct evict {
	struct place *place;		/* the caller's */
	struct index *index;		/* the caller's; NULL: none */
	struct catalog cat;
	struct units units;
	struct buf others, names;	/* struct evict_other */
	struct plan_entry *v;		/* of each unit */
	uint8_t *flags;			/* of each unit: enum evict_flags */
	uint8_t *why;			/* of each unit: enum evict_why */
	uint64_t linked;		/* units whose place in their chain is known */
	int knows_use, knows_hits;	/* do we know last uses, and how often? */
	double now_s;
	int64_t read_ns;		/* when all had been read */
	const struct policy_ops *policy;	/* the one that was used */
	struct evict_quota *quotas;	/* tenants with a limit, by plan_entry.tenant */
	size_t n_quotas;
	struct plan plan;
	int steady;			/* the policy's values do not change with time alone */
	/* counts of units, for telling */
	uint64_t young, pinned, leased, outside, outside_bytes;
	uint64_t asked[EVICT_WHYS];
	uint64_t cut_off;		/* children of corrupt ones that go */
	uint64_t allowed;		/* by --max-delete */
	uint64_t max_bytes, low_bytes;	/* of what is selected; UINT64_MAX: no limit */
};

/* Names, sizes, times and the index; ev is zeroed first. Objects that are in w->class already
 * are not seen. Free with evict_free() in any case. */
int evict_read(struct evict *ev, struct place *p, struct index *ix, const struct evict_want *w,
	struct err *e);
void evict_free(struct evict *ev);

/* Parents, expiry and priority from the headers of native chunks that the index does not
 * tell of; evict_mark() calls it unless everything goes in any case. */
int evict_link(struct evict *ev, unsigned jobs, struct err *e);

/* Selection, ages, pins, leases, quotas; what is asked for. ERR_USAGE: a bad pin, quota or
 * report file; links or ages are needed and not known. */
int evict_mark(struct evict *ev, const struct evict_want *w, struct err *e);

/* ERR_USAGE: the policy needs what is not known here (the text has the remedy), no capacity is
 * known. ERR_REFUSED: a guard: more than may be deleted, less left than must be kept;
 * ev->plan is there all the same. */
int evict_plan(struct evict *ev, const struct evict_want *w, struct err *e);

/* A word for a step's reason: "ttl", "expired", "quota", the policy's name, "incomplete" ... */
const char *evict_reason(const struct evict *ev, const struct plan_step *s);

/* ---- doing it ---- */

enum evict_state {
	EVICT_GONE,		/* deleted, demoted, or moved to another class */
	EVICT_VANISHED,		/* somebody else did */
	EVICT_USED,		/* left: written or used since it was listed */
	EVICT_KEPT,		/* left: something that hangs on it is still there */
	EVICT_FAILED,		/* why says it */
	EVICT_STATES
};

struct evict_run {
	struct store *demote;		/* copy objects here first; NULL: delete only */
	const char *class;		/* do not delete: move to this storage class; NULL */
	uint64_t mem;			/* for copies in flight */
	uint64_t bwlimit;		/* of copies, bytes/s; 0 none */
	double until_mono;		/* clock_mono() to stop at; 0 none */
	unsigned jobs;
	/* Each step, in the plan's order, a while after it was done; one at a time, but from
	 * any thread. */
	void (*told)(void *ctx, const struct plan_step *s, enum evict_state state,
		const struct err *why);
	void *ctx;
	/* out */
	uint64_t count[EVICT_STATES], bytes[EVICT_STATES];
	int timed_out;
};

/* Follow the plan to its end, to the time limit, or to a stop (ERR_STOPPED). Steps that fail are
 * told and counted; -1 only where going on makes no sense. The index forgets what is gone. */
int evict_run(struct evict *ev, struct evict_run *r, struct err *e);

#endif
