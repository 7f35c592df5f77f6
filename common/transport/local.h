#ifndef TRANSPORT_LOCAL_H
#define TRANSPORT_LOCAL_H

#include "transport/transport.h"

/*
 * How two ends whose control connection is TCP find a Unix socket that both can reach, for the
 * descriptors of shared memory: in Linux's abstract namespace, which belongs to the network
 * namespace and has no files, by a random name that the ticket tells. That a process of the
 * same user is at the other end the kernel says, that it is the session's the token.
 * For fabrics of sockets alone.
 */
#define LOCAL_NAME 16

/* A listening socket, or -1; its name is appended to ticket. */
int local_listen(struct buf *ticket, struct err *e);
/* The next connection with this token, and the lane that it is to be: 1; 0: none within a moment;
 * -1. o outlives it. */
int local_accept(int fd, const struct conn_opts *o, const unsigned char token[FABRIC_TOKEN],
	struct conn **out, unsigned *lane, struct err *e);
/* ERR_TEMP: nobody is there; ERR_REFUSED: it is another user. */
int local_dial(struct conn **out, const unsigned char name[LOCAL_NAME], const struct conn_opts *o,
	struct err *e);

#endif
