#ifndef BASE_STOP_H
#define BASE_STOP_H

/* One flag for the whole process: a signal asked us to stop. Set by the tools'
 * signal handler (async-signal-safe), looked at by every loop that waits. */
void stop_ask(int signal);	/* 0 takes it back */
int stop_asked(void);		/* the signal's number, or 0 */

#endif
