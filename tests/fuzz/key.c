#include <stdlib.h>
#include <string.h>

#include "key/algo.h"
#include "key/key.h"

/* Any bytes as an object name and as the name of an algorithm: what is read gives back
 * the same text. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
name(const char *text)
{
	struct buf own = { 0 };
	struct key k;
	struct err e;

	if (key_parse_name(&k, text, &e) < 0) {
		if (e.kind != ERR_CORRUPT)
			abort();
		return;
	}
	if (key_check(&k, &e) < 0 || key_name(&own, &k, &e) < 0 ||
	    strcmp(buf_text(&own), text) != 0 || strstr(text, "/../") || text[0] == '/')
		abort();
	buf_free(&own);
}

static void
algorithm(const char *text)
{
	char own[KEY_ALGO_TEXT];
	struct key_algo a, b;
	struct err e;

	if (key_algo_parse(&a, text, &e) < 0) {
		if (e.kind != ERR_USAGE)
			abort();
		return;
	}
	if (key_algo_parse(&b, key_algo_text(own, &a), &e) < 0 || !key_algo_equal(&a, &b))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = malloc(n + 1);

	if (!text)
		return 0;
	memcpy(text, p, n);
	text[n] = 0;
	name(text);
	algorithm(text);
	free(text);
	return 0;
}
