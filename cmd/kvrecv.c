#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "base/stop.h"
#include "flow/inbox.h"
#include "metrics.h"
#include "opts.h"
#include "out.h"
#include "peer_opts.h"
#include "pick.h"
#include "progress.h"
#include "tool.h"

enum { INTO = OPT_FIRST, HAVE, REPLACE, DIRECT, SENDERS, TOKENS, ALGO, CHUNK_TOKENS, CHUNK_MAX,
	PEER_MEM, STALL };

#define RETURN_S 30.0	/* a sender that was cut and retries is waited for */
#define HAVE_MAX 16
#define PEER_MEM_DEFAULT (96u << 20)	/* more than a long fast link holds; few blocks stay warm */

static const struct opt options[] = {
	{ INTO, "into", "STORE", "put chunks there instead of writing a stream", "DIR" },
	{ HAVE, "have", "STORE", "chunks in there need not be sent; again for more", "DIR" },
	{ REPLACE, "replace", NULL, "chunks that differ replace those in the store", NULL },
	{ DIRECT, "direct", NULL, "into files past the page cache (O_DIRECT)", NULL },
	{ SENDERS, "senders", "N", "end after N transfers instead of one", NULL },
	{ TOKENS, "tokens", "FILE", "only the chunks of this prompt", "FILE" },
	{ ALGO, "algo", "NAME", "hash algorithm of the names for --tokens (default blake3)", NULL },
	{ CHUNK_TOKENS, "chunk-tokens", "N", "tokens a chunk (default 256)", NULL },
	{ CHUNK_MAX, "chunk-max", "SIZE", "the largest chunk that is taken", NULL },
	{ PEER_MEM, "peer-mem", "SIZE", "under way from one sender (default 96M)", NULL },
	{ STALL, "stall-timeout", "TIME", "drop a sender that holds memory and sends nothing "
		"(default 5m)", NULL },
	PEER_OPTIONS,
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvrecv [options] --listen ADDR\n"
	"kvrecv [options] PEER [NAME ...]",
	"Receives chunks from kvsend: to standard output as a stream, or into a store. Each is\n"
	"checked before it is passed on and acknowledged; what is there already is not sent.",
	options,
	"  kvrecv --listen :7471 --psk-file pd.psk --into shm:kv --have /nvme/kv --serve\n"
	"  kvrecv --listen 127.0.0.1:7471 | kvput ./store\n"
	"  kvrecv prefill-0:7471 --psk-file pd.psk --tokens prompt.json --into ./store",
	"kvrecv(1)",
};

static struct {
	const char *into, *tokens, *algo;
	const char *have[HAVE_MAX];
	size_t n_have;
	struct place into_place, have_place[HAVE_MAX];
	struct place *places[HAVE_MAX + 1];
	struct inbox_opts box;
	uint64_t chunk_tokens;
	unsigned senders;
	int replace;
	unsigned direct;	/* STORE_DIRECT or none */
} o = { .chunk_tokens = 256, .senders = 1 };

/* All sessions, under lock. */
static struct {
	pthread_mutex_t lock;
	struct inbox *box;
	struct wire_sink sink;
	struct wire_run run;		/* of the last sender; taken over by its return */
	int run_busy;
	struct wire_totals sum;
	unsigned finished, active;
	double cut_at, last_at;		/* 0: no sender is awaited back */
	struct err cut_why;
	struct err why;			/* kind ERR_NONE: all went well */
} g = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
option(int c)
{
	uint64_t n = 0;
	struct err e;
	int rc = 0;

	if (peer_option(c))
		return;
	switch (c) {
	case INTO: o.into = opts_arg; break;
	case HAVE:
		if (o.n_have == HAVE_MAX)
			opts_bad("--have: at most %d", HAVE_MAX);
		o.have[o.n_have++] = opts_arg;
		break;
	case REPLACE: o.replace = 1; break;
	case DIRECT: o.direct = STORE_DIRECT; break;
	case SENDERS:
		rc = num_u64(&n, opts_arg, 1, 1000000, "--senders", &e);
		o.senders = (unsigned)n;
		break;
	case TOKENS: o.tokens = opts_arg; break;
	case ALGO: o.algo = opts_arg; break;
	case CHUNK_TOKENS:
		rc = num_u64(&o.chunk_tokens, opts_arg, 1, 1 << 20, "--chunk-tokens", &e);
		break;
	case CHUNK_MAX: rc = num_size(&peer.wire.chunk_max, opts_arg, "--chunk-max", &e); break;
	case PEER_MEM: rc = num_size(&peer.wire.peer_max, opts_arg, "--peer-mem", &e); break;
	case STALL: rc = num_duration(&peer.wire.stall_s, opts_arg, "--stall-timeout", &e); break;
	}
	if (rc < 0)
		opts_die(&e);
}

/* ---- sessions ---- */

static void
report(const struct wire_run *r)
{
	struct peer_report p = { .role = "received", .peer = r->peer, .transport = r->transport,
	    .line = r->line, .t = &r->totals };

	peer_summary(&p);
}

