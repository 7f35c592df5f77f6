#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

static int
bad(struct err *e, const char *what, const char *text, const char *why)
{
	return err_set(e, ERR_USAGE, "%s '%.80s': %s", what, text, why);
}

/* strtoull and friends skip blanks and take a '-': look at the first character. */
static int
starts_number(const char *text, int sign)
{
	if (sign && *text == '-')
		text++;
	return *text >= '0' && *text <= '9';
}

int
num_u64(uint64_t *out, const char *text, uint64_t min, uint64_t max, const char *what,
	struct err *e)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (!starts_number(text, 0) || *end)
		return bad(e, what, text, "not a whole number");
	if (errno || v < min || v > max)
		return err_set(e, ERR_USAGE, "%s '%.80s': not in %" PRIu64 "..%" PRIu64, what,
			text, min, max);
	*out = v;
	return 0;
}

int
num_i64(int64_t *out, const char *text, int64_t min, int64_t max, const char *what,
	struct err *e)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (!starts_number(text, 1) || *end)
		return bad(e, what, text, "not a whole number");
	if (errno || v < min || v > max)
		return err_set(e, ERR_USAGE, "%s '%.80s': not in %" PRId64 "..%" PRId64, what,
			text, min, max);
	*out = v;
	return 0;
}

int
num_double(double *out, const char *text, double min, double max, const char *what,
	struct err *e)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if ((!starts_number(text, 1) && *text != '.') || *end || !isfinite(v) ||
	    strpbrk(text, "xXpP"))
		return bad(e, what, text, "not a number");
	if (errno == ERANGE || v < min || v > max)
		return err_set(e, ERR_USAGE, "%s '%.80s': not in %g..%g", what, text, min, max);
	*out = v;
	return 0;
}

/* A decimal with a fraction and no exponent; *end is what follows. */
static int
decimal(double *v, const char *text, const char **end)
{
	size_t n = strspn(text, "0123456789.");
	char tmp[40];
	char *stop;

	if (!n || n >= sizeof(tmp) || *text == '.')
		return -1;
	memcpy(tmp, text, n);
	tmp[n] = 0;
	*v = strtod(tmp, &stop);
	*end = text + n;
	return *stop ? -1 : 0;
}

/* "", "K", "KiB", "KB" ... -> factor, or 0. */
static double
size_factor(const char *unit, size_t len)
{
	static const char letters[] = "KMGTP";
	const char *l;
	int power;

	if (len == 0 || (len == 1 && *unit == 'B'))
		return 1;
	l = strchr(letters, *unit == 'k' ? 'K' : *unit);
	if (!l || !*l)
		return 0;
	power = (int)(l - letters) + 1;
	if (len == 1 || (len == 3 && !memcmp(unit + 1, "iB", 2)) || (len == 2 && unit[1] == 'i'))
		return pow(1024, power);
	if (len == 2 && unit[1] == 'B')
		return pow(1000, power);
	return 0;
}

int
num_size(uint64_t *bytes, const char *text, const char *what, struct err *e)
{
	const char *unit;
	double v, factor;

	if (decimal(&v, text, &unit) < 0)
		return bad(e, what, text, "not a size (like 500G, 500GiB, 500GB)");
	if (!*unit)
		return num_u64(bytes, text, 0, UINT64_MAX, what, e);
	factor = size_factor(unit, strlen(unit));
	if (factor == 0)
		return bad(e, what, text, "not a size (like 500G, 500GiB, 500GB)");
	if (v * factor >= 18446744073709551615.0)
		return bad(e, what, text, "size too large");
	*bytes = (uint64_t)(v * factor + 0.5);
	return 0;
}

