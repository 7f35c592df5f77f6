#include <string.h>

#include "wire/source.h"

static void
count_again(struct out *o, struct slot *t)
{
	t->again++;
	o->s->totals.again++;
}

/* What came over the control connection; lock held for those that change slots. */
static int
hear_answers(struct out *o, const struct wire_msg *m, struct err *e)
{
	const unsigned char *bits;
	uint32_t first, n, i;
	struct slot *t;

	if (wire_get_answers(&first, &n, &bits, m, e) < 0)
		return -1;
	for (i = 0; i < n; i++) {
		t = out_slot(o, first + i);
		if (!t || (t->state != SLOT_OFFERED && !t->along))
			return err_set(e, ERR_CORRUPT, "answer to offer %u, which is not open",
			    first + i);
		o->wanted = bits[i / 8] >> i % 8 & 1;
		if (t->along && o->wanted)
			count_again(o, t);
		t->along = 0;
		if (o->wanted)
			t->state = SLOT_WANTED;
		else
			out_settle(o, first + i, WIRE_END_HAD, NULL);
	}
	return 0;
}

static int
hear_grant(struct out *o, const struct wire_msg *m, struct err *e)
{
	const unsigned char *grant;
	struct slot *t;
	uint32_t id;
	size_t n;

	if (wire_get_grant(&id, &grant, &n, m, e) < 0)
		return -1;
	t = out_slot(o, id);
	if (!t || t->state != SLOT_WANTED)
		return err_set(e, ERR_CORRUPT, "grant for chunk %u, which is not wanted", id);
	memcpy(t->grant, grant, n);
	t->n_grant = n;
	if (!t->item->mem.p && (t->item->fd < 0 || !fabric_files(o->link.f))) {
		t->state = SLOT_LOADING;
		source_queue_push(&o->load, id);
		fate_wake(&o->fate, FATE_LOADERS);
	} else {
		t->state = SLOT_QUEUED;
		source_queue_push(&o->send, id);
		fate_wake(&o->fate, FATE_LANES);
	}
	return 0;
}

/* Is what we hold what we offered? A chunk that is broken here need not be sent again. */
static int
own_copy_good(const struct wire_item *it)
{
	struct digest128 d;
	size_t payload = (size_t)it->offer.size - it->offer.region;

	if (!it->mem.p)
		return 1;	/* a file: the next reading tells */
	digest_xxh3(&d, it->mem.p + it->offer.region, payload);
	return digest_equal(&d, &it->offer.digest);
}

static int
hear_done(struct out *o, const struct wire_msg *m, struct err *e)
{
	struct wire_verdict v;
	struct slot *t;
	struct err why;

	if (wire_get_verdict(&v, m, e) < 0)
		return -1;
	t = out_slot(o, v.id);
	if (!t || t->state != SLOT_SENT || (v.state == WIRE_AGAIN && t->along))
		return err_set(e, ERR_CORRUPT, "verdict on chunk %u, which was not sent", v.id);
	if (v.state == WIRE_STORED) {
		out_settle(o, v.id, WIRE_END_SENT, NULL);
		return 0;
	}
	wire_verdict_err(&v, &why);
	if (v.state == WIRE_AGAIN && t->again < o->s->opts->retries && own_copy_good(t->item)) {
		count_again(o, t);
		t->state = SLOT_QUEUED;
		source_queue_push(&o->send, v.id);
		fate_wake(&o->fate, FATE_LANES);
		return 0;
	}
	if (v.state == WIRE_AGAIN) {
		if (!own_copy_good(t->item))
			err_set(&why, ERR_CORRUPT, "chunk is corrupt at the source");
		pthread_mutex_unlock(&o->fate.lock);
		out_give_up(o, v.id, &why);
		pthread_mutex_lock(&o->fate.lock);
		return 0;
	}
	out_settle(o, v.id, WIRE_END_FAILED, &why);
	return 0;
}

static int
hear_totals(struct out *o, const struct wire_msg *m, struct err *e)
{
	uint32_t id;

	for (id = o->base; id != o->next; id++)
		if (!o->ended || out_slot(o, id))
			return err_set(e, ERR_CORRUPT, "totals before the end");
	/* A lane may still be on its way back from the last chunk. */
	o->waiting++;
	while (o->base != o->next && !o->fate.failed)
		fate_wait(&o->fate, FATE_TALK);
	o->waiting--;
	if (wire_get_totals(&o->s->totals, m, e) < 0)
		return -1;
	if (o->s->totals.fallbacks < o->link.fallbacks)	/* what this host lacks only it knows */
		o->s->totals.fallbacks = o->link.fallbacks;
	return 0;
}

/* The lane's thread, wherever it waits, sees that it is cut, and tells what it was to bring. */
static int
hear_lost(struct out *o, const struct wire_msg *m, struct err *e)
{
	uint32_t lane, n, ids[WIRE_WINDOW];

	if (wire_get_lost(&lane, ids, &n, m, e) < 0)
		return -1;
	if (lane >= fabric_lanes(o->link.f) || n)
		return err_set(e, ERR_CORRUPT, "lane %u lost, with %u chunks", lane, n);
	o->lanes[lane].cut = 1;
	lane_cut(fabric_lane(o->link.f, lane));
	fate_wake_all(&o->fate);
	return 0;
}

/* One message: 1 go on, 0 the totals came, -1. */
static int
hear(struct out *o, const struct wire_msg *m, struct err *e)
{
	struct wire_verdict v;
	int rc = 0;

	switch (m->type) {
	case WIRE_ANSWERS:
		rc = hear_answers(o, m, e);
		break;
	case WIRE_GRANT:
		rc = hear_grant(o, m, e);
		break;
	case WIRE_DONE:
		rc = hear_done(o, m, e);
		break;
	case WIRE_LOST:
		rc = hear_lost(o, m, e);
		break;
	case WIRE_PING:
		rc = wire_get_empty(m, e);
		break;
	case WIRE_REFUSE:
		if (wire_get_verdict(&v, m, e) == 0)
			wire_verdict_err(&v, e);
		return err_in(e, "peer '%.64s'", o->link.peer.host);
	case WIRE_TOTALS:
		return hear_totals(o, m, e) < 0 ? -1 : 0;
	default:
		return err_set(e, ERR_CORRUPT, "message %u out of turn", m->type);
	}
	return rc < 0 ? -1 : 1;
}

void *
out_hear(void *arg)
{
	struct out *o = arg;
	struct wire_msg m = { 0 };
	struct err e;
	int rc;

	do {
		rc = wire_recv(o->link.c, &m, WIRE_BODY_MAX, 1, &e);
		if (rc == 0)
			rc = err_set(&e, ERR_TEMP, "'%s' closed the connection",
			    conn_name(o->link.c));
		pthread_mutex_lock(&o->fate.lock);
		if (rc > 0)
			rc = hear(o, &m, &e);
		if (rc < 0)
			fate_fail_locked(&o->fate, &e);
		if (o->fate.failed)
			rc = -1;
		pthread_mutex_unlock(&o->fate.lock);
	} while (rc > 0);
	pthread_mutex_lock(&o->fate.lock);
	o->over = 1;
	fate_wake_all(&o->fate);
	pthread_mutex_unlock(&o->fate.lock);
	buf_free(&m.body);
	return NULL;
}
