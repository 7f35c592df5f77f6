#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "metrics.h"
#include "opts.h"
#include "tool.h"

void
metrics_begin(struct buf *b)
{
	memset(b, 0, sizeof(*b));
}

static int written;

/* store="..." for every line, or "". */
static char store_label[300];

void
metrics_store(const char *store)
{
	size_t n = (size_t)snprintf(store_label, sizeof(store_label), "store=\"");

	for (; *store && n + 3 < sizeof(store_label); store++) {
		if (*store == '"' || *store == '\\')
			store_label[n++] = '\\';
		store_label[n++] = (unsigned char)*store < 0x20 ? '?' : *store;
	}
	store_label[n++] = '"';
	store_label[n] = 0;
}

/* "{a,b}", or "" without labels. */
static void
add_labels(struct buf *b, const char *labels)
{
	if (*store_label || labels)
		buf_printf(b, "{%s%s%s}", store_label, *store_label && labels ? "," : "",
			labels ? labels : "");
}

void
metrics_whole(struct buf *b, const char *name, const char *labels, double value)
{
	buf_str(b, name);
	add_labels(b, labels);
	buf_printf(b, " %.15g\n", value);
}

void
metrics_line(struct buf *b, const char *name, const char *labels, double value)
{
	char whole[120];

	snprintf(whole, sizeof(whole), "kvtools_%s_%s", tool_name + 2, name);
	metrics_whole(b, whole, labels, value);
}

/* The time of the last success survives runs that fail: it is taken over from the old file. */
static double
last_success(void)
{
	struct buf old = { 0 }, want = { 0 };
	double v = 0;
	char *p;

	buf_printf(&want, "kvtools_%s_last_success_timestamp_seconds", tool_name + 2);
	add_labels(&want, NULL);
	buf_chr(&want, ' ');
	if (buf_text(&want) && io_slurp(opts_common.metrics, &old, 1 << 20, NULL) == 0 &&
	    buf_text(&old)) {
		p = strstr(old.p, want.p);
		if (p && sscanf(p + strlen(want.p), "%lf", &v) != 1)
			v = 0;
	}
	buf_free(&old);
	buf_free(&want);
	return v;
}

void
metrics_end(struct buf *b, double seconds)
{
	int status = err_status(tool_mark(ERR_NONE));
	double now = (double)clock_now();
	struct err e;

	written = 1;
	if (opts_common.metrics && !opts_common.dry) {
		metrics_line(b, "duration_seconds", NULL, seconds);
		metrics_line(b, "last_run_timestamp_seconds", NULL, now);
		metrics_line(b, "last_success_timestamp_seconds", NULL,
			status == 0 ? now : last_success());
		metrics_line(b, "last_exit_code", NULL, status);
		if (b->fail || io_replace(opts_common.metrics, b->p, b->len, 0644, &e) < 0)
			tool_fail(&e);
	}
	buf_free(b);
}

void
metrics_copy(const struct copy_result *r)
{
	struct buf b;

	metrics_begin(&b);
	metrics_line(&b, "chunks_total", "state=\"put\"", (double)r->stats.put);
	metrics_line(&b, "chunks_total", "state=\"skipped\"", (double)r->stats.skipped);
	metrics_line(&b, "chunks_total", "state=\"failed\"", (double)r->stats.failed);
	metrics_line(&b, "chunks_total", "state=\"vanished\"", (double)r->stats.vanished);
	if (r->tiers) {
		metrics_line(&b, "tiers", "state=\"used\"", (double)r->tiers);
		metrics_line(&b, "tiers", "state=\"down\"", (double)r->tiers_down);
		metrics_line(&b, "lower_tier_chunks_total", NULL, (double)r->fallen);
	}
	metrics_line(&b, "bytes_total", "direction=\"in\"", (double)r->stats.bytes_in);
	metrics_line(&b, "bytes_total", "direction=\"out\"", (double)r->stats.bytes_put);
	metrics_end(&b, r->seconds);
}

void
metrics_rest(void)
{
	struct buf b;

	if (written)
		return;
	metrics_begin(&b);
	metrics_end(&b, tool_seconds());
}
