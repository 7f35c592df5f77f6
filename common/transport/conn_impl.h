#ifndef TRANSPORT_CONN_IMPL_H
#define TRANSPORT_CONN_IMPL_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "transport/conn.h"

/* For the files of conn.h alone. */

struct ring;

struct conn {
	int fd;				/* non-blocking */
	const struct conn_opts *opts;
	int dialled;
	int is_unix;
	struct conn_addr addr;		/* as dialled */
	char name[128];
	char security[64];
	pthread_mutex_t write_lock;	/* one message at a time */
	pthread_mutex_t tls_lock;	/* an SSL is for one thread at a time */
	SSL *ssl;
	int secured;			/* the handshake is done */
	int ktls_send;
	double deadline;		/* clock_mono(); 0: none */
	struct ring *ring;		/* the bulk's direction, once conn_ring() made it */
	int ring_source;
	atomic_int shut;
};

/* Takes fd, which becomes non-blocking. */
int conn_wrap(struct conn **out, int fd, const struct conn_opts *o, struct err *e);

/* Wait for events on c's socket, or on fd2 (-1: none) for reading. timeout_s 0: for ever.
 * 0; -1: ERR_TEMP timed out, ERR_STOPPED, or shut. what: "read", "write" for the text. */
int conn_wait(struct conn *c, short events, int fd2, double timeout_s, const char *what,
	struct err *e);

/* The error of a failed socket call on c: errno's, as ERR_TEMP where the peer went away. */
int conn_sys(const struct conn *c, const char *what, struct err *e);

int tls_start(struct conn *c, struct err *e);
ssize_t tls_read(struct conn *c, void *p, size_t n, int wait, struct err *e);
int tls_write(struct conn *c, const void *p, size_t n, struct err *e);
int tls_sendfile(struct conn *c, int fd, uint64_t off, size_t n, struct err *e);
void tls_end(struct conn *c);

int ring_make(struct conn *c, int source, struct err *e);
ssize_t ring_read(struct conn *c, void *p, size_t n, int wait, struct err *e);
int ring_write(struct conn *c, const void *p, size_t n, struct err *e);
int ring_sendfile(struct conn *c, int fd, uint64_t off, size_t n, struct err *e);
void ring_free(struct ring *r);

/* Is this address this host's alone? */
int addr_loopback(const struct sockaddr *sa);
/* "10.0.0.5:41233", "[::1]:80" into out. */
void addr_text(char *out, size_t n, const struct sockaddr *sa, socklen_t len);

#endif
