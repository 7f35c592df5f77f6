#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "copy.h"
#include "kvstat/common.h"
#include "kvstat/verbs.h"
#include "kvstat/verify.h"
#include "metrics.h"
#include "opts.h"
#include "out.h"
#include "progress.h"
#include "tool.h"

enum { QUICK = OPT_FIRST, SUBSET, ALL, MANIFEST, UPDATE };

static const struct opt options[] = {
	{ QUICK, "quick", NULL, "headers and sizes only, no payload", NULL },
	{ SUBSET, "subset", "PART", "3/7 or 5%: a part of the store, always the same", NULL },
	{ ALL, "all", NULL, "rows for good chunks too (JSON always has them)", NULL },
	{ MANIFEST, "manifest", "FILE", "objects of any kind against checksums in this file",
		"FILE" },
	{ UPDATE, "update", NULL, "take new objects into the manifest, and drop those gone", NULL },
	SELECT_OPTIONS,
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvstat verify [options] STORE|STREAM [NAME ...]",
	"Reads every chunk and checks seal, sizes and digest. Prints what is wrong; exit status\n"
	"4 if anything is damaged, 0 if all is well. Changes nothing.",
	options,
	"  kvstat verify ./store\n"
	"  kvstat verify s3://bucket/kv --subset \"$(date +%u)/7\" --json > today.ndjson\n"
	"  kvstat verify /mnt/lmcache --manifest lmcache.sums --update",
	"kvstat(1)",
};

enum { NAME, STATE, RANK, SIZE, DETAIL, OBJECT, HASH, N_COLS };

static const struct out_col cols[N_COLS] = {
	[NAME] = { "NAME", "name", OUT_TEXT, 0, 0 },
	[STATE] = { "STATE", "state", OUT_TEXT, 0, 0 },
	[RANK] = { "RANK", "rank", OUT_COUNT, 0, 0 },
	[SIZE] = { "SIZE", "size", OUT_SIZE, 0, 0 },
	[DETAIL] = { "DETAIL", "detail", OUT_TEXT, 0, 0 },
	[OBJECT] = { "OBJECT", "object", OUT_TEXT, 2, 0 },
	[HASH] = { "HASH", "hash", OUT_TEXT, 2, 0 },
};

/* What came of a chunk. */
struct result {
	int known;
	size_t index;
	uint64_t bytes;
	struct err why;		/* ERR_NONE: it is good */
};
#define EARLY_MAX 1024

/* The source of the copying run: loads from another one, and has all that was loaded told in the
 * order of the catalog. What is ready before its turn waits in early, and nobody else. */
struct verify {
	struct source base;	/* first */
	struct source *from;
	const struct stat_place *s;
	const size_t *order;
	struct out *out;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint64_t turn;		/* ticket to be told next */
	struct result *early;	/* by ticket modulo EARLY_MAX */
	int all;
	uint64_t good, bad, gone, bytes;
};

static void
report(struct verify *v, size_t row, const char *state, const char *detail)
{
	const struct cat_row *r = &v->s->cat.rows[row];
	struct buf name = { 0 };
	union out_value o[N_COLS];
	char hex[KEY_HEX], brief[KEY_SHORT];

	catalog_name(&v->s->cat, r, &name);
	o[HASH].s = key_hash_hex(hex, &r->hash);
	o[NAME].s = out_human() ? key_hash_short(brief, &r->hash) : hex;
	o[STATE].s = state;
	o[RANK].u = r->rank;
	o[SIZE].u = r->size;
	o[DETAIL].s = detail;
	o[OBJECT].s = buf_text(&name);
	out_row(v->out, o);
	buf_free(&name);
}

static int
put(struct sink *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	(void)s, (void)pool, (void)it, (void)e;
	return 0;
}

static int
end(struct sink *s, const struct err *why, struct err *e)
{
	(void)s, (void)why, (void)e;
	return 0;
}

/* One word for what is wrong, from what the reader said behind the names of store and object. */
static const char *
state_of(const struct verify *v, const struct err *e)
{
	const char *url = store_url(v->s->place.store), *text = e->text, *said;

	if (!strncmp(text, url, strlen(url)))
		text += strlen(url);
	said = strstr(text, "': ");
	text = said ? said : text;
	return err_is_local(e) ? "unreadable" : strstr(text, "truncated") ? "truncated" :
		strstr(text, "too long") ? "too-long" :
		strstr(text, "another chunk") ? "misnamed" : "corrupt";
}

static void
tell(struct verify *v, const struct result *r)
{
	const struct err *e = &r->why;

	if (e->kind == ERR_NONE) {
		v->good++;
		v->bytes += r->bytes;
		if (v->all)
			report(v, v->order[r->index], "ok", NULL);
	} else if (e->kind == ERR_CORRUPT || e->kind == ERR_USAGE || err_is_local(e)) {
		v->bad++;
		tool_mark(err_is_local(e) ? e->kind : ERR_CORRUPT);
		report(v, v->order[r->index], state_of(v, e), e->text);
	}	/* else it vanished, or ends the run, which tells */
}

