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

/* Memory for one chunk, told to the source. */
static int
grant(struct in *s, uint32_t id, struct buf *b, struct err *e)
{
	struct xfer *x = &s->x[id % WIRE_WINDOW];
	struct wire_fate *f = &s->fate;
	uint64_t most = s->opts->peer_max, size = x->offer->size;
	struct digest_xxh3 *sum = digest_xxh3_new(e);
	struct buf text = { 0 };
	struct block mem;
	int rc;

	if (!sum)
		return -1;
	pthread_mutex_lock(&f->lock);
	while (!f->failed && most && s->granted >= most)
		fate_wait(f, FATE_TALK);
	rc = f->failed;
	pthread_mutex_unlock(&f->lock);
	if (rc || pool_get(s->opts->pool, atomic_fetch_add(&tickets, 1), (size_t)size, &mem,
	    e) < 0) {
		digest_xxh3_free(sum);
		return -1;
	}
	mem.len = (size_t)size;
	rc = fabric_grant(s->link.f, id, &mem, (size_t)size, &text, e);
	if (rc < 0)
		fate_unfit(f, s->opts->transports, e);
	pthread_mutex_lock(&f->lock);
	x->sum = sum;
	x->summed = x->offer->region;
	x->mem = mem;
	x->state = XFER_GRANTED;
	s->granted += size;
	s->last_move = clock_mono();
	pthread_mutex_unlock(&f->lock);
	if (rc == 0)
		wire_put_grant(b, id, text.p, text.len);
	buf_free(&text);
	return rc < 0 ? -1 : wire_send(s->link.c, b, e);
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
	return 0;
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
