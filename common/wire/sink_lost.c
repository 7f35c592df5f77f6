#include <string.h>

#include "wire/sink.h"

/* What is done when chunks have to come again, and when lanes are lost. */

void
in_anew(struct in *s, struct xfer *x)
{
	x->placed = x->got = 0;
	x->lane = x->lost = 0;
	x->summed = x->offer->region;
	x->shared = x->scattered = 0;
	x->along = 0;
	x->asked = 0;
	if (x->state != XFER_GRANTED)
		s->due += x->offer->size;
	digest_xxh3_begin(x->sum);
	x->state = XFER_GRANTED;
	s->run->totals.again++;
}

int
in_verdict(struct in *s, uint32_t id, enum wire_state state, const struct err *why, struct err *e)
{
	struct wire_verdict v;
	struct buf b = { 0 };
	int rc;

	wire_verdict_of(&v, id, (int)state, why);
	wire_put_verdict(&b, WIRE_DONE, &v);
	rc = wire_send(s->link.c, &b, e);
	buf_free(&b);
	return rc;
}

/* Ask again for what a lane that is dropped was to bring, unless it did. */
static int
ask_lost(struct in *s, unsigned lane, struct err *e)
{
	uint32_t id, ids[WIRE_WINDOW], n = 0, i;
	struct err why;
	int rc = 0;

	err_set(&why, ERR_TEMP, "its lane was lost");
	pthread_mutex_lock(&s->fate.lock);
	for (id = s->base; id != s->next; id++) {
		struct xfer *x = &s->x[id % WIRE_WINDOW];

		if (x->state != XFER_GRANTED || x->lost != lane + 1)
			continue;
		in_anew(s, x);
		ids[n++] = id;
	}
	pthread_mutex_unlock(&s->fate.lock);
	for (i = 0; rc == 0 && i < n; i++)
		rc = in_verdict(s, ids[i], WIRE_AGAIN, &why, e);
	return rc;
}

static int
tell_lost(struct in *s, unsigned lane, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	wire_put_lost(&b, lane, NULL, 0);
	rc = wire_send(s->link.c, &b, e);
	buf_free(&b);
	return rc;
}

/* All is settled: lanes are of no interest any more. Else the totals wait for us. */
static int
too_late(struct in *s, int losing)
{
	int told;

	pthread_mutex_lock(&s->fate.lock);
	told = s->told;
	if (!told)
		s->losing += (unsigned)losing;
	pthread_mutex_unlock(&s->fate.lock);
	return told;
}

void
in_lose(struct in_lane *l, const struct err *why)
{
	struct in *s = l->in;
	struct err e;
	int known, rc;

	if (too_late(s, 0) || !fate_lose(&s->fate, why) || too_late(s, 1))
		return;
	lane_drop(fabric_lane(s->link.f, l->index));
	pthread_mutex_lock(&s->fate.lock);
	known = l->lost;
	l->ended = 1;
	s->run->totals.lanes++;
	pthread_mutex_unlock(&s->fate.lock);
	wire_note(s->opts, "%s: a lane is lost, going on by what is left", why->text);
	rc = known ? 0 : tell_lost(s, l->index, &e);
	if (rc == 0)
		rc = ask_lost(s, l->index, &e);
	if (rc < 0)
		fate_fail(&s->fate, &e);
	pthread_mutex_lock(&s->fate.lock);
	s->losing--;
	fate_wake(&s->fate, FATE_TALK);
	pthread_mutex_unlock(&s->fate.lock);
}

/* What the source says it sent by a lane: only chunks that no other brings. */
static int
mark_lost(struct in *s, unsigned lane, const uint32_t *ids, uint32_t n, struct err *e)
{
	struct xfer *x;
	uint32_t i;

	for (i = 0; i < n; i++) {
		x = in_xfer(s, ids[i]);
		if (!x || x->state != XFER_GRANTED)
			continue;	/* it is whole, or was */
		if (x->shared || x->lost || (x->lane && x->lane != lane + 1))
			return err_set(e, ERR_CORRUPT, "chunk %u lost with lane %u, which did not "
			    "bring it", ids[i], lane);
		x->lost = lane + 1;
	}
	return 0;
}

int
in_hear_lost(struct in *s, const struct wire_msg *m, struct err *e)
{
	uint32_t lane, n, ids[WIRE_WINDOW];
	int rc;

	if (wire_get_lost(&lane, ids, &n, m, e) < 0)
		return -1;
	if (lane >= fabric_lanes(s->link.f) || s->lanes[lane].lost)
		return err_set(e, ERR_CORRUPT, "lane %u lost out of turn", lane);
	if (mark_lost(s, lane, ids, n, e) < 0)
		return -1;
	s->lanes[lane].lost = 1;
	if (!s->lanes[lane].ended) {
		lane_cut(fabric_lane(s->link.f, lane));	/* and its thread does the rest */
		return 0;
	}
	pthread_mutex_unlock(&s->fate.lock);
	rc = ask_lost(s, lane, e);
	pthread_mutex_lock(&s->fate.lock);
	return rc;
}
