#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/uri.h"
#include "index/sqlite.h"
#include "lib/lib.h"

/*
 * One file, in WAL mode: readers are never in the way of the writer, and a killed process
 * leaves nothing to repair. A change is one transaction that takes the write lock at once
 * (BEGIN IMMEDIATE) and waits for it; never a read that becomes a write. WAL needs shared
 * memory between its users, so the file belongs on a disk of one host.
 */
#define BUSY_MS 20000
#define APPLICATION 0x6b766978	/* "kvix" */

static const char tables[] =
	"CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS entry (name TEXT PRIMARY KEY,"
	" size INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL DEFAULT 0,"
	" accessed INTEGER NOT NULL DEFAULT 0, expires INTEGER NOT NULL DEFAULT 0,"
	" hits INTEGER NOT NULL DEFAULT 0, hash TEXT NOT NULL DEFAULT '',"
	" parent TEXT NOT NULL DEFAULT '', depth INTEGER NOT NULL DEFAULT 0,"
	" priority INTEGER NOT NULL DEFAULT 0, tenant TEXT NOT NULL DEFAULT '',"
	" cost REAL NOT NULL DEFAULT 0, labels TEXT NOT NULL DEFAULT '',"
	" pinned INTEGER NOT NULL DEFAULT 0, leased INTEGER NOT NULL DEFAULT 0,"
	" seen INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS used ON entry (accessed, name);"
	"INSERT OR IGNORE INTO meta VALUES ('generation', 1), ('rebuilt', 0);"
	"PRAGMA application_id = " INDEX_TEXT(APPLICATION) ";"
	"PRAGMA user_version = " INDEX_TEXT(INDEX_VERSION) ";";

int
sqlite_fail(struct sqlite_index *q, const char *what, struct err *e)
{
	static const char remedy[] = "; 'kvstat index rebuild' makes it anew";
	int rc = sqlite3_errcode(q->db);
	enum err_kind kind = ERR_FAILED;

	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(e, ERR_TEMP, "%s: locked by another process", what);
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return err_set(e, ERR_CORRUPT, "%s: damaged, or no index: %s%s", what,
			sqlite3_errmsg(q->db), remedy);
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_AUTH:
		kind = ERR_REFUSED;
		break;
	default:
		break;
	}
	return err_set(e, kind, "%s: %s", what, sqlite3_errmsg(q->db));
}

int
sqlite_run(struct sqlite_index *q, const char *text, struct err *e)
{
	return sqlite3_exec(q->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 :
		sqlite_fail(q, "change", e);
}

int
sqlite_begin(struct sqlite_index *q, struct err *e)
{
	pthread_mutex_lock(&q->lock);
	if (sqlite_run(q, "BEGIN IMMEDIATE", e) == 0)
		return 0;
	pthread_mutex_unlock(&q->lock);
	return -1;
}

int
sqlite_end(struct sqlite_index *q, int rc, struct err *e)
{
	if (rc == 0)
		rc = sqlite_run(q, "COMMIT", e);
	if (rc < 0)
		sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL);
	pthread_mutex_unlock(&q->lock);
	return rc;
}

