#ifndef STORE_OPS_H
#define STORE_OPS_H

#include "store/store.h"

/* For back ends alone. State begins with struct store. An operation a back end lacks is
 * NULL and the front in store.c answers for it. Contracts: store.h, function of that name. */
struct store {
	const struct store_ops *ops;
	char url[256];			/* for messages; set by store_open() */
	struct store_opts opts;
};

struct store_ops {
	const char *const *schemes;	/* NULL-terminated */
	unsigned jobs;
	int (*open)(struct store **out, const struct uri *u, const struct store_opts *o,
		struct err *e);
	void (*close)(struct store *s);
	int (*list)(struct store *s, const char *prefix, unsigned flags, store_each *each,
		void *ctx, struct err *e);
	int (*stat)(struct store *s, const char *name, struct store_item *it, struct err *e);
	int (*get)(struct store *s, const char *name, uint64_t off, uint64_t len,
		struct store_get *g, struct err *e);
	int (*fd)(struct store *s, const char *name, struct err *e);
	int (*put)(struct store *s, const char *name, const struct iovec *iov, int n,
		const struct store_put *how, struct err *e);
	int (*del)(struct store *s, const char *const *names, size_t n, signed char *states,
		struct err *e);
	void (*touch)(struct store *s, const char *name);
	int (*sweep)(struct store *s, double min_age_s, int dry, store_each *each, void *ctx,
		struct err *e);
	int (*space)(struct store *s, uint64_t *total, uint64_t *free_bytes, struct err *e);
	int (*lock)(struct store *s, const char *what, struct err *e);
	void (*unlock)(struct store *s, const char *what);
};

/* Room for n more bytes in g->out, for back ends; says the size is known to be total. */
int store_get_room(struct store_get *g, size_t n, struct err *e);
/* Bytes of an iovec. */
uint64_t store_iov_size(const struct iovec *iov, int n);

extern const struct store_ops store_file;
extern const struct store_ops store_shm;
extern const struct store_ops store_mem;
extern const struct store_ops store_null;
extern const struct store_ops store_s3;
extern const struct store_ops store_redis;

#endif
