#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport/transport.h"

/* On a host without RDMA only the refusal is tested. tests/server/rdma-check runs this program
 * in a guest that has it: then both ends live here, one thread each. */
#define CHUNKS 6
#define SIZE ((size_t)1500 * 1000 + 7)	/* two messages, the second odd */
#define PIECE ((size_t)1100 * 1000)
#define LANES 3

static const unsigned char token[FABRIC_TOKEN] = "0123456789abcde";

struct end {
	struct fabric_opts opts;
	struct fabric *fabric;
	struct buf *ticket;
	const unsigned char *token;
	int rc;
	struct err e;
	pthread_t thread;
};

struct pair {
	struct pool *pool[2];		/* of the source, of the sink */
	struct end source, sink;
	struct buf ticket;
	struct conn_opts conn;
};

struct arrivals {
	pthread_mutex_t lock;
	uint64_t got[CHUNKS];
	struct lane *lane[LANES];
	int rc[LANES];
	struct err e[LANES];
};

static int
have(void)
{
	return getenv("RDMA_DEV_A") != NULL;
}

static void *
take(void *arg)
{
	struct end *x = arg;

	x->rc = fabric_accept(x->fabric, x->token, &x->e);
	return NULL;
}

/* Two fabrics joined; the one that listens is open in any case. 0 or -1: of both. */
static int
join(struct pair *p, struct end *listener, struct end *dialler)
{
	struct fabric_hail hail = { NULL, 0, dialler->token };

	assert_int_equal(fabric_listen(&listener->fabric, TRANSPORT_VERBS, &listener->opts, NULL,
		&p->ticket, &listener->e), 0);
	assert_true(p->ticket.len <= FABRIC_TICKET);
	hail.ticket = p->ticket.p;
	hail.n_ticket = p->ticket.len;
	pthread_create(&listener->thread, NULL, take, listener);
	dialler->rc = fabric_connect(&dialler->fabric, TRANSPORT_VERBS, &dialler->opts, NULL,
		&hail, &dialler->e);
	pthread_join(listener->thread, NULL);
	return dialler->rc | listener->rc;
}

static void
pair_open(struct pair *p, unsigned lanes)
{
	struct fabric_opts o = { .lanes = lanes, .timeout_s = 5 };
	struct err e;

	memset(p, 0, sizeof(*p));
	p->conn.connect_s = 4;
	o.conn = &p->conn;
	assert_int_equal(pool_open(&p->pool[0], 64 << 20, &e), 0);
	assert_int_equal(pool_open(&p->pool[1], 64 << 20, &e), 0);
	p->source.opts = p->sink.opts = o;
	p->source.opts.pool = p->pool[0];
	p->source.opts.nic = getenv("RDMA_DEV_A");
	p->source.opts.source = 1;
	p->sink.opts.pool = p->pool[1];
	p->sink.opts.nic = getenv("RDMA_DEV_B");
	p->source.token = p->sink.token = token;
}

static void
pair_close(struct pair *p)
{
	fabric_close(p->source.fabric);
	fabric_close(p->sink.fabric);
	pool_close(p->pool[0]);
	pool_close(p->pool[1]);
	buf_free(&p->ticket);
}

static unsigned char *
place(void *ctx, uint32_t id, uint64_t off, size_t len, struct err *e)
{
	static unsigned char there;

	(void)ctx;
	if (id < CHUNKS && (off == LANE_SOMEWHERE || off + len <= SIZE))
		return &there;
	err_set(e, ERR_CORRUPT, "id %u", id);
	return NULL;
}

static int
arrived(void *ctx, uint32_t id, uint64_t off, size_t len, struct err *e)
{
	struct arrivals *a = ctx;

	(void)off;
	(void)e;
	pthread_mutex_lock(&a->lock);
	a->got[id] += len;
	pthread_mutex_unlock(&a->lock);
	return 0;
}

static struct arrivals arrivals;

static void *
receive(void *arg)
{
	struct lane_in in = { &arrivals, place, arrived };
	size_t i = (size_t)(uintptr_t)arg;

	arrivals.rc[i] = lane_recv(arrivals.lane[i], &in, &arrivals.e[i]);
	return NULL;
}

static void
receivers(struct pair *p, pthread_t *thread, unsigned lanes)
{
	unsigned i;

	memset(&arrivals, 0, sizeof(arrivals));
	pthread_mutex_init(&arrivals.lock, NULL);
	for (i = 0; i < lanes; i++) {
		arrivals.lane[i] = fabric_lane(p->sink.fabric, i);
		pthread_create(&thread[i], NULL, receive, (void *)(uintptr_t)i);
	}
}

static void
fill(struct block *b, unsigned seed)
{
	size_t i;

	b->len = SIZE;
	for (i = 0; i < SIZE; i++)
		b->p[i] = (unsigned char)((i * 31 + seed) ^ (i >> 9));
}

