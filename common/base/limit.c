#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limit.h"

#define BURST_S 0.1

struct limit {
	pthread_mutex_t lock;
	double rate;
	double paid_until;	/* when what was taken so far will have been earned */
};

int
limit_open(struct limit **out, uint64_t bytes_s, struct err *e)
{
	*out = NULL;
	if (bytes_s == 0)
		return 0;
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return err_sys(e, "rate limit");
	pthread_mutex_init(&(*out)->lock, NULL);
	(*out)->rate = (double)bytes_s;
	(*out)->paid_until = clock_mono();
	return 0;
}

void
limit_close(struct limit *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

int
limit_take(struct limit *l, size_t n, struct err *e)
{
	double now, ahead;

	if (!l)
		return 0;
	pthread_mutex_lock(&l->lock);
	now = clock_mono();
	if (l->paid_until < now - BURST_S)
		l->paid_until = now - BURST_S;
	l->paid_until += (double)n / l->rate;
	ahead = l->paid_until - now;
	pthread_mutex_unlock(&l->lock);
	return ahead > 0 ? clock_sleep(ahead, e) : 0;
}
