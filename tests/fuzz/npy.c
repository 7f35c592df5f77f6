#include <stdlib.h>

#include "dialect/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf b = { 0 };
	struct npy a, again;
	struct err e;

	if (npy_parse(&a, p, n, n, &e) < 0 || a.dtype == DT_NONE)
		return 0;
	if (npy_header(&b, a.dtype, a.shape, a.dims, &e) < 0 ||
	    npy_parse(&again, b.p, b.len, b.len + (n - a.data), &e) < 0 || again.dims != a.dims)
		abort();
	buf_free(&b);
	return 0;
}
