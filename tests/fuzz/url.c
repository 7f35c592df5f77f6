#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/uri.h"
#include "dialect/dialect.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
url(const char *text)
{
	struct dialect_opts o = { 0 };
	char safe[256];
	struct uri *u;
	struct err e;

	uri_safe(safe, text);
	if (strlen(safe) >= sizeof(safe))
		abort();
	if (uri_parse(&u, text, &e) == 0) {
		if (!u->scheme || !u->host || !u->path || strcmp(u->text, text) != 0)
			abort();
		uri_arg(u, "dialect");
		dialect_opts_uri(&o, u, &e);
		uri_free(u);
	}
}

/* What is encoded decodes to itself. */
static void
escapes(const char *text)
{
	struct buf coded = { 0 }, back = { 0 }, raw = { 0 };
	size_t n = strlen(text);

	if (uri_encode(&coded, text, n, "/") < 0 || uri_decode(&back, coded.p, coded.len) < 0 ||
	    back.len != n || (n && memcmp(back.p, text, n) != 0))
		abort();
	uri_decode(&raw, text, n);
	buf_free(&coded);
	buf_free(&back);
	buf_free(&raw);
}

static void
numbers(const char *text)
{
	uint64_t u;
	int64_t i;
	double d;
	struct err e;

	num_u64(&u, text, 0, UINT64_MAX, "n", &e);
	num_i64(&i, text, INT64_MIN, INT64_MAX, "n", &e);
	num_double(&d, text, -1e300, 1e300, "n", &e);
	num_size(&u, text, "n", &e);
	num_rate(&u, text, "n", &e);
	if (num_duration(&d, text, "n", &e) == 0 && !(d >= 0))
		abort();
	if (num_percent(&d, text, "n", &e) == 0 && !(d >= 0))
		abort();
}

/* A text as people type them: a URL, a name, a number. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = malloc(n + 1);
	struct err e;

	if (!text)
		return 0;
	if (n)
		memcpy(text, p, n);
	text[n] = 0;
	url(text);
	escapes(text);
	numbers(text);
	store_name_check(text, &e);
	free(text);
	return 0;
}
