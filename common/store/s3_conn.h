#ifndef STORE_S3_CONN_H
#define STORE_S3_CONN_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Connections to a server, kept for the next request. libcurl makes them (names, proxies, TLS);
 * the bytes on them are ours, so that a block is sent from where it lies and received to where
 * it shall lie: libcurl's own transfers copy each once more.
 */
struct s3;
struct s3_body;
struct limit;

#define S3_CONN_BUF 16384

struct s3_conn {
	struct s3_conn *next;
	void *curl;
	int fd;			/* to wait on */
	int reused;		/* it has carried a request before */
	int finish;		/* made for such a request */
	int tls;
	int wake;		/* SO_RCVLOWAT */
	int asked;		/* a request went out, nothing came since */
	char host[256];
	char buf[S3_CONN_BUF];	/* received and not yet taken: [from, to) */
	size_t from, to;
};

/* A connection to the host, a kept one if there is one; finish: not to be broken off by a signal.
 * ERR_TEMP: unreachable; ERR_REFUSED: TLS failed. NULL on failure. */
struct s3_conn *s3_conn_take(struct s3 *s, const char *host, int finish, struct err *e);
void s3_conn_put(struct s3 *s, struct s3_conn *c);	/* keep it for another request */
void s3_conn_drop(struct s3_conn *c);
void s3_conn_close_all(struct s3 *s);

/* How long and for what a connection waits. */
struct s3_wait {
	double stall_s;
	int finish;		/* not for a signal */
	int all;		/* as many bytes as are asked for are sure to come */
};

/* Send a request, head and body (NULL: none). 1: the server has spoken before all was sent, or
 * closed; what it said so far is in buf. -1: ERR_TEMP it broke or stalled, ERR_STOPPED. */
struct s3_request {
	const struct buf *head;
	const struct s3_body *body;
	struct limit *limit;
	const struct s3_wait *wait;
};
int s3_conn_request(struct s3_conn *c, const struct s3_request *r, struct err *e);
/* Receive some: how many, 0 at the end of the stream, -1 as above. Does not look into buf. */
ssize_t s3_conn_recv(struct s3_conn *c, void *p, size_t n, const struct s3_wait *w,
	struct err *e);

#endif
