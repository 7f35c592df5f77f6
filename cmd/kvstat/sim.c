#include <ctype.h>
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"
#include "base/num.h"
#include "base/par.h"
#include "geom/geom.h"
#include "kvstat/sim.h"
#include "kvstat/verbs.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

enum { POLICY = OPT_FIRST, CAPACITY, SWEEP, TIER, GEN, MODEL, CHUNK_TOKENS, CHUNK_BYTES, ORDER,
	ALPHA, TTL, PLOT, NO_MIN, EMIT, GPU_COST, GPUS, PREFILL };

static const struct opt options[] = {
	{ POLICY, "policy", "NAME", "several with commas, or all (default auto,lru)",
		"auto lru fifo lfu s3fifo sieve lru2 arc 2q w-tinylfu gdsf cost length-aware "
		"priority size ttl quota all" },
	{ CAPACITY, "capacity", "N|SIZE", "room in blocks or a size; several with commas", NULL },
	{ SWEEP, "sweep", "FROM..TO", "capacities from one to the other, doubling", NULL },
	{ TIER, "tier", "NAME=ROOM[,POLICY][,admit=N][,rate=RATE][,price=USD]",
		"a tier; the first is asked first. price: of a GiB for a month", NULL },
	{ GEN, "gen", "KIND[,NAME=VALUE...]", "make a trace up: docqa chat rag code scan loop zipf",
		"docqa chat rag code scan loop zipf" },
	{ MODEL, "model", "NAME|FILE", "preset or config.json: gives the bytes of a block", NULL },
	{ CHUNK_TOKENS, "chunk-tokens", "N", "tokens of a block (default: trace, or 256)", NULL },
	{ CHUNK_BYTES, "chunk-bytes", "SIZE", "bytes of a block", NULL },
	{ ORDER, "order", "WHICH", "replay requests head or tail first (default: the policy's)",
		"head tail" },
	{ ALPHA, "cost-alpha", "X", "exponent of size in policy cost (default 2)", NULL },
	{ TTL, "ttl", "TIME", "idle time after which policy ttl drops a block", NULL },
	{ PLOT, "plot", "FILE", "write a gnuplot script of hit ratio by size", "FILE" },
	{ NO_MIN, "no-min", NULL, "do without Belady's bound (faster)", NULL },
	{ EMIT, "emit", NULL, "only print the trace, as kv.access/1 lines", NULL },
	{ GPU_COST, "gpu-cost", "USD", "price of a GPU for an hour", NULL },
	{ GPUS, "gpus", "N", "GPUs that prefill together (default 1)", NULL },
	{ PREFILL, "prefill-tps", "N", "tokens a second they prefill", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvstat sim [options] TRACE...\nkvstat sim [options] --gen KIND[,NAME=VALUE...]",
	"Replays requests over a cache: what would hit, with which policy and how much room.",
	options,
	"  kvstat sim trace.jsonl --policy lru --capacity 10000 --json\n"
	"  kvstat sim lookup_hashes/*.jsonl --sweep 16G..1T --policy all --plot curve.gp\n"
	"  kvstat sim --gen docqa,docs=10,len=20000,repeat=3 --model llama-3.1-70b \\\n"
	"      --tier ram=20G,lru --tier s3=2TB,cost",
	"kvstat-sim(1)",
};

#define LIST_MAX 64

static struct {
	char *policies, *capacities, *sweep, *model, *gen, *plot;
	char *tiers[SIM_TIERS];
	int n_tiers, tail, no_min, emit;
	uint64_t chunk_tokens, chunk_bytes;
	double alpha, ttl_s;
	struct sim_cost cost;
} set;

static void
check(int r, const struct err *e)
{
	if (r < 0)
		opts_die(e);
}

static void
options_of(int argc, char **argv)
{
	struct err e;
	int c;

	memset(&set, 0, sizeof(set));
	set.tail = -1;
	set.cost.gpus = 1;
	while ((c = opts_next(argc, argv, &usage)) != -1)
		switch (c) {
		case POLICY: set.policies = opts_arg; break;
		case CAPACITY: set.capacities = opts_arg; break;
		case SWEEP: set.sweep = opts_arg; break;
		case GEN: set.gen = opts_arg; break;
		case MODEL: set.model = opts_arg; break;
		case PLOT: set.plot = opts_arg; break;
		case NO_MIN: set.no_min = 1; break;
		case EMIT: set.emit = 1; break;
		case TIER:
			if (set.n_tiers == SIM_TIERS)
				opts_bad("--tier: more than %d", SIM_TIERS);
			set.tiers[set.n_tiers++] = opts_arg;
			break;
		case CHUNK_TOKENS:
			check(num_u64(&set.chunk_tokens, opts_arg, 1, 1 << 20, "--chunk-tokens",
				&e), &e);
			break;
		case CHUNK_BYTES:
			check(num_size(&set.chunk_bytes, opts_arg, "--chunk-bytes", &e), &e);
			break;
		case ORDER:
			if (strcmp(opts_arg, "head") && strcmp(opts_arg, "tail"))
				opts_bad("--order '%s': head or tail", opts_arg);
			set.tail = *opts_arg == 't';
			break;
		case ALPHA:
			check(num_double(&set.alpha, opts_arg, 0.01, 10, "--cost-alpha", &e), &e);
			break;
		case TTL: check(num_duration(&set.ttl_s, opts_arg, "--ttl", &e), &e); break;
		case GPU_COST:
			check(num_double(&set.cost.gpu_hour, opts_arg, 0, 1e6, "--gpu-cost",
				&e), &e);
			break;
		case GPUS:
			check(num_double(&set.cost.gpus, opts_arg, 0.01, 1e6, "--gpus", &e), &e);
			break;
		case PREFILL:
			check(num_double(&set.cost.prefill_tps, opts_arg, 1, 1e12, "--prefill-tps",
				&e), &e);
			break;
		}
}

/* Room: a plain number counts blocks, one with a unit is a size. */
static uint64_t
room(const struct trace *t, const char *text, const char *what)
{
	size_t n = strlen(text);
	struct err e;
	uint64_t v;

	if (n && isdigit((unsigned char)text[n - 1])) {
		check(num_u64(&v, text, 1, UINT32_MAX, what, &e), &e);
		return v;
	}
	check(num_size(&v, text, what, &e), &e);
	if (!t->block_bytes)
		opts_bad("%s '%s': a size needs --model or --chunk-bytes to know the bytes of "
			"a block; or give it in blocks", what, text);
	if (v < t->block_bytes)
		opts_bad("%s '%s': less than one block", what, text);
	return v / t->block_bytes;
}

static size_t
capacities(const struct trace *t, uint64_t v[LIST_MAX])
{
	char *rest = set.capacities, *word, *to;
	uint64_t last;
	size_t n = 0;

	while (rest && (word = strsep(&rest, ",")) != NULL && n < LIST_MAX)
		v[n++] = room(t, word, "--capacity");
	if (!set.sweep)
		return n;
	to = strstr(set.sweep, "..");
	if (!to || n)
		opts_bad("--sweep '%s': FROM..TO, and no --capacity", set.sweep);
	*to = '\0';
	last = room(t, to + 2, "--sweep");
	for (uint64_t c = room(t, set.sweep, "--sweep"); n < LIST_MAX; c *= 2) {
		v[n++] = c < last ? c : last;
		if (c >= last)
			break;
	}
	return n;
}

static size_t
policies(const struct policy_ops *v[LIST_MAX])
{
	char fallback[] = "auto,lru", *rest = set.policies ? set.policies : fallback, *word;
	struct err e;
	size_t n = 0;

	if (!strcmp(rest, "all")) {
		while (policy_at(n)) {
			v[n] = policy_at(n);
			n++;
		}
		return n;
	}
	while ((word = strsep(&rest, ",")) != NULL && n < LIST_MAX) {
		v[n] = policy_find(word, &e);
		if (!v[n++])
			opts_die(&e);
	}
	return n;
}

/* "ram=20G,lru,admit=2,rate=20GB/s,price=0.5" */
static void
tier(const struct trace *t, struct sim_tier *out, char *spec)
{
	char *word, *value = strchr(spec, '='), *rest;
	struct err e;

	if (!value || value == spec || (size_t)(value - spec) >= sizeof(out->name))
		opts_bad("--tier '%s': NAME=ROOM[,POLICY][,admit=N][,rate=RATE][,price=USD]", spec);
	*value++ = '\0';
	rest = value;
	*out = (struct sim_tier){ .admit = 1, .policy = policy_find("lru", &e) };
	snprintf(out->name, sizeof(out->name), "%s", spec);
	out->capacity = room(t, strsep(&rest, ","), spec);
	while (rest && (word = strsep(&rest, ",")) != NULL) {
		if (!strncmp(word, "admit=", 6))
			check(num_u64(&out->admit, word + 6, 1, 255, "admit", &e), &e);
		else if (!strncmp(word, "rate=", 5))
			check(num_rate(&out->rate, word + 5, "rate", &e), &e);
		else if (!strncmp(word, "price=", 6))
			check(num_double(&out->price, word + 6, 0, 1e6, "price", &e), &e);
		else if (!(out->policy = policy_find(word, &e)))
			opts_die(&e);
	}
}

/* What there is to do, all of it at once: the trace read, if it was not, and each run. */
struct work {
	struct trace *t;
	const char *file;		/* or NULL: read already */
	struct sim_run *runs;
	size_t n;
};

/* All of it is read: what there is to know of it, and to say. */
static int
complete(struct trace *t, struct err *e)
{
	char n[NUM_TEXT], distinct[NUM_TEXT], size[NUM_TEXT] = "bytes not known";
	struct geom g;

	if (!t->n_refs)
		return err_set(e, ERR_CORRUPT, "the trace has no block");
	if (set.model) {
		if (geom_read(&g, NULL, set.model, e) < 0)
			return -1;
		t->block_bytes = geom_bytes(&g, t->block_tokens);
	}
	if (set.chunk_bytes)
		t->block_bytes = set.chunk_bytes;
	if (set.emit)
		return 0;
	if (t->block_bytes)
		num_size_text(size, t->block_bytes * t->distinct);
	tool_note("%s, %" PRIu64 " tokens, %s, %s", num_count_text(n, t->n, "request"),
		t->total_tokens, num_count_text(distinct, t->distinct, "distinct block"), size);
	return 0;
}

static int
read_file(struct trace *t, const char *file, struct err *e)
{
	int r = trace_read(t, file, e);

	trace_ends(t);
	return r < 0 || atomic_load(&t->abandoned) ? r : complete(t, e);
}

static int
job(void *ctx, size_t i, struct err *e)
{
	struct work *w = ctx;
	int r;

	if (w->file && !i)
		r = read_file(w->t, w->file, e);
	else
		r = sim_replay(&w->runs[w->file ? i - 1 : i], w->t, e);
	if (r < 0)
		trace_abandon(w->t);
	return r;
}

static int
work(struct work *w, struct err *e)
{
	size_t jobs = w->n + (w->file != NULL);
	int r = 0;

	mallopt(M_ARENA_MAX, 1);	/* another heap for each thread is more than they need */
	for (size_t i = 0; i < w->n && r == 0; i++) {
		w->runs[i].tail = set.tail;
		w->runs[i].alpha = set.alpha;
		w->runs[i].ttl_s = set.ttl_s;
		r = sim_open(&w->runs[i], e);
	}
	if (w->file)
		trace_grows(w->t);
	if (r == 0)
		r = par_each(jobs, jobs > 2 ? 0 : (unsigned)jobs, job, w, e);
	for (size_t i = 0; i < w->n; i++)
		sim_close(&w->runs[i]);
	return r;
}

static void
print(const struct work *w)
{
	struct err e;

	sim_out_open(w->t, &set.cost);
	for (size_t i = 0; i < w->n; i++)
		sim_out_row(&w->runs[i]);
	if (set.plot && sim_plot(set.plot, w->t, &e) < 0)
		tool_fail(&e);
	sim_out_close();
}

/* The tiers one after another: each row adds one, so that what it brings can be seen. */
static int
run_tiers(struct trace *t, struct err *e)
{
	struct sim_run runs[SIM_TIERS] = { 0 };
	struct work w = { t, NULL, runs, (size_t)set.n_tiers };

	for (int i = 0; i < set.n_tiers; i++) {
		if (i)
			runs[i] = runs[i - 1];
		tier(t, &runs[i].tiers[i], set.tiers[i]);
		runs[i].n_tiers = i + 1;
		runs[i].with_min = !set.no_min;
	}
	if (work(&w, e) < 0)
		return -1;
	print(&w);
	return 0;
}

/* Each policy with each room, which all share a bound. */
static int
run_grid(struct trace *t, const char *file, struct err *e)
{
	const struct policy_ops *p[LIST_MAX];
	uint64_t caps[LIST_MAX];
	size_t n_p = policies(p), n_c = capacities(t, caps);
	struct sim_run *runs = calloc(n_p * n_c + 1, sizeof(*runs));
	struct work w = { t, file, runs, n_p * n_c };
	int r;

	if (!n_c)
		opts_bad("how much room? --capacity, --sweep or --tier");
	if (!runs)
		return err_sys(e, "calloc");
	for (size_t i = 0; i < w.n; i++)
		runs[i] = (struct sim_run){ .n_tiers = 1, .with_min = !set.no_min && i < n_c,
			.tiers[0] = { .policy = p[i / n_c], .capacity = caps[i % n_c],
				.admit = 1 } };
	r = work(&w, e);
	for (size_t i = n_c; i < w.n; i++) {
		runs[i].with_min = runs[i % n_c].with_min;
		runs[i].min_hits = runs[i % n_c].min_hits;
	}
	if (r == 0)
		print(&w);
	free(runs);
	return r;
}

static void
emit(const struct trace *t)
{
	struct buf line = { 0 };

	for (size_t i = 0; i < t->n; i++) {
		const struct trace_request *r = &t->requests[i];

		line.len = 0;
		access_begin(&line, r->time_s, r->tokens, t->block_tokens, t->block_bytes);
		for (size_t k = r[0].first; k < r[1].first; k++)
			buf_printf(&line, "%s%u", k > r->first ? "," : "", t->ids[k]);
		buf_str(&line, "]}\n");
		if (line.fail)
			opts_no_memory();
		fwrite(line.p, 1, line.len, stdout);
	}
	buf_free(&line);
}

/* The file that is read while it is replayed: nothing has to be known of it before. */
static char *
file_to_follow(int argc, char **argv)
{
	static const char plain[] = "0123456789.,";
	const char *room = set.capacities ? set.capacities : set.sweep;

	if (set.gen || set.emit || set.n_tiers || argc - optind != 1)
		return NULL;
	if (!room || room[strspn(room, plain)] || par_cores() == 1)
		return NULL;
	return argv[optind];
}

static int
load(struct trace *t, int argc, char **argv, struct err *e)
{
	int files = argc - optind;

	if (!set.gen == !files)
		opts_bad("either TRACE files or --gen");
	if (set.gen && sim_generate(t, set.gen, e) < 0)
		return -1;
	for (int i = 0; i < files; i++)
		if (trace_read(t, argv[optind + i], e) < 0)
			return -1;
	if (files > 1 && trace_sort(t, e) < 0)
		return -1;
	return complete(t, e);
}

void
verb_sim(int argc, char **argv)
{
	struct trace t;
	char *file;
	struct err e;
	int r;

	options_of(argc, argv);
	file = file_to_follow(argc, argv);
	r = trace_open(&t, &e);
	if (r == 0) {
		t.block_tokens = set.chunk_tokens ? set.chunk_tokens : set.gen ? 256 : 0;
		r = file ? 0 : load(&t, argc, argv, &e);
	}
	if (r == 0 && set.emit) {
		emit(&t);
	} else if (r == 0) {
		r = set.n_tiers ? run_tiers(&t, &e) : run_grid(&t, file, &e);
	}
	if (r < 0)
		tool_fail(&e);
	trace_close(&t);
}
