#ifndef DIALECT_TENSOR_MAP_H
#define DIALECT_TENSOR_MAP_H

#include "dialect/tensor.h"

/* Inside the room: where in which file each layer of a prompt's KV lies. */

#define TENSOR_LAYERS 4096

struct source {
	int fd;
	uint64_t at[2];		/* K and V as two runs of tokens, or one run of pairs */
	int seen;		/* bit 0: K or pairs, bit 1: V; 3: all */
};

struct tensor_map {
	struct source layer[TENSOR_LAYERS];
	int *fds;
	size_t n_fds;
	struct geom geom;	/* as the shapes tell: heads_total, layers_total are 0 */
	enum layout layout;	/* LTD: K and V apart; G2, G3: pairs a token */
	uint64_t tokens;
	char model[256];	/* from the file's metadata; "" */
};

/* Zeroed before; closed in any case. All layers are there. */
int tensor_map_open(struct tensor_map *t, const char *path, const struct tensor_opts *o,
	struct err *e);
void tensor_map_close(struct tensor_map *t);

#endif
