#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "wire/sink.h"

/* Tickets of the pool, which all sessions of the process share. */
static atomic_ullong tickets;

static uint64_t
micros(double s)
{
	return s > 0 ? (uint64_t)(s * 1e6) : 0;
}

static int
send_totals(struct in *s, struct buf *b, struct err *e)
{
	struct wire_totals *t = &s->run->totals, copy;
	double now = clock_mono();

	pthread_mutex_lock(&s->fate.lock);
	t->prepare_us += micros((s->first_data > 0 ? s->first_data : now) - s->began);
	t->wire_us += s->first_data > 0 ? micros(s->last_data - s->first_data) : 0;
	t->settle_us += s->first_data > 0 ? micros(now - s->last_data) : 0;
	s->told = 1;
	copy = *t;
	pthread_mutex_unlock(&s->fate.lock);
	wire_put_totals(b, &copy);
	return wire_send(s->link.c, b, e);
}

#define DUE_MIN ((uint64_t)4 << 20)

/* So much may be on its way, when chunks have this size: twice what fits into the way at the
 * highest rate and the least delay that were seen, so that a higher one would show, and no less
 * than keeps all lanes and the source busy. More would only take memory; what is used again soon
 * is in the cache, touched and registered. At *low it is time for more. Lock held. */
static uint64_t
due_limit(const struct in *s, uint64_t size, uint64_t *low)
{
	uint64_t limit = (uint64_t)(2 * s->rate * s->delay), busy;
	uint32_t lanes = fabric_lanes(s->link.f), chunks = s->link.peer.window;

	busy = (chunks > lanes ? chunks : lanes) * size;
	if (limit < DUE_MIN)
		limit = DUE_MIN;
	if (limit < busy + size)
		limit = busy + size;
	*low = limit / 2 > busy ? limit / 2 : busy;
	return limit;
}

/* Is there to be no more on its way now, and until when? Lock held. */
static int
enough_due(struct in *s, uint64_t size)
{
	uint64_t most = s->opts->peer_max;

	if (s->due >= due_limit(s, size, &s->low))
		return 1;
	s->low = most && s->granted >= most ? UINT64_MAX : 0;
	return s->low != 0;
}

/* Wait until a chunk of this size may be granted; what is in b is not to wait with us. */
static int
await_turn(struct in *s, uint64_t size, struct buf *b, struct err *e)
{
	struct wire_fate *f = &s->fate;
	int wait, rc;

	pthread_mutex_lock(&f->lock);
	wait = !f->failed && enough_due(s, size);
	s->low = 0;
	pthread_mutex_unlock(&f->lock);
	if (wait && b->len && wire_send(s->link.c, b, e) < 0)
		return -1;
	pthread_mutex_lock(&f->lock);
	while (!f->failed && enough_due(s, size))
		fate_wait(f, FATE_TALK);
	s->low = 0;
	rc = f->failed ? -1 : 0;
	pthread_mutex_unlock(&f->lock);
	return rc;
}

static int
take_memory(struct in *s, size_t size, struct block *mem, struct buf *b, struct err *e)
{
	uint64_t ticket = atomic_fetch_add(&tickets, 1);
	int rc = pool_try(s->opts->pool, ticket, size, mem, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (b->len && wire_send(s->link.c, b, e) < 0)
		return -1;
	return pool_get(s->opts->pool, ticket, size, mem, e);
}

/* Memory for one chunk; the source is told by b. */
static int
grant(struct in *s, uint32_t id, struct buf *b, struct err *e)
{
	struct xfer *x = &s->x[id % WIRE_WINDOW];
	size_t size = (size_t)x->offer->size;
	struct digest_xxh3 *sum = digest_xxh3_new(e);
	struct buf text = { 0 };
	struct block mem;
	int rc;

	if (!sum)
		return -1;
	if (await_turn(s, size, b, e) < 0 || take_memory(s, size, &mem, b, e) < 0) {
		digest_xxh3_free(sum);
		return -1;
	}
	mem.len = size;
	rc = fabric_grant(s->link.f, id, &mem, size, &text, e);
	if (rc < 0)
		fate_unfit(&s->fate, s->opts->transports, e);
	pthread_mutex_lock(&s->fate.lock);
	x->sum = sum;
	x->summed = x->offer->region;
	x->mem = mem;
	x->state = XFER_GRANTED;
	x->came = s->came;
	s->granted += size;
	s->due += size;
	s->last_move = x->asked = clock_mono();
	pthread_mutex_unlock(&s->fate.lock);
	if (rc == 0)
		wire_put_grant(b, id, text.p, text.len);
	buf_free(&text);
	return rc;
}

/* What came with its offer is here; that it is wanted the verdict will tell. */
static int
complete(struct in *s, uint32_t id)
{
	pthread_mutex_lock(&s->fate.lock);
	s->x[id % WIRE_WINDOW].state = XFER_COMPLETE;
	fate_wake(&s->fate, FATE_LANES);
	pthread_mutex_unlock(&s->fate.lock);
	return 0;
}

static int
answer(struct in *s, uint32_t first, uint32_t n, struct buf *b, struct err *e)
{
	const struct wire_offer *offers[WIRE_OFFERS_MAX];
	unsigned char want[WIRE_OFFERS_MAX] = { 0 };
	struct wire_totals *t = &s->run->totals;
	uint32_t i;

	for (i = 0; i < n; i++)
		offers[i] = s->x[(first + i) % WIRE_WINDOW].offer;
	if (s->k->choose(s->k->ctx, offers, n, want, e) < 0)
		return -1;
	if (s->x[first % WIRE_WINDOW].along && want[0])
		return complete(s, first);
	wire_put_answers(b, first, n, want);
	pthread_mutex_lock(&s->fate.lock);
	for (i = 0; i < n; i++) {
		if (want[i]) {
			s->x[(first + i) % WIRE_WINDOW].state = XFER_WANTED;
			continue;
		}
		t->offered++;
		t->had++;
		t->offered_bytes += offers[i]->size;
		t->had_bytes += offers[i]->size;
		in_release(s, first + i);
	}
	pthread_mutex_unlock(&s->fate.lock);
	/* At once: a grant may have to wait for memory. */
	if (wire_send(s->link.c, b, e) < 0)
		return -1;
	for (i = 0; i < n; i++)
		if (want[i] && grant(s, first + i, b, e) < 0)
			return -1;
	return b->len ? wire_send(s->link.c, b, e) : 0;
}

void *
in_plan(void *arg)
{
	struct in *s = arg;
	struct buf b = { 0 };
	struct err e = { 0 };
	uint32_t first, n;
	int rc = 0, done = 0;

	while (rc == 0 && !done) {
		pthread_mutex_lock(&s->fate.lock);
		while (!s->fate.failed && s->planned == s->next &&
		    !(s->ended && s->base == s->next && !s->losing))
			fate_wait(&s->fate, FATE_TALK);
		first = s->planned;
		n = s->next - first;
		if (n > WIRE_OFFERS_MAX)
			n = WIRE_OFFERS_MAX;
		if (s->x[first % WIRE_WINDOW].along && n)
			n = 1;
		s->planned += n;
		done = s->fate.failed || n == 0;
		rc = s->fate.failed;
		pthread_mutex_unlock(&s->fate.lock);
		if (rc == 0)
			rc = n ? answer(s, first, n, &b, &e) : send_totals(s, &b, &e);
	}
	if (rc < 0)
		fate_fail(&s->fate, &e);
	buf_free(&b);
	return NULL;
}
