#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "kvevict/kvevict.h"
#include "metrics.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

enum { ACTION, REASON, NAME, SIZE, USED, HITS, SCORE, HASH, MODEL, DTYPE, TP, TENANT, DEPTH,
	OBJECTS, COLS };

static const struct out_col cols[COLS] = {
	[ACTION] = { "ACTION", "action", OUT_TEXT, 0, 0 },
	[REASON] = { "REASON", "reason", OUT_TEXT, 0, 0 },
	[NAME] = { "NAME", "name", OUT_TEXT, 0, 0 },
	[SIZE] = { "SIZE", "size", OUT_SIZE, 0, 0 },
	[USED] = { "USED", "used", OUT_TIME, 0, 0 },
	[HITS] = { "HITS", "hits", OUT_COUNT, 0, 0 },
	[SCORE] = { "SCORE", "score", OUT_NUMBER, 0, 3 },
	[HASH] = { "HASH", "hash", OUT_TEXT, 2, 0 },
	[MODEL] = { "MODEL", "model", OUT_TEXT, 1, 0 },
	[DTYPE] = { "DTYPE", "dtype", OUT_TEXT, 1, 0 },
	[TP] = { "TP", "tp", OUT_COUNT, 1, 0 },
	[TENANT] = { "TENANT", "tenant", OUT_TEXT, 1, 0 },
	[DEPTH] = { "DEPTH", "depth", OUT_COUNT, 1, 0 },
	[OBJECTS] = { "OBJECTS", "objects", OUT_COUNT, 1, 0 },
};

static struct out *out;
static int audit = -1;
static uint64_t swept;		/* pieces of litter */

/* Bytes and chunks by reason, for summary and metrics. */
static struct tally {
	const char *reason;
	uint64_t n, bytes;
} tallies[EVICT_WHYS + PLAN_REASONS + 1];

