#ifdef WITH_RDMA
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "transport/verbs.h"

#define MAGIC 0x3152564bu	/* "KVR1" */
#define ASK 32			/* bytes: magic, token, lane, ports, role, immediate */
#define ANSWER 8		/* bytes: magic, immediate */
#define RETRIES 3		/* never 7: rxe then waits for a dead link without end */
#define RNR_RETRIES 6
#define ACK_TIMEOUT 18		/* 4.096 us * 2^18, about a second */
#define RESOLVE_MS 2000

static int
refusal(struct err *e, const struct rdma_cm_event *ev, const char *wanted)
{
	if (ev->event == RDMA_CM_EVENT_REJECTED)
		return err_set(e, ERR_TEMP, "rejected (%d)", ev->status);
	if (ev->status < 0)
		return err_set(e, ERR_TEMP, "%s: %s", wanted, strerror(-ev->status));
	return err_set(e, ERR_TEMP, "%s: %s (%d)", wanted, rdma_event_str(ev->event), ev->status);
}

/* Wait for this event on the lane's channel. out (ANSWER bytes, or NULL) gets the peer's
 * private data. */
static int
expect(struct verbs *v, struct verbs_lane *l, enum rdma_cm_event_type type, double deadline,
	unsigned char *out, struct err *e)
{
	struct rdma_cm_event *ev;
	int rc = 0;

	if (verbs_event(v, l->events, &ev, deadline, e) < 0)
		return -1;
	if (ev->event != type)
		rc = refusal(e, ev, "connect");
	else if (out && ev->param.conn.private_data_len < ANSWER)
		rc = err_set(e, ERR_CORRUPT, "connect: short answer");
	else if (out)
		memcpy(out, ev->param.conn.private_data, ANSWER);
	rdma_ack_cm_event(ev);
	return rc;
}

static int
has_immediate(const struct verbs_lane *l)
{
	return l->id->verbs->device->transport_type == IBV_TRANSPORT_IB;
}

/* Acknowledgements are waited for about a second, four times. Not every device listens. */
static void
set_timeout(struct rdma_cm_id *id)
{
	uint8_t exponent = ACK_TIMEOUT;

	(void)rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &exponent,
		sizeof(exponent));
}

static int
resolve(struct verbs *v, struct verbs_lane *l, double deadline, struct err *e)
{
	struct sockaddr_storage from = v->port[l->local].nic.addr, to = v->peer[l->remote].addr;

	if (rdma_create_id(l->events, &l->id, l, RDMA_PS_TCP) < 0)
		return err_sys(e, "connection");
	if (rdma_resolve_addr(l->id, (struct sockaddr *)&from, (struct sockaddr *)&to,
		RESOLVE_MS) < 0)
		return err_sys(e, "address");
	if (expect(v, l, RDMA_CM_EVENT_ADDR_RESOLVED, deadline, NULL, e) < 0)
		return -1;
	if (rdma_resolve_route(l->id, RESOLVE_MS) < 0)
		return err_sys(e, "route");
	return expect(v, l, RDMA_CM_EVENT_ROUTE_RESOLVED, deadline, NULL, e);
}

static int
connect_lane(struct verbs *v, struct verbs_lane *l, const struct verbs_join *j, double deadline,
	struct err *e)
{
	unsigned char ask[ASK] = {0}, answer[ANSWER];
	struct rdma_conn_param p = {
		.private_data = ask, .private_data_len = sizeof(ask),
		.responder_resources = 1, .initiator_depth = 1,
		.retry_count = RETRIES, .rnr_retry_count = RNR_RETRIES,
	};

	put_le32(ask, MAGIC);
	memcpy(ask + 4, j->token, FABRIC_TOKEN);
	put_le16(ask + 20, (uint16_t)j->lane);
	ask[22] = (unsigned char)l->local;
	ask[23] = (unsigned char)l->remote;
	ask[24] = (unsigned char)j->source;
	ask[25] = (unsigned char)has_immediate(l);
	if (rdma_connect(l->id, &p) < 0)
		return err_sys(e, "connect");
	if (expect(v, l, RDMA_CM_EVENT_ESTABLISHED, deadline, answer, e) < 0)
		return -1;
	if (get_le32(answer) != MAGIC)
		return err_set(e, ERR_CORRUPT, "connect: not one of ours");
	l->immediate = answer[4] && has_immediate(l);
	return verbs_hello(l, 1, deadline, e);
}

