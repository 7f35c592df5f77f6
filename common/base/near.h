#ifndef BASE_NEAR_H
#define BASE_NEAR_H

/* What may have been meant by a word that is none of those known: offer the known ones, each
 * after the other, and take the best at the end. Begin with { .word = ... }. */
struct near {
	const char *word, *best;	/* best: NULL, or the one with fewest letters changed */
	unsigned changes;
};

void near_offer(struct near *n, const char *known);

#endif
