#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunk/coding.h"
#include "base/num.h"
#include "flow/convert.h"
#include "geom/layout.h"

/* ---- element types ---- */

struct dtype_step {
	struct flow_step base;	/* first */
	enum dtype to;
	float scale;
	struct convert_loss *loss;
};

/* Scales of a chunk: one for all layers of K, one for V; 1 if it has none. */
static int
scale_of(const struct chunk_head *h, const char *name, float *out, struct err *e)
{
	const char *text = chunk_meta_get(h, name);
	double v = 1;

	if (text && num_double(&v, text, 1e-30, 1e30, name, e) < 0)
		return -1;
	*out = (float)v;
	return 0;
}

static int
set_scales(struct chunk_head *h, enum dtype to, const float *scales, struct err *e)
{
	static const char *const names[] = { "k_scale", "v_scale" };
	char text[32];
	int i;

	for (i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "%.9g", (double)scales[i]);
		if (chunk_meta_set(h, names[i], dtype_size(to) == 1 && scales[i] != 1 ? text : NULL,
			e) < 0)
			return -1;
	}
	return 0;
}

static void
add_loss(struct convert_loss *to, const struct float_loss *l)
{
	if (!to)
		return;
	pthread_mutex_lock(&to->lock);
	to->sum.clipped += l->clipped;
	to->sum.flushed += l->flushed;
	to->sum.nans += l->nans;
	if (l->max_error > to->sum.max_error)
		to->sum.max_error = l->max_error;
	pthread_mutex_unlock(&to->lock);
}

/* Payload of another type into a block of its own. */
static int
convert_payload(const struct dtype_step *s, const struct chunk *c, const float scales[2][2],
	struct block *mem, struct pool *pool, struct err *e)
{
	const struct geom *g = &c->head.geom;
	size_t from = dtype_size(g->dtype), to = dtype_size(s->to), n = c->head.payload / from;
	struct float_loss loss = { 0 };
	uint32_t k;

	if (pool_extra(pool, CHUNK_ALIGN + n * to, mem, e) < 0)
		return -1;
	mem->len = CHUNK_ALIGN + n * to;
	n /= g->kv;
	for (k = 0; k < g->kv; k++)
		float_convert(mem->p + CHUNK_ALIGN + k * n * to,
			(struct float_form){ s->to, scales[1][k] }, chunk_payload(c) + k * n * from,
			(struct float_form){ g->dtype, scales[0][k] }, n, &loss);
	add_loss(s->loss, &loss);
	return 0;
}

static int
dtype_run(void *ctx, struct pool *pool, struct flow_item *it, struct err *e)
{
	const struct dtype_step *s = ctx;
	struct chunk *c = &it->chunk;
	struct chunk_head *h = &c->head;
	float scales[2][2];
	struct block mem = { 0 };
	float factor = s->scale < 0 ? float_rescale(h->geom.dtype, s->to) : 1;
	int k;

	if (h->geom.dtype == s->to && s->scale <= 0)
		return 0;
	if (factor == 0)
		return err_set(e, ERR_USAGE, "--to-scale codes: only between FNUZ types and their "
			"twins, not %s and %s", dtype_word(h->geom.dtype), dtype_word(s->to));
	if (!float_known(h->geom.dtype))
		return err_set(e, ERR_USAGE, "--to-dtype: %s is no number format we convert",
			dtype_word(h->geom.dtype));
	if (chunk_plain(c, pool, e) < 0 || scale_of(h, "k_scale", &scales[0][0], e) < 0 ||
	    scale_of(h, "v_scale", &scales[0][1], e) < 0)
		return -1;
	for (k = 0; k < 2; k++)
		scales[1][k] = s->scale > 0 ? s->scale : scales[0][k] * factor;
	if (convert_payload(s, c, (const float (*)[2])scales, &mem, pool, e) < 0)
		return -1;
	pool_put(pool, &c->mem);
	c->mem = mem;
	h->geom.dtype = s->to;
	h->region = 0;
	return set_scales(h, s->to, scales[1], e) < 0 ? -1 : chunk_seal(c, pool, e);
}

static void
plain_free(struct flow_step *s)
{
	free(s);
}

