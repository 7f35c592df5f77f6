#ifndef GEOM_LAYOUT_H
#define GEOM_LAYOUT_H

#include "base/err.h"
#include "geom/geom.h"

/*
 * How engines order the KV of one layer in memory, and copying between any two orders.
 * Symbols: B blocks of N tokens, H heads of this rank, D elements of a head, c 0 for K and
 * 1 for V, x = 16 bytes / element. Facts: vLLM vllm/v1/attention/backends/ at 51878e5b6e^
 * (G1, G2) and after (G3), csrc/rocm/attention.cu (ROCm), vllm-gaudi
 * vllm_gaudi/attention/ops/hpu_paged_attn.py (HPU).
 */
enum layout {
	LAYOUT_NONE,
	LAYOUT_LTD,		/* ours: K and V apart, (T,H,D) each; T is one block */
	LAYOUT_G1_NHD,		/* (2,B,N,H,D) */
	LAYOUT_G1_HND,		/* (2,B,H,N,D) */
	LAYOUT_G2_NHD,		/* (B,2,N,H,D) */
	LAYOUT_G2_HND,		/* (B,2,H,N,D) */
	LAYOUT_G3_NHD,		/* (B,N,H,2D): K then V of the same token and head */
	LAYOUT_G3_HND,		/* (B,H,N,2D) */
	LAYOUT_ROCM_X,		/* K (B,H,D/x,N,x), then V (B,H,D,N) */
	LAYOUT_ROCM_SHUFFLE,	/* K the same, V (B,H,N/x,D,x) */
	LAYOUT_HPU,		/* K and V apart, (B,N,H,D) each */
	LAYOUT_COUNT
};

/* By word: "g3-nhd", "rocm-x", "ltd"; LAYOUT_NONE if it is none. */
enum layout layout_parse(const char *word);

/* One layer's memory. MLA (kv 1, heads 1) is (B,N,D) in every layout. */
struct layout_side {
	enum layout layout;
	uint32_t kv;		/* 2 or 1 */
	uint32_t heads;		/* that the memory holds */
	uint32_t head_dim;
	uint32_t elem;		/* bytes an element */
	uint32_t block;		/* tokens a block */
	uint64_t blocks;
	const uint32_t *table;	/* place of the i-th block; NULL: they lie in order */
};

/* A layer of a chunk in the neutral layout. */
struct layout_side layout_neutral(const struct geom *g, uint64_t tokens);
/* Where K (and V) of its layer l lie in the payload p. */
void layout_neutral_at(unsigned char *at[2], const struct geom *g, uint64_t tokens, void *p,
	uint32_t l);

/* How many memories a layer has (K and V apart: 2), and the bytes of each. */
unsigned layout_memories(const struct layout_side *s);
uint64_t layout_bytes(const struct layout_side *s);

/* Element offset of (c, token, head, dim) in its memory, *memory 0 or 1: the definition. */
uint64_t layout_offset(const struct layout_side *s, const uint64_t at[4], unsigned *memory);

/* n[0] x n[1] x n[2] pieces of len bytes; piece (i,j,k) goes from from + i*s[0] + j*s[1] +
 * k*s[2] to to + i*d[0] + j*d[1] + k*d[2]. All in bytes. */
struct layout_run {
	uint64_t from, to, len;
	uint64_t n[3], s[3], d[3];
	unsigned char memory_from, memory_to;
};

/* What of a layer to copy: tokens and heads, counted on either side. */
struct layout_span {
	uint64_t token_from, token_to, tokens;
	uint32_t head_from, head_to, heads;
};

struct layout_plan {
	struct layout_run *runs;
	size_t n, cap;
};

/* Runs that copy the span; good for every layer of this form. ERR_USAGE: the two sides do
 * not fit (element size, head_dim, K/V, a span beyond a side, a form that needs blocks or
 * heads that divide by x). */
int layout_plan(struct layout_plan *p, const struct layout_side *to,
	const struct layout_side *from, const struct layout_span *span, struct err *e);
void layout_plan_free(struct layout_plan *p);	/* safe on zero */

/* Do it, for one layer's memories. They must not overlap. */
void layout_copy(const struct layout_plan *p, unsigned char *const to[2],
	unsigned char *const from[2]);

/* Copy what two chunks' payloads have in common: layers and heads, of the same tokens. dtype,
 * kv and head_dim must be equal (ERR_USAGE). Nothing in common is no error. */
int layout_reshard(void *to, const struct geom *to_geom, const void *from,
	const struct geom *from_geom, uint64_t tokens, struct err *e);

#endif
