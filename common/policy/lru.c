#include <stdlib.h>

#include "base/huge.h"
#include "policy/policies.h"

/*
 * Least recently used first. No list is kept in order: uses are written to a log, and of each
 * block where in the log its last use stands. The oldest block is the first in the log that was
 * not used again since; a use is one word written in a row and one in place. What was
 * used again is dropped when it comes to the log's end, or when the log is full: it has
 * room for four times the residents at most (and LOG_FIRST).
 *
 * A record is a slot of three arrays. With dense keys the key is its slot, and a block
 * is resident if its last use is still in the log.
 */
#define LOG_FIRST 1024
#define DENSE_FIRST (1u << 19)	/* slots: a huge page; untouched room costs nothing */
#define AHEAD 16

struct lru {
	struct policy p;	/* map: of keys to slots, unless they are dense */
	uint32_t *log;		/* slots, in a ring; positions in it count on */
	uint32_t head, tail;
	uint32_t room;		/* of the log, a power of 2 */
	uint32_t slots;		/* room of these: */
	uint32_t *last;		/* where its last use stands; 0: nowhere */
	uint64_t *keys;		/* when they are not dense; of free slots: the next one */
	uint64_t *bytes;	/* once a request tells sizes */
};

static void
lru_close(struct policy *p)
{
	struct lru *l = (struct lru *)p;

	free(l->log);
	huge_free(l->last, l->slots * sizeof(*l->last));
	free(l->keys);
	free(l->bytes);
}

/* The slot of a resident block, or NODE_NONE. */
static inline uint32_t
find(const struct lru *l, uint64_t key)
{
	if (!l->p.o.dense)
		return map_get(&l->p.map, key);
	return key < l->slots && l->last[key] >= l->tail ? (uint32_t)key : NODE_NONE;
}

/* ---- the log ---- */

/* A new log of what is still the last use of its block, under new positions. */
static int
tidy(struct lru *l, struct err *e)
{
	uint32_t room = l->p.count > l->room / 2 ? l->room * 2 : l->room;
	uint32_t head = l->head, *log = room ? calloc(room, sizeof(*log)) : NULL;

	if (!log)
		return err_sys(e, "policy 'lru'");
	if (head + 4ull * room > UINT32_MAX) {	/* begin again, once in billions of uses */
		for (uint32_t at = 0; at < l->slots; at++)
			if (l->last[at] < l->tail)
				l->last[at] = 0;
		head = 1;
	}
	uint32_t first = head;
	for (uint32_t i = l->tail; i != l->head; i++) {
		uint32_t at = l->log[i & (l->room - 1)];

		if (l->last[at] == i) {
			log[head & (room - 1)] = at;
			l->last[at] = head++;
		}
	}
	free(l->log);
	l->log = log;
	l->room = room;
	l->tail = first;
	l->head = head;
	return 0;
}

static inline int
use(struct lru *l, uint32_t at, struct err *e)
{
	if ((l->head - l->tail == l->room || l->head == UINT32_MAX) && tidy(l, e) < 0)
		return -1;
	l->last[at] = l->head;
	l->log[l->head++ & (l->room - 1)] = at;
	return 0;
}

/* ---- slots ---- */

static inline uint64_t
key_of(const struct lru *l, uint32_t at)
{
	return l->p.o.dense ? at : l->keys[at];
}

static inline void
evict(struct lru *l)
{
	struct policy *p = &l->p;
	uint64_t bytes;
	uint32_t at;

	do
		at = l->log[l->tail & (l->room - 1)];
	while (l->last[at] != l->tail++);
	bytes = l->bytes ? l->bytes[at] : 1;
	p->used -= bytes;
	p->count--;
	if (p->o.evicted)
		p->o.evicted(p->o.ctx, key_of(l, at), bytes);
	if (!p->o.dense) {
		map_del(&p->map, l->keys[at]);
		l->keys[at] = p->free;
		p->free = at;
	}
}

/* Room for this slot. */
static int
grow(struct lru *l, uint64_t at, struct err *e)
{
	uint64_t slots = l->slots ? l->slots * 2ull : l->p.o.dense ? DENSE_FIRST : LOG_FIRST;
	uint32_t *last;
	uint64_t *keys, *bytes;

	if (at >= NODE_NONE)
		return err_set(e, ERR_FAILED, "policy 'lru': more than 4 billion blocks");
	slots = at >= slots ? at + 1 : slots < NODE_NONE ? slots : NODE_NONE;
	keys = l->p.o.dense ? NULL : realloc(l->keys, slots * sizeof(*keys));
	if (keys)
		l->keys = keys;
	bytes = l->bytes ? realloc(l->bytes, slots * sizeof(*bytes)) : NULL;
	if (bytes)
		l->bytes = bytes;
	if ((!keys && !l->p.o.dense) || (!bytes && l->bytes))
		return err_sys(e, "policy 'lru'");
	last = huge_grow(l->last, l->slots * sizeof(*last), slots * sizeof(*last));
	if (!last)
		return err_sys(e, "policy 'lru'");
	l->last = last;
	l->slots = (uint32_t)slots;
	return 0;
}

static int
with_sizes(struct lru *l, struct err *e)
{
	l->bytes = malloc(((size_t)l->slots + 1) * sizeof(*l->bytes));
	if (!l->bytes)
		return err_sys(e, "policy 'lru'");
	for (uint32_t at = 0; at < l->slots; at++)
		l->bytes[at] = 1;
	return 0;
}

