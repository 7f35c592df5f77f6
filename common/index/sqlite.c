#include <string.h>

#include "base/clock.h"
#include "index/sqlite.h"

#define SWEEP "1000"		/* entries one transaction of a rebuild's end deletes */

#define COLUMNS "name, size, created, accessed, expires, hits, hash, parent, depth, " \
	"priority, tenant, cost, labels, pinned, leased"
#define GENERATION "(SELECT value FROM meta WHERE name = 'generation')"
#define KEEP_TEXT(c) #c " = CASE WHEN excluded." #c " = '' THEN " #c " ELSE excluded." #c " END"
#define KEEP_NUM(c) #c " = CASE WHEN excluded." #c " = 0 THEN " #c " ELSE excluded." #c " END"

static const char *const sql[STATEMENTS] = {
	[S_PUT] =
		"INSERT INTO entry (" COLUMNS ", seen) "
		"VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15," GENERATION ") "
		"ON CONFLICT (name) DO UPDATE SET "
		"expires = CASE WHEN excluded.expires <> 0 OR "
		"excluded.created > created + " INDEX_TEXT(INDEX_SKEW_S)
		" THEN excluded.expires ELSE expires END, "
		"size = CASE WHEN excluded.created = 0 AND excluded.size = 0 "
		"THEN size ELSE excluded.size END, "
		KEEP_NUM(created) ", " KEEP_TEXT(hash) ", " KEEP_TEXT(parent) ", "
		KEEP_NUM(depth) ", " KEEP_NUM(priority) ", " KEEP_TEXT(tenant) ", "
		KEEP_NUM(cost) ", " KEEP_TEXT(labels) ", "
		"accessed = max(accessed, excluded.accessed), hits = max(hits, excluded.hits), "
		"pinned = max(pinned, excluded.pinned), leased = max(leased, excluded.leased), "
		"seen = excluded.seen",
	[S_ACCESS] =
		"INSERT INTO entry (name, hits, accessed, seen) VALUES (?1, ?2, ?3, " GENERATION
		") ON CONFLICT (name) DO UPDATE SET hits = hits + excluded.hits, "
		"accessed = max(accessed, excluded.accessed)",
	[S_REMOVE] = "DELETE FROM entry WHERE name = ?1",
	[S_PIN] = "UPDATE entry SET pinned = ?2 WHERE name = ?1",
	[S_LEASE] = "UPDATE entry SET leased = ?2 WHERE name = ?1",
	[S_GET] = "SELECT " COLUMNS " FROM entry WHERE name = ?1",
	/* ?1: after this name, ?2: the prefix, whose names end before it and the last
	 * character there is, ?3: how many, ?4: after this time; '+': not by that key */
	[S_NAMES] =
		"SELECT " COLUMNS " FROM entry WHERE name > ?1 AND name >= ?2 "
		"AND name < ?2 || char(1114111) ORDER BY name LIMIT ?3",
	[S_USED] =
		"SELECT " COLUMNS " FROM entry WHERE (accessed, name) > (?4, ?1) "
		"AND +name >= ?2 AND +name < ?2 || char(1114111) "
		"ORDER BY accessed, name LIMIT ?3",
	[S_SWEEP] = "DELETE FROM entry WHERE name IN "
		"(SELECT name FROM entry WHERE seen < ?1 LIMIT " SWEEP ")",
};

static sqlite3_stmt *
statement(struct sqlite_index *q, enum statement which, struct err *e)
{
	if (!q->st[which] && sqlite3_prepare_v3(q->db, sql[which], -1,
	    SQLITE_PREPARE_PERSISTENT, &q->st[which], NULL) != SQLITE_OK) {
		sqlite_fail(q, "prepare", e);
		return NULL;
	}
	return q->st[which];
}

