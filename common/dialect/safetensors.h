#ifndef DIALECT_SAFETENSORS_H
#define DIALECT_SAFETENSORS_H

#include "base/buf.h"
#include "base/err.h"
#include "geom/geom.h"

/*
 * The safetensors format (huggingface/safetensors, README "Format" and src/tensor.rs @24b0b28):
 * u64 LE length N, N bytes of JSON, data. All rules of its validator are checked: tensors
 * cover the data without holes or overlap, sizes are dtype x shape, N <= 100 000 000, no
 * name twice, UTF-8, and the data ends where the file ends.
 */
#define SAFETENSORS_HEADER_MAX 100000000u
#define SAFETENSORS_DIMS 8

struct st_tensor {
	char *name;
	unsigned type;		/* in the format's order, from 0 BOOL on */
	enum dtype dtype;	/* DT_NONE where we have no such element */
	unsigned dims;
	uint64_t shape[SAFETENSORS_DIMS];
	uint64_t begin, end;	/* bytes from the start of the data */
};

struct safetensors {
	struct st_tensor *t;	/* sorted by name */
	size_t n;
	struct st_meta { char *name, *value; } *meta;	/* __metadata__, in file order */
	size_t n_meta;
	uint64_t data;		/* offset of the data in the file */
};

/* Parse the header from the file's first n bytes; size is the file's. n must hold the whole
 * header (8 + N). ERR_CORRUPT with the reason. Free s in any case. */
int safetensors_parse(struct safetensors *s, const void *p, size_t n, uint64_t size,
	struct err *e);
void safetensors_free(struct safetensors *s);	/* safe on zero */

const struct st_tensor *safetensors_find(const struct safetensors *s, const char *name);

/* For writing: add a tensor (its offsets come from safetensors_header()) or a metadata pair. */
int safetensors_add(struct safetensors *s, const char *name, enum dtype dtype,
	const uint64_t *shape, unsigned dims, struct err *e);
int safetensors_add_meta(struct safetensors *s, const char *name, const char *value,
	struct err *e);

/* Set offsets and append length and header to out as the reference writer does: tensors by
 * dtype (widest and newest first), then name; the header padded with spaces to 8 bytes. */
int safetensors_header(struct safetensors *s, struct buf *out, struct err *e);

#endif
