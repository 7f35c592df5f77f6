#ifndef CMD_KVSEND_BENCH_H
#define CMD_KVSEND_BENCH_H

#include "base/err.h"

/* kvsend --bench and --latency: chunks of growing sizes to a kvrecv, which checks and drops them.
 * sizes: "1M..80M", doubling. alone: one at a time. Both ends print the row of each size; times
 * are from the offer to the acknowledgement. */
int bench_run(const char *to, const char *sizes, int alone, struct err *e);

#endif