int
verbs_dial(struct verbs *v, struct verbs_lane *l, const struct verbs_join *j, double deadline,
	struct err *e)
{
	l->local = (int)j->local;
	l->remote = (int)j->remote;
	l->events = rdma_create_event_channel();
	if (!l->events) {
		err_sys(e, "event channel");
		goto fail;
	}
	if (resolve(v, l, deadline, e) < 0)
		goto fail;
	set_timeout(l->id);
	if (verbs_lane_open(v, l, e) < 0 || connect_lane(v, l, j, deadline, e) < 0)
		goto fail;
	verbs_port_use(&v->port[l->local], l->id->pd);
	return 0;
fail:
	verbs_lane_close(l);
	return err_in(e, "rdma %s:%u to %s:%u", v->port[j->local].nic.dev,
		v->port[j->local].nic.port, v->peer[j->remote].dev, v->peer[j->remote].port);
}

/* What a request asks for; -1: not one of this session's. */
static int
ask_read(const struct verbs *v, const unsigned char *p, size_t n, const unsigned char *token,
	struct verbs_join *j)
{
	if (n < ASK || get_le32(p) != MAGIC || !bytes_same(p + 4, token, FABRIC_TOKEN))
		return -1;
	j->lane = get_le16(p + 20);
	j->remote = p[22];	/* as we count, the dialler's port is the remote one */
	j->local = p[23];
	j->source = p[24];
	j->immediate = p[25];
	if (j->lane >= v->base.opts.lanes || v->lane[j->lane].id || j->remote >= NIC_MAX ||
		(int)j->local >= v->ports || !!j->source == !!v->base.opts.source)
		return -1;
	return 0;
}

static int
accept_lane(struct verbs *v, struct verbs_lane *l, const struct verbs_join *j, double deadline,
	struct err *e)
{
	unsigned char answer[ANSWER] = {0};
	struct rdma_conn_param p = {
		.private_data = answer, .private_data_len = sizeof(answer),
		.responder_resources = 1, .initiator_depth = 1, .rnr_retry_count = RNR_RETRIES,
	};

	set_timeout(l->id);
	if (verbs_lane_open(v, l, e) < 0)
		return -1;
	l->immediate = j->immediate && has_immediate(l);
	put_le32(answer, MAGIC);
	answer[4] = (unsigned char)l->immediate;
	if (rdma_accept(l->id, &p) < 0)
		return err_sys(e, "accept");
	if (expect(v, l, RDMA_CM_EVENT_ESTABLISHED, deadline, NULL, e) < 0)
		return -1;
	return verbs_hello(l, 0, deadline, e);
}

/* Take the id of a request over into its lane. */
static int
take_lane(struct verbs *v, struct rdma_cm_id *id, const struct verbs_join *j, double deadline,
	struct err *e)
{
	struct verbs_lane *l = &v->lane[j->lane];

	l->local = (int)j->local;
	l->remote = (int)j->remote;
	l->id = id;
	l->events = rdma_create_event_channel();
	if (!l->events || rdma_migrate_id(id, l->events) < 0) {
		err_sys(e, "event channel");
		goto fail;
	}
	if (accept_lane(v, l, j, deadline, e) < 0)
		goto fail;
	verbs_port_use(&v->port[l->local], id->pd);
	return 1;
fail:
	verbs_lane_close(l);
	(void)err_in(e, "rdma %s:%u", v->port[j->local].nic.dev, v->port[j->local].nic.port);
	return 0;
}

int
verbs_take(struct verbs *v, const unsigned char token[FABRIC_TOKEN], double deadline,
	struct err *e)
{
	struct verbs_join j = {0};
	struct rdma_cm_event *ev;
	struct rdma_cm_id *id;
	int asked, known;

	for (;;) {
		if (verbs_event(v, v->events, &ev, deadline, e) < 0)
			return err_in(e, "rdma: waiting for the peer");
		id = ev->id;
		asked = ev->event == RDMA_CM_EVENT_CONNECT_REQUEST;
		known = asked && ask_read(v, ev->param.conn.private_data,
			ev->param.conn.private_data_len, token, &j) == 0;
		rdma_ack_cm_event(ev);
		if (known)
			return take_lane(v, id, &j, deadline, e);
		if (asked) {
			(void)rdma_reject(id, NULL, 0);
			rdma_destroy_id(id);
		}
	}
}
#endif
