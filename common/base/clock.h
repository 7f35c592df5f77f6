#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#include "base/err.h"

double clock_mono(void);	/* seconds, never goes back: for measuring */
int64_t clock_now(void);	/* seconds since 1970, UTC */
int64_t clock_now_ns(void);

int64_t clock_ns(int64_t s);	/* seconds as nanoseconds, as far as those go: 1677 to 2262 */

/* RFC 3339 in UTC, seconds: "2026-11-21T02:16:00Z", into out (at least 32 bytes). */
char *clock_text(char out[32], int64_t t);
int clock_read(int64_t *t, const char *text, struct err *e);	/* ERR_CORRUPT if it is none */

/* Sleep s seconds, or until a stop is asked: then -1 with ERR_STOPPED. */
int clock_sleep(double s, struct err *e);

#endif
