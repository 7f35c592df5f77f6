#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/stop.h"
#include "transport/conn_impl.h"

#define LISTEN_FD 3	/* systemd's first, sd_listen_fds(3) */
#define BACKLOG 1024
#define SOCKETS 8	/* a name may have several addresses */

struct net {
	unsigned char addr[16];	/* IPv4 as mapped IPv6 */
	unsigned bits;
};

struct listener {
	const struct conn_opts *opts;
	int fd[SOCKETS];
	int n;
	struct net *allow;
	size_t n_allow;
	int all;
	char path[108];		/* to be removed at the end */
	char name[160];
};

static void
four_as_six(unsigned char out[16], const struct in_addr *in)
{
	static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	memcpy(out, mapped, 12);
	memcpy(out + 12, in, 4);
}

/* Any address as IPv6; 0 if it is neither. */
static int
as_six(unsigned char out[16], const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *four = (const void *)ss;
	const struct sockaddr_in6 *six = (const void *)ss;

	if (ss->ss_family == AF_INET6)
		memcpy(out, &six->sin6_addr, 16);
	else
		four_as_six(out, &four->sin_addr);
	return ss->ss_family == AF_INET6 || ss->ss_family == AF_INET;
}

static int
net_parse(struct net *out, const char *text, struct err *e)
{
	char addr[64];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct in_addr in;
	uint64_t bits;
	int four;

	if (n >= sizeof(addr))
		return err_set(e, ERR_USAGE, "--allow '%s': not a network", text);
	memcpy(addr, text, n);
	addr[n] = '\0';
	four = inet_pton(AF_INET, addr, &in) == 1;
	if (four)
		four_as_six(out->addr, &in);
	else if (inet_pton(AF_INET6, addr, out->addr) != 1)
		return err_set(e, ERR_USAGE, "--allow '%s': not a network", text);
	bits = four ? 32 : 128;
	if (slash && num_u64(&bits, slash + 1, 0, bits, "--allow", e) < 0)
		return -1;
	out->bits = (unsigned)bits + (four ? 96 : 0);
	return 0;
}

static int
net_has(const struct net *net, const unsigned char addr[16])
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;
	unsigned char mask = (unsigned char)(0xff00 >> rest);

	return memcmp(net->addr, addr, whole) == 0 &&
	    (rest == 0 || ((net->addr[whole] ^ addr[whole]) & mask) == 0);
}

static int
allow_read(struct listener *l, const char *const *allow, struct err *e)
{
	size_t n = 0;

	l->all = !allow || !*allow;
	if (l->all)
		return 0;
	while (allow[n])
		n++;
	l->allow = calloc(n, sizeof(*l->allow));
	if (!l->allow)
		return err_sys(e, "listen");
	for (l->n_allow = 0; l->n_allow < n; l->n_allow++)
		if (net_parse(&l->allow[l->n_allow], allow[l->n_allow], e) < 0)
			return -1;
	return 0;
}

/* May this peer talk to us? Unix: this user, or root. */
static int
admitted(const struct listener *l, int fd, const struct sockaddr_storage *ss)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	unsigned char addr[16];
	size_t i;

	if (ss->ss_family == AF_UNIX)
		return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
		    (who.uid == geteuid() || who.uid == 0);
	if (l->all)
		return 1;
	if (!as_six(addr, ss))
		return 0;
	for (i = 0; i < l->n_allow; i++)
		if (net_has(&l->allow[i], addr))
			return 1;
	return 0;
}

static int
may_listen(const struct listener *l, const struct sockaddr *sa, struct err *e)
{
	char name[100];

	if (l->opts->auth != CONN_PLAIN || l->opts->insecure || addr_loopback(sa))
		return 0;
	addr_text(name, sizeof(name), sa, sizeof(struct sockaddr_in6));
	return err_set(e, ERR_REFUSED, "listen on '%s': beyond this host without TLS or a "
	    "pre-shared key; --insecure allows it", name);
}

static int
add_socket(struct listener *l, int fd, struct err *e)
{
	struct sockaddr_storage ss;
	struct sockaddr *sa = (struct sockaddr *)&ss;
	socklen_t n = sizeof(ss);
	char text[128];

	memset(&ss, 0, sizeof(ss));
	if (getsockname(fd, sa, &n) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(e, "listen");
	if (may_listen(l, sa, e) < 0)
		return -1;
	if (l->n == 0 && sa->sa_family == AF_UNIX) {
		snprintf(l->name, sizeof(l->name), "unix://%.108s",
		    ((struct sockaddr_un *)(void *)sa)->sun_path);
	} else if (l->n == 0) {
		addr_text(text, sizeof(text), sa, n);
		snprintf(l->name, sizeof(l->name), "tcp://%s", text);
	}
	l->fd[l->n++] = fd;
	return 0;
}

static int
listen_on(struct listener *l, const struct addrinfo *ai, struct err *e)
{
	int one = 1, fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ai->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
		err_sys(e, "listen");
		if (e && e->sys == EADDRINUSE)
			e->kind = ERR_TEMP;
	} else if (add_socket(l, fd, e) == 0) {
		return 0;
	}
	close(fd);
	return -1;
}

static int
listen_tcp(struct listener *l, const struct conn_addr *a, struct err *e)
{
	struct addrinfo hint = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *all, *ai;
	int rc = getaddrinfo(*a->host ? a->host : NULL, a->port, &hint, &all);

	if (rc != 0)
		return err_set(e, ERR_USAGE, "resolve '%s': %s", a->host, gai_strerror(rc));
	/* An ephemeral port differs from address to address: then the first alone. */
	for (ai = all; ai && l->n < SOCKETS; ai = ai->ai_next) {
		rc = listen_on(l, ai, e);
		if (rc < 0 && e && e->sys == EAFNOSUPPORT)
			continue;
		if (rc < 0 || strcmp(a->port, "0") == 0)
			break;
	}
	freeaddrinfo(all);
	if (rc < 0 && l->n == 0)
		return err_in(e, "'%s:%s'", a->host, a->port);
	return rc < 0 && e && e->kind == ERR_REFUSED ? -1 : 0;
}

