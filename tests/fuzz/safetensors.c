#include <stdlib.h>

#include "dialect/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Headers of any file; one that is taken must come out of the writer as good again. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct safetensors s, again;
	struct buf b = { 0 };
	struct err e;
	uint64_t data;

	if (safetensors_parse(&s, p, n, n, &e) == 0) {
		data = n - s.data;
		if (safetensors_header(&s, &b, &e) < 0 ||
		    safetensors_parse(&again, b.p, b.len, b.len + data, &e) < 0 || again.n != s.n)
			abort();
		safetensors_free(&again);
		buf_free(&b);
	}
	safetensors_free(&s);
	return 0;
}
