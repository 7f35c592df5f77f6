#include <stdlib.h>

#include "base/heap.h"

#define HEAP_WAYS 4	/* children share a cache line */

static int
before(const struct heap *h, uint32_t x, uint32_t y)
{
	const struct rank *r = &h->rank[x], *s = &h->rank[y];

	if (r->a != s->a)
		return r->a < s->a;
	if (r->b != s->b)
		return r->b < s->b;
	return x < y;
}

static void
set(struct heap *h, uint32_t i, uint32_t at)
{
	h->slots[i] = at;
	h->where[at] = i;
}

static void
rise(struct heap *h, uint32_t i)
{
	uint32_t at = h->slots[i];

	for (; i && before(h, at, h->slots[(i - 1) / HEAP_WAYS]); i = (i - 1) / HEAP_WAYS)
		set(h, i, h->slots[(i - 1) / HEAP_WAYS]);
	set(h, i, at);
}

static void
sink(struct heap *h, uint32_t i)
{
	uint32_t at = h->slots[i];

	for (;;) {
		uint64_t first = (uint64_t)i * HEAP_WAYS + 1, least = first;

		if (first >= h->n)
			break;
		for (uint64_t c = first + 1; c < first + HEAP_WAYS && c < h->n; c++)
			if (before(h, h->slots[c], h->slots[least]))
				least = c;
		if (!before(h, h->slots[least], at))
			break;
		set(h, i, h->slots[least]);
		i = (uint32_t)least;
	}
	set(h, i, at);
}

static int
grow(struct heap *h, uint32_t at, struct err *e)
{
	uint32_t room = h->room ? h->room : 1024;
	uint32_t *slots, *where;
	struct rank *rank;

	while (room <= at)
		room = room < UINT32_MAX / 2 ? room * 2 : UINT32_MAX;
	slots = realloc(h->slots, room * sizeof(*slots));
	if (slots)
		h->slots = slots;
	where = realloc(h->where, room * sizeof(*where));
	if (where)
		h->where = where;
	rank = realloc(h->rank, room * sizeof(*rank));
	if (rank)
		h->rank = rank;
	if (!slots || !where || !rank)
		return err_sys(e, "realloc");
	for (uint32_t i = h->room; i < room; i++)
		where[i] = HEAP_NONE;
	h->room = room;
	return 0;
}

int
heap_put(struct heap *h, uint32_t at, struct rank r, struct err *e)
{
	if (at >= h->room && grow(h, at, e) < 0)
		return -1;
	if (h->where[at] == HEAP_NONE)
		set(h, h->n++, at);
	h->rank[at] = r;
	rise(h, h->where[at]);
	sink(h, h->where[at]);
	return 0;
}

uint32_t
heap_pop(struct heap *h)
{
	uint32_t at, last;

	if (!h->n)
		return HEAP_NONE;
	at = h->slots[0];
	last = h->slots[--h->n];
	h->where[at] = HEAP_NONE;
	if (h->n) {
		set(h, 0, last);
		sink(h, 0);
	}
	return at;
}

void
heap_free(struct heap *h)
{
	free(h->slots);
	free(h->where);
	free(h->rank);
	*h = (struct heap){ 0 };
}
