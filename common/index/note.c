#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "base/clock.h"
#include "index/ops.h"

/*
 * Two batches: one is filled by whoever notes, the other is being written by the thread.
 * They change places when the full one has INDEX_NOTE_MAX names, when INDEX_NOTE_S
 * seconds have passed, and when somebody waits for it (flush, close).
 */
#define SLOTS (2 * INDEX_NOTE_MAX)
#define TRIES 3

struct batch {
	struct index_use use[INDEX_NOTE_MAX];	/* names are ours */
	size_t n_use;
	struct index_entry put[INDEX_NOTE_MAX];
	size_t n_put;
	unsigned short slot[SLOTS];	/* 1 + place in use, by hash of the name; 0 free */
};

struct index_notes {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	struct batch *fill;	/* under the lock */
	struct batch *write;	/* the thread's, while busy */
	int busy, hurry, quit;
	int away;		/* the last write failed: nobody waits for the next */
	uint64_t lost;
	struct err why;		/* of the first loss */
};

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

static int
is_full(const struct batch *b)
{
	return b->n_use == INDEX_NOTE_MAX || b->n_put == INDEX_NOTE_MAX;
}

static void
empty(struct batch *b)
{
	while (b->n_use > 0)
		free((char *)b->use[--b->n_use].name);
	while (b->n_put > 0)
		index_entry_free(&b->put[--b->n_put]);
	memset(b->slot, 0, sizeof(b->slot));
}

/* Entries before uses, so that a use finds its entry. A server that is away for a
 * moment is tried again; while that lasts, notes wait in the other batch. */
static int
write_batch(struct index *ix, const struct batch *b, int tries, struct err *e)
{
	int i, rc = -1, put = 0;

	for (i = 0; i < tries && rc < 0; i++) {
		if (i && clock_sleep(0.3 * i, NULL) < 0)
			break;
		if (!put && index_put(ix, b->put, b->n_put, e) == 0)
			put = 1;
		if (put)
			rc = index_access(ix, b->use, b->n_use, e);
		if (rc < 0 && e->kind != ERR_TEMP)
			break;
	}
	return rc;
}

/* Wait until there is something to write; 0: nothing any more. The lock is held. */
static int
await_work(struct index_notes *t)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)INDEX_NOTE_S;
	for (;;) {
		size_t n = t->fill->n_use + t->fill->n_put;
		int late = 0;

		if (n && (t->quit || t->hurry || is_full(t->fill)))
			return 1;
		if (t->quit)
			return 0;
		if (pthread_cond_timedwait(&t->changed, &t->lock, &until) != 0)
			late = 1;
		if (late && t->fill->n_use + t->fill->n_put > 0)
			return 1;
		if (late) {
			clock_gettime(CLOCK_MONOTONIC, &until);
			until.tv_sec += (time_t)INDEX_NOTE_S;
		}
	}
}

static void *
writer(void *arg)
{
	struct index *ix = arg;
	struct index_notes *t = ix->notes;
	struct err e;

	pthread_mutex_lock(&t->lock);
	while (await_work(t)) {
		struct batch *b = t->fill;
		int rc, tries = t->away ? 1 : TRIES;

		t->fill = t->write;
		t->write = b;
		t->busy = 1;
		pthread_cond_broadcast(&t->changed);
		pthread_mutex_unlock(&t->lock);
		rc = write_batch(ix, b, tries, &e);
		pthread_mutex_lock(&t->lock);
		if (rc < 0) {
			if (!t->lost)
				t->why = e;
			t->lost += b->n_use + b->n_put;
		}
		empty(b);
		t->away = rc < 0;
		t->busy = 0;
		pthread_cond_broadcast(&t->changed);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static void
notes_free(struct index_notes *t)
{
	if (!t)
		return;
	free(t->fill);
	free(t->write);
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->changed);
	free(t);
}

static int
notes_open(struct index *ix)
{
	struct index_notes *t = calloc(1, sizeof(*t));
	pthread_condattr_t attr;

	if (!t)
		return -1;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
	t->fill = calloc(1, sizeof(*t->fill));
	t->write = calloc(1, sizeof(*t->write));
	ix->notes = t;
	if (t->fill && t->write && pthread_create(&t->thread, NULL, writer, ix) == 0)
		return 0;
	ix->notes = NULL;
	notes_free(t);
	return -1;
}

/* The batch to note in, with the lock held; NULL when memory or threads are short, or the
 * index is away and the batch full: a note is not worth failing or stopping a copy for. */
static struct batch *
begin(struct index *ix)
{
	struct index_notes *t;

	pthread_mutex_lock(&starting);
	if (!ix->notes)
		notes_open(ix);
	t = ix->notes;
	pthread_mutex_unlock(&starting);
	if (!t)
		return NULL;
	pthread_mutex_lock(&t->lock);
	while (is_full(t->fill) && !t->away)
		pthread_cond_wait(&t->changed, &t->lock);
	if (!is_full(t->fill))
		return t->fill;
	t->lost++;
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static void
end(struct index *ix, const struct batch *b, int lost)
{
	struct index_notes *t = ix->notes;

	if (lost && !t->lost++)
		err_set(&t->why, ERR_FAILED, "index: out of memory");
	if (is_full(b))
		pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

void
index_note(struct index *ix, const char *name, uint64_t n, int64_t at_s)
{
	struct batch *b = begin(ix);
	size_t i;
	char *copy;

	if (!b)
		return;
	if (!at_s)
		at_s = clock_now();
	for (i = XXH3_64bits(name, strlen(name)) % SLOTS; b->slot[i]; i = (i + 1) % SLOTS) {
		struct index_use *u = &b->use[b->slot[i] - 1];

		if (strcmp(u->name, name) != 0)
			continue;
		u->n += n;
		if (u->at_s < at_s)
			u->at_s = at_s;
		end(ix, b, 0);
		return;
	}
	copy = strdup(name);
	if (copy) {
		b->use[b->n_use++] = (struct index_use){ copy, n, at_s };
		b->slot[i] = (unsigned short)b->n_use;
	}
	end(ix, b, !copy);
}

void
index_note_put(struct index *ix, const struct index_entry *x)
{
	struct batch *b = begin(ix);
	int rc;

	if (!b)
		return;
	rc = index_entry_copy(&b->put[b->n_put], x, NULL);
	if (rc == 0)
		b->n_put++;
	end(ix, b, rc < 0);
}

int
index_flush(struct index *ix, struct err *e)
{
	struct index_notes *t = ix->notes;
	int rc = 0;

	if (!t)
		return 0;
	pthread_mutex_lock(&t->lock);
	while (t->busy || t->fill->n_use + t->fill->n_put > 0) {
		t->hurry = 1;
		pthread_cond_broadcast(&t->changed);
		pthread_cond_wait(&t->changed, &t->lock);
	}
	t->hurry = 0;
	if (t->lost) {
		rc = err_set(e, t->why.kind, "%s; %llu notes lost", t->why.text,
			(unsigned long long)t->lost);
		t->lost = 0;
	}
	pthread_mutex_unlock(&t->lock);
	return rc;
}

int
index_notes_close(struct index *ix, struct err *e)
{
	struct index_notes *t = ix->notes;
	int rc;

	if (!t)
		return 0;
	rc = index_flush(ix, e);
	pthread_mutex_lock(&t->lock);
	t->quit = 1;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	ix->notes = NULL;
	notes_free(t);
	return rc;
}
