#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/par.h"
#include "flow/inbox.h"

/* Seals of what was put, open addressing; all-zero slots are free. */
struct seals {
	struct digest128 *slot;
	size_t cap, n;
};

struct inbox {
	struct inbox_opts opts;
	pthread_mutex_t lock;		/* of all below */
	pthread_mutex_t turn;		/* to put into an ordered sink */
	struct seals seals;
	uint64_t ticket;
	uint64_t chunks, bytes;
};

int
inbox_open(struct inbox **out, const struct inbox_opts *o, struct err *e)
{
	struct inbox *b = calloc(1, sizeof(*b));

	*out = NULL;
	if (!b)
		return err_sys(e, "inbox");
	b->opts = *o;
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->turn, NULL);
	*out = b;
	return 0;
}

static struct digest128 *
seal_slot(struct seals *s, const struct digest128 *d)
{
	static const struct digest128 none;
	size_t i = (size_t)get_le64(d->b) & (s->cap - 1);

	while (memcmp(&s->slot[i], &none, sizeof(none)) != 0 && !digest_equal(&s->slot[i], d))
		i = (i + 1) & (s->cap - 1);
	return &s->slot[i];
}

static int
seals_have(struct seals *s, const struct digest128 *d)
{
	return s->cap && digest_equal(seal_slot(s, d), d);
}

static void
seals_add(struct seals *s, const struct digest128 *d)
{
	struct seals more = { .cap = s->cap ? 2 * s->cap : 1024 };
	static const struct digest128 none;
	size_t i;

	if (s->n * 2 >= s->cap) {
		more.slot = calloc(more.cap, sizeof(*more.slot));
		if (!more.slot)
			return;		/* known less: sent again at worst */
		for (i = 0; i < s->cap; i++)
			if (memcmp(&s->slot[i], &none, sizeof(none)) != 0)
				*seal_slot(&more, &s->slot[i]) = s->slot[i];
		free(s->slot);
		s->slot = more.slot;
		s->cap = more.cap;
	}
	if (!seals_have(s, d)) {
		*seal_slot(s, d) = *d;
		s->n++;
	}
}

static int
hash_cmp(const void *a, const void *b)
{
	return key_hash_cmp(a, b);
}

/* Was this one asked for at all? */
static int
asked(const struct inbox *b, const struct key *k)
{
	const struct inbox_opts *o = &b->opts;
	int is_asked = !o->n_only && !o->n_prefixes;
	size_t i;

	if (o->n_only && bsearch(&k->hash, o->only, o->n_only, sizeof(*o->only), hash_cmp))
		is_asked = 1;
	for (i = 0; i < o->n_prefixes; i++) {
		if (!key_hash_match(&k->hash, o->prefixes[i]))
			continue;
		is_asked = 1;
		if (o->met)
			o->met[i] = 1;
	}
	return is_asked;
}

/* The chunk of this name in a place: 1 it will do, 0 it is not there, or not good, -1. */
static int
have_it(const struct inbox *b, struct place *p, const struct wire_offer *o, struct err *e)
{
	struct chunk_head h;
	struct block m = { .cap = o->region };
	uint64_t size;
	struct err why;
	int rc = 0;

	m.p = malloc(m.cap);
	if (!m.p)
		return err_sys(e, "header");
	if (place_head(p, o->name, &m, &h, &size, &why) == 0) {
		if (h.region + h.payload == size)
			rc = !b->opts.replace || digest_equal(&h.seal, &o->seal);
		chunk_head_free(&h);
	} else if (why.kind != ERR_ABSENT && why.kind != ERR_CORRUPT) {
		*e = why;
		rc = -1;
	}
	free(m.p);
	return rc;
}

struct choice {
	struct inbox *b;
	const struct wire_offer *const *offers;
	unsigned char *want;
};

static int
choose_one(void *ctx, size_t i, struct err *e)
{
	struct choice *c = ctx;
	const struct wire_offer *o = c->offers[i];
	struct inbox *b = c->b;
	struct key k;
	size_t p;
	int rc;

	c->want[i] = 0;
	if (key_parse_name(&k, o->name, e) < 0)
		return -1;
	if (!asked(b, &k))
		return 0;
	pthread_mutex_lock(&b->lock);
	rc = b->opts.remember && seals_have(&b->seals, &o->seal);
	pthread_mutex_unlock(&b->lock);
	for (p = 0; rc == 0 && p < b->opts.n_have; p++)
		rc = have_it(b, b->opts.have[p], o, e);
	c->want[i] = rc == 0;
	return rc < 0 ? -1 : 0;
}

static int
choose(void *ctx, const struct wire_offer *const *o, size_t n, unsigned char *want,
	struct err *e)
{
	struct choice c = { ctx, o, want };
	unsigned jobs = c.b->opts.n_have ? c.b->opts.jobs : 1;

	return par_each(n, jobs ? jobs : 1, choose_one, &c, e);
}

static int
put(void *ctx, struct chunk *c, struct err *e)
{
	struct inbox *b = ctx;
	struct sink *to = b->opts.to;
	struct flow_item it = { .chunk = *c };
	uint64_t bytes = c->mem.len;
	int rc;

	if (to->ops->ordered)
		pthread_mutex_lock(&b->turn);
	pthread_mutex_lock(&b->lock);
	it.ticket = b->ticket++;
	pthread_mutex_unlock(&b->lock);
	rc = to->ops->put(to, b->opts.pool, &it, e);
	if (to->ops->ordered)
		pthread_mutex_unlock(&b->turn);
	pthread_mutex_lock(&b->lock);
	if (rc >= 0) {
		b->chunks++;
		b->bytes += bytes;
		if (b->opts.remember)
			seals_add(&b->seals, &it.chunk.head.seal);
	}
	pthread_mutex_unlock(&b->lock);
	chunk_free(&it.chunk, b->opts.pool);
	memset(c, 0, sizeof(*c));
	return rc < 0 ? -1 : 0;
}

struct wire_sink
inbox_sink(struct inbox *b)
{
	return (struct wire_sink){ .ctx = b, .ordered = b->opts.to->ops->ordered,
	    .choose = choose, .put = put };
}

void
inbox_count(struct inbox *b, uint64_t *chunks, uint64_t *bytes)
{
	pthread_mutex_lock(&b->lock);
	*chunks = b->chunks;
	*bytes = b->bytes;
	pthread_mutex_unlock(&b->lock);
}

int
inbox_close(struct inbox *b, const struct err *why, struct err *e)
{
	int rc;

	if (!b)
		return 0;
	rc = b->opts.to->ops->close(b->opts.to, why, e);
	free(b->seals.slot);
	pthread_mutex_destroy(&b->turn);
	pthread_mutex_destroy(&b->lock);
	free(b);
	return rc;
}
