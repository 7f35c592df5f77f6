#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "key/key.h"
#include "wire/sink.h"

#define FAREWELL_S 3

/* ---- the lanes: bytes into place, summed while they are in the cache ---- */

static void
in_first(struct in *s, const struct xfer *x)
{
	double delay = x->asked > 0 ? clock_mono() - x->asked : 0;

	if (delay > 0 && (s->delay <= 0 || delay < s->delay))
		s->delay = delay;
}

static unsigned char *
place(void *ctx, uint32_t id, uint64_t off, size_t len, struct err *e)
{
	struct in *s = ((struct in_lane *)ctx)->in;
	unsigned lane = ((struct in_lane *)ctx)->index;
	unsigned char *p = NULL;
	struct xfer *x;

	pthread_mutex_lock(&s->fate.lock);
	x = in_xfer(s, id);
	if (off == LANE_SOMEWHERE)
		off = 0;
	if (!x || x->state != XFER_GRANTED || (x->lost && x->lost != lane + 1))
		err_set(e, ERR_CORRUPT, "data for chunk %u, which was not granted", id);
	else if (off > x->offer->size || len > x->offer->size - off ||
	    len > x->offer->size - x->placed)
		err_set(e, ERR_CORRUPT, "data for chunk %u beyond its end", id);
	else {
		if (!x->placed)
			in_first(s, x);
		x->placed += len;
		x->shared |= x->lane && x->lane != lane + 1;
		x->lane = x->lane ? x->lane : lane + 1;
		p = x->mem.p + off;
	}
	pthread_mutex_unlock(&s->fate.lock);
	return p;
}

/* From where this lane may add to the sum, up to off + len; UINT64_MAX: not at all. Strictly in
 * order, the first lane: whatever else, a byte written twice included, is summed when all is
 * there. */
static uint64_t
may_sum(struct xfer *x, unsigned lane, uint64_t off, size_t len)
{
	uint64_t from = x->summed, region = x->offer->region;

	if (x->lane != lane + 1 || off == LANE_SOMEWHERE)
		x->scattered = 1;
	else if (off + len > region && from != (off < region ? region : off))
		x->scattered = 1;
	if (x->scattered || off + len <= region)
		return UINT64_MAX;
	x->summed = off + len;
	return from;
}

/* The chunk stays as it is meanwhile: bytes that were placed are awaited. */
static int
arrived(void *ctx, uint32_t id, uint64_t off, size_t len, struct err *e)
{
	struct in_lane *l = ctx;
	struct in *s = l->in;
	struct xfer *x = &s->x[id % WIRE_WINDOW];
	uint64_t from;
	int whole;

	(void)e;
	pthread_mutex_lock(&s->fate.lock);
	from = may_sum(x, l->index, off, len);
	pthread_mutex_unlock(&s->fate.lock);
	if (from != UINT64_MAX)		/* this lane alone feeds it */
		digest_xxh3_add(x->sum, x->mem.p + from, (size_t)(off + len - from));
	pthread_mutex_lock(&s->fate.lock);
	in_moved(s);
	x->got += len;
	whole = x->got == x->offer->size;
	if (whole)
		in_complete(s, x);
	pthread_mutex_unlock(&s->fate.lock);
	if (whole)	/* now, as who is woken takes the lock */
		fate_wake(&s->fate, FATE_LANES);
	return 0;
}

static void *
receive(void *arg)
{
	struct in_lane *l = arg;
	struct lane_in in = { .ctx = l, .place = place, .arrived = arrived };
	struct err e;

	if (lane_recv(fabric_lane(l->in->link.f, l->index), &in, &e) < 0)
		in_lose(l, &e);
	return NULL;
}

/* ---- the storers: checked, handed on, acknowledged ---- */