/* A slot for a block that is not resident, or NODE_NONE. */
static uint32_t
slot(struct lru *l, uint64_t key, struct err *e)
{
	struct policy *p = &l->p;
	uint32_t at = p->free;

	if (p->o.dense) {
		if (key < l->slots || grow(l, key, e) == 0)
			return (uint32_t)key;
		return NODE_NONE;
	}
	if (at != NODE_NONE)
		p->free = (uint32_t)l->keys[at];
	else if (p->fresh < l->slots || grow(l, p->fresh, e) == 0)
		at = p->fresh++;
	else
		return NODE_NONE;
	l->keys[at] = key;
	if (map_put(&p->map, key, at) == 0)
		return at;
	err_sys(e, "policy 'lru'");
	return NODE_NONE;
}

static inline int
access_block(struct lru *l, uint32_t i, struct err *e)
{
	struct policy *p = &l->p;
	uint32_t at = find(l, p->req->keys[i]);

	if (at != NODE_NONE)
		return use(l, at, e) < 0 ? -1 : 1;
	if (node_too_big(p, i))
		return 0;
	if (p->req->bytes && !l->bytes && with_sizes(l, e) < 0)
		return -1;
	while (p->used + node_bytes(p, i) > p->o.capacity)
		evict(l);
	at = slot(l, p->req->keys[i], e);
	if (at == NODE_NONE || use(l, at, e) < 0)
		return -1;
	if (l->bytes)
		l->bytes[at] = node_bytes(p, i);
	p->used += node_bytes(p, i);
	p->count++;
	return 0;
}

static int
lru_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	(void)at;
	return access_block((struct lru *)p, i, e);
}

static int
lru_has(const struct policy *p, uint64_t key)
{
	return find((const struct lru *)p, key) != NODE_NONE;
}

/* Blocks of the prefix that is resident. */
static uint32_t
resident_prefix(const struct lru *l)
{
	const struct policy_request *r = l->p.req;
	uint32_t n = 0;

	while (n < r->n && find(l, r->keys[n]) != NODE_NONE)
		n++;
	return n;
}

/* The whole request where nothing has a size, nobody is told, and keys are dense: the same as
 * access_block() for each, in a quarter of the time. The log has room, and positions are left.
 * Head first, the prefix is what hits before anything leaves. */
static void
plain(struct lru *l, int tail_first, struct policy_found *f)
{
	const struct policy_request *r = l->p.req;
	uint32_t *last = l->last, *log = l->log, mask = l->room - 1, i = 0;
	uint32_t head = l->head, tail = l->tail, prefix = tail_first ? resident_prefix(l) : 0;
	uint64_t free = l->p.o.capacity - l->p.count, hits = 0;

	for (; !tail_first && i < r->n && last[r->keys[i]] >= tail; i++) {
		last[r->keys[i]] = head;
		log[head++ & mask] = (uint32_t)r->keys[i];
		hits = ++prefix;
	}
	for (; i < r->n; i++) {
		uint32_t at = (uint32_t)r->keys[tail_first ? r->n - 1 - i : i];

		if (last[at] >= tail) {
			hits++;
		} else if (free) {
			free--;
		} else {
			for (; last[log[tail & mask]] != tail; tail++)
				__builtin_prefetch(&last[log[(tail + AHEAD) & mask]]);
			tail++;
		}
		last[at] = head;
		log[head++ & mask] = at;
	}
	l->head = head;
	l->tail = tail;
	l->p.count = l->p.used = l->p.o.capacity - free;
	f->hits += hits;
	f->prefix += prefix;
}

static int
is_plain(const struct lru *l)
{
	const struct policy *p = &l->p;

	if (!p->o.dense || l->bytes || p->req->bytes || p->o.evicted ||
	    l->room - (l->head - l->tail) < p->req->n || UINT32_MAX - l->head < p->req->n)
		return 0;
	for (uint32_t i = 0; i < p->req->n; i++)
		if (p->req->keys[i] >= l->slots)
			return 0;
	return 1;
}

static int
lru_replay(struct policy *p, int tail, struct policy_found *f, struct err *e)
{
	struct lru *l = (struct lru *)p;
	uint32_t n = p->req->n;

	if (is_plain(l)) {
		plain(l, tail, f);
		return 0;
	}
	f->prefix += resident_prefix(l);
	for (uint32_t i = 0; i < n; i++) {
		int hit = access_block(l, tail ? n - 1 - i : i, e);

		if (hit < 0)
			return -1;
		f->hits += (unsigned)hit;
	}
	return 0;
}

static int
lru_open(struct policy *p, struct err *e)
{
	struct lru *l = (struct lru *)p;

	l->room = LOG_FIRST;
	l->head = l->tail = 1;
	l->log = calloc(l->room, sizeof(*l->log));
	if (!l->log)
		return err_sys(e, "policy 'lru'");
	if (!p->o.dense)
		return map_open(&p->map, 0) < 0 ? err_sys(e, "policy 'lru'") : 0;
	return grow(l, 0, e);
}

static double
lru_score(const struct plan_entry *v, const struct plan_want *w)
{
	(void)w;
	return plan_used_s(v);
}

const struct policy_ops policy_lru = {
	.name = "lru", .about = "least recently used first", .needs = POLICY_ACCESSED,
	.state = sizeof(struct lru), .own_records = 1, .open = lru_open, .close = lru_close,
	.access = lru_access, .has = lru_has, .replay = lru_replay, .score = lru_score,
};