int
report_open(struct kvevict *k, struct err *e)
{
	out = out_open("kv.evict/1", cols, COLS, NAME);
	if (!k->audit || opts_common.dry)
		return 0;
	audit = open(k->audit, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (audit >= 0)
		return 0;
	err_sys(e, "audit log '%s'", k->audit);
	return err_named(e);
}

static void
add_tally(const char *reason, uint64_t bytes)
{
	struct tally *t = tallies;

	while (t->reason && strcmp(t->reason, reason) != 0)
		t++;
	t->reason = reason;
	t->n++;
	t->bytes += bytes;
}

static const char *
action(const struct kvevict *k)
{
	return k->want.class ? "move" : k->demote ? "demote" : "delete";
}

static void
row(const struct kvevict *k, const struct plan_step *s)
{
	const struct evict *ev = &k->ev;
	const struct units *u = &ev->units;
	const struct plan_entry *v = &ev->v[s->entry];
	const struct cat_group *g = &ev->cat.groups[u->groups[units_class(u, s->entry)]];
	double used = v->accessed_s > v->created_s ? v->accessed_s : v->created_s;
	char hex[KEY_HEX], name[KEY_SHORT];
	union out_value r[COLS];

	key_hash_hex(hex, units_hash(u, s->entry));
	key_hash_short(name, units_hash(u, s->entry));

	r[ACTION].s = action(k);
	r[REASON].s = evict_reason(ev, s);
	r[NAME].s = out_human() ? name : hex;
	r[SIZE].u = v->bytes;
	r[USED].i = (int64_t)used;
	r[HITS].u = ev->knows_hits ? v->hits : OUT_NONE;
	r[SCORE].d = ev->steady ? s->score : NAN;	/* dry runs and real runs agree */
	r[HASH].s = hex;
	r[MODEL].s = g->model;
	r[DTYPE].s = *g->dtype ? g->dtype : NULL;
	r[TP].u = g->tp;
	r[TENANT].s = *g->salt ? g->salt : NULL;
	r[DEPTH].u = ev->flags[s->entry] & EVICT_LINKED ? v->depth : OUT_NONE;
	r[OBJECTS].u = u->start[s->entry + 1] - u->start[s->entry];
	out_row(out, r);
}

/* One line for each chunk that went, with its objects' names. */
static void
audit_line(struct kvevict *k, const struct plan_step *s, enum evict_state state)
{
	const struct units *u = &k->ev.units;
	struct buf b = { 0 }, name = { 0 };
	char hex[KEY_HEX], now[32];
	struct err e;
	uint32_t i;

	buf_printf(&b, "{\"schema\":\"kv.audit/1\",\"time\":\"%s\",\"tool\":\"kvevict\",\"store\":",
		clock_text(now, clock_now()));
	buf_json(&b, store_url(k->ev.place->store), strlen(store_url(k->ev.place->store)));
	buf_printf(&b, ",\"action\":\"%s\",\"state\":\"%s\",\"reason\":\"%s\",\"policy\":\"%s\","
		"\"hash\":\"%s\",\"size\":%" PRIu64 ",\"objects\":[",
		action(k), state == EVICT_GONE ? "gone" : "vanished",
		evict_reason(&k->ev, s), policy_name(k->ev.policy),
		key_hash_hex(hex, units_hash(u, s->entry)),
		k->ev.v[s->entry].bytes);
	for (i = u->start[s->entry]; i < u->start[s->entry + 1]; i++) {
		name.len = 0;
		catalog_name(&k->ev.cat, units_row(u, i), &name);
		buf_str(&b, i > u->start[s->entry] ? "," : "");
		buf_json(&b, name.p, name.len);
	}
	buf_str(&b, "]}\n");
	if (b.fail || io_write(audit, b.p, b.len, &e) < 0) {
		tool_warn("audit log '%s': %s", k->audit, b.fail ? "out of memory" : e.text);
		tool_mark(ERR_PARTIAL);
		close(audit);
		audit = -1;
	}
	buf_free(&b);
	buf_free(&name);
}

/* A request for many that failed is told once. */
static struct err told;
static uint64_t alike;

void
report_alike(void)
{
	if (alike && told.kind != ERR_STOPPED)
		tool_warn("and so %" PRIu64 " more", alike);
	alike = 0;
}

static void
tell_failure(const struct err *why)
{
	tool_mark(ERR_PARTIAL);
	if (why->kind == told.kind && !strcmp(why->text, told.text)) {
		alike++;
		return;
	}
	report_alike();
	told = *why;
	tool_fail(why);
}

void
report_step(void *ctx, const struct plan_step *s, enum evict_state state, const struct err *why)
{
	struct kvevict *k = ctx;

	if (state == EVICT_FAILED) {
		tell_failure(why);
		return;
	}
	if (state != EVICT_GONE && state != EVICT_VANISHED)
		return;
	row(k, s);
	if (state == EVICT_GONE)
		add_tally(evict_reason(&k->ev, s), k->ev.v[s->entry].bytes);
	if (audit >= 0)
		audit_line(k, s, state);
}

void
report_litter(void *ctx, const char *name, uint64_t size, const char *what, const struct err *why)
{
	union out_value r[COLS];
	int i;

	(void)ctx;
	if (why) {
		tell_failure(why);
		return;
	}
	for (i = 0; i < COLS; i++) {
		if (cols[i].type == OUT_NUMBER)
			r[i].d = NAN;
		else
			r[i].u = cols[i].type == OUT_COUNT ? OUT_NONE : 0;
	}
	r[ACTION].s = "sweep";
	r[REASON].s = what;
	r[NAME].s = name;
	r[SIZE].u = size;
	out_row(out, r);
	swept++;
}

/* Those that were asked for and are not in the plan. */
static uint64_t
staying(const struct evict *ev)
{
	uint64_t n = 0;
	size_t i;

	for (i = EVICT_NOT + 1; i < EVICT_WHYS; i++)
		n += ev->asked[i];
	for (i = 0; i < ev->plan.n; i++)
		n -= ev->why[ev->plan.steps[i].entry] != EVICT_NOT;
	return n;
}

static void
summary_lines(struct kvevict *k, const struct evict_run *r)
{
	const struct evict *ev = &k->ev;
	char gone[NUM_TEXT], was[NUM_TEXT], is[NUM_TEXT], n[NUM_TEXT], left[NUM_TEXT];
	const char *done = k->want.class ? "moved" : k->demote ? "demoted" : "deleted";
	struct buf b = { 0 };
	const struct tally *t;

	if (opts_common.dry)
		done = k->want.class ? "would move" : k->demote ? "would demote" : "would delete";
	for (t = tallies; t->reason; t++)
		buf_printf(&b, "%s%s %" PRIu64, t == tallies ? " (" : ", ", t->reason, t->n);
	buf_str(&b, t == tallies ? "" : ")");
	tool_note("%s %s, %s%s; %" PRIu32 " -> %s, %s -> %s", done,
		num_count_text(n, r->count[EVICT_GONE], "chunk"),
		num_size_text(gone, r->bytes[EVICT_GONE]), buf_text(&b) ? b.p : "", ev->units.n,
		num_count_text(left, ev->units.n - r->count[EVICT_GONE] -
		r->count[EVICT_VANISHED], "chunk"),
		num_size_text(was, ev->cat.bytes), num_size_text(is, ev->cat.bytes -
		r->bytes[EVICT_GONE] - r->bytes[EVICT_VANISHED]));
	buf_free(&b);
	if (swept)
		tool_note("%s %" PRIu64 " pieces of litter", opts_common.dry ? "would sweep" :
			"swept", swept);
	if (r->count[EVICT_VANISHED] || r->count[EVICT_USED] || r->count[EVICT_KEPT] ||
	    r->count[EVICT_FAILED])
		tool_note("vanished %" PRIu64 ", used meanwhile %" PRIu64 ", kept for their "
			"children %" PRIu64 ", failed %" PRIu64, r->count[EVICT_VANISHED],
			r->count[EVICT_USED], r->count[EVICT_KEPT], r->count[EVICT_FAILED]);
	if (ev->young || ev->pinned || ev->leased)
		tool_note("protected: %" PRIu64 " young, %" PRIu64 " pinned, %" PRIu64 " leased",
			ev->young, ev->pinned, ev->leased);
	if (staying(ev))
		tool_note("%" PRIu64 " that should go stay: protected, or others that stay "
			"continue them", staying(ev));
	if (ev->max_bytes != UINT64_MAX)
		tool_note("limit %" PRIu64 " bytes, low water %" PRIu64 "; at most %" PRIu64
			" chunks may be deleted", ev->max_bytes, ev->low_bytes, ev->allowed);
	if (ev->plan.cyclic)
		tool_warn("%" PRIu64 " chunks stay: their parents form a circle (damaged "
			"headers)", ev->plan.cyclic);
	if (ev->plan.short_of)
		tool_warn("the limit cannot be met: too much is protected");
	if (ev->cut_off)
		tool_note("%" PRIu64 " children now unreachable (kvevict --unreachable removes "
			"them)", ev->cut_off);
	if (r->timed_out)
		tool_note("time limit: %zu of %zu done; run again to go on",
			(size_t)(r->count[EVICT_GONE] + r->count[EVICT_VANISHED]), ev->plan.n);
}

static void
summary_json(const struct kvevict *k, const struct evict_run *r)
{
	const struct evict *ev = &k->ev;
	struct buf b = { 0 };
	const struct tally *t;

	buf_printf(&b, "\"deleted\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"vanished\":%" PRIu64
		",\"used\":%" PRIu64 ",\"kept\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"reasons\":{",
		r->count[EVICT_GONE], r->bytes[EVICT_GONE], r->count[EVICT_VANISHED],
		r->count[EVICT_USED], r->count[EVICT_KEPT], r->count[EVICT_FAILED]);
	for (t = tallies; t->reason; t++)
		buf_printf(&b, "%s\"%s\":%" PRIu64, t == tallies ? "" : ",", t->reason, t->n);
	buf_printf(&b, "},\"chunks_before\":%" PRIu32 ",\"bytes_before\":%" PRIu64
		",\"swept\":%" PRIu64 ",\"young\":%" PRIu64 ",\"pinned\":%" PRIu64
		",\"leased\":%" PRIu64 ",\"policy\":\"%s\",\"over_limit\":%s",
		ev->units.n, ev->cat.bytes, swept, ev->young, ev->pinned, ev->leased,
		ev->policy ? policy_name(ev->policy) : "none",
		ev->plan.short_of ? "true" : "false");
	buf_printf(&b, ",\"timed_out\":%s,\"seconds\":%.3f,\"dry_run\":%s",
		r->timed_out ? "true" : "false", k->seconds,
		opts_common.dry ? "true" : "false");
	if (buf_text(&b))
		out_summary("kvevict", b.p, 0);
	buf_free(&b);
}

static void
metrics(const struct kvevict *k, const struct evict_run *r)
{
	static const char *const states[EVICT_STATES] = { "deleted", "vanished", "used", "kept",
		"failed" };
	const struct evict *ev = &k->ev;
	const struct tally *t;
	char label[64];
	struct buf b;
	int i;

	metrics_begin(&b);
	for (i = 0; i < EVICT_STATES; i++) {
		snprintf(label, sizeof(label), "state=\"%s\"", states[i]);
		metrics_line(&b, "chunks", label, (double)r->count[i]);
	}
	for (t = tallies; t->reason; t++) {
		snprintf(label, sizeof(label), "reason=\"%s\"", t->reason);
		metrics_line(&b, "deleted_chunks", label, (double)t->n);
		metrics_line(&b, "deleted_bytes", label, (double)t->bytes);
	}
	metrics_whole(&b, "kvtools_store_bytes", NULL, (double)(ev->cat.bytes -
		r->bytes[EVICT_GONE] - r->bytes[EVICT_VANISHED]));
	metrics_whole(&b, "kvtools_store_chunks", NULL, (double)(ev->units.n -
		r->count[EVICT_GONE] - r->count[EVICT_VANISHED]));
	metrics_line(&b, "protected_chunks", NULL,
		(double)(ev->young + ev->pinned + ev->leased));
	metrics_line(&b, "over_limit", NULL, ev->plan.short_of);
	metrics_line(&b, "swept_objects", NULL, (double)swept);
	if (ev->max_bytes != UINT64_MAX)
		metrics_line(&b, "limit_bytes", NULL, (double)ev->max_bytes);
	metrics_end(&b, k->seconds);
}

/* Was anything begun? Not if a guard, or how it was asked for, ended the run. */
static int
has_summary(const struct kvevict *k, const struct evict_run *r)
{
	enum err_kind worst = tool_mark(ERR_NONE);
	int i, begun = worst != ERR_REFUSED && worst != ERR_USAGE;

	for (i = 0; i < EVICT_STATES; i++)
		begun |= r->count[i] > 0;
	return k->ev.policy && begun;
}

void
report_close(struct kvevict *k, const struct evict_run *r)
{
	report_alike();
	out_close(out);
	if (audit >= 0)
		close(audit);
	if (k->ev.policy)
		tenants(&k->ev);
	if (has_summary(k, r))
		summary_lines(k, r);
	summary_json(k, r);
	if (k->ev.policy)	/* otherwise it is not known what lies there */
		metrics(k, r);
}
