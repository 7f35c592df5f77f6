/* What codec.sh runs: the codecs over the parts of a file, in memory on one core, or as a
 * filter from file to standard output on several, to be held against the zstd program. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "base/par.h"
#include "codec/codec.h"

#define BATCH 64		/* parts coded before any is written */
#define RUNS 5
#define BUDGET ((size_t)64 << 20)

struct run {
	struct codec codec;
	size_t part;			/* bytes, decoded */
	unsigned elem_size;
	unsigned threads;
	size_t n, bytes;		/* parts, and decoded bytes, in hand */
	unsigned char *raw, *coded;	/* part i at i * part */
	size_t *len;			/* of coded parts */
	struct codec_ctx **ctx;		/* one a thread */
};

static void
die(struct err *e)
{
	fprintf(stderr, "codec: %s\n", e->text);
	exit(1);
}

static size_t
raw_len(const struct run *r, size_t i)
{
	size_t left = r->bytes - i * r->part;

	return left < r->part ? left : r->part;
}

/* Thread t takes every threads-th part. */
static int
encode_some(void *ctx, size_t t, struct err *e)
{
	struct run *r = ctx;

	for (size_t i = t; i < r->n; i += r->threads)
		if (codec_encode_part(r->ctx[t], r->codec, r->raw + i * r->part, raw_len(r, i),
				r->elem_size, r->coded + i * r->part, &r->len[i], e) < 0)
			return -1;
	return 0;
}

static int
decode_some(void *ctx, size_t t, struct err *e)
{
	struct run *r = ctx;

	for (size_t i = t; i < r->n; i += r->threads)
		if (codec_decode_part(r->ctx[t], r->codec.kind, r->coded + i * r->part, r->len[i],
				r->raw + i * r->part, raw_len(r, i), e) < 0)
			return -1;
	return 0;
}

static void
room(struct run *r, size_t parts)
{
	struct err e;

	r->raw = malloc(parts * r->part);
	r->coded = malloc(parts * r->part);
	r->len = calloc(parts, sizeof(*r->len));
	r->ctx = calloc(r->threads, sizeof(struct codec_ctx *));
	err_set(&e, ERR_FAILED, "out of memory");
	if (!r->raw || !r->coded || !r->len || !r->ctx)
		die(&e);
	for (unsigned t = 0; t < r->threads; t++)
		if (!(r->ctx[t] = codec_ctx_new(&e)))
			die(&e);
}

static void
set_bytes(struct run *r, size_t bytes)
{
	r->bytes = bytes;
	r->n = (bytes + r->part - 1) / r->part;
}

static double
timed(struct run *r, int (*fn)(void *, size_t, struct err *))
{
	double best = 1e9;
	struct err e;

	for (int i = 0; i < RUNS; i++) {
		double t = clock_mono();

		if (par_each(r->threads, r->threads, fn, r, &e) < 0)
			die(&e);
		t = clock_mono() - t;
		best = t < best ? t : best;
	}
	return best;
}

/* One line: codec, level, ratio, encode and decode in MB/s of raw bytes. */
static void
measure(struct run *r, int fd)
{
	struct err e;
	ssize_t n;
	size_t sum = 0;
	double enc, dec;

	room(r, BUDGET / r->part + 1);
	n = io_read(fd, r->raw, BUDGET, &e);
	if (n < 0)
		die(&e);
	set_bytes(r, (size_t)n);
	enc = timed(r, encode_some);
	dec = timed(r, decode_some);
	for (size_t i = 0; i < r->n; i++)
		sum += r->len[i];
	printf("%s:%d\t%.4f\t%.0f\t%.0f\n", codec_name(r->codec.kind), r->codec.level,
		(double)r->bytes / (double)sum, (double)r->bytes / enc / 1e6,
		(double)r->bytes / dec / 1e6);
}

