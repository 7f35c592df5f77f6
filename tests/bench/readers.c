/* The floor of "ls -l": two threads that open, read 4 KiB and close each file of a list. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **names;
static size_t n;
static atomic_size_t next;

static void *
reader(void *arg)
{
	char page[4096];
	size_t i;

	while ((i = atomic_fetch_add(&next, 1)) < n) {
		int fd = open(names[i], O_RDONLY);

		if (fd < 0 || pread(fd, page, sizeof(page), 0) <= 0)
			exit(1);
		close(fd);
	}
	return arg;
}

int
main(int argc, char **argv)
{
	char line[4096];
	pthread_t other;
	FILE *f = argc > 1 ? fopen(argv[1], "r") : NULL;

	if (!f)
		return 2;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		names = realloc(names, (n + 1) * sizeof(*names));
		names[n++] = strdup(line);
	}
	pthread_create(&other, NULL, reader, NULL);
	reader(NULL);
	return pthread_join(other, NULL);
}
