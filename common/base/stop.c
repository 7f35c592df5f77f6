#include <stdatomic.h>

#include "base/clock.h"
#include "base/stop.h"

static _Atomic int asked;
static _Atomic double over;

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