static void
told_in_turn(struct verify *v, uint64_t ticket, const struct result *now)
{
	struct result *r;

	pthread_mutex_lock(&v->lock);
	while (ticket - v->turn >= EARLY_MAX)
		pthread_cond_wait(&v->moved, &v->lock);
	v->early[ticket % EARLY_MAX] = *now;
	for (; r = &v->early[v->turn % EARLY_MAX], r->known; v->turn++) {
		tell(v, r);
		r->known = 0;
	}
	pthread_cond_broadcast(&v->moved);
	pthread_mutex_unlock(&v->lock);
}

static int
next(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct source *from = ((struct verify *)s)->from;

	return from->ops->next(from, pool, it, e);
}

static int
load(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct verify *v = (struct verify *)s;
	struct result now = { .known = 1, .index = it->index };
	int rc = v->from->ops->load(v->from, pool, it, e);

	if (rc < 0)
		now.why = *e;
	now.bytes = it->chunk.mem.len;
	told_in_turn(v, it->ticket, &now);
	return rc;
}

static void
close_from(struct source *s)
{
	struct verify *v = (struct verify *)s;

	v->from->ops->close(v->from);
}

/* k of n: by the hash, so that all ranks of a chunk fall together and every run agrees. */
static int
in_subset(const struct key_hash *h, uint64_t k, uint64_t n)
{
	return n < 2 || get_be32(h->b) % n == k - 1;
}

static void
read_subset(const char *text, uint64_t *k, uint64_t *n)
{
	const char *slash = strchr(text, '/');
	char first[24];
	double share;
	struct err e;

	if (!slash) {
		if (num_percent(&share, text, "--subset", &e) < 0)
			opts_die(&e);
		*k = 1;
		*n = share > 0 ? (uint64_t)(1 / share + 0.5) : 0;
		if (!*n)
			opts_bad("--subset '%.20s': nothing", text);
		return;
	}
	snprintf(first, sizeof(first), "%.*s", (int)(slash - text), text);
	if (num_u64(n, slash + 1, 1, 1000000, "--subset", &e) < 0 ||
	    num_u64(k, first, 1, *n, "--subset", &e) < 0)
		opts_die(&e);
}

static void
look(void *ctx, struct progress_now *now)
{
	const struct flow_stats *s = ctx;

	now->chunks = atomic_load(&s->in);
	now->bytes_in = atomic_load(&s->bytes_in);
	now->bytes_out = now->bytes_in;
}

static void
verify_all(struct verify *v, struct stat_place *s, size_t n)
{
	static const struct source_ops source = { next, load, close_from };
	static const struct sink_ops sink = { .put = put, .close = end };
	static struct result early[EARLY_MAX];
	struct sink to = { &sink };
	struct flow_stats stats = { 0 };
	struct flow_opts o = { .mem = opts_common.mem, .keep_going = 1, .stats = &stats,
		.max_duration = opts_common.max_duration, .bwlimit = opts_common.bwlimit };
	struct err e;

	v->base.ops = &source;
	v->early = early;
	if (source_place(&v->from, &s->place, &s->cat, v->order, n, NULL, &e) < 0) {
		tool_fail(&e);
		return;
	}
	o.jobs = copy_jobs(s->place.store, NULL, v->from);
	progress_start(look, &stats);
	if (flow_copy(&v->base, &to, &o, &e) < 0)
		tool_fail(&e);
	progress_stop();
	v->gone = stats.vanished;
	if (o.timed_out) {
		tool_note("time limit reached: %" PRIu64 " of %zu checked", stats.in, n);
		tool_mark(ERR_PARTIAL);
	}
}

/* Without its payload: ours by its header, which was read; another engine's by its size. */
static enum err_kind
look_at(const struct stat_place *s, size_t row, struct err *e)
{
	const struct cat_row *r = &s->cat.rows[row];
	struct dialect_name n;
	const char *name;

	err_set(e, ERR_CORRUPT, "header or size");
	if (s->place.native)
		return s->heads[row].state;
	name = s->cat.names.p + r->name;
	dialect_name(s->place.dialect, name, r->size, &n);
	return dialect_ready(s->place.ctx, &n, e) < 0 ||
		dialect_size_check(s->place.ctx, name, &n, r->size, e) < 0 ? e->kind : ERR_NONE;
}

