#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "digest/blake3.h"
#include "dialect/tensor_map.h"

struct tensor_in {
	struct tensor_map map;
	struct chunk_head head;	/* what all chunks share */
	uint32_t chunk_tokens;
	size_t n;
	uint64_t dropped;
	struct key_hash *hashes;
};

/* Hash of the content of chunk i: of all layers' rows. The same rows after the same rows
 * have the same name. */
static void
name_content(struct tensor_in *t, size_t i, const struct chunk *c)
{
	uint8_t text[KEY_HASH_MAX + sizeof(c->head.digest)];

	memset(text, 0, sizeof(text));
	if (i)
		memcpy(text, t->hashes[i - 1].b, KEY_HASH_MAX);
	memcpy(text + KEY_HASH_MAX, &c->head.digest, sizeof(c->head.digest));
	t->hashes[i].len = BLAKE3_OUT;
	blake3(t->hashes[i].b, text, sizeof(text));
}

static int
name_contents(struct tensor_in *t, struct err *e)
{
	struct pool *pool;
	struct chunk c;
	size_t i;
	int r = pool_open(&pool, 1, e);

	snprintf(t->head.algo, sizeof(t->head.algo), "opaque");
	for (i = 0; r == 0 && i < t->n; i++) {
		t->hashes[i].len = KEY_HASH_MIN;	/* any, until its bytes are known */
		r = tensor_in_chunk(t, i, pool, i, &c, e);
		if (r == 0)
			name_content(t, i, &c);
		chunk_free(&c, pool);
	}
	pool_close(pool);
	return r;
}

static int
name_tokens(struct tensor_in *t, const struct tensor_opts *o, struct err *e)
{
	struct key_chain chain = { .chunk_tokens = t->chunk_tokens };
	uint64_t whole = t->map.tokens / t->chunk_tokens;

	if (o->algo)
		chain.algo = *o->algo;
	else if (key_algo_parse(&chain.algo, KEY_ALGO_DEFAULT, e) < 0)
		return -1;
	if (o->n_tokens != t->map.tokens)
		return err_set(e, ERR_USAGE, "%zu tokens are given, the tensors have %llu",
			o->n_tokens, (unsigned long long)t->map.tokens);
	key_algo_text(t->head.algo, &chain.algo);
	if (key_chain(t->hashes, &chain, o->tokens, whole * t->chunk_tokens, e) < 0)
		return -1;
	if (t->n == whole)
		return 0;
	chain.chunk_tokens = (uint32_t)(t->map.tokens % t->chunk_tokens);
	if (whole)
		chain.parent = t->hashes[whole - 1];
	return key_chain(t->hashes + whole, &chain, o->tokens + whole * t->chunk_tokens,
		chain.chunk_tokens, e);
}

/* Geometry as given, how many chunks. */
static int
complete(struct tensor_in *t, const struct tensor_opts *o, struct err *e)
{
	struct geom *g = &t->map.geom, part;
	uint32_t tp = o->tp ? o->tp : 1;

	g->layers_total = g->layers;
	g->heads_total = g->kv == 1 ? 1 : g->heads * tp;
	g->head_first = g->kv == 1 ? 0 : g->heads * o->rank;
	if (o->geom) {
		if (geom_shard(&part, o->geom, tp, o->rank, e) < 0)
			return -1;
		if (part.layers != g->layers || part.heads != g->heads
			|| part.head_dim != g->head_dim || part.kv != g->kv)
			return err_set(e, ERR_USAGE, "tensors have %u layers of %u x %u, "
				"--geometry says %u of %u x %u", g->layers, g->heads,
				g->head_dim, part.layers, part.heads, part.head_dim);
		part.dtype = g->dtype;
		*g = part;
	}
	if (geom_check(g, e) < 0)
		return -1;
	t->n = t->map.tokens / t->chunk_tokens;
	t->dropped = t->map.tokens % t->chunk_tokens;
	if (o->tail && t->dropped) {
		t->n++;
		t->dropped = 0;
	}
	return 0;
}

static int
identity(struct tensor_in *t, const struct tensor_opts *o, struct err *e)
{
	struct key *k = &t->head.key;

	snprintf(k->model, sizeof(k->model), "%s", o->model ? o->model : t->map.model);
	if (!*k->model)
		return err_set(e, ERR_USAGE, "the model's name is not in the file: give it by "
			"--geometry model=NAME,..., or kvput's --model");
	if (o->salt)
		snprintf(k->salt, sizeof(k->salt), "%s", o->salt);
	snprintf(k->dtype, sizeof(k->dtype), "%s", dtype_word(t->map.geom.dtype));
	k->tp = o->tp ? o->tp : 1;
	k->rank = o->rank;
	t->head.geom = t->map.geom;
	t->head.chunk_tokens = t->chunk_tokens;
	t->hashes = calloc(t->n + 1, sizeof(*t->hashes));
	if (!t->hashes)
		return err_sys(e, "import");
	if (!o->tokens)
		return name_contents(t, e);
	return name_tokens(t, o, e);
}

