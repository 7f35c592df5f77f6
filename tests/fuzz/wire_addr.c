#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/transport.h"

/* Addresses of peers, and lists of transports. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct conn_addr a;
	struct err e;
	unsigned set = 0;
	char *text = malloc(n + 1);

	if (!text)
		return 0;
	memcpy(text, p, n);
	text[n] = '\0';
	if (conn_addr_parse(&a, text, &e) == 0 &&
	    (!memchr(a.host, 0, sizeof(a.host)) || !memchr(a.port, 0, sizeof(a.port)) ||
	    !memchr(a.path, 0, sizeof(a.path))))
		abort();
	if (transport_ucx(&set, text, &e) == 0 && set & ~TRANSPORT_ALL)
		abort();
	free(text);
	return 0;
}
