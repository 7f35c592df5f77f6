#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/stop.h"
#include "store/resp_io.h"

/* The socket wakes up this often to look whether a stop was asked. */
#define TICK_S 1

struct resp_io {
	int fd;		/* -1: source */
	SSL *tls;
	double timeout_s;
	int heard;	/* something has come */
	long (*source)(void *ctx, void *p, size_t n);
	void *ctx;
};

static int
set_ticks(int fd, struct err *e)
{
	struct timeval tick = { .tv_sec = TICK_S };

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tick, sizeof(tick)) < 0)
		return err_sys(e, "socket");
	return 0;
}

/* After EAGAIN or EINTR: 0 to try again, unless stopped or silent since before until. */
static int
patience(const char *what, double until, struct err *e)
{
	if (stop_asked())
		return err_set(e, ERR_STOPPED, "%s: stopped by a signal", what);
	if (clock_mono() > until)
		return err_set(e, ERR_TEMP, "%s: the server is silent", what);
	return 0;
}

/* connect(2) on a socket with a send timeout gives up after a tick with EINPROGRESS and
 * goes on in the background; asking again tells how it went. */
static int
connect_until(int fd, const struct sockaddr *to, socklen_t len, double until, struct err *e)
{
	for (;;) {
		if (connect(fd, to, len) == 0 || errno == EISCONN)
			return 0;
		if (errno != EINPROGRESS && errno != EALREADY && errno != EINTR &&
		    errno != EAGAIN) {
			err_sys(e, "connect");
			if (e)
				e->kind = errno == EACCES ? ERR_REFUSED : ERR_TEMP;
			return -1;
		}
		if (errno == EALREADY)
			clock_sleep(0.05, NULL);
		if (patience("connect", until, e) < 0)
			return -1;
	}
}

static int
connect_path(const char *path, double until, struct err *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(to.sun_path))
		return err_set(e, ERR_USAGE, "connect '%s': path too long", path);
	strcpy(to.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, "socket");
	if (set_ticks(fd, e) < 0 ||
	    connect_until(fd, (struct sockaddr *)&to, sizeof(to), until, e) < 0) {
		err_in(e, "'%s'", path);
		close(fd);
		return -1;
	}
	return fd;
}

static int
connect_host(const char *host, int port, double until, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all, *a;
	char service[12];
	int fd = -1, one = 1, rc;

	snprintf(service, sizeof(service), "%d", port);
	rc = getaddrinfo(host, service, &hints, &all);
	if (rc)
		return err_set(e, rc == EAI_NONAME ? ERR_USAGE : ERR_TEMP, "look up '%s': %s",
			host, gai_strerror(rc));
	err_set(e, ERR_TEMP, "connect '%s': no address", host);
	for (a = all; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		if (set_ticks(fd, e) < 0 ||
		    connect_until(fd, a->ai_addr, a->ai_addrlen, until, e) < 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(all);
	return fd < 0 ? err_in(e, "'%s:%d'", host, port) : fd;
}

/* The reason of a failed TLS call. */
static int
tls_fail(const struct resp_io *io, const char *what, struct err *e)
{
	long verdict = SSL_get_verify_result(io->tls);
	unsigned long code = ERR_get_error();
	int reason = ERR_GET_REASON(code);
	char text[160];

	ERR_clear_error();
	if (verdict != X509_V_OK)
		return err_set(e, ERR_REFUSED, "tls: the server's certificate is not trusted: "
			"%s (--ca-bundle names the authority)",
			X509_verify_cert_error_string(verdict));
	if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG ||
	    (!io->heard && reason == SSL_R_UNEXPECTED_EOF_WHILE_READING))
		return err_set(e, ERR_USAGE, "tls: the server does not speak TLS: use redis: "
			"or valkey:, not rediss: or valkeys:");
	if (reason == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED ||
	    reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE ||
	    reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE)
		return err_set(e, ERR_REFUSED, "tls: the server wants a client certificate");
	if (!code)
		return err_set(e, ERR_TEMP, "%s: the server closed the connection", what);
	ERR_error_string_n(code, text, sizeof(text));
	return err_set(e, ERR_TEMP, "%s: tls: %s", what, text);
}

static int
is_address(const char *host)
{
	unsigned char a[16];

	return inet_pton(AF_INET, host, a) == 1 || inet_pton(AF_INET6, host, a) == 1;
}

/* 0 to call again. */
static int
tls_wait(struct resp_io *io, int rc, const char *what, double until, struct err *e)
{
	int why = SSL_get_error(io->tls, rc);

	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return patience(what, until, e);
	return tls_fail(io, what, e);
}

static int
tls_begin(struct resp_io *io, const struct resp_end *end, double until, struct err *e)
{
	const char *name = end->host ? end->host : "localhost";
	int rc, address = is_address(name);

	io->tls = SSL_new(end->tls);
	if (!io->tls || !SSL_set_fd(io->tls, io->fd))
		return err_set(e, ERR_FAILED, "tls: out of memory");
	if (address)
		X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(io->tls), name);
	else if (!SSL_set_tlsext_host_name(io->tls, name) || !SSL_set1_host(io->tls, name))
		return err_set(e, ERR_USAGE, "tls: '%s': no host name", name);
	ERR_clear_error();
	while ((rc = SSL_connect(io->tls)) != 1) {
		if (tls_wait(io, rc, "tls", until, e) == 0)
			continue;
		if (e && e->kind == ERR_TEMP && clock_mono() > until)	/* waits for a line end */
			err_set(e, ERR_TEMP, "tls: no answer: if the server speaks no TLS, "
				"use redis: or valkey:");
		return -1;
	}
	return 0;
}

