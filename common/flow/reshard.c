#include <stdlib.h>
#include <string.h>

#include "chunk/coding.h"
#include "flow/convert.h"
#include "geom/layout.h"

struct reshard {
	struct source base;	/* first */
	struct source *in;
	uint32_t tp;
	struct pool *own;	/* of what in gives; without bound, since it is one chunk's */
	uint64_t ticket;
	struct flow_item *part;	/* ranks of the chunk in hand */
	size_t n, cap;
	struct flow_item ahead;	/* the first of the next */
	int has_ahead, ended;
	struct geom whole;
	uint32_t rank;		/* next to give; tp: none left */
};

static int
same_chunk(const struct chunk_head *a, const struct chunk_head *b)
{
	return !key_hash_cmp(&a->key.hash, &b->key.hash) && a->key.group == b->key.group &&
		a->key.tp == b->key.tp && a->tokens == b->tokens &&
		!strcmp(a->key.model, b->key.model) && !strcmp(a->key.salt, b->key.salt) &&
		!strcmp(a->key.dtype, b->key.dtype);
}

/* The next chunk of in, checked and plain: 1, 0 at the end, -1. */
static int
fetch(struct reshard *r, struct flow_item *it, struct err *e)
{
	int rc;

	memset(it, 0, sizeof(*it));
	it->ticket = r->ticket++;
	rc = r->in->ops->next(r->in, r->own, it, e);
	if (rc <= 0)
		return rc;
	rc = r->in->ops->load ? r->in->ops->load(r->in, r->own, it, e) :
		chunk_verify(&it->chunk, e);
	if (rc == 0)
		rc = chunk_plain(&it->chunk, r->own, e);
	if (rc < 0)
		chunk_free(&it->chunk, r->own);
	return rc < 0 ? -1 : 1;
}

static void
drop_parts(struct reshard *r)
{
	while (r->n > 0)
		chunk_free(&r->part[--r->n].chunk, r->own);
}

/* Are all parts cut from the same whole? Headers may say anything. */
static int
same_whole(const struct reshard *r, struct err *e)
{
	const struct geom *w = &r->whole;
	char text[KEY_SHORT];
	size_t i;

	for (i = 1; i < r->n; i++) {
		const struct geom *g = &r->part[i].chunk.head.geom;

		if (g->kv != w->kv || g->head_dim != w->head_dim ||
		    g->layers_total != w->layers_total || g->heads_total != w->heads_total)
			return err_set(e, ERR_CORRUPT, "chunk %s: its ranks are of different "
				"shapes",
				key_hash_short(text, &r->part[0].chunk.head.key.hash));
	}
	return 0;
}

/* All layers and heads there, whichever rank has them? */
static int
complete(const struct reshard *r, struct err *e)
{
	const struct geom *w = &r->whole;
	unsigned char *seen;
	char text[KEY_SHORT];
	uint32_t l, missing = 0;
	size_t i;

	if (same_whole(r, e) < 0)
		return -1;
	seen = calloc(w->layers_total, w->heads_total);
	if (!seen)
		return err_set(e, ERR_FAILED, "out of memory");
	for (i = 0; i < r->n; i++) {
		const struct geom *g = &r->part[i].chunk.head.geom;

		for (l = g->layer_first; l < g->layer_first + g->layers; l++)
			memset(seen + (size_t)l * w->heads_total + g->head_first, 1, g->heads);
	}
	for (i = 0; i < (size_t)w->layers_total * w->heads_total; i++)
		missing += !seen[i];
	free(seen);
	if (missing)
		return err_set(e, ERR_CORRUPT, "chunk %s: of %u ranks only %zu are here",
			key_hash_short(text, &r->part[0].chunk.head.key.hash),
			r->part[0].chunk.head.key.tp, r->n);
	return 0;
}

/* A rank that came already? A stream may repeat one without end. */
static int
has_rank(const struct reshard *r, uint32_t rank)
{
	size_t i = 0;

	while (i < r->n && r->part[i].chunk.head.key.rank != rank)
		i++;
	return i < r->n;
}

