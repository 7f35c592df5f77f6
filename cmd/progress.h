#ifndef CMD_PROGRESS_H
#define CMD_PROGRESS_H

#include <stdint.h>

/*
 * Progress of a copying run. The rule: a bar on stderr if it is a terminal in whose foreground
 * we are, after a second; --progress=plain|json gives lines there, none nothing;
 * --progress-fd N lines to that descriptor; SIGUSR1 always one plain line.
 */
struct progress_now {
	uint64_t chunks, chunks_total;	/* total 0: not known */
	uint64_t bytes_in, bytes_out, bytes_total;
	uint64_t skipped;
	int buffer;			/* fill level in percent, -1 */
};

/* look() is called from another thread, about twice a second. */
void progress_start(void (*look)(void *ctx, struct progress_now *now), void *ctx);
void progress_stop(void);	/* erases the bar */

#endif
