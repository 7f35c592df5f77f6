#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/conn_impl.h"
#include "transport/local.h"

#define WAIT_MS 250
#define HELLO_S 2.0	/* who connects has the lane's hello ready */

static socklen_t
place(struct sockaddr_un *un, const unsigned char name[LOCAL_NAME])
{
	char hex[2 * LOCAL_NAME + 1];

	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	hex_write(hex, name, LOCAL_NAME);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
	    (size_t)snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "kvtools-%s", hex));
}

/* Root is another user, too: one end would take whom the other refuses, and wait for it. */
static int
same_user(int fd)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
	    who.uid == geteuid();
}

int
local_listen(struct buf *ticket, struct err *e)
{
	unsigned char name[LOCAL_NAME];
	struct sockaddr_un un;
	socklen_t len;
	int fd;

	if (getrandom(name, sizeof(name), 0) != sizeof(name))
		return err_set(e, ERR_FAILED, "no random bytes");
	len = place(&un, name);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "socket");
	if (bind(fd, (struct sockaddr *)&un, len) == 0 && listen(fd, FABRIC_LANES) == 0 &&
	    buf_add(ticket, name, sizeof(name)) == 0)
		return fd;
	err_sys(e, "shared memory");
	close(fd);
	return -1;
}

/* A connection of the same user, or NULL. Takes fd. */
static struct conn *
wrap(int fd, const struct conn_opts *o, struct err *e)
{
	struct conn *c;

	if (!same_user(fd)) {
		close(fd);
		err_set(e, ERR_REFUSED, "shared memory: the peer is another user");
		return NULL;
	}
	if (conn_wrap(&c, fd, o, e) < 0)
		return NULL;
	c->is_unix = 1;
	strcpy(c->name, "shared memory");
	return c;
}

int
local_accept(int fd, const struct conn_opts *o, const unsigned char token[FABRIC_TOKEN],
	struct conn **out, unsigned *lane, struct err *e)
{
	struct pollfd p = { fd, POLLIN, 0 };
	unsigned char hello[LANE_HELLO];
	struct conn *c;
	int got;

	if (poll(&p, 1, WAIT_MS) < 0 && errno != EINTR)
		return err_sys(e, "shared memory");
	got = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	c = got < 0 ? NULL : wrap(got, o, e);
	if (!c)
		return 0;
	conn_deadline(c, HELLO_S);
	if (conn_read(c, hello, sizeof(hello), 1, e) == 1 &&
	    memcmp(hello, LANE_MAGIC, 8) == 0 && bytes_same(hello + 16, token, FABRIC_TOKEN)) {
		conn_deadline(c, 0);
		*lane = get_le32(hello + 8);
		*out = c;
		return 1;
	}
	conn_close(c);
	return 0;
}

int
local_dial(struct conn **out, const unsigned char name[LOCAL_NAME], const struct conn_opts *o,
	struct err *e)
{
	struct sockaddr_un un;
	socklen_t len = place(&un, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*out = NULL;
	if (fd < 0)
		return err_sys(e, "socket");
	if (connect(fd, (struct sockaddr *)&un, len) < 0) {
		close(fd);
		return err_set(e, ERR_TEMP, "shared memory: the peer is not on this host");
	}
	*out = wrap(fd, o, e);
	if (!*out)
		return -1;
	(*out)->dialled = 1;
	return 0;
}
