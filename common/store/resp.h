#ifndef STORE_RESP_H
#define STORE_RESP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"

/*
 * One connection that speaks the protocol of Redis and Valkey (RESP 2, and what RESP 3
 * adds; https://redis.io/docs/reference/protocol-spec). Made for values of tens of MiB:
 * a value goes out by writev from where it lies and comes in where it shall lie; there
 * is no tree of replies. The other side is not trusted: lines, lengths and nesting are
 * bounded, and nothing is allocated for a length that was only announced.
 *
 * After -1 from anything but a reply of type RESP_ERROR the connection is out of step:
 * resp_broken() is 1, and it can only be closed. For one thread at a time.
 */
struct resp;

/* The limit of the server for one value (proto-max-bulk-len, by default), and ours. */
#define RESP_BULK_MAX (512ull << 20)
#define RESP_ARRAY_MAX (1ull << 24)
#define RESP_LINE_MAX 512		/* of a status or an error; longer ones are cut */
#define RESP_DEPTH_MAX 8

struct resp_end {
	const char *host;	/* or NULL: path is a Unix socket */
	int port;
	const char *path;
	double timeout_s;	/* nothing came or went for so long: ERR_TEMP */
	void *tls;		/* SSL_CTX *, or NULL: plain */
};

/* Connect. ERR_TEMP: unreachable; ERR_USAGE: plain and TLS mixed up, as far as can be
 * told; ERR_REFUSED: the certificate is not trusted. */
int resp_open(struct resp **out, const struct resp_end *end, struct err *e);
void resp_close(struct resp *r);
int resp_broken(const struct resp *r);
/* All that was asked for has been read: fit for the next use. */
int resp_settled(const struct resp *r);
/* Still there, and nothing unasked for lies in it? Costs one look at the socket. */
int resp_alive(struct resp *r);

/* A connection on top of a function that reads (like read(2), 0 at the end), for tests. */
int resp_open_source(struct resp **out, long (*read)(void *ctx, void *p, size_t n), void *ctx,
	struct err *e);

/* Commands are collected until resp_flush(), or until a value is sent: first how many
 * words, then each. Memory trouble comes out of resp_flush(). */
void resp_begin(struct resp *r, size_t words);
void resp_word(struct resp *r, const void *p, size_t n);
void resp_text(struct resp *r, const char *s);
void resp_number(struct resp *r, int64_t v);
/* A whole command of fixed words, split at spaces. */
void resp_call(struct resp *r, const char *words);
/* The concatenation of iov as one word; sent at once with all before it. */
int resp_value(struct resp *r, const struct iovec *iov, int n, struct err *e);
int resp_flush(struct resp *r, struct err *e);

enum resp_type {
	RESP_STATUS,	/* text: +OK */
	RESP_ERROR,	/* text: -ERR ... */
	RESP_NUMBER,	/* n */
	RESP_BULK,	/* n bytes follow: read them with resp_body() or resp_drop() */
	RESP_NIL,
	RESP_ARRAY,	/* n items follow (a map's names and values counted each) */
	RESP_REAL,	/* text */
	RESP_FLAG,	/* n */
};

struct resp_item {
	enum resp_type type;
	int64_t n;
	char text[RESP_LINE_MAX + 1];
};

/* The next item of a reply. Pushed messages and attributes are stepped over. ERR_CORRUPT:
 * what came is not the protocol; ERR_TEMP: the connection is gone, or silent for too long. */
int resp_next(struct resp *r, struct resp_item *it, struct err *e);

/* Put ASKING before each command, and take its answer, until set to 0: for a slot of a
 * cluster that is being moved (Redis Cluster specification, "ASK redirection"). */
void resp_set_asking(struct resp *r, int on);

/* What is read here is no use of a key, but for TOUCH: the server was told so, and took it. */
void resp_set_quiet(struct resp *r, int on);
int resp_quiet(const struct resp *r);

/* The first error line since the last flush, or "". */
const char *resp_said(const struct resp *r);

/* n bytes of the bulk whose item was last read, into p, in as many calls as one likes;
 * after its last byte its end is checked. */
int resp_body(struct resp *r, void *p, size_t n, struct err *e);
/* Step over the rest of an item, with all that is in it. */
int resp_drop(struct resp *r, const struct resp_item *it, struct err *e);

/* Whole replies. A RESP_ERROR becomes resp_error(). */
int resp_ok(struct resp *r, struct err *e);			/* any status */
int resp_get_number(struct resp *r, int64_t *out, struct err *e);	/* nil: -1 */
/* A bulk or status of less than max bytes, with a NUL; 1: it was nil. */
int resp_get_text(struct resp *r, char *out, size_t max, struct err *e);
int resp_get_array(struct resp *r, size_t *n, struct err *e);	/* nil: 0 */

/* What a server's error line means, as an error of ours: wrong password, no permission:
 * ERR_REFUSED; loading, failing over: ERR_TEMP; full: ERR_FAILED ... Returns -1. */
int resp_error(const char *line, struct err *e);

#endif
