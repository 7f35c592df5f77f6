#include <string.h>
#include <time.h>

#include "base/num.h"
#include "base/uri.h"
#include "index/import_line.h"

#define S3_FIELDS 13	/* up to the object's size; more may follow */

/* The next field: bare, in brackets or in quotes; without those. */
static int
next_field(const char **p, const char *end, const char **field, size_t *n)
{
	const char *s = *p, *stop;
	char close = ' ';

	while (s < end && *s == ' ')
		s++;
	if (s == end)
		return -1;
	if (*s == '[' || *s == '"') {
		close = *s == '[' ? ']' : '"';
		s++;
	}
	stop = memchr(s, close, (size_t)(end - s));
	if (!stop && close != ' ')
		return -1;
	if (!stop)
		stop = end;
	*field = s;
	*n = (size_t)(stop - s);
	*p = stop < end ? stop + 1 : end;
	return 0;
}

static uint64_t
field_number(const char *p, size_t n)
{
	char text[24] = "";
	uint64_t v;

	if (n < sizeof(text))
		memcpy(text, p, n);
	return num_u64(&v, text, 0, INT64_MAX, "number", NULL) == 0 ? v : 0;
}

/* "06/Feb/2026:00:01:57 +0000" */
static int
s3_time(const char *text, size_t n, int64_t *t, struct err *e)
{
	struct tm tm = { 0 };
	char copy[40];
	const char *end;

	if (n >= sizeof(copy))
		return err_set(e, ERR_CORRUPT, "log line: no time");
	memcpy(copy, text, n);
	copy[n] = 0;
	end = strptime(copy, "%d/%b/%Y:%H:%M:%S", &tm);
	if (!end || strcmp(end, " +0000") != 0)
		return err_set(e, ERR_CORRUPT, "log line: no time");
	*t = (int64_t)timegm(&tm);
	return 0;
}

static int
s3_what(const char *op, size_t n, enum import_what *what)
{
	static const struct { const char *op; enum import_what what; } ops[] = {
		{ "REST.GET.OBJECT", IMPORT_USE }, { "REST.PUT.OBJECT", IMPORT_PUT },
		{ "REST.POST.UPLOAD", IMPORT_PUT }, { "REST.DELETE.OBJECT", IMPORT_DELETE },
		{ "S3.EXPIRE.OBJECT", IMPORT_DELETE }, { "BATCH.DELETE.OBJECT", IMPORT_DELETE },
	};
	size_t i;

	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		if (strlen(ops[i].op) == n && !memcmp(ops[i].op, op, n)) {
			*what = ops[i].what;
			return 0;
		}
	return -1;
}

int
import_s3_line(struct reading *r, const char *line, size_t n, struct err *e)
{
	struct { const char *p; size_t n; } f[S3_FIELDS];
	struct import_event ev = { .n = 1 };
	const char *p = line;
	int i;

	for (i = 0; i < S3_FIELDS; i++)
		if (next_field(&p, line + n, &f[i].p, &f[i].n) < 0)
			return err_set(e, ERR_CORRUPT, "log line: too few fields");
	if (s3_time(f[2].p, f[2].n, &ev.at_s, e) < 0)
		return -1;
	if (r->w->bucket && (strlen(r->w->bucket) != f[1].n ||
	    memcmp(r->w->bucket, f[1].p, f[1].n) != 0))
		return 0;
	if (s3_what(f[6].p, f[6].n, &ev.what) < 0)
		return 0;
	if (!(f[9].n == 3 && *f[9].p == '2') && !(f[9].n == 1 && *f[9].p == '-'))
		return 0;	/* failed; '-': the server's own doing */
	ev.size = field_number(f[12].p, f[12].n);
	if (import_is_look(&ev, field_number(f[11].p, f[11].n)))
		return 0;
	if (uri_decode(&r->text, f[7].p, f[7].n) < 0 || !buf_text(&r->text))
		return err_set(e, ERR_CORRUPT, "log line: bad key");
	return import_tell(r, &ev, r->text.p, e);
}
