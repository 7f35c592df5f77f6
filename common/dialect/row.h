#ifndef DIALECT_ROW_H
#define DIALECT_ROW_H

#include "dialect/dialect.h"

/* Inside the room only: what a row says, and the parts that the rows are put together of. */

enum names {
	NAMES_NATIVE,
	NAMES_ENGINE,		/* LMCache CacheEngineKey: model@world@worker@hash@dtype */
	NAMES_ENGINE_GDS,	/* the same percent-encoded, in directories of hash digits */
	NAMES_OBJECT,		/* LMCache ObjectKey, generation 3: model@rank@group@hash[@salt] */
	NAMES_OBJECT2,		/* generations 1 and 2: model@rank@hash[@salt] */
	NAMES_TIER,		/* vLLM FS tier: MODEL_12HEX_rR/HHH/HH_gG/HASH.bin */
	NAMES_EXAMPLE,		/* vLLM example connector: MD5/LAYER.safetensors */
};

enum body {
	BODY_NATIVE,
	BODY_RAW,		/* the neutral tensor, nothing else */
	BODY_META,		/* 28 bytes of RemoteMetadata, then the tensor */
	BODY_SPLIT,		/* the tensor; RemoteMetadata in a twin */
	BODY_GDS,		/* 4096 bytes of safetensors header, then the tensor */
	BODY_PAGES,		/* engine pages, layer after layer */
	BODY_TAIL,		/* engine pages, block after block, first ones may be missing */
	BODY_EXAMPLE,		/* safetensors with one tensor kv_cache: one layer */
};

struct dialect {
	const char *word, *family;
	const char *schemes;	/* where it is the family's usual form, blank-separated */
	enum names names;
	const char *slash;	/* what '/' in a model becomes */
	const char *suffix;
	enum body body;
	unsigned flags;
	const char *about;
};

/* vLLM's config.json, and the directory it stands in. */
struct tier {
	char base[300];		/* MODEL_12HEX */
	char model[256];
	enum dtype dtype;
	uint32_t tp;
	uint32_t block, blocks;		/* tokens a block, blocks a file */
	int tail;			/* llm-d's */
	uint32_t n_groups;
	uint32_t layers[16];		/* of each group */
};

struct dialect_ctx {
	const struct dialect *d;
	struct dialect_opts o;	/* its pointers point into the following */
	struct geom geom;
	char model[256], algo[64];
	struct tier *tiers;
	size_t n_tiers;
};

/* LMCache's and vLLM's names. parse: n->d is set, n zeroed otherwise; 0 if it is one.
 * format: appended. */
int names_engine_parse(const struct dialect *d, const char *name, struct dialect_name *n);
int names_engine_format(const struct dialect *d, const struct chunk_head *h, struct buf *out,
	struct err *e);
int names_object_parse(const struct dialect *d, const char *name, struct dialect_name *n);
int names_object_format(const struct dialect *d, const struct chunk_head *h, struct buf *out,
	struct err *e);
int names_tier_parse(const struct dialect *d, const char *name, struct dialect_name *n);
int names_tier_format(const struct tier *t, const struct chunk_head *h, struct buf *out,
	struct err *e);
int names_example_parse(const struct dialect *d, const char *name, struct dialect_name *n);

/* Model's spelling in names of a row, into out. 0; -1 if it does not fit. */
int names_model(const struct dialect *d, const char *model, char out[256]);

/* LMCache RemoteMetadata (lmcache/v1/protocol.py), 28 bytes. */
#define META_SIZE 28
enum { META_2LTD = 1, META_T2D, META_2TD, META_BINARY, META_BINARY_BUFFER, META_MLA };
struct meta {
	uint64_t length;
	uint32_t fmt;
	enum dtype dtype;
	uint32_t shape[4];
};
int meta_read(struct meta *m, const void *p28, struct err *e);
int meta_write(void *p28, const struct meta *m, struct err *e);
int meta_of(struct meta *m, const struct chunk_head *h, struct err *e);
/* The block of a GDS file: 4096 bytes. */
int gds_read(struct meta *m, const void *p4096, struct err *e);
int gds_write(void *p4096, const struct meta *m, struct err *e);

/* What a body of this shape holds, for rank of tp, checked against x's geometry. */
int meta_geom(const struct dialect_ctx *x, const struct key *k, const struct meta *m,
	struct geom *g, uint64_t *tokens, struct err *e);

/* vLLM FS tier. */
const struct tier *tier_find(const struct dialect_ctx *x, const char *name);
int tier_learn(struct dialect_ctx *x, const char *name, const void *p, size_t n, struct err *e);
/* For writing: the one learned that h fits, or a new one; config then gets its config.json. */
int tier_for(const struct dialect_ctx *x, const struct chunk_head *h, struct tier *t,
	struct buf *config, struct err *e);

int pages_ready(const struct dialect_ctx *x, struct err *e);	/* layout= given? */
int pages_size(const struct dialect_ctx *x, const char *name, const struct key *k, uint64_t size,
	struct err *e);
int pages_read(const struct dialect_ctx *x, struct dialect_part *p, struct pool *pool,
	struct chunk *out, struct err *e);
int pages_write(const struct dialect_ctx *x, const struct chunk *c, struct pool *pool,
	struct dialect_out *out, struct err *e);
/* What a tensor of the example connector is; heads: of its width in generation 1, 0 not known. */
struct st_tensor;
int example_shape(const struct st_tensor *t, uint32_t heads, struct geom *g, enum layout *layout,
	uint64_t *tokens, struct err *e);
/* One layer a part: LMCache's layerwise objects, the example connector's files. */
int layers_read(const struct dialect_ctx *x, struct dialect_part *parts, size_t n,
	struct pool *pool, struct chunk *out, struct err *e);

/* Add an object of these pieces. The name is taken from name. */
int out_add(struct dialect_out *out, struct buf *name, const void *head, size_t n_head,
	const void *body, size_t n_body, struct err *e);

/* Identity of a chunk read: key, algo, tokens. */
int identify(const struct dialect_ctx *x, const struct dialect_part *p, struct chunk_head *h,
	struct err *e);

#endif
