#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "wire/source.h"

void
source_queue_push(struct queue *q, uint32_t id)
{
	q->id[(q->head + q->n++) % WIRE_WINDOW] = id;
}

uint32_t
source_queue_pop(struct queue *q)
{
	uint32_t id = q->id[q->head];

	q->head = (q->head + 1) % WIRE_WINDOW;
	q->n--;
	return id;
}

/* Is a lane at rest of any more use? Lock held. */
static int
at_rest(struct worker *w, struct err *e)
{
	if (w->cut)
		return err_set(e, ERR_TEMP, "lane %u was given up by the peer", w->index);
	return lane_check(fabric_lane(w->o->link.f, w->index), e);
}

/* The next id of a queue, its item held busy: 1; 0: the session is over; -1: the lane is. */
static int
next_of(struct worker *w, struct queue *q, uint32_t *id, struct err *e)
{
	struct out *o = w->o;
	int lane = q == &o->send, rc = 0;

	pthread_mutex_lock(&o->fate.lock);
	while (!o->over && !o->fate.failed) {
		rc = lane ? at_rest(w, e) : 0;
		if (rc < 0 || q->n)
			break;
		fate_wait(&o->fate, lane ? FATE_LANES : FATE_LOADERS);
	}
	if (rc == 0 && q->n && !o->fate.failed) {
		*id = source_queue_pop(q);
		o->slot[*id % WIRE_WINDOW].busy++;
		rc = 1;
	}
	pthread_mutex_unlock(&o->fate.lock);
	return rc;
}

/* A lane that cannot send from a file wants it in memory. */
static int
load_file(struct out *o, struct wire_item *it, uint32_t id, struct err *e)
{
	ssize_t got;

	if (pool_get(o->s->opts->pool, id, (size_t)it->offer.size, &it->mem, e) < 0)
		return -1;
	got = io_pread(it->fd, it->mem.p, (size_t)it->offer.size, it->fd_off, e);
	it->mem.len = got < 0 ? 0 : (size_t)got;
	return got < 0 ? -1 : 0;
}

static void *
loader(void *arg)
{
	struct out *o = ((struct worker *)arg)->o;
	struct wire_item *it;
	struct err e;
	uint32_t id;
	int rc;

	while (next_of(arg, &o->load, &id, &e) > 0) {
		it = o->slot[id % WIRE_WINDOW].item;
		rc = it->fd >= 0 ? load_file(o, it, id, &e) :
		    o->s->feed.load(o->s->feed.ctx, it, id, &e);
		if (rc == 0 && it->mem.len != it->offer.size)
			rc = err_set(&e, ERR_CORRUPT, "'%s' changed while it was offered",
			    it->offer.name);
		pthread_mutex_lock(&o->fate.lock);
		out_unbusy(o, id);
		if (rc == 0 && out_slot(o, id)) {
			o->slot[id % WIRE_WINDOW].state = SLOT_QUEUED;
			source_queue_push(&o->send, id);
			fate_wake(&o->fate, FATE_LANES);
		}
		pthread_mutex_unlock(&o->fate.lock);
		if (rc < 0)
			out_give_up(o, id, &e);
	}
	return NULL;
}

/* Under --bwlimit: wait for our turn, and move it on by what len bytes take. */
static int
pace(struct out *o, uint64_t len, struct err *e)
{
	double now = clock_mono(), at, rate = (double)o->s->opts->bwlimit;

	if (rate <= 0)
		return 0;
	pthread_mutex_lock(&o->fate.lock);
	at = o->pace > now ? o->pace : now;
	o->pace = at + (double)len / rate;
	pthread_mutex_unlock(&o->fate.lock);
	return at > now ? clock_sleep(at - now, e) : 0;
}

static int
send_piece(struct lane *l, const struct slot *t, uint32_t id, uint64_t off, uint64_t len,
	struct err *e)
{
	const struct wire_item *it = t->item;
	struct lane_piece p = { .id = id, .off = off, .len = (size_t)len, .fd = it->fd,
	    .fd_off = it->fd_off + off, .grant = t->grant, .n_grant = t->n_grant };

