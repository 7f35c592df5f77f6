#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "chunk/stream.h"

static struct pool *pool;

/* A small chunk with something in every field. */
static void
make(struct chunk *c, unsigned char fill)
{
	struct err e;

	memset(c, 0, sizeof(*c));
	c->head.geom = (struct geom){ DT_BF16, 2, 2, 0, 2, 2, 0, 2, 8 };
	strcpy(c->head.key.model, "org/tiny \"m\"");
	c->head.key.tp = 1;
	c->head.key.hash.len = 32;
	memset(c->head.key.hash.b, fill, 32);
	strcpy(c->head.algo, "opaque");
	c->head.tokens = 4;
	c->head.chunk_tokens = 4;
	c->head.first_token = 0;
	c->head.created = 1700000000;
	c->head.priority = -3;
	c->head.cost = 0.1;
	assert_int_equal(chunk_meta_set(&c->head, "labels", "a\tb", &e), 0);
	assert_int_equal(chunk_meta_set(&c->head, "model", "x", &e), -1);
	assert_int_equal(pool_extra(pool, CHUNK_ALIGN + 256, &c->mem, &e), 0);
	c->mem.len = CHUNK_ALIGN + geom_bytes(&c->head.geom, 4);
	memset(c->mem.p + CHUNK_ALIGN, fill, 256);
	assert_int_equal(chunk_seal(c, pool, &e), 0);
}

