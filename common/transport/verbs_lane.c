#ifdef WITH_RDMA
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "transport/verbs.h"

#define POSTED (VERBS_RECEIVES + 1)	/* one more than the credits: for the hello */
#define NOTES (POSTED + VERBS_SENDS)
#define NOTES_SIZE (((size_t)NOTES * VERBS_NOTE + 4095) & ~(size_t)4095)
#define INLINE 64			/* what siw grants; rxe has up to 512 */
#define RECEIVED ((uint64_t)1 << 63)	/* wr_id of receives; sends have their count */

static double
deadline_of(const struct verbs_lane *l)
{
	return clock_mono() + l->base.fabric->opts.timeout_s;
}

static int
post_receive(struct verbs_lane *l, unsigned slot, struct err *e)
{
	struct ibv_sge at = {
		(uintptr_t)(l->notes + (size_t)slot * VERBS_NOTE), VERBS_NOTE, l->notes_mr->lkey,
	};
	struct ibv_recv_wr wr = { .wr_id = RECEIVED | slot, .sg_list = &at, .num_sge = 1 }, *bad;
	int sys = ibv_post_recv(l->id->qp, &wr, &bad);

	if (sys) {
		errno = sys;
		return err_sys(e, "post a receive");
	}
	return 0;
}

/* A queue pair on l->cq, with notes inline if the device has that. */
static int
make_qp(struct verbs_lane *l, struct err *e)
{
	struct ibv_qp_init_attr a = {
		.send_cq = l->cq, .recv_cq = l->cq, .qp_type = IBV_QPT_RC,
		.cap = {
			.max_send_wr = 2 * VERBS_SENDS, .max_recv_wr = POSTED,
			.max_send_sge = 1, .max_recv_sge = 1, .max_inline_data = INLINE,
		},
	};

	l->inlined = rdma_create_qp(l->id, NULL, &a) == 0;
	a.cap.max_inline_data = 0;
	if (!l->inlined && rdma_create_qp(l->id, NULL, &a) < 0)
		return verbs_refused(e, "queue pair");
	return 0;
}

int
verbs_lane_open(struct verbs *v, struct verbs_lane *l, struct err *e)
{
	struct ibv_port_attr port;
	unsigned i;

	l->base.fabric = &v->base;
	l->credits = VERBS_RECEIVES;
	if (ibv_query_port(l->id->verbs, l->id->port_num, &port))
		return err_set(e, ERR_TEMP, "port does not answer");
	l->message = port.max_msg_sz && port.max_msg_sz < VERBS_MESSAGE ? port.max_msg_sz :
		VERBS_MESSAGE;
	l->channel = ibv_create_comp_channel(l->id->verbs);
	if (!l->channel)
		return err_sys(e, "completion channel");
	l->cq = ibv_create_cq(l->id->verbs, POSTED + 2 * VERBS_SENDS, NULL, l->channel, 0);
	if (!l->cq)
		return verbs_refused(e, "completion queue");
	if (make_qp(l, e) < 0)
		return -1;
	l->notes = aligned_alloc(4096, NOTES_SIZE);
	if (!l->notes)
		return err_sys(e, "notes");
	memset(l->notes, 0, NOTES_SIZE);
	l->notes_mr = verbs_register(l->id->pd, l->notes, NOTES_SIZE, IBV_ACCESS_LOCAL_WRITE, e);
	if (!l->notes_mr)
		return -1;
	for (i = 0; i < POSTED; i++)
		if (post_receive(l, i, e) < 0)
			return -1;
	return 0;
}

static void
end_qp(struct verbs_lane *l)
{
	if (l->id && l->id->qp) {
		(void)rdma_disconnect(l->id);
		rdma_destroy_qp(l->id);
	}
}

void
verbs_drop(struct lane *lane)
{
	struct verbs_lane *l = (struct verbs_lane *)lane;

	end_qp(l);
	atomic_store(&l->dropped, 1);
}

