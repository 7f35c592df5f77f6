#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "wire/session.h"

struct wire_door {
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct waiting *waiting;
	unsigned conns;
	struct guest *gone;	/* their threads are to be joined */
	int wake;		/* an eventfd: a connection is over */
	const struct wire_serve *serve;
	const struct conn_opts *opts;
};

/* A fabric whose lanes are to come. */
struct waiting {
	struct waiting *next;
	unsigned char token[FABRIC_TOKEN];
	struct fabric *f;
	unsigned users;		/* connections that are being handed over */
};

int
door_open(struct wire_door *d, const unsigned char token[FABRIC_TOKEN], struct fabric *f,
	struct err *e)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (!w)
		return err_sys(e, "session");
	memcpy(w->token, token, sizeof(w->token));
	w->f = f;
	pthread_mutex_lock(&d->lock);
	w->next = d->waiting;
	d->waiting = w;
	pthread_mutex_unlock(&d->lock);
	return 0;
}

void
door_close(struct wire_door *d, struct fabric *f)
{
	struct waiting **at, *w;

	pthread_mutex_lock(&d->lock);
	for (at = &d->waiting; (w = *at) && w->f != f; at = &w->next)
		;
	if (w)
		*at = w->next;
	while (w && w->users)
		pthread_cond_wait(&d->change, &d->lock);
	pthread_mutex_unlock(&d->lock);
	free(w);
}

/* A connection that wants to be a lane. Takes c. */
static int
take_lane(struct wire_door *d, struct conn *c, struct err *e)
{
	unsigned char rest[LANE_HELLO - 8];
	struct waiting *w, *found = NULL;
	int rc = conn_read(c, rest, sizeof(rest), 1, e);

	if (rc <= 0) {
		conn_close(c);
		return rc < 0 ? -1 : err_set(e, ERR_TEMP, "a lane closed before its hello");
	}
	pthread_mutex_lock(&d->lock);
	for (w = d->waiting; w; w = w->next)
		if (bytes_same(w->token, rest + 8, FABRIC_TOKEN))
			found = w;
	if (found)
		found->users++;
	pthread_mutex_unlock(&d->lock);
	if (!found) {
		err_set(e, ERR_REFUSED, "a lane of no session");
		conn_close(c);
		return -1;
	}
	conn_deadline(c, 0);
	rc = fabric_hand(found->f, c, get_le32(rest), e);
	pthread_mutex_lock(&d->lock);
	found->users--;
	pthread_cond_broadcast(&d->change);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

struct guest {
	struct wire_door *d;
	struct conn *c;
	pthread_t thread;
	struct guest *next;	/* that has gone */
};

/* Takes c. */
static void
receive_guest(struct wire_door *d, struct conn *c)
{
	const struct wire_serve *s = d->serve;
	unsigned char magic[8];
	struct err e;
	char peer[128];
	int rc;

	strcpy(peer, conn_name(c));
	conn_deadline(c, d->opts->connect_s);
	rc = conn_secure(c, &e);
	if (rc == 0)
		rc = wire_magic(c, magic, &e);
	if (rc < 0 && e.kind != ERR_TEMP)
		wire_turn_away(c, &e);
	if (rc < 0)
		conn_drain(c);
	if (rc == 0 && memcmp(magic, LANE_MAGIC, 8) == 0) {
		rc = take_lane(d, c, &e);
	} else {
		if (rc == 0)
			s->session(s->ctx, c, d);
		conn_close(c);
	}
	if (rc < 0 && s->refused)
		s->refused(s->ctx, peer, &e);
}

static void *
guest_thread(void *arg)
{
	struct guest *g = arg;
	struct wire_door *d = g->d;
	uint64_t one = 1;

	receive_guest(d, g->c);
	pthread_mutex_lock(&d->lock);
	d->conns--;
	g->next = d->gone;
	d->gone = g;
	(void)!write(d->wake, &one, sizeof(one));
	pthread_cond_broadcast(&d->change);
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* A thread for a new connection; takes c. */
static void
admit(struct wire_door *d, struct conn *c)
{
	struct guest *g = malloc(sizeof(*g));
	struct err e;
	int full;

	pthread_mutex_lock(&d->lock);
	full = d->conns >= d->serve->max_conns;
	d->conns += !full;
	pthread_mutex_unlock(&d->lock);
	if (g && !full) {
		*g = (struct guest){ .d = d, .c = c };
		if (pthread_create(&g->thread, NULL, guest_thread, g) == 0)
			return;
	}
	if (!full) {
		pthread_mutex_lock(&d->lock);
		d->conns--;
		pthread_mutex_unlock(&d->lock);
	}
	err_set(&e, ERR_TEMP, "too many connections: the limit is %u", d->serve->max_conns);
	if (d->serve->refused)
		d->serve->refused(d->serve->ctx, conn_name(c), &e);
	free(g);
	conn_close(c);
}

/* To the end of their threads, which outlasts their connections: TLS clears up there. */
static void
see_off(struct wire_door *d)
{
	struct guest *g, *next;

	pthread_mutex_lock(&d->lock);
	g = d->gone;
	d->gone = NULL;
	pthread_mutex_unlock(&d->lock);
	for (; g; g = next) {
		next = g->next;
		pthread_join(g->thread, NULL);
		free(g);
	}
}

/* Has somebody seen enough? What happens from now on wakes the listener. */
static int
enough(struct wire_door *d)
{
	uint64_t n;

	(void)!read(d->wake, &n, sizeof(n));
	see_off(d);
	return d->serve->enough(d->serve->ctx);
}

int
wire_serve(const struct wire_serve *s, const struct conn_opts *o, struct err *e)
{
	struct wire_door d = { .lock = PTHREAD_MUTEX_INITIALIZER, .serve = s, .opts = o,
	    .change = PTHREAD_COND_INITIALIZER, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	struct conn *c;
	int rc = 0;

	if (d.wake < 0)
		return err_sys(e, "listen");
	while (rc >= 0 && !enough(&d)) {
		rc = listener_accept(s->listener, &c, d.wake, 0.2, e);
		if (rc == 1)
			admit(&d, c);
		else if (rc < 0 && e->kind == ERR_FAILED && clock_sleep(0.2, e) == 0)
			rc = 0;		/* out of descriptors or memory: others will end */
	}
	pthread_mutex_lock(&d.lock);
	while (d.conns)
		pthread_cond_wait(&d.change, &d.lock);
	pthread_mutex_unlock(&d.lock);
	see_off(&d);
	close(d.wake);
	return rc < 0 ? -1 : 0;
}
