#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/num.h"
#include "transport/conn_impl.h"

static int
parse_host_port(struct conn_addr *a, const char *t, const char *text, struct err *e)
{
	const char *colon = strrchr(t, ':'), *end = colon;
	uint64_t port;

	if (!colon || strchr(colon, ']'))
		return err_set(e, ERR_USAGE, "peer '%s': no port", text);
	if (num_u64(&port, colon + 1, 0, 65535, "port", e) < 0)
		return err_in(e, "peer '%s'", text);
	if (*t == '[') {
		t++;
		if (end[-1] != ']')
			return err_set(e, ERR_USAGE, "peer '%s': '[' without ']'", text);
		end--;
	} else if (memchr(t, ':', (size_t)(end - t))) {
		return err_set(e, ERR_USAGE, "peer '%s': an IPv6 address needs brackets", text);
	}
	if ((size_t)(end - t) >= sizeof(a->host))
		return err_set(e, ERR_USAGE, "peer '%s': host name too long", text);
	memcpy(a->host, t, (size_t)(end - t));
	snprintf(a->port, sizeof(a->port), "%u", (unsigned)port);
	return 0;
}

int
conn_addr_parse(struct conn_addr *a, const char *text, struct err *e)
{
	static const char *const schemes[] = { "tcp://", "auto://", "rdma://", "ucx://" };
	const char *t = text;
	size_t i;

	memset(a, 0, sizeof(*a));
	if (strncmp(t, "unix:", 5) == 0) {
		t += strncmp(t, "unix://", 7) == 0 ? 7 : 5;
		if (*t != '/' || strlen(t) >= sizeof(a->path))
			return err_set(e, ERR_USAGE, "peer '%s': not an absolute path of less than "
			    "%zu bytes", text, sizeof(a->path));
		strcpy(a->path, t);
		return 0;
	}
	for (i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
		if (strncmp(t, schemes[i], strlen(schemes[i])) == 0) {
			t += strlen(schemes[i]);
			break;
		}
	return parse_host_port(a, t, text, e);
}

int
addr_loopback(const struct sockaddr *sa)
{
	const struct sockaddr_in *four = (const void *)sa;
	const struct sockaddr_in6 *six = (const void *)sa;

	if (sa->sa_family == AF_UNIX)
		return 1;
	if (sa->sa_family == AF_INET)
		return ntohl(four->sin_addr.s_addr) >> 24 == 127;
	if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		return six->sin6_addr.s6_addr[12] == 127;
	return sa->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

int
conn_same_host(const struct conn *c)
{
	struct sockaddr_storage a, b;
	struct sockaddr_in *x = (void *)&a, *y = (void *)&b;
	struct sockaddr_in6 *x6 = (void *)&a, *y6 = (void *)&b;
	socklen_t n = sizeof(a), m = sizeof(b);

	if (getsockname(c->fd, (struct sockaddr *)&a, &n) < 0 ||
	    getpeername(c->fd, (struct sockaddr *)&b, &m) < 0 || a.ss_family != b.ss_family)
		return 0;
	if (a.ss_family == AF_INET)
		return x->sin_addr.s_addr == y->sin_addr.s_addr;
	return a.ss_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&x6->sin6_addr, &y6->sin6_addr);
}

void
addr_text(char *out, size_t n, const struct sockaddr *sa, socklen_t len)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
	    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(out, n, "unknown");
	else
		snprintf(out, n, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

/* connect() on the non-blocking socket of c, waited for. */
static int
connect_wait(struct conn *c, const struct sockaddr *sa, socklen_t len, struct err *e)
{
	int sys = 0;
	socklen_t n = sizeof(sys);

	if (connect(c->fd, sa, len) == 0)
		return 0;
	if (errno == EINPROGRESS) {
		if (conn_wait(c, POLLOUT, -1, c->opts->connect_s, "connect to", e) < 0)
			return -1;
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &sys, &n) == 0 && sys == 0)
			return 0;
		errno = sys;
	}
	err_sys(e, "connect to '%s'", c->name);
	if (e && e->kind != ERR_STOPPED)
		e->kind = ERR_TEMP;
	return -1;
}

static int
dial_one(struct conn **out, const struct sockaddr *sa, socklen_t len, const struct conn_addr *a,
	const struct conn_opts *o, struct err *e)
{
	struct conn *c;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, "socket");
	if (conn_wrap(&c, fd, o, e) < 0)
		return -1;
	c->dialled = 1;
	c->addr = *a;
	c->is_unix = sa->sa_family == AF_UNIX;
	if (c->is_unix)
		snprintf(c->name, sizeof(c->name), "unix:%.100s", a->path);
	else
		addr_text(c->name, sizeof(c->name), sa, len);
	if (o->auth == CONN_PLAIN && !o->insecure && !addr_loopback(sa)) {
		err_set(e, ERR_REFUSED, "connect to '%s': beyond this host without TLS or a "
		    "pre-shared key; --insecure allows it", c->name);
		goto close_c;
	}
	if (connect_wait(c, sa, len, e) < 0)
		goto close_c;
	*out = c;
	return 0;
close_c:
	conn_close(c);
	return -1;
}

int
conn_dial(struct conn **out, const struct conn_addr *a, const struct conn_opts *o,
	struct err *e)
{
	struct addrinfo hint = { .ai_socktype = SOCK_STREAM }, *all, *ai;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int rc;

	*out = NULL;
	if (*a->path) {
		memcpy(un.sun_path, a->path, sizeof(un.sun_path));
		return dial_one(out, (struct sockaddr *)&un, sizeof(un), a, o, e);
	}
	rc = getaddrinfo(*a->host ? a->host : "localhost", a->port, &hint, &all);
	if (rc != 0)
		return err_set(e, ERR_TEMP, "resolve '%s': %s", a->host, gai_strerror(rc));
	rc = -1;
	for (ai = all; ai && rc < 0; ai = ai->ai_next)
		rc = dial_one(out, ai->ai_addr, ai->ai_addrlen, a, o, e);
	freeaddrinfo(all);
	return rc;
}
