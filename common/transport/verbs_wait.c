#ifdef WITH_RDMA
#include <errno.h>
#include <poll.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/stop.h"
#include "transport/verbs.h"

#define LOOK_S 0.25	/* a signal may have gone to another thread: look now and then */

/* Wait until fd or wake or, if it is not negative, other is readable. Which of fd (1) and
 * other (2) are, as a set; -1. */
static int
ready(struct verbs *v, int fd, int other, double deadline, struct err *e)
{
	struct pollfd p[3] = {
		{ v->wake, POLLIN, 0 }, { fd, POLLIN, 0 }, { other, POLLIN, 0 },
	};
	double left = LOOK_S;
	int n;

	for (;;) {
		if (deadline > 0 && deadline - clock_mono() < left)
			left = deadline - clock_mono();
		n = poll(p, 3, left > 0 ? (int)(left * 1e3) + 1 : 0);
		if (n < 0 && errno != EINTR)
			return err_sys(e, "poll");
		if (stop_asked())
			return err_set(e, ERR_STOPPED, "stopped by a signal");
		if (n > 0 && p[0].revents)
			return err_set(e, ERR_TEMP, "the connection was shut");
		if (n > 0)
			return (p[1].revents ? 1 : 0) | (p[2].revents ? 2 : 0);
		if (n == 0 && left < LOOK_S)
			return err_set(e, ERR_TEMP, "no progress before the time-out");
	}
}

int
verbs_event(struct verbs *v, struct rdma_event_channel *c, struct rdma_cm_event **out,
	double deadline, struct err *e)
{
	if (ready(v, c->fd, -1, deadline, e) < 0)
		return -1;
	if (rdma_get_cm_event(c, out) < 0)
		return err_sys(e, "connection event");
	return 0;
}

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
			return err_set(e, ERR_TEMP, "rdma: the peer has gone");
		return err_set(e, ERR_TEMP, "rdma: %s (vendor code %#x)",
			ibv_wc_status_str(wc[i].status), wc[i].vendor_err);
	}
	return n;
}

int
verbs_reap(struct verbs_lane *l, struct ibv_wc *wc, int n, double deadline, struct err *e)
{
	struct verbs *v = (struct verbs *)l->base.fabric;
	int got, what;

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
		if (l->gone)
			return err_set(e, ERR_TEMP, "rdma: the peer has gone");
		what = ready(v, l->channel->fd, l->events->fd, deadline, e);
		if (what < 0)
			return -1;
		if ((what & 2) && lane_event(l, e) < 0)
			return -1;
		if ((what & 1) && queue_event(l, e) < 0)
			return -1;
	}
}
#endif