/* A chunk in pieces, turn by turn over the lanes. own: told as a block of the pool. */
static void
send_chunk(struct pair *p, unsigned lanes, uint32_t id, struct block *from, struct block *to,
	int own)
{
	struct buf grant = {0};
	struct err e;
	size_t off, n;

	assert_int_equal(fabric_grant(p->sink.fabric, id, to, SIZE, &grant, &e), 0);
	assert_true(grant.len <= FABRIC_GRANT);
	for (off = 0, n = 0; off < SIZE; off += PIECE, n++) {
		struct lane_piece piece = {
			.id = id, .off = off, .p = from->p + off, .fd = -1,
			.len = SIZE - off < PIECE ? SIZE - off : PIECE,
			.grant = (unsigned char *)grant.p, .n_grant = grant.len,
			.block = own ? from : NULL,
		};

		e.text[0] = '\0';
		if (lane_send(fabric_lane(p->source.fabric, (id + n) % lanes), &piece, &e) < 0)
			fail_msg("%s", e.text);
	}
	buf_free(&grant);
}

static void
transfer(int source_dials, unsigned lanes)
{
	struct block from[CHUNKS], to[CHUNKS];
	pthread_t thread[LANES];
	char text[160];
	struct pair p;
	struct err e;
	unsigned i;

	pair_open(&p, lanes);
	if (source_dials)
		assert_int_equal(join(&p, &p.sink, &p.source), 0);
	else
		assert_int_equal(join(&p, &p.source, &p.sink), 0);
	receivers(&p, thread, lanes);
	for (i = 0; i < CHUNKS; i++) {
		assert_int_equal(pool_get(p.pool[0], i, SIZE, &from[i], &e), 0);
		assert_int_equal(pool_get(p.pool[1], i, SIZE, &to[i], &e), 0);
		fill(&from[i], i);
		send_chunk(&p, lanes, i, &from[i], &to[i], i != 2);
	}
	for (i = 0; i < lanes; i++) {
		assert_int_equal(lane_flush(fabric_lane(p.source.fabric, i), &e), 0);
		assert_int_equal(lane_finish(fabric_lane(p.source.fabric, i), &e), 0);
	}
	for (i = 0; i < lanes; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(arrivals.rc[i], 0);
	}
	for (i = 0; i < CHUNKS; i++) {
		assert_int_equal(arrivals.got[i], SIZE);
		assert_memory_equal(from[i].p, to[i].p, SIZE);
		pool_put(p.pool[0], &from[i]);
		pool_put(p.pool[1], &to[i]);
	}
	assert_non_null(strstr(fabric_describe(p.source.fabric, text), getenv("RDMA_DEV_A")));
	assert_true(fabric_line(p.sink.fabric) > 0);
	pair_close(&p);
}

static void
source_dials(void **state)
{
	(void)state;
	transfer(1, LANES);
}

static void
sink_dials(void **state)
{
	(void)state;
	transfer(0, 1);
}

/* Many more messages than receives: credits must come back. */
static void
credits(void **state)
{
	struct buf grant = {0};
	struct block b, to;
	pthread_t thread[1];
	struct pair p;
	struct err e;
	unsigned i;

	(void)state;
	pair_open(&p, 1);
	assert_int_equal(join(&p, &p.sink, &p.source), 0);
	receivers(&p, thread, 1);
	assert_int_equal(pool_get(p.pool[0], 0, SIZE, &b, &e), 0);
	assert_int_equal(pool_get(p.pool[1], 0, SIZE, &to, &e), 0);
	fill(&b, 1);
	assert_int_equal(fabric_grant(p.sink.fabric, 0, &to, SIZE, &grant, &e), 0);
	for (i = 0; i < 2000; i++) {
		struct lane_piece piece = {
			.id = 0, .off = i * 64, .p = b.p + i * 64, .len = 64, .fd = -1,
			.grant = (unsigned char *)grant.p, .n_grant = grant.len, .block = &b,
		};

		if (lane_send(fabric_lane(p.source.fabric, 0), &piece, &e) < 0)
			fail_msg("message %u: %s", i, e.text);
	}
	if (lane_finish(fabric_lane(p.source.fabric, 0), &e) < 0)
		fail_msg("%s", e.text);
	pthread_join(thread[0], NULL);
	assert_int_equal(arrivals.rc[0], 0);
	assert_int_equal(arrivals.got[0], 2000 * 64);
	assert_memory_equal(b.p, to.p, 2000 * 64);
	buf_free(&grant);
	pool_put(p.pool[0], &b);
	pool_put(p.pool[1], &to);
	pair_close(&p);
}

static void
wrong_token(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, 1);
	p.conn.connect_s = 1;
	p.source.token = (const unsigned char *)"0123456789abcdX";
	assert_int_not_equal(join(&p, &p.sink, &p.source), 0);
	assert_int_equal(p.source.e.kind, ERR_TEMP);
	assert_int_equal(p.sink.e.kind, ERR_TEMP);
	assert_null(p.source.fabric);
	pair_close(&p);
}