static void
round_trip(void **state)
{
	struct chunk c, d = { 0 };
	struct buf b = { 0 };
	struct err e;

	(void)state;
	make(&c, 7);
	assert_int_equal(c.head.region, CHUNK_ALIGN);
	assert_int_equal(pool_extra(pool, c.mem.len, &d.mem, &e), 0);
	memcpy(d.mem.p, c.mem.p, c.mem.len);
	d.mem.len = c.mem.len;
	if (chunk_open(&d, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(chunk_verify(&d, &e), 0);
	assert_string_equal(d.head.key.model, "org/tiny \"m\"");
	assert_string_equal(d.head.key.dtype, "bf16");
	assert_true(d.head.cost == 0.1);
	assert_int_equal(d.head.priority, -3);
	assert_string_equal(chunk_meta_get(&d.head, "labels"), "a\tb");
	/* canonical: what was parsed writes the same bytes */
	assert_int_equal(chunk_head_write(&b, &d.head, &e), 0);
	assert_int_equal(b.len, CHUNK_ALIGN);
	assert_memory_equal(b.p, c.mem.p, b.len);
	buf_free(&b);
	chunk_free(&c, pool);
	chunk_free(&d, pool);
}

static void
every_header_bit_counts(void **state)
{
	struct chunk c;
	struct chunk_head h;
	struct err e;
	size_t i;

	(void)state;
	make(&c, 1);
	for (i = 0; i < 8 * c.head.region; i++) {
		c.mem.p[i / 8] ^= (unsigned char)(1 << i % 8);
		e.kind = ERR_NONE;
		assert_int_equal(chunk_head_parse(&h, c.mem.p, c.head.region, &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		chunk_head_free(&h);
		c.mem.p[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	for (i = 0; i < 8 * c.head.payload; i += 5) {
		chunk_payload(&c)[i / 8] ^= (unsigned char)(1 << i % 8);
		assert_int_equal(chunk_verify(&c, &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		chunk_payload(&c)[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	chunk_free(&c, pool);
}

/* A stream of three chunks in a memory file, cut to n bytes (-1: whole). */
static int
stream_file(off_t n)
{
	int fd = memfd_create("stream", 0);
	struct stream_out *out;
	struct chunk c;
	struct err e;
	unsigned i;

	assert_int_equal(stream_out_open(&out, fd, &e), 0);
	for (i = 1; i < 4; i++) {
		make(&c, (unsigned char)i);
		assert_int_equal(stream_out_put(out, &c, &e), 0);
		chunk_free(&c, pool);
	}
	assert_int_equal(stream_out_close(out, NULL, &e), 0);
	if (n >= 0)
		assert_int_equal(ftruncate(fd, n), 0);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* Chunks read; -1 - chunks on failure. */
static int
read_all(int fd, struct err *e)
{
	struct stream_in *in;
	struct chunk c;
	int n = 0, rc;

	assert_int_equal(stream_in_open(&in, fd, pool, e), 0);
	while ((rc = stream_in_next(in, (uint64_t)n, &c, e)) == 1) {
		assert_int_equal(chunk_verify(&c, e), 0);
		chunk_free(&c, pool);
		n++;
	}
	stream_in_close(in);
	close(fd);
	return rc < 0 ? -1 - n : n;
}

static void
truncation_is_found(void **state)
{
	struct err e;
	off_t size = lseek(stream_file(-1), 0, SEEK_END), n;

	(void)state;
	size = 4096 * 5 + 3 * 256;
	assert_int_equal(read_all(stream_file(-1), &e), 3);
	for (n = 0; n < size; n += n % 4096 > 3 && n % 4096 < 4000 ? 131 : 1) {
		assert_true(read_all(stream_file(n), &e) < 0);
		assert_int_equal(e.kind, ERR_CORRUPT);
	}
}

static void
streams_concatenate(void **state)
{
	int a = stream_file(-1), fd = memfd_create("two", 0), i;
	char buf[65536];
	struct err e;
	ssize_t n;

	(void)state;
	for (i = 0; i < 2; i++) {
		lseek(a, 0, SEEK_SET);
		while ((n = read(a, buf, sizeof(buf))) > 0)
			assert_int_equal(write(fd, buf, (size_t)n), n);
	}
	close(a);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(read_all(fd, &e), 6);
}

/* What a reader is told when the writer gave up for that reason: the text ends so. */
static void
aborted(const char *why_text, const char *told)
{
	int fd = memfd_create("abort", 0);
	struct stream_out *out;
	struct err e, why;
	const char *reason;

	err_set(&why, ERR_FAILED, "%s", why_text);
	assert_int_equal(stream_out_open(&out, fd, &e), 0);
	assert_int_equal(stream_out_close(out, &why, &e), 0);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(read_all(fd, &e), -1);
	reason = strstr(e.text, "producer: ");
	assert_non_null(reason);
	assert_string_equal(reason + strlen("producer: "), told);
	close(fd);
}

static void
abort_is_told(void **state)
{
	char text[256], cut[256];

	(void)state;
	aborted("disk on fire", "disk on fire");
	aborted("a \xff b", "a ? b");
	memset(text, 'x', sizeof(text));
	text[199] = '\0';
	aborted(text, text);		/* just fits */
	strcpy(text + 199, "y");
	memset(cut, 'x', 196);
	strcpy(cut + 196, "...");
	aborted(text, cut);
	memcpy(text + 195, "\u00e9\u00e9\u00e9", 7);	/* not cut in two */
	strcpy(cut + 195, "...");
	aborted(text, cut);
}

/* A chunk in a file, cut to size if that is not 0, with a byte at "flip" turned if that is not 0;
 * what chunk_open_file() says. */
static int
in_file(struct chunk *c, const struct chunk *from, size_t size, size_t flip, struct err *e)
{
	int fd = memfd_create("chunk", 0);

	memset(c, 0, sizeof(*c));
	assert_int_equal(pool_extra(pool, CHUNK_HEADER_MAX, &c->mem, e), 0);
	assert_int_equal(write(fd, from->mem.p, from->mem.len), from->mem.len);
	if (flip)
		assert_int_equal(pwrite(fd, "!", 1, (off_t)flip), 1);
	if (size)
		assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return chunk_open_file(c, fd, e);
}

static void
chunks_stay_in_files(void **state)
{
	static char label[3 * CHUNK_ALIGN];
	struct chunk c, d;
	char got[8 * CHUNK_ALIGN];
	struct stream_out *out;
	struct err e;
	int p[2];

	(void)state;
	make(&c, 9);
	memset(label, 'l', sizeof(label) - 1);
	assert_int_equal(chunk_meta_set(&c.head, "labels", label, &e), 0);
	assert_int_equal(chunk_reseal(&c, pool, &e), 0);
	assert_int_equal(c.head.region, 4 * CHUNK_ALIGN);
	if (in_file(&d, &c, 0, 0, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(d.lent);
	assert_int_equal(d.mem.len, 0);
	assert_true(digest_equal(&d.head.seal, &c.head.seal));
	assert_int_equal(pipe(p), 0);
	assert_int_equal(stream_out_open(&out, p[1], &e), 0);
	assert_int_equal(stream_out_put(out, &d, &e), 0);
	assert_int_equal(read(p[0], got, CHUNK_ALIGN), CHUNK_ALIGN);
	assert_int_equal(read(p[0], got, sizeof(got)), c.mem.len);
	assert_memory_equal(got, c.mem.p, c.mem.len);
	assert_int_equal(ftruncate(d.fd, CHUNK_ALIGN), 0);	/* gone after the check */
	assert_int_equal(stream_out_put(out, &d, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_int_equal(strncmp(e.text, "chunk ", 6), 0);	/* which one */
	chunk_free(&d, pool);
	stream_out_close(out, NULL, &e);
	close(p[0]);
	close(p[1]);
	chunk_free(&c, pool);
}

static void
damage_in_files_is_found(void **state)
{
	const size_t sizes[] = { 1, 7, 4095, 4096, 4097, 4607, 4609, 9000 };
	const size_t flips[] = { 3, 100, 4000, 4096, 4200, 4607 };
	struct chunk c, d;
	struct err e;
	size_t i;

	(void)state;
	make(&c, 9);
	assert_int_equal(c.mem.len, 4608);
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_int_equal(in_file(&d, &c, sizes[i], 0, &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		chunk_free(&d, pool);
	}
	for (i = 0; i < sizeof(flips) / sizeof(*flips); i++) {
		assert_int_equal(in_file(&d, &c, 0, flips[i], &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		chunk_free(&d, pool);
	}
	chunk_free(&c, pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(every_header_bit_counts),
		cmocka_unit_test(truncation_is_found),
		cmocka_unit_test(streams_concatenate),
		cmocka_unit_test(abort_is_told),
		cmocka_unit_test(chunks_stay_in_files),
		cmocka_unit_test(damage_in_files_is_found),
	};
	int rc;

	pool_open(&pool, 1 << 24, NULL);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	pool_close(pool);
	return rc;
}