void
verbs_lane_close(struct verbs_lane *l)
{
	end_qp(l);
	if (l->cq) {
		ibv_ack_cq_events(l->cq, l->events_unacked);
		ibv_destroy_cq(l->cq);
	}
	if (l->channel)
		ibv_destroy_comp_channel(l->channel);
	if (l->notes_mr)
		ibv_dereg_mr(l->notes_mr);
	free(l->notes);
	if (l->id)
		rdma_destroy_id(l->id);
	if (l->events)
		rdma_destroy_event_channel(l->events);
	memset(l, 0, sizeof(*l));
}

static int
post(struct verbs_lane *l, struct ibv_send_wr *wr, struct err *e)
{
	struct ibv_send_wr *bad;
	int sys = l->id->qp ? ibv_post_send(l->id->qp, wr, &bad) : ENOTCONN;

	if (sys) {
		errno = sys;
		return err_sys(e, "post a send");
	}
	return 0;
}

/* Take in completions: at the source sends and credits, at the sink its own credit notes.
 * Notes that are received go to *got, others than credits at most one: only one is due. */
static int
reap(struct verbs_lane *l, enum verbs_note *got, double deadline, struct err *e)
{
	struct ibv_wc wc;
	unsigned slot;
	uint64_t len;

	*got = 0;
	if (verbs_reap(l, &wc, 1, deadline, e) < 0)
		return -1;
	if (!(wc.wr_id & RECEIVED)) {
		l->completed = wc.wr_id;
		return 0;
	}
	slot = (unsigned)(wc.wr_id & ~RECEIVED);
	*got = get_le32(l->notes + (size_t)slot * VERBS_NOTE);
	len = get_le64(l->notes + (size_t)slot * VERBS_NOTE + 16);
	if (wc.byte_len != VERBS_NOTE)
		return err_set(e, ERR_CORRUPT, "rdma: a note of %u bytes", wc.byte_len);
	if (*got == VERBS_CREDIT && len > VERBS_RECEIVES - l->credits)
		return err_set(e, ERR_CORRUPT, "rdma: more credits than receives");
	if (*got == VERBS_CREDIT)
		l->credits += (unsigned)len;
	return post_receive(l, slot, e);
}

/* Fill in wr for a note; it uses the slot that belongs to the next message. */
static void
make_note(struct verbs_lane *l, struct ibv_send_wr *wr, struct ibv_sge *at, enum verbs_note kind,
	uint32_t id, uint64_t off, uint64_t len)
{
	unsigned char *p = l->notes + (POSTED + l->posted % VERBS_SENDS) * VERBS_NOTE;

	memset(p, 0, VERBS_NOTE);
	put_le32(p, kind);
	put_le32(p + 4, id);
	put_le64(p + 8, off);
	put_le64(p + 16, len);
	*at = (struct ibv_sge){ (uintptr_t)p, VERBS_NOTE, l->notes_mr->lkey };
	*wr = (struct ibv_send_wr){
		.sg_list = at, .num_sge = 1, .opcode = IBV_WR_SEND,
		.send_flags = l->inlined ? IBV_SEND_INLINE : 0,
	};
}

/* Let the message that was held back go; with a completion if signal. */
static int
release(struct verbs_lane *l, int signal, struct err *e)
{
	struct ibv_send_wr *last = l->immediate ? &l->write : &l->note;

	if (!l->held)
		return 0;
	l->held = 0;
	last->wr_id = ++l->posted;
	if (signal || l->posted % VERBS_BATCH == 0)
		last->send_flags |= IBV_SEND_SIGNALED;
	return post(l, &l->write, e);
}

/* Room for one more message, here and at the sink. */
static int
room(struct verbs_lane *l, struct err *e)
{
	double deadline = deadline_of(l);
	enum verbs_note got;
	uint64_t before;

	if (release(l, 0, e) < 0)
		return -1;
	while (l->credits == 0 || l->posted - l->completed >= VERBS_SENDS) {
		before = l->completed;
		if (reap(l, &got, deadline, e) < 0)
			return -1;
		if (l->completed != before)
			deadline = deadline_of(l);
	}
	l->credits--;
	return 0;
}