/* The next chunk to store: 1, 0 the session is over. Lock held. */
static int
next_complete(struct in *s, uint32_t *id)
{
	struct xfer *x;

	for (;;) {
		if (s->fate.failed || s->over)
			return 0;
		if ((int32_t)(s->base - s->deliver) > 0)
			s->deliver = s->base;
		for (*id = s->k->ordered ? s->deliver : s->base; *id != s->next; ++*id) {
			x = &s->x[*id % WIRE_WINDOW];
			if (x->state == XFER_COMPLETE) {
				x->state = XFER_STORING;
				return 1;
			}
			if (s->k->ordered && x->state != XFER_FREE)
				break;
		}
		if (s->granted && s->opts->stall_s > 0 &&
		    clock_mono() - s->last_move > s->opts->stall_s) {
			struct err e;

			err_set(&e, ERR_TEMP, "'%s' sent nothing of what was granted for %g s",
			    conn_name(s->link.c), s->opts->stall_s);
			fate_fail_locked(&s->fate, &e);
			return 0;
		}
		fate_wait(&s->fate, FATE_LANES);
	}
}

/* Is it the chunk that was offered? Then its head is in c. */
static int
check(struct xfer *x, struct chunk_head *h, struct err *e)
{
	struct buf name = { 0 };
	struct digest128 d;
	int rc;

	if (chunk_head_parse(h, x->mem.p, x->offer->region, e) < 0)
		return -1;
	if (h->kind != CHUNK_DATA || h->region + h->payload != x->offer->size ||
	    !digest_equal(&h->seal, &x->offer->seal))
		return err_set(e, ERR_CORRUPT, "header is not the one that was offered");
	if (x->scattered || x->summed != x->offer->size)
		digest_xxh3(&d, x->mem.p + h->region, (size_t)h->payload);
	else
		digest_xxh3_end(x->sum, &d);
	if (!digest_equal(&d, &h->digest))
		return err_set(e, ERR_CORRUPT, "payload arrived with a wrong digest");
	rc = key_name(&name, &h->key, e);
	if (rc == 0 && (name.len != strlen(x->offer->name) ||
	    memcmp(name.p, x->offer->name, name.len) != 0))
		rc = err_set(e, ERR_CORRUPT, "header names another chunk");
	buf_free(&name);
	return rc;
}

/* What came with its offer is asked for like others, into its block; what was granted before is
 * to be written there anew. */
static int
put_question(struct in *s, uint32_t id, struct buf *b, const struct err *why, struct err *e)
{
	static const unsigned char want[1] = { 1 };
	struct xfer *x = &s->x[id % WIRE_WINDOW];
	struct wire_verdict v;
	struct buf text = { 0 };
	int rc = 0;

	if (x->along) {
		rc = fabric_grant(s->link.f, id, &x->mem, x->mem.len, &text, e);
		wire_put_answers(b, id, 1, want);
		wire_put_grant(b, id, text.p, text.len);
		buf_free(&text);
	} else {
		wire_verdict_of(&v, id, WIRE_AGAIN, why);
		wire_put_verdict(b, WIRE_DONE, &v);
	}
	return rc;
}

/* Damaged on the way: the same block is filled again, if the source can. From when it counts as
 * granted it is the lanes', and a source that does not wait to be asked may have it stored and
 * gone before we look again. */
static int
ask_again(struct in *s, uint32_t id, const struct err *why, struct err *e)
{
	struct xfer *x = &s->x[id % WIRE_WINDOW];
	struct buf b = { 0 };
	int rc = put_question(s, id, &b, why, e);

	wire_note(s->opts, "%s: %s: asked for again", x->offer->name, why->text);
	if (rc < 0) {
		fate_unfit(&s->fate, s->opts->transports, e);
		goto out;
	}
	pthread_mutex_lock(&s->fate.lock);
	in_anew(s, x);
	pthread_mutex_unlock(&s->fate.lock);
	rc = wire_send(s->link.c, &b, e);
out:
	buf_free(&b);
	return rc;
}

static void
count(struct in *s, uint32_t id, int ok)
{
	struct wire_totals *t = &s->run->totals;
	struct xfer *x = &s->x[id % WIRE_WINDOW];

	t->offered++;
	t->offered_bytes += x->offer->size;
	if (ok) {
		t->sent++;
		t->sent_bytes += x->offer->size;
	} else {
		t->failed++;
	}
}