/* A batch in a file: decoded bytes, the parts' lengths, the parts. */
static void
encode_file(struct run *r, int fd)
{
	unsigned char head[4 + 4 * BATCH];
	struct iovec iov[1 + BATCH];
	struct err e;
	ssize_t n;

	room(r, BATCH);
	while ((n = io_read(fd, r->raw, BATCH * r->part, &e)) > 0) {
		set_bytes(r, (size_t)n);
		if (par_each(r->threads, r->threads, encode_some, r, &e) < 0)
			die(&e);
		put_le32(head, (uint32_t)n);
		iov[0] = (struct iovec){ head, 4 + 4 * r->n };
		for (size_t i = 0; i < r->n; i++) {
			put_le32(head + 4 + 4 * i, (uint32_t)r->len[i]);
			iov[1 + i] = (struct iovec){ r->coded + i * r->part, r->len[i] };
		}
		if (io_writev(1, iov, (int)r->n + 1, &e) < 0)
			die(&e);
	}
	if (n < 0)
		die(&e);
}

static void
decode_file(struct run *r, int fd)
{
	unsigned char head[4 * BATCH];
	struct err e;

	room(r, BATCH);
	while (io_read(fd, head, 4, &e) == 4) {
		set_bytes(r, get_le32(head));
		if (io_read(fd, head, 4 * r->n, &e) < 0)
			die(&e);
		for (size_t i = 0; i < r->n; i++) {
			r->len[i] = get_le32(head + 4 * i);
			if (io_read(fd, r->coded + i * r->part, r->len[i], &e) < 0)
				die(&e);
		}
		if (par_each(r->threads, r->threads, decode_some, r, &e) < 0 ||
				io_write(1, r->raw, r->bytes, &e) < 0)
			die(&e);
	}
}

static uint32_t
rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return (uint32_t)(*s >> 20);
}

/* bf16, nearly normal, each of 1024 channels with a width of its own. */
static void
gen(uint64_t bytes)
{
	static unsigned char row[2048];
	uint64_t s = 88172645463325252u;
	float width[1024];
	struct err e;

	for (size_t i = 0; i < 1024; i++)
		width[i] = 0.25f + (float)(rnd(&s) % 1000) / 500;
	for (uint64_t done = 0; done < bytes; done += sizeof(row)) {
		for (size_t i = 0; i < 1024; i++) {
			int32_t sum = 0;
			uint32_t u;
			float v;

			for (int k = 0; k < 6; k++)
				sum += (int32_t)(rnd(&s) & 0xffffff) - 0x800000;
			v = (float)sum / 0x800000 * width[i];
			memcpy(&u, &v, sizeof(u));
			put_le16(row + 2 * i, (uint16_t)(u >> 16));
		}
		if (io_write(1, row, sizeof(row), &e) < 0)
			die(&e);
	}
}

int
main(int argc, char *argv[])
{
	struct run r = { 0 };
	uint64_t part, elem, threads;
	struct err e;
	int fd;

	if (argc == 3 && strcmp(argv[1], "gen") == 0) {
		if (num_u64(&part, argv[2], 0, UINT64_MAX / 2, "bytes", &e) < 0)
			die(&e);
		gen(part);
		return 0;
	}
	if (argc != 7) {
		fputs("usage: codec measure|encode|decode CODEC PART ELEM THREADS FILE\n"
			"       codec gen BYTES\n", stderr);
		return 2;
	}
	if (codec_parse(&r.codec, argv[2], &e) < 0 ||
			num_u64(&part, argv[3], 1, 1 << 24, "part", &e) < 0 ||
			num_u64(&elem, argv[4], 1, 8, "element", &e) < 0 ||
			num_u64(&threads, argv[5], 1, 64, "threads", &e) < 0)
		die(&e);
	r.part = part;
	r.elem_size = (unsigned)elem;
	r.threads = (unsigned)threads;
	fd = open(argv[6], O_RDONLY);
	if (fd < 0) {
		err_sys(&e, "open '%s'", argv[6]);
		die(&e);
	}
	if (strcmp(argv[1], "measure") == 0)
		measure(&r, fd);
	else if (strcmp(argv[1], "encode") == 0)
		encode_file(&r, fd);
	else
		decode_file(&r, fd);
	return 0;
}