/* Where the sink wants a piece, and the key for it on the lane's port. */
static int
granted(const struct verbs_lane *l, const struct lane_piece *p, uint64_t *addr, uint32_t *rkey,
	struct err *e)
{
	uint64_t len;

	if (p->n_grant < 20 || p->n_grant != 20 + 4 * (size_t)get_le32(p->grant + 16) ||
		get_le32(p->grant + 16) <= (uint32_t)l->remote)
		return err_set(e, ERR_CORRUPT, "rdma: grant of %zu bytes", p->n_grant);
	*addr = get_le64(p->grant) + p->off;
	len = get_le64(p->grant + 8);
	*rkey = get_le32(p->grant + 20 + 4 * (size_t)l->remote);
	if (p->off > len || p->len > len - p->off)
		return err_set(e, ERR_CORRUPT, "rdma: a piece beyond its grant");
	return 0;
}

static int
send_piece(struct verbs_lane *l, const struct lane_piece *p, uint32_t lkey, struct err *e)
{
	uint64_t addr = 0, done;
	uint32_t rkey = 0, n;

	if (granted(l, p, &addr, &rkey, e) < 0)
		return -1;
	for (done = 0; done < p->len; done += n) {
		n = (uint32_t)(p->len - done < l->message ? p->len - done : l->message);
		if (room(l, e) < 0)
			return -1;
		l->write_at = (struct ibv_sge){ (uintptr_t)p->p + done, n, lkey };
		l->write = (struct ibv_send_wr){
			.sg_list = &l->write_at, .num_sge = 1,
			.opcode = IBV_WR_RDMA_WRITE_WITH_IMM, .imm_data = htonl(p->id),
			.wr.rdma = { .remote_addr = addr + done, .rkey = rkey },
		};
		if (!l->immediate) {
			make_note(l, &l->note, &l->note_at, VERBS_ARRIVED, p->id, p->off + done, n);
			l->write.opcode = IBV_WR_RDMA_WRITE;
			l->write.next = &l->note;
		}
		l->held = 1;
	}
	return 0;
}

/* Memory that is nobody's block: registered for the time of the transfer. */
static int
send_foreign(struct verbs_lane *l, const struct lane_piece *p, struct err *e)
{
	struct ibv_mr *mr = verbs_register(l->id->pd, p->p, p->len, 0, e);
	int rc;

	if (!mr)
		return -1;
	rc = send_piece(l, p, mr->lkey, e);
	if (rc == 0)
		rc = verbs_flush(&l->base, e);
	if (rc < 0)	/* writes may be under way: they end with the queue pair */
		rdma_destroy_qp(l->id);
	ibv_dereg_mr(mr);
	return rc;
}

int
verbs_send(struct lane *lane, const struct lane_piece *p, struct err *e)
{
	struct verbs_lane *l = (struct verbs_lane *)lane;
	struct verbs_region r;

	if (!p->block)
		return send_foreign(l, p, e);
	if (verbs_region((struct verbs *)lane->fabric, p->block, &r, e) < 0)
		return -1;
	return send_piece(l, p, r.mr[l->local]->lkey, e);
}

int
verbs_flush(struct lane *lane, struct err *e)
{
	struct verbs_lane *l = (struct verbs_lane *)lane;
	double deadline = deadline_of(l);
	enum verbs_note got;
	uint64_t before;

	if (release(l, 1, e) < 0)
		return -1;
	while (l->completed != l->posted) {
		before = l->completed;
		if (reap(l, &got, deadline, e) < 0)
			return -1;
		if (l->completed != before)
			deadline = deadline_of(l);
	}
	return 0;
}

/* A note of its own, signalled; counts as a message. */
static int
post_note(struct verbs_lane *l, enum verbs_note kind, uint64_t len, struct err *e)
{
	struct ibv_send_wr wr;
	struct ibv_sge at;

	make_note(l, &wr, &at, kind, 0, 0, len);
	wr.wr_id = ++l->posted;
	wr.send_flags |= IBV_SEND_SIGNALED;
	return post(l, &wr, e);
}

