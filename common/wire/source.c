#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "wire/source.h"

int
wire_source_open(struct wire_source **out, const struct wire_feed *f, const struct wire_opts *o,
	struct err *e)
{
	struct wire_source *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return err_sys(e, "source");
	if (getentropy(s->run, sizeof(s->run)) < 0) {
		free(s);
		return err_set(e, ERR_FAILED, "no random bytes");
	}
	s->feed = *f;
	s->opts = o;
	*out = s;
	return 0;
}

void
wire_source_close(struct wire_source *s, const struct err *why)
{
	struct wire_item *it;
	struct err e;

	if (!s)
		return;
	while (s->at_pending < s->n_pending)
		s->feed.done(s->feed.ctx, s->pending[s->at_pending++], WIRE_END_FAILED, why);
	while (!s->ended && s->feed.next(s->feed.ctx, 0, &it, &e) == 1)
		s->feed.done(s->feed.ctx, it, WIRE_END_FAILED, why);
	free(s);
}

const struct wire_totals *
wire_source_totals(const struct wire_source *s)
{
	return &s->totals;
}

const char *
wire_source_transport(const struct wire_source *s, uint64_t *line)
{
	if (line)
		*line = s->line;
	return s->transport;
}

int
wire_source_returns(const struct wire_source *s)
{
	return s->returns;
}

struct slot *
out_slot(struct out *o, uint32_t id)
{
	struct slot *t = &o->slot[id % WIRE_WINDOW];

	return id - o->base < o->next - o->base && t->state != SLOT_FREE && !t->settled ? t : NULL;
}

static void
release(struct out *o, uint32_t id)
{
	struct slot *t = &o->slot[id % WIRE_WINDOW];
	struct wire_totals *sum = &o->s->totals;
	uint64_t size = t->item->offer.size;

	sum->offered++;
	sum->offered_bytes += size;
	if (t->how == WIRE_END_HAD) {
		sum->had++;
		sum->had_bytes += size;
	} else if (t->how == WIRE_END_SENT) {
		sum->sent++;
		sum->sent_bytes += size;
	} else {
		sum->failed++;
	}
	o->s->feed.done(o->s->feed.ctx, t->item, t->how,
	    t->how == WIRE_END_FAILED ? &t->why : NULL);
	t->item = NULL;
	t->state = SLOT_FREE;
	while (o->base != o->next && o->slot[o->base % WIRE_WINDOW].state == SLOT_FREE)
		o->base++;
	if (o->waiting)
		fate_wake(&o->fate, FATE_TALK);
}

void
out_settle(struct out *o, uint32_t id, enum wire_end how, const struct err *why)
{
	struct slot *t = &o->slot[id % WIRE_WINDOW];

	t->settled = 1;
	t->how = how;
	if (why)
		t->why = *why;
	if (!t->busy)
		release(o, id);
}

void
out_unbusy(struct out *o, uint32_t id)
{
	struct slot *t = &o->slot[id % WIRE_WINDOW];

	t->busy--;
	if (t->settled && !t->busy)
		release(o, id);
}

void
out_give_up(struct out *o, uint32_t id, const struct err *why)
{
	struct wire_verdict v;
	struct buf b = { 0 };
	struct err e;

	wire_verdict_of(&v, id, WIRE_FAILED, why);
	wire_put_verdict(&b, WIRE_GIVE_UP, &v);
	if (wire_send(o->link.c, &b, &e) < 0)
		fate_fail(&o->fate, &e);
	buf_free(&b);
	pthread_mutex_lock(&o->fate.lock);
	if (out_slot(o, id))
		out_settle(o, id, WIRE_END_FAILED, why);
	pthread_mutex_unlock(&o->fate.lock);
}

/* The next chunk to offer: of a broken session first. As the feed's next(). */
static int
next_item(struct wire_source *s, int wait, struct wire_item **it)
{
	int rc;

	if (s->at_pending < s->n_pending) {
		*it = s->pending[s->at_pending++];
		return 1;
	}
	if (s->ended)
		return 0;
	rc = s->feed.next(s->feed.ctx, wait, it, &s->ended_why);
	if (rc == 0)
		memset(&s->ended_why, 0, sizeof(s->ended_why));
	s->ended = rc <= 0;
	return rc < 0 ? 0 : rc;
}

