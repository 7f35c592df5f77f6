#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/num.h"
#include "base/par.h"
#include "metrics.h"
#include "out.h"
#include "peer_opts.h"
#include "tool.h"

#define PSK_MIN 16
#define PSK_MAX 4096

struct peer_opts peer = {
	.ready_fd = -1,
	.max_peers = 256,
	.conn = { .timeout_s = WIRE_DEFAULT_TIMEOUT_S, .connect_s = 10 },
	.wire = { .transports = TRANSPORT_ALL, .retries = 8,
		.chunk_max = CHUNK_PAYLOAD_MAX, .stall_s = WIRE_DEFAULT_STALL_S },
};

static struct buf psk;
static int tls;

static void
add_allow(const char *net)
{
	size_t n = 0;

	while (peer.allow && peer.allow[n])
		n++;
	peer.allow = realloc((void *)peer.allow, (n + 2) * sizeof(*peer.allow));
	if (!peer.allow)
		opts_no_memory();
	peer.allow[n] = net;
	peer.allow[n + 1] = NULL;
}

static int
read_transports(const char *list, struct err *e)
{
	if (!strcmp(list, "auto")) {
		peer.wire.transports = TRANSPORT_ALL;
		return 0;
	}
	if (transport_ucx(&peer.wire.transports, list, e) < 0)
		return err_in(e, "--transport");
	if (!peer.wire.transports)
		return err_set(e, ERR_USAGE, "--transport '%.60s': none of these is here", list);
	if (*list != '^')
		peer.wire.wanted = peer.wire.transports;
	return 0;
}

static unsigned required;	/* a bit, or 0 */

static int
read_require(const char *word, struct err *e)
{
	enum transport t;

	if (transport_parse(&t, word, e) < 0)
		return err_in(e, "--require");
	required = 1u << t;
	return 0;
}

/* After --transport, wherever either stands. */
static int
apply_require(struct err *e)
{
	if (!required)
		return 0;
	if (!(peer.wire.transports & required))
		return err_set(e, ERR_USAGE, "--require: --transport leaves that one out");
	peer.wire.transports = peer.wire.wanted = required;
	return 0;
}

static int
number(const char *name, uint64_t max, uint64_t *out, struct err *e)
{
	return num_u64(out, opts_arg, 0, max, name, e);
}

int
peer_option(int id)
{
	uint64_t n = 0;
	struct err e;
	int rc = 0;

	switch (id) {
	case PEER_LISTEN: peer.listen = opts_arg; break;
	case PEER_ONCE: peer.serve = 0; break;
	case PEER_SERVE: peer.serve = 1; break;
	case PEER_ALLOW: add_allow(opts_arg); break;
	case PEER_READY_FILE: peer.ready_file = opts_arg; break;
	case PEER_READY_FD:
		rc = number("--ready-fd", 1 << 20, &n, &e);
		peer.ready_fd = (int)n;
		break;
	case PEER_IDLE: rc = num_duration(&peer.idle_s, opts_arg, "--idle-timeout", &e); break;
	case PEER_PSK: rc = conf_set(opts_conf, "psk-file", opts_arg, &e); break;
	case PEER_TLS: tls = 1; break;
	case PEER_CERT: peer.conn.cert = opts_arg; break;
	case PEER_KEY: peer.conn.key = opts_arg; break;
	case PEER_CA: peer.conn.ca = opts_arg; break;
	case PEER_NAME: peer.conn.name = opts_arg; break;
	case PEER_INSECURE: peer.conn.insecure = 1; break;
	case PEER_TRANSPORT: rc = read_transports(opts_arg, &e); break;
	case PEER_REQUIRE: rc = read_require(opts_arg, &e); break;
	case PEER_NIC: peer.wire.nic = opts_arg; break;
	case PEER_LANES:
		rc = num_u64(&n, opts_arg, 1, FABRIC_LANES, "--lanes", &e);
		peer.wire.lanes = (unsigned)n;
		break;
	case PEER_RETRY: peer.wire.reconnect = 1; break;
	case PEER_MAX:
		rc = num_u64(&n, opts_arg, 1, 1 << 16, "--max-peers", &e);
		peer.max_peers = (unsigned)n;
		break;
	case PEER_BUFFER:
		rc = num_size(&n, opts_arg, "--sock-buffer", &e);
		peer.conn.sock_buf = n < INT32_MAX ? n : INT32_MAX;
		break;
	default:
		return 0;
	}
	if (rc < 0)
		opts_die(&e);
	return 1;
}

