#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/uri.h"
#include "flow/flow.h"
#include "key/algo.h"

/*
 * gen: what real KV looks like to a codec, made up: sign and mantissa random, exponents
 * spread by a few bits around a level that belongs to the channel, K channels with outliers.
 * Each head of each layer has its own random sequence, seeded by the chunk's hash, so that
 * ranks of any tensor-parallel size hold slices of the same whole.
 */
typedef uint64_t v2 __attribute__((vector_size(16)));
#define LANE_BYTES 16

struct gen_source {
	struct source base;	/* first */
	struct geom geom;	/* of one rank 0; head_first varies */
	struct geom whole;
	char model[256];
	uint32_t tp;
	uint64_t tokens, chunk_tokens;
	struct key_hash *hashes;
	size_t n_chunks, at;
	uint32_t rank;
	int tail;
};

static uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

struct rng {		/* two xorshift128+ side by side */
	v2 a, b;
};

static void
rng_seed(struct rng *r, uint64_t seed)
{
	int i;

	for (i = 0; i < 2; i++) {
		r->a[i] = mix(seed + (uint64_t)i);
		r->b[i] = mix(seed + (uint64_t)i + 2) | 1;
	}
}

static inline v2
rng_next(struct rng *r)
{
	v2 x = r->a, y = r->b;

	r->a = y;
	x ^= x << 23;
	r->b = x ^ y ^ (x >> 18) ^ (y >> 5);
	return r->b + y;
}

/* How far an exponent lies below its channel's level: small mostly, now and then more. */
static inline v2
spread(v2 s, uint64_t one)
{
	const v2 m = { one, one };

	return (s & m) + ((s >> 1) & (s >> 2) & m) + (((s >> 3) & (s >> 4) & m) << 1) +
		(((s >> 5) & (s >> 6) & (s >> 7) & m) << 2);
}

/* One row of a head: n bytes of 16-bit elements; level holds the channels' exponents in place. */
static void
row16(struct rng *r, const v2 *level, unsigned char *to, size_t n, int shift)
{
	const uint64_t keep = shift == 7 ? 0x807f807f807f807fu : 0x83ff83ff83ff83ffu;
	const v2 mask = { keep, keep };
	size_t i;

	for (i = 0; i < n; i += LANE_BYTES) {
		v2 x = rng_next(r), s = rng_next(r);
		v2 out = (x & mask) | (level[i / LANE_BYTES] -
			(spread(s, 0x0001000100010001u) << shift));

		memcpy(to + i, &out, n - i < LANE_BYTES ? n - i : LANE_BYTES);
	}
}

static void
row8(struct rng *r, unsigned char *to, size_t n)
{
	const v2 mask = { 0x8787878787878787u, 0x8787878787878787u };
	const v2 level = { 0x6060606060606060u, 0x6060606060606060u };
	size_t i;

	for (i = 0; i < n; i += LANE_BYTES) {
		v2 x = rng_next(r), s = rng_next(r);
		v2 out = (x & mask) | (level - (spread(s, 0x0101010101010101u) << 3));

		memcpy(to + i, &out, n - i < LANE_BYTES ? n - i : LANE_BYTES);
	}
}

/* Levels of one head's channels. */
static void
levels(v2 *level, const struct geom *g, uint64_t seed, int key, int shift)
{
	uint16_t *l = (uint16_t *)level;
	uint32_t d;

	for (d = 0; d < g->head_dim; d++) {
		uint64_t h = mix(seed + d);
		unsigned base = shift == 7 ? 127 : 15;

		l[d] = (uint16_t)((base - 2 + (h & 1) + (key && h % 16 == 0 ? 3 : 0)) << shift);
	}
}

/* One layer-half: [tokens][heads][dim]. Seeds do not depend on the rank, only on the head. */
static int
fill_half(const struct geom *g, uint64_t seed, int key, uint64_t tokens, unsigned char *to)
{
	size_t dim = g->head_dim * dtype_size(g->dtype), lanes = dim / LANE_BYTES + 1;
	int shift = g->dtype == DT_BF16 ? 7 : 10;
	struct rng *rng = aligned_alloc(LANE_BYTES, g->heads * sizeof(*rng));
	v2 *level = aligned_alloc(LANE_BYTES, g->heads * lanes * sizeof(*level));
	uint64_t t;
	uint32_t h;

	if (!rng || !level) {
		free(rng);
		free(level);
		return -1;
	}
	memset(level, 0, g->heads * lanes * sizeof(*level));
	for (h = 0; h < g->heads; h++) {
		/* levels belong to the model, values to the tokens */
		rng_seed(&rng[h], seed + 0x1000193u * (g->head_first + h + 1));
		if (dtype_size(g->dtype) == 2)
			levels(level + h * lanes, g, (uint64_t)(g->head_first + h) << 20 |
				(unsigned)key, key, shift);
	}
	for (t = 0; t < tokens; t++) {
		for (h = 0; h < g->heads; h++, to += dim) {
			if (dtype_size(g->dtype) == 2)
				row16(&rng[h], level + h * lanes, to, dim, shift);
			else
				row8(&rng[h], to, dim);
		}
	}
	free(rng);
	free(level);
	return 0;
}

