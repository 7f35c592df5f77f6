#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/stop.h"
#include "metrics.h"
#include "opts.h"
#include "out.h"
#include "kvsend/bench.h"
#include "kvsend/inputs.h"
#include "peer_opts.h"
#include "progress.h"
#include "select_opts.h"
#include "tool.h"

enum { FROM = OPT_FIRST, CHAIN, TOKENS, ALGO, CHUNK_TOKENS, LIMIT, SORT, ORDER, REPLICATE, SHARD,
	GEOMETRY, BENCH, LATENCY, SIZE };

#define RETURN_S 30.0	/* a receiver that was cut and retries is waited for */
#define PEERS_MAX 64

static const struct opt options[] = {
	{ FROM, "from", "STORE", "from this store; what a receiver has is not even read", "DIR" },
	SELECT_OPTIONS,
	{ CHAIN, "chain", "HEAD", "the chain that ends with this chunk, root first", NULL },
	{ TOKENS, "tokens", "FILE", "the chunks of this prompt, as far as they are there", "FILE" },
	{ ALGO, "algo", "NAME", "hash algorithm of the names for --tokens (default blake3)", NULL },
	{ CHUNK_TOKENS, "chunk-tokens", "N", "tokens a chunk (default 256)", NULL },
	{ LIMIT, "limit", "SIZE", "no more than this", NULL },
	{ SORT, "sort", "ORDER", "chain (default), newest, oldest, size, hits",
		"chain newest oldest size hits" },
	{ ORDER, "order", "ORDER", "chain (default), or layer: several chunks "
		"side by side", "chain layer" },
	{ REPLICATE, "replicate", NULL, "several PEERs: all chunks to each (default)", NULL },
	{ SHARD, "shard", NULL, "several PEERs: each rank's chunks to one of them", NULL },
	{ GEOMETRY, "geometry", "MODEL", "of bodies in other engines' stores", NULL },
	{ BENCH, "bench", NULL, "measure the way to a kvrecv, which checks and drops", NULL },
	{ LATENCY, "latency", NULL, "the same, one chunk at a time", NULL },
	{ SIZE, "size", "RANGE", "of chunks to measure with (default 64K..64M)", NULL },
	PEER_OPTIONS,
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvsend [options] PEER... [FILE ...]\n"
	"kvsend [options] PEER... --from STORE [NAME ...]\n"
	"kvsend [options] --listen ADDR [FILE ...] [--from STORE [NAME ...]]",
	"Sends chunks to kvrecv: a stream (standard input, or FILEs), or from a store. PEER is\n"
	"host:port, tcp://, rdma://, auto:// or unix:///path. Only what the receiver lacks moves,\n"
	"and a run that was cut is simply run again.",
	options,
	"  kvget shm:hot | kvsend auto://decode-0:7471 --psk-file pd.psk\n"
	"  kvsend --from /nvme/kv --chain 9ad0b1 decode-0:7471 decode-1:7471\n"
	"  kvsend --listen :7471 --psk-file pd.psk --from /nvme/kv --serve",
	"kvsend(1)",
};

static void chunk_failed(void *ctx, const struct err *why);

static const char *peers[PEERS_MAX];
static unsigned n_peers;
static int bench;			/* 1: --bench, 2: --latency */
static const char *bench_sizes = "64K..64M";
static struct what o = { .failed = chunk_failed };

/* A peer that we send to. */
struct target {
	struct conn_addr addr;
	struct wire_opts opts;
	struct wire_source *source;
	char name[300];
	pthread_t thread;
	unsigned index;
};

/* Of everything below, and of tool_*. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct wire_totals sum;
static int leaving;			/* what fails now is an echo */
static struct {
	struct inputs in;
	struct wire_source *source;	/* --listen: of the one transfer */
	int busy, finished;
	double cut_at, last_at;
	unsigned active;
	struct err cut_why;
} g;