int64_t
sqlite_meta(struct sqlite_index *q, const char *name)
{
	sqlite3_stmt *st;
	int64_t v = 0;

	if (sqlite3_prepare_v2(q->db, "SELECT value FROM meta WHERE name = ?1", -1, &st,
	    NULL) != SQLITE_OK)
		return 0;
	sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	if (sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return v;
}

/* The store and the birthday, written once; then whether it is this store's. */
static int
check_store(struct sqlite_index *q, const struct index *like, struct err *e)
{
	sqlite3_stmt *st;
	const char *was;
	int rc = 0;

	if (like->flags & INDEX_WRITE) {
		if (sqlite3_prepare_v2(q->db, "INSERT OR IGNORE INTO meta VALUES "
		    "('store', ?1), ('made', ?2)", -1, &st, NULL) != SQLITE_OK)
			return sqlite_fail(q, "open", e);
		sqlite3_bind_text(st, 1, like->store, -1, SQLITE_STATIC);
		sqlite3_bind_int64(st, 2, clock_now());
		if (sqlite3_step(st) != SQLITE_DONE)
			rc = sqlite_fail(q, "open", e);
		sqlite3_finalize(st);
		if (rc < 0)
			return -1;
	}
	if (sqlite3_prepare_v2(q->db, "SELECT value FROM meta WHERE name = 'store'", -1, &st,
	    NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW) {
		sqlite_fail(q, "open", e);
		sqlite3_finalize(st);
		return -1;
	}
	was = (const char *)sqlite3_column_text(st, 0);
	if (!was || strcmp(was, like->store) != 0)
		rc = err_set(e, ERR_USAGE, "is the index of another store, '%s'",
			was ? was : "");
	sqlite3_finalize(st);
	return rc;
}

static int
check_version(struct sqlite_index *q, int *fresh, struct err *e)
{
	sqlite3_stmt *st;
	int version, application, used;

	if (sqlite3_prepare_v2(q->db, "SELECT user_version, application_id, "
	    "(SELECT count(*) FROM sqlite_master) FROM "
	    "pragma_user_version, pragma_application_id", -1, &st, NULL) != SQLITE_OK ||
	    sqlite3_step(st) != SQLITE_ROW) {
		sqlite_fail(q, "open", e);
		sqlite3_finalize(st);
		return -1;
	}
	version = sqlite3_column_int(st, 0);
	application = sqlite3_column_int(st, 1);
	used = sqlite3_column_int(st, 2);
	sqlite3_finalize(st);
	*fresh = version == 0 && application == 0 && used == 0;
	if (*fresh || (version == INDEX_VERSION && application == APPLICATION))
		return 0;
	if (application != APPLICATION)
		return err_set(e, ERR_USAGE, "is another program's database");
	return err_set(e, ERR_CORRUPT, "of another version of kvtools: 'kvstat index rebuild' "
		"makes it anew");
}

/* Damage that a look at the file's beginning does not find: all its pages are read. */
static int
check_pages(struct sqlite_index *q, struct err *e)
{
	const char *said = NULL;
	sqlite3_stmt *st;
	int rc = 0;

	if (sqlite3_prepare_v2(q->db, "PRAGMA quick_check(1)", -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		said = (const char *)sqlite3_column_text(st, 0);
	if (!said)
		rc = sqlite_fail(q, "check", e);
	else if (strcmp(said, "ok") != 0)
		rc = err_set(e, ERR_CORRUPT, "damaged: %.200s", said);
	sqlite3_finalize(st);
	return rc;
}

/* WAL is a property of the file. Whoever sets it first needs the file alone for a
 * moment, and no busy handler waits for that. */
static int
set_wal(struct sqlite_index *q, struct err *e)
{
	double until = clock_mono() + BUSY_MS / 1000.0;
	int rc;

	for (;;) {
		rc = sqlite3_exec(q->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			return 0;
		if ((rc & 0xff) != SQLITE_BUSY || clock_mono() > until)
			return sqlite_fail(q, "open", e);
		if (clock_sleep(0.02, e) < 0)
			return -1;
	}
}

static int
set_up(struct sqlite_index *q, const struct index *like, struct err *e)
{
	int fresh, rc;

	sqlite3_busy_timeout(q->db, BUSY_MS);
	sqlite3_extended_result_codes(q->db, 1);
	if (check_version(q, &fresh, e) < 0)
		return -1;
	if ((like->flags & INDEX_RENEW) && check_pages(q, e) < 0)
		return -1;
	if (!(like->flags & INDEX_WRITE))
		return fresh ? err_set(e, ERR_ABSENT, "is empty") : check_store(q, like, e);
	if (set_wal(q, e) < 0 || sqlite_run(q, "PRAGMA synchronous = NORMAL", e) < 0 ||
	    sqlite_begin(q, e) < 0)
		return -1;
	rc = check_version(q, &fresh, e);	/* somebody may have been quicker */
	if (rc == 0 && fresh)
		rc = sqlite_run(q, tables, e);
	if (rc == 0)
		rc = check_store(q, like, e);
	return sqlite_end(q, rc, e);
}

void
sqlite_close(struct index *ix)
{
	struct sqlite_index *q = (struct sqlite_index *)ix;
	int i;

	for (i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(q->st[i]);
	sqlite3_close(q->db);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

/* A damaged file is put aside under a name that says so. */
static int
put_aside(const char *path, struct err *e)
{
	char to[4096];

	snprintf(to, sizeof(to), "%s.damaged-%lld", path, (long long)clock_now());
	if (rename(path, to) < 0)
		return err_sys(e, "rename to '%s'", to);
	snprintf(to, sizeof(to), "%s-wal", path);
	unlink(to);
	snprintf(to, sizeof(to), "%s-shm", path);
	unlink(to);
	return 0;
}

static int
open_file(struct index **out, const char *path, const struct index *like, struct err *e)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
	struct sqlite_index *q;

	if (lib_sqlite(e) < 0)
		return -1;
	if (!(like->flags & INDEX_WRITE) && access(path, F_OK) < 0)
		return err_sys(e, "open");
	q = calloc(1, sizeof(*q));
	if (!q)
		return err_sys(e, "open");
	pthread_mutex_init(&q->lock, NULL);
	if (like->flags & INDEX_WRITE)
		flags |= SQLITE_OPEN_CREATE;
	if (sqlite3_open_v2(path, &q->db, flags, NULL) != SQLITE_OK) {
		sqlite_fail(q, "open", e);
		goto close;
	}
	if (set_up(q, like, e) < 0)
		goto close;
	*out = &q->base;
	return 0;
close:
	sqlite_close(&q->base);
	return -1;
}

int
sqlite_open(struct index **out, const struct index *like, const struct conf *conf,
	struct err *e)
{
	static const char *const args[] = { NULL };
	unsigned both = INDEX_WRITE | INDEX_RENEW;
	struct err why = { 0 };
	struct uri *u;
	int rc;

	(void)conf;
	if (uri_parse(&u, like->where, e) < 0)
		return -1;
	rc = uri_check_args(u, args, e);
	if (rc == 0)
		rc = open_file(out, u->path, like, &why);
	if (rc < 0 && why.kind == ERR_CORRUPT && (like->flags & both) == both)
		rc = put_aside(u->path, &why) < 0 ? -1 : open_file(out, u->path, like, &why);
	if (rc < 0 && why.kind && e)
		*e = why;
	uri_free(u);
	return rc;
}
