#include <stdlib.h>

#include "policy/auto.h"

#define TOGETHER 10		/* blocks that one request uses, as far as a snapshot can tell */
#define EVENTS_MIN 32		/* below this there is nothing to learn from: LRU */

/* What a snapshot tells about the past, for "auto" in batch. An entry with h hits was
 * used again h times, after its mean gap each time as far as we know, and has since been
 * idle. Time spent at risk is the number that reached each age class, times its width. */
struct snapshot {
	struct hazard h;
	double reached[HAZARD_KINDS][HAZARD_AGES + 1];	/* and passed, as differences */
};

static int
kind_of(uint32_t hits, int leaf)
{
	return auto_kind(hits + 1, FROM_NOTHING, leaf);
}

/* So many blocks went from age 0 to this idle time. */
static int
spend(struct snapshot *s, int kind, double idle, double blocks)
{
	int age = hazard_age(&s->h, idle > 0 ? (uint64_t)idle : 0);

	s->reached[kind][0] += blocks;
	s->reached[kind][age] -= blocks;
	if (idle > (double)s->h.limit[age])
		s->h.risk[kind][age] += blocks * (idle - (double)s->h.limit[age]);
	return age;
}

static void
look_at(struct snapshot *s, const struct plan_entry *v, double now_s, int leaf)
{
	double used = plan_used_s(v), gap;
	int kind = kind_of(v->hits, leaf), first = kind_of(0, leaf);

	spend(s, kind, now_s - used, 1);
	if (!v->hits)
		return;
	gap = (used - v->created_s) / v->hits;
	s->h.events[first][spend(s, first, gap, 1)]++;
	if (v->hits > 1)
		s->h.events[kind][spend(s, kind, gap, v->hits - 1)] += v->hits - 1;
}

static void
finish(struct snapshot *s)
{
	s->h.known = 1;
	for (int k = 0; k < HAZARD_KINDS; k++) {
		double passing = 0;

		for (int a = 0; a < HAZARD_AGES; a++) {
			s->h.groups[k] += s->h.events[k][a] / TOGETHER;
			passing += s->reached[k][a];
			s->h.risk[k][a] += passing * (double)(s->h.limit[a + 1] - s->h.limit[a]);
		}
	}
}

int
auto_scores(double *score, const struct plan_entry *v, size_t n,
	const struct plan_want *w, struct err *e)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	char *inner = calloc(n + 1, 1);
	int learned;

	if (!s || !inner) {
		free(s);
		free(inner);
		return err_sys(e, "calloc");
	}
	hazard_open(&s->h);
	for (size_t i = 0; i < n; i++)
		if (v[i].parent != PLAN_NONE)
			inner[v[i].parent] = 1;
	for (size_t i = 0; i < n; i++)
		look_at(s, &v[i], w->now_s, !inner[i]);
	finish(s);
	learned = hazard_learn(&s->h, 0) >= EVENTS_MIN;
	for (size_t i = 0; i < n; i++) {
		double idle = w->now_s - plan_used_s(&v[i]);
		int age = hazard_age(&s->h, idle > 0 ? (uint64_t)idle : 0);
		double bytes = v[i].bytes ? (double)v[i].bytes : 1;
		double cost = v[i].cost > 0 ? (double)v[i].cost : 1;

		score[i] = learned ? s->h.index[kind_of(v[i].hits, !inner[i])][age] *
			cost / bytes : plan_used_s(&v[i]);
	}
	free(s);
	free(inner);
	return 0;
}