static void
verify_heads(struct verify *v, struct stat_place *s, size_t n)
{
	enum err_kind state;
	struct err e;
	size_t i;

	for (i = 0; i < n; i++) {
		state = look_at(s, v->order[i], &e);
		if (state == ERR_USAGE) {
			tool_fail(&e);
			break;
		}
		if (state == ERR_ABSENT) {
			v->gone++;
		} else if (state == ERR_REFUSED || state == ERR_FAILED) {
			v->bad++;
			tool_mark(state);
			report(v, v->order[i], "unreadable", "header");
		} else if (state) {
			v->bad++;
			tool_mark(ERR_CORRUPT);
			report(v, v->order[i], "corrupt", e.text);
		} else {
			v->good++;
			if (v->all)
				report(v, v->order[i], "ok", NULL);
		}
	}
}

/* Of a store or a stream alike, for machines. */
static void
sum_up(const struct verify *v, double seconds)
{
	char json[200];
	struct buf b;

	metrics_begin(&b);
	metrics_line(&b, "verified_chunks", "state=\"good\"", (double)v->good);
	metrics_line(&b, "verified_chunks", "state=\"bad\"", (double)v->bad);
	metrics_line(&b, "verified_bytes", NULL, (double)v->bytes);
	metrics_end(&b, seconds);
	snprintf(json, sizeof(json), "\"good\":%" PRIu64 ",\"bad\":%" PRIu64 ",\"vanished\":%"
		PRIu64 ",\"bytes\":%" PRIu64 ",\"seconds\":%.3f", v->good, v->bad, v->gone,
		v->bytes, seconds);
	out_summary("kvstat verify", json, 0);
}

static void
run(struct stat_place *s, uint64_t k, uint64_t n, int quick, int all)
{
	struct verify v = { .s = s, .lock = PTHREAD_MUTEX_INITIALIZER,
		.moved = PTHREAD_COND_INITIALIZER, .all = all || opts_common.json };
	size_t *order = malloc((s->cat.n + 1) * sizeof(*order)), count = 0, i;
	double start = clock_mono(), seconds;
	char size[NUM_TEXT], time[NUM_TEXT];

	if (!order)
		opts_no_memory();
	for (i = 0; i < s->cat.n; i++)
		if (in_subset(&s->cat.rows[i].hash, k, n))
			order[count++] = i;
	v.order = order;
	v.out = out_open("kv.verify/1", cols, N_COLS, NAME);
	if (quick)
		verify_heads(&v, s, count);
	else
		verify_all(&v, s, count);
	out_close(v.out);
	seconds = clock_mono() - start;
	tool_note("%" PRIu64 " good, %" PRIu64 " bad%s, %s in %s", v.good, v.bad,
		v.gone ? ", some vanished" : "", num_size_text(size, v.bytes),
		num_duration_text(time, seconds));
	sum_up(&v, seconds);
	free(order);
}

/* A stream: it is good if it can be read to its end. */
static void
run_stream(const char *name)
{
	struct source *from = copy_source(name);
	struct copy_result r;
	struct place null = { 0 };
	struct store_opts so = { .conf = opts_conf, .flags = STORE_WRITE };
	struct place_put how = { 0 };
	struct verify v = { 0 };
	char count[NUM_TEXT], size[NUM_TEXT];
	struct sink *to;
	struct err e;

	if (!from)
		return;
	if (place_open(&null, "null:", &so, NULL, &e) < 0 || sink_place(&to, &null, &how, &e) < 0) {
		tool_fail(&e);
		from->ops->close(from);
		return;
	}
	copy_run(from, to, NULL, 0, &r);
	place_close(&null);
	tool_note("%s, %s%s", num_count_text(count, r.stats.put, "good chunk"),
		num_size_text(size, r.stats.bytes_in), r.failed ? "" : ", complete");
	v.good = r.stats.put;
	v.bad = r.failed;
	v.bytes = r.stats.bytes_in;
	sum_up(&v, r.seconds);
}

void
verb_verify(int argc, char **argv)
{
	uint64_t k = 1, n = 1;
	struct stat_place s;
	static struct select sel;
	const char *manifest = NULL;
	int c, quick = 0, all = 0, updating = 0;

	select_init(&sel);
	while ((c = opts_next(argc, argv, &usage)) != -1) {
		if (select_option(c, &sel))
			continue;
		if (c == QUICK)
			quick = 1;
		else if (c == ALL)
			all = 1;
		else if (c == MANIFEST)
			manifest = opts_arg;
		else if (c == UPDATE)
			updating = 1;
		else
			read_subset(opts_arg, &k, &n);
	}
	stat_url(argc, argv, "verify");
	if (updating && !manifest)
		opts_bad("--update: of which --manifest FILE?");
	if (manifest) {
		verify_manifest(argv[optind], manifest, updating);
		return;
	}
	if (copy_is_file(argv[optind])) {
		run_stream(argv[optind]);
		return;
	}
	select_names(&sel, argv + optind + 1, argc - optind - 1);
	if (stat_open(&s, argv[optind], &sel, quick) < 0)
		return;
	if (!sel.n_prefixes || select_unique(&sel, &s.cat) == 0)
		run(&s, k, n, quick, all);
	stat_close(&s);
}
