#include <stdio.h>
#include <string.h>

#include "dialect/row.h"
#include "dialect/safetensors.h"

/* Chunks of one object a layer: LMCache's layerwise keys, and the folders of vLLM's example
 * connector (shared_storage_connector.py, later example_connector.py), whose one tensor
 * tells its generation by its shape: G1 [2,T,H*D], G2 [T,2,H,D], G3 [T,H,2D], MLA [T,R]. */

struct layer {
	unsigned char *p;	/* the tensor */
	struct layout_side side;
	struct geom g;		/* of this layer alone */
	uint64_t tokens;
};

static int
mixed(const char *name, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "'%s': differs from the other layers in shape", name);
}

int
example_shape(const struct st_tensor *t, uint32_t heads, struct geom *g, enum layout *layout,
	uint64_t *tokens, struct err *e)
{
	const uint64_t *s = t->shape;
	unsigned i;

	for (i = 0; i < t->dims; i++)
		if (s[i] == 0 || s[i] > INT32_MAX)
			return err_set(e, ERR_CORRUPT, "kv_cache: a dimension of %llu",
				(unsigned long long)s[i]);
	*g = (struct geom){ .dtype = t->dtype, .kv = 2, .layers = 1, .heads = 1 };
	*tokens = s[0];
	if (t->dims == 2) {
		*layout = LAYOUT_HPU;
		g->kv = 1;
		g->head_dim = (uint32_t)s[1];
	} else if (t->dims == 3 && s[0] == 2) {
		*layout = LAYOUT_G1_NHD;
		*tokens = s[1];
		g->heads = heads && s[2] % heads == 0 ? heads : 1;
		g->head_dim = (uint32_t)(s[2] / g->heads);
	} else if (t->dims == 3 && s[2] % 2 == 0) {
		*layout = LAYOUT_G3_NHD;
		g->heads = (uint32_t)s[1];
		g->head_dim = (uint32_t)s[2] / 2;
	} else if (t->dims == 4 && s[1] == 2) {
		*layout = LAYOUT_G2_NHD;
		g->heads = (uint32_t)s[2];
		g->head_dim = (uint32_t)s[3];
	} else {
		return err_set(e, ERR_CORRUPT, "kv_cache: %u dimensions of no known generation",
			t->dims);
	}
	return 0;
}

static int
example_layer(const struct dialect_ctx *x, const struct dialect_part *p, struct layer *l,
	struct err *e)
{
	unsigned char *at = p->mem.p + p->front;
	size_t n = p->mem.len - p->front;
	const struct st_tensor *t;
	struct safetensors s;
	int r = -1;

	if (safetensors_parse(&s, at, n, n, e) < 0)
		goto done;
	t = safetensors_find(&s, "kv_cache");
	if (!t || s.n != 1 || t->dtype == DT_NONE) {
		err_set(e, ERR_CORRUPT, "'%s': not one tensor kv_cache", p->name);
		goto done;
	}
	l->p = at + s.data;
	r = example_shape(t, x->o.geom ? x->geom.heads_total : 0, &l->g, &l->side.layout,
		&l->tokens, e);
done:
	safetensors_free(&s);
	return r;
}

/* LMCache's [T,2,H] is G2 with blocks of one token, [2,T,H] is G1. */
static int
engine_layer(const struct dialect_ctx *x, const struct dialect_part *p, struct layer *l,
	struct err *e)
{
	unsigned char *at = p->mem.p + p->front;
	uint64_t n = p->mem.len - p->front, row;
	struct key k;
	struct meta m;

	dialect_key(x, p->name, &p->n, &k);
	if (n >= META_SIZE && get_le32(at) == n - META_SIZE) {
		if (meta_read(&m, at, e) < 0 || meta_geom(x, &k, &m, &l->g, &l->tokens, e) < 0)
			return -1;
		l->p = at + META_SIZE;
		l->side.layout = m.fmt == META_T2D ? LAYOUT_G2_NHD : m.fmt == META_2TD
			? LAYOUT_G1_NHD : LAYOUT_HPU;
		return l->g.layers == 1 ? 0 : mixed(p->name, e);
	}
	if (!x->o.geom)
		return err_set(e, ERR_USAGE, "'%s': has no header: add --geometry, or "
			"geometry= to the URL", p->name);
	if (geom_shard(&l->g, &x->geom, k.tp, k.rank, e) < 0)
		return -1;
	l->g.layers = 1;
	l->g.dtype = dtype_parse(k.dtype);
	row = geom_bytes(&l->g, 1);
	if (!row || n == 0 || n % row)
		return err_set(e, ERR_CORRUPT, "'%s': %llu bytes, a token has %llu", p->name,
			(unsigned long long)n, (unsigned long long)row);
	l->p = at;
	l->tokens = n / row;
	l->side.layout = l->g.kv == 1 ? LAYOUT_HPU : LAYOUT_G2_NHD;
	return 0;
}

