#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdint.h>

#include "base/err.h"

/*
 * What is least comes out first. What the ranks are of is the caller's, and known here by its
 * number; room grows with the highest one. A heap begins as zeroes.
 */
#define HEAP_NONE UINT32_MAX

/* a decides, then b, then the number. */
struct rank {
	double a, b;
};

struct heap {
	uint32_t *slots;	/* the heap */
	uint32_t *where;	/* of a number in it */
	struct rank *rank;	/* of a number; stays when it has come out */
	uint32_t n, room;
};

int heap_put(struct heap *h, uint32_t at, struct rank r, struct err *e); /* insert or move */
uint32_t heap_pop(struct heap *h);	/* HEAP_NONE when empty */
void heap_free(struct heap *h);

#endif
