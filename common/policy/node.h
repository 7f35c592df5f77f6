#ifndef POLICY_NODE_H
#define POLICY_NODE_H

#include "base/heap.h"
#include "policy/map.h"
#include "policy/plan.h"
#include "policy/policy.h"

/*
 * What the policies are made of, inside this room: records of blocks in one
 * array, linked by index, and queues of them. A record is resident, or a ghost: a
 * key remembered after its block left.
 */
#define NODE_NONE UINT32_MAX

struct node {
	uint64_t key;
	uint64_t bytes;
	uint32_t prev, next;	/* prev is toward the newer end of its queue */
	uint32_t count;		/* uses, as the policy counts them */
	uint8_t queue;		/* which queue, as the policy numbers them */
	uint8_t ghost;
};

/* A queue: new records enter at the head. */
struct queue {
	uint32_t head, tail;
	uint64_t bytes, n;
};

/* Base of every policy's state. */
struct policy {
	const struct policy_ops *ops;
	struct policy_options o;
	const struct policy_request *req;
	struct map map;
	struct node *nodes;
	uint32_t room;		/* of nodes[] */
	uint32_t fresh;		/* slots from here on were never used */
	uint32_t free;		/* slots given back, linked by next */
	uint64_t used;		/* by residents; */
	uint64_t tick;		/* references so far, the present one included */
	uint64_t count;		/* of residents: apart from used, lest both be loaded as one word
				 * just after they were stored as two, which stalls */
};

struct policy_ops {
	const char *name;
	const char *about;
	unsigned needs;		/* enum policy_needs */
	int tail_first;
	size_t state;		/* size of the struct that begins with struct policy */
	/* Keeps records of its own: neither map nor nodes are used, at is NODE_NONE always. */
	int own_records;
	int (*open)(struct policy *p, struct err *e);	/* NULL: zeroes will do */
	void (*close)(struct policy *p);		/* NULL: nothing more to free */
	int (*begin)(struct policy *p, struct err *e);	/* NULL: not interested */
	/* Block i of p->req: at is its record (resident or ghost) or NODE_NONE. Returns
	 * as policy_access(). */
	int (*access)(struct policy *p, uint32_t i, uint32_t at, struct err *e);
	/* For own_records: as policy_has(), and as policy_replay() after policy_begin(). */
	int (*has)(const struct policy *p, uint64_t key);
	int (*replay)(struct policy *p, int tail, struct policy_found *f, struct err *e);
	/* Batch: the keep value of an entry; ties are broken by last access. */
	double (*score)(const struct plan_entry *v, const struct plan_want *w);
	/* Batch, for a policy that must see all entries first; instead of score. */
	int (*scores)(double *score, const struct plan_entry *v, size_t n,
		const struct plan_want *w, struct err *e);
};

/* Last known use of an entry of a snapshot. */
static inline double
plan_used_s(const struct plan_entry *v)
{
	return v->accessed_s > v->created_s ? v->accessed_s : v->created_s;
}

/* A resident record for block i, not yet in a queue; NODE_NONE without memory. */
uint32_t node_new(struct policy *p, uint32_t i, struct err *e);
/* The block leaves the cache; the caller is told. The record stays as a ghost. */
void node_evict(struct policy *p, uint32_t at);
/* A ghost's block comes back, with the size it has now. */
void node_revive(struct policy *p, uint32_t at, uint32_t i);
/* Forget a ghost. */
void node_forget(struct policy *p, uint32_t at);
/* Both at once: the block leaves and is not remembered. */
void node_drop(struct policy *p, uint32_t at);

/* Size of block i of the request, and its attributes. */
static inline uint64_t
node_bytes(const struct policy *p, uint32_t i)
{
	return p->req->bytes ? p->req->bytes[i] : 1;
}

const struct policy_attr *node_attr(const struct policy *p, uint32_t i);

/* Would block i not fit even in an empty cache? Then it is not let in. */
int node_too_big(struct policy *p, uint32_t i);

void node_queue(struct queue *q);
void node_push(struct policy *p, struct queue *q, uint32_t at);
void node_unlink(struct policy *p, struct queue *q, uint32_t at);
uint32_t node_pop(struct policy *p, struct queue *q);	/* the oldest, or NODE_NONE */

/* From elsewhere in the queue to just behind up, as if it were a little older. */
void node_behind(struct policy *p, struct queue *q, uint32_t at, uint32_t up);

/* To the head of its queue. */
void node_renew(struct policy *p, struct queue *q, uint32_t at);

#endif
