#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/clock.h"
#include "wire/wire.h"

#define N 300
#define LAYERS 4
#define TOKENS 64
#define PAYLOAD (2u * LAYERS * TOKENS * 2 * 64 * 2)

static struct pool *pool;
static struct conn_opts conn = { .timeout_s = 20, .connect_s = 10 };
static const unsigned char psk[] = "a shared secret of some length";

/* ---- chunks ---- */

static void
make(struct chunk *c, unsigned n)
{
	struct err e;
	unsigned i;

	memset(c, 0, sizeof(*c));
	c->head.geom = (struct geom){ DT_BF16, 2, LAYERS, 0, LAYERS, 2, 0, 2, 64 };
	strcpy(c->head.key.model, "org/tiny");
	strcpy(c->head.algo, "opaque");
	c->head.key.tp = 1;
	c->head.key.hash.len = 32;
	put_le32(c->head.key.hash.b, n);
	c->head.tokens = c->head.chunk_tokens = TOKENS;
	assert_int_equal(pool_extra(pool, CHUNK_ALIGN + PAYLOAD, &c->mem, &e), 0);
	c->mem.len = CHUNK_ALIGN + PAYLOAD;
	for (i = 0; i < PAYLOAD; i += 4)
		put_le32(c->mem.p + CHUNK_ALIGN + i, n * 2654435761u + i);
	assert_int_equal(chunk_seal(c, pool, &e), 0);
}

static void
describe(struct wire_offer *o, const struct chunk_head *h)
{
	struct buf b = { 0 };
	struct err e;

	memset(o, 0, sizeof(*o));
	assert_int_equal(key_name(&b, &h->key, &e), 0);
	memcpy(o->name, b.p, b.len);
	buf_free(&b);
	o->size = h->region + h->payload;
	o->region = (uint32_t)h->region;
	o->digest = h->digest;
	o->seal = h->seal;
}

/* ---- a source of N chunks: in memory, in a file, or loaded ---- */

struct feed {
	unsigned from, next, n;
	int how;		/* 0 memory, 1 file, 2 load */
	int fd;
	int spoil;		/* this one's payload is damaged */
	int broken;		/* the rest cannot be had after this many */
	unsigned done[3];
	unsigned loads;
};

static int
feed_next(void *ctx, int wait, struct wire_item **out, struct err *e)
{
	struct feed *f = ctx;
	struct wire_item *it;
	struct chunk c;

	(void)wait;
	if (f->broken && f->next == (unsigned)f->broken)
		return err_set(e, ERR_CORRUPT, "stream truncated");
	if (f->next == f->n)
		return 0;
	it = calloc(1, sizeof(*it));
	make(&c, f->from + f->next);
	describe(&it->offer, &c.head);
	if ((int)f->next == f->spoil)
		c.mem.p[c.mem.len - 1] ^= 1;
	it->fd = -1;
	it->layer_size = PAYLOAD / 2 / LAYERS;
	it->layers = LAYERS;
	it->kv = 2;
	it->own = (void *)(uintptr_t)f->next;
	if (f->how == 1) {
		it->fd = f->fd;
		it->fd_off = f->next * (uint64_t)c.mem.len;
		assert_int_equal(pwrite(f->fd, c.mem.p, c.mem.len, (off_t)it->fd_off), c.mem.len);
	}
	if (f->how == 0) {
		it->mem = c.mem;
		memset(&c.mem, 0, sizeof(c.mem));
	}
	chunk_free(&c, pool);
	f->next++;
	*out = it;
	return 1;
}

static int
feed_load(void *ctx, struct wire_item *it, uint64_t ticket, struct err *e)
{
	struct feed *f = ctx;
	struct chunk c;

	(void)ticket;
	(void)e;
	make(&c, f->from + (unsigned)(uintptr_t)it->own);
	it->mem = c.mem;
	memset(&c.mem, 0, sizeof(c.mem));
	chunk_free(&c, pool);
	__atomic_add_fetch(&f->loads, 1, __ATOMIC_RELAXED);
	return 0;
}

