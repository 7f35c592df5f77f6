#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "index/import.h"

/* Log lines of all forms, whoever wrote them. */
static int
see(void *ctx, const struct import_event *ev, struct err *e)
{
	(void)e;
	if (ev->name ? !*ev->name : !*ev->hash || !*ev->parent)
		abort();
	return *(int *)ctx += 1, 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct import_where w = { IMPORT_AUTO, NULL, "" };
	int told = 0;
	struct err e;
	char *line;

	if (n < 1)
		return 0;
	w.form = p[0] % 5;
	if (p[0] & 8)
		w.bucket = "kv";
	if (p[0] & 16)
		w.prefix = "a";
	line = malloc(n);	/* of just this size: nothing may be read behind it */
	if (!line)
		return 0;
	memcpy(line, p + 1, n - 1);
	import_line(&w, line, n - 1, see, &told, &e);
	free(line);
	return 0;
}
