#include <sqlite3.h>

#include "lib/functions.h"

#define FUNCTIONS(F) \
	F(int, sqlite3_bind_double, (sqlite3_stmt *s, int i, double v), (s, i, v)) \
	F(int, sqlite3_bind_int64, (sqlite3_stmt *s, int i, sqlite3_int64 v), (s, i, v)) \
	F(int, sqlite3_bind_text, (sqlite3_stmt *s, int i, const char *p, int n, \
		void (*free)(void *)), (s, i, p, n, free)) \
	F(int, sqlite3_busy_timeout, (sqlite3 *db, int ms), (db, ms)) \
	F(int, sqlite3_changes, (sqlite3 *db), (db)) \
	F(int, sqlite3_close, (sqlite3 *db), (db)) \
	F(double, sqlite3_column_double, (sqlite3_stmt *s, int i), (s, i)) \
	F(int, sqlite3_column_int, (sqlite3_stmt *s, int i), (s, i)) \
	F(sqlite3_int64, sqlite3_column_int64, (sqlite3_stmt *s, int i), (s, i)) \
	F(const unsigned char *, sqlite3_column_text, (sqlite3_stmt *s, int i), (s, i)) \
	F(int, sqlite3_errcode, (sqlite3 *db), (db)) \
	F(const char *, sqlite3_errmsg, (sqlite3 *db), (db)) \
	F(int, sqlite3_exec, (sqlite3 *db, const char *sql, sqlite3_callback f, void *ctx, \
		char **error), (db, sql, f, ctx, error)) \
	F(int, sqlite3_extended_result_codes, (sqlite3 *db, int on), (db, on)) \
	F(int, sqlite3_finalize, (sqlite3_stmt *s), (s)) \
	F(int, sqlite3_open_v2, (const char *path, sqlite3 **db, int flags, const char *vfs), \
		(path, db, flags, vfs)) \
	F(int, sqlite3_prepare_v2, (sqlite3 *db, const char *sql, int n, sqlite3_stmt **s, \
		const char **end), (db, sql, n, s, end)) \
	F(int, sqlite3_prepare_v3, (sqlite3 *db, const char *sql, int n, unsigned flags, \
		sqlite3_stmt **s, const char **end), (db, sql, n, flags, s, end)) \
	F(int, sqlite3_reset, (sqlite3_stmt *s), (s)) \
	F(int, sqlite3_step, (sqlite3_stmt *s), (s))

LIB(lib_sqlite, "libsqlite3.so.0", FUNCTIONS)
FUNCTIONS(LIB_JUMP)
