#ifndef INDEX_REDIS_H
#define INDEX_REDIS_H

#include <pthread.h>

#include "index/ops.h"
#include "store/redis_net.h"

#define REDIS_INDEX_TEXT 4096	/* longest name, and field of an entry */
#define REDIS_INDEX_SHARDS 16	/* hashes of uses; the scripts' base knows it too */

/* Shared by redis.c (changes), redis_use.c, redis_open.c and redis_read.c. */
struct redis_index {
	struct index base;	/* first */
	struct redis_net *net;
	char *entry;		/* what the key of an entry begins with */
	char *meta, *names, *used;
	char *uses[REDIS_INDEX_SHARDS];
	pthread_mutex_t lock;	/* of uses being written, and of */
	unsigned shard;		/* where that was done last */
};

int redis_index_open(struct index **out, const struct index *like, const struct conf *conf,
	struct err *e);
void redis_index_close(struct index *ix);

/* The key of an entry, in key (whose fail says that memory is short). */
const char *redis_index_key(const struct redis_index *x, const char *name, struct buf *key);

/* Say a script with so many arguments, which follow. KEYS[1] is the key of meta. */
void redis_index_script(const struct redis_index *x, struct resp *r, const char *script,
	size_t args);
/* How scripts begin: base is what all keys begin with, shards are the hashes of uses. */
#define REDIS_INDEX_BASE \
	"local base, shards = string.sub(KEYS[1], 1, -5), {} " \
	"for k = 0, 15 do local key = base .. 'uses:' .. k " \
	"if redis.call('EXISTS', key) == 1 then shards[#shards + 1] = key end end "

/* The ten digits kept of the time of a use, in out; times outside of 1970 to 2286 are cut. */
#define REDIS_INDEX_TIME 10
const char *redis_index_time(char *out, int64_t at_s);

/* Add what is known of the uses of v[].name, n of them. */
int redis_index_uses(const struct redis_index *x, struct resp *r, struct index_use *v, size_t n,
	struct err *e);

int redis_index_access(struct index *ix, const struct index_use *v, size_t n, struct err *e);
/* Brings the sorted set of last uses up to date. */
int redis_index_sort(const struct redis_index *x, struct resp *r, struct err *e);

/* A number of the meta hash; 0 when it is not there. */
int redis_index_number(const struct redis_index *x, struct resp *r, const char *field,
	int64_t *out, struct err *e);

int redis_index_page(struct index *ix, struct index_page *pg, struct err *e);
int redis_index_get(struct index *ix, const char *name, struct index_entry *out,
	struct err *e);
int redis_index_info(struct index *ix, struct index_info *out, struct err *e);

#endif
