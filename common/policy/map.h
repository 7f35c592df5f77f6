#ifndef POLICY_MAP_H
#define POLICY_MAP_H

#include <stdint.h>

/*
 * 64-bit keys to 32-bit slots. Open addressing with linear
 * probing and deletion by shifting back, so no tombstones gather; or, when all
 * keys are known to be small, a plain array.
 */
#define MAP_NONE UINT32_MAX

struct map_cell {
	uint64_t key;
	uint32_t slot;		/* MAP_NONE: empty */
};

struct map {
	struct map_cell *cells;	/* NULL when dense */
	uint32_t *slots;	/* of each key, when dense */
	uint64_t mask;		/* hashed: room - 1; dense: room, above the greatest key */
	uint64_t n;
};

/* dense: keys are small numbers, below 2^32 - 1. 0, or -1: no memory. */
int map_open(struct map *m, int dense);
void map_close(struct map *m);

/* Keys of hashed maps may be chosen by strangers' prompts, but only through a
 * cryptographic hash; a mixing step suffices against regular ones. */
static inline uint64_t
map_mix(uint64_t k)
{
	k = (k ^ (k >> 32)) * 0x9e3779b97f4a7c15ull;
	return k ^ (k >> 29);
}

static inline uint32_t
map_get(const struct map *m, uint64_t key)
{
	const struct map_cell *c;

	if (!m->cells)
		return key < m->mask ? m->slots[key] : MAP_NONE;
	for (uint64_t i = map_mix(key);; i++) {
		c = &m->cells[i & m->mask];
		if (c->key == key || c->slot == MAP_NONE)
			return c->slot;
	}
}

/* It will be asked for soon: of many keys, each is found sooner if all are named first. */
static inline void
map_soon(const struct map *m, uint64_t key)
{
	if (m->cells)
		__builtin_prefetch(&m->cells[map_mix(key) & m->mask]);
}

/* Set or replace; 0, or -1: no memory, or a dense key too large. */
int map_put(struct map *m, uint64_t key, uint32_t slot);
void map_del(struct map *m, uint64_t key);	/* nothing when absent */

#endif
