#include <stdlib.h>

#include "base/huge.h"
#include "policy/belady.h"

/*
 * Each resident block is known by the time of its next use, and no two share one: the
 * residents are a set of times. So a reference hits if the present is in the set, and who is
 * used last is the set's greatest member: a bit a time, a bit for each word of those that
 * is not zero, and so on, is all it takes.
 */
#define LEVELS 6		/* 64^6 > 2^32 */

struct set {
	uint64_t *level[LEVELS];	/* the last has one word */
	int levels;
};

static int
set_open(struct set *s, size_t n)
{
	s->levels = 0;
	do {
		n = n / 64 + 1;
		s->level[s->levels] = calloc(n, sizeof(uint64_t));
		if (!s->level[s->levels++])
			return -1;
	} while (n > 1);
	return 0;
}

static void
set_close(struct set *s)
{
	while (s->levels)
		free(s->level[--s->levels]);
}

static void
set_put(struct set *s, size_t i)
{
	for (int l = 0; l < s->levels; l++, i /= 64) {
		uint64_t *word = &s->level[l][i / 64], had = *word;

		*word |= 1ull << i % 64;
		if (had)
			return;
	}
}

static void
set_del(struct set *s, size_t i)
{
	for (int l = 0; l < s->levels; l++, i /= 64)
		if (s->level[l][i / 64] &= ~(1ull << i % 64))
			return;
}

static size_t
set_greatest(const struct set *s)
{
	size_t i = 0;

	for (int l = s->levels; l--;)
		i = i * 64 + 63 - (size_t)__builtin_clzll(s->level[l][i]);
	return i;
}

/* next[i]: when ids[i] is referenced again, or n. soonest[]: zeroes; n less the time. */
static void
next_uses(uint32_t *next, uint32_t *soonest, const uint32_t *ids, size_t n)
{
	for (size_t i = n; i-- > 0;) {
		next[i] = (uint32_t)n - soonest[ids[i]];
		soonest[ids[i]] = (uint32_t)(n - i);
	}
}

static uint64_t
replay(struct set *s, const uint32_t *next, size_t n, uint64_t capacity)
{
	uint64_t hits = 0, used = 0;

	for (size_t i = 0; i < n; i++) {
		if (s->level[0][i / 64] >> i % 64 & 1) {
			set_del(s, i);
			used--;
			hits++;
		}
		if (next[i] == n)
			continue;
		if (used == capacity) {
			size_t last = set_greatest(s);

			if (last <= next[i])
				continue;
			set_del(s, last);
			used--;
		}
		set_put(s, next[i]);
		used++;
	}
	return hits;
}

int
belady(uint64_t *hits, const uint32_t *ids, size_t n, uint64_t distinct, uint64_t capacity,
	struct err *e)
{
	size_t room = (n + distinct) * sizeof(uint32_t);
	uint32_t *next;
	struct set s;
	int r = -1;

	*hits = 0;
	if (n >= UINT32_MAX)
		return err_set(e, ERR_FAILED, "belady: more than 4 billion references");
	next = huge_alloc(room);
	if (set_open(&s, n) == 0 && next) {
		next_uses(next, next + n, ids, n);
		*hits = replay(&s, next, n, capacity);
		r = 0;
	}
	set_close(&s);
	huge_free(next, room);
	return r < 0 ? err_sys(e, "belady") : 0;
}
