#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/num.h"
#include "index/index.h"
#include "store/store.h"

/*
 * Our side of redis.sh, through the same functions the tools use.
 *	redis put|get URL BYTES N JOBS	N values, by JOBS threads
 *	redis list URL			every key with its size, ttl and idle time
 *	redis fill URL NAMES		an index of NAMES entries, used at various times
 *	redis index URL NAMES N JOBS	N uses of NAMES names, by JOBS writers
 * Prints wall and CPU seconds, and how many.
 */
static struct {
	const char *what, *url;
	struct store *store;
	uint64_t bytes, n, jobs;
	_Atomic uint64_t next;
} o;

static void
die(const struct err *e)
{
	fprintf(stderr, "redis: %s\n", e->text);
	exit(1);
}

static void *
copy(void *arg)
{
	unsigned char *p = calloc(1, o.bytes);
	struct iovec v = { p, o.bytes };
	struct pool *pool;
	struct block b = { 0 };
	struct store_get g = { .out = &b };
	char name[40];
	uint64_t i;
	struct err e;

	(void)arg;
	if (!p || pool_open(&pool, 4 * o.bytes, &e) < 0)
		exit(1);
	g.pool = pool;
	while ((i = o.next++) < o.n) {
		snprintf(name, sizeof(name), "bench/%llu", (unsigned long long)i % 32);
		b.len = 0;
		if ((*o.what == 'p' ? store_put(o.store, name, &v, 1, NULL, &e) :
		    store_get(o.store, name, 0, UINT64_MAX, &g, &e)) < 0)
			die(&e);
	}
	pool_put(pool, &b);
	pool_close(pool);
	free(p);
	return NULL;
}

static int
count(void *ctx, const struct store_item *it, struct err *e)
{
	(void)e;
	*(uint64_t *)ctx += it->size < UINT64_MAX;
	return 0;
}

#define MANY 1000

static struct index *
open_index(void)
{
	struct index *ix;
	struct err e;

	if (index_open(&ix, o.url, "s3://bench/kv", INDEX_WRITE, NULL, &e) < 0)
		die(&e);
	return ix;
}

static const char *
named(char *text, uint64_t i)
{
	snprintf(text, 40, "model/bf16-tp1-r0/%llx", (unsigned long long)i);
	return text;
}

static void
fill(void)
{
	struct index *ix = open_index();
	struct index_entry x = { .size = 1, .created_s = 1, .hash = "", .parent = "",
		.tenant = "", .labels = "" };
	char text[40];
	struct err e;
	uint64_t i;

	for (i = 0; i < o.bytes; i++) {
		x.name = named(text, i);
		x.hits = i * 2654435761u % 9973;
		x.accessed_s = (int64_t)(1700000000 + i * 2654435761u % 999983);
		index_note_put(ix, &x);
	}
	if (index_close(ix, &e) < 0)
		die(&e);
}

static void *
use(void *arg)
{
	struct index *ix = open_index();
	struct index_use v[MANY];
	char text[MANY][40];
	uint64_t i, k;
	struct err e;

	(void)arg;
	while ((i = o.next++) < o.n / MANY) {
		for (k = 0; k < MANY; k++)
			v[k] = (struct index_use){ named(text[k],
				(i * MANY + k) * 2654435761u % o.bytes), 1, 0 };
		if (index_access(ix, v, MANY, &e) < 0)
			die(&e);
	}
	index_close(ix, NULL);
	return NULL;
}

static uint64_t
number(const char *text)
{
	uint64_t v;
	struct err e;

	if (num_size(&v, text, "argument", &e) < 0)
		die(&e);
	return v;
}

static void
threads(void *(*fn)(void *))
{
	pthread_t t[64];
	uint64_t i;

	for (i = 0; i < o.jobs; i++)
		pthread_create(&t[i], NULL, fn, NULL);
	for (i = 0; i < o.jobs; i++)
		pthread_join(t[i], NULL);
}

int
main(int argc, char **argv)
{
	struct store_opts opts = { .flags = STORE_WRITE };
	struct rusage u;
	double begin;
	struct err e;

	signal(SIGPIPE, SIG_IGN);
	if (argc < 3)
		return 2;
	o.what = argv[1];
	o.url = argv[2];
	o.bytes = argc > 3 ? number(argv[3]) : 0;
	o.n = argc > 4 ? number(argv[4]) : 0;
	o.jobs = argc > 5 ? number(argv[5]) : 1;
	if (store_open(&o.store, o.url, &opts, &e) < 0)
		die(&e);
	begin = clock_mono();
	if (*o.what == 'l' && store_list(o.store, "", 0, count, &o.n, &e) < 0)
		die(&e);
	if (*o.what == 'f')
		fill();
	if (*o.what == 'i')
		threads(use);
	if (*o.what == 'p' || *o.what == 'g')
		threads(copy);
	begin = clock_mono() - begin;
	getrusage(RUSAGE_SELF, &u);
	printf("%.4f %.4f %llu\n", begin, (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6, (unsigned long long)o.n);
	store_close(o.store);
	return 0;
}