static int
store(struct in *s, uint32_t id, struct err *e)
{
	struct xfer *x = &s->x[id % WIRE_WINDOW];
	uint64_t size = x->offer->size;
	struct chunk c = { 0 };
	struct err why = { 0 };
	int rc;

	if (check(x, &c.head, &why) < 0) {
		chunk_head_free(&c.head);
		return ask_again(s, id, &why, e);
	}
	c.mem = x->mem;
	pthread_mutex_lock(&s->fate.lock);
	memset(&x->mem, 0, sizeof(x->mem));	/* put() takes it */
	s->granted -= size;
	pthread_mutex_unlock(&s->fate.lock);
	rc = s->k->put(s->k->ctx, &c, &why);
	if (rc < 0 && why.kind == ERR_STOPPED) {
		*e = why;
		return -1;
	}
	pthread_mutex_lock(&s->fate.lock);
	s->leaving++;
	pthread_mutex_unlock(&s->fate.lock);
	if (in_verdict(s, id, rc == 0 ? WIRE_STORED : WIRE_FAILED, rc == 0 ? NULL : &why, e) < 0)
		return -1;
	pthread_mutex_lock(&s->fate.lock);
	count(s, id, rc == 0);
	in_release(s, id);
	s->leaving--;
	pthread_mutex_unlock(&s->fate.lock);
	if (rc < 0 && (why.kind == ERR_FAILED || why.kind == ERR_REFUSED)) {
		*e = why;
		return -1;
	}
	if (rc < 0)
		wire_note(s->opts, "%s", why.text);
	return 0;
}

static void *
storer(void *arg)
{
	struct in *s = ((struct in_lane *)arg)->in;
	struct err e;
	uint32_t id;
	int rc = 0;

	while (rc == 0) {
		pthread_mutex_lock(&s->fate.lock);
		rc = !next_complete(s, &id);
		pthread_mutex_unlock(&s->fate.lock);
		if (rc == 0)
			rc = store(s, id, &e);
	}
	if (rc < 0)
		fate_fail(&s->fate, &e);
	return NULL;
}

static int
start(struct in *s, struct in_lane *l, unsigned *n, unsigned want, void *(*run)(void *),
	struct err *e)
{
	for (*n = 0; *n < want; ++*n) {
		l[*n].in = s;
		l[*n].index = *n;
		if (pthread_create(&l[*n].thread, NULL, run, &l[*n]) != 0)
			return err_set(e, ERR_FAILED, "no more threads");
	}
	return 0;
}

int
in_start(struct in *s, struct err *e)
{
	unsigned stores = s->k->ordered || s->opts->jobs < 1 ? 1 : s->opts->jobs;

	if (stores > FABRIC_LANES)
		stores = FABRIC_LANES;
	if (pthread_create(&s->planner, NULL, in_plan, s) != 0)
		return err_set(e, ERR_FAILED, "no more threads");
	s->has_planner = 1;
	if (start(s, s->lanes, &s->n_lanes, fabric_lanes(s->link.f), receive, e) < 0)
		return -1;
	return start(s, s->storers, &s->n_storers, stores, storer, e);
}

/* After its farewell a source ends its lanes, and if it cannot, nothing is lost. */
static void
end_lanes(struct in *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += FAREWELL_S;
	for (; s->n_lanes > 0; s->n_lanes--) {
		pthread_t t = s->lanes[s->n_lanes - 1].thread;

		if (pthread_timedjoin_np(t, NULL, &until) == 0)
			continue;
		fabric_shut(s->link.f);
		pthread_join(t, NULL);
	}
}

void
in_join(struct in *s)
{
	uint32_t id;

	end_lanes(s);
	while (s->n_storers > 0)
		pthread_join(s->storers[--s->n_storers].thread, NULL);
	pthread_mutex_lock(&s->fate.lock);
	for (id = s->base; id != s->next; id++)
		pool_put(s->opts->pool, &s->x[id % WIRE_WINDOW].mem);
	pthread_mutex_unlock(&s->fate.lock);
	if (s->has_planner)
		pthread_join(s->planner, NULL);
	for (id = s->base; id != s->next; id++) {
		struct xfer *x = &s->x[id % WIRE_WINDOW];

		pool_put(s->opts->pool, &x->mem);
		digest_xxh3_free(x->sum);
		free(x->offer);
		memset(x, 0, sizeof(*x));
	}
}
