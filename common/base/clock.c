#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/stop.h"

static double
seconds_of(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double
clock_mono(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

int64_t
clock_now(void)
{
	return (int64_t)time(NULL);
}

int64_t
clock_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

char *
clock_text(char out[32], int64_t t)
{
	time_t tt = (time_t)t;
	struct tm tm;

	if (!gmtime_r(&tt, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099 ||
	    !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		strcpy(out, "-");
	return out;
}

int64_t
clock_ns(int64_t s)
{
	const int64_t most = INT64_MAX / 1000000000;

	return (s > most ? most : s < -most ? -most : s) * 1000000000;
}

int
clock_read(int64_t *t, const char *text, struct err *e)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	char canon[32];

	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (!end || (strcmp(end, "Z") != 0 && strcmp(end, "+00:00") != 0))
		goto bad;
	*t = (int64_t)timegm(&tm);
	clock_text(canon, *t);
	if (strncmp(canon, text, 19) == 0)	/* no 31st of February */
		return 0;
bad:
	return err_set(e, ERR_CORRUPT, "time '%.40s': not RFC 3339 UTC", text);
}

int
clock_sleep(double s, struct err *e)
{
	double end = clock_mono() + s, left;

	while ((left = end - clock_mono()) > 0) {
		double nap = left < 0.2 ? left : 0.2;
		struct timespec t = { (time_t)nap, (long)((nap - (double)(time_t)nap) * 1e9) };

		if (stop_asked())
			return err_set(e, ERR_STOPPED, "wait: stopped by a signal");
		nanosleep(&t, NULL);
	}
	return 0;
}