/* A transfer is over, well or badly. Lock held. */
static void
finish(const struct wire_run *r, const struct err *why)
{
	struct err e;

	g.finished++;
	g.cut_at = 0;
	peer_add(&g.sum, &r->totals);
	if (*r->transport)
		report(r);
	if (!why && r->totals.failed) {
		err_set(&e, ERR_PARTIAL, "%" PRIu64 " chunks of %s failed", r->totals.failed,
			r->peer);
		why = &e;
	}
	if (why) {
		tool_fail(why);
		if (!g.why.kind)
			g.why = *why;
	}
	memset(&g.run, 0, sizeof(g.run));
}

/* After one connection. Lock held. */
static void
settle(const struct wire_run *r, int rc, const struct err *e)
{
	int away = rc < 0 && !r->ended && e->kind == ERR_TEMP;

	if (rc < 0 && !*r->transport) {		/* never got as far as the lanes */
		tool_note("no transfer: %s", e->text);
	} else if (away && r->retries) {
		g.run = *r;
		g.cut_at = clock_mono();
		g.cut_why = *e;
		tool_note("%s: %s; it may come back", r->peer, e->text);
	} else {
		finish(r, rc < 0 ? e : NULL);
	}
}

static int
one_session(struct conn *c, struct wire_door *door, struct err *e)
{
	struct wire_run r;
	int rc, mine;

	pthread_mutex_lock(&g.lock);
	g.active++;
	mine = !g.run_busy;
	g.run_busy = 1;
	r = mine ? g.run : (struct wire_run){ 0 };
	pthread_mutex_unlock(&g.lock);
	rc = wire_sink_run(&g.sink, &peer.wire, c, door, &r, e);
	pthread_mutex_lock(&g.lock);
	if (mine)
		g.run_busy = 0;
	if (door)
		settle(&r, rc, e);
	else
		g.run = r;
	g.active--;
	g.last_at = clock_mono();
	pthread_mutex_unlock(&g.lock);
	return rc;
}

static void
session(void *ctx, struct conn *c, struct wire_door *door)
{
	struct err e = { 0 };

	(void)ctx;
	one_session(c, door, &e);
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
	int rc = 0;

	(void)ctx;
	pthread_mutex_lock(&g.lock);
	if (!peer.serve && g.finished >= o.senders)
		rc = 1;
	if (!rc && g.cut_at > 0 && !g.active && now - g.cut_at > RETURN_S) {
		finish(&g.run, &g.cut_why);
		rc = !peer.serve && g.finished >= o.senders;
	}
	if (!rc && peer.idle_s > 0 && !g.active && now - g.last_at > peer.idle_s) {
		rc = 1;
		if (!peer.serve && !g.finished) {
			err_set(&g.why, ERR_TEMP, "no sender came within %g s", peer.idle_s);
			tool_fail(&g.why);
		}
	}
	pthread_mutex_unlock(&g.lock);
	return rc;
}

static void
look(void *ctx, struct progress_now *now)
{
	(void)ctx;
	inbox_count(g.box, &now->chunks, &now->bytes_in);
	now->bytes_out = now->bytes_in;
	now->buffer = -1;
}

static void
serve(void)
{
	struct wire_serve w = { .max_conns = peer.max_peers, .session = session,
	    .refused = refused, .enough = enough };
	struct err e;

	g.last_at = clock_mono();
	if (peer_listen(&w.listener, &e) < 0) {
		tool_fail(&e);
		g.why = e;
		return;
	}
	if (wire_serve(&w, &peer.conn, &e) < 0) {
		tool_fail(&e);
		g.why = e;
	}
	listener_close(w.listener);
}

/* ---- pulling ---- */

static int
pull_run(void *ctx, struct conn *c, struct err *e)
{
	(void)ctx;
	return one_session(c, NULL, e);
}

static uint64_t
pull_progress(void *ctx)
{
	(void)ctx;
	return g.run.totals.sent + g.run.totals.had;
}

static enum transport
pull_transport(void *ctx)
{
	(void)ctx;
	return strncmp(g.run.transport, "rdma", 4) ? TRANSPORT_COUNT : TRANSPORT_VERBS;
}

static void
pull(const struct conn_addr *from)
{
	struct wire_dial d = { .addr = from, .opts = &peer.wire, .run = pull_run,
	    .progress = pull_progress, .transport = pull_transport };
	struct err e = { 0 };
	int rc = wire_dial(&d, &e);

	finish(&g.run, rc < 0 ? &e : NULL);
}

/* ---- where chunks go ---- */

static int
open_place(struct place *p, const char *url, unsigned flags, struct err *e)
{
	struct store_opts so = { .flags = flags, .conf = opts_conf };

	if (place_open(p, url, &so, NULL, e) < 0)
		return -1;
	if (*p->detected)
		tool_note("%s: %s", store_url(p->store), p->detected);
	return 0;
}

