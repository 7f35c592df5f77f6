#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/stop.h"
#include "transport/local.h"
#include "transport/ops.h"

/*
 * Lanes that are connections: TCP, TLS, or a ring in shared memory under a Unix socket: the
 * session's, or one that local.h finds.
 * After the lane's hello (transport.h) a lane is frames: kind (u32), id (u32), offset
 * (u64), length (u64), and as many bytes. Kind 2 is the end.
 */
#define FRAME 24
#define FRAME_DATA 1
#define FRAME_END 2
#define PART ((size_t)512 << 10)	/* told at once, so that hashing finds it in the cache */
#define BULK ((size_t)1 << 20)	/* while so much is to come a reader sleeps until there are */
#define LOW ((size_t)256 << 10)	/* so many bytes: each waking costs its sender, too. BULK is more
				 * than LOW and what TLS reads ahead. */

struct socket_lane {
	struct lane base;
	struct conn *c;
};

struct socket_fabric {
	struct fabric base;
	pthread_mutex_t lock;
	pthread_cond_t change;
	unsigned ready;
	atomic_int shut;
	int ring;
	int door;		/* local_listen()'s; -1: connections come by hand() */
	double accept_s;
	struct socket_lane lane[FABRIC_LANES];
};

static int
socket_probe(const struct fabric_opts *o, uint64_t *line, struct err *e)
{
	(void)o;
	(void)e;
	*line = 0;
	return 0;
}

static struct socket_fabric *
fabric_new(const struct fabric_opts *o, struct conn *control, struct err *e)
{
	struct socket_fabric *f = calloc(1, sizeof(*f));
	unsigned i;

	if (!f) {
		err_sys(e, "lanes");
		return NULL;
	}
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->change, NULL);
	f->base.opts = *o;
	f->door = -1;
	f->accept_s = conn_opts_of(control)->connect_s;
	for (i = 0; i < FABRIC_LANES; i++)
		f->lane[i].base = (struct lane){ &f->base, i };
	return f;
}

static int
socket_listen(struct fabric **out, const struct fabric_opts *o, struct conn *control,
	struct buf *ticket, struct err *e)
{
	struct socket_fabric *f = fabric_new(o, control, e);

	(void)ticket;	/* the lanes come to the address that the control connection came to */
	*out = &f->base;
	return f ? 0 : -1;
}

static void socket_close(struct fabric *base);

static int
shm_listen(struct fabric **out, const struct fabric_opts *o, struct conn *control,
	struct buf *ticket, struct err *e)
{
	struct socket_fabric *f = fabric_new(o, control, e);

	if (!f)
		return -1;
	f->ring = 1;
	if (!conn_is_unix(control) && (f->door = local_listen(ticket, e)) < 0) {
		socket_close(&f->base);
		return -1;
	}
	*out = &f->base;
	return 0;
}

static int
socket_hand(struct fabric *base, struct conn *c, unsigned index, struct err *e)
{
	struct socket_fabric *f = (struct socket_fabric *)base;
	int rc = -1;

	if (f->ring && conn_ring(c, base->opts.source, e) < 0)
		goto out;
	pthread_mutex_lock(&f->lock);
	if (index >= base->opts.lanes || f->lane[index].c || atomic_load(&f->shut)) {
		err_set(e, ERR_REFUSED, "lane %u of '%s': not expected", index, conn_name(c));
	} else {
		f->lane[index].c = c;
		f->ready++;
		c = NULL;
		rc = 0;
		pthread_cond_broadcast(&f->change);
	}
	pthread_mutex_unlock(&f->lock);
out:
	conn_close(c);
	return rc;
}

static int
socket_accept(struct fabric *base, const unsigned char token[FABRIC_TOKEN], struct err *e)
{
	struct socket_fabric *f = (struct socket_fabric *)base;
	double until = clock_mono() + f->accept_s;
	int rc = 0;

	(void)token;	/* who hands over a connection has compared it */
	pthread_mutex_lock(&f->lock);
	while (rc == 0 && f->ready < base->opts.lanes) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_sec++;
		pthread_cond_timedwait(&f->change, &f->lock, &t);
		if (atomic_load(&f->shut) || clock_mono() > until)
			rc = err_set(e, ERR_TEMP, "only %u of %u data connections came", f->ready,
			    base->opts.lanes);
		else if (stop_asked())
			rc = err_set(e, ERR_STOPPED, "stopped by a signal");
	}
	pthread_mutex_unlock(&f->lock);
	return rc;
}

