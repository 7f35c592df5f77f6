#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/s3.h"
#include "store/s3_conn.h"

/* An answer of HTTP to a get, a listing and a HEAD. The connection is ours: it brings the bytes in
 * pieces of a size that the first byte says. */

#define ROOM 4096

static const uint8_t *input;
static size_t left, piece;

struct s3_conn *
s3_conn_take(struct s3 *s, const char *host, int finish, struct err *e)
{
	(void)s, (void)host, (void)finish, (void)e;
	return calloc(1, sizeof(struct s3_conn));
}

void
s3_conn_put(struct s3 *s, struct s3_conn *c)
{
	(void)s;
	free(c);
}

void
s3_conn_drop(struct s3_conn *c)
{
	free(c);
}

void
s3_conn_close_all(struct s3 *s)
{
	(void)s;
}

int
s3_conn_request(struct s3_conn *c, const struct s3_request *r, struct err *e)
{
	(void)c, (void)r, (void)e;
	return 0;
}

ssize_t
s3_conn_recv(struct s3_conn *c, void *p, size_t n, const struct s3_wait *w, struct err *e)
{
	(void)c, (void)w, (void)e;
	if (n > piece)
		n = piece;
	if (n > left)
		n = left;
	memcpy(p, input, n);
	input += n;
	left -= n;
	return (ssize_t)n;
}

static void
seen(void *ctx, const void *p, size_t n)
{
	size_t *sum = ctx, i;

	for (i = 0; i < n; i++)
		*sum += ((const uint8_t *)p)[i];
}

static void
answer(const uint8_t *p, size_t n, struct s3_call *c)
{
	struct s3 s = { .stall_s = 1 };
	struct buf head = { .p = (char *)"x", .len = 1 };
	struct s3_send send = { "host", &head };
	struct s3_answer a = { .retry_after_s = -1 };
	struct err e = { 0 };

	input = p + 1;
	left = n - 1;
	piece = 1 + p[0];
	if (s3_http(&s, c, &send, &a, &e) == 0 && c->status > 299)
		s3_error_code(c, &a);
	buf_free(&a.error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct block b = { malloc(ROOM), 0, ROOM };
	size_t sum = 0;
	struct store_get g = { .out = &b, .seen = seen, .ctx = &sum };
	struct buf text = { 0 };
	struct s3_call get = { .method = "GET", .get = &g, .off = 3, .len = 1000 };
	struct s3_call list = { .method = "GET", .text = &text };
	struct s3_call head = { .method = "HEAD" };

	if (n > 0 && b.p) {
		answer(p, n, &get);
		if (b.len != get.got || get.got > get.len)
			abort();
		answer(p, n, &list);
		answer(p, n, &head);
	}
	buf_free(&text);
	free(b.p);
	return 0;
}
