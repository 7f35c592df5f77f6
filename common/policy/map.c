#include <stdlib.h>
#include <string.h>

#include "policy/map.h"

#define MAP_FIRST 1024		/* room of a new hashed map */

static int
alloc(struct map *m, uint64_t room, int hashed)
{
	m->slots = malloc(room * sizeof(*m->slots));
	m->keys = hashed ? malloc(room * sizeof(*m->keys)) : NULL;
	if (!m->slots || (hashed && !m->keys)) {
		map_close(m);
		return -1;
	}
	memset(m->slots, 0xff, room * sizeof(*m->slots));
	m->mask = hashed ? room - 1 : room;
	m->n = 0;
	return 0;
}

int
map_open(struct map *m, uint64_t dense)
{
	*m = (struct map){ 0 };
	return alloc(m, dense ? dense : MAP_FIRST, !dense);
}

void
map_close(struct map *m)
{
	free(m->keys);
	free(m->slots);
	*m = (struct map){ 0 };
}

static uint64_t
place(const struct map *m, uint64_t key)
{
	uint64_t i = map_mix(key) & m->mask;

	while (m->slots[i] != MAP_NONE && m->keys[i] != key)
		i = (i + 1) & m->mask;
	return i;
}

static int
grow(struct map *m)
{
	struct map bigger;

	if (alloc(&bigger, (m->mask + 1) * 2, 1) < 0)
		return -1;
	for (uint64_t i = 0; i <= m->mask; i++) {
		if (m->slots[i] == MAP_NONE)
			continue;
		uint64_t to = place(&bigger, m->keys[i]);
		bigger.keys[to] = m->keys[i];
		bigger.slots[to] = m->slots[i];
	}
	bigger.n = m->n;
	map_close(m);
	*m = bigger;
	return 0;
}

int
map_put(struct map *m, uint64_t key, uint32_t slot)
{
	if (!m->keys) {
		if (key >= m->mask)
			return -1;
		m->n += m->slots[key] == MAP_NONE;
		m->slots[key] = slot;
		return 0;
	}
	if ((m->n + 1) * 3 > (m->mask + 1) * 2 && grow(m) < 0)
		return -1;
	uint64_t i = place(m, key);
	m->n += m->slots[i] == MAP_NONE;
	m->keys[i] = key;
	m->slots[i] = slot;
	return 0;
}

/* Close the gap at i: move back what probed past it. */
static void
shift_back(struct map *m, uint64_t i)
{
	for (uint64_t j = (i + 1) & m->mask; m->slots[j] != MAP_NONE; j = (j + 1) & m->mask) {
		uint64_t home = map_mix(m->keys[j]) & m->mask;

		if (((j - home) & m->mask) < ((j - i) & m->mask))
			continue;
		m->keys[i] = m->keys[j];
		m->slots[i] = m->slots[j];
		i = j;
	}
	m->slots[i] = MAP_NONE;
}

void
map_del(struct map *m, uint64_t key)
{
	uint64_t i = key;

	if (m->keys)
		i = place(m, key);
	else if (key >= m->mask)
		return;
	if (m->slots[i] == MAP_NONE)
		return;
	m->n--;
	if (m->keys)
		shift_back(m, i);
	else
		m->slots[i] = MAP_NONE;
}