/* Run a change; 0 or -1. */
static int
finish(struct sqlite_index *q, sqlite3_stmt *st, struct err *e)
{
	int rc = sqlite3_step(st);

	if (rc != SQLITE_DONE)
		sqlite_fail(q, "write", e);
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

static void
bind_text(sqlite3_stmt *st, int i, const char *s)
{
	sqlite3_bind_text(st, i, s ? s : "", -1, SQLITE_STATIC);
}

static void
bind_entry(sqlite3_stmt *st, const void *v, size_t i)
{
	const struct index_entry *x = (const struct index_entry *)v + i;

	bind_text(st, 1, x->name);
	sqlite3_bind_int64(st, 2, (int64_t)x->size);
	sqlite3_bind_int64(st, 3, x->created_s);
	sqlite3_bind_int64(st, 4, x->accessed_s);
	sqlite3_bind_int64(st, 5, x->expires_s);
	sqlite3_bind_int64(st, 6, (int64_t)x->hits);
	bind_text(st, 7, x->hash);
	bind_text(st, 8, x->parent);
	sqlite3_bind_int64(st, 9, x->depth);
	sqlite3_bind_int64(st, 10, x->priority);
	bind_text(st, 11, x->tenant);
	sqlite3_bind_double(st, 12, x->cost);
	bind_text(st, 13, x->labels);
	sqlite3_bind_int64(st, 14, x->pinned != 0);
	sqlite3_bind_int64(st, 15, x->leased_s);
}

/* The texts are the statement's until its next step. */
static void
read_entry(struct index_entry *x, sqlite3_stmt *st)
{
	x->name = (const char *)sqlite3_column_text(st, 0);
	x->size = (uint64_t)sqlite3_column_int64(st, 1);
	x->created_s = sqlite3_column_int64(st, 2);
	x->accessed_s = sqlite3_column_int64(st, 3);
	x->expires_s = sqlite3_column_int64(st, 4);
	x->hits = (uint64_t)sqlite3_column_int64(st, 5);
	x->hash = (const char *)sqlite3_column_text(st, 6);
	x->parent = (const char *)sqlite3_column_text(st, 7);
	x->depth = (uint32_t)sqlite3_column_int64(st, 8);
	x->priority = (int32_t)sqlite3_column_int64(st, 9);
	x->tenant = (const char *)sqlite3_column_text(st, 10);
	x->cost = sqlite3_column_double(st, 11);
	x->labels = (const char *)sqlite3_column_text(st, 12);
	x->pinned = sqlite3_column_int(st, 13);
	x->leased_s = sqlite3_column_int64(st, 14);
}

/* One change for each of n things, all of them or none. */
typedef void bind_fn(sqlite3_stmt *st, const void *v, size_t i);

static int
change_each(struct index *ix, enum statement which, bind_fn *bind, const void *v, size_t n,
	struct err *e)
{
	struct sqlite_index *q = (struct sqlite_index *)ix;
	sqlite3_stmt *st;
	size_t i;
	int rc = 0;

	if (sqlite_begin(q, e) < 0)
		return -1;
	st = statement(q, which, e);
	for (i = 0; st && i < n && rc == 0; i++) {
		bind(st, v, i);
		rc = finish(q, st, e);
	}
	return sqlite_end(q, st ? rc : -1, e);
}

static int
sqlite_put(struct index *ix, const struct index_entry *v, size_t n, struct err *e)
{
	return change_each(ix, S_PUT, bind_entry, v, n, e);
}

static void
bind_use(sqlite3_stmt *st, const void *v, size_t i)
{
	const struct index_use *u = (const struct index_use *)v + i;

	bind_text(st, 1, u->name);
	sqlite3_bind_int64(st, 2, (int64_t)u->n);
	sqlite3_bind_int64(st, 3, u->at_s ? u->at_s : clock_now());
}

static int
sqlite_access(struct index *ix, const struct index_use *v, size_t n, struct err *e)
{
	return change_each(ix, S_ACCESS, bind_use, v, n, e);
}

static void
bind_name(sqlite3_stmt *st, const void *v, size_t i)
{
	bind_text(st, 1, ((const char *const *)v)[i]);
}

static int
sqlite_remove(struct index *ix, const char *const *names, size_t n, struct err *e)
{
	return change_each(ix, S_REMOVE, bind_name, names, n, e);
}

/* One number of one entry. */
static int
set(struct index *ix, enum statement which, const char *name, int64_t v, struct err *e)
{
	struct sqlite_index *q = (struct sqlite_index *)ix;
	sqlite3_stmt *st;
	int rc = -1;

	if (sqlite_begin(q, e) < 0)
		return -1;
	st = statement(q, which, e);
	if (st) {
		bind_text(st, 1, name);
		sqlite3_bind_int64(st, 2, v);
		rc = finish(q, st, e);
		if (rc == 0 && sqlite3_changes(q->db) == 0)
			rc = err_set(e, ERR_ABSENT, "'%.200s': no such entry", name);
	}
	return sqlite_end(q, rc, e);
}

static int
sqlite_pin(struct index *ix, const char *name, int pinned, struct err *e)
{
	return set(ix, S_PIN, name, pinned != 0, e);
}

static int
sqlite_lease(struct index *ix, const char *name, int64_t until_s, struct err *e)
{
	return set(ix, S_LEASE, name, until_s, e);
}

/* Copy rows of a statement, at most max; closes it. */
static int
read_rows(struct sqlite_index *q, sqlite3_stmt *st, struct index_entry *v, size_t max,
	size_t *n, struct err *e)
{
	struct index_entry x;
	int rc = SQLITE_DONE, bad = 0;

	*n = 0;
	while (*n < max && !bad && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		read_entry(&x, st);
		bad = index_entry_copy(&v[*n], &x, e) < 0;
		*n += !bad;
	}
	if (!bad && rc != SQLITE_ROW && rc != SQLITE_DONE)
		bad = sqlite_fail(q, "read", e) < 0;
	sqlite3_reset(st);
	return bad ? -1 : 0;
}

static int
sqlite_page(struct index *ix, struct index_page *pg, struct err *e)
{
	struct sqlite_index *q = (struct sqlite_index *)ix;
	const char *after = pg->last.name ? pg->last.name : "";
	sqlite3_stmt *st;
	int rc = -1;

	pthread_mutex_lock(&q->lock);
	st = statement(q, pg->order == INDEX_BY_NAME ? S_NAMES : S_USED, e);
	if (st) {
		bind_text(st, 1, after);
		bind_text(st, 2, pg->prefix);
		sqlite3_bind_int64(st, 3, INDEX_PAGE);
		if (pg->order == INDEX_BY_ACCESS)
			sqlite3_bind_int64(st, 4, pg->last.accessed_s);
		rc = read_rows(q, st, pg->v, INDEX_PAGE, &pg->n, e);
	}
	pthread_mutex_unlock(&q->lock);
	return rc;
}

static int
sqlite_get(struct index *ix, const char *name, struct index_entry *out, struct err *e)
{
	struct sqlite_index *q = (struct sqlite_index *)ix;
	sqlite3_stmt *st;
	size_t n = 0;
	int rc = -1;

	pthread_mutex_lock(&q->lock);
	st = statement(q, S_GET, e);
	if (st) {
		bind_text(st, 1, name);
		rc = read_rows(q, st, out, 1, &n, e);
	}
	pthread_mutex_unlock(&q->lock);
	if (rc == 0 && !n)
		return err_set(e, ERR_ABSENT, "'%.200s': no such entry", name);
	return rc;
}

static int
sqlite_info(struct index *ix, struct index_info *out, struct err *e)
{
	struct sqlite_index *q = (struct sqlite_index *)ix;
	sqlite3_stmt *st;
	int rc = -1;

	pthread_mutex_lock(&q->lock);
	if (sqlite3_prepare_v2(q->db, "SELECT count(*), total(size) FROM entry", -1, &st,
	    NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		out->entries = (uint64_t)sqlite3_column_int64(st, 0);
		out->bytes = (uint64_t)sqlite3_column_double(st, 1);
		out->made_s = sqlite_meta(q, "made");
		out->rebuilt_s = sqlite_meta(q, "rebuilt");
		out->version = INDEX_VERSION;
		rc = 0;
	} else {
		sqlite_fail(q, "count", e);
	}
	sqlite3_finalize(st);
	pthread_mutex_unlock(&q->lock);
	return rc;
}

static int
sqlite_rebuild_begin(struct index *ix, struct err *e)
{
	struct sqlite_index *q = (struct sqlite_index *)ix;
	int rc;

	if (sqlite_begin(q, e) < 0)
		return -1;
	rc = sqlite_run(q, "UPDATE meta SET value = value + 1 WHERE name = 'generation'", e);
	if (rc == 0)
		ix->generation = (uint64_t)sqlite_meta(q, "generation");
	return sqlite_end(q, rc, e);
}

static int
sqlite_rebuild_end(struct index *ix, uint64_t *dropped, struct err *e)
{
	struct sqlite_index *q = (struct sqlite_index *)ix;
	sqlite3_stmt *st;
	int rc, more = 1;

	while (more) {
		if (sqlite_begin(q, e) < 0)
			return -1;
		rc = -1;
		st = statement(q, S_SWEEP, e);
		if (st) {
			sqlite3_bind_int64(st, 1, (int64_t)ix->generation);
			rc = finish(q, st, e);
		}
		more = rc == 0 ? sqlite3_changes(q->db) : 0;
		if (sqlite_end(q, rc, e) < 0)
			return -1;
		*dropped += (uint64_t)more;
	}
	if (sqlite_begin(q, e) < 0)
		return -1;
	rc = sqlite_run(q, "UPDATE meta SET value = unixepoch() WHERE name = 'rebuilt'", e);
	return sqlite_end(q, rc, e);
}

static const char *const schemes[] = { "file", "sqlite", NULL };

const struct index_ops index_sqlite = {
	.schemes = schemes, .open = sqlite_open, .close = sqlite_close, .put = sqlite_put,
	.access = sqlite_access, .remove = sqlite_remove, .pin = sqlite_pin,
	.lease = sqlite_lease, .page = sqlite_page, .get = sqlite_get, .info = sqlite_info,
	.rebuild_begin = sqlite_rebuild_begin, .rebuild_end = sqlite_rebuild_end,
};
