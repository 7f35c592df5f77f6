#ifndef GEOM_GEOM_H
#define GEOM_GEOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What the elements of a chunk are: [kv][layers][tokens][heads][head_dim], C order,
 * little-endian. kv is 2 (K, then V) or 1 (MLA: one latent, heads 1). */

enum dtype {
	DT_NONE, DT_BF16, DT_F16, DT_F32, DT_F64, DT_U8, DT_I8,
	DT_F8_E4M3FN, DT_F8_E4M3FNUZ, DT_F8_E5M2, DT_F8_E5M2FNUZ, DT_COUNT
};

const char *dtype_word(enum dtype d);		/* "bf16", "f8_e4m3fn": ours */
const char *dtype_safetensors(enum dtype d);	/* "BF16", "F8_E4M3", ... U8 for FNUZ */
size_t dtype_size(enum dtype d);
/* Our words and those of PyTorch, vLLM, LMCache and safetensors; DT_NONE if none. "fp8" is
 * ambiguous and so none. */
enum dtype dtype_parse(const char *word);

struct geom {
	enum dtype dtype;
	uint32_t kv;		/* 2, or 1 for MLA */
	uint32_t layers;	/* in this chunk ... */
	uint32_t layer_first;
	uint32_t layers_total;	/* ... of the model's */
	uint32_t heads;
	uint32_t head_first;
	uint32_t heads_total;
	uint32_t head_dim;
};

int geom_check(const struct geom *g, struct err *e);	/* ERR_CORRUPT with the reason */
/* Bytes of t tokens, 0 if that overflows 2^62. */
uint64_t geom_bytes(const struct geom *g, uint64_t t);
/* Bytes of one token in one layer-half: heads * head_dim * element. */
uint64_t geom_row(const struct geom *g);
/* Same elements for the same token? (dtype, kv, layers, heads, head_dim and their places) */
int geom_same(const struct geom *a, const struct geom *b);

/* The part of a whole model that rank of tp holds. ERR_USAGE if heads cannot be split so
 * ("8 KV heads cannot be split over 6 ranks"). MLA and tp > heads: replicated. */
int geom_shard(struct geom *out, const struct geom *whole, uint32_t tp, uint32_t rank,
	struct err *e);

/* --geometry: a preset ("llama-3.1-8b"), a Hugging Face config.json, or "layers=32,heads=8,
 * head_dim=128,dtype=bf16[,kv=1]". model (may be NULL) gets the model's name if it is told. */
int geom_read(struct geom *out, char model[256], const char *spec, struct err *e);
/* The same from the text of a Hugging Face config.json; name is for messages. */
int geom_config(struct geom *out, char model[256], const void *json, size_t n, const char *name,
	struct err *e);
/* i-th preset's name, or NULL: for help, completion and kvstat plan. */
const char *geom_preset_name(size_t i);

#endif