/* Takes it. */
static int
keep(struct reshard *r, struct flow_item *it, struct err *e)
{
	struct flow_item *more;

	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 8;
		more = realloc(r->part, r->cap * sizeof(*more));
		if (!more) {
			chunk_free(&it->chunk, r->own);
			return err_set(e, ERR_FAILED, "out of memory");
		}
		r->part = more;
	}
	r->part[r->n++] = *it;
	return 0;
}

static int
gather(struct reshard *r, struct err *e)
{
	struct flow_item it;
	const struct geom *g;
	int rc = 1;

	drop_parts(r);
	while (!r->ended) {
		it = r->ahead;
		if (!r->has_ahead)
			rc = fetch(r, &it, e);
		r->has_ahead = 0;
		if (rc < 0)
			return -1;
		if (rc == 0) {
			r->ended = 1;
			break;
		}
		if (r->n && !same_chunk(&r->part[0].chunk.head, &it.chunk.head)) {
			r->ahead = it;
			r->has_ahead = 1;
			break;
		}
		if (has_rank(r, it.chunk.head.key.rank))
			chunk_free(&it.chunk, r->own);
		else if (keep(r, &it, e) < 0)
			return -1;
	}
	if (r->n == 0)
		return 0;
	r->whole = *(g = &r->part[0].chunk.head.geom);
	r->whole.layers = g->layers_total;
	r->whole.heads = g->heads_total;
	r->whole.layer_first = r->whole.head_first = 0;
	r->rank = 0;
	return complete(r, e) < 0 ? -1 : 1;
}

/* Rank r->rank of the chunk in hand, unsealed. */
static int
make(struct reshard *r, struct pool *pool, struct flow_item *it, struct err *e)
{
	const struct chunk_head *from = &r->part[0].chunk.head;
	struct chunk_head *h = &it->chunk.head;
	uint64_t bytes;
	size_t i;

	if (chunk_head_copy(h, from, e) < 0 ||
	    geom_shard(&h->geom, &r->whole, r->tp, r->rank, e) < 0)
		return -1;
	h->key.tp = r->tp;
	h->key.rank = r->rank++;
	h->region = 0;
	bytes = geom_bytes(&h->geom, h->tokens);
	if (pool_get(pool, it->ticket, CHUNK_ALIGN + bytes, &it->chunk.mem, e) < 0)
		return -1;
	it->chunk.mem.len = CHUNK_ALIGN + bytes;
	for (i = 0; i < r->n; i++) {
		const struct chunk *c = &r->part[i].chunk;

		if (layout_reshard(it->chunk.mem.p + CHUNK_ALIGN, &h->geom, chunk_payload(c),
			&c->head.geom, h->tokens, e) < 0)
			return -1;
	}
	return 0;
}

static int
reshard_next(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct reshard *r = (struct reshard *)s;
	int rc;

	if (r->rank == r->tp || r->n == 0) {
		rc = gather(r, e);
		if (rc <= 0)
			return rc;
	}
	return make(r, pool, it, e) < 0 ? -1 : 1;
}

static int
reshard_load(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	(void)s;
	return chunk_seal(&it->chunk, pool, e);
}

static void
reshard_close(struct source *s)
{
	struct reshard *r = (struct reshard *)s;

	drop_parts(r);
	if (r->has_ahead)
		chunk_free(&r->ahead.chunk, r->own);
	free(r->part);
	r->in->ops->close(r->in);
	pool_close(r->own);
	free(r);
}

int
source_reshard(struct source **out, struct source *in, uint32_t tp, struct err *e)
{
	static const struct source_ops ops = { reshard_next, reshard_load, reshard_close };
	struct reshard *r = calloc(1, sizeof(*r));

	*out = NULL;
	if (!r || pool_open(&r->own, SIZE_MAX, e) < 0) {
		free(r);
		in->ops->close(in);
		return err_set(e, ERR_FAILED, "out of memory");
	}
	r->base.ops = &ops;
	r->in = in;
	r->tp = tp;
	*out = &r->base;
	return 0;
}