static void
option(int c)
{
	struct err e;
	int rc = 0;

	if (peer_option(c) || select_option(c, &o.sel))
		return;
	switch (c) {
	case FROM: o.from = opts_arg; break;
	case CHAIN: o.pick.chain = opts_arg; break;
	case TOKENS: o.pick.tokens = opts_arg; break;
	case ALGO: o.pick.algo = opts_arg; break;
	case CHUNK_TOKENS:
		rc = num_u64(&o.pick.chunk_tokens, opts_arg, 1, 1 << 20, "--chunk-tokens", &e);
		break;
	case LIMIT: rc = num_size(&o.pick.limit, opts_arg, "--limit", &e); break;
	case SORT: rc = pick_sort(&o.pick, opts_arg, &e); break;
	case ORDER:
		if (strcmp(opts_arg, "layer") != 0 && strcmp(opts_arg, "chain") != 0)
			opts_bad("--order '%.20s': chain or layer", opts_arg);
		peer.wire.layers = *opts_arg == 'l';
		break;
	case REPLICATE: o.shard = 0; break;
	case SHARD: o.shard = 1; break;
	case GEOMETRY: o.geometry = opts_arg; break;
	case BENCH: bench = 1; break;
	case LATENCY: bench = 2; break;
	case SIZE: bench_sizes = opts_arg; break;
	}
	if (rc < 0)
		opts_die(&e);
}

static void
chunk_failed(void *ctx, const struct err *why)
{
	(void)ctx;
	pthread_mutex_lock(&lock);
	if (!leaving && why->kind == ERR_PARTIAL) {
		tool_mark(ERR_PARTIAL);		/* of a time limit: the rest, without a line each */
	} else if (!leaving) {
		tool_fail(why);
		tool_mark(why->kind == ERR_CORRUPT ? ERR_CORRUPT : ERR_PARTIAL);
	}
	pthread_mutex_unlock(&lock);
}

/* ---- the end of a transfer ---- */

static void
finish(struct wire_source *s, const char *who, int rc, const struct err *why)
{
	struct peer_report p = { .role = "sent", .peer = who };

	pthread_mutex_lock(&lock);
	p.t = wire_source_totals(s);
	p.transport = wire_source_transport(s, &p.line);
	if (rc < 0) {
		tool_fail(why);
		if (p.t->sent)		/* some of it did arrive */
			tool_mark(ERR_PARTIAL);
	}
	if (p.t->failed)
		tool_mark(ERR_PARTIAL);
	if (*p.transport)
		peer_summary(&p);
	peer_add(&sum, p.t);
	leaving += rc < 0;
	pthread_mutex_unlock(&lock);
	wire_source_close(s, why);
	pthread_mutex_lock(&lock);
	leaving -= rc < 0;
	pthread_mutex_unlock(&lock);
}

static void
look(void *ctx, struct progress_now *now)
{
	struct outbox_now n;

	outbox_look(((struct inputs *)ctx)->box, &n);
	now->chunks = n.chunks;
	now->bytes_in = now->bytes_out = n.bytes;
	now->buffer = -1;
}

static void
end_inputs(struct inputs *in)
{
	struct outbox_now n = { 0 };

	if (in->box)
		outbox_look(in->box, &n);
	if (n.timed_out) {
		tool_note("time limit reached");
		tool_mark(ERR_PARTIAL);
	}
	inputs_close(in);
}

/* ---- pushing ---- */

static int
push_run(void *ctx, struct conn *c, struct err *e)
{
	return wire_source_run(((struct target *)ctx)->source, c, NULL, e);
}

static uint64_t
push_progress(void *ctx)
{
	const struct wire_totals *t = wire_source_totals(((struct target *)ctx)->source);

	return t->sent + t->had;
}

static enum transport
push_transport(void *ctx)
{
	const char *t = wire_source_transport(((struct target *)ctx)->source, NULL);

	return strncmp(t, "rdma", 4) ? TRANSPORT_COUNT : TRANSPORT_VERBS;
}

static void *
push(void *arg)
{
	struct target *t = arg;
	struct wire_dial d = { .addr = &t->addr, .opts = &t->opts, .ctx = t, .run = push_run,
	    .progress = push_progress, .transport = push_transport };
	struct err e;
	int rc;

	rc = wire_dial(&d, &e);
	if (rc < 0 && n_peers > 1)
		err_in(&e, "%s", t->name);
	/* Here and now: the others need the memory that ours held. */
	finish(t->source, t->name, rc, &e);
	outbox_leave(g.in.box, t->index);
	return NULL;
}

