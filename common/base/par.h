#ifndef BASE_PAR_H
#define BASE_PAR_H

#include <stddef.h>

#include "base/err.h"

/*
 * n independent jobs on at most j threads (the caller's included; j 0: one a
 * core). fn(ctx, i, e) is called once for each i, in any order, from any thread;
 * on -1 no further job is begun. Returns 0, or -1 with the first job's error.
 */
int par_each(size_t n, unsigned j, int (*fn)(void *ctx, size_t i, struct err *e), void *ctx,
	struct err *e);

/* Cores this process may use, cgroup quota included; at least 1. */
unsigned par_cores(void);

#endif
