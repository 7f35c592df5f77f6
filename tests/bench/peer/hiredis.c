#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* The peer of redis.c: the same values put and got through libhiredis.
 *	hiredis put|get HOST|SOCKET PORT BYTES N JOBS (PORT 0: a socket) */
static char **args;
static size_t bytes;
static long n;
static _Atomic long next;

static void *
copy(void *arg)
{
	long i;
	char *p = calloc(1, bytes);
	redisContext *c = atoi(args[3]) ? redisConnect(args[2], atoi(args[3])) :
		redisConnectUnix(args[2]);

	(void)arg;
	if (!c || c->err)
		exit(1);
	while ((i = next++) < n) {
		redisReply *r = *args[1] == 'p' ?
			redisCommand(c, "SET bench/%ld %b", i % 32, p, bytes) :
			redisCommand(c, "GET bench/%ld", i % 32);

		if (!r || r->type == REDIS_REPLY_ERROR || (*args[1] == 'g' && r->len != bytes))
			exit(1);
		if (*args[1] == 'g')
			memcpy(p, r->str, bytes);	/* to where it is wanted */
		freeReplyObject(r);
	}
	redisFree(c);
	free(p);
	return NULL;
}

int
main(int argc, char **argv)
{
	struct timespec a, b;
	struct rusage u;
	pthread_t t[64];
	int i, jobs;

	if (argc != 7)
		return 2;
	args = argv;
	bytes = (size_t)atol(argv[4]);
	n = atol(argv[5]);
	jobs = atoi(argv[6]);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (i = 0; i < jobs; i++)
		pthread_create(&t[i], NULL, copy, NULL);
	for (i = 0; i < jobs; i++)
		pthread_join(t[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	getrusage(RUSAGE_SELF, &u);
	printf("%.4f %.4f %ld\n", (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9,
		(double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6, n);
	return 0;
}