static void
push_all(void)
{
	struct target *t = calloc(n_peers, sizeof(*t));
	struct wire_feed feed;
	struct err e;
	unsigned i, n = 0;

	if (!t)
		opts_no_memory();
	if (inputs_open(&g.in, &o, n_peers, &e) < 0) {
		tool_fail(&e);
		free(t);
		inputs_close(&g.in);
		return;
	}
	for (n = 0; n < n_peers; n++) {
		t[n].opts = peer.wire;
		t[n].index = n;
		snprintf(t[n].name, sizeof(t[n].name), "%.280s", peers[n]);
		feed = outbox_feed(g.in.box, n);
		if (conn_addr_parse(&t[n].addr, peers[n], &e) < 0 ||
		    wire_source_open(&t[n].source, &feed, &t[n].opts, &e) < 0)
			opts_die(&e);
		if (pthread_create(&t[n].thread, NULL, push, &t[n]) != 0)
			opts_bad("no more threads");
	}
	progress_start(look, &g.in);
	for (i = 0; i < n; i++)
		pthread_join(t[i].thread, NULL);
	progress_stop();
	end_inputs(&g.in);
	free(t);
}

/* ---- listening: receivers come for it ---- */

/* --serve: each receiver gets a reading of its own. */
static void
serve_one(struct conn *c, struct wire_door *door)
{
	struct wire_source *s = NULL;
	struct inputs in;
	struct wire_feed feed;
	struct err e = { 0 };
	int rc = inputs_open(&in, &o, 1, &e);

	if (rc == 0) {
		feed = outbox_feed(in.box, 0);
		rc = wire_source_open(&s, &feed, &peer.wire, &e);
	}
	if (rc == 0)
		rc = wire_source_run(s, c, door, &e);
	if (s)
		finish(s, conn_name(c), rc, &e);
	else
		chunk_failed(NULL, &e);
	inputs_close(&in);
}

static void
session(void *ctx, struct conn *c, struct wire_door *door)
{
	struct err e = { 0 };
	int rc;

	(void)ctx;
	pthread_mutex_lock(&lock);
	g.active++;
	rc = peer.serve || (!g.busy && !g.finished);
	g.busy = 1;
	pthread_mutex_unlock(&lock);
	if (peer.serve) {
		serve_one(c, door);
	} else if (rc) {
		rc = wire_source_run(g.source, c, door, &e);
		pthread_mutex_lock(&lock);
		if (rc < 0 && !*wire_source_transport(g.source, NULL)) {
			tool_note("no transfer: %s", e.text);	/* never got as far as the lanes */
		} else if (rc < 0 && e.kind == ERR_TEMP && wire_source_returns(g.source)) {
			g.cut_at = clock_mono();
			g.cut_why = e;
			tool_note("%s; it may come back", e.text);
		} else {
			g.finished = 1 + (rc < 0);
			g.cut_why = e;
		}
		g.busy = 0;
		pthread_mutex_unlock(&lock);
	}
	pthread_mutex_lock(&lock);
	g.active--;
	g.last_at = clock_mono();
	pthread_mutex_unlock(&lock);
}

static void
refused(void *ctx, const char *who, const struct err *why)
{
	(void)ctx;
	tool_note("refused %s: %s", who, why->text);
}

static int
enough(void *ctx)
{
	double now = clock_mono();
	int rc;

	(void)ctx;
	pthread_mutex_lock(&lock);
	if (!g.active && g.cut_at > 0 && now - g.cut_at > RETURN_S && !g.finished)
		g.finished = 2;
	if (!g.active && peer.idle_s > 0 && now - g.last_at > peer.idle_s && !g.finished) {
		if (!peer.serve)
			err_set(&g.cut_why, ERR_TEMP, "no receiver came within %g s", peer.idle_s);
		g.finished = peer.serve ? 1 : 2;
	}
	rc = g.finished != 0;
	pthread_mutex_unlock(&lock);
	return rc;
}

