#ifndef DIALECT_NPY_H
#define DIALECT_NPY_H

#include "base/buf.h"
#include "base/err.h"
#include "geom/geom.h"

/* NumPy's .npy, versions 1 to 3 (numpy/lib/format.py): magic, version, length, a Python
 * dict literal with descr, fortran_order and shape, data. C order and little-endian only. */
#define NPY_DIMS 8
#define NPY_HEADER_MAX (1u << 20)

struct npy {
	enum dtype dtype;	/* DT_NONE: 2 bytes of unsaid meaning (u2, V2), see size */
	unsigned size;		/* bytes an element */
	unsigned dims;
	uint64_t shape[NPY_DIMS];
	uint64_t data;		/* offset of the data */
};

/* From the file's first n bytes (all of its header, or the first NPY_HEADER_MAX of them), of
 * size bytes in all. ERR_CORRUPT; ERR_USAGE for Fortran order and big-endian. */
int npy_parse(struct npy *a, const void *p, size_t n, uint64_t size, struct err *e);

/* Header for an array, appended; bf16 is written as u2, fp8 as u1. */
int npy_header(struct buf *out, enum dtype dtype, const uint64_t *shape, unsigned dims,
	struct err *e);

#endif
