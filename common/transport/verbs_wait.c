#ifdef WITH_RDMA
#include <errno.h>
#include <poll.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/stop.h"
#include "transport/verbs.h"

#define LOOK_S 0.25	/* a signal may have gone to another thread: look now and then */

/* Something happened to the lane's connection. What it was does not matter: after any event
 * but the first, established, the connection is of no more use. */
static int
lane_event(struct verbs_lane *l, struct err *e)
{
	struct rdma_cm_event *ev;

	if (rdma_get_cm_event(l->events, &ev) < 0)
		return err_sys(e, "connection event");
	if (ev->event != RDMA_CM_EVENT_ESTABLISHED)
		l->gone = 1;
	rdma_ack_cm_event(ev);
	return 0;
}

static struct verbs_port *
port_of(const struct verbs_lane *l)
{
	return &((struct verbs *)l->base.fabric)->port[l->local];
}

/* A lane's error, with the name of its port. */
static int
broken(const struct verbs_lane *l, const char *why, struct err *e)
{
	const struct nic *n = &port_of(l)->nic;

	return err_set(e, ERR_TEMP, "rdma %s:%u: %s", n->dev, n->port, why);
}

/* Is there another lane, by a port that is not down? */
static int
others(const struct verbs_lane *l)
{
	struct verbs *v = (struct verbs *)l->base.fabric;
	unsigned i;

	for (i = 0; i < v->base.opts.lanes; i++) {
		struct verbs_lane *m = &v->lane[i];

		if (m != l && m->id && !atomic_load(&m->dropped) && !atomic_load(&port_of(m)->down))
			return 1;
	}
	return 0;
}

/* A port that is down may come up before the queue pair gives up, which one that is alone waits
 * for; with others there is no need to. */
static int
useless(const struct verbs_lane *l, struct err *e)
{
	if (l->gone)
		return broken(l, "the peer has gone", e);
	if (atomic_load(&l->cut))
		return broken(l, "given up by the peer", e);
	if (atomic_load(&port_of(l)->down) && others(l))
		return broken(l, "port down", e);
	return 0;
}

/* The descriptor that tells of the lane's port, until that is down. */
static int
port_fd(const struct verbs_lane *l)
{
	const struct verbs_port *p = l ? port_of(l) : NULL;

	return p && p->watch && !atomic_load(&p->down) ? p->watch->async_fd : -1;
}

/* Wait up to ms for fd: 1, it is readable; 0: not yet, or something else happened, which is heard
 * here: of the lane, if there is one, its connection and its port. */
static int
ready_once(struct verbs *v, struct verbs_lane *l, int fd, int ms, struct err *e)
{
	struct pollfd p[4] = {
		{ v->wake, POLLIN, 0 }, { fd, POLLIN, 0 },
		{ l ? l->events->fd : -1, POLLIN, 0 }, { port_fd(l), POLLIN, 0 },
	};

	if (poll(p, 4, ms) < 0 && errno != EINTR)
		return err_sys(e, "poll");
	if (stop_asked())
		return err_set(e, ERR_STOPPED, "stopped by a signal");
	if (p[0].revents)
		return err_set(e, ERR_TEMP, "the connection was shut");
	if (p[2].revents && lane_event(l, e) < 0)
		return -1;
	if (p[3].revents)
		verbs_port_hear(port_of(l));
	return p[1].revents != 0;
}

/* The same for LOOK_S. -1 also: it is past deadline (0: none). */
static int
ready(struct verbs *v, struct verbs_lane *l, int fd, double deadline, struct err *e)
{
	double left = deadline > 0 ? deadline - clock_mono() : LOOK_S;

	if (left < 0 && l)
		return broken(l, "no progress before the time-out", e);
	if (left < 0)
		return err_set(e, ERR_TEMP, "no progress before the time-out");
	return ready_once(v, l, fd, (int)((left < LOOK_S ? left : LOOK_S) * 1e3) + 1, e);
}

int
verbs_check(struct lane *lane, struct err *e)
{
	struct verbs_lane *l = (struct verbs_lane *)lane;

	if (ready_once((struct verbs *)lane->fabric, l, -1, 0, e) < 0)
		return -1;
	return useless(l, e);
}

int
verbs_event(struct verbs *v, struct rdma_event_channel *c, struct rdma_cm_event **out,
	double deadline, struct err *e)
{
	int rc;

	do {
		rc = ready(v, NULL, c->fd, deadline, e);
	} while (rc == 0);
	if (rc < 0)
		return -1;
	if (rdma_get_cm_event(c, out) < 0)
		return err_sys(e, "connection event");
	return 0;
}

static int
queue_event(struct verbs_lane *l, struct err *e)
{
	struct ibv_cq *cq;
	void *context;

	if (ibv_get_cq_event(l->channel, &cq, &context) < 0)
		return err_sys(e, "completion event");
	/* acknowledged in bulk: it takes a lock */
	if (++l->events_unacked == 64) {
		ibv_ack_cq_events(l->cq, l->events_unacked);
		l->events_unacked = 0;
	}
	l->armed = 0;
	return 0;
}

/* Each completion is looked at here, and only here. */
static int
check(const struct verbs_lane *l, const struct ibv_wc *wc, int n, struct err *e)
{
	int i;

	for (i = 0; i < n; i++) {
		if (wc[i].status == IBV_WC_SUCCESS)
			continue;
		if (wc[i].status == IBV_WC_WR_FLUSH_ERR || l->gone)
			return broken(l, "the peer has gone", e);
		return broken(l, ibv_wc_status_str(wc[i].status), e);
	}
	return n;
}

int
verbs_reap(struct verbs_lane *l, struct ibv_wc *wc, int n, double deadline, struct err *e)
{
	struct verbs *v = (struct verbs *)l->base.fabric;
	int got;

	for (;;) {
		got = ibv_poll_cq(l->cq, n, wc);
		if (got < 0)
			return err_set(e, ERR_FAILED, "rdma: poll of the completion queue");
		if (got > 0)
			return check(l, wc, got, e);
		if (!l->armed) {
			/* what came in between is found by one more look */
			if (ibv_req_notify_cq(l->cq, 0))
				return err_sys(e, "completion channel");
			l->armed = 1;
			continue;
		}
		if (useless(l, e) < 0)
			return -1;
		got = ready(v, l, l->channel->fd, deadline, e);
		if (got < 0 || (got > 0 && queue_event(l, e) < 0))
			return -1;
	}
}
#endif
