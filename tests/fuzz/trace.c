#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trace/trace.h"

/* Lines of traces, whoever wrote them: what is taken in must hang together. */
static void
check(const struct trace *t)
{
	if (t->requests[0].first != 0 || t->requests[t->n].first > t->n_refs)
		abort();
	for (size_t i = 0; i < t->n; i++)
		if (t->requests[i].first > t->requests[i + 1].first)
			abort();
	for (size_t i = 0; i < t->n_refs; i++)
		if (t->ids[i] >= t->distinct)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct trace t;
	struct err e;
	char *text;

	text = malloc(n + 8);	/* just as much more as may be looked at */
	if (!text || trace_open(&t, &e) < 0) {
		free(text);
		return 0;
	}
	memcpy(text, p, n);
	memset(text + n, '7', 8);
	for (size_t from = 0, to; from < n; from = to + 1) {
		const char *stop = memchr(text + from, '\n', n - from);

		to = stop ? (size_t)(stop - text) : n;
		if (trace_line(&t, text + from, to - from, &e) < 0)
			break;
	}
	check(&t);
	if (trace_sort(&t, &e) == 0)
		check(&t);
	trace_close(&t);
	free(text);
	return 0;
}
