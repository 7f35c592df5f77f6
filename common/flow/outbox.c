#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/par.h"
#include "base/stop.h"
#include "chunk/stream.h"
#include "flow/outbox_impl.h"

#define AHEAD 4096	/* chunks in a peer's queue that take no memory */
#define HEADS 64	/* headers of a place, read together */
#define HELD ((uint64_t)128 << 20)	/* read ahead of what is acknowledged: more than a receiver
					 * grants at once. Few blocks stay warm. */

int
outbox_open(struct outbox **out, const struct outbox_opts *o, struct err *e)
{
	struct outbox *b = calloc(1, sizeof(*b) + o->peers * sizeof(*b->peer));
	unsigned i;

	*out = NULL;
	if (!b)
		return err_sys(e, "outbox");
	b->opts = *o;
	if (o->max_duration > 0)
		b->until = clock_mono() + o->max_duration;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->change, NULL);
	for (i = 0; i < o->peers; i++) {
		b->peer[i].box = b;
		b->peer[i].tail = &b->peer[i].head;
	}
	*out = b;
	return 0;
}

static struct input *
add_input(struct outbox *b, enum input_kind kind, struct err *e)
{
	struct input *in = calloc(1, sizeof(*in)), **at = &b->inputs;

	if (!in) {
		err_sys(e, "outbox");
		return NULL;
	}
	in->kind = kind;
	while (*at)
		at = &(*at)->next;
	*at = in;
	return in;
}

int
outbox_add_file(struct outbox *b, int fd, struct err *e)
{
	struct input *in = add_input(b, INPUT_FILE, e);

	if (in)
		in->fd = fd;
	return in ? 0 : -1;
}

int
outbox_add_source(struct outbox *b, struct source *s, int fd, struct err *e)
{
	struct input *in = add_input(b, INPUT_SOURCE, e);

	if (!in) {
		s->ops->close(s);
		return -1;
	}
	in->source = s;
	in->fd = fd;
	return 0;
}

int
outbox_add_place(struct outbox *b, struct place *p, const struct catalog *c,
	const size_t *order, size_t n, struct err *e)
{
	struct input *in = add_input(b, INPUT_PLACE, e);

	if (!in)
		return -1;
	in->place = p;
	in->cat = c;
	in->order = order;
	in->n = n;
	return source_place(&in->source, p, c, order, n, NULL, e);
}

/* ---- the reader ---- */

/* For a change, or a second. Lock held. */
static void
wait_change(struct outbox *b)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec++;
	pthread_cond_timedwait(&b->change, &b->lock, &t);
}

/* Into one peer's queue, waiting for room. Lock held. */
static int
deliver(struct outbox *b, struct peer *to, struct parcel *p, struct err *e)
{
	struct share *s = calloc(1, sizeof(*s));

	if (!s)
		return err_sys(e, "outbox");
	while (to->n >= AHEAD && !to->gone && !b->closing && !stop_asked())
		wait_change(b);
	if (to->gone || b->closing) {
		free(s);
		return 0;
	}
	p->refs++;
	s->item = p->item;
	s->item.own = s;
	s->parcel = p;
	*to->tail = s;
	to->tail = &s->next;
	to->n++;
	pthread_cond_broadcast(&b->change);
	return 0;
}

static int
hand_out(struct outbox *b, struct parcel *p, uint32_t rank, struct err *e)
{
	unsigned i;
	int rc = 0;

	pthread_mutex_lock(&b->lock);
	p->refs = 1;
	for (i = 0; rc == 0 && i < b->opts.peers; i++)
		if (!b->opts.shard || rank % b->opts.peers == i)
			rc = deliver(b, &b->peer[i], p, e);
	outbox_drop(b, p);
	if (rc == 0 && b->closing)
		rc = err_set(e, ERR_STOPPED, "nobody takes chunks any more");
	pthread_mutex_unlock(&b->lock);
	return rc;
}

