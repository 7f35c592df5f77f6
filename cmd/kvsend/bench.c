#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "kvsend/bench.h"
#include "opts.h"
#include "out.h"
#include "peer_opts.h"
#include "tool.h"

#define TOKENS 16
#define HEAD_DIM 64
#define PIECE ((uint64_t)2 * TOKENS * HEAD_DIM * 2)	/* a head's payload: the least size */
#define SAMPLES_MAX 4096

/* One size: the same chunk again and again. */
struct sweep {
	struct wire_item item;
	struct chunk chunk;
	unsigned n, given, done, failed;
	int alone;		/* --latency: the next only after the last was acknowledged */
	double *began, *took;	/* s, of each */
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct wire_source *source;
	char row[200];
};

struct one {
	struct wire_item item;	/* first */
	unsigned index;
};

static int
make_chunk(struct sweep *s, uint64_t size, struct err *e)
{
	struct chunk *c = &s->chunk;
	struct buf name = { 0 };
	uint64_t i;
	int rc;

	memset(c, 0, sizeof(*c));
	c->head.geom = (struct geom){ .dtype = DT_BF16, .kv = 2, .layers = 1, .layers_total = 1,
	    .heads = (uint32_t)(size / PIECE), .heads_total = (uint32_t)(size / PIECE),
	    .head_dim = HEAD_DIM };
	strcpy(c->head.key.model, "bench");
	strcpy(c->head.algo, "opaque");
	c->head.key.tp = 1;
	c->head.key.hash.len = 32;
	c->head.tokens = c->head.chunk_tokens = TOKENS;
	if (pool_extra(peer.pool, CHUNK_ALIGN + (size_t)size, &c->mem, e) < 0)
		return -1;
	c->mem.len = CHUNK_ALIGN + (size_t)size;
	for (i = 0; i < size; i += 8)
		put_le64(c->mem.p + CHUNK_ALIGN + i, i * 0x9e3779b97f4a7c15u);
	if (chunk_seal(c, peer.pool, e) < 0)
		return -1;
	rc = key_name(&name, &c->head.key, e);
	if (rc == 0)
		memcpy(s->item.offer.name, name.p, name.len);
	buf_free(&name);
	s->item.offer.size = c->mem.len;
	s->item.offer.region = (uint32_t)c->head.region;
	s->item.offer.digest = c->head.digest;
	s->item.offer.seal = c->head.seal;
	s->item.mem = c->mem;
	s->item.fd = -1;
	return rc;
}

