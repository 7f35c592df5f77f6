#include <stdatomic.h>

#include "base/stop.h"

static _Atomic int asked;

void
stop_ask(int signal)
{
	atomic_store(&asked, signal);
}

int
stop_asked(void)
{
	return atomic_load_explicit(&asked, memory_order_relaxed);
}
