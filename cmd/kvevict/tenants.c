#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "kvevict/kvevict.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

/* What each tenant has, may have, and loses. */
struct tenant {
	uint64_t used, over, chunks, expired, deleted;
};

static void
count(const struct evict *ev, struct tenant *t)
{
	size_t i;

	for (i = 0; i < ev->units.n; i++) {
		if (ev->v[i].tenant == PLAN_NONE)
			continue;
		t[ev->v[i].tenant].used += ev->v[i].bytes;
		t[ev->v[i].tenant].chunks++;
	}
	for (i = 0; i < ev->plan.n; i++) {
		const struct plan_step *s = &ev->plan.steps[i];
		uint32_t at = ev->v[s->entry].tenant;

		if (at == PLAN_NONE)
			continue;
		t[at].deleted++;
		t[at].expired += s->reason == PLAN_EXPIRED || s->reason == PLAN_TTL;
	}
	for (i = 0; i < ev->n_quotas; i++) {
		uint64_t max = ev->quotas[i].limit.max_bytes;

		t[i].over = max && t[i].used > max ? t[i].used - max : 0;
	}
}

static void
text_row(const struct evict_quota *q, const struct tenant *t)
{
	char used[NUM_TEXT], quota[NUM_TEXT] = "-", over[NUM_TEXT] = "-";

	num_size_text(used, t->used);
	if (q->limit.max_bytes)
		num_size_text(quota, q->limit.max_bytes);
	if (t->over)
		num_size_text(over, t->over);
	fprintf(stderr, "%-20s %10s %10s %10s %8" PRIu64 " %8" PRIu64 "\n",
		*q->tenant ? q->tenant : "-", used, quota, over, t->expired, t->deleted);
}

static void
text(const struct evict *ev, const struct tenant *t)
{
	size_t i;

	fprintf(stderr, "%-20s %10s %10s %10s %8s %8s\n", "TENANT", "USED", "QUOTA", "OVER",
		"EXPIRED", "DELETE");
	for (i = 0; i < ev->n_quotas; i++)
		if (strcmp(ev->quotas[i].tenant, "*") != 0)
			text_row(&ev->quotas[i], &t[i]);
}

static void
json(const struct evict *ev, const struct tenant *t)
{
	static const struct out_col cols[] = {
		{ "TENANT", "tenant", OUT_TEXT, 0, 0 }, { "USED", "used", OUT_SIZE, 0, 0 },
		{ "QUOTA", "quota", OUT_SIZE, 0, 0 }, { "OVER", "over", OUT_SIZE, 0, 0 },
		{ "CHUNKS", "chunks", OUT_COUNT, 0, 0 },
		{ "EXPIRED", "expired", OUT_COUNT, 0, 0 },
		{ "DELETE", "delete", OUT_COUNT, 0, 0 },
	};
	struct out *out = out_open("kv.tenant/1", cols, 7, 0);
	union out_value v[7];
	size_t i;

	for (i = 0; i < ev->n_quotas; i++) {
		if (!strcmp(ev->quotas[i].tenant, "*"))
			continue;
		v[0].s = ev->quotas[i].tenant;
		v[1].u = t[i].used;
		v[2].u = ev->quotas[i].limit.max_bytes ? ev->quotas[i].limit.max_bytes : OUT_NONE;
		v[3].u = t[i].over;
		v[4].u = t[i].chunks;
		v[5].u = t[i].expired;
		v[6].u = t[i].deleted;
		out_row(out, v);
	}
	out_close(out);
}

void
tenants(const struct evict *ev)
{
	struct tenant *t = calloc(ev->n_quotas + 1, sizeof(*t));

	if (!t || !ev->n_quotas || (tool_verbose < 0 && !opts_common.json)) {
		free(t);
		return;
	}
	count(ev, t);
	if (opts_common.json)
		json(ev, t);
	else
		text(ev, t);
	free(t);
}
