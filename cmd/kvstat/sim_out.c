#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/num.h"
#include "kvstat/sim.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

enum { POLICY, CAPACITY, SIZE, HIT, PREFIX, TOKENS, BY_TIER, CEILING, MIN, READ, WRITTEN, REFS,
	HITS, MINHITS, ORDER, HOURS, SAVED, LOAD, STORE, N_COLS };

static struct out_col cols[N_COLS] = {
	[POLICY] = { "POLICY", "policy", OUT_TEXT, 0, 0 },
	[CAPACITY] = { "BLOCKS", "capacity", OUT_COUNT, 0, 0 },
	[SIZE] = { "SIZE", "size", OUT_SIZE, 0, 0 },
	[HIT] = { "HIT", "hit_ratio", OUT_NUMBER, 0, 6 },
	[PREFIX] = { "PREFIX", "prefix_hit_ratio", OUT_NUMBER, 0, 6 },
	[TOKENS] = { "HIT TOKENS", "token_hit_ratio", OUT_SHARE, 0, 0 },
	[BY_TIER] = { "BY TIER", "by_tier", OUT_TEXT, 0, 0 },
	[CEILING] = { "CEILING", "ceiling", OUT_NUMBER, 0, 6 },
	[MIN] = { "MIN", "min_hit_ratio", OUT_NUMBER, 0, 6 },
	[READ] = { "READ", "bytes_read", OUT_SIZE, 0, 0 },
	[WRITTEN] = { "WRITTEN", "bytes_written", OUT_SIZE, 1, 0 },
	[REFS] = { "REFERENCES", "references", OUT_COUNT, 1, 0 },
	[HITS] = { "HITS", "hits", OUT_COUNT, 1, 0 },
	[MINHITS] = { "MIN HITS", "min_hits", OUT_COUNT, 2, 0 },
	[ORDER] = { "ORDER", "order", OUT_TEXT, 1, 0 },
	[HOURS] = { "GPU HOURS SAVED", "compute_hours_saved", OUT_NUMBER, 1, 3 },
	[SAVED] = { "USD SAVED", "cost_savings_usd", OUT_NUMBER, 1, 2 },
	[LOAD] = { "LOAD S", "load_seconds", OUT_NUMBER, 1, 3 },
	[STORE] = { "USD A MONTH", "storage_usd_month", OUT_NUMBER, 1, 2 },
};

/* What is remembered of a row, for the advice. */
struct kept {
	char policy[128];
	uint64_t capacity;
	double hit, size;
	double hours;	/* of GPUs that it saves; NaN: not known */
};

static struct {
	struct out *out;
	const struct trace *t;
	const struct sim_cost *cost;
	struct kept *rows;
	size_t n;
} sim;

static double
ceiling(void)
{
	return (double)(sim.t->n_refs - sim.t->distinct) / (double)sim.t->n_refs;
}

void
sim_out_open(const struct trace *t, const struct sim_cost *cost)
{
	sim.t = t;
	sim.cost = cost;
	for (int i = HOURS; cost->prefill_tps > 0 && i < N_COLS; i++)
		cols[i].wide = 0;	/* who asks what it saves is told */
	sim.out = out_open("kv.sim/1", cols, N_COLS, POLICY);
}

/* "ram:lru+s3:cost", or just the policy of a single unnamed tier. */
static void
label(char out[128], const struct sim_run *run)
{
	size_t at = 0;

	out[0] = '\0';
	for (int i = 0; i < run->n_tiers && at < 100; i++) {
		const struct sim_tier *t = &run->tiers[i];

		at += (size_t)snprintf(out + at, 128 - at, "%s%s%s%s", i ? "+" : "", t->name,
			*t->name ? ":" : "", policy_name(t->policy));
	}
}

static void
by_tier(char out[128], const struct sim_run *run)
{
	size_t at = 0;

	for (int i = 0; i < run->n_tiers; i++)
		at += (size_t)snprintf(out + at, 128 - at, "%s%.1f", i ? " / " : "",
			100.0 * (double)run->tiers[i].prefix / (double)sim.t->n_refs);
}

/*
 * What it saves: prefill that need not be done, less the time its bytes take to load,
 * on all GPUs. Money is that time's price; what the tiers cost is told beside it.
 */
static void
costs(union out_value v[N_COLS], const struct sim_run *run)
{
	const double gib = 1ull << 30;
	double load = 0, month = 0, saved = NAN;

	for (int i = 0; i < run->n_tiers; i++) {
		const struct sim_tier *t = &run->tiers[i];
		double bytes = (double)t->prefix * (double)sim.t->block_bytes;

		if (t->rate)
			load += bytes / (double)t->rate;
		month += t->price * (double)t->capacity * (double)sim.t->block_bytes / gib;
	}
	if (sim.cost->prefill_tps > 0)
		saved = ((double)run->hit_tokens / sim.cost->prefill_tps - load) *
			sim.cost->gpus / 3600;
	v[HOURS].d = saved;
	v[SAVED].d = saved * sim.cost->gpu_hour;
	v[LOAD].d = load;
	v[STORE].d = month;
}

static int
keep(const char *name, uint64_t capacity, double hit, double hours)
{
	struct kept *more = realloc(sim.rows, (sim.n + 1) * sizeof(*more));

	if (!more)
		return -1;
	sim.rows = more;
	more += sim.n++;
	snprintf(more->policy, sizeof(more->policy), "%s", name);
	more->capacity = capacity;
	more->size = (double)capacity * (double)sim.t->block_bytes;
	more->hit = hit;
	more->hours = hours;
	return 0;
}