	if (it->mem.p) {
		p.p = it->mem.p + off;
		p.block = &it->mem;
	}
	return len ? lane_send(l, &p, e) : 0;
}

/* One layer of one chunk: its K, and its V. */
static int
send_layer(struct out *o, struct lane *l, uint32_t id, uint32_t layer, struct err *e)
{
	const struct slot *t = &o->slot[id % WIRE_WINDOW];
	const struct wire_item *it = t->item;
	uint32_t kv;
	int rc = 0;

	for (kv = 0; rc == 0 && it->layer_size && layer < it->layers && kv < it->kv; kv++)
		rc = send_piece(l, t, id, it->offer.region + ((uint64_t)kv * it->layers + layer) *
		    it->layer_size, it->layer_size, e);
	return rc;
}

/* Layers one after another, of several chunks side by side: all headers, then K and V of the
 * first layer of each, and so on. Chunks whose layers are not known go whole, with the headers. */
static int
send_layers(struct out *o, struct lane *l, const uint32_t *ids, unsigned n, struct err *e)
{
	uint32_t layer, most = 0;
	unsigned i;
	int rc = 0;

	for (i = 0; rc == 0 && i < n; i++) {
		const struct slot *t = &o->slot[ids[i] % WIRE_WINDOW];
		const struct wire_item *it = t->item;

		rc = send_piece(l, t, ids[i], 0, it->layer_size ? it->offer.region :
		    it->offer.size, e);
		if (it->layer_size && it->layers > most)
			most = it->layers;
	}
	for (layer = 0; layer < most; layer++)
		for (i = 0; rc == 0 && i < n; i++)
			rc = send_layer(o, l, ids[i], layer, e);
	return rc;
}

/* More that is ready now, for the order of layers. */
static unsigned
group(struct out *o, uint32_t *ids)
{
	unsigned n = 1;

	pthread_mutex_lock(&o->fate.lock);
	while (n < SOURCE_GROUP && o->send.n) {
		ids[n] = source_queue_pop(&o->send);
		o->slot[ids[n++] % WIRE_WINDOW].busy++;
	}
	pthread_mutex_unlock(&o->fate.lock);
	return n;
}

/* They count as sent before they are, as the sink may answer any time. */
static void
mark_sent(struct worker *w, const uint32_t *ids, unsigned n)
{
	struct out *o = w->o;
	unsigned i;

	pthread_mutex_lock(&o->fate.lock);
	for (i = 0; i < n; i++) {
		o->slot[ids[i] % WIRE_WINDOW].state = SLOT_SENT;
		o->slot[ids[i] % WIRE_WINDOW].lane = w->index;
	}
	pthread_mutex_unlock(&o->fate.lock);
}

/* After it they are free. Returns whether more waits. */
static int
let_go(struct out *o, const uint32_t *ids, unsigned n)
{
	unsigned i;
	int more;

	pthread_mutex_lock(&o->fate.lock);
	for (i = 0; i < n; i++)
		out_unbusy(o, ids[i]);
	more = o->send.n > 0;
	pthread_mutex_unlock(&o->fate.lock);
	return more;
}

/* Too late: what was granted is given back, an item at a time. */
static int
too_late(struct out *o, const uint32_t *ids, unsigned n)
{
	struct err why;
	unsigned i;

	if (o->s->opts->until <= 0 || clock_mono() < o->s->opts->until)
		return 0;
	err_set(&why, ERR_PARTIAL, "time limit reached");
	let_go(o, ids, n);
	for (i = 0; i < n; i++)
		out_give_up(o, ids[i], &why);
	return 1;
}

