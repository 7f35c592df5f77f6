#include <string.h>

#include "dialect/row.h"

/* Files of engine pages: vLLM's FS tier (one CPU-tier row: layer after layer, the blocks of
 * each together; vllm/v1/kv_offload/cpu/shared_offload_region.py) and llm-d's (block after
 * block, all layers of each together, the last blocks of a file if it is shorter;
 * llmd_fs_backend/csrc/storage/tensor_copier.cu @0f2a93f2). */

struct pages {
	const struct tier *t;
	struct layout_side side;	/* one layer of one run of blocks */
	uint64_t layer;			/* bytes of that */
	uint32_t runs;			/* of blocks, each with all layers */
	uint64_t tokens;
};

int
pages_ready(const struct dialect_ctx *x, struct err *e)
{
	if (x->o.layout != LAYOUT_NONE)
		return 0;
	return err_set(e, ERR_USAGE, "%s: sizes cannot tell the order of a page: add "
		"layout=g3-nhd, or that of the engine's version, to the URL", x->d->word);
}

static int
pages_of(struct pages *p, const struct dialect_ctx *x, const struct tier *t,
	const struct geom *g, uint64_t tokens, struct err *e)
{
	if (pages_ready(x, e) < 0)
		return -1;
	p->t = t;
	p->tokens = tokens;
	p->runs = t->tail ? (uint32_t)(tokens / t->block) : 1;
	p->side = (struct layout_side){ .layout = x->o.layout, .kv = g->kv, .heads = g->heads,
		.head_dim = g->head_dim, .elem = (uint32_t)dtype_size(g->dtype),
		.block = t->block, .blocks = tokens / t->block / p->runs };
	p->layer = layout_bytes(&p->side) * layout_memories(&p->side);
	return 0;
}

/* All pages of a file to or from a neutral payload. */
static int
convert(const struct pages *p, const struct geom *g, unsigned char *file, unsigned char *payload,
	int reading, struct err *e)
{
	struct layout_side neutral = layout_neutral(g, p->tokens);
	uint64_t run = p->tokens / p->runs, half = layout_bytes(&p->side);
	unsigned char *a[2], *b[2];
	struct layout_plan plan;
	uint32_t r, l;
	int bad;

	for (r = 0; r < p->runs; r++) {
		struct layout_span w = { .tokens = run, .heads = g->heads };

		if (reading) {
			w.token_to = r * run;
			bad = layout_plan(&plan, &neutral, &p->side, &w, e);
		} else {
			w.token_from = r * run;
			bad = layout_plan(&plan, &p->side, &neutral, &w, e);
		}
		if (bad)
			return -1;
		for (l = 0; l < g->layers; l++) {
			a[0] = file + ((uint64_t)r * g->layers + l) * p->layer;
			a[1] = a[0] + half;
			layout_neutral_at(b, g, p->tokens, payload, l);
			layout_copy(&plan, reading ? b : a, reading ? a : b);
		}
		layout_plan_free(&plan);
	}
	return 0;
}

static int
geom_of(const struct dialect_ctx *x, const struct tier *t, const struct key *k, struct geom *g,
	struct err *e)
{
	if (k->group >= t->n_groups)
		return err_set(e, ERR_CORRUPT, "group %u of %u in config.json", k->group,
			t->n_groups);
	if (geom_shard(g, &x->geom, k->tp, k->rank, e) < 0)
		return -1;
	g->layers = g->layers_total = t->layers[k->group];
	g->layer_first = 0;
	if (t->dtype != DT_NONE && dtype_size(g->dtype) != 1)
		g->dtype = t->dtype;
	return 0;
}

/* Tokens that a file of this size holds; 0 if none fit. */
static uint64_t
tokens_of(const struct tier *t, const struct geom *g, uint64_t size)
{
	uint64_t full = (uint64_t)t->block * t->blocks, block = geom_bytes(g, t->block);
	uint64_t bytes = block * t->blocks;

	if (t->tail)
		return block && size % block == 0 && size <= bytes ? size / block * t->block : 0;
	return bytes && size >= bytes && size - bytes < CHUNK_ALIGN ? full : 0;
}

static int
odd_size(const struct tier *t, const struct geom *g, uint64_t size, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "%llu bytes, a block of %u tokens has %llu",
		(unsigned long long)size, t->block, (unsigned long long)geom_bytes(g, t->block));
}

int
pages_size(const struct dialect_ctx *x, const char *name, const struct key *k, uint64_t size,
	struct err *e)
{
	const struct tier *t = tier_find(x, name);
	struct geom g;

	if (!t || geom_of(x, t, k, &g, e) < 0)
		return t ? -1 : 0;
	return tokens_of(t, &g, size) ? 0 : odd_size(t, &g, size, e);
}

int
pages_read(const struct dialect_ctx *x, struct dialect_part *part, struct pool *pool,
	struct chunk *out, struct err *e)
{
	const struct tier *t = tier_find(x, part->name);
	uint64_t size = part->mem.len - part->front, bytes;
	struct chunk_head *h = &out->head;
	struct pages p;

	if (!t)
		return err_set(e, ERR_USAGE, "'%s': its config.json is missing", part->name);
	if (identify(x, part, h, e) < 0 || geom_of(x, t, &h->key, &h->geom, e) < 0)
		return -1;
	h->tokens = tokens_of(t, &h->geom, size);
	h->chunk_tokens = (uint64_t)t->block * t->blocks;
	if (!h->tokens)
		return odd_size(t, &h->geom, size, e);
	if (pages_of(&p, x, t, &h->geom, h->tokens, e) < 0)
		return -1;
	bytes = geom_bytes(&h->geom, h->tokens);
	if (pool_extra(pool, CHUNK_ALIGN + bytes, &out->mem, e) < 0)
		return -1;
	out->mem.len = CHUNK_ALIGN + bytes;
	return convert(&p, &h->geom, part->mem.p + part->front, out->mem.p + CHUNK_ALIGN, 1, e);
}

int
pages_write(const struct dialect_ctx *x, const struct chunk *c, struct pool *pool,
	struct dialect_out *out, struct err *e)
{
	const struct chunk_head *h = &c->head;
	uint64_t bytes = geom_bytes(&h->geom, h->tokens), full;
	struct buf name = { 0 }, config = { 0 };
	struct pages p;
	struct tier t;
	int r = -1;

	if (tier_for(x, h, &t, &config, e) < 0)
		goto done;
	if (h->tokens % t.block || (!t.tail && h->tokens != h->chunk_tokens)) {
		err_set(e, ERR_USAGE, "%s: %llu tokens are no whole file", x->d->word,
			(unsigned long long)h->tokens);
		goto done;
	}
	full = (bytes + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
	full = t.tail ? bytes : full;
	if (pages_of(&p, x, &t, &h->geom, h->tokens, e) < 0
		|| pool_extra(pool, full, &out->mem, e) < 0)
		goto done;
	out->mem.len = full;
	memset(out->mem.p + bytes, 0, full - bytes);
	if (convert(&p, &h->geom, out->mem.p, chunk_payload(c), 0, e) < 0)
		goto done;
	if (config.len) {
		out->small = config;
		config = (struct buf){ 0 };
		buf_printf(&name, "%s/config.json", t.base);
		if (out_add(out, &name, out->small.p, out->small.len, NULL, 0, e) < 0)
			goto done;
		out->obj[0].once = 1;
	}
	if (names_tier_format(&t, h, &name, e) == 0)
		r = out_add(out, &name, NULL, 0, out->mem.p, full, e);
done:
	buf_free(&name);
	buf_free(&config);
	return r;
}
