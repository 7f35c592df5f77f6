#ifndef FUZZ_SEAL_H
#define FUZZ_SEAL_H

#include <string.h>

#include "chunk/fields.h"

/* Put the right seal into a region, where it has a seal at all: no fuzzer guesses a digest, and
 * what lies behind the check is to be reached. */
static inline void
fuzz_seal(char *region, size_t n)
{
	static const char name[] = "\"seal\":\"";
	char *at = memmem(region, n, name, sizeof(name) - 1), text[DIGEST128_HEX + 1];
	struct digest128 d;

	if (!at)
		return;
	at += sizeof(name) - 1;
	if ((size_t)(region + n - at) < DIGEST128_HEX || chunk_seal_of(&d, region, n, at) < 0)
		return;
	memcpy(at, digest_hex(text, &d), DIGEST128_HEX);
}

#endif
