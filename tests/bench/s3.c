/* What s3.sh runs for the first bytes of an object on a warm connection: s3 URL NAME prints the
 * median of 500 gets of 4096 bytes, in microseconds. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "store/store.h"

#define GETS 500

static int
by_time(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int
main(int argc, char *argv[])
{
	static unsigned char buf[4096];
	struct block b = { buf, 0, sizeof(buf) };
	struct store_get g = { .out = &b };
	struct store_opts so = { 0 };
	struct conf *conf = NULL;
	double t[GETS];
	struct store *s;
	struct err e;
	int i;

	if (argc != 3 || conf_open(&conf, NULL, &e) < 0)
		return 1;
	so.conf = conf;
	if (store_open(&s, argv[1], &so, &e) < 0)
		return 1;
	for (i = 0; i < GETS; i++) {
		double start = clock_mono();

		b.len = 0;
		if (store_get(s, argv[2], 0, sizeof(buf), &g, &e) < 0) {
			fprintf(stderr, "s3: %s\n", e.text);
			return 1;
		}
		t[i] = clock_mono() - start;
	}
	store_close(s);
	conf_close(conf);
	qsort(t, GETS, sizeof(*t), by_time);
	printf("%.0f\n", t[GETS / 2] * 1e6);
	return 0;
}
