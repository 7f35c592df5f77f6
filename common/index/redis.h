#ifndef INDEX_REDIS_H
#define INDEX_REDIS_H

#include "index/ops.h"
#include "store/redis_net.h"

/* Shared by redis.c (changes), redis_open.c and redis_read.c. */
struct redis_index {
	struct index base;	/* first */
	struct redis_net *net;
	char *entry;		/* what the key of an entry begins with */
	char *meta, *names, *used, *hits;
};

int redis_index_open(struct index **out, const struct index *like, const struct conf *conf,
	struct err *e);
void redis_index_close(struct index *ix);

/* The key of an entry, in key (whose fail says that memory is short). */
const char *redis_index_key(const struct redis_index *x, const char *name, struct buf *key);

/* A number of the meta hash; 0 when it is not there. */
int redis_index_number(const struct redis_index *x, struct resp *r, const char *field,
	int64_t *out, struct err *e);

int redis_index_page(struct index *ix, struct index_page *pg, struct err *e);
int redis_index_get(struct index *ix, const char *name, struct index_entry *out,
	struct err *e);
int redis_index_info(struct index *ix, struct index_info *out, struct err *e);

#endif
