#ifndef POLICY_BELADY_H
#define POLICY_BELADY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The bound of all policies: with the future known, keep what is used soonest, and let
 * nothing in that is used later than all that is there (Belady's MIN with bypass). How many
 * references hit then is known as they come; which block has to leave is not, and not asked.
 * Keys are small numbers, counted from 0; capacity in blocks.
 */
struct belady;

/* *out is the caller's, for belady_close(). -1: ERR_FAILED (memory). */
int belady_open(struct belady **out, uint64_t capacity, struct err *e);
void belady_close(struct belady *b);	/* safe on NULL */

/* The next references, in order. 0, or -1: ERR_FAILED (memory, 4 billion references or keys). */
int belady_refer(struct belady *b, const uint64_t *keys, size_t n, struct err *e);

/* Of all so far, those to resident blocks. */
uint64_t belady_hits(const struct belady *b);

#endif