static int
gen_next(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct gen_source *x = (struct gen_source *)s;
	struct chunk_head *h = &it->chunk.head;
	uint64_t first = x->at * x->chunk_tokens;

	if (x->at == x->n_chunks)
		return 0;
	strcpy(h->key.model, x->model);
	strcpy(h->algo, KEY_ALGO_DEFAULT);
	h->key.tp = x->tp;
	h->key.rank = x->rank;
	h->key.hash = x->hashes[x->at];
	if (x->at)
		h->parent = x->hashes[x->at - 1];
	h->first_token = first;
	h->chunk_tokens = x->chunk_tokens;
	h->tokens = x->tokens - first < x->chunk_tokens ? x->tokens - first : x->chunk_tokens;
	if (geom_shard(&h->geom, &x->whole, x->tp, x->rank, e) < 0)
		return -1;
	if (pool_get(pool, it->ticket, CHUNK_ALIGN + geom_bytes(&h->geom, h->tokens),
	    &it->chunk.mem, e) < 0)
		return -1;
	if (++x->rank == x->tp) {
		x->rank = 0;
		x->at++;
	}
	return 1;
}

static int
gen_load(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct chunk *c = &it->chunk;
	const struct geom *g = &c->head.geom;
	size_t half = (size_t)(geom_row(g) * c->head.tokens);
	uint64_t seed = get_le64(c->head.key.hash.b);
	uint32_t kv, layer;
	unsigned char *to = c->mem.p + CHUNK_ALIGN;

	(void)s;
	for (kv = 0; kv < g->kv; kv++)
		for (layer = 0; layer < g->layers; layer++, to += half)
			if (fill_half(g, mix(seed ^ ((uint64_t)kv << 32 | layer)), kv == 0,
			    c->head.tokens, to) < 0)
				return err_set(e, ERR_FAILED, "out of memory");
	c->mem.len = CHUNK_ALIGN + geom_bytes(g, c->head.tokens);
	return chunk_seal(c, pool, e);
}

static void
gen_close(struct source *s)
{
	free(((struct gen_source *)s)->hashes);
	free(s);
}

/* Token ids from the seed, and their chain of hashes. */
static int
make_chain(struct gen_source *x, uint64_t seed, struct err *e)
{
	uint32_t *ids = malloc((x->tokens + 1) * sizeof(*ids));
	struct key_chain how = { .chunk_tokens = (uint32_t)x->chunk_tokens };
	size_t full = x->tokens / x->chunk_tokens;
	uint64_t i, left = x->tokens % x->chunk_tokens;
	int rc = -1;

	x->hashes = calloc(x->n_chunks + 1, sizeof(*x->hashes));
	if (!ids || !x->hashes) {
		err_set(e, ERR_FAILED, "gen: out of memory");
		goto free_ids;
	}
	for (i = 0; i < x->tokens; i++)
		ids[i] = (uint32_t)(mix(seed * 0x100000001b3u + i) % 128000);
	if (key_algo_parse(&how.algo, KEY_ALGO_DEFAULT, e) < 0)
		goto free_ids;
	if (full && key_chain(x->hashes, &how, ids, full * x->chunk_tokens, e) < 0)
		goto free_ids;
	if (x->n_chunks > full) {
		how.chunk_tokens = (uint32_t)left;
		if (full)
			how.parent = x->hashes[full - 1];
		if (key_chain(x->hashes + full, &how, ids + full * x->chunk_tokens, left,
		    e) < 0)
			goto free_ids;
	}
	rc = 0;
free_ids:
	free(ids);
	return rc;
}

static int
number(const struct uri *u, const char *name, uint64_t *out, uint64_t max, struct err *e)
{
	const char *v = uri_arg(u, name);

	return v ? num_u64(out, v, 0, max, name, e) : 0;
}

static int
gen_setup(struct gen_source *x, const struct uri *u, struct err *e)
{
	static const char *const args[] = { "tokens", "seed", "chunk-tokens", "tp", "dtype",
		"tail", NULL };
	const char *dtype = uri_arg(u, "dtype");
	uint64_t seed = 0, tp = 1;

	x->tokens = 2048;
	x->chunk_tokens = 256;
	strcpy(x->model, "gen");
	if (uri_check_args(u, args, e) < 0 || geom_read(&x->whole, x->model, u->path, e) < 0 ||
	    number(u, "tokens", &x->tokens, 1ull << 32, e) < 0 ||
	    number(u, "chunk-tokens", &x->chunk_tokens, 1 << 20, e) < 0 ||
	    number(u, "seed", &seed, UINT64_MAX, e) < 0 || number(u, "tp", &tp, 1024, e) < 0)
		return -1;
	if (dtype)
		x->whole.dtype = dtype_parse(dtype);
	if (x->whole.dtype == DT_NONE || dtype_size(x->whole.dtype) > 2)
		return err_set(e, ERR_USAGE, "gen: makes 16- and 8-bit types alone");
	if (x->chunk_tokens == 0 || tp == 0)
		return err_set(e, ERR_USAGE, "gen: chunk-tokens and tp are at least 1");
	x->tp = (uint32_t)tp;
	if (geom_shard(&x->geom, &x->whole, x->tp, 0, e) < 0)
		return -1;
	x->n_chunks = x->tokens / x->chunk_tokens;
	if (uri_arg(u, "tail") && x->tokens % x->chunk_tokens)
		x->n_chunks++;
	x->base.chunks = x->n_chunks * x->tp;
	x->base.bytes = x->base.chunks * (CHUNK_ALIGN + geom_bytes(&x->geom, x->chunk_tokens));
	return make_chain(x, seed, e);
}

int
source_gen(struct source **out, const char *url, struct err *e)
{
	static const struct source_ops ops = { gen_next, gen_load, gen_close };
	struct gen_source *x = calloc(1, sizeof(*x));
	struct uri *u = NULL;
	int rc = -1;

	*out = NULL;
	if (!x)
		return err_set(e, ERR_FAILED, "gen: out of memory");
	x->base.ops = &ops;
	if (uri_parse(&u, url, e) == 0 && gen_setup(x, u, e) == 0) {
		*out = &x->base;
		rc = 0;
	} else {
		gen_close(&x->base);
	}
	uri_free(u);
	return rc;
}