int
step_dtype(struct flow_step **out, enum dtype to, float scale, struct convert_loss *loss,
	struct err *e)
{
	struct dtype_step *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return err_set(e, ERR_FAILED, "out of memory");
	if (!float_known(to)) {
		free(s);
		return err_set(e, ERR_USAGE, "--to-dtype: bf16, f16, f32, f8_e4m3fn, "
			"f8_e4m3fnuz, f8_e5m2 or f8_e5m2fnuz");
	}
	*s = (struct dtype_step){ { dtype_run, s, plain_free, NULL }, to, scale, loss };
	*out = &s->base;
	return 0;
}

/* ---- names ---- */

struct rename_step {
	struct flow_step base;	/* first */
	struct rename r;
	char algo[KEY_ALGO_TEXT];
	size_t n;		/* chunks, the tail's too */
	struct key_hash *from, *to;
};

/* Names of whole chunks and of a shorter last one. */
static struct key_hash *
names_of(const struct key_algo *a, const struct rename *r, size_t n, struct err *e)
{
	struct key_chain chain = { .algo = *a, .chunk_tokens = r->chunk_tokens };
	struct key_hash *h = calloc(n + 1, sizeof(*h));
	size_t whole = r->n / r->chunk_tokens;

	if (!h) {
		err_set(e, ERR_FAILED, "out of memory");
		return NULL;
	}
	if (whole && key_chain(h, &chain, r->tokens, whole * r->chunk_tokens, e) < 0)
		goto free_h;
	if (whole)
		chain.parent = h[whole - 1];
	chain.chunk_tokens = (uint32_t)(r->n % r->chunk_tokens);
	if (n > whole && key_chain(h + whole, &chain, r->tokens + whole * r->chunk_tokens,
		chain.chunk_tokens, e) < 0)
		goto free_h;
	return h;
free_h:
	free(h);
	return NULL;
}

static size_t
place_of(const struct rename_step *s, const struct chunk_head *h)
{
	size_t i;

	if (h->first_token != CHUNK_UNKNOWN)
		return h->first_token % s->r.chunk_tokens ? s->n :
			h->first_token / s->r.chunk_tokens;
	for (i = 0; i < s->n; i++)
		if (!key_hash_cmp(&s->from[i], &h->key.hash))
			break;
	return i;
}

static int
rename_run(void *ctx, struct pool *pool, struct flow_item *it, struct err *e)
{
	const struct rename_step *s = ctx;
	struct chunk_head *h = &it->chunk.head;
	size_t i = place_of(s, h);
	uint64_t first = (uint64_t)i * s->r.chunk_tokens, n;
	char hash[KEY_SHORT];

	n = i < s->n ? s->r.n - first : 0;
	n = n < s->r.chunk_tokens ? n : s->r.chunk_tokens;
	if (n == 0 || n != h->tokens)
		return err_set(e, ERR_USAGE, "chunk %s is not one of the %zu chunks of %u tokens "
			"that --tokens makes with --algo",
			key_hash_short(hash, &h->key.hash), s->n, s->r.chunk_tokens);
	if (h->first_token != CHUNK_UNKNOWN && key_hash_cmp(&s->from[i], &h->key.hash))
		return err_set(e, ERR_USAGE, "chunk %s is of another prompt than --tokens, or "
			"not named by --algo", key_hash_short(hash, &h->key.hash));
	h->key.hash = s->to[i];
	memset(&h->parent, 0, sizeof(h->parent));
	if (i)
		h->parent = s->to[i - 1];
	h->first_token = first;
	h->chunk_tokens = s->r.chunk_tokens;
	strcpy(h->algo, s->algo);
	return chunk_reseal(&it->chunk, pool, e);
}

static void
rename_free(struct flow_step *base)
{
	struct rename_step *s = (struct rename_step *)base;

	free(s->from);
	free(s->to);
	free(s);
}

int
step_rename(struct flow_step **out, const struct rename *r, struct err *e)
{
	struct rename_step *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return err_set(e, ERR_FAILED, "out of memory");
	s->base = (struct flow_step){ rename_run, s, rename_free, NULL };
	s->r = *r;
	s->n = (r->n + r->chunk_tokens - 1) / r->chunk_tokens;
	key_algo_text(s->algo, &r->to);
	s->from = names_of(&r->from, r, s->n, e);
	s->to = s->from ? names_of(&r->to, r, s->n, e) : NULL;
	if (!s->to) {
		rename_free(&s->base);
		return -1;
	}
	*out = &s->base;
	return 0;
}