/* UCX's own variables, where no option said otherwise. */
static int
read_environment(struct err *e)
{
	const char *list = getenv("UCX_TLS"), *nics = getenv("UCX_NET_DEVICES");
	const char *v;
	uint64_t n;

	if (list && *list && !required && !peer.wire.wanted &&
	    peer.wire.transports == TRANSPORT_ALL &&
	    transport_ucx(&peer.wire.transports, list, e) < 0)
		return err_in(e, "UCX_TLS");
	if (nics && *nics && !peer.wire.nic && strcmp(nics, "all") != 0)
		peer.wire.nic = nics;
	v = conf_get(opts_conf, "retries");
	if (v) {
		if (num_u64(&n, v, 0, 1000, "--retries", e) < 0)
			return -1;
		peer.wire.retries = (unsigned)n;
	}
	v = conf_get(opts_conf, "timeout");
	return v ? num_duration(&peer.conn.timeout_s, v, "--timeout", e) : 0;
}

static int
read_keys(struct err *e)
{
	if (tls || peer.conn.cert || peer.conn.key || peer.conn.ca) {
		if (!peer.conn.cert || !peer.conn.key || !peer.conn.ca)
			return err_set(e, ERR_USAGE, "--tls needs --cert, --key and --ca");
		peer.conn.auth = CONN_CERT;
		return 0;
	}
	if (conf_secret(opts_conf, "psk", "KVTOOLS_PSK", &psk, e) < 0)
		return e->kind == ERR_ABSENT && !conf_get(opts_conf, "psk-file") ? 0 : -1;
	if (psk.len < PSK_MIN || psk.len > PSK_MAX)
		return err_set(e, ERR_USAGE, "pre-shared key: %zu bytes; %d to %d are needed "
			"(openssl rand -hex 32)", psk.len, PSK_MIN, PSK_MAX);
	peer.conn.auth = CONN_PSK;
	peer.conn.psk = (const unsigned char *)psk.p;
	peer.conn.n_psk = psk.len;
	return 0;
}

/* A scheme in the address asks for its transport. */
static void
read_scheme(const char *addr)
{
	unsigned set = peer.wire.transports;

	if (!strncmp(addr, "rdma://", 7) || !strncmp(addr, "ucx://", 6))
		peer.wire.wanted |= 1u << TRANSPORT_VERBS;
	else if (!strncmp(addr, "tcp://", 6))
		peer.wire.transports = set & 1u << TRANSPORT_TCP ? 1u << TRANSPORT_TCP : set;
}

static void
note(void *ctx, const char *text)
{
	(void)ctx;
	tool_note("%s", text);
}

void
peer_ready(const char *dial)
{
	struct err e;

	if (read_environment(&e) < 0 || apply_require(&e) < 0 || read_keys(&e) < 0 ||
	    pool_open(&peer.pool, opts_common.mem, &e) < 0)
		opts_die(&e);
	if (dial || peer.listen)
		read_scheme(dial ? dial : peer.listen);
	peer.wire.conn = &peer.conn;
	peer.wire.pool = peer.pool;
	peer.wire.jobs = opts_common.jobs ? opts_common.jobs : par_cores() < 4 ? par_cores() : 4;
	peer.wire.note = note;
	if (peer.wire.chunk_max > opts_common.mem)
		peer.wire.chunk_max = opts_common.mem;
}

void
peer_done(void)
{
	pool_close(peer.pool);
	conf_forget(&psk);
	free((void *)peer.allow);
}

static int
tell_ready(const struct listener *l, struct err *e)
{
	char line[200];
	int n = snprintf(line, sizeof(line), "%s\n", listener_name(l));

	tool_info("listening on %s", listener_name(l));
	if (peer.ready_file && io_replace(peer.ready_file, line, (size_t)n, 0644, e) < 0)
		return -1;
	if (peer.ready_fd >= 0 && io_write(peer.ready_fd, "\n", 1, e) < 0)
		return err_in(e, "--ready-fd");
	return 0;
}

int
peer_listen(struct listener **out, struct err *e)
{
	int inherited = !strcmp(peer.listen, "fd");
	struct conn_addr a;

	if (!inherited && conn_addr_parse(&a, peer.listen, e) < 0)
		return -1;
	if (conn_listen(out, inherited ? NULL : &a, &peer.conn, peer.allow, e) < 0)
		return -1;
	if (tell_ready(*out, e) == 0)
		return 0;
	listener_close(*out);
	return -1;
}
