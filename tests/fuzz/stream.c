#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chunk/coding.h"
#include "chunk/stream.h"
#include "seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Seals set right from the front, as far as there are headers. */
static void
seal_all(char *p, size_t n)
{
	struct chunk_head h;
	size_t at = 0, region;

	while (n - at >= CHUNK_ALIGN) {
		region = chunk_region(p + at, NULL);
		if (!region || region > n - at)
			return;
		fuzz_seal(p + at, region);
		if (chunk_head_parse(&h, p + at, region, NULL) == 0)
			region += h.payload <= n - at - region ? h.payload : 0;
		chunk_head_free(&h);
		at += region;
	}
}

/* Read to the end, checking and decoding what comes. */
static void
read_all(const char *p, size_t n)
{
	int fd = memfd_create("stream", MFD_CLOEXEC), rc;
	struct codec_ctx *x = codec_ctx_new(NULL);
	struct stream_in *s;
	struct pool *pool;
	struct chunk c;
	uint64_t ticket = 0;
	struct err e;

	if (fd < 0 || !x || (n && write(fd, p, n) != (ssize_t)n) || lseek(fd, 0, SEEK_SET) != 0 ||
	    pool_open(&pool, 16 << 20, &e) < 0 || stream_in_open(&s, fd, pool, &e) < 0)
		abort();
	while ((rc = stream_in_next(s, ticket++, &c, &e)) == 1) {
		if (c.head.raw_size <= 1 << 20 && chunk_decode(x, &c, pool, &e) < 0 &&
		    e.kind != ERR_CORRUPT)
			abort();
		chunk_verify(&c, &e);
		chunk_free(&c, pool);
	}
	/* a payload that is stated and does not come may be too large to wait for */
	if (rc < 0 && e.kind != ERR_CORRUPT && e.kind != ERR_FAILED)
		abort();
	stream_in_close(s);
	pool_close(pool);
	codec_ctx_free(x);
	close(fd);
}

/* A stream: as it is, then with its headers' seals set right. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *copy = malloc(n ? n : 1);

	if (!copy)
		return 0;
	if (n)
		memcpy(copy, p, n);
	read_all(copy, n);
	seal_all(copy, n);
	read_all(copy, n);
	free(copy);
	return 0;
}