int
num_duration(double *seconds, const char *text, const char *what, struct err *e)
{
	static const char units[] = "smhdw";
	static const double factor[] = { 1, 60, 3600, 86400, 604800 };
	const char *p = text;
	double sum = 0;

	do {
		const char *unit, *u;
		double v;

		if (decimal(&v, p, &unit) < 0)
			return bad(e, what, text, "not a duration (like 90s, 12h, 7d, 1d12h)");
		if (!*unit && p == text) {
			uint64_t whole;

			if (num_u64(&whole, text, 0, UINT32_MAX * 1000ull, what, e) < 0)
				return -1;
			*seconds = (double)whole;
			return 0;
		}
		if (!strncmp(unit, "ms", 2)) {
			sum += v / 1000;
			p = unit + 2;
			continue;
		}
		u = *unit ? strchr(units, *unit) : NULL;
		if (!u)
			return bad(e, what, text, "not a duration (like 90s, 12h, 7d, 1d12h)");
		sum += v * factor[u - units];
		p = unit + 1;
	} while (*p);
	if (sum > 1e11)
		return bad(e, what, text, "duration too long");
	*seconds = sum;
	return 0;
}

int
num_rate(uint64_t *bytes_s, const char *text, const char *what, struct err *e)
{
	const char *unit;
	size_t len;
	double v, factor, per = 1;

	if (decimal(&v, text, &unit) < 0)
		return bad(e, what, text, "not a rate (like 2GB/s or 10Gbit/s)");
	len = strlen(unit);
	if (len >= 2 && !strcmp(unit + len - 2, "/s"))
		len -= 2;
	if (len >= 3 && !strncmp(unit + len - 3, "bit", 3)) {
		char si[3] = { unit[0], 'B', 0 };

		factor = len == 3 ? 1 : len == 4 ? size_factor(si, 2) : 0;
		per = 8;
	} else {
		factor = size_factor(unit, len);
	}
	if (factor == 0 || v * factor / per > 1e18)
		return bad(e, what, text, "not a rate (like 2GB/s or 10Gbit/s)");
	*bytes_s = (uint64_t)(v * factor / per + 0.5);
	return 0;
}

int
num_percent(double *fraction, const char *text, const char *what, struct err *e)
{
	const char *end;
	double v;

	if (decimal(&v, text, &end) < 0 || strcmp(end, "%") != 0 || v > 100)
		return bad(e, what, text, "not a percentage (like 25%)");
	*fraction = v / 100;
	return 0;
}

char *
num_size_text(char out[NUM_TEXT], uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 1023.95 && u < 6) {
		v /= 1024;
		u++;
	}
	if (u == 0 || v >= 99.95 || fabs(v - round(v)) < 0.05)
		snprintf(out, NUM_TEXT, "%.0f %s", v, units[u]);
	else
		snprintf(out, NUM_TEXT, "%.1f %s", v, units[u]);
	return out;
}

char *
num_duration_text(char out[NUM_TEXT], double s)
{
	uint64_t t = s > 0 ? (uint64_t)s : 0;

	if (s <= 0)
		strcpy(out, "0s");
	else if (s < 0.0995)
		snprintf(out, NUM_TEXT, "%.1fms", s * 1000);
	else if (s < 10)
		snprintf(out, NUM_TEXT, "%.1fs", s);
	else if (t < 60)
		snprintf(out, NUM_TEXT, "%" PRIu64 "s", t);
	else if (t < 3600)
		snprintf(out, NUM_TEXT, "%" PRIu64 "m%02" PRIu64 "s", t / 60, t % 60);
	else if (t < 86400)
		snprintf(out, NUM_TEXT, "%" PRIu64 "h%02" PRIu64 "m", t / 3600, t / 60 % 60);
	else
		snprintf(out, NUM_TEXT, "%" PRIu64 "d%02" PRIu64 "h", t / 86400, t / 3600 % 24);
	return out;
}

char *
num_rate_text(char out[NUM_TEXT], double v)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	size_t u = 0;

	while (v >= 999.5 && u < 4) {
		v /= 1000;
		u++;
	}
	snprintf(out, NUM_TEXT, v >= 99.5 || u == 0 ? "%.0f %s/s" : "%.2f %s/s", v, units[u]);
	return out;
}

char *
num_count_text(char out[NUM_TEXT], uint64_t n, const char *what)
{
	snprintf(out, NUM_TEXT, "%" PRIu64 " %s%s", n, what, n == 1 ? "" : "s");
	return out;
}
