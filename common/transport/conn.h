#ifndef TRANSPORT_CONN_H
#define TRANSPORT_CONN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Connections: bytes in order, both ways, with time-outs. TCP, TLS 1.3 over TCP, Unix
 * sockets, and a ring in shared memory that two ends agree on over a Unix socket.
 * One thread may read while another writes; writers share a lock of their own.
 */
struct conn;
struct listener;

enum conn_auth {
	CONN_PLAIN,
	CONN_CERT,	/* TLS 1.3, both ends show certificates */
	CONN_PSK,	/* TLS 1.3 with an external pre-shared key */
};

struct conn_opts {
	enum conn_auth auth;
	const char *cert, *key, *ca;	/* PEM files; CONN_CERT needs all three */
	const char *name;		/* what the peer's certificate must name; NULL: the host
					 * dialled; a listener checks only that ca signed it,
					 * unless name is set */
	const unsigned char *psk;	/* CONN_PSK: 16 to 256 bytes */
	size_t n_psk;
	int insecure;			/* plain beyond loopback is allowed */
	double timeout_s;		/* a read or write without progress for so long: ERR_TEMP */
	double connect_s;		/* for connecting and for handshakes */
	size_t sock_buf;		/* SO_SNDBUF and SO_RCVBUF; 0: the system tunes */
};

/* "host:port", "[::1]:port", ":port", "unix:///path", with or without "tcp://" (also
 * "auto://", "rdma://"); text outlives the call. ERR_USAGE. */
struct conn_addr {
	char host[256];		/* "" for any (listening) */
	char port[8];
	char path[108];		/* Unix socket; then host and port are "" */
};
int conn_addr_parse(struct conn_addr *a, const char *text, struct err *e);

/* Connect. Names are resolved and every address is tried. TLS, when asked, is not yet up:
 * conn_secure(). ERR_TEMP: unreachable. ERR_REFUSED: plain, beyond loopback and no
 * o->insecure. o must outlive the connection. */
int conn_dial(struct conn **out, const struct conn_addr *a, const struct conn_opts *o,
	struct err *e);

/* Listen. ERR_REFUSED: plain beyond loopback without o->insecure. allow: list of "CIDR" texts
 * (NULL-terminated, or NULL for all): others are closed unread. A Unix socket is made with
 * mode 0600 and admits this user and root alone; a stale one is taken over, and it is
 * removed at the end. Sockets handed over by systemd (LISTEN_FDS) are used when a is NULL. */
int conn_listen(struct listener **out, const struct conn_addr *a, const struct conn_opts *o,
	const char *const *allow, struct err *e);
/* "tcp://127.0.0.1:41233": as bound, for ready files. */
const char *listener_name(const struct listener *l);
/* Next connection that is allowed: 1; 0: none within timeout_s, or before the descriptor wake was
 * readable; -1. TLS is not yet up. */
int listener_accept(struct listener *l, struct conn **out, int wake, double timeout_s,
	struct err *e);
void listener_close(struct listener *l);

/* TLS handshake as o->auth says (CONN_PLAIN: nothing). The dialler is the client. ERR_REFUSED
 * with the reason: wrong key, unknown or expired certificate, the other end speaks plain. */
int conn_secure(struct conn *c, struct err *e);

/* Exactly n bytes: 1; 0: the peer closed before the first; -1 (ERR_TEMP: closed within,
 * reset or timed out; ERR_REFUSED: a TLS alert about identity). wait 0: no time-out before
 * the first byte. */
int conn_read(struct conn *c, void *p, size_t n, int wait, struct err *e);
/* Some bytes, at least one: how many, 0 at the end, -1. */
ssize_t conn_read_some(struct conn *c, void *p, size_t n, int wait, struct err *e);
/* Who waits to read wakes for n bytes only, of which so many must be on their way; 1 at first. */
void conn_lowat(struct conn *c, size_t n);
int conn_write(struct conn *c, const void *p, size_t n, struct err *e);
/* iov is used up. All of it leaves as one: other writers wait. */
int conn_writev(struct conn *c, struct iovec *iov, int n, struct err *e);
/* n bytes of a file after n_head bytes of head, without a detour where the kernel can. */
int conn_sendfile(struct conn *c, const void *head, size_t n_head, int fd, uint64_t off, size_t n,
	struct err *e);

/* All that is to come on c must be done within s seconds, however steadily it drips; 0 ends
 * that. Before threads share c. */
void conn_deadline(struct conn *c, double s);

/* Make a ring of shared memory under a connection over a Unix socket; both ends call it, at
 * the same point of their talk. source: this end will write the bulk. After it reads and
 * writes go through the ring; in the other direction the socket stays as it was. */
int conn_ring(struct conn *c, int source, struct err *e);

/* Any thread: readers and writers return -1 soon; the peer sees the end. */
void conn_shut(struct conn *c);
void conn_close(struct conn *c);	/* safe on NULL */
/* Both for who was told why we go: bytes that come after conn_shut(), or are unread at
 * conn_close(), are answered by a reset, which can overtake our words. The one instead of
 * conn_shut(), the other before conn_close(): it takes in what is under way, for a moment. */
void conn_shut_write(struct conn *c);
void conn_drain(struct conn *c);

int conn_fd(const struct conn *c);
/* Has the peer hung up, or the connection broken, as far as is known without waiting? */
int conn_gone(const struct conn *c);
int conn_is_unix(const struct conn *c);
int conn_dialled(const struct conn *c);
/* Do both ends have the same address, as on one host, or before a tunnel? */
int conn_same_host(const struct conn *c);
const struct conn_opts *conn_opts_of(const struct conn *c);
/* The address dialled, to be dialled again for a lane; NULL at the listening end. */
const struct conn_addr *conn_peer(const struct conn *c);
/* Peer for messages: "10.0.0.5:41233", "unix pid 4711 uid 0". */
const char *conn_name(const struct conn *c);
/* "plain", "TLS 1.3 psk", "TLS 1.3 psk, kernel". */
const char *conn_security(const struct conn *c);

#endif