int
tensor_in_open(struct tensor_in **out, const char *path, const struct tensor_opts *o,
	struct err *e)
{
	struct tensor_in *t = calloc(1, sizeof(*t));

	*out = NULL;
	if (!t)
		return err_sys(e, "import");
	t->chunk_tokens = o->chunk_tokens ? o->chunk_tokens : 256;
	if (tensor_map_open(&t->map, path, o, e) < 0)
		goto close_t;
	if (complete(t, o, e) < 0 || identity(t, o, e) < 0) {
		err_in(e, "'%s'", path);
		goto close_t;
	}
	*out = t;
	return 0;
close_t:
	tensor_in_close(t);
	return -1;
}

void
tensor_in_close(struct tensor_in *t)
{
	if (!t)
		return;
	tensor_map_close(&t->map);
	free(t->hashes);
	free(t);
}

size_t
tensor_in_count(const struct tensor_in *t)
{
	return t->n;
}

uint64_t
tensor_in_bytes(const struct tensor_in *t)
{
	return geom_bytes(&t->map.geom, t->map.tokens - t->dropped);
}

uint64_t
tensor_in_dropped(const struct tensor_in *t)
{
	return t->dropped;
}

static int
read_run(int fd, void *p, uint64_t n, uint64_t at, struct err *e)
{
	ssize_t k = io_pread(fd, p, n, at, e);

	if (k < 0)
		return -1;
	return (uint64_t)k == n ? 0 : err_set(e, ERR_CORRUPT, "import: the file was cut short");
}

/* Tokens first .. first + n of layer l to their place; pairs go through scratch. */
static int
read_layer(struct tensor_in *t, uint32_t l, uint64_t first, uint64_t n, unsigned char *payload,
	unsigned char *scratch, struct err *e)
{
	uint64_t row = geom_row(&t->map.geom);
	struct source *s = &t->map.layer[l];
	struct layout_side a = layout_neutral(&t->map.geom, n), b = a;
	struct layout_span w = { .tokens = n, .heads = t->map.geom.heads };
	struct layout_plan plan;
	unsigned char *to[2];
	unsigned c;

	layout_neutral_at(to, &t->map.geom, n, payload, l);
	if (t->map.layout == LAYOUT_LTD) {
		for (c = 0; c < t->map.geom.kv; c++)
			if (read_run(s->fd, to[c], n * row, s->at[c] + first * row, e) < 0)
				return -1;
		return 0;
	}
	if (read_run(s->fd, scratch, 2 * n * row, s->at[0] + 2 * first * row, e) < 0)
		return -1;
	a.layout = t->map.layout;
	a.block = 1;
	a.blocks = n;
	if (layout_plan(&plan, &b, &a, &w, e) < 0)
		return -1;
	layout_copy(&plan, to, (unsigned char *[2]){ scratch, NULL });
	layout_plan_free(&plan);
	return 0;
}

int
tensor_in_chunk(struct tensor_in *t, size_t i, struct pool *pool, uint64_t ticket,
	struct chunk *c, struct err *e)
{
	struct chunk_head *h = &c->head;
	uint64_t first = (uint64_t)i * t->chunk_tokens, n = t->map.tokens - first, bytes;
	unsigned char *scratch = NULL;
	uint32_t l;
	int r = 0;

	n = n < t->chunk_tokens ? n : t->chunk_tokens;
	bytes = geom_bytes(&t->map.geom, n);
	memset(c, 0, sizeof(*c));
	*h = t->head;
	h->key.hash = t->hashes[i];
	if (i)
		h->parent = t->hashes[i - 1];
	h->first_token = first;
	h->tokens = n;
	if (!bytes || bytes > CHUNK_PAYLOAD_MAX)
		return err_set(e, ERR_USAGE, "import: a chunk of %llu tokens is too large",
			(unsigned long long)n);
	if (pool_get(pool, ticket, CHUNK_ALIGN + bytes, &c->mem, e) < 0)
		return -1;
	c->mem.len = CHUNK_ALIGN + bytes;
	if (t->map.layout != LAYOUT_LTD && !(scratch = malloc(2 * n * geom_row(&t->map.geom))))
		r = err_sys(e, "import");
	for (l = 0; r == 0 && l < t->map.geom.layers; l++)
		r = read_layer(t, l, first, n, c->mem.p + CHUNK_ALIGN, scratch, e);
	free(scratch);
	if (r == 0)
		r = chunk_seal(c, pool, e);
	if (r < 0)
		chunk_free(c, pool);
	return r;
}