static int
fill_offer(struct parcel *p, const struct chunk_head *h, struct err *e)
{
	struct wire_item *it = &p->item;
	struct buf name = { 0 };
	int rc = key_name(&name, &h->key, e);

	if (rc == 0 && name.len > WIRE_NAME_MAX)
		rc = err_set(e, ERR_USAGE, "chunk: name of %zu bytes", name.len);
	if (rc == 0) {
		memcpy(it->offer.name, name.p, name.len);
		it->offer.size = h->region + h->payload;
		it->offer.region = (uint32_t)h->region;
		it->offer.digest = h->digest;
		it->offer.seal = h->seal;
		it->fd = -1;
	}
	if (rc == 0 && !*h->codec && !*h->cipher && h->geom.layers && h->geom.kv) {
		it->layers = h->geom.layers;
		it->kv = h->geom.kv;
		it->layer_size = h->payload / h->geom.layers / h->geom.kv;
	}
	buf_free(&name);
	return rc;
}

static struct parcel *
parcel_new(const struct chunk_head *h, struct err *e)
{
	struct parcel *p = calloc(1, sizeof(*p));

	if (!p)
		err_sys(e, "outbox");
	else if (fill_offer(p, h, e) < 0) {
		free(p);
		p = NULL;
	}
	return p;
}

static int
read_file(struct outbox *b, struct input *in, struct err *e)
{
	struct stream_in *s;
	struct chunk_head h;
	struct parcel *p;
	uint64_t off;
	int rc;

	if (stream_in_open(&s, in->fd, b->opts.pool, e) < 0)
		return -1;
	while ((rc = stream_in_skip(s, &h, &off, e)) == 1) {
		p = parcel_new(&h, e);
		if (p) {
			p->item.fd = in->fd;
			p->item.fd_off = off;
			rc = hand_out(b, p, h.key.rank, e);
		}
		chunk_head_free(&h);
		if (!p || rc < 0) {
			rc = -1;
			break;
		}
	}
	stream_in_close(s);
	return rc;
}

/* A producer may be silent for long: meanwhile we may be told to end. */
static int
wait_input(struct outbox *b, int fd, struct err *e)
{
	struct pollfd p = { fd, POLLIN, 0 };
	int closing = 0;

	while (fd >= 0 && !closing && !stop_asked() && poll(&p, 1, 250) <= 0) {
		pthread_mutex_lock(&b->lock);
		closing = b->closing;
		pthread_mutex_unlock(&b->lock);
	}
	return closing ? err_set(e, ERR_STOPPED, "nobody takes chunks any more") : 0;
}

static void
hold(struct outbox *b, const struct parcel *p)
{
	pthread_mutex_lock(&b->lock);
	b->held += p->item.offer.size;
	pthread_mutex_unlock(&b->lock);
}

/* What waits in memory is bounded, by --mem at the latest. */
static void
wait_room(struct outbox *b)
{
	pthread_mutex_lock(&b->lock);
	while (b->held >= HELD && !b->closing && !stop_asked())
		wait_change(b);
	pthread_mutex_unlock(&b->lock);
}

static int
read_source(struct outbox *b, struct input *in, struct err *e)
{
	struct source *s = in->source;
	struct parcel *p;
	int rc;

	for (;;) {
		struct flow_item it = { .ticket = b->ticket++ };

		wait_room(b);
		rc = wait_input(b, in->fd, e);
		if (rc == 0)
			rc = s->ops->next(s, b->opts.pool, &it, e);
		if (rc <= 0)
			return rc;
		if (s->ops->load && s->ops->load(s, b->opts.pool, &it, e) < 0) {
			chunk_free(&it.chunk, b->opts.pool);
			if (e->kind == ERR_STOPPED)
				return -1;
			b->opts.failed(b->opts.ctx, e);
			continue;
		}
		p = parcel_new(&it.chunk.head, e);
		rc = -1;
		if (p) {
			p->item.mem = it.chunk.mem;
			memset(&it.chunk.mem, 0, sizeof(it.chunk.mem));
			hold(b, p);
			rc = hand_out(b, p, it.chunk.head.key.rank, e);
		}
		chunk_free(&it.chunk, b->opts.pool);
		if (rc < 0)
			return -1;
	}
}

struct heads {
	struct outbox *b;
	struct input *in;
	size_t first;
	struct chunk_head head[HEADS];
	struct err err[HEADS];		/* kind ERR_NONE: head is good */
};

