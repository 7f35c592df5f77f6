#ifndef CMD_PEER_OPTS_H
#define CMD_PEER_OPTS_H

#include "base/buf.h"
#include "opts.h"
#include "wire/wire.h"

/* What kvsend and kvrecv share: options about peers, how a listening end tells that it is ready,
 * and the summary that both print. */
enum { PEER_LISTEN = 1600, PEER_SERVE, PEER_ONCE, PEER_ALLOW, PEER_READY_FILE, PEER_READY_FD,
	PEER_IDLE, PEER_PSK, PEER_TLS, PEER_CERT, PEER_KEY, PEER_CA, PEER_NAME, PEER_INSECURE,
	PEER_TRANSPORT, PEER_REQUIRE, PEER_NIC, PEER_LANES, PEER_RETRY, PEER_MAX, PEER_BUFFER };

#define PEER_OPTIONS \
	{ PEER_LISTEN, "listen", "ADDR", "wait for the peer at host:port, :port, " \
		"unix:///path or fd", NULL }, \
	{ PEER_ONCE, "once", NULL, "end after one transfer (default)", NULL }, \
	{ PEER_SERVE, "serve", NULL, "go on for ever (with --listen)", NULL }, \
	{ PEER_ALLOW, "allow", "CIDR", "only peers of this network; again for more", NULL }, \
	{ PEER_READY_FILE, "ready-file", "FILE", "written, with the address, once it listens", \
		"FILE" }, \
	{ PEER_READY_FD, "ready-fd", "N", "a newline here, once it listens", NULL }, \
	{ PEER_IDLE, "idle-timeout", "TIME", "end when no peer came for so long", NULL }, \
	{ PEER_PSK, "psk-file", "FILE", "TLS 1.3 with the key in this file, both ends the same", \
		"FILE" }, \
	{ PEER_TLS, "tls", NULL, "TLS 1.3 with certificates: --cert, --key, --ca", NULL }, \
	{ PEER_CERT, "cert", "FILE", "our certificate, PEM", "FILE" }, \
	{ PEER_KEY, "key", "FILE", "its private key, PEM", "FILE" }, \
	{ PEER_CA, "ca", "FILE", "certificates that peers' must be signed by, PEM", "FILE" }, \
	{ PEER_NAME, "peer-name", "NAME", "what the peer's certificate must name", NULL }, \
	{ PEER_INSECURE, "insecure", NULL, "plain text beyond this host", NULL }, \
	{ PEER_TRANSPORT, "transport", "LIST", "auto, rdma, tcp, shm, or as UCX_TLS", \
		"auto rdma tcp shm" }, \
	{ PEER_REQUIRE, "require", "NAME", "this transport or none", "rdma tcp shm" }, \
	{ PEER_NIC, "nic", "LIST", "network devices, as UCX_NET_DEVICES: mlx5_0:1", NULL }, \
	{ PEER_LANES, "lanes", "N", "data connections, or queue pairs", NULL }, \
	{ PEER_RETRY, "retry", NULL, "connect again when cut, and go on", NULL }, \
	{ PEER_MAX, "max-peers", "N", "connections at a time (default 256)", NULL }, \
	{ PEER_BUFFER, "sock-buffer", "SIZE", "of sockets (default: the system tunes)", NULL }

struct peer_opts {
	const char *listen;	/* NULL: we connect */
	int serve;
	const char **allow;	/* NULL-terminated, or NULL */
	const char *ready_file;
	int ready_fd;		/* -1 */
	double idle_s;		/* 0: for ever */
	unsigned max_peers;
	struct conn_opts conn;
	struct wire_opts wire;
	struct pool *pool;
};
extern struct peer_opts peer;

/* 1: it was one of these. A bad argument ends the program (status 2). */
int peer_option(int id);
/* After all options: settings, environment, keys; opens the pool. Ends the program on errors
 * of use. dial: an address that we connect to, or NULL. */
void peer_ready(const char *dial);
void peer_done(void);

/* Listen as told. 0, or -1 with e; the ready file and descriptor are written. */
int peer_listen(struct listener **out, struct err *e);

/* The lines and the JSON object of a transfer, the same at both ends. role "sent"|"received". */
struct peer_report {
	const char *role, *peer, *transport;
	uint64_t line;
	const struct wire_totals *t;
	double seconds;		/* of the whole; 0: prepare, wire and settle together */
};
void peer_summary(const struct peer_report *r);
/* Counters of --metrics-file, named after NIXL's; to metrics_line(). */
void peer_metrics(struct buf *b, const struct wire_totals *t, int source);
void peer_add(struct wire_totals *sum, const struct wire_totals *t);

#endif
