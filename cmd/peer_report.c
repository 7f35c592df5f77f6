#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "metrics.h"
#include "out.h"
#include "peer_opts.h"
#include "tool.h"

static double
seconds(uint64_t us)
{
	return (double)us / 1e6;
}

static void
json(const struct peer_report *r, double total, double rate)
{
	const struct wire_totals *t = r->t;
	struct buf b = { 0 };

	buf_printf(&b, "\"role\":\"%s\",\"peer\":", r->role);
	buf_json(&b, r->peer, strlen(r->peer));
	buf_str(&b, ",\"transport\":");
	buf_json(&b, r->transport, strlen(r->transport));
	buf_printf(&b, ",\"offered\":%" PRIu64 ",\"offered_bytes\":%" PRIu64 ",\"had\":%" PRIu64
		",\"had_bytes\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"sent_bytes\":%" PRIu64
		",\"failed\":%" PRIu64, t->offered, t->offered_bytes, t->had, t->had_bytes,
		t->sent, t->sent_bytes, t->failed);
	buf_printf(&b, ",\"resent\":%" PRIu64 ",\"lanes_lost\":%" PRIu64 ",\"reconnects\":%" PRIu64
		",\"fallbacks\":%" PRIu64, t->again, t->lanes, t->reconnects, t->fallbacks);
	buf_printf(&b, ",\"prepare_s\":%.6f,\"wire_s\":%.6f,\"settle_s\":%.6f,\"seconds\":%.6f,"
		"\"bytes_per_s\":%.0f,\"line_bytes_per_s\":", seconds(t->prepare_us),
		seconds(t->wire_us), seconds(t->settle_us), total, rate);
	if (r->line)
		buf_printf(&b, "%.0f", (double)r->line / 8);
	else
		buf_str(&b, "null");
	if (buf_text(&b))
		out_summary(tool_name, b.p, 1);
	buf_free(&b);
}

void
peer_summary(const struct peer_report *r)
{
	const struct wire_totals *t = r->t;
	double total = seconds(t->prepare_us + t->wire_us + t->settle_us);
	double wire = seconds(t->wire_us + t->settle_us);
	double rate = wire > 0 ? (double)t->sent_bytes / wire : 0;
	char a[NUM_TEXT], b[NUM_TEXT], c[NUM_TEXT], d[64] = "";

	json(r, total, rate);
	if (opts_common.json)
		return;
	tool_note("offered %s %s, receiver has %" PRIu64 ", %s %" PRIu64 " (%s)",
		num_count_text(c, t->offered, "chunk"), num_size_text(a, t->offered_bytes),
		t->had, r->role, t->sent, num_size_text(b, t->sent_bytes));
	if (r->line)
		snprintf(d, sizeof(d), " = %.0f %% of line", 800 * rate / (double)r->line);
	tool_note("%s: %s in %.2f s, %s%s (prepare %.2f, wire %.2f, settle %.2f s)",
		*r->transport ? r->transport : "not connected", num_size_text(a, t->sent_bytes),
		total, num_rate_text(c, rate), d, seconds(t->prepare_us), seconds(t->wire_us),
		seconds(t->settle_us));
	if (t->failed || t->again || t->lanes || t->reconnects || t->fallbacks)
		tool_note("failed %" PRIu64 ", sent again %" PRIu64 ", lanes lost %" PRIu64
			", reconnects %" PRIu64 ", transports that failed %" PRIu64, t->failed,
			t->again, t->lanes, t->reconnects, t->fallbacks);
}

/* Names as NIXL's telemetry has them (nixl docs/telemetry.md), where it has one. */
void
peer_metrics(struct buf *b, const struct wire_totals *t, int source)
{
	metrics_line(b, source ? "tx_bytes_total" : "rx_bytes_total", NULL, (double)t->sent_bytes);
	metrics_line(b, source ? "tx_requests_total" : "rx_requests_total", NULL, (double)t->sent);
	metrics_line(b, "chunks_total", "state=\"offered\"", (double)t->offered);
	metrics_line(b, "chunks_total", "state=\"had\"", (double)t->had);
	metrics_line(b, "chunks_total", "state=\"failed\"", (double)t->failed);
	metrics_line(b, "errors_total", "status=\"resent\"", (double)t->again);
	metrics_line(b, "errors_total", "status=\"lane\"", (double)t->lanes);
	metrics_line(b, "errors_total", "status=\"reconnect\"", (double)t->reconnects);
	metrics_line(b, "errors_total", "status=\"fallback\"", (double)t->fallbacks);
	metrics_line(b, "xfer_seconds_total", "part=\"prepare\"", seconds(t->prepare_us));
	metrics_line(b, "xfer_seconds_total", "part=\"wire\"", seconds(t->wire_us));
	metrics_line(b, "xfer_seconds_total", "part=\"settle\"", seconds(t->settle_us));
}

void
peer_add(struct wire_totals *sum, const struct wire_totals *t)
{
	sum->offered += t->offered;
	sum->offered_bytes += t->offered_bytes;
	sum->had += t->had;
	sum->had_bytes += t->had_bytes;
	sum->sent += t->sent;
	sum->sent_bytes += t->sent_bytes;
	sum->failed += t->failed;
	sum->again += t->again;
	sum->lanes += t->lanes;
	sum->reconnects += t->reconnects;
	sum->fallbacks += t->fallbacks;
	sum->prepare_us += t->prepare_us;
	sum->wire_us += t->wire_us;
	sum->settle_us += t->settle_us;
}