int
verbs_finish(struct lane *lane, struct err *e)
{
	struct verbs_lane *l = (struct verbs_lane *)lane;
	double deadline = deadline_of(l);
	enum verbs_note got;

	if (verbs_flush(lane, e) < 0 || room(l, e) < 0 ||
		post_note(l, VERBS_FINISH, 0, e) < 0)
		return -1;
	/* On iWARP a completed send may still get lost when its sender closes: so the sink
	 * answers. It may close on that, which is as good as the answer. */
	do {
		if (reap(l, &got, deadline, e) < 0)
			return l->gone ? 0 : -1;
	} while (got != VERBS_FINISH);
	return 0;
}

int
verbs_hello(struct verbs_lane *l, int say, double deadline, struct err *e)
{
	enum verbs_note got;

	if (say && post_note(l, VERBS_HELLO, 0, e) < 0)
		return -1;
	do {
		if (reap(l, &got, deadline, e) < 0)
			return -1;
	} while (say ? l->completed != l->posted : got == 0);
	if (!say && got != VERBS_HELLO)
		return err_set(e, ERR_CORRUPT, "rdma: no hello");
	return 0;
}

/* Whatever the peer says is there: were these bytes granted, and not all told of before? */
static int
told(const struct lane_in *in, uint32_t id, uint64_t off, uint64_t len, struct err *e)
{
	if (!in->place(in->ctx, id, off, (size_t)len, e))
		return -1;
	return in->arrived(in->ctx, id, off, (size_t)len, e);
}

/* One received message: 1 the last, 0, -1. */
static int
arrival(struct verbs_lane *l, const struct ibv_wc *wc, const struct lane_in *in, struct err *e)
{
	unsigned slot = (unsigned)(wc->wr_id & ~RECEIVED);
	const unsigned char *p = l->notes + (size_t)slot * VERBS_NOTE;
	int rc;

	if (wc->opcode == IBV_WC_RECV_RDMA_WITH_IMM)
		rc = told(in, ntohl(wc->imm_data), LANE_SOMEWHERE, wc->byte_len, e);
	else if (wc->byte_len != VERBS_NOTE)
		rc = err_set(e, ERR_CORRUPT, "rdma: a note of %u bytes", wc->byte_len);
	else if (get_le32(p) == VERBS_FINISH)
		rc = 1;
	else if (get_le32(p) == VERBS_ARRIVED && get_le64(p + 16) <= SIZE_MAX)
		rc = told(in, get_le32(p + 4), get_le64(p + 8), get_le64(p + 16), e);
	else
		rc = err_set(e, ERR_CORRUPT, "rdma: unknown note %u", get_le32(p));
	if (rc < 0 || post_receive(l, slot, e) < 0)
		return -1;
	l->owed++;
	return rc;
}

int
verbs_recv(struct lane *lane, const struct lane_in *in, struct err *e)
{
	struct verbs_lane *l = (struct verbs_lane *)lane;
	struct ibv_wc wc[16];
	int i, n, rc = 0;

	while (rc == 0) {
		n = verbs_reap(l, wc, 16, 0, e);
		if (n < 0)
			return -1;
		for (i = 0; i < n && rc == 0; i++)
			if (wc[i].wr_id & RECEIVED)
				rc = arrival(l, &wc[i], in, e);
			else
				l->completed = wc[i].wr_id;
		if (rc == 0 && l->owed >= VERBS_RECEIVES / 4) {
			rc = post_note(l, VERBS_CREDIT, l->owed, e);
			l->owed = 0;
		}
	}
	if (rc < 0)
		return -1;
	if (post_note(l, VERBS_FINISH, 0, e) == 0)	/* the source may have gone by now */
		(void)verbs_flush(lane, e);
	return 0;
}
#endif
