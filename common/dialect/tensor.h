#ifndef DIALECT_TENSOR_H
#define DIALECT_TENSOR_H

#include "base/pool.h"
#include "chunk/chunk.h"
#include "geom/layout.h"
#include "key/algo.h"

/*
 * KV in tensor files of other programs, cut into chunks and put together again:
 * FILE.safetensors	tensors "...layers.N....k" and ".v" (also key, value, k_cache,
 *			v_cache), [tokens, heads, head_dim] or [tokens, width]; or one
 *			tensor "kvcache" [kv, layers, tokens, heads, head_dim], or
 *			[kv, layers, tokens, width]
 * FILE.npy		the same shape as kvcache
 * DIRECTORY		of LAYER.safetensors with one tensor kv_cache each: a prompt of vLLM's
 *			example connector, any generation
 */
struct tensor_opts {
	const struct geom *geom;	/* of the whole model; NULL: as the shapes tell */
	const char *model;		/* NULL: the file's metadata "model" */
	const char *salt;		/* NULL: none */
	uint32_t tp, rank;		/* whose heads these are; 0, 0: all heads */
	const struct key_algo *algo;	/* NULL: blake3 */
	const uint32_t *tokens;		/* NULL: chunks are named by their content (opaque) */
	size_t n_tokens;
	uint32_t chunk_tokens;		/* 0: 256 */
	int tail;			/* keep a last chunk that is shorter */
	/* export only */
	enum layout layout;		/* generation of example folders: g1-nhd, g2-nhd, g3-nhd */
	uint32_t block;			/* tokens a block there; 0: 16 */
};

/* Does a path look like one of these? (suffix; for a directory, what lies in it) */
int tensor_path(const char *path);

struct tensor_in;
/* Copies what it needs of o but for tokens. ERR_ABSENT: no such file. */
int tensor_in_open(struct tensor_in **out, const char *path, const struct tensor_opts *o,
	struct err *e);
void tensor_in_close(struct tensor_in *t);		/* safe on NULL */
size_t tensor_in_count(const struct tensor_in *t);	/* chunks */
uint64_t tensor_in_bytes(const struct tensor_in *t);	/* of their payloads */
uint64_t tensor_in_dropped(const struct tensor_in *t);	/* tokens of a tail that is left out */

/* The i-th chunk, sealed. Any thread. */
int tensor_in_chunk(struct tensor_in *t, size_t i, struct pool *pool, uint64_t ticket,
	struct chunk *c, struct err *e);

struct tensor_out;
/* To FILE.safetensors, FILE.npy, or below DIRECTORY (example folders, which need o->tokens
 * and o->layout). Nothing is visible before tensor_out_close(). */
int tensor_out_open(struct tensor_out **out, const char *path, const struct tensor_opts *o,
	struct err *e);
/* The next chunk of the one chain, plain (no codec). ERR_USAGE: another chain, another rank. */
int tensor_out_put(struct tensor_out *t, const struct chunk *c, struct err *e);
/* keep: finish the file; otherwise leave nothing. Frees t in any case. */
int tensor_out_close(struct tensor_out *t, int keep, struct err *e);

#endif