int
resp_io_open(struct resp_io **out, const struct resp_end *end, struct err *e)
{
	struct resp_io *io = calloc(1, sizeof(*io));
	double until = clock_mono() + end->timeout_s;

	*out = NULL;
	if (!io)
		return err_sys(e, "connect");
	io->timeout_s = end->timeout_s;
	io->fd = end->host ? connect_host(end->host, end->port, until, e) :
		connect_path(end->path, until, e);
	if (io->fd < 0)
		goto free_io;
	if (end->tls && tls_begin(io, end, until, e) < 0)
		goto free_io;
	*out = io;
	return 0;
free_io:
	resp_io_close(io);
	return -1;
}

int
resp_io_source(struct resp_io **out, long (*source)(void *ctx, void *p, size_t n), void *ctx,
	struct err *e)
{
	struct resp_io *io = calloc(1, sizeof(*io));

	*out = io;
	if (!io)
		return err_sys(e, "connect");
	io->fd = -1;
	io->source = source;
	io->ctx = ctx;
	return 0;
}

void
resp_io_close(struct resp_io *io)
{
	if (!io)
		return;
	SSL_free(io->tls);
	if (io->fd >= 0)
		close(io->fd);
	free(io);
}

int
resp_io_alive(struct resp_io *io)
{
	char c;

	if (io->fd < 0)
		return 1;
	if (recv(io->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
		return 0;	/* the end, or an answer nobody asked for */
	return errno == EAGAIN || errno == EWOULDBLOCK;
}

static int
gone(const struct resp_io *io, struct err *e)
{
	if (io->heard || io->tls)
		return err_set(e, ERR_TEMP, "read: the server closed the connection");
	return err_set(e, ERR_TEMP, "read: the server closed the connection at once: "
		"if it speaks TLS, use rediss: or valkeys:");
}

static ssize_t
read_plain(struct resp_io *io, void *p, size_t n, int whole, struct err *e)
{
	double until = clock_mono() + io->timeout_s;
	ssize_t got;

	for (;;) {
		got = recv(io->fd, p, n, whole ? MSG_WAITALL : 0);
		if (got > 0)
			return got;
		if (got == 0)
			return gone(io, e);
		if (errno == ECONNRESET || errno == EPIPE || errno == ETIMEDOUT)
			return gone(io, e);
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(e, "read");
		if (patience("read", until, e) < 0)
			return -1;
	}
}

static ssize_t
read_tls(struct resp_io *io, void *p, size_t n, struct err *e)
{
	double until = clock_mono() + io->timeout_s;
	int rc;

	ERR_clear_error();
	while ((rc = SSL_read(io->tls, p, n < INT_MAX ? (int)n : INT_MAX)) <= 0) {
		if (SSL_get_error(io->tls, rc) == SSL_ERROR_ZERO_RETURN)
			return gone(io, e);
		if (tls_wait(io, rc, "read", until, e) < 0)
			return -1;
	}
	return rc;
}

ssize_t
resp_io_read(struct resp_io *io, void *p, size_t n, int whole, struct err *e)
{
	ssize_t got;

	if (io->source) {
		got = io->source(io->ctx, p, n);
		return got > 0 ? got : gone(io, e);
	}
	got = io->tls ? read_tls(io, p, n, e) : read_plain(io, p, n, whole, e);
	if (got > 0)
		io->heard = 1;
	return got;
}

static int
write_plain(struct resp_io *io, struct iovec *iov, int n, struct err *e)
{
	double until = clock_mono() + io->timeout_s;

	while (n > 0) {
		struct msghdr m = { .msg_iov = iov,
			.msg_iovlen = (size_t)(n < IOV_MAX ? n : IOV_MAX) };
		ssize_t put = sendmsg(io->fd, &m, MSG_NOSIGNAL);

		if (put < 0 && (errno == EPIPE || errno == ECONNRESET))
			return err_set(e, ERR_TEMP, "write: the server closed the connection");
		if (put < 0 && errno != EAGAIN && errno != EINTR)
			return err_sys(e, "write");
		if (put < 0) {
			if (patience("write", until, e) < 0)
				return -1;
			continue;
		}
		until = clock_mono() + io->timeout_s;
		for (; n > 0 && (size_t)put >= iov->iov_len; iov++, n--)
			put -= (ssize_t)iov->iov_len;
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + put;
			iov->iov_len -= (size_t)put;
		}
	}
	return 0;
}

static int
write_tls(struct resp_io *io, const struct iovec *iov, struct err *e)
{
	double until = clock_mono() + io->timeout_s;
	size_t done = 0, put;
	int rc;

	ERR_clear_error();
	while (done < iov->iov_len) {
		rc = SSL_write_ex(io->tls, (char *)iov->iov_base + done, iov->iov_len - done, &put);
		if (rc == 1) {
			done += put;
			until = clock_mono() + io->timeout_s;
		} else if (tls_wait(io, rc, "write", until, e) < 0) {
			return -1;
		}
	}
	return 0;
}

int
resp_io_write(struct resp_io *io, struct iovec *iov, int n, struct err *e)
{
	int i, rc = 0;

	if (io->source)
		return 0;
	if (!io->tls)
		return write_plain(io, iov, n, e);
	for (i = 0; i < n && rc == 0; i++)
		rc = write_tls(io, &iov[i], e);
	return rc;
}