/* A header: its first page, and what more it has. */
static int
read_head(struct place *place, const char *name, struct chunk_head *h, struct err *e)
{
	struct block b = { 0 };
	struct store_get g = { .out = &b };
	size_t region = CHUNK_ALIGN;
	int rc = -1;

	b.cap = CHUNK_HEADER_MAX + CHUNK_ALIGN;
	b.p = malloc(b.cap);
	if (!b.p)
		return err_sys(e, "header");
	if (store_get(place->store, name, 0, CHUNK_ALIGN, &g, e) == 0 && b.len >= 8)
		region = chunk_region(b.p, e);
	else if (b.len < 8 && b.len)
		err_set(e, ERR_CORRUPT, "truncated");
	if (b.len >= 8 && region) {
		if (region <= b.len || store_get(place->store, name, b.len, region - b.len, &g,
		    e) == 0)
			rc = chunk_head_parse(h, b.p, region < b.len ? region : b.len, e);
	}
	free(b.p);
	return rc;
}

static int
one_head(void *ctx, size_t i, struct err *e)
{
	struct heads *v = ctx;
	const struct cat_row *row = &v->in->cat->rows[v->in->order[v->first + i]];
	struct buf name = { 0 };
	int rc = catalog_name(v->in->cat, row, &name);

	(void)e;
	if (rc < 0 || !buf_text(&name))
		err_set(&v->err[i], ERR_FAILED, "out of memory");
	else if (read_head(v->in->place, name.p, &v->head[i], &v->err[i]) < 0)
		err_in(&v->err[i], "%s: '%.200s'", store_url(v->in->place->store), name.p);
	buf_free(&name);
	return 0;
}

static int
hand_heads(struct outbox *b, struct heads *v, size_t n, struct err *e)
{
	struct parcel *p;
	size_t i;

	for (i = 0; i < n; i++) {
		if (v->err[i].kind) {
			b->opts.failed(b->opts.ctx, &v->err[i]);
			continue;
		}
		p = parcel_new(&v->head[i], e);
		if (!p)
			return -1;
		p->from = v->in;
		p->index = v->first + i;
		if (hand_out(b, p, v->head[i].key.rank, e) < 0)
			return -1;
	}
	return 0;
}

static int
read_place(struct outbox *b, struct input *in, struct err *e)
{
	struct heads *v = malloc(sizeof(*v));
	size_t n, i;
	int rc = 0;

	if (!v)
		return err_sys(e, "outbox");
	v->b = b;
	v->in = in;
	for (v->first = 0; rc == 0 && v->first < in->n; v->first += n) {
		n = in->n - v->first < HEADS ? in->n - v->first : HEADS;
		memset(v->head, 0, sizeof(v->head));
		memset(v->err, 0, sizeof(v->err));
		rc = par_each(n, b->opts.jobs, one_head, v, e);
		if (rc == 0)
			rc = hand_heads(b, v, n, e);
		for (i = 0; i < n; i++)
			chunk_head_free(&v->head[i]);
	}
	free(v);
	return rc;
}

static void *
read_inputs(void *arg)
{
	static int (*const readers[])(struct outbox *, struct input *, struct err *) = {
		[INPUT_FILE] = read_file,
		[INPUT_SOURCE] = read_source,
		[INPUT_PLACE] = read_place,
	};
	struct outbox *b = arg;
	struct input *in;
	struct err e = { 0 };
	int rc = 0;

	for (in = b->inputs; in && rc == 0; in = in->next)
		rc = readers[in->kind](b, in, &e);
	pthread_mutex_lock(&b->lock);
	b->ended = 1;
	if (rc < 0)
		b->why = e;
	pthread_cond_broadcast(&b->change);
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

int
outbox_start(struct outbox *b, struct err *e)
{
	if (pthread_create(&b->reader, NULL, read_inputs, b) != 0)
		return err_set(e, ERR_FAILED, "no more threads");
	b->started = 1;
	return 0;
}

void
outbox_close(struct outbox *b)
{
	struct input *in;
	struct err e;
	unsigned i;

	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->closing = 1;
	pthread_cond_broadcast(&b->change);
	pthread_mutex_unlock(&b->lock);
	for (i = 0; i < b->opts.peers; i++)
		outbox_leave(b, i);
	if (b->started) {
		err_set(&e, ERR_STOPPED, "nobody takes chunks any more");
		if (!b->ended)
			pool_abort(b->opts.pool, &e);
		pthread_join(b->reader, NULL);
	}
	while ((in = b->inputs)) {
		b->inputs = in->next;
		if (in->source)
			in->source->ops->close(in->source);
		free(in);
	}
	pthread_cond_destroy(&b->change);
	pthread_mutex_destroy(&b->lock);
	free(b);
}