static void
feed_unload(void *ctx, struct wire_item *it)
{
	if (((struct feed *)ctx)->how == 2)
		pool_put(pool, &it->mem);
}

static void
feed_done(void *ctx, struct wire_item *it, enum wire_end how, const struct err *why)
{
	struct feed *f = ctx;

	assert_true((how == WIRE_END_FAILED) == (why != NULL));
	f->done[how]++;
	pool_put(pool, &it->mem);
	free(it);
}

/* ---- a sink that remembers ---- */

struct keep {
	pthread_mutex_t lock;
	unsigned char have[4 * N];
	unsigned n, order_bad;
	int last[4];		/* of each sender's hundred */
	int full_after;		/* disk full then; 0 never */
	double slow;
};

static int
keep_choose(void *ctx, const struct wire_offer *const *o, size_t n, unsigned char *want,
	struct err *e)
{
	struct keep *k = ctx;
	struct key key;
	size_t i;

	pthread_mutex_lock(&k->lock);
	for (i = 0; i < n; i++) {
		assert_int_equal(key_parse_name(&key, o[i]->name, e), 0);
		want[i] = !k->have[get_le32(key.hash.b)];
	}
	pthread_mutex_unlock(&k->lock);
	return 0;
}

static int
keep_put(void *ctx, struct chunk *c, struct err *e)
{
	struct keep *k = ctx;
	unsigned id = get_le32(c->head.key.hash.b), i;
	int rc = 0;

	assert_int_equal(chunk_verify(c, e), 0);
	for (i = 0; i < PAYLOAD; i += 4)
		if (get_le32(chunk_payload(c) + i) != id * 2654435761u + i)
			break;
	assert_int_equal(i, PAYLOAD);
	chunk_free(c, pool);
	pthread_mutex_lock(&k->lock);
	if (k->full_after && k->n >= (unsigned)k->full_after) {
		rc = err_set(e, ERR_FAILED, "no space left on device");
	} else {
		assert_true(id < 4 * N && !k->have[id]);
		k->have[id] = 1;
		k->n++;
		if ((int)id < k->last[id / N])
			k->order_bad++;
		k->last[id / N] = (int)id;
	}
	pthread_mutex_unlock(&k->lock);
	if (k->slow > 0)
		(void)clock_sleep(k->slow, NULL);
	return rc;
}

/* ---- a receiver that listens, in a thread ---- */

struct server {
	struct wire_opts opts;
	struct wire_sink sink;
	struct keep keep;
	struct conn_addr addr;
	struct listener *l;
	struct wire_run run;
	int local;		/* TCP for words alone */
	int want, done;		/* sessions, good or not */
	int cut;		/* so many sessions are cut after a while */
	int rc;
	struct err e;
	unsigned refused;
	struct err refused_why;
	pthread_t thread;
};

static void
session(void *ctx, struct conn *c, struct wire_door *door)
{
	struct server *s = ctx;
	struct wire_run run = { 0 };
	struct err e = { 0 };
	int rc = wire_sink_run(&s->sink, &s->opts, c, door, &run, &e);

	pthread_mutex_lock(&s->keep.lock);
	s->run = run;
	s->rc = rc;
	s->e = e;
	s->done++;
	pthread_mutex_unlock(&s->keep.lock);
}

static int
enough(void *ctx)
{
	struct server *s = ctx;
	int rc;

	pthread_mutex_lock(&s->keep.lock);
	rc = s->done >= s->want;
	pthread_mutex_unlock(&s->keep.lock);
	return rc;
}

static void
refused(void *ctx, const char *peer, const struct err *why)
{
	struct server *s = ctx;

	(void)peer;
	pthread_mutex_lock(&s->keep.lock);
	s->refused++;
	s->refused_why = *why;
	s->done++;
	pthread_mutex_unlock(&s->keep.lock);
}

static void *
serve(void *arg)
{
	struct server *s = arg;
	struct wire_serve w = { .listener = s->l, .max_conns = 128, .ctx = s,
	    .session = session, .refused = refused, .enough = enough };
	struct err e;

	assert_int_equal(wire_serve(&w, s->opts.conn, &e), 0);
	return NULL;
}

