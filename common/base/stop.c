#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/stop.h"

#define SLOTS 128	/* more threads than ever wait at once */

static _Atomic int asked;
static _Atomic double over;
static _Atomic pid_t waiting[SLOTS];	/* their threads; 0: free */

void
stop_ask(int signal)
{
	atomic_store(&asked, signal);
}

void
stop_at(double mono)
{
	atomic_store(&over, mono);
}

int
stop_asked(void)
{
	int signal = atomic_load_explicit(&asked, memory_order_relaxed);
	double end = atomic_load_explicit(&over, memory_order_relaxed);

	if (signal || end == 0 || clock_mono() < end)
		return signal;
	return STOP_TIME;
}

int
stop_wait(void)
{
	static _Thread_local pid_t self;
	int i;

	if (!self)
		self = gettid();
	for (i = 0; i < SLOTS; i++) {
		pid_t none = 0;

		if (!atomic_load(&waiting[i]) &&
		    atomic_compare_exchange_strong(&waiting[i], &none, self))
			return i;
	}
	return -1;
}

void
stop_waited(int slot)
{
	if (slot >= 0)
		atomic_store(&waiting[slot], 0);
}

void
stop_wake(void)
{
	pid_t all = getpid(), one;
	int i;

	for (i = 0; i < SLOTS; i++) {
		one = atomic_load(&waiting[i]);
		if (one)
			tgkill(all, one, SIGURG);
	}
}
