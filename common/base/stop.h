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

/* A thread about to wait in a system call that a stop is to interrupt calls stop_wait(), and
 * stop_waited() with what it returned when it is through: stop_wake() sends SIGURG to each that is
 * between the two. That is lost on who has yet to begin to wait, so it is to be called again and
 * again, by the handler that asks for the stop; it is async-signal-safe. Without a handler SIGURG
 * does nothing. */
int stop_wait(void);
void stop_waited(int slot);
void stop_wake(void);

#endif
