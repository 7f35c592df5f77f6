#ifndef POLICY_HAZARD_H
#define POLICY_HAZARD_H

#include <stdint.h>

/*
 * How likely is a block of some kind, idle for so long, to be used next, and what
 * is its room worth therefore? Learned from what happens to blocks: the
 * arithmetic of "auto" (policy/auto.h), inside this room. Time is in any unit.
 *
 * A block is at risk of being used in one age class at a time. It enters the
 * account of its kind and age when it gets there and leaves when it is used,
 * grows older, changes kind or is no longer watched; a use is an event.
 */
#define HAZARD_AGES 50		/* two an octave: 0, 1, 2, 3, 4, 6, 8, 11 ... 2^24.5 units */
#define HAZARD_KINDS 21
#define HAZARD_ENOUGH 32	/* requests that must have hit: before it, nothing is known */
#define HAZARD_RETURN 8		/* requests that find only what has left tell as much as one hit */

struct hazard {
	double events[HAZARD_KINDS][HAZARD_AGES];
	double groups[HAZARD_KINDS];	/* of them that are independent: requests, not blocks */
	uint64_t grouped[HAZARD_KINDS];	/* request that was last counted there, + 1 */
	uint64_t hits, returns;	/* requests that found what was there; that found what had left */
	uint64_t counted;	/* the last of them, + 1 */
	int known;		/* there were enough of them */
	double risk[HAZARD_KINDS][HAZARD_AGES];		/* block x time, of those that left */
	double inside[HAZARD_KINDS][HAZARD_AGES];	/* blocks in the account now */
	double since[HAZARD_KINDS][HAZARD_AGES];	/* sum of the times they entered */
	double index[HAZARD_KINDS][HAZARD_AGES];	/* the result: uses per block x time */
	uint64_t limit[HAZARD_AGES + 1];	/* age a is from limit[a] to below limit[a + 1] */
};

/* Nothing known: the index falls with age, as LRU has it. */
void hazard_open(struct hazard *h);

/* The age class of an idle time. */
int hazard_age(const struct hazard *h, uint64_t idle);

static inline void
hazard_enter(struct hazard *h, int kind, int age, double blocks, uint64_t now)
{
	h->inside[kind][age] += blocks;
	h->since[kind][age] += blocks * (double)now;
}

/* So many blocks were used, by the request of this number; its first use tells whether it hit. */
static inline void
hazard_use(struct hazard *h, int kind, int age, double blocks, uint64_t request, int hit)
{
	h->events[kind][age] += blocks;
	if (h->counted != request + 1) {
		h->counted = request + 1;
		h->hits += hit;
		h->returns += !hit;
	}
	if (h->grouped[kind] != request + 1) {
		h->grouped[kind] = request + 1;
		h->groups[kind]++;
	}
}

static inline void
hazard_leave(struct hazard *h, int kind, int age, double blocks, uint64_t since, uint64_t now)
{
	h->inside[kind][age] -= blocks;
	h->since[kind][age] -= blocks * (double)since;
	h->risk[kind][age] += blocks * (double)(now - since);
}

/* Work out index[][] from all that is known at this time; old events count less as
 * new ones come. Until enough is known it stays as hazard_open() left it.
 * Returns the number of events the index rests on. */
double hazard_learn(struct hazard *h, uint64_t now);

#endif
