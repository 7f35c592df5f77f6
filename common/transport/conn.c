#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/stop.h"
#include "transport/conn_impl.h"

#define DRAIN_S 0.5
#define SLICE_MS 250	/* a stop signal may have woken another thread: look now and then */

static void
tune(int fd, const struct conn_opts *o)
{
	int one = 1, size = (int)o->sock_buf;

	/* None of these can hurt by failing: Unix sockets have no TCP options. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (size > 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	}
}

int
conn_wrap(struct conn **out, int fd, const struct conn_opts *o, struct err *e)
{
	struct conn *c = calloc(1, sizeof(*c));
	int flags = fcntl(fd, F_GETFL);

	*out = NULL;
	if (!c || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		err_sys(e, "connection");
		free(c);
		close(fd);
		return -1;
	}
	c->fd = fd;
	c->opts = o;
	pthread_mutex_init(&c->write_lock, NULL);
	pthread_mutex_init(&c->tls_lock, NULL);
	strcpy(c->security, "plain");
	tune(fd, o);
	*out = c;
	return 0;
}

int
conn_sys(const struct conn *c, const char *what, struct err *e)
{
	int sys = errno;

	err_sys(e, "%s '%s'", what, c->name);
	if (e && (sys == ECONNRESET || sys == EPIPE || sys == ETIMEDOUT || sys == EHOSTUNREACH ||
	    sys == ENETUNREACH || sys == ECONNABORTED || sys == ENETDOWN))
		e->kind = ERR_TEMP;
	if (e && sys == EPIPE)
		e->sys = 0;	/* no tool is to die of it as of its own output's */
	return -1;
}

int
conn_wait(struct conn *c, short events, int fd2, double timeout_s, const char *what,
	struct err *e)
{
	double until = clock_mono() + timeout_s;
	struct pollfd p[2] = { { c->fd, events, 0 }, { fd2, POLLIN, 0 } };
	int rc;

	for (;;) {
		rc = poll(p, fd2 < 0 ? 1 : 2, SLICE_MS);
		if (atomic_load(&c->shut))
			return err_set(e, ERR_TEMP, "%s '%s': connection was shut", what, c->name);
		if (rc > 0)
			return 0;
		if (rc < 0 && errno != EINTR)
			return conn_sys(c, "poll", e);
		if (stop_asked())
			return err_set(e, ERR_STOPPED, "stopped by a signal");
		if (c->deadline > 0 && clock_mono() > c->deadline)
			return err_set(e, ERR_TEMP, "%s '%s': took too long", what, c->name);
		if (timeout_s > 0 && clock_mono() > until)
			return err_set(e, ERR_TEMP, "%s '%s': nothing moved for %g s", what,
			    c->name, timeout_s);
	}
}

static ssize_t
plain_read(struct conn *c, void *p, size_t n, int wait, struct err *e)
{
	ssize_t got;

	for (;;) {
		got = recv(c->fd, p, n, 0);
		if (got >= 0)
			return got;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return conn_sys(c, "read", e);
		if (conn_wait(c, POLLIN, -1, wait ? c->opts->timeout_s : 0, "read", e) < 0)
			return -1;
	}
}

ssize_t
conn_read_some(struct conn *c, void *p, size_t n, int wait, struct err *e)
{
	if (c->ring && !c->ring_source)
		return ring_read(c, p, n, wait, e);
	if (c->ssl)
		return tls_read(c, p, n, wait, e);
	return plain_read(c, p, n, wait, e);
}

int
conn_read(struct conn *c, void *p, size_t n, int wait, struct err *e)
{
	size_t done = 0;
	ssize_t got;

	while (done < n) {
		got = conn_read_some(c, (char *)p + done, n - done, wait || done > 0, e);
		if (got < 0)
			return -1;
		if (got == 0 && done == 0)
			return 0;
		if (got == 0)
			return err_set(e, ERR_TEMP, "read '%s': the peer closed in the middle",
			    c->name);
		done += (size_t)got;
	}
	return 1;
}

/* Step over what was written; returns how many entries are left. */
static int
iov_step(struct iovec **iov, int n, size_t done)
{
	while (n > 0 && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		n--;
	}
	if (n > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
	return n;
}

static int
plain_writev(struct conn *c, struct iovec *iov, int n, int flags, struct err *e)
{
	ssize_t put;

	while ((n = iov_step(&iov, n, 0)) > 0) {
		struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)n };

		put = sendmsg(c->fd, &m, MSG_NOSIGNAL | flags);
		if (put >= 0)
			n = iov_step(&iov, n, (size_t)put);
		else if (errno == EAGAIN) {
			if (conn_wait(c, POLLOUT, -1, c->opts->timeout_s, "write", e) < 0)
				return -1;
		} else if (errno != EINTR) {
			return conn_sys(c, "write", e);
		}
	}
	return 0;
}

