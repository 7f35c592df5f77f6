#ifndef STORE_REDIS_H
#define STORE_REDIS_H

#include "base/buf.h"
#include "store/ops.h"
#include "store/redis_net.h"

/* Shared by redis.c (objects), redis_list.c (listing) and redis_admin.c. */
struct redis_store {
	struct store base;	/* first */
	struct redis_net *net;
	int64_t lock_until_s;	/* when our lock runs out; 0: none held */
	char lock_name[64];
	char lock_text[160];
};

/* Keys of our own among the objects' begin so, behind the prefix; they are not listed. */
#define REDIS_OWN "kvtools:"

/* The key of an object; the NUL-terminated text is the buffer's. NULL: no memory. */
const char *redis_key(struct redis_store *s, const char *name, struct buf *key, struct err *e);

int redis_stat(struct store *s, const char *name, struct store_item *it, struct err *e);
int redis_list(struct store *s, const char *prefix, unsigned flags, store_each *each, void *ctx,
	struct err *e);

/* What PTTL, OBJECT IDLETIME or FREQ, and STRLEN say of a key, in this order, so that
 * looking does not count as a use before the last use is read. */
void redis_ask(struct resp *r, const char *key, int lfu);
/* 0: it is filled in; 1: no such key, or no string; 2: filled in, but for the use: ask anew
 * with lfu the other way; 3: not now or not here, e says why. */
int redis_told(struct resp *r, struct store_item *it, int lfu, struct err *e);

int redis_space(struct store *s, uint64_t *total, uint64_t *free_bytes, struct err *e);
int redis_lock(struct store *s, const char *what, struct err *e);
void redis_unlock(struct store *s, const char *what);
/* Keep our lock, if we hold one, from running out. Cheap. */
void redis_lock_renew(struct redis_store *s);

#endif
