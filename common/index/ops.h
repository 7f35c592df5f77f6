#ifndef INDEX_OPS_H
#define INDEX_OPS_H

#include "index/index.h"

/* For back ends alone. State begins with struct index. Contracts: index.h. */
struct index_notes;

struct index {
	const struct index_ops *ops;
	char *where;			/* as opened */
	char safe[256];			/* of where: for messages */
	char *store;			/* identity of the store, see index_identity() */
	unsigned flags;
	uint64_t generation;		/* of the rebuild this handle began; 0 none */
	struct index_notes *notes;	/* NULL until the first note */
};

/* Entries in memory that own their texts, in one allocation each. */
int index_entry_copy(struct index_entry *to, const struct index_entry *from, struct err *e);
void index_entry_free(struct index_entry *x);		/* safe on zero */

/* A piece of an iteration. Back ends add entries after the last one given, which they
 * know by name and accessed_s; fewer than INDEX_PAGE mean the end. */
#define INDEX_PAGE 512
struct index_page {
	const char *prefix;
	enum index_order order;
	struct index_entry last;	/* of the page before; name NULL: this is the first */
	struct index_entry v[INDEX_PAGE];
	size_t n;
};

struct index_ops {
	const char *const *schemes;	/* NULL-terminated */
	int shared;
	/* where, safe, store and flags of ix are set by the front afterwards, but for
	 * those that open needs, which come in like. */
	int (*open)(struct index **out, const struct index *like, const struct conf *conf,
		struct err *e);
	void (*close)(struct index *ix);
	int (*put)(struct index *ix, const struct index_entry *v, size_t n, struct err *e);
	int (*access)(struct index *ix, const struct index_use *v, size_t n, struct err *e);
	int (*remove)(struct index *ix, const char *const *names, size_t n, struct err *e);
	int (*pin)(struct index *ix, const char *name, int pinned, struct err *e);
	int (*lease)(struct index *ix, const char *name, int64_t until_s, struct err *e);
	int (*page)(struct index *ix, struct index_page *pg, struct err *e);
	int (*get)(struct index *ix, const char *name, struct index_entry *out, struct err *e);
	int (*info)(struct index *ix, struct index_info *out, struct err *e);
	int (*rebuild_begin)(struct index *ix, struct err *e);
	int (*rebuild_end)(struct index *ix, uint64_t *dropped, struct err *e);
};

extern const struct index_ops index_sqlite;
extern const struct index_ops index_redis;

/* An object put again is a new one, without the expiry of the old, when it was created
 * this much later: clocks of hosts and of stores differ by less. */
#define INDEX_SKEW_S 60

#define INDEX_VERSION 1

/* What the notes' thread does, and how it ends. */
int index_notes_close(struct index *ix, struct err *e);

#endif
