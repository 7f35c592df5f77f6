#include <stdint.h>
#include <string.h>

#include "store/resp.h"

/* A server that says anything: every reply is read by item and by the whole, and nothing
 * but an error may come of it. */
struct said {
	const uint8_t *p;
	size_t n, step;
};

static long
source(void *ctx, void *p, size_t n)
{
	struct said *s = ctx;

	if (n > s->step)
		n = s->step;
	if (n > s->n)
		n = s->n;
	memcpy(p, s->p, n);
	s->p += n;
	s->n -= n;
	return (long)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct said s;
	struct resp *r;
	struct resp_item it;
	struct err e;
	char text[100];
	int64_t v;
	size_t many;

	if (n < 2)
		return 0;
	s = (struct said){ p + 2, n - 2, p[0] ? p[0] : 4096 };
	if (resp_open_source(&r, source, &s, &e) < 0)
		return 0;
	while (!resp_broken(r)) {
		switch (p[1] % 6) {
		case 0:
			resp_get_number(r, &v, &e);
			break;
		case 1:
			resp_get_text(r, text, sizeof(text), &e);
			break;
		case 2:
			resp_get_array(r, &many, &e);
			break;
		case 3:
			resp_ok(r, &e);
			break;
		case 4:
			if (resp_next(r, &it, &e) == 0)
				resp_drop(r, &it, &e);
			break;
		default:
			if (resp_next(r, &it, &e) == 0 && it.type == RESP_BULK && it.n > 3)
				resp_body(r, text, 3, &e);
			break;
		}
	}
	resp_close(r);
	return 0;
}
