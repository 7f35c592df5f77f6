#ifndef LIB_LIB_H
#define LIB_LIB_H

#include <stddef.h>

#include "base/err.h"

/*
 * Libraries that are opened when first needed, not with the program: loading OpenSSL, libcurl,
 * SQLite and librdmacm takes longer than all that most runs do, and drivers of devices are not on
 * every host. None is closed before the process ends. Any thread may call these, at any time.
 */

/* After 0 the library's functions may be called as its headers declare them: those of them that
 * this room's file for it lists. ERR_USAGE: it is not on this host; the functions return 0 then,
 * as they do before. */
int lib_curl(struct err *e);
int lib_openssl(struct err *e);		/* libssl and libcrypto */
int lib_rdma(struct err *e);		/* librdmacm and libibverbs; where built WITH_RDMA */
int lib_sqlite(struct err *e);

/* A function: its name, and where in a table of pointers it belongs. */
struct lib_symbol {
	const char *name;
	size_t at;
};
#define LIB_SYMBOL(table, member, name) { name, offsetof(struct table, member) }

/* Open the first of these libraries (NULL ends) that is there, and fill the table; n symbols.
 * ERR_USAGE: none, or a symbol is missing; nothing is left in the table then. */
int lib_open(const char *const *names, const struct lib_symbol *s, size_t n, void *table,
	struct err *e);

#endif
