#include <math.h>
#include <string.h>

#include "policy/hazard.h"

#define PRIOR 1			/* requests that must be seen before a class speaks for itself */
#define OLD 22			/* age class from which rates fall, where there are no data */
#define MEMORY 10000		/* requests, by kind, after which what was learned counts half */

typedef double table[HAZARD_KINDS][HAZARD_AGES];

static void
hazard_unlearned(struct hazard *h)
{
	for (int k = 0; k < HAZARD_KINDS; k++)
		for (int a = 0; a < HAZARD_AGES; a++)
			h->index[k][a] = 1.0 / (double)(1 + h->limit[a]);
}

void
hazard_open(struct hazard *h)
{
	memset(h, 0, sizeof(*h));
	for (int a = 1; a <= HAZARD_AGES; a++)
		h->limit[a] = (uint64_t)(pow(2, a / 2.0) + 0.5);
	hazard_unlearned(h);
}

int
hazard_age(const struct hazard *h, uint64_t idle)
{
	int a = 0;

	while (a < HAZARD_AGES - 1 && idle >= h->limit[a + 1])
		a++;
	return a;
}

static double
width(const struct hazard *h, int a)
{
	return (double)(h->limit[a + 1] - h->limit[a]);
}

static double
sum(const double *v)
{
	double s = 0;

	for (int a = 0; a < HAZARD_AGES; a++)
		s += v[a];
	return s;
}

/* Blocks that are used by one request are one observation, not many: so many more events
 * must be seen (statisticians call that the design effect of clusters). */
static double
prior(double events, double groups)
{
	return groups >= 1 && events > groups ? PRIOR * events / groups : PRIOR;
}

/* Chances change little from one age to the next: each class counts half of what its neighbours
 * know, for single requests have much to say in one. */
static void
blur(const double *v, double *out)
{
	for (int a = 0; a < HAZARD_AGES; a++) {
		double younger = v[a ? a - 1 : a], older = v[a + 1 < HAZARD_AGES ? a + 1 : a];

		out[a] = (younger + 2 * v[a] + older) / 4;
	}
}

/* Rates of all kinds together. Where an old age has no data yet, assume that the
 * rate goes on falling in proportion to age: gaps are spread evenly over octaves. */
static void
common_rates(const struct hazard *h, table risk, double *rate)
{
	double events[HAZARD_AGES] = { 0 }, spent[HAZARD_AGES] = { 0 }, expect, groups = 0, few;

	for (int k = 0; k < HAZARD_KINDS; k++) {
		groups += h->groups[k];
		for (int a = 0; a < HAZARD_AGES; a++) {
			events[a] += h->events[k][a];
			spent[a] += risk[k][a];
		}
	}
	few = prior(sum(events), groups);
	expect = (sum(events) + 1e-9) / (sum(spent) + 1);
	for (int a = 0; a < HAZARD_AGES; a++) {
		if (a >= OLD)
			expect = rate[a - 1] * (double)(h->limit[a] + h->limit[a - 1]) /
				(double)(h->limit[a + 1] + h->limit[a]);
		rate[a] = (events[a] + few) / (spent[a] + few / expect);
	}
}

/* Rates of one kind: its own counts and a request's worth of imagined ones that follow the common
 * curve at this kind's own level (an empirical Bayes estimate). */
static void
kind_rates(const double *seen, const double *spent, double few, const double *common,
	double *rate)
{
	double events[HAZARD_AGES], risk[HAZARD_AGES], expected = 0, level;

	blur(seen, events);
	blur(spent, risk);
	for (int a = 0; a < HAZARD_AGES; a++)
		expected += risk[a] * common[a];
	level = (sum(events) + few) / (expected + few);
	for (int a = 0; a < HAZARD_AGES; a++)
		rate[a] = (events[a] + few) / (risk[a] + few / (common[a] * level));
}

/*
 * The most that can be got from a block's room: keep it for some time more, until it is
 * used or that time is over, and count uses per time; the best time to stop decides
 * (Gittins' index of the stopping problem).
 */
static void
best_stop(const struct hazard *h, const double *rate, double *index)
{
	double hit[HAZARD_AGES], stay[HAZARD_AGES];

	for (int a = 0; a < HAZARD_AGES; a++) {
		hit[a] = 1 - exp(-rate[a] * width(h, a));
		stay[a] = rate[a] > 1e-15 ? hit[a] / rate[a] : width(h, a);
	}
	for (int a = 0; a < HAZARD_AGES; a++) {
		double alive = 1, uses = 0, time = 0;

		index[a] = 0;
		for (int b = a; b < HAZARD_AGES; b++) {
			uses += alive * hit[b];
			time += alive * stay[b];
			alive *= 1 - hit[b];
			if (uses > index[a] * time)
				index[a] = uses / time;
		}
	}
}

static void
fade(struct hazard *h)
{
	for (int k = 0; k < HAZARD_KINDS; k++) {
		h->groups[k] /= 2;
		for (int a = 0; a < HAZARD_AGES; a++) {
			h->events[k][a] /= 2;
			h->risk[k][a] /= 2;
		}
	}
}

/* Where hits are rare, as in a loop, nothing is lost by leaving LRU: a return tells as much. */
static int
is_enough(const struct hazard *h)
{
	if (h->returns > HAZARD_RETURN * h->hits && h->returns + h->hits >= HAZARD_ENOUGH)
		return 1;
	return h->hits + h->returns / HAZARD_RETURN >= HAZARD_ENOUGH;
}

double
hazard_learn(struct hazard *h, uint64_t now)
{
	double common[HAZARD_AGES], rate[HAZARD_AGES], events = 0, groups = 0, open, few;
	table risk;

	for (int k = 0; k < HAZARD_KINDS; k++) {
		for (int a = 0; a < HAZARD_AGES; a++) {
			open = h->inside[k][a] * (double)now - h->since[k][a];
			risk[k][a] = h->risk[k][a] + (open > 0 ? open : 0);
		}
		events += sum(h->events[k]);
		groups += h->groups[k];
	}
	h->known |= is_enough(h);
	if (!h->known) {
		hazard_unlearned(h);
		return events;
	}
	common_rates(h, risk, common);
	for (int k = 0; k < HAZARD_KINDS; k++) {
		few = prior(sum(h->events[k]), h->groups[k]);
		kind_rates(h->events[k], risk[k], few, common, rate);
		best_stop(h, rate, h->index[k]);
	}
	if (groups > MEMORY)
		fade(h);
	return events;
}
