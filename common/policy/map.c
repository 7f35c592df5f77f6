#include <stdlib.h>
#include <string.h>

#include "policy/map.h"

#define MAP_FIRST 1024		/* room of a new map */

static int
alloc(struct map *m, uint64_t room)
{
	m->cells = malloc(room * sizeof(*m->cells));
	if (!m->cells)
		return -1;
	for (uint64_t i = 0; i < room; i++)
		m->cells[i] = (struct map_cell){ 0, MAP_NONE };
	m->mask = room - 1;
	return 0;
}

/* The array that dense keys have, for this many. */
static int
widen(struct map *m, uint64_t room)
{
	uint32_t *slots = realloc(m->slots, room * sizeof(*slots));

	if (!slots)
		return -1;
	memset(slots + m->mask, 0xff, (room - m->mask) * sizeof(*slots));
	m->slots = slots;
	m->mask = room;
	return 0;
}

int
map_open(struct map *m, int dense)
{
	*m = (struct map){ 0 };
	return dense ? widen(m, MAP_FIRST) : alloc(m, MAP_FIRST);
}

void
map_close(struct map *m)
{
	free(m->cells);
	free(m->slots);
	*m = (struct map){ 0 };
}

static struct map_cell *
place(const struct map *m, uint64_t key)
{
	uint64_t i = map_mix(key) & m->mask;

	while (m->cells[i].slot != MAP_NONE && m->cells[i].key != key)
		i = (i + 1) & m->mask;
	return &m->cells[i];
}

static int
grow(struct map *m)
{
	struct map bigger = { .n = m->n };

	if (alloc(&bigger, (m->mask + 1) * 2) < 0)
		return -1;
	for (uint64_t i = 0; i <= m->mask; i++)
		if (m->cells[i].slot != MAP_NONE)
			*place(&bigger, m->cells[i].key) = m->cells[i];
	map_close(m);
	*m = bigger;
	return 0;
}

int
map_put(struct map *m, uint64_t key, uint32_t slot)
{
	struct map_cell *c;

	if (!m->cells) {
		if (key >= MAP_NONE)
			return -1;
		if (key >= m->mask && widen(m, key < m->mask * 2 ? m->mask * 2 : key + 1) < 0)
			return -1;
		m->n += m->slots[key] == MAP_NONE;
		m->slots[key] = slot;
		return 0;
	}
	if ((m->n + 1) * 3 > (m->mask + 1) * 2 && grow(m) < 0)
		return -1;
	c = place(m, key);
	m->n += c->slot == MAP_NONE;
	*c = (struct map_cell){ key, slot };
	return 0;
}

/* Close the gap at i: move back what probed past it. */
static void
shift_back(struct map *m, uint64_t i)
{
	for (uint64_t j = (i + 1) & m->mask; m->cells[j].slot != MAP_NONE;
	     j = (j + 1) & m->mask) {
		uint64_t home = map_mix(m->cells[j].key) & m->mask;

		if (((j - home) & m->mask) < ((j - i) & m->mask))
			continue;
		m->cells[i] = m->cells[j];
		i = j;
	}
	m->cells[i].slot = MAP_NONE;
}

void
map_del(struct map *m, uint64_t key)
{
	struct map_cell *c;

	if (!m->cells) {
		if (key < m->mask && m->slots[key] != MAP_NONE) {
			m->slots[key] = MAP_NONE;
			m->n--;
		}
		return;
	}
	c = place(m, key);
	if (c->slot == MAP_NONE)
		return;
	m->n--;
	shift_back(m, (uint64_t)(c - m->cells));
}
