#include <stdlib.h>
#include <string.h>

#include "store/resp_io.h"

/* Commands, on their way out. */

void
resp_set_asking(struct resp *r, int on)
{
	r->asking = on;
}

void
resp_set_quiet(struct resp *r, int on)
{
	r->quiet = on;
}

int
resp_quiet(const struct resp *r)
{
	return r->quiet;
}

void
resp_begin(struct resp *r, size_t words)
{
	r->owed++;
	if (r->asking)
		buf_str(&r->out, "*1\r\n$6\r\nASKING\r\n");
	buf_printf(&r->out, "*%zu\r\n", words);
}

/* Decimal digits of v, which end at end; returns where they begin. Millions of short
 * words a second are too many for printf. */
static char *
digits(char *end, uint64_t v)
{
	do
		*--end = (char)('0' + v % 10);
	while (v /= 10);
	return end;
}

void
resp_word(struct resp *r, const void *p, size_t n)
{
	char text[24], *end = text + sizeof(text), *begin = digits(end - 2, n);
	char *to = buf_room(&r->out, n + 32);

	if (!to)
		return;
	memcpy(end - 2, "\r\n", 2);
	*to++ = '$';
	memcpy(to, begin, (size_t)(end - begin));
	to += end - begin;
	memcpy(to, p, n);
	memcpy(to + n, "\r\n", 2);
	r->out.len += 1 + (size_t)(end - begin) + n + 2;
}

void
resp_text(struct resp *r, const char *s)
{
	resp_word(r, s, strlen(s));
}

void
resp_number(struct resp *r, int64_t v)
{
	char text[24], *end = text + sizeof(text);
	char *begin = digits(end, v < 0 ? -(uint64_t)v : (uint64_t)v);

	if (v < 0)
		*--begin = '-';
	resp_word(r, begin, (size_t)(end - begin));
}

void
resp_call(struct resp *r, const char *words)
{
	const char *p;
	size_t n = 1;

	for (p = words; *p; p++)
		n += *p == ' ';
	resp_begin(r, n);
	for (p = words; n > 0; n--) {
		size_t len = strcspn(p, " ");

		resp_word(r, p, len);
		p += len + 1;
	}
}

/* A refusal that makes the server hang up comes before the end it causes. */
static int
refused(struct resp *r, struct err *e)
{
	struct resp_item it;

	if (e && e->kind == ERR_TEMP && resp_io_alive(r->io) == 0 &&
	    resp_next(r, &it, NULL) == 0 && it.type == RESP_ERROR)
		resp_error(it.text, e);
	r->broken = 1;
	return -1;
}

static int
send_all(struct resp *r, struct iovec *iov, int n, struct err *e)
{
	int rc;

	if (r->broken)
		return err_set(e, ERR_TEMP, "write: the connection is broken");
	if (r->out.fail) {
		r->broken = 1;
		return err_set(e, ERR_FAILED, "write: out of memory");
	}
	iov[0].iov_base = r->out.p;
	iov[0].iov_len = r->out.len;
	rc = resp_io_write(r->io, iov, n, e);
	r->out.len = 0;
	r->said[0] = 0;
	return rc < 0 ? refused(r, e) : 0;
}

int
resp_flush(struct resp *r, struct err *e)
{
	struct iovec v;

	return send_all(r, &v, 1, e);
}

int
resp_value(struct resp *r, const struct iovec *iov, int n, struct err *e)
{
	struct iovec *v = malloc((size_t)(n + 1) * sizeof(*v));
	size_t size = 0;
	int i, rc;

	if (!v)
		return err_sys(e, "write");
	for (i = 0; i < n; i++)
		size += iov[i].iov_len;
	buf_printf(&r->out, "$%zu\r\n", size);
	memcpy(v + 1, iov, (size_t)n * sizeof(*v));
	rc = send_all(r, v, n + 1, e);
	free(v);
	if (rc == 0)
		buf_add(&r->out, "\r\n", 2);
	return rc;
}
