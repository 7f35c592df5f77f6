#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "geom/layout.h"

static const char *const words[LAYOUT_COUNT] = {
	[LAYOUT_LTD] = "ltd",
	[LAYOUT_G1_NHD] = "g1-nhd", [LAYOUT_G1_HND] = "g1-hnd",
	[LAYOUT_G2_NHD] = "g2-nhd", [LAYOUT_G2_HND] = "g2-hnd",
	[LAYOUT_G3_NHD] = "g3-nhd", [LAYOUT_G3_HND] = "g3-hnd",
	[LAYOUT_ROCM_X] = "rocm-x", [LAYOUT_ROCM_SHUFFLE] = "rocm-shuffle",
	[LAYOUT_HPU] = "hpu",
};

/* Every layout is strides of digits, in elements. Tokens may be split (token/xn, token%xn)
 * and dims too; an x of 1 means no split. */
struct strides {
	unsigned memory;
	uint64_t base, block, head;
	uint64_t xn, n_hi, n;
	uint64_t xd, d_hi, d;
};

enum layout
layout_parse(const char *word)
{
	int l;

	for (l = LAYOUT_NONE + 1; l < LAYOUT_COUNT; l++)
		if (!strcasecmp(words[l], word))
			return l;
	return LAYOUT_NONE;
}

static int
apart(const struct layout_side *s)
{
	return s->kv == 2 && (s->layout == LAYOUT_LTD || s->layout == LAYOUT_HPU);
}

/* Heads outside tokens? */
static int
head_major(enum layout l)
{
	return l == LAYOUT_G1_HND || l == LAYOUT_G2_HND || l == LAYOUT_G3_HND;
}

static void
strides_rocm(struct strides *t, const struct layout_side *s, unsigned c)
{
	uint64_t N = s->block, D = s->head_dim, x = 16 / s->elem;

	t->base = c * s->blocks * N * s->heads * D;
	t->head = N * D;
	if (c == 0) {
		t->xd = x;
		t->d_hi = N * x;
		t->n = x;
	} else if (s->layout == LAYOUT_ROCM_X) {
		t->d = N;
		t->n = 1;
	} else {
		t->xn = x;
		t->n_hi = D * x;
		t->d = x;
		t->n = 1;
	}
}

static struct strides
strides_of(const struct layout_side *s, unsigned c)
{
	uint64_t N = s->block, H = s->heads, D = s->head_dim, half = N * H * D;
	struct strides t = { .xn = 1, .xd = 1, .d = 1, .block = half, .head = D, .n = H * D };

	if (s->kv == 1)
		return t;
	if (apart(s)) {
		t.memory = c;
		return t;
	}
	if (head_major(s->layout)) {
		t.head = N * D;
		t.n = D;
	}
	switch (s->layout) {
	case LAYOUT_G1_NHD:
	case LAYOUT_G1_HND:
		t.base = c * s->blocks * half;
		break;
	case LAYOUT_G2_NHD:
	case LAYOUT_G2_HND:
		t.base = c * half;
		t.block = 2 * half;
		break;
	case LAYOUT_G3_NHD:
	case LAYOUT_G3_HND:
		t.base = c * D;
		t.block = 2 * half;
		t.head *= 2;
		t.n *= 2;
		break;
	default:
		strides_rocm(&t, s, c);
	}
	return t;
}

struct layout_side
layout_neutral(const struct geom *g, uint64_t tokens)
{
	return (struct layout_side){ .layout = LAYOUT_LTD, .kv = g->kv, .heads = g->heads,
		.head_dim = g->head_dim, .elem = (uint32_t)dtype_size(g->dtype),
		.block = (uint32_t)tokens, .blocks = 1 };
}

void
layout_neutral_at(unsigned char *at[2], const struct geom *g, uint64_t tokens, void *p,
	uint32_t l)
{
	uint64_t layer = tokens * geom_row(g);

	at[0] = (unsigned char *)p + l * layer;
	at[1] = g->kv == 2 ? at[0] + g->layers * layer : NULL;
}

unsigned
layout_memories(const struct layout_side *s)
{
	return apart(s) ? 2 : 1;
}

uint64_t
layout_bytes(const struct layout_side *s)
{
	return s->kv / layout_memories(s) * s->blocks * s->block * s->heads * s->head_dim * s->elem;
}

static uint64_t
digit(uint64_t v, uint64_t x, uint64_t hi, uint64_t lo)
{
	return x > 1 ? v / x * hi + v % x * lo : v * lo;
}

uint64_t
layout_offset(const struct layout_side *s, const uint64_t at[4], unsigned *memory)
{
	struct strides t = strides_of(s, (unsigned)at[0]);
	uint64_t b = at[1] / s->block, n = at[1] % s->block;

	*memory = t.memory;
	return t.base + (s->table ? s->table[b] : b) * t.block + at[2] * t.head
		+ digit(n, t.xn, t.n_hi, t.n) + digit(at[3], t.xd, t.d_hi, t.d);
}

