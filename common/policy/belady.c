#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/huge.h"
#include "policy/belady.h"

/*
 * A block that hits has stayed since its use before. A cache of n blocks is n rooms, in each of
 * which such stays follow one another; as many as possible are to be fitted in. Taken in the order
 * in which they end, a stay is fitted in if any room is free since before it began, and goes
 * to the one of those that was left last: that no other way fits in more is known of intervals
 * and machines (Faigle and Nawijn 1995; Carlisle and Lloyd 1995).
 *
 * At each time one block is referred to, so at most one room is left: the rooms are a set of
 * times, a bit each. Which word has the last bit before a time, where words in between are
 * empty, is found as in a union-find: empty words refer to those before them.
 */
#define FIRST_KEYS (1u << 19)	/* a huge page of them */
#define FIRST_WORDS 1024

struct belady {
	uint64_t hits;
	uint64_t empty;		/* rooms that nobody has stayed in */
	uint32_t now;
	uint32_t *last;		/* of each key, when it was used last, + 1; 0: never */
	uint64_t keys;		/* room of last[] */
	uint64_t *left;		/* at which times the rooms were left */
	uint32_t *before;	/* of each word of them: itself, or one before it if it is empty */
	size_t words;
};

void
belady_close(struct belady *b)
{
	if (!b)
		return;
	huge_free(b->last, b->keys * sizeof(*b->last));
	free(b->left);
	free(b->before);
	free(b);
}

uint64_t
belady_hits(const struct belady *b)
{
	return b->hits;
}

static int
more_keys(struct belady *b, uint64_t key)
{
	uint64_t keys = b->keys ? b->keys * 2 : FIRST_KEYS;
	uint32_t *last;

	if (keys <= key)
		keys = key + 1;
	if (key >= UINT32_MAX) {
		errno = ERANGE;
		return -1;
	}
	last = huge_grow(b->last, b->keys * sizeof(*last), keys * sizeof(*last));
	if (!last)
		return -1;
	b->last = last;
	b->keys = keys;
	return 0;
}

/* Room for n times more. */
static int
more_words(struct belady *b, size_t n)
{
	size_t words = b->words ? b->words : FIRST_WORDS;
	uint64_t *left;
	uint32_t *before;

	while (words <= (b->now + n) / 64)
		words *= 2;
	if (words == b->words)
		return 0;
	left = realloc(b->left, words * sizeof(*left));
	if (left)
		b->left = left;
	before = realloc(b->before, words * sizeof(*before));
	if (before)
		b->before = before;
	if (!left || !before)
		return -1;
	memset(left + b->words, 0, (words - b->words) * sizeof(*left));
	for (size_t w = b->words; w < words; w++)
		before[w] = (uint32_t)w;
	b->words = words;
	return 0;
}

/* A word that nothing is added to any more has become empty. */
static inline void
pass_over(struct belady *b, uint32_t word)
{
	if (word)
		b->before[word] = word - 1;
}

/* Whether one stays from then until now, in the room that was left last before it. */
static inline int
stay(struct belady *b, uint32_t since)
{
	uint32_t word = since / 64, *before = b->before;
	uint64_t bits = b->left[word] & ~0ull >> (63 - since % 64);

	if (!bits) {
		for (word -= word > 0; before[word] != word; word = before[word])
			before[word] = before[before[word]];
		if (word < since / 64)
			bits = b->left[word];
	}
	if (bits) {
		b->left[word] &= ~(1ull << (63 - __builtin_clzll(bits)));
		if (!b->left[word] && word < b->now / 64)
			pass_over(b, word);
	} else if (b->empty) {
		b->empty--;
	} else {
		return 0;
	}
	b->left[b->now / 64] |= 1ull << b->now % 64;
	return 1;
}

int
belady_open(struct belady **out, uint64_t capacity, struct err *e)
{
	struct belady *b = *out = calloc(1, sizeof(*b));

	if (!b || more_keys(b, 0) < 0)
		return err_sys(e, "belady");
	b->empty = capacity;
	return 0;
}

int
belady_refer(struct belady *b, const uint64_t *keys, size_t n, struct err *e)
{
	if (n >= UINT32_MAX - b->now)
		return err_set(e, ERR_FAILED, "belady: more than 4 billion references");
	if (more_words(b, n) < 0)
		return err_sys(e, "belady");
	for (size_t i = 0; i < n; i++, b->now++) {
		uint32_t *last;

		if (keys[i] >= b->keys && more_keys(b, keys[i]) < 0)
			return err_sys(e, "belady");
		if (b->now % 64 == 0 && b->now && !b->left[b->now / 64 - 1])
			pass_over(b, b->now / 64 - 1);
		last = &b->last[keys[i]];
		if (*last && stay(b, *last - 1))
			b->hits++;
		*last = b->now + 1;
	}
	return 0;
}