static int
open_have(struct err *e)
{
	size_t i;

	for (i = 0; i < o.n_have; i++) {
		if (open_place(&o.have_place[i], o.have[i], STORE_READ, e) < 0)
			return -1;
		if (!o.have_place[i].native)
			return err_set(e, ERR_USAGE, "--have '%s': only native stores can be asked",
				o.have[i]);
		o.places[o.box.n_have++] = &o.have_place[i];
	}
	return 0;
}

static int
open_sink(struct err *e)
{
	struct place_put how = { .replace = o.replace, .looked = 1 };

	if (!o.into) {
		if (tool_binary_out(opts_common.force, e) < 0)
			return -1;
		io_widen_pipe(STDOUT_FILENO);
		o.box.remember = 1;
		return sink_stream(&o.box.to, STDOUT_FILENO, e);
	}
	if (open_place(&o.into_place, o.into, STORE_WRITE | STORE_CREATE | o.direct, e) < 0)
		return -1;
	if (o.into_place.native && strcmp(store_scheme(o.into_place.store), "null") != 0)
		o.places[o.box.n_have++] = &o.into_place;
	if (!opts_common.jobs && store_jobs(o.into_place.store) > peer.wire.jobs)
		peer.wire.jobs = store_jobs(o.into_place.store);
	return sink_place(&o.box.to, &o.into_place, &how, e);
}

static int
hash_cmp(const void *a, const void *b)
{
	return key_hash_cmp(a, b);
}

static int
open_box(char **names, int n, struct err *e)
{
	struct key_hash *only = NULL;
	size_t n_tokens;
	int i;

	for (i = 0; i < n; i++)
		if (key_prefix_check(names[i], e) < 0)
			return -1;
	o.box.prefixes = (const char *const *)names;
	o.box.n_prefixes = (size_t)n;
	o.box.met = calloc((size_t)n + 1, sizeof(*o.box.met));
	if (!o.box.met)
		return err_sys(e, "names");
	if (o.tokens && pick_hashes(o.tokens, o.algo, o.chunk_tokens, &only, &o.box.n_only,
	    &n_tokens, e) < 0)
		return -1;
	if (only)
		qsort(only, o.box.n_only, sizeof(*only), hash_cmp);
	o.box.only = only;
	o.box.pool = peer.pool;
	o.box.replace = o.replace;
	o.box.have = o.places;
	if (open_have(e) < 0 || open_sink(e) < 0)
		return -1;
	o.box.jobs = peer.wire.jobs;
	if (inbox_open(&g.box, &o.box, e) < 0)
		return -1;
	g.sink = inbox_sink(g.box);
	return 0;
}

/* After a transfer that went well: what was asked for by name and not offered. */
static void
tell_absent(void)
{
	struct err e;
	size_t i;

	for (i = 0; o.box.met && i < o.box.n_prefixes; i++) {
		if (o.box.met[i])
			continue;
		err_set(&e, ERR_ABSENT, "%s: no such chunk", o.box.prefixes[i]);
		tool_fail(&e);
	}
}

static void
close_all(double began)
{
	struct err why = g.why, e;
	struct buf b;
	size_t i;

	if (!why.kind && stop_asked() && !peer.serve)
		err_set(&why, ERR_STOPPED, "stopped by a signal");
	if (inbox_close(g.box, why.kind && why.kind != ERR_PARTIAL ? &why : NULL, &e) < 0)
		tool_fail(&e);
	if (g.box && !why.kind)
		tell_absent();
	metrics_begin(&b);
	peer_metrics(&b, &g.sum, 0);
	metrics_end(&b, clock_mono() - began);
	free((void *)o.box.only);
	free((void *)o.box.met);
	place_close(&o.into_place);
	for (i = 0; i < o.n_have; i++)
		place_close(&o.have_place[i]);
}

static void
run(const struct conn_addr *from)
{
	progress_start(look, NULL);
	if (from)
		pull(from);
	else
		serve();
	progress_stop();
}

int
main(int argc, char **argv)
{
	double began = clock_mono();
	struct conn_addr from;
	struct err e;
	int c;

	tool_start("kvrecv");
	while ((c = opts_next(argc, argv, &usage)) != -1)
		option(c);
	if (!peer.wire.peer_max)
		peer.wire.peer_max = PEER_MEM_DEFAULT;
	if (opts_common.dry)
		opts_bad("no dry run here; kvsend -n says what it would offer");
	if (!peer.listen && optind == argc)
		opts_bad("from whom? kvrecv --listen ADDR, or kvrecv PEER");
	if (peer.listen && optind < argc)
		opts_bad("'%.60s': no operand goes with --listen", argv[optind]);
	if (peer.serve && !peer.listen)
		opts_bad("--serve goes with --listen");
	if (!peer.listen && conn_addr_parse(&from, argv[optind], &e) < 0)
		opts_die(&e);
	peer_ready(peer.listen ? NULL : argv[optind]);
	if (open_box(argv + optind + 1, peer.listen ? 0 : argc - optind - 1, &e) < 0)
		tool_fail(&e);
	else
		run(peer.listen ? NULL : &from);
	close_all(began);
	peer_done();
	return tool_end();
}
