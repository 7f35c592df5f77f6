#include <stdlib.h>
#include <string.h>

#include "dialect/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What is taken is canonical: it is written as it was. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf b = { 0 };
	struct manifest m;
	struct err e;

	if (manifest_parse(&m, p, n, &e) < 0)
		return 0;
	if (n && (manifest_text(&m, 0, &b, &e) < 0 || b.len != n || memcmp(b.p, p, n)))
		abort();
	manifest_free(&m);
	buf_free(&b);
	return 0;
}
