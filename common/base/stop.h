#ifndef BASE_STOP_H
#define BASE_STOP_H

#include <signal.h>

/* One flag for the whole process: a signal asked us to stop. Set by the tools'
 * signal handler (async-signal-safe), looked at by every loop that waits. */
void stop_ask(int signal);	/* 0 takes it back */

/* The same when clock_mono() has come so far: nobody waits for an answer any longer. 0 takes it
 * back. What is being written to a descriptor goes on all the same. */
#define STOP_TIME SIGALRM
void stop_at(double mono);

int stop_asked(void);		/* the signal's number, STOP_TIME, or 0 */

#endif
