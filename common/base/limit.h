#ifndef BASE_LIMIT_H
#define BASE_LIMIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A rate shared by threads: a bucket that fills at so many bytes a second and holds a
 * tenth of a second's worth. */
struct limit;

/* bytes_s 0: no limit; *out is NULL then, which the others take. */
int limit_open(struct limit **out, uint64_t bytes_s, struct err *e);
void limit_close(struct limit *l);

/* Account for n bytes; sleeps while they exceed the rate. -1: ERR_STOPPED. */
int limit_take(struct limit *l, size_t n, struct err *e);

#endif
