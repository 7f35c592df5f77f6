#include <stdlib.h>

#include "seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What was taken in is written out again, and that is taken in as the same. */
static void
again(struct chunk_head *h)
{
	struct chunk_head twin;
	struct buf a = { 0 }, b = { 0 };
	struct err e;

	if (chunk_head_write(&a, h, &e) < 0) {	/* \u0000 grows when it is escaped */
		if (e.kind != ERR_USAGE)
			abort();
		buf_free(&a);
		return;
	}
	if (chunk_head_parse(&twin, a.p, a.len, &e) < 0 ||
	    chunk_head_write(&b, &twin, &e) < 0 || a.len != b.len || memcmp(a.p, b.p, a.len) != 0)
		abort();
	chunk_head_free(&twin);
	buf_free(&a);
	buf_free(&b);
}

static void
parse(char *region, size_t n)
{
	struct chunk_head h;
	struct err e;

	if (chunk_head_parse(&h, region, n, &e) == 0)
		again(&h);
	else if (e.kind != ERR_CORRUPT)
		abort();
	chunk_head_free(&h);
}

/* The JSON of a header: as a region of its own, then with the seal set right. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	size_t size = (n + 8 + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
	char *region;

	if (size > CHUNK_HEADER_MAX)
		return 0;
	region = malloc(size);
	if (!region)
		return 0;
	memset(region, ' ', size);
	put_le64(region, size - 8);
	if (n)
		memcpy(region + 8, p, n);
	parse(region, size);
	fuzz_seal(region, size);
	parse(region, size);
	free(region);
	return 0;
}
