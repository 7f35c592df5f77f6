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

void
metrics_line(struct buf *b, const char *name, const char *labels, double value)
{
	buf_printf(b, "kvtools_%s_%s%s%s%s %.15g\n", tool_name + 2, name, labels ? "{" : "",
		labels ? labels : "", labels ? "}" : "", value);
}

/* The time of the last success survives runs that fail: it is taken over from the old file. */
static double
last_success(void)
{
	char want[80];
	struct buf old = { 0 };
	double v = 0;
	char *p;

	snprintf(want, sizeof(want), "kvtools_%s_last_success_timestamp_seconds ", tool_name + 2);
	if (io_slurp(opts_common.metrics, &old, 1 << 20, NULL) == 0 && buf_text(&old)) {
		p = strstr(old.p, want);
		if (p && sscanf(p + strlen(want), "%lf", &v) != 1)
			v = 0;
	}
	buf_free(&old);
	return v;
}

void
metrics_end(struct buf *b, double seconds)
{
	int status = err_status(tool_mark(ERR_NONE));
	double now = (double)clock_now();
	struct err e;

	if (opts_common.metrics) {
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
	metrics_line(&b, "bytes_total", "direction=\"in\"", (double)r->stats.bytes_in);
	metrics_line(&b, "bytes_total", "direction=\"out\"", (double)r->stats.bytes_put);
	metrics_end(&b, r->seconds);
}
