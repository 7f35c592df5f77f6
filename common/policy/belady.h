#ifndef POLICY_BELADY_H
#define POLICY_BELADY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The bound of all policies: with the future known, keep what is used soonest, and let
 * nothing in that is used later than all that is there (Belady's MIN with bypass). ids[]
 * are the references in order, all below distinct; capacity in blocks. *hits counts
 * references to resident blocks. 0, or -1: ERR_FAILED (memory).
 */
int belady(uint64_t *hits, const uint32_t *ids, size_t n, uint64_t distinct, uint64_t capacity,
	struct err *e);

#endif