static int
layer_of(const struct dialect_ctx *x, const struct dialect_part *p, struct layer *l,
	struct err *e)
{
	uint32_t block;

	memset(l, 0, sizeof(*l));
	if ((p->n.d->body == BODY_EXAMPLE ? example_layer(x, p, l, e) : engine_layer(x, p, l, e)))
		return -1;
	if (l->tokens > UINT32_MAX)
		return mixed(p->name, e);
	block = l->side.layout == LAYOUT_G2_NHD ? 1 : (uint32_t)l->tokens;
	l->side.kv = l->g.kv;
	l->side.heads = l->g.heads;
	l->side.head_dim = l->g.head_dim;
	l->side.elem = (uint32_t)dtype_size(l->g.dtype);
	l->side.block = block;
	l->side.blocks = l->tokens / block;
	return 0;
}

/* Put a layer to its place; the first makes the room. */
static int
layer_put(const struct layer *l, uint32_t i, struct chunk *out, struct err *e)
{
	struct layout_side neutral = layout_neutral(&out->head.geom, out->head.tokens);
	struct layout_span w = { .tokens = out->head.tokens, .heads = l->g.heads };
	unsigned char *from[2] = { l->p, NULL }, *to[2];
	struct layout_plan plan;

	layout_neutral_at(to, &out->head.geom, out->head.tokens, out->mem.p + CHUNK_ALIGN, i);
	if (layout_memories(&l->side) == 2)
		from[1] = l->p + layout_bytes(&l->side);
	if (layout_plan(&plan, &neutral, &l->side, &w, e) < 0)
		return -1;
	layout_copy(&plan, to, from);
	layout_plan_free(&plan);
	return 0;
}

static int
first_layer(const struct dialect_ctx *x, const struct dialect_part *p, const struct layer *l,
	uint32_t layers, struct pool *pool, struct chunk *out, struct err *e)
{
	struct chunk_head *h = &out->head;
	uint64_t bytes;

	if (identify(x, p, h, e) < 0)
		return -1;
	h->geom = l->g;
	h->geom.layers = h->geom.layers_total = layers;
	if (!h->geom.heads_total)
		h->geom.heads_total = h->geom.heads;
	h->tokens = l->tokens;
	h->chunk_tokens = x->o.chunk_tokens ? x->o.chunk_tokens : 256;
	if (h->tokens > h->chunk_tokens)
		h->chunk_tokens = h->tokens;
	bytes = geom_bytes(&h->geom, h->tokens);
	if (geom_check(&h->geom, e) < 0)
		return -1;
	if (!bytes || bytes > CHUNK_PAYLOAD_MAX)
		return err_set(e, ERR_CORRUPT, "'%s': too large", p->name);
	snprintf(h->key.dtype, sizeof(h->key.dtype), "%s", dtype_word(h->geom.dtype));
	if (pool_extra(pool, CHUNK_ALIGN + bytes, &out->mem, e) < 0)
		return -1;
	out->mem.len = CHUNK_ALIGN + bytes;
	return 0;
}

int
layers_read(const struct dialect_ctx *x, struct dialect_part *parts, size_t n,
	struct pool *pool, struct chunk *out, struct err *e)
{
	uint32_t layers = 0, next = 0;
	struct layer l;
	size_t i;
	int r;

	for (i = 0; i < n; i++)
		layers += parts[i].n.what == DIALECT_CHUNK;
	while (next < layers) {
		for (i = 0; i < n; i++)
			if (parts[i].n.what == DIALECT_CHUNK && parts[i].n.layer == (int32_t)next)
				break;
		if (i == n)
			return err_set(e, ERR_CORRUPT, "layer %u is missing: %u objects, '%s'",
				next, layers, parts[0].name);
		if (layer_of(x, &parts[i], &l, e) < 0)
			return -1;
		r = next ? 0 : first_layer(x, &parts[i], &l, layers, pool, out, e);
		if (r < 0)
			return -1;
		if (l.tokens != out->head.tokens || l.g.heads != out->head.geom.heads
			|| l.g.head_dim != out->head.geom.head_dim || l.g.kv != out->head.geom.kv
			|| l.g.dtype != out->head.geom.dtype)
			return mixed(parts[i].name, e);
		if (layer_put(&l, next++, out, e) < 0)
			return -1;
	}
	if (x->o.geom && layers != x->geom.layers_total)
		return err_set(e, ERR_CORRUPT, "%u of %u layers are there: '%s'", layers,
			x->geom.layers_total, parts[0].name);
	return 0;
}