/* Room for an offer: 1, 0 none now, -1 the session is over. */
static int
room(struct out *o, int wait)
{
	int rc;

	pthread_mutex_lock(&o->fate.lock);
	o->waiting++;
	while (!o->fate.failed && o->next - o->base >= o->link.peer.window && wait)
		fate_wait(&o->fate, FATE_TALK);
	o->waiting--;
	rc = o->fate.failed ? -1 : o->next - o->base < o->link.peer.window;
	pthread_mutex_unlock(&o->fate.lock);
	return rc;
}

/* Is it worth sending along with its offer? When nothing else is under way, and the sink wanted
 * what it was asked last, that saves a turn: most of the time that a small chunk takes. */
static int
goes_along(struct out *o, const struct wire_item *it)
{
	const struct wire_opts *wo = o->s->opts;
	int rc;

	if (!it->mem.p || it->offer.size > WIRE_CHUNK_MAX || wo->bwlimit || wo->until > 0 ||
	    !(o->link.peer.flags & WIRE_TAKES))
		return 0;
	pthread_mutex_lock(&o->fate.lock);
	rc = o->wanted && o->base == o->next;
	pthread_mutex_unlock(&o->fate.lock);
	return rc;
}

/* The next id for an item; one that goes along is held busy. */
static uint32_t
enlist(struct out *o, struct wire_item *it, int along)
{
	struct slot *t;
	uint32_t id;

	pthread_mutex_lock(&o->fate.lock);
	id = o->next++;
	t = &o->slot[id % WIRE_WINDOW];
	memset(t, 0, sizeof(*t));
	t->item = it;
	t->along = along;
	t->busy = along ? 1 : 0;
	t->state = along ? SLOT_SENT : SLOT_OFFERED;
	pthread_mutex_unlock(&o->fate.lock);
	return id;
}

/* 1, -1. */
static int
send_along(struct out *o, struct wire_item *it, struct buf *b, struct err *e)
{
	uint32_t id = enlist(o, it, 1);
	int rc;

	b->len = 0;
	wire_put_chunk(b, id, &it->offer);
	rc = wire_send_with(o->link.c, b, it->mem.p, (size_t)it->offer.size, e);
	pthread_mutex_lock(&o->fate.lock);
	out_unbusy(o, id);
	pthread_mutex_unlock(&o->fate.lock);
	return rc < 0 ? -1 : 1;
}

/* Offer what there is, up to a message's worth; waits for the first. 1, 0 no more, -1. */
static int
offer_some(struct out *o, struct buf *b, struct err *e)
{
	uint32_t n = 0, first = o->next;
	size_t at = wire_begin_offers(b, first);
	struct wire_item *it;
	int rc = 1;

	while (n < WIRE_OFFERS_MAX && (rc = room(o, n == 0)) == 1) {
		rc = next_item(o->s, n == 0, &it);
		if (rc == 2 && n == 0 && room(o, 0) >= 0)
			continue;
		if (rc != 1)
			break;
		if (n == 0 && goes_along(o, it))
			return send_along(o, it, b, e);
		wire_add_offer(b, &it->offer);
		enlist(o, it, 0);
		n++;
	}
	if (n == 0) {
		b->len = 0;
		return rc == 2 ? -1 : rc;
	}
	wire_end_offers(b, at, n);
	return wire_send(o->link.c, b, e) < 0 ? -1 : 1;
}

static int
say_end(struct out *o, struct buf *b, struct err *e)
{
	const struct err *why = o->s->ended_why.kind ? &o->s->ended_why : NULL;
	struct wire_verdict v;

	pthread_mutex_lock(&o->fate.lock);
	o->ended = 1;
	pthread_mutex_unlock(&o->fate.lock);
	wire_verdict_of(&v, o->next, why ? WIRE_ABORTED : WIRE_COMPLETE, why);
	wire_put_verdict(b, WIRE_END, &v);
	return wire_send(o->link.c, b, e);
}