static int
send_some(struct worker *w, uint32_t *ids, struct err *e)
{
	struct out *o = w->o;
	struct lane *l = fabric_lane(o->link.f, w->index);
	const struct slot *t = &o->slot[ids[0] % WIRE_WINDOW];
	unsigned n = o->s->opts->layers ? group(o, ids) : 1;
	int rc;

	if (too_late(o, ids, n))
		return 0;
	mark_sent(w, ids, n);
	rc = pace(o, n * t->item->offer.size, e);
	if (rc == 0)
		rc = o->s->opts->layers ? send_layers(o, l, ids, n, e) :
		    send_piece(l, t, ids[0], 0, t->item->offer.size, e);
	if (!let_go(o, ids, n) && rc == 0)
		rc = lane_flush(l, e);
	return rc;
}

/* What was sent by a lane that is lost, and not acknowledged yet; lock held. */
static uint32_t
unsettled(struct out *o, unsigned lane, uint32_t *ids)
{
	uint32_t id, n = 0;
	struct slot *t;

	for (id = o->base; id != o->next; id++) {
		t = out_slot(o, id);
		if (t && t->state == SLOT_SENT && !t->along && t->lane == lane)
			ids[n++] = id;
	}
	return n;
}

/* All is settled: lanes are of no interest any more. */
static int
is_over(struct out *o)
{
	int over;

	pthread_mutex_lock(&o->fate.lock);
	over = o->over;
	pthread_mutex_unlock(&o->fate.lock);
	return over;
}

/* A lane failed. The sink asks for its chunks again, unless it has them after all. */
static void
lose(struct worker *w, const struct err *why)
{
	struct out *o = w->o;
	uint32_t n, ids[WIRE_WINDOW];
	struct buf b = { 0 };
	struct err e;

	if (is_over(o) || !fate_lose(&o->fate, why) || is_over(o))
		return;
	lane_drop(fabric_lane(o->link.f, w->index));
	pthread_mutex_lock(&o->fate.lock);
	n = unsettled(o, w->index, ids);
	o->s->totals.lanes++;
	pthread_mutex_unlock(&o->fate.lock);
	wire_note(o->s->opts, "%s: a lane is lost, %u chunk%s by another", why->text, n,
	    n == 1 ? " goes" : "s go");
	wire_put_lost(&b, w->index, ids, n);
	if (wire_send(o->link.c, &b, &e) < 0)
		fate_fail(&o->fate, &e);
	buf_free(&b);
}

static void *
sender(void *arg)
{
	struct worker *w = arg;
	struct out *o = w->o;
	uint32_t ids[SOURCE_GROUP];
	struct err e;
	int rc;

	do {
		rc = next_of(w, &o->send, ids, &e);
	} while (rc > 0 && (rc = send_some(w, ids, &e)) == 0);
	if (rc < 0)
		fate_unfit(&o->fate, o->s->opts->transports, &e);
	if (rc == 0)
		rc = lane_finish(fabric_lane(o->link.f, w->index), &e);
	if (rc < 0)
		lose(w, &e);
	return NULL;
}

static int
start(struct out *o, struct worker *w, unsigned *n, unsigned want, void *(*run)(void *),
	struct err *e)
{
	for (*n = 0; *n < want; ++*n) {
		w[*n].o = o;
		w[*n].index = *n;
		if (pthread_create(&w[*n].thread, NULL, run, &w[*n]) != 0)
			return err_set(e, ERR_FAILED, "no more threads");
	}
	return 0;
}

int
out_start(struct out *o, struct err *e)
{
	unsigned loads = o->s->feed.load || !fabric_files(o->link.f) ? o->s->opts->jobs : 0;

	if (loads > FABRIC_LANES)
		loads = FABRIC_LANES;
	if (start(o, o->lanes, &o->n_lanes, fabric_lanes(o->link.f), sender, e) < 0)
		return -1;
	return start(o, o->loaders, &o->n_loaders, loads, loader, e);
}

void
out_join(struct out *o)
{
	while (o->n_loaders > 0)
		pthread_join(o->loaders[--o->n_loaders].thread, NULL);
	while (o->n_lanes > 0)
		pthread_join(o->lanes[--o->n_lanes].thread, NULL);
}