/* Does a living process listen there? If not, the socket is a leftover. */
static int
unix_stale(const struct sockaddr_un *un)
{
	int rc, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0 || lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	rc = connect(fd, (const struct sockaddr *)un, sizeof(*un));
	close(fd);
	return rc < 0 && errno == ECONNREFUSED;
}

static int
listen_unix(struct listener *l, const struct conn_addr *a, struct err *e)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mode_t old;
	int rc;

	if (fd < 0)
		return err_sys(e, "socket");
	memcpy(un.sun_path, a->path, sizeof(un.sun_path));
	if (unix_stale(&un))
		(void)unlink(a->path);
	old = umask(0177);
	rc = bind(fd, (struct sockaddr *)&un, sizeof(un));
	umask(old);
	if (rc < 0 || listen(fd, BACKLOG) < 0) {
		err_sys(e, "listen on '%s'", a->path);
		if (e && e->sys == EADDRINUSE)
			e->kind = ERR_TEMP;
		close(fd);
		return err_named(e);
	}
	memcpy(l->path, a->path, sizeof(l->path));
	if (add_socket(l, fd, e) == 0)
		return 0;
	close(fd);
	return -1;
}

/* Sockets that systemd opened for us. */
static int
listen_inherited(struct listener *l, struct err *e)
{
	const char *n_text = getenv("LISTEN_FDS"), *pid_text = getenv("LISTEN_PID");
	uint64_t n, pid, i;

	if (!n_text || !pid_text)
		return err_set(e, ERR_USAGE, "listen: no address, and no socket was handed over");
	if (num_u64(&n, n_text, 1, SOCKETS, "LISTEN_FDS", e) < 0 ||
	    num_u64(&pid, pid_text, 1, INT32_MAX, "LISTEN_PID", e) < 0)
		return -1;
	if ((pid_t)pid != getpid())
		return err_set(e, ERR_USAGE, "listen: LISTEN_PID is not this process");
	for (i = 0; i < n; i++)
		if (add_socket(l, LISTEN_FD + (int)i, e) < 0)
			return -1;
	return 0;
}

int
conn_listen(struct listener **out, const struct conn_addr *a, const struct conn_opts *o,
	const char *const *allow, struct err *e)
{
	struct listener *l = calloc(1, sizeof(*l));
	int rc;

	*out = NULL;
	if (!l)
		return err_sys(e, "listen");
	l->opts = o;
	rc = allow_read(l, allow, e);
	if (rc == 0 && !a)
		rc = listen_inherited(l, e);
	else if (rc == 0)
		rc = *a->path ? listen_unix(l, a, e) : listen_tcp(l, a, e);
	if (rc < 0) {
		listener_close(l);
		return -1;
	}
	*out = l;
	return 0;
}

const char *
listener_name(const struct listener *l)
{
	return l->name;
}

static int
accept_one(struct listener *l, int fd, struct conn **out, struct err *e)
{
	struct sockaddr_storage ss;
	struct sockaddr *sa = (struct sockaddr *)&ss;
	socklen_t n = sizeof(ss);
	struct ucred who = { 0, 0, 0 };
	socklen_t n_who = sizeof(who);
	int got = accept4(fd, sa, &n, SOCK_CLOEXEC);

	if (got < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			return err_sys(e, "accept");
		return 0;	/* the peer went away again, or another thread was faster */
	}
	if (!admitted(l, got, &ss)) {
		close(got);
		return 0;
	}
	if (conn_wrap(out, got, l->opts, e) < 0)
		return -1;
	(*out)->is_unix = sa->sa_family == AF_UNIX;
	if (!(*out)->is_unix) {
		addr_text((*out)->name, sizeof((*out)->name), sa, n);
		return 1;
	}
	(void)getsockopt(got, SOL_SOCKET, SO_PEERCRED, &who, &n_who);
	snprintf((*out)->name, sizeof((*out)->name), "unix pid %ld uid %ld", (long)who.pid,
	    (long)who.uid);
	return 1;
}

int
listener_accept(struct listener *l, struct conn **out, int wake, double timeout_s, struct err *e)
{
	struct pollfd p[SOCKETS + 1];
	double until = clock_mono() + timeout_s;
	int i, rc;

	*out = NULL;
	do {
		for (i = 0; i < l->n; i++)
			p[i] = (struct pollfd){ l->fd[i], POLLIN, 0 };
		p[l->n] = (struct pollfd){ wake, POLLIN, 0 };
		rc = poll(p, (nfds_t)l->n + 1, timeout_s < 0.25 ? (int)(timeout_s * 1000) : 250);
		if (stop_asked())
			return err_set(e, ERR_STOPPED, "stopped by a signal");
		for (i = 0; rc > 0 && i < l->n; i++) {
			int got = p[i].revents ? accept_one(l, l->fd[i], out, e) : 0;

			if (got != 0)
				return got;
		}
		if (p[l->n].revents)
			break;
	} while (clock_mono() < until);
	return 0;
}

void
listener_close(struct listener *l)
{
	int i;

	if (!l)
		return;
	for (i = 0; i < l->n; i++)
		close(l->fd[i]);
	if (*l->path)
		(void)unlink(l->path);
	free(l->allow);
	free(l);
}
