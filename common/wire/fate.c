#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/stop.h"
#include "wire/session.h"

#define LAST_WORDS_S 3.0	/* on a busy host a reason may lag behind the end of a lane */
#define MOMENT_S 0.3

/* Pings, so that the other end knows us alive however long a chunk takes. */
static void *
pulse(void *arg)
{
	struct wire_fate *f = arg;
	struct buf b = { 0 };
	double last = clock_mono();
	struct err e;

	pthread_mutex_lock(&f->lock);
	while (!f->over && !f->failed) {
		fate_wait(f, FATE_PULSE);
		if (f->over || f->failed || clock_mono() - last < WIRE_PULSE_S)
			continue;
		pthread_mutex_unlock(&f->lock);
		last = clock_mono();
		wire_put_empty(&b, WIRE_PING);
		if (wire_send(f->link->c, &b, &e) < 0)
			fate_fail(f, &e);
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	buf_free(&b);
	return NULL;
}

int
fate_open(struct wire_fate *f, struct wire_link *l, struct err *e)
{
	int i;

	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	for (i = 0; i < FATE_CONDS; i++)
		pthread_cond_init(&f->change[i], NULL);
	f->link = l;
	f->live = fabric_lanes(l->f);
	if (pthread_create(&f->pulse, NULL, pulse, f) == 0)
		return 0;
	fate_close(f);
	return err_set(e, ERR_FAILED, "no more threads");
}

void
fate_over(struct wire_fate *f)
{
	pthread_mutex_lock(&f->lock);
	f->over = 1;
	fate_wake_all(f);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->pulse, NULL);
}

void
fate_close(struct wire_fate *f)
{
	int i;

	if (f->failed && (f->why.kind != ERR_TEMP || f->unfit))
		conn_drain(f->link->c);
	for (i = 0; i < FATE_CONDS; i++)
		pthread_cond_destroy(&f->change[i]);
	pthread_mutex_destroy(&f->lock);
}

void
fate_fail_locked(struct wire_fate *f, const struct err *why)
{
	if (f->failed)
		return;
	f->failed = 1;
	f->why = *why;
	if (why->kind != ERR_TEMP || f->unfit) {	/* ours to tell; else the peer is gone */
		wire_refuse(f->link->c, why);
		conn_shut_write(f->link->c);
	} else {
		conn_shut(f->link->c);
	}
	fabric_shut(f->link->f);
	fate_wake_all(f);
}

void
fate_unfit(struct wire_fate *f, unsigned transports, const struct err *why)
{
	struct err e = *why;

	if (e.kind != ERR_REFUSED || fabric_transport(f->link->f) != TRANSPORT_VERBS ||
	    transports == 1u << TRANSPORT_VERBS)
		return;
	e.kind = ERR_TEMP;
	pthread_mutex_lock(&f->lock);
	if (!f->failed)
		f->unfit = 1;
	fate_fail_locked(f, &e);
	pthread_mutex_unlock(&f->lock);
}

void
fate_fail(struct wire_fate *f, const struct err *why)
{
	double until = clock_mono() + LAST_WORDS_S;

	pthread_mutex_lock(&f->lock);
	while (why->kind == ERR_TEMP && !f->failed && clock_mono() < until)
		fate_wait(f, FATE_PULSE);
	fate_fail_locked(f, why);
	pthread_mutex_unlock(&f->lock);
}

int
fate_lose(struct wire_fate *f, const struct err *why)
{
	int left = why->kind == ERR_TEMP && (f->link->peer.flags & WIRE_MOVES) &&
	    fabric_lanes(f->link->f) > 1;

	if (left) {
		(void)clock_sleep(MOMENT_S, NULL);
		pthread_mutex_lock(&f->lock);
		left = !f->failed && f->live > 1;
		f->live -= (unsigned)left;
		pthread_mutex_unlock(&f->lock);
	}
	if (!left)
		fate_fail(f, why);
	return left;
}

void
fate_wait(struct wire_fate *f, enum fate_cond which)
{
	struct timespec t;
	struct err e;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec++;
	pthread_cond_timedwait(&f->change[which], &f->lock, &t);
	if (stop_asked()) {
		err_set(&e, ERR_STOPPED, "stopped by a signal");
		fate_fail_locked(f, &e);
	}
}

void
fate_wake(struct wire_fate *f, enum fate_cond which)
{
	if (which == FATE_TALK)
		pthread_cond_broadcast(&f->change[which]);
	else	/* any of those that wait will do */
		pthread_cond_signal(&f->change[which]);
}

void
fate_wake_all(struct wire_fate *f)
{
	int i;

	for (i = 0; i < FATE_CONDS; i++)
		pthread_cond_broadcast(&f->change[i]);
}
