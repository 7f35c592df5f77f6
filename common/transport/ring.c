#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/conn_impl.h"

/*
 * A ring of bytes in a memfd that the source made and handed over, with two eventfds to
 * wake the other end. Both ends keep their own positions and believe the other's only
 * after a check: the peer may be hostile, and the sink copies out before it verifies.
 */
#define RING ((size_t)4 << 20)		/* fits into a shared cache: faster than more */
#define PAGE ((size_t)4096)
#define STEP ((size_t)256 << 10)	/* tell the other end after so many bytes */

struct ring_shared {
	_Atomic uint64_t put;		/* bytes written, by the source */
	_Atomic uint32_t source_waits;
	char apart[52];			/* another cache line */
	_Atomic uint64_t got;		/* bytes read, by the sink */
	_Atomic uint32_t sink_waits;
};

struct ring {
	struct ring_shared *s;
	unsigned char *bytes;
	uint64_t mine;		/* our own position */
	int memfd;
	int wake_sink, wake_source;	/* eventfds */
};

static int
send_fds(struct conn *c, const struct ring *r, struct err *e)
{
	union { struct cmsghdr h; char b[CMSG_SPACE(3 * sizeof(int))]; } u;
	char one = 'R';
	struct iovec iov = { &one, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.b,
	    .msg_controllen = sizeof(u.b) };
	int fds[3] = { r->memfd, r->wake_sink, r->wake_source };

	memset(&u, 0, sizeof(u));
	u.h.cmsg_level = SOL_SOCKET;
	u.h.cmsg_type = SCM_RIGHTS;
	u.h.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&u.h), fds, sizeof(fds));
	while (sendmsg(c->fd, &m, MSG_NOSIGNAL) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return conn_sys(c, "pass shared memory to", e);
		if (conn_wait(c, POLLOUT, -1, c->opts->connect_s, "write", e) < 0)
			return -1;
	}
	return 0;
}

/* Of a message that brought others than were agreed, or not as many. */
static void
close_fds(const struct msghdr *m)
{
	const struct cmsghdr *h = CMSG_FIRSTHDR(m);
	size_t i;
	int fd;

	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
		return;
	for (i = 0; CMSG_LEN((i + 1) * sizeof(fd)) <= h->cmsg_len; i++) {
		memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
		close(fd);
	}
}

