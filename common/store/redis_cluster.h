#ifndef STORE_REDIS_CLUSTER_H
#define STORE_REDIS_CLUSTER_H

#include "store/redis_login.h"

/* Who serves which slots of a cluster, as a server tells it (CLUSTER SLOTS). */
struct redis_range {
	unsigned from, to;	/* inclusive */
	struct redis_place at;	/* the master */
};

struct redis_slots {
	struct redis_range *v;
	size_t n;		/* 0: not a cluster */
};

/* -1 only for a broken connection or a map that makes no sense; free it after 0. */
int redis_slots_ask(struct resp *r, struct redis_slots *out, struct err *e);
void redis_slots_free(struct redis_slots *s);

/* "MOVED 3999 host:port" or "ASK ...": 0, or -1: it is none. to->host "" means the host
 * that said it. */
int redis_redirect(const char *line, unsigned *slot, struct redis_place *to, int *asking);

#endif