static int
next(void *ctx, int wait, struct wire_item **out, struct err *e)
{
	struct sweep *s = ctx;
	struct timespec t;
	struct one *x;
	int rc = 2;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec++;
	pthread_mutex_lock(&s->lock);
	if (wait && s->alone && s->given > s->done)
		pthread_cond_timedwait(&s->change, &s->lock, &t);
	if (s->given == s->n) {
		rc = 0;
	} else if (!s->alone || s->given == s->done) {
		x = malloc(sizeof(*x));
		rc = x ? 1 : err_sys(e, "bench");
		if (x) {
			x->item = s->item;
			x->index = s->given;
			x->item.own = x;
			s->began[s->given++] = clock_mono();
			*out = &x->item;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static void
done(void *ctx, struct wire_item *it, enum wire_end how, const struct err *why)
{
	struct sweep *s = ctx;
	struct one *x = it->own;

	(void)why;
	pthread_mutex_lock(&s->lock);
	s->took[s->done] = clock_mono() - s->began[x->index];
	s->failed += how == WIRE_END_FAILED;
	s->done++;
	pthread_cond_broadcast(&s->change);
	pthread_mutex_unlock(&s->lock);
	free(x);
}

static int
by_time(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The row, for both ends; called when all is acknowledged. */
static const char *
farewell(void *ctx)
{
	struct sweep *s = ctx;
	double first = s->began[0], last = clock_mono();
	double rate = (double)s->n * (double)s->chunk.head.payload / (last - first);
	char size[NUM_TEXT], speed[NUM_TEXT], line[16] = "-";
	uint64_t bits;

	qsort(s->took, s->n, sizeof(*s->took), by_time);
	wire_source_transport(s->source, &bits);
	if (bits)
		snprintf(line, sizeof(line), "%.0f", 800 * rate / (double)bits);
	snprintf(s->row, sizeof(s->row), "%-9s %6u %9.3f %9.3f %9.3f %9.3f %11s %5s",
		num_size_text(size, s->chunk.head.payload), s->n, 1e3 * s->took[0],
		1e3 * s->took[s->n / 2], 1e3 * s->took[s->n - 1 - s->n / 100],
		1e3 * s->took[s->n - 1], num_rate_text(speed, rate), line);
	return s->row;
}

static int
run(void *ctx, struct conn *c, struct err *e)
{
	return wire_source_run(((struct sweep *)ctx)->source, c, NULL, e);
}

static uint64_t
progress(void *ctx)
{
	return ((struct sweep *)ctx)->done;
}

static enum transport
transport(void *ctx)
{
	(void)ctx;
	return TRANSPORT_COUNT;
}

static void
print_json(const struct sweep *s, const char *to)
{
	const struct wire_totals *t = wire_source_totals(s->source);
	struct buf b = { 0 };

	buf_str(&b, "\"peer\":");
	buf_json(&b, to, strlen(to));
	buf_str(&b, ",\"transport\":");
	buf_json(&b, wire_source_transport(s->source, NULL),
		strlen(wire_source_transport(s->source, NULL)));
	buf_printf(&b, ",\"size\":%" PRIu64 ",\"n\":%u,\"min_s\":%.9f,\"p50_s\":%.9f,"
		"\"p99_s\":%.9f,\"max_s\":%.9f,\"wire_s\":%.6f,\"settle_s\":%.6f",
		s->chunk.head.payload, s->n,
		s->took[0], s->took[s->n / 2], s->took[s->n - 1 - s->n / 100], s->took[s->n - 1],
		(double)t->wire_us / 1e6, (double)t->settle_us / 1e6);
	if (buf_text(&b))
		out_summary("kvsend", b.p, 1);
	buf_free(&b);
}

static int
one_size(const struct conn_addr *a, const char *to, uint64_t size, int alone, struct err *e)
{
	struct sweep s = { .lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER,
	    .alone = alone };
	struct wire_feed f = { .ctx = &s, .next = next, .done = done };
	struct wire_opts wo = peer.wire;
	struct wire_dial d = { .addr = a, .opts = &wo, .ctx = &s, .run = run, .progress = progress,
	    .transport = transport };
	uint64_t n = (alone ? (uint64_t)64 << 20 : (uint64_t)1 << 30) / size;
	int rc = -1;

	s.n = n < 20 ? 20 : n > (alone ? 1000 : SAMPLES_MAX) ? (alone ? 1000 : SAMPLES_MAX) :
	    (unsigned)n;
	s.began = calloc(s.n, sizeof(*s.began));
	s.took = calloc(s.n, sizeof(*s.took));
	wo.bench = 1;
	wo.farewell = farewell;
	wo.farewell_ctx = &s;
	if (!s.began || !s.took)
		err_sys(e, "bench");
	else if (make_chunk(&s, size, e) == 0 && wire_source_open(&s.source, &f, &wo, e) == 0)
		rc = wire_dial(&d, e);
	if (rc == 0) {
		tool_note("%s", s.row);
		print_json(&s, to);
	}
	s.n = s.given;
	wire_source_close(s.source, e);
	chunk_free(&s.chunk, peer.pool);
	free(s.began);
	free(s.took);
	return rc;
}

/* "1M..80M", or one size; both rounded down to what a chunk can have. */
static int
read_range(const char *text, uint64_t *from, uint64_t *to, struct err *e)
{
	char first[64];
	const char *dots = strstr(text, "..");
	size_t n = dots ? (size_t)(dots - text) : strlen(text);

	if (n >= sizeof(first))
		return err_set(e, ERR_USAGE, "--size '%.40s': not a range of sizes", text);
	memcpy(first, text, n);
	first[n] = '\0';
	if (num_size(from, first, "--size", e) < 0 ||
	    num_size(to, dots ? dots + 2 : first, "--size", e) < 0)
		return -1;
	if (*from < PIECE || *to < *from || *to > opts_common.mem / 2)
		return err_set(e, ERR_USAGE, "--size '%.40s': from %" PRIu64 " to half of --mem",
			text, PIECE);
	return 0;
}

int
bench_run(const char *to, const char *sizes, int alone, struct err *e)
{
	struct conn_addr a;
	uint64_t from, last, size;

	if (conn_addr_parse(&a, to, e) < 0 || read_range(sizes, &from, &last, e) < 0)
		return -1;
	tool_note("%-9s %6s %9s %9s %9s %9s %11s %5s", "SIZE", "N", "MIN ms", "P50 ms", "P99 ms",
		"MAX ms", "RATE", "LINE%");
	for (size = from / PIECE * PIECE; size <= last; size *= 2)
		if (one_size(&a, to, size, alone, e) < 0)
			return -1;
	return 0;
}