static void
start(struct server *s, const char *where, const struct conn_opts *c)
{
	struct err e;

	if (!s->want)
		s->want = 1;
	s->opts = (struct wire_opts){ .conn = c, .pool = pool, .retries = 3,
	    .transports = strncmp(where, "unix", 4) == 0 || s->local ? 2 : 1, .chunk_max = 1 << 20, .jobs = 2, .lanes = 2 };
	s->sink.ctx = &s->keep;
	s->sink.choose = keep_choose;
	s->sink.put = keep_put;
	memset(s->keep.last, -1, sizeof(s->keep.last));
	pthread_mutex_init(&s->keep.lock, NULL);
	assert_int_equal(conn_addr_parse(&s->addr, where, &e), 0);
	if (conn_listen(&s->l, &s->addr, c, NULL, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(conn_addr_parse(&s->addr, listener_name(s->l), &e), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

/* The receiver's end of a session is over a little later than the sender's. */
static void
await_done(struct server *s, int n)
{
	int done;

	do {
		(void)clock_sleep(0.001, NULL);
		pthread_mutex_lock(&s->keep.lock);
		done = s->done;
		pthread_mutex_unlock(&s->keep.lock);
	} while (done < n);
}

static void
end_server(struct server *s)
{
	pthread_join(s->thread, NULL);
	listener_close(s->l);
}

struct push {
	struct wire_source *s;
	struct wire_opts opts;
};

static int
push_run(void *ctx, struct conn *c, struct err *e)
{
	return wire_source_run(((struct push *)ctx)->s, c, NULL, e);
}

static uint64_t
push_progress(void *ctx)
{
	const struct wire_totals *t = wire_source_totals(((struct push *)ctx)->s);

	return t->sent + t->had;
}

static enum transport
push_transport(void *ctx)
{
	(void)ctx;
	return TRANSPORT_COUNT;
}

static int
push(const struct server *to, struct feed *f, const struct conn_opts *c, int layers,
	struct wire_totals *t, struct err *e)
{
	struct wire_feed feed = { .ctx = f, .next = feed_next, .done = feed_done,
	    .load = f->how == 2 ? feed_load : NULL, .unload = feed_unload };
	struct push p = { .opts = { .conn = c, .pool = pool, .transports = 3, .retries = 3,
	    .jobs = 3, .lanes = 2, .layers = layers } };
	struct wire_dial d = { .addr = &to->addr, .opts = &p.opts, .ctx = &p, .run = push_run,
	    .progress = push_progress, .transport = push_transport };
	int rc;

	if (f->how == 1)
		f->fd = memfd_create("chunks", 0);
	assert_int_equal(wire_source_open(&p.s, &feed, &p.opts, e), 0);
	rc = wire_dial(&d, e);
	if (t)
		*t = *wire_source_totals(p.s);
	wire_source_close(p.s, e);
	if (f->how == 1)
		close(f->fd);
	return rc;
}

#define FEED { .n = N, .spoil = -1, .how = how }

/* ---- the tests ---- */

static void
transfer(const char *where, const struct conn_opts *c, int ordered, int how, int layers)
{
	struct server s = { .sink = { .ordered = ordered } };
	struct feed f = FEED, again = FEED;
	struct wire_totals t;
	struct err e;

	s.want = 2;
	start(&s, where, c);
	if (push(&s, &f, c, layers, &t, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(f.done[WIRE_END_SENT], N);
	pthread_mutex_lock(&s.keep.lock);
	assert_int_equal(s.keep.n, N);
	pthread_mutex_unlock(&s.keep.lock);
	assert_int_equal(t.sent, N);
	assert_int_equal(t.sent_bytes, (uint64_t)N * (CHUNK_ALIGN + PAYLOAD));
	if (ordered)
		assert_int_equal(s.keep.order_bad, 0);
	await_done(&s, 1);
	/* the second time nothing moves, and nothing is loaded */
	if (push(&s, &again, c, layers, &t, &e) < 0)
		fail_msg("%s", e.text);
	end_server(&s);
	assert_int_equal(s.rc, 0);
	assert_memory_equal(&t, &s.run.totals, sizeof(t));
	assert_int_equal(again.done[WIRE_END_HAD], N);
	assert_int_equal(again.loads, 0);
	assert_int_equal(t.had, N);
	assert_int_equal(t.sent, 0);
}

static void
tcp(void **state)
{
	(void)state;
	transfer("127.0.0.1:0", &conn, 1, 0, 0);
	transfer("127.0.0.1:0", &conn, 0, 1, 0);
	transfer("127.0.0.1:0", &conn, 0, 2, 1);
	transfer("127.0.0.1:0", &conn, 1, 1, 1);
}

static void
local(void **state)
{
	struct server s = { .local = 1 };
	struct conn_opts c = conn;
	struct feed f = { .n = N, .spoil = -1 };
	struct err e;

	(void)state;
	c.auth = CONN_PSK;
	c.psk = psk;
	c.n_psk = sizeof(psk);
	start(&s, "127.0.0.1:0", &c);
	if (push(&s, &f, &c, 0, NULL, &e) < 0)
		fail_msg("%s", e.text);
	end_server(&s);
	assert_int_equal(s.keep.n, N);
	assert_non_null(strstr(s.run.transport, "shm, 2 connections"));
	assert_int_equal(s.run.totals.fallbacks, 0);
}

static void
tls_psk(void **state)
{
	struct conn_opts c = conn;

	(void)state;
	c.auth = CONN_PSK;
	c.psk = psk;
	c.n_psk = sizeof(psk);
	transfer("127.0.0.1:0", &c, 1, 0, 0);
	transfer("127.0.0.1:0", &c, 0, 1, 1);
}

static void
shm(void **state)
{
	char where[64];

	(void)state;
	snprintf(where, sizeof(where), "unix:///tmp/kvtools-wire-%ld", (long)getpid());
	transfer(where, &conn, 1, 0, 0);
	transfer(where, &conn, 0, 1, 0);
	transfer(where, &conn, 0, 2, 1);
	assert_int_equal(access(where + 7, F_OK), -1);
}

/* Refused before a byte of data: kind at the dialler. */
static void
refusal(const struct conn_opts *there, const struct conn_opts *here, enum err_kind kind)
{
	struct server s = { 0 };
	struct feed f = { .n = 3, .spoil = -1 };
	struct err e;

	start(&s, "127.0.0.1:0", there);
	assert_int_equal(push(&s, &f, here, 0, NULL, &e), -1);
	end_server(&s);
	if (e.kind != kind)
		fail_msg("%d: %s", e.kind, e.text);
	assert_int_equal(s.keep.n, 0);
	assert_int_equal(f.done[WIRE_END_SENT], 0);
	assert_int_equal(f.done[WIRE_END_FAILED], 3);
	assert_int_equal(s.refused, 1);
}

static void
wrong_key(void **state)
{
	struct conn_opts a = conn, b = conn;

	(void)state;
	a.auth = b.auth = CONN_PSK;
	a.psk = b.psk = psk;
	a.n_psk = sizeof(psk);
	b.n_psk = sizeof(psk) - 1;
	refusal(&a, &b, ERR_REFUSED);
	refusal(&a, &conn, ERR_REFUSED);
	refusal(&conn, &a, ERR_REFUSED);
}

static void
damage(void **state)
{
	struct server s = { 0 };
	struct feed f = { .n = 10, .spoil = 4 };
	struct wire_totals t;
	struct err e;

	(void)state;
	start(&s, "127.0.0.1:0", &conn);
	if (push(&s, &f, &conn, 0, &t, &e) < 0)
		fail_msg("%s", e.text);
	end_server(&s);
	assert_int_equal(f.done[WIRE_END_SENT], 9);
	assert_int_equal(f.done[WIRE_END_FAILED], 1);
	assert_int_equal(s.keep.n, 9);
	assert_int_equal(s.keep.have[4], 0);
	assert_int_equal(t.failed, 1);
	assert_int_equal(s.run.totals.failed, 1);
}

static void
source_breaks(void **state)
{
	struct server s = { 0 };
	struct feed f = { .n = 10, .spoil = -1, .broken = 6 };
	struct err e;

	(void)state;
	start(&s, "127.0.0.1:0", &conn);
	assert_int_equal(push(&s, &f, &conn, 0, NULL, &e), -1);
	end_server(&s);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_int_equal(f.done[WIRE_END_SENT], 6);
	assert_int_equal(s.keep.n, 6);
	assert_int_equal(s.rc, -1);
	assert_int_equal(s.e.kind, ERR_CORRUPT);
	assert_int_equal(s.run.ended, 1);
}

static void
disk_full(void **state)
{
	struct server s = { .keep = { .full_after = 5 } };
	struct feed f = { .n = 100, .spoil = -1 };
	struct err e;

	(void)state;
	start(&s, "127.0.0.1:0", &conn);
	assert_int_equal(push(&s, &f, &conn, 0, NULL, &e), -1);
	end_server(&s);
	assert_int_equal(e.kind, ERR_FAILED);
	assert_non_null(strstr(e.text, "no space left"));
	assert_int_equal(s.e.kind, ERR_FAILED);
	assert_int_equal(s.keep.n, 5);
	assert_true(f.done[WIRE_END_SENT] <= 5);
	assert_int_equal(f.done[0] + f.done[1] + f.done[2], f.next);
}

/* Chunks far beyond the pool: memory bounds both ends, and nobody starves. */
static void
little_memory(void **state)
{
	struct pool *small;
	struct server s = { .sink = { .ordered = 1 } };
	struct feed f = { .n = N, .spoil = -1, .how = 1 };
	struct err e;

	(void)state;
	assert_int_equal(pool_open(&small, 3 * (CHUNK_ALIGN + PAYLOAD), &e), 0);
	start(&s, "127.0.0.1:0", &conn);
	s.opts.pool = small;
	pool_close(pool);
	pool = small;
	if (push(&s, &f, &conn, 0, NULL, &e) < 0)
		fail_msg("%s", e.text);
	end_server(&s);
	assert_int_equal(s.keep.n, N);
	pool_close(small);
	assert_int_equal(pool_open(&pool, 1 << 30, &e), 0);
}

static void *
push_thread(void *arg)
{
	struct { const struct server *s; struct feed f; int rc; struct err e; } *p = arg;

	p->rc = push(p->s, &p->f, &conn, 0, NULL, &p->e);
	return NULL;
}

static void
many_senders(void **state)
{
	struct server s = { .want = 24 };
	struct { const struct server *s; struct feed f; int rc; struct err e; } p[24];
	pthread_t t[24];
	unsigned i;

	(void)state;
	memset(p, 0, sizeof(p));
	start(&s, "127.0.0.1:0", &conn);
	for (i = 0; i < 24; i++) {
		p[i].s = &s;
		p[i].f = (struct feed){ .from = i * 50, .n = 50, .spoil = -1 };
		assert_int_equal(pthread_create(&t[i], NULL, push_thread, &p[i]), 0);
	}
	for (i = 0; i < 24; i++) {
		pthread_join(t[i], NULL);
		if (p[i].rc < 0)
			fail_msg("%u: %s", i, p[i].e.text);
		assert_int_equal(p[i].f.done[WIRE_END_SENT], 50);
	}
	end_server(&s);
	assert_int_equal(s.keep.n, 24 * 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp),
		cmocka_unit_test(local),
		cmocka_unit_test(tls_psk),
		cmocka_unit_test(shm),
		cmocka_unit_test(wrong_key),
		cmocka_unit_test(damage),
		cmocka_unit_test(source_breaks),
		cmocka_unit_test(disk_full),
		cmocka_unit_test(little_memory),
		cmocka_unit_test(many_senders),
	};
	struct err e;
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (pool_open(&pool, 1 << 30, &e) < 0)
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	pool_close(pool);
	return rc;
}
