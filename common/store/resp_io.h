#ifndef STORE_RESP_IO_H
#define STORE_RESP_IO_H

#include "base/buf.h"
#include "store/resp.h"

/* A connection: shared by resp.c, which reads, and resp_send.c. */
struct resp {
	struct resp_io *io;
	int broken;
	struct buf out;
	char *in;
	size_t at, end;		/* unread bytes of in */
	uint64_t body;		/* bytes of the current bulk not yet given out */
	int open_body;		/* its CR LF is still to come */
	char said[RESP_LINE_MAX + 1];
	int asking, quiet;
	size_t owed;		/* commands whose replies were not begun */
	int64_t left;		/* items of the reply begun that are still to come */
};

/* The socket below resp.c, plain or TLS. Timeouts and stop signals are its affair. */
struct resp_io;

int resp_io_open(struct resp_io **out, const struct resp_end *end, struct err *e);
int resp_io_source(struct resp_io **out, long (*read)(void *ctx, void *p, size_t n), void *ctx,
	struct err *e);
void resp_io_close(struct resp_io *io);		/* safe on NULL */
int resp_io_alive(struct resp_io *io);

/* At least 1 byte and at most n; whole: wait for all n if that is cheap. -1: ERR_TEMP
 * when the other side has closed. */
ssize_t resp_io_read(struct resp_io *io, void *p, size_t n, int whole, struct err *e);
/* All of it. iov is used up. */
int resp_io_write(struct resp_io *io, struct iovec *iov, int n, struct err *e);

#endif