static int
side_check(const struct layout_side *s, struct err *e)
{
	uint32_t x = s->elem ? 16 / s->elem : 0;

	if (s->layout <= LAYOUT_NONE || s->layout >= LAYOUT_COUNT)
		return err_set(e, ERR_USAGE, "layout: none given");
	if (!s->elem || s->elem > 8 || !s->head_dim || !s->heads || !s->block || !s->blocks
		|| (s->kv != 1 && s->kv != 2))
		return err_set(e, ERR_USAGE, "layout '%s': geometry incomplete", words[s->layout]);
	if (s->kv == 2 && (s->layout == LAYOUT_ROCM_X || s->layout == LAYOUT_ROCM_SHUFFLE)
		&& (s->head_dim % x || s->block % x))
		return err_set(e, ERR_USAGE, "layout '%s': head_dim %u and block %u must be "
			"multiples of %u", words[s->layout], s->head_dim, s->block, x);
	return 0;
}

static int
span_check(const struct layout_side *to, const struct layout_side *from,
	const struct layout_span *w, struct err *e)
{
	if (side_check(to, e) < 0 || side_check(from, e) < 0)
		return -1;
	if (to->kv != from->kv || to->head_dim != from->head_dim || to->elem != from->elem)
		return err_set(e, ERR_USAGE, "layout: K/V, head_dim or element differ "
			"(%u, %u, %u to %u, %u, %u)", from->kv, from->head_dim, from->elem,
			to->kv, to->head_dim, to->elem);
	if (w->token_from + w->tokens > from->blocks * from->block
		|| w->token_to + w->tokens > to->blocks * to->block)
		return err_set(e, ERR_USAGE, "layout: tokens beyond the blocks");
	if ((uint64_t)w->head_from + w->heads > from->heads
		|| (uint64_t)w->head_to + w->heads > to->heads)
		return err_set(e, ERR_USAGE, "layout: heads beyond those there are");
	return 0;
}

/* Drop dimensions of one piece, grow len over what lies together on both sides, merge
 * dimensions that chain; the rest outermost first by where they go. */
static void
tidy(struct layout_run *r, unsigned n)
{
	unsigned i, j, out = 0;
	uint64_t t;

	for (i = 0; i < n; i++)
		for (j = i; j > 0 && r->d[j - 1] < r->d[j]; j--) {
			t = r->d[j], r->d[j] = r->d[j - 1], r->d[j - 1] = t;
			t = r->s[j], r->s[j] = r->s[j - 1], r->s[j - 1] = t;
			t = r->n[j], r->n[j] = r->n[j - 1], r->n[j - 1] = t;
		}
	for (i = n; i-- > 0;) {
		if (r->n[i] == 1)
			continue;
		if (out == 0 && r->s[i] == r->len && r->d[i] == r->len) {
			r->len *= r->n[i];
			continue;
		}
		j = 2 - out;
		if (out > 0 && r->s[i] == r->s[j + 1] * r->n[j + 1]
			&& r->d[i] == r->d[j + 1] * r->n[j + 1]) {
			r->n[j + 1] *= r->n[i];
			continue;
		}
		t = r->n[i], r->n[j] = t;
		r->s[j] = r->s[i];
		r->d[j] = r->d[i];
		out++;
	}
	for (j = 0; j < 3 - out; j++) {
		r->n[j] = 1;
		r->s[j] = r->d[j] = 0;
	}
}

static int
plan_add(struct layout_plan *p, const struct layout_run *r, struct err *e)
{
	struct layout_run *last = p->n ? &p->runs[p->n - 1] : NULL, *more;

	if (last && last->n[0] == 1 && last->n[1] == 1 && last->n[2] == 1
		&& r->n[0] == 1 && r->n[1] == 1 && r->n[2] == 1
		&& last->memory_from == r->memory_from && last->memory_to == r->memory_to
		&& last->from + last->len == r->from && last->to + last->len == r->to) {
		last->len += r->len;
		return 0;
	}
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 16;
		more = realloc(p->runs, p->cap * sizeof(*more));
		if (!more)
			return err_sys(e, "layout plan");
		p->runs = more;
	}
	p->runs[p->n++] = *r;
	return 0;
}

/* Tokens from token t on that stay in one block, and in one split of it. */
static uint64_t
stretch(const struct layout_side *s, const struct strides *t, uint64_t token)
{
	uint64_t n = token % s->block;
	uint64_t left = s->block - n;

	if (t->xn > 1 && t->xn - n % t->xn < left)
		left = t->xn - n % t->xn;
	return left;
}

static uint64_t
at(const struct layout_side *s, unsigned c, uint64_t token, uint32_t head)
{
	unsigned memory;

	return layout_offset(s, (uint64_t[4]){ c, token, head, 0 }, &memory) * s->elem;
}