static void
say_bye(struct out *o, struct buf *b)
{
	const struct wire_opts *wo = o->s->opts;
	struct wire_verdict v = { .state = WIRE_COMPLETE };

	if (wo->farewell)
		snprintf(v.text, sizeof(v.text), "%s", wo->farewell(wo->farewell_ctx));
	wire_put_verdict(b, WIRE_BYE, &v);
	(void)wire_send(o->link.c, b, NULL);
}

/* Offer all, wait for the totals; the reader and the lanes do the rest. */
static int
talk(struct out *o, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	while ((rc = offer_some(o, &b, e)) == 1)
		;
	if (rc == 0)
		rc = say_end(o, &b, e);
	if (rc < 0 && e->kind)
		fate_fail(&o->fate, e);
	pthread_mutex_lock(&o->fate.lock);
	while (!o->over && !o->fate.failed)
		fate_wait(&o->fate, FATE_TALK);
	if (o->fate.failed)
		*e = o->fate.why;
	rc = o->fate.failed ? -1 : 0;
	pthread_mutex_unlock(&o->fate.lock);
	if (rc == 0)
		say_bye(o, &b);
	buf_free(&b);
	return rc;
}

/* What was on offer when the session broke is offered again, in the same order. */
static void
keep_pending(struct out *o)
{
	struct wire_source *s = o->s;
	uint32_t id, left = s->n_pending - s->at_pending, n = 0, i;
	struct wire_item **old = s->pending + s->at_pending;
	struct wire_item *rest[WIRE_WINDOW];

	memcpy(rest, old, left * sizeof(*rest));
	for (id = o->base; id != o->next; id++) {
		struct wire_item *it = o->slot[id % WIRE_WINDOW].item;

		if (!it)
			continue;
		if (it->fd >= 0)
			pool_put(s->opts->pool, &it->mem);
		else if (s->feed.unload)
			s->feed.unload(s->feed.ctx, it);
		s->pending[n++] = it;
	}
	for (i = 0; i < left; i++)
		s->pending[n++] = rest[i];
	s->at_pending = 0;
	s->n_pending = n;
}

static int
run_session(struct out *o, struct err *e)
{
	pthread_t ears;
	int rc;

	if (fate_open(&o->fate, &o->link, e) < 0)
		return -1;
	if (pthread_create(&ears, NULL, out_hear, o) != 0) {
		rc = err_set(e, ERR_FAILED, "no more threads");
		fate_fail(&o->fate, e);
	} else {
		memset(e, 0, sizeof(*e));
		rc = out_start(o, e);
		if (rc < 0)
			fate_fail(&o->fate, e);
		rc = talk(o, e);
		pthread_join(ears, NULL);
	}
	out_join(o);
	fate_over(&o->fate);
	if (rc < 0)
		fabric_shut(o->link.f);
	return rc;
}

static uint32_t
at_once(const struct wire_source *s)
{
	if (s->opts->layers)
		return SOURCE_GROUP;
	return s->feed.load && s->opts->jobs ? s->opts->jobs : 1;
}

int
wire_source_run(struct wire_source *s, struct conn *c, struct wire_door *door, struct err *e)
{
	struct wire_hello hello = { .flags = WIRE_SOURCE | WIRE_MOVES, .window = at_once(s) };
	struct out *o = calloc(1, sizeof(*o));
	int rc = -1;

	if (!o)
		return err_sys(e, "session");
	o->s = s;
	memcpy(hello.run, s->run, sizeof(hello.run));
	if (s->opts->reconnect)
		hello.flags |= WIRE_RETRIES;
	if (s->opts->bench)
		hello.flags |= WIRE_BENCH;
	if (wire_meet(&o->link, c, &hello, s->opts, door, e) == 0) {
		strcpy(s->transport, o->link.transport);
		s->line = o->link.line;
		s->returns = (o->link.peer.flags & WIRE_RETRIES) != 0;
		rc = run_session(o, e);
		if (rc < 0)
			keep_pending(o);
		fate_close(&o->fate);
		wire_part(&o->link);
	}
	free(o);
	if (rc == 0 && s->ended_why.kind) {
		*e = s->ended_why;
		rc = -1;
	}
	return rc;
}
