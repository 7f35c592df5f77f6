#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "flow/outbox_impl.h"

void
outbox_drop(struct outbox *b, struct parcel *p)
{
	if (--p->refs)
		return;
	if (p->item.mem.p) {
		b->held -= p->item.offer.size;
		pthread_cond_broadcast(&b->change);
	}
	pool_put(b->opts.pool, &p->item.mem);
	free(p);
}

static int
feed_next(void *ctx, int wait, struct wire_item **out, struct err *e)
{
	struct peer *p = ctx;
	struct outbox *b = p->box;
	struct timespec t;
	int rc = 2;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec++;
	pthread_mutex_lock(&b->lock);
	if (wait && !p->head && !b->ended)
		pthread_cond_timedwait(&b->change, &b->lock, &t);
	if (b->until > 0 && clock_mono() > b->until) {
		b->now.timed_out = 1;
		rc = 0;
	} else if (p->head) {
		struct share *s = p->head;

		p->head = s->next;
		if (!p->head)
			p->tail = &p->head;
		p->n--;
		*out = &s->item;
		pthread_cond_broadcast(&b->change);
		rc = 1;
	} else if (b->ended) {
		rc = b->why.kind ? -1 : 0;
		if (e && rc < 0)
			*e = b->why;
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}

static int
feed_load(void *ctx, struct wire_item *it, uint64_t ticket, struct err *e)
{
	struct peer *p = ctx;
	struct parcel *parcel = ((struct share *)it->own)->parcel;
	struct source *s = parcel->from->source;
	struct flow_item f = { .ticket = ticket, .index = parcel->index };
	int rc = pool_get(p->box->opts.pool, ticket, (size_t)it->offer.size + 2 * CHUNK_ALIGN,
	    &f.chunk.mem, e);

	if (rc == 0)
		rc = s->ops->load(s, p->box->opts.pool, &f, e);
	if (rc == 0 && !digest_equal(&f.chunk.head.seal, &it->offer.seal))
		rc = err_set(e, ERR_CORRUPT, "'%s' changed while it was offered", it->offer.name);
	if (rc == 0) {
		it->mem = f.chunk.mem;
		memset(&f.chunk.mem, 0, sizeof(f.chunk.mem));
	}
	chunk_free(&f.chunk, p->box->opts.pool);
	return rc;
}

static void
feed_unload(void *ctx, struct wire_item *it)
{
	struct peer *p = ctx;
	const struct share *s = it->own;

	if (s->parcel->from)	/* loaded: this peer's own; else shared and kept */
		pool_put(p->box->opts.pool, &it->mem);
}

static void
share_drop(struct outbox *b, struct share *s)
{
	if (s->item.mem.p && s->item.mem.p != s->parcel->item.mem.p)
		pool_put(b->opts.pool, &s->item.mem);
	outbox_drop(b, s->parcel);
	free(s);
}

static void
feed_done(void *ctx, struct wire_item *it, enum wire_end how, const struct err *why)
{
	struct peer *p = ctx;
	struct outbox *b = p->box;
	struct err e;

	if (how == WIRE_END_FAILED && why) {
		e = *why;
		err_in(&e, "%.200s", it->offer.name);
		b->opts.failed(b->opts.ctx, &e);
	}
	pthread_mutex_lock(&b->lock);
	b->now.chunks++;
	b->now.bytes += it->offer.size;
	share_drop(b, it->own);
	pthread_mutex_unlock(&b->lock);
}

void
outbox_look(struct outbox *b, struct outbox_now *now)
{
	pthread_mutex_lock(&b->lock);
	*now = b->now;
	pthread_mutex_unlock(&b->lock);
}

struct wire_feed
outbox_feed(struct outbox *b, unsigned i)
{
	const struct input *in;
	int loads = 0;

	for (in = b->inputs; in; in = in->next)
		loads |= in->kind == INPUT_PLACE;
	return (struct wire_feed){ .ctx = &b->peer[i], .next = feed_next, .done = feed_done,
	    .load = loads ? feed_load : NULL, .unload = loads ? feed_unload : NULL };
}

void
outbox_leave(struct outbox *b, unsigned i)
{
	struct peer *p = &b->peer[i];
	struct share *s;

	pthread_mutex_lock(&b->lock);
	p->gone = 1;
	while ((s = p->head)) {
		p->head = s->next;
		share_drop(b, s);
	}
	p->tail = &p->head;
	p->n = 0;
	pthread_cond_broadcast(&b->change);
	pthread_mutex_unlock(&b->lock);
}