/* As socket_accept(), but lanes come to our own door. */
static int
shm_accept(struct fabric *base, const unsigned char token[FABRIC_TOKEN], struct err *e)
{
	struct socket_fabric *f = (struct socket_fabric *)base;
	double until = clock_mono() + f->accept_s;
	unsigned lane;
	struct conn *c;
	int rc;

	if (f->door < 0)
		return socket_accept(base, token, e);
	while (f->ready < base->opts.lanes) {
		rc = local_accept(f->door, base->opts.conn, token, &c, &lane, e);
		if (rc < 0 || (rc > 0 && socket_hand(base, c, lane, e) < 0))
			return -1;
		if (stop_asked())
			return err_set(e, ERR_STOPPED, "stopped by a signal");
		if (atomic_load(&f->shut) || clock_mono() > until)
			return err_set(e, ERR_TEMP, "no lane came");
	}
	return 0;
}

static int
dial_lane(struct socket_fabric *f, unsigned i, struct conn *control,
	const struct fabric_hail *hail, struct err *e)
{
	unsigned char hello[LANE_HELLO];
	struct conn *c;

	memcpy(hello, LANE_MAGIC, 8);
	put_le32(hello + 8, i);
	put_le32(hello + 12, 0);
	memcpy(hello + 16, hail->token, FABRIC_TOKEN);
	if ((f->ring && !conn_is_unix(control) ?
	    local_dial(&c, hail->ticket, conn_opts_of(control), e) :
	    conn_dial(&c, conn_peer(control), conn_opts_of(control), e)) < 0)
		return -1;
	if (conn_secure(c, e) < 0 || conn_write(c, hello, sizeof(hello), e) < 0 ||
	    (f->ring && conn_ring(c, f->base.opts.source, e) < 0)) {
		conn_close(c);
		return err_in(e, "data connection %u", i + 1);
	}
	f->lane[i].c = c;
	f->ready++;
	return 0;
}

static int
dial_lanes(struct socket_fabric *f, struct conn *control, const struct fabric_hail *hail,
	struct fabric **out, struct err *e)
{
	unsigned i;

	if (!f)
		return -1;
	for (i = 0; i < f->base.opts.lanes; i++)
		if (dial_lane(f, i, control, hail, e) < 0) {
			socket_close(&f->base);
			return -1;
		}
	*out = &f->base;
	return 0;
}

static int
socket_connect(struct fabric **out, const struct fabric_opts *o, struct conn *control,
	const struct fabric_hail *hail, struct err *e)
{
	return dial_lanes(fabric_new(o, control, e), control, hail, out, e);
}

static int
shm_connect(struct fabric **out, const struct fabric_opts *o, struct conn *control,
	const struct fabric_hail *hail, struct err *e)
{
	struct socket_fabric *f;

	if (!conn_is_unix(control) && hail->n_ticket != LOCAL_NAME)
		return err_set(e, ERR_CORRUPT, "shm: ticket of %zu bytes", hail->n_ticket);
	f = fabric_new(o, control, e);
	if (f)
		f->ring = 1;
	return dial_lanes(f, control, hail, out, e);
}

static struct lane *
socket_lane(struct fabric *base, unsigned i)
{
	return &((struct socket_fabric *)base)->lane[i].base;
}

static int
socket_files(const struct fabric *base)
{
	(void)base;
	return 1;
}

static const char *
socket_describe(const struct fabric *base, char out[160])
{
	const struct socket_fabric *f = (const struct socket_fabric *)base;
	char count[NUM_TEXT];

	snprintf(out, 160, "%s, %.80s", num_count_text(count, base->opts.lanes, "connection"),
	    f->lane[0].c ? conn_security(f->lane[0].c) : "none");
	return out;
}

static int
socket_send(struct lane *base, const struct lane_piece *p, struct err *e)
{
	struct socket_lane *l = (struct socket_lane *)base;
	unsigned char head[FRAME];
	struct iovec iov[2] = { { head, FRAME }, { (void *)p->p, p->len } };

	put_le32(head, FRAME_DATA);
	put_le32(head + 4, p->id);
	put_le64(head + 8, p->off);
	put_le64(head + 16, p->len);
	if (!p->p)
		return conn_sendfile(l->c, head, FRAME, p->fd, p->fd_off, p->len, e);
	return conn_writev(l->c, iov, 2, e);
}