void
sim_out_row(const struct sim_run *run)
{
	union out_value v[N_COLS] = { { 0 } };
	uint64_t bytes = sim.t->block_bytes, capacity = 0, read = 0, written = 0;
	double refs = (double)sim.t->n_refs;
	char name[128], tiers[128];
	int tail = run->tail >= 0 ? run->tail : policy_tail_first(run->tiers[0].policy);

	for (int i = 0; i < run->n_tiers; i++) {
		capacity += run->tiers[i].capacity;
		read += run->tiers[i].prefix * bytes;
		written += run->tiers[i].written * bytes;
	}
	label(name, run);
	by_tier(tiers, run);
	v[POLICY].s = name;
	v[CAPACITY].u = capacity;
	v[SIZE].u = bytes ? capacity * bytes : OUT_NONE;
	v[HIT].d = (double)run->hits / refs;
	v[PREFIX].d = (double)run->prefix / refs;
	v[TOKENS].d = sim.t->total_tokens ?
		(double)run->hit_tokens / (double)sim.t->total_tokens : NAN;
	v[BY_TIER].s = run->n_tiers > 1 ? tiers : NULL;
	v[CEILING].d = ceiling();
	v[MIN].d = run->with_min ? (double)run->min_hits / refs : NAN;
	v[READ].u = bytes ? read : OUT_NONE;
	v[WRITTEN].u = bytes ? written : OUT_NONE;
	v[REFS].u = sim.t->n_refs;
	v[HITS].u = run->hits;
	v[MINHITS].u = run->with_min ? run->min_hits : OUT_NONE;
	v[ORDER].s = tail ? "tail" : "head";
	costs(v, run);
	out_row(sim.out, v);
	if (keep(name, capacity, v[HIT].d, v[HOURS].d) < 0)
		tool_warn("out of memory: no advice");
}

static int
smaller(const struct kept *a, const struct kept *b)
{
	return a->capacity < b->capacity || (a->capacity == b->capacity && a->hit > b->hit);
}

/* What a row is good for: GPU time that it saves, where that is known, or else hits. */
static double
good_for(const struct kept *k)
{
	return isnan(k->hours) ? k->hit : k->hours;
}

/* Which to run: the best policy at the largest size looked at, and the smallest size at
 * which it gets nine tenths of that. */
static const struct kept *
choose(const struct kept **top)
{
	const struct kept *best = NULL, *enough;

	for (size_t i = 0; i < sim.n; i++)
		if (!best || good_for(&sim.rows[i]) > good_for(best) ||
		    (good_for(&sim.rows[i]) >= good_for(best) &&
		    sim.rows[i].capacity < best->capacity))
			best = &sim.rows[i];
	enough = best;
	for (size_t i = 0; best && i < sim.n; i++)
		if (good_for(&sim.rows[i]) >= 0.9 * good_for(best) &&
		    smaller(&sim.rows[i], enough))
			enough = &sim.rows[i];
	*top = best;
	return enough;
}

static void
advise(void)
{
	const struct kept *top, *pick = choose(&top);
	char size[NUM_TEXT] = "", text[500];
	struct buf members = { 0 };
	double limit = ceiling();

	if (!pick || sim.n < 2)
		return;
	if (sim.t->block_bytes)
		num_size_text(size, (uint64_t)pick->size);
	if (pick->hours <= 0)
		snprintf(text, sizeof(text), "run none of these: reading what hits takes longer "
			"than computing it; faster tiers (rate=), or slower prefill, would pay");
	else
		snprintf(text, sizeof(text), "run %s with %" PRIu64 " blocks%s%s: "
			"%.4f of references hit, %.0f %% of what an endless cache would "
			"(%.4f)%s", pick->policy, pick->capacity, *size ? ", " : "", size,
			pick->hit, limit > 0 ? 100 * pick->hit / limit : 0, limit,
			pick == top ? "" : "; more room adds less than a tenth");
	buf_str(&members, "\"advice\":");
	buf_json(&members, text, strlen(text));
	if (buf_text(&members))
		out_summary("kvstat sim", members.p, 0);
	buf_free(&members);
	if (!opts_common.json)
		tool_note("%s", text);
}

void
sim_out_close(void)
{
	out_close(sim.out);
	advise();
	free(sim.rows);
	sim.rows = NULL;
	sim.n = 0;
}

/* A gnuplot script that holds its own data. */
int
sim_plot(const char *path, const struct trace *t, struct err *e)
{
	struct buf b = { 0 };
	const char *unit = t->block_bytes ? "GiB" : "blocks";
	double scale = t->block_bytes ? (double)t->block_bytes / (double)(1ull << 30) : 1;
	size_t lines = 0;
	int r;

	buf_printf(&b, "set logscale x\nset xlabel '%s'\nset ylabel 'hit ratio'\n"
		"set key left top\nset yrange [0:]\n", unit);
	for (size_t i = 0; i < sim.n; i++) {
		if (!i || strcmp(sim.rows[i].policy, sim.rows[i - 1].policy))
			buf_printf(&b, "%s$p%zu << EOD\n", i ? "EOD\n" : "", lines++);
		buf_printf(&b, "%.9g %.6f\n", (double)sim.rows[i].capacity * scale,
			sim.rows[i].hit);
	}
	buf_printf(&b, "EOD\nplot %.6f title 'endless cache'", ceiling());
	for (size_t i = 0, line = 0; i < sim.n; i++)
		if (!i || strcmp(sim.rows[i].policy, sim.rows[i - 1].policy))
			buf_printf(&b, ", \\\n\t$p%zu using 1:2 with linespoints title '%s'",
				line++, sim.rows[i].policy);
	buf_chr(&b, '\n');
	r = b.fail ? err_set(e, ERR_FAILED, "plot: no memory") :
		io_replace(path, b.p, b.len, 0666, e);
	buf_free(&b);
	return r;
}