/* Runs of one of K and V. */
static int
plan_half(struct layout_plan *p, const struct layout_side *to, const struct layout_side *from,
	const struct layout_span *w, unsigned c, struct err *e)
{
	struct strides a = strides_of(from, c), b = strides_of(to, c);
	uint64_t E = from->elem, x = a.xd > b.xd ? a.xd : b.xd, done = 0, n, m;

	while (done < w->tokens) {
		struct layout_run r = { .len = E, .memory_from = (unsigned char)a.memory,
			.memory_to = (unsigned char)b.memory };

		n = stretch(from, &a, w->token_from + done);
		m = stretch(to, &b, w->token_to + done);
		n = n < m ? n : m;
		n = n < w->tokens - done ? n : w->tokens - done;
		r.from = at(from, c, w->token_from + done, w->head_from);
		r.to = at(to, c, w->token_to + done, w->head_to);
		r.n[0] = w->heads, r.s[0] = a.head * E, r.d[0] = b.head * E;
		r.n[1] = n, r.s[1] = a.n * E, r.d[1] = b.n * E;
		r.n[2] = from->head_dim, r.s[2] = a.d * E, r.d[2] = b.d * E;
		if (x > 1) {	/* only K has it, where x elements lie together in all layouts */
			r.len = x * E;
			r.n[2] = from->head_dim / x;
			r.s[2] = (a.xd > 1 ? a.d_hi : x) * E;
			r.d[2] = (b.xd > 1 ? b.d_hi : x) * E;
		}
		tidy(&r, 3);
		if (plan_add(p, &r, e) < 0)
			return -1;
		done += n;
	}
	return 0;
}

int
layout_plan(struct layout_plan *p, const struct layout_side *to, const struct layout_side *from,
	const struct layout_span *span, struct err *e)
{
	unsigned c;

	*p = (struct layout_plan){ 0 };
	if (span_check(to, from, span, e) < 0)
		return -1;
	for (c = 0; c < from->kv && span->heads; c++)
		if (plan_half(p, to, from, span, c, e) < 0) {
			layout_plan_free(p);
			return -1;
		}
	return 0;
}

void
layout_plan_free(struct layout_plan *p)
{
	free(p->runs);
	*p = (struct layout_plan){ 0 };
}

/* The innermost dimension; len is a constant where it is small, so that the compiler makes
 * loads and stores of the copies. */
static inline void
row(unsigned char *to, const unsigned char *from, const struct layout_run *r, size_t len)
{
	uint64_t k;

	for (k = 0; k < r->n[2]; k++)
		memcpy(to + k * r->d[2], from + k * r->s[2], len);
}

static void
run_copy(const struct layout_run *r, unsigned char *to, const unsigned char *from)
{
	uint64_t i, j;

	for (i = 0; i < r->n[0]; i++)
		for (j = 0; j < r->n[1]; j++) {
			unsigned char *d = to + r->to + i * r->d[0] + j * r->d[1];
			const unsigned char *s = from + r->from + i * r->s[0] + j * r->s[1];

			switch (r->len) {
			case 1: row(d, s, r, 1); break;
			case 2: row(d, s, r, 2); break;
			case 4: row(d, s, r, 4); break;
			case 16: row(d, s, r, 16); break;
			case 64: row(d, s, r, 64); break;
			case 128: row(d, s, r, 128); break;
			case 256: row(d, s, r, 256); break;
			default: row(d, s, r, r->len);
			}
		}
}

void
layout_copy(const struct layout_plan *p, unsigned char *const to[2], unsigned char *const from[2])
{
	const struct layout_run *r;

	for (r = p->runs; r < p->runs + p->n; r++)
		run_copy(r, to[r->memory_to], from[r->memory_from]);
}

/* What two ranges share, counted from either's first. */
static uint32_t
common(uint32_t a, uint32_t na, uint32_t b, uint32_t nb, uint32_t in[2])
{
	uint64_t first = a > b ? a : b;
	uint64_t end_a = (uint64_t)a + na, end_b = (uint64_t)b + nb;
	uint64_t end = end_a < end_b ? end_a : end_b;

	if (first >= end)
		return 0;
	in[0] = (uint32_t)(first - a);
	in[1] = (uint32_t)(first - b);
	return (uint32_t)(end - first);
}

int
layout_reshard(void *to, const struct geom *tg, const void *from, const struct geom *fg,
	uint64_t tokens, struct err *e)
{
	struct layout_side a = layout_neutral(fg, tokens), b = layout_neutral(tg, tokens);
	struct layout_span w = { .tokens = tokens };
	struct layout_plan plan;
	uint32_t heads[2] = { 0 }, layers[2] = { 0 }, n, l;
	unsigned char *s[2], *d[2];

	if (tg->dtype != fg->dtype)
		return err_set(e, ERR_USAGE, "reshard: %s to %s: convert first",
			dtype_word(fg->dtype), dtype_word(tg->dtype));
	n = common(fg->layer_first, fg->layers, tg->layer_first, tg->layers, layers);
	w.heads = common(fg->head_first, fg->heads, tg->head_first, tg->heads, heads);
	w.head_from = heads[0];
	w.head_to = heads[1];
	if (layout_plan(&plan, &b, &a, &w, e) < 0)
		return -1;
	for (l = 0; l < n; l++) {
		layout_neutral_at(s, fg, tokens, (void *)from, layers[0] + l);
		layout_neutral_at(d, tg, tokens, to, layers[1] + l);
		layout_copy(&plan, d, s);
	}
	layout_plan_free(&plan);
	return 0;
}
