#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"

/* A part of any bytes, and the way there and back of the same bytes. The first three
 * bytes choose: kind and level, size of element, length of the decoded part. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
decode(struct codec_ctx *x, enum codec_kind kind, const uint8_t *p, size_t n, size_t want)
{
	unsigned char *out = malloc(want ? want : 1);
	struct err e;

	if (out && codec_decode_part(x, kind, p, n, out, want, &e) < 0 && e.kind != ERR_CORRUPT)
		abort();
	free(out);
}

static void
there_and_back(struct codec_ctx *x, struct codec c, const uint8_t *p, size_t n, unsigned es)
{
	unsigned char *coded = malloc(n ? n : 1), *back = malloc(n ? n : 1);
	size_t len;

	if (coded && back && (codec_encode_part(x, c, p, n, es, coded, &len, NULL) < 0 ||
			len > n || codec_decode_part(x, c.kind, coded, len, back, n, NULL) < 0 ||
			memcmp(back, p, n) != 0))
		abort();
	free(coded);
	free(back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct codec_ctx *x;
	struct codec c;

	if (n < 3)
		return 0;
	c.kind = p[0] % CODEC_AUTO;
	c.level = p[0] / CODEC_AUTO % 5;
	x = codec_ctx_new(NULL);
	if (!x)
		return 0;
	decode(x, c.kind, p + 3, n - 3, (size_t)p[2] * p[1]);
	there_and_back(x, c, p + 3, n - 3, p[1] % 9);
	codec_ctx_free(x);
	return 0;
}
