#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* pingpong BYTES ROUNDS: the median time, in ms, of so many bytes there and back over one TCP
 * connection of the loopback: what kvsend --latency is measured against. */

static char buffer[1 << 20];

static int
all(int fd, size_t n, int out)
{
	size_t done = 0;
	ssize_t k;

	for (; done < n; done += (size_t)k) {
		k = out ? write(fd, buffer + done, n - done) : read(fd, buffer + done, n - done);
		if (k <= 0)
			return -1;
	}
	return 0;
}

static int
by_time(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int
measure(int fd, size_t bytes, unsigned rounds)
{
	double *took = calloc(rounds, sizeof(*took)), began;
	unsigned i;

	if (!took)
		return 1;
	for (i = 0; i < rounds; i++) {
		began = now();
		if (all(fd, bytes, 1) < 0 || all(fd, bytes, 0) < 0)
			return 1;
		took[i] = now() - began;
	}
	qsort(took, rounds, sizeof(*took), by_time);
	printf("%.3f\n", took[rounds / 2]);
	free(took);
	return 0;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), fd, rc;
	size_t bytes = argc > 1 ? (size_t)atol(argv[1]) : 65536;
	unsigned rounds = argc > 2 ? (unsigned)atol(argv[2]) : 1000;
	pid_t child;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bytes > sizeof(buffer) || !rounds || bind(listener, (struct sockaddr *)&a, n) < 0 ||
	    listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&a, &n) < 0)
		return 1;
	child = fork();
	if (child == 0) {
		fd = accept(listener, NULL, NULL);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		while (all(fd, bytes, 0) == 0 && all(fd, bytes, 1) == 0)
			;
		_exit(0);
	}
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (child < 0 || connect(fd, (struct sockaddr *)&a, n) < 0)
		return 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	rc = measure(fd, bytes, rounds);
	close(fd);
	waitpid(child, NULL, 0);
	return rc;
}
