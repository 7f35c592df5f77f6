#ifndef BASE_URI_H
#define BASE_URI_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Ends of our tools are URLs (kvurl(7)): "scheme:rest?name=value&name=value", or
 * a path. "./a:b" and "/x" are paths; a scheme is letters, digits and '+' before a
 * ':', at least two characters. Only the query is cut off, at the last '?' whose
 * rest has the form of a query, and only for things with a scheme or a directory.
 */
struct uri {
	char *scheme;	/* lower case; "file" for a plain path */
	char *host;	/* after "//", brackets of IPv6 removed; "" if none */
	int port;	/* -1: none */
	char *path;	/* what is left: "/dir", "/prefix", NAME of shm:NAME */
	int n_args;
	struct uri_arg { char *name, *value; } *args;	/* percent-decoded */
	char *text;	/* the whole, as given */
};

/* A URL with a password ("user:secret@") is refused with the way to do it. */
int uri_parse(struct uri **out, const char *text, struct err *e);
void uri_free(struct uri *u);

/* Value of an argument, or NULL. */
const char *uri_arg(const struct uri *u, const char *name);
/* Fails with ERR_USAGE on an argument not among these (NULL ends): typing errors. */
int uri_check_args(const struct uri *u, const char *const *known, struct err *e);

/* The URL for printing: no user part, no query. Into out, returned. */
const char *uri_safe(char out[256], const char *text);

/* Percent-coding. keep: characters besides A-Za-z0-9-._~ that stay as they are. */
int uri_encode(struct buf *out, const char *s, size_t n, const char *keep);
int uri_decode(struct buf *out, const char *s, size_t n);	/* -1: bad escape or %00 */

#endif