static int
take_fds(struct conn *c, struct ring *r, struct err *e)
{
	union { struct cmsghdr h; char b[CMSG_SPACE(3 * sizeof(int))]; } u;
	char one;
	struct iovec iov = { &one, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.b,
	    .msg_controllen = sizeof(u.b) };
	int fds[3];
	ssize_t n;

	memset(&u, 0, sizeof(u));
	while ((n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return conn_sys(c, "take shared memory from", e);
		if (conn_wait(c, POLLIN, -1, c->opts->connect_s, "read", e) < 0)
			return -1;
	}
	if (n != 1 || m.msg_controllen < sizeof(u.h) || u.h.cmsg_type != SCM_RIGHTS ||
	    u.h.cmsg_level != SOL_SOCKET || u.h.cmsg_len != CMSG_LEN(sizeof(fds))) {
		close_fds(&m);
		return err_set(e, ERR_CORRUPT, "take shared memory from '%s': none came", c->name);
	}
	memcpy(fds, CMSG_DATA(&u.h), sizeof(fds));
	r->memfd = fds[0];
	r->wake_sink = fds[1];
	r->wake_source = fds[2];
	/* They are looked at when it is not they that woke us, too. */
	(void)fcntl(r->wake_sink, F_SETFL, O_NONBLOCK);
	(void)fcntl(r->wake_source, F_SETFL, O_NONBLOCK);
	return 0;
}

static int
ring_new(struct ring *r, struct err *e)
{
	r->memfd = memfd_create("kvtools", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	r->wake_sink = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->wake_source = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->memfd < 0 || r->wake_sink < 0 || r->wake_source < 0 ||
	    ftruncate(r->memfd, (off_t)(PAGE + RING)) < 0 ||
	    fcntl(r->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(e, "shared memory");
	return 0;
}

/* Memory that could shrink under us would kill us with SIGBUS: it must be sealed. */
static int
ring_map(struct conn *c, struct ring *r, struct err *e)
{
	int seals = fcntl(r->memfd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(r->memfd, &st) < 0 ||
	    (size_t)st.st_size != PAGE + RING)
		return err_set(e, ERR_CORRUPT, "shared memory from '%s' is not what was agreed",
		    c->name);
	r->s = mmap(NULL, PAGE + RING, PROT_READ | PROT_WRITE, MAP_SHARED, r->memfd, 0);
	if (r->s == MAP_FAILED) {
		r->s = NULL;
		return err_sys(e, "map shared memory");
	}
	r->bytes = (unsigned char *)r->s + PAGE;
	return 0;
}

int
ring_make(struct conn *c, int source, struct err *e)
{
	struct ring *r = calloc(1, sizeof(*r));

	if (!r)
		return err_sys(e, "shared memory");
	r->memfd = r->wake_sink = r->wake_source = -1;
	if (!c->is_unix)
		err_set(e, ERR_USAGE, "shared memory needs a unix:// peer");
	else if ((source ? ring_new(r, e) : take_fds(c, r, e)) == 0 && ring_map(c, r, e) == 0 &&
	    (!source || send_fds(c, r, e) == 0)) {
		c->ring = r;
		c->ring_source = source;
		strcpy(c->security, "same user, shared memory");
		return 0;
	}
	ring_free(r);
	return -1;
}

void
ring_free(struct ring *r)
{
	if (!r)
		return;
	if (r->s)
		munmap(r->s, PAGE + RING);
	if (r->memfd >= 0)
		close(r->memfd);
	if (r->wake_sink >= 0)
		close(r->wake_sink);
	if (r->wake_source >= 0)
		close(r->wake_source);
	free(r);
}

static void
wake(_Atomic uint32_t *waits, int fd)
{
	uint64_t one = 1;

	if (atomic_load(waits) && atomic_exchange(waits, 0))
		(void)!write(fd, &one, sizeof(one));
}

/* Wait until the other end has moved; the flag was set and the ring looked at again. 0: it may
 * have; 1: the peer hung up. */
static int
ring_wait(struct conn *c, int fd, double timeout_s, const char *what, struct err *e)
{
	uint64_t n;

	if (conn_wait(c, POLLRDHUP, fd, timeout_s, what, e) < 0)
		return -1;
	(void)!read(fd, &n, sizeof(n));
	return conn_gone(c);
}

/* Bytes that lie in the ring for the sink, or -1 when the peer's count is impossible. */
static int64_t
ring_filled(struct conn *c, struct ring *r, struct err *e)
{
	uint64_t n = atomic_load_explicit(&r->s->put, memory_order_acquire) - r->mine;

	if (n > RING)
		return err_set(e, ERR_CORRUPT, "shared memory from '%s': impossible position",
		    c->name);
	return (int64_t)n;
}

ssize_t
ring_read(struct conn *c, void *p, size_t n, int wait, struct err *e)
{
	struct ring *r = c->ring;
	size_t at, take;
	int64_t have;
	int gone = 0;

	while ((have = ring_filled(c, r, e)) == 0) {
		if (gone)
			return 0;
		atomic_store(&r->s->sink_waits, 1);
		if (atomic_load(&r->s->put) != r->mine)
			continue;
		gone = ring_wait(c, r->wake_sink, wait ? c->opts->timeout_s : 0, "read", e);
		if (gone < 0)
			return -1;
	}
	if (have < 0)
		return -1;
	at = r->mine % RING;
	take = (size_t)have < n ? (size_t)have : n;
	if (take > STEP)
		take = STEP;
	if (take > RING - at)
		take = RING - at;
	memcpy(p, r->bytes + at, take);
	r->mine += take;
	atomic_store(&r->s->got, r->mine);
	wake(&r->s->source_waits, r->wake_source);
	return (ssize_t)take;
}

/* Room to write at *at: how many bytes without a wrap, or -1. */
static ssize_t
ring_room(struct conn *c, unsigned char **at, struct err *e)
{
	struct ring *r = c->ring;
	uint64_t used;
	size_t pos = r->mine % RING, room;

	for (;;) {
		used = r->mine - atomic_load_explicit(&r->s->got, memory_order_acquire);
		if (used > RING)
			return err_set(e, ERR_CORRUPT, "shared memory to '%s': impossible position",
			    c->name);
		if (used < RING)
			break;
		atomic_store(&r->s->source_waits, 1);
		if (r->mine - atomic_load(&r->s->got) < RING)
			continue;
		used = (uint64_t)ring_wait(c, r->wake_source, c->opts->timeout_s, "write", e);
		if (used == 1)
			return err_set(e, ERR_TEMP, "write '%s': the peer went away", c->name);
		if (used != 0)
			return -1;
	}
	room = RING - (size_t)used;
	if (room > RING - pos)
		room = RING - pos;
	*at = r->bytes + pos;
	return (ssize_t)(room < STEP ? room : STEP);
}

static void
ring_publish(struct ring *r, size_t n)
{
	r->mine += n;
	atomic_store(&r->s->put, r->mine);
	wake(&r->s->sink_waits, r->wake_sink);
}

int
ring_write(struct conn *c, const void *p, size_t n, struct err *e)
{
	const unsigned char *from = p;
	unsigned char *at;
	ssize_t room;

	while (n > 0) {
		room = ring_room(c, &at, e);
		if (room < 0)
			return -1;
		if ((size_t)room > n)
			room = (ssize_t)n;
		memcpy(at, from, (size_t)room);
		ring_publish(c->ring, (size_t)room);
		from += room;
		n -= (size_t)room;
	}
	return 0;
}

int
ring_sendfile(struct conn *c, int fd, uint64_t off, size_t n, struct err *e)
{
	unsigned char *at;
	ssize_t room, got;

	while (n > 0) {
		room = ring_room(c, &at, e);
		if (room < 0)
			return -1;
		got = pread(fd, at, (size_t)room < n ? (size_t)room : n, (off_t)off);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, "read the file to send");
		if (got == 0)
			return err_set(e, ERR_CORRUPT, "the file ended %zu bytes early", n);
		ring_publish(c->ring, (size_t)got);
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}
