#ifndef INDEX_SQLITE_H
#define INDEX_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>

#include "index/ops.h"

/* Shared by sqlite.c (the operations) and sqlite_open.c (the file and its transactions). */
enum statement {
	S_PUT, S_ACCESS, S_REMOVE, S_PIN, S_LEASE, S_GET, S_NAMES, S_USED, S_SWEEP,
	STATEMENTS
};

struct sqlite_index {
	struct index base;	/* first */
	pthread_mutex_t lock;	/* one connection, one user at a time */
	sqlite3 *db;
	sqlite3_stmt *st[STATEMENTS];
};

#define INDEX_TEXT_OF(x) #x
#define INDEX_TEXT(x) INDEX_TEXT_OF(x)

int sqlite_open(struct index **out, const struct index *like, const struct conf *conf,
	struct err *e);
void sqlite_close(struct index *ix);

/* The error the connection holds, as ours; -1. */
int sqlite_fail(struct sqlite_index *q, const char *what, struct err *e);
/* A statement without result. */
int sqlite_run(struct sqlite_index *q, const char *text, struct err *e);

/* A change begins with the connection and the file locked; end commits it, or with rc -1
 * takes it back, unlocks, and returns how it went. */
int sqlite_begin(struct sqlite_index *q, struct err *e);
int sqlite_end(struct sqlite_index *q, int rc, struct err *e);

/* A number of the meta table; 0 when it is not there. */
int64_t sqlite_meta(struct sqlite_index *q, const char *name);

#endif