static void
serve(void)
{
	struct wire_serve w = { .max_conns = peer.max_peers, .session = session,
	    .refused = refused, .enough = enough };
	struct wire_feed feed;
	struct err e;
	int rc = 0;

	g.last_at = clock_mono();
	if (!peer.serve) {
		rc = inputs_open(&g.in, &o, 1, &e);
		if (rc == 0) {
			feed = outbox_feed(g.in.box, 0);
			rc = wire_source_open(&g.source, &feed, &peer.wire, &e);
		}
	}
	if (rc == 0)
		rc = peer_listen(&w.listener, &e);
	if (rc == 0) {
		rc = wire_serve(&w, &peer.conn, &e);
		listener_close(w.listener);
	}
	if (rc == 0 && g.finished == 2) {
		rc = -1;
		e = g.cut_why;
	}
	if (g.source)
		finish(g.source, "receiver", rc, &e);
	else if (rc < 0)
		tool_fail(&e);
	if (!peer.serve)
		end_inputs(&g.in);
}

/* ---- */

/* Operands: peers first, by their form; then files, or names of chunks. */
static void
operands(char **argv, int n)
{
	struct conn_addr a;
	int i = 0;

	while (!peer.listen && i < n && strcmp(argv[i], "-") != 0 && access(argv[i], F_OK) < 0 &&
	    strncmp(argv[i], "gen:", 4) != 0 && conn_addr_parse(&a, argv[i], NULL) == 0) {
		if (n_peers == PEERS_MAX)
			opts_bad("at most %d peers", PEERS_MAX);
		peers[n_peers++] = argv[i++];
	}
	o.names = argv + i;
	o.n_names = n - i;
	if (!peer.listen && !n_peers)
		opts_bad("to whom? kvsend PEER [FILE ...], or kvsend --listen ADDR%s%.60s",
			n ? "; no peer: " : "", n ? argv[0] : "");
	if (o.from)
		select_names(&o.sel, o.names, o.n_names);
	if (peer.serve && !o.from && (!o.n_names || !strcmp(*o.names, "-")))
		opts_bad("--serve needs --from or files: standard input can be read but once");
}

/* -n: what would be offered. */
static void
dry_run(void)
{
	struct wire_totals t = { 0 };
	struct wire_item *it;
	struct wire_feed f = { 0 };
	struct err e = { 0 };
	char size[NUM_TEXT], count[NUM_TEXT];
	int rc = inputs_open(&g.in, &o, 1, &e);

	if (rc == 0)
		f = outbox_feed(g.in.box, 0);
	while (rc == 0 && !stop_asked() && (rc = f.next(f.ctx, 1, &it, &e)) > 0) {
		if (rc == 1) {
			t.offered++;
			t.offered_bytes += it->offer.size;
			f.done(f.ctx, it, WIRE_END_HAD, NULL);
		}
		rc = 0;		/* 2: none yet */
	}
	if (rc < 0)
		tool_fail(&e);
	tool_note("would offer %s %s", num_count_text(count, t.offered, "chunk"),
		num_size_text(size, t.offered_bytes));
	inputs_close(&g.in);
}

int
main(int argc, char **argv)
{
	double began = clock_mono();
	struct buf b;
	struct err e;
	int c;

	tool_start("kvsend");
	select_init(&o.sel);
	o.pick.chunk_tokens = 256;
	while ((c = opts_next(argc, argv, &usage)) != -1)
		option(c);
	operands(argv + optind, argc - optind);
	peer_ready(n_peers ? peers[0] : NULL);
	peer.wire.bwlimit = opts_common.bwlimit;
	if (opts_common.max_duration > 0)
		peer.wire.until = began + opts_common.max_duration;
	if (bench && peer.listen)
		opts_bad("--bench and --latency go to a kvrecv that listens");
	if (bench && bench_run(peers[0], bench_sizes, bench == 2, &e) < 0)
		tool_fail(&e);
	else if (bench)
		;
	else if (opts_common.dry)
		dry_run();
	else if (peer.listen)
		serve();
	else
		push_all();
	metrics_begin(&b);
	peer_metrics(&b, &sum, 1);
	metrics_end(&b, clock_mono() - began);
	peer_done();
	return tool_end();
}