static int
write_locked(struct conn *c, struct iovec *iov, int n, int flags, struct err *e)
{
	int i, rc = 0;

	if (c->ring && c->ring_source) {
		for (i = 0; i < n && rc == 0; i++)
			rc = ring_write(c, iov[i].iov_base, iov[i].iov_len, e);
		return rc;
	}
	if (c->ssl) {
		for (i = 0; i < n && rc == 0; i++)
			rc = tls_write(c, iov[i].iov_base, iov[i].iov_len, e);
		return rc;
	}
	return plain_writev(c, iov, n, flags, e);
}

int
conn_writev(struct conn *c, struct iovec *iov, int n, struct err *e)
{
	int rc;

	pthread_mutex_lock(&c->write_lock);
	rc = write_locked(c, iov, n, 0, e);
	pthread_mutex_unlock(&c->write_lock);
	return rc;
}

int
conn_write(struct conn *c, const void *p, size_t n, struct err *e)
{
	struct iovec iov = { (void *)p, n };

	return conn_writev(c, &iov, 1, e);
}

static int
plain_sendfile(struct conn *c, int fd, uint64_t off, size_t n, struct err *e)
{
	off_t at = (off_t)off;
	ssize_t put;

	while (n > 0) {
		put = sendfile(c->fd, fd, &at, n);
		if (put > 0)
			n -= (size_t)put;
		else if (put == 0)
			return err_set(e, ERR_CORRUPT, "the file ended %zu bytes early", n);
		else if (errno == EAGAIN) {
			if (conn_wait(c, POLLOUT, -1, c->opts->timeout_s, "write", e) < 0)
				return -1;
		} else if (errno != EINTR) {
			return conn_sys(c, "sendfile to", e);
		}
	}
	return 0;
}

int
conn_sendfile(struct conn *c, const void *head, size_t n_head, int fd, uint64_t off, size_t n,
	struct err *e)
{
	struct iovec iov = { (void *)head, n_head };
	int rc;

	pthread_mutex_lock(&c->write_lock);
	rc = write_locked(c, &iov, 1, MSG_MORE, e);
	if (rc == 0 && c->ring)
		rc = ring_sendfile(c, fd, off, n, e);
	else if (rc == 0 && c->ssl)
		rc = tls_sendfile(c, fd, off, n, e);
	else if (rc == 0)
		rc = plain_sendfile(c, fd, off, n, e);
	pthread_mutex_unlock(&c->write_lock);
	return rc;
}

int
conn_secure(struct conn *c, struct err *e)
{
	/* A Unix socket's peer is known by its credentials. */
	if (c->is_unix || c->opts->auth == CONN_PLAIN)
		return 0;
	return tls_start(c, e);
}

int
conn_ring(struct conn *c, int source, struct err *e)
{
	return ring_make(c, source, e);
}

void
conn_shut(struct conn *c)
{
	atomic_store(&c->shut, 1);
	(void)shutdown(c->fd, SHUT_RDWR);
}

void
conn_shut_write(struct conn *c)
{
	atomic_store(&c->shut, 1);
	(void)shutdown(c->fd, SHUT_WR);
}

void
conn_drain(struct conn *c)
{
	double until = clock_mono() + DRAIN_S;
	struct pollfd p = { c->fd, POLLIN, 0 };
	char away[4096];

	(void)shutdown(c->fd, SHUT_WR);
	while (clock_mono() < until && poll(&p, 1, SLICE_MS) >= 0)
		if (p.revents && recv(c->fd, away, sizeof(away), MSG_DONTWAIT) <= 0)
			break;
}

void
conn_close(struct conn *c)
{
	if (!c)
		return;
	tls_end(c);
	ring_free(c->ring);
	close(c->fd);
	pthread_mutex_destroy(&c->write_lock);
	pthread_mutex_destroy(&c->tls_lock);
	free(c);
}

void
conn_deadline(struct conn *c, double s)
{
	c->deadline = s > 0 ? clock_mono() + s : 0;
}

void
conn_lowat(struct conn *c, size_t n)
{
	int low = (int)n;

	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
}

int
conn_fd(const struct conn *c)
{
	return c->fd;
}

int
conn_gone(const struct conn *c)
{
	struct pollfd p = { c->fd, POLLRDHUP, 0 };

	return poll(&p, 1, 0) > 0;
}

int
conn_is_unix(const struct conn *c)
{
	return c->is_unix;
}

int
conn_dialled(const struct conn *c)
{
	return c->dialled;
}

const struct conn_opts *
conn_opts_of(const struct conn *c)
{
	return c->opts;
}

const struct conn_addr *
conn_peer(const struct conn *c)
{
	return c->dialled ? &c->addr : NULL;
}

const char *
conn_name(const struct conn *c)
{
	return c->name;
}

const char *
conn_security(const struct conn *c)
{
	return c->security;
}