/* A key that the sink did not give: the lane ends with an error, at the source or, on iWARP,
 * where the completion tells nothing, at the sink. */
static void
wrong_key(void **state)
{
	unsigned char grant[28] = {0};
	struct lane_piece piece = {
		.len = 4096, .fd = -1, .grant = grant, .n_grant = sizeof(grant) - 4,
	};
	pthread_t thread[1];
	struct pair p;
	struct block b;
	struct err e;
	int rc;

	(void)state;
	pair_open(&p, 1);
	assert_int_equal(join(&p, &p.sink, &p.source), 0);
	receivers(&p, thread, 1);
	assert_int_equal(pool_get(p.pool[0], 0, SIZE, &b, &e), 0);
	fill(&b, 1);
	piece.p = b.p;
	piece.block = &b;
	put_le64(grant, 4096);
	put_le64(grant + 8, 8192);
	put_le32(grant + 16, 1);
	put_le32(grant + 20, 0xbad);
	piece.off = 8000;
	assert_int_equal(lane_send(fabric_lane(p.source.fabric, 0), &piece, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	piece.off = 0;
	rc = lane_send(fabric_lane(p.source.fabric, 0), &piece, &e);
	if (rc == 0)
		rc = lane_flush(fabric_lane(p.source.fabric, 0), &e);
	if (rc == 0)
		rc = lane_finish(fabric_lane(p.source.fabric, 0), &e);
	fabric_shut(p.sink.fabric);
	pthread_join(thread[0], NULL);
	assert_int_equal(arrivals.rc[0], -1);
	assert_int_equal(arrivals.got[0], 0);
	pool_put(p.pool[0], &b);
	pair_close(&p);
}

/* Whoever waits is let go: by the own end's shut, by the peer's close. */
static void
shut(void **state)
{
	pthread_t thread[LANES];
	struct pair p;
	double from;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		pair_open(&p, 1);
		assert_int_equal(join(&p, &p.sink, &p.source), 0);
		receivers(&p, thread, 1);
		usleep(100000);
		from = clock_mono();
		if (i == 0) {
			fabric_shut(p.sink.fabric);
		} else {
			fabric_close(p.source.fabric);
			p.source.fabric = NULL;
		}
		pthread_join(thread[0], NULL);
		assert_int_equal(arrivals.rc[0], -1);
		assert_int_equal(arrivals.e[0].kind, ERR_TEMP);
		assert_true(clock_mono() - from < 3);
		pair_close(&p);
	}
}

/* A ticket of a stranger. */
static void
tickets(void **state)
{
	static const struct { const char *p; size_t n; } bad[] = {
		{ "", 0 }, { "\1", 1 }, { "\0\0", 2 }, { "\1\1", 2 }, { "\11\1", 2 }, { "\1\2", 2 },
		{ "\1\1\5\1\0\1aaaabbbbccccdddd\0", 23 }, { "\1\1\4\1\0\1aaaabbbbccccdddd\30", 23 },
		{ "\1\1\4\1\0\1aaaabbbbccccdddd\1", 23 }, { "\1\1\4\1\0\1aaaabbbbccccdddd\0x", 24 },
	};
	struct fabric_hail hail = { NULL, 0, token };
	struct fabric *f;
	struct pair p;
	struct err e;
	size_t i;

	(void)state;
	pair_open(&p, 1);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		hail.ticket = bad[i].p;
		hail.n_ticket = bad[i].n;
		assert_int_equal(fabric_connect(&f, TRANSPORT_VERBS, &p.source.opts, NULL, &hail, &e),
			-1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		assert_null(f);
	}
	pair_close(&p);
}

static void
probe(void **state)
{
	struct fabric_opts o = { .lanes = 1 };
	struct err e = {0};
	uint64_t line;

	(void)state;
	o.nic = "no_such_device:1";
	assert_int_equal(fabric_probe(TRANSPORT_VERBS, &o, &line, &e), -1);
	assert_true(strlen(e.text) > 0);
	o.nic = getenv("RDMA_DEV_A");
	if (have()) {
		assert_int_equal(fabric_probe(TRANSPORT_VERBS, &o, &line, &e), 0);
		assert_true(line > 0);
	}
}

int
main(void)
{
	const struct CMUnitTest anywhere[] = { cmocka_unit_test(probe) };
	const struct CMUnitTest guest[] = {
		cmocka_unit_test(probe), cmocka_unit_test(source_dials),
		cmocka_unit_test(sink_dials), cmocka_unit_test(credits),
		cmocka_unit_test(wrong_token), cmocka_unit_test(wrong_key),
		cmocka_unit_test(shut), cmocka_unit_test(tickets),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (!have())
		return cmocka_run_group_tests(anywhere, NULL, NULL);
	return cmocka_run_group_tests(guest, NULL, NULL);
}
