#include <stdlib.h>

#include "key/tokens.h"

/* Any bytes as a token file and as a file of hashes: read, or refused as corrupt. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct key_tokens t;
	struct key_hashes h;
	struct err e;

	if (key_tokens_read(&t, p, n, &e) == 0) {
		if (t.n == 0 || t.n > n)
			abort();
		key_tokens_free(&t);
	} else if (e.kind != ERR_CORRUPT || t.ids) {
		abort();
	}
	if (key_hashes_read(&h, p, n, &e) == 0) {
		if (h.n == 0 || h.n > n || h.h[h.n - 1].len < KEY_HASH_MIN)
			abort();
		key_hashes_free(&h);
	} else if (e.kind != ERR_CORRUPT || h.h) {
		abort();
	}
	return 0;
}
