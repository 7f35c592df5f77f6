/*
 * rdma SIZE COUNT: COUNT chunks of SIZE bytes through a verbs fabric with one lane, from the
 * device $RDMA_DEV_A to $RDMA_DEV_B, as wire/ uses it: the sink digests each chunk whole and
 * acknowledges it over a socket, and the source fills a block again only after that. Prints
 * MiB/s. Two processes, as the tools are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "digest/digest.h"
#include "transport/transport.h"

#define WINDOW 32		/* chunks on their way, at most */
#define WARM ((size_t)4 << 20)	/* on their way at most, or two chunks, as wire/ has it */

static const unsigned char token[FABRIC_TOKEN] = "for the bench";
static size_t size;
static unsigned window;
static int control;		/* to the other process */
static struct block block[WINDOW];
static uint64_t got[WINDOW];
static struct digest128 expected[WINDOW];

static void
die(const struct err *e)
{
	fprintf(stderr, "rdma: %s\n", e->text);
	exit(1);
}

static void
blocks(struct pool *pool)
{
	struct err e;
	size_t i;
	unsigned w;

	for (w = 0; w < window; w++) {
		if (pool_get(pool, w, size, &block[w], &e) < 0)
			die(&e);
		for (i = 0; i < size; i++)
			block[w].p[i] = (unsigned char)((i * 2654435761u >> 13) + w);
		digest_xxh3(&expected[w], block[w].p, size);
	}
}

static unsigned char *
place(void *ctx, uint32_t id, uint64_t off, size_t len, struct err *e)
{
	(void)ctx, (void)off, (void)len, (void)e;
	return block[id % window].p;
}

static int
arrived(void *ctx, uint32_t id, uint64_t off, size_t len, struct err *e)
{
	struct digest128 d;
	unsigned char ack = (unsigned char)(id % window);

	(void)ctx;
	(void)off;
	got[ack] += len;
	if (got[ack] < size)
		return 0;
	got[ack] = 0;
	digest_xxh3(&d, block[ack].p, size);
	if (!digest_equal(&d, &expected[ack]))
		return err_set(e, ERR_CORRUPT, "chunk %u arrived wrong", id);
	return io_write(control, &ack, 1, e);
}

static int
sink(struct fabric_opts *o)
{
	struct lane_in in = { NULL, place, arrived };
	struct buf ticket = {0}, grants = {0};
	struct fabric *f;
	struct err e;
	uint32_t w;

	o->nic = getenv("RDMA_DEV_B");
	if (fabric_listen(&f, TRANSPORT_VERBS, o, NULL, &ticket, &e) < 0 ||
		io_write(control, ticket.p, ticket.len, &e) < 0 || fabric_accept(f, token, &e) < 0)
		die(&e);
	blocks(o->pool);
	for (w = 0; w < window; w++) {
		memset(block[w].p, 0, size);
		if (fabric_grant(f, w, &block[w], size, &grants, &e) < 0)
			die(&e);
	}
	if (io_write(control, grants.p, grants.len, &e) < 0 ||
		lane_recv(fabric_lane(f, 0), &in, &e) < 0)
		die(&e);
	fabric_close(f);
	return 0;
}

/* Send n chunks, and wait for the acknowledgements of all. */
static void
chunks(struct lane *l, unsigned n, const unsigned char *grants, size_t one)
{
	unsigned sent = 0, done = 0;
	unsigned char ack;
	struct err e;

	while (done < n) {
		for (; sent < n && sent < done + window; sent++) {
			unsigned w = sent % window;
			struct lane_piece p = {
				.id = sent, .p = block[w].p, .len = size, .fd = -1, .block = &block[w],
				.grant = grants + w * one, .n_grant = one,
			};

			if (lane_send(l, &p, &e) < 0)
				die(&e);
		}
		if (lane_flush(l, &e) < 0 || io_read(control, &ack, 1, &e) != 1)
			die(&e);
		do	/* all that are there, as those who come one at a time cost a turn each */
			done++;
		while (recv(control, &ack, 1, MSG_DONTWAIT) == 1);
	}
}

static void
source(struct fabric_opts *o, unsigned n)
{
	unsigned char ticket[FABRIC_TICKET], grants[WINDOW * FABRIC_GRANT];
	struct fabric_hail hail = { ticket, 0, token };
	struct fabric *f;
	struct err e;
	double from;
	ssize_t n_read;

	o->nic = getenv("RDMA_DEV_A");
	o->source = 1;
	blocks(o->pool);
	n_read = read(control, ticket, sizeof(ticket));
	hail.n_ticket = n_read > 0 ? (size_t)n_read : 0;
	if (fabric_connect(&f, TRANSPORT_VERBS, o, NULL, &hail, &e) < 0)
		die(&e);
	n_read = read(control, grants, sizeof(grants));
	if (n_read <= 0)
		exit(1);
	chunks(fabric_lane(f, 0), window, grants, (size_t)n_read / window);
	from = clock_mono();
	chunks(fabric_lane(f, 0), n, grants, (size_t)n_read / window);
	printf("%.1f\n", (double)size * n / (clock_mono() - from) / (1 << 20));
	if (lane_finish(fabric_lane(f, 0), &e) < 0)
		die(&e);
	fabric_close(f);
}

int
main(int argc, char *argv[])
{
	struct conn_opts conn = { .connect_s = 10 };
	struct fabric_opts o = { .lanes = 1, .timeout_s = 30, .conn = &conn };
	uint64_t bytes, n;
	struct err e;
	int pair[2], status;
	pid_t child;

	if (argc != 3 || num_size(&bytes, argv[1], "SIZE", &e) < 0 ||
		num_u64(&n, argv[2], 1, 1000000, "COUNT", &e) < 0)
		return 2;
	size = (size_t)bytes;
	window = size * 2 > WARM ? 2 : (unsigned)(WARM / size);
	if (window > WINDOW)
		window = WINDOW;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 ||
		pool_open(&o.pool, (window + 1) * size, &e) < 0)
		return 1;
	child = fork();
	control = pair[child == 0];
	close(pair[child != 0]);
	if (child == 0)
		return sink(&o);
	source(&o, (unsigned)n);
	return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}