static int
socket_finish(struct lane *base, struct err *e)
{
	struct socket_lane *l = (struct socket_lane *)base;
	unsigned char head[FRAME] = { FRAME_END };

	return conn_write(l->c, head, FRAME, e);
}

/* The bytes of one frame, into place and told in parts. */
static int
take_frame(struct socket_lane *l, const unsigned char *head, const struct lane_in *in,
	struct err *e)
{
	uint32_t id = get_le32(head + 4);
	uint64_t off = get_le64(head + 8), len = get_le64(head + 16);
	int bulk = len >= BULK;
	unsigned char *to;
	ssize_t got;

	if (len == 0 || len > SIZE_MAX / 2 || off == LANE_SOMEWHERE)
		return err_set(e, ERR_CORRUPT, "data from '%s': a frame of %llu bytes at %llu",
		    conn_name(l->c), (unsigned long long)len, (unsigned long long)off);
	to = in->place(in->ctx, id, off, (size_t)len, e);
	if (!to)
		return -1;
	if (bulk)
		conn_lowat(l->c, LOW);
	while (len > 0) {
		if (bulk && len < BULK) {
			conn_lowat(l->c, 1);
			bulk = 0;
		}
		got = conn_read_some(l->c, to, len < PART ? (size_t)len : PART, 1, e);
		if (got < 0)
			return -1;
		if (got == 0)
			return err_set(e, ERR_TEMP, "data from '%s': the peer closed in the middle",
			    conn_name(l->c));
		if (in->arrived(in->ctx, id, off, (size_t)got, e) < 0)
			return -1;
		to += got;
		off += (uint64_t)got;
		len -= (uint64_t)got;
	}
	return 0;
}

static int
socket_recv(struct lane *base, const struct lane_in *in, struct err *e)
{
	struct socket_lane *l = (struct socket_lane *)base;
	unsigned char head[FRAME];
	int rc;

	while ((rc = conn_read(l->c, head, FRAME, 0, e)) == 1) {
		if (get_le32(head) == FRAME_END)
			return 0;
		if (get_le32(head) != FRAME_DATA)
			return err_set(e, ERR_CORRUPT, "data from '%s': unknown frame %u",
			    conn_name(l->c), get_le32(head));
		if (take_frame(l, head, in, e) < 0)
			return -1;
	}
	return rc < 0 ? -1 : err_set(e, ERR_TEMP, "data from '%s': the peer closed",
	    conn_name(l->c));
}

/* Who has nothing to send does not notice otherwise, and what was sent last may be lost. */
static int
socket_check(struct lane *base, struct err *e)
{
	const struct conn *c = ((struct socket_lane *)base)->c;

	if (!conn_gone(c))
		return 0;
	return err_set(e, ERR_TEMP, "data to '%s': the peer closed", conn_name(c));
}

static void
socket_cut(struct lane *base)
{
	conn_shut(((struct socket_lane *)base)->c);
}

static void
socket_shut(struct fabric *base)
{
	struct socket_fabric *f = (struct socket_fabric *)base;
	unsigned i;

	pthread_mutex_lock(&f->lock);
	atomic_store(&f->shut, 1);
	for (i = 0; i < base->opts.lanes; i++)
		if (f->lane[i].c)
			conn_shut(f->lane[i].c);
	if (f->door >= 0)
		(void)shutdown(f->door, SHUT_RDWR);	/* wakes who waits there */
	pthread_cond_broadcast(&f->change);
	pthread_mutex_unlock(&f->lock);
}

static void
socket_close(struct fabric *base)
{
	struct socket_fabric *f = (struct socket_fabric *)base;
	unsigned i;

	for (i = 0; i < FABRIC_LANES; i++)
		conn_close(f->lane[i].c);
	if (f->door >= 0)
		close(f->door);
	pthread_cond_destroy(&f->change);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

/* What shared memory has in common with the other sockets: all but how lanes come to be. */
#define SOCKET_OPS \
	.probe = socket_probe, .hand = socket_hand, .lane = socket_lane, .files = socket_files, \
	.describe = socket_describe, .send = socket_send, .finish = socket_finish, \
	.recv = socket_recv, .check = socket_check, .cut = socket_cut, .shut = socket_shut, \
	.close = socket_close

const struct fabric_ops fabric_socket = {
	SOCKET_OPS,
	.listen = socket_listen, .accept = socket_accept, .connect = socket_connect,
};

const struct fabric_ops fabric_shm = {
	SOCKET_OPS,
	.listen = shm_listen, .accept = shm_accept, .connect = shm_connect,
};
