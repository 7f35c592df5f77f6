#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdint.h>
#include <stddef.h>

#include "base/err.h"

/* All numbers that come as text are read here: the whole text must be the
 * number, and be in range. Each returns 0, or -1 with ERR_USAGE and a text
 * that names what was read ("--mem '12Q': not a size"). */

int num_u64(uint64_t *out, const char *text, uint64_t min, uint64_t max,
	const char *what, struct err *e);
int num_i64(int64_t *out, const char *text, int64_t min, int64_t max,
	const char *what, struct err *e);
int num_double(double *out, const char *text, double min, double max,
	const char *what, struct err *e);

/* Bytes: "500" bytes, "500K" "500KiB" = 500*1024, "500KB" = 500*1000; K M G T P. */
int num_size(uint64_t *bytes, const char *text, const char *what, struct err *e);

/* Seconds: "90s" "15m" "12h" "7d" "2w", combined "1d12h"; "0" and "90" are seconds;
 * fractions only with a unit ("0.5s"). Months are refused. */
int num_duration(double *seconds, const char *text, const char *what, struct err *e);

/* Bytes a second: "2GB/s", "500M/s", "10Gbit/s" (bits only when written). */
int num_rate(uint64_t *bytes_s, const char *text, const char *what, struct err *e);

/* Fraction: "80%" gives 0.8; plain numbers are refused. */
int num_percent(double *fraction, const char *text, const char *what, struct err *e);

/* For people, into out (32 bytes are enough), which is returned:
 * "32 MiB", "1.5 GiB"; "3h12m", "8d03h"; "1.25 GB/s"; "1 chunk", "0 chunks" of "chunk". */
#define NUM_TEXT 32
char *num_size_text(char out[NUM_TEXT], uint64_t bytes);
char *num_duration_text(char out[NUM_TEXT], double seconds);
char *num_rate_text(char out[NUM_TEXT], double bytes_s);
char *num_count_text(char out[NUM_TEXT], uint64_t n, const char *what);

#endif
