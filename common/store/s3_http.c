#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "base/num.h"
#include "store/s3.h"
#include "store/s3_conn.h"

#define ERROR_MAX (64 << 10)
#define DRAIN_MAX (256 << 10)	/* a rest longer than this is not waited for */
#define PIECE (512 << 10)	/* received at once: what seen() looks at is still in the cache */
#define LINES_MAX 1000
/* A region becomes part of a host's name. */
#define REGION "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* One exchange under way: HTTP/1.1 (RFC 9112) as far as a client of S3 needs it. */
struct xfer {
	struct s3 *s;
	struct s3_call *c;
	struct s3_answer *a;
	struct s3_conn *conn;
	struct s3_wait wait;
	struct err *e;
	uint64_t skip;		/* bytes that come before the first we want */
	uint64_t length;	/* of the body; UINT64_MAX: not said */
	int chunked;
	int close;		/* the connection ends with this answer */
	int sized;		/* the answer says how long it, or the object, is */
	int begun;		/* the first byte of an object came: its header is checked */
	int enough;		/* all that was asked for is here, and more would come */
	uint64_t spare;		/* bytes that nobody asked for */
	int over;		/* too many: the rest is left where it is */
	int bad;		/* the head is none */
};

static int
starts(const char *line, size_t n, const char *name, const char **value)
{
	size_t len = strlen(name);

	if (n <= len || line[len] != ':' || strncasecmp(line, name, len) != 0)
		return 0;
	*value = line + len + 1 + strspn(line + len + 1, " \t");
	return 1;
}

static uint64_t
number(const char *s)
{
	uint64_t v;

	return num_u64(&v, s, 0, INT64_MAX, "", NULL) < 0 ? 0 : v;
}

/* "bytes 0-99/200": the total, or 0 if it is not about what was asked. */
static void
take_range(struct xfer *x, const char *v)
{
	const char *slash = strchr(v, '/');
	char first[24];

	if (strncmp(v, "bytes ", 6) != 0 || !slash)
		return;
	v += 6;
	x->c->size = 0;
	if (slash[1] != '*')
		x->bad |= num_u64(&x->c->size, slash + 1, 0, INT64_MAX, "", NULL) < 0;
	if (*v == '*')
		return;
	snprintf(first, sizeof(first), "%.*s", (int)strspn(v, "0123456789"), v);
	/* Somebody else's part of the object: nothing of it is wanted. */
	if (number(first) != x->c->off + x->c->got)
		x->skip = UINT64_MAX;
}

static void
new_answer(struct xfer *x)
{
	x->a->error.len = 0;
	x->a->retry_after_s = -1;
	x->c->status = 0;
	x->c->size = 0;
	x->c->mtime = 0;
	x->skip = x->spare = 0;
	x->sized = x->chunked = x->close = x->over = x->bad = 0;
	x->length = UINT64_MAX;
}

static void
take_line(struct xfer *x, const char *line, size_t n)
{
	struct s3_call *c = x->c;
	const char *v;

	if (!strncmp(line, "HTTP/", 5)) {
		const char *status = strchr(line, ' ');

		new_answer(x);
		c->status = status ? (int)strtol(status, NULL, 10) : 0;
		x->close = strncmp(line, "HTTP/1.1", 8) != 0;
	} else if (starts(line, n, "content-length", &v)) {
		x->bad |= num_u64(&x->length, v, 0, INT64_MAX, "", NULL) < 0;
		if (c->status < 300 && !x->sized)
			c->size = x->length;
		x->sized = 1;
	} else if (starts(line, n, "transfer-encoding", &v)) {
		x->chunked = !strcasecmp(v, "chunked");
	} else if (starts(line, n, "connection", &v)) {
		x->close = !strcasecmp(v, "close");
	} else if (starts(line, n, "content-range", &v)) {
		take_range(x, v);
		x->sized = 1;
	} else if (starts(line, n, "etag", &v) && strlen(v) < sizeof(c->etag)) {
		/* While a get goes on, the object must stay the one it began with. */
		if (!c->get || !c->got)
			strcpy(c->etag, v);
	} else if (!c->get && starts(line, n, "last-modified", &v)) {
		c->mtime = (int64_t)curl_getdate(v, NULL);
	} else if (c->status >= 400 && starts(line, n, "date", &v)) {
		x->a->date = (int64_t)curl_getdate(v, NULL);
	} else if (starts(line, n, "retry-after", &v)) {
		x->a->retry_after_s = (double)number(v);
	} else if (starts(line, n, "x-amz-bucket-region", &v) && strlen(v) < sizeof(x->a->region) &&
	    !v[strspn(v, REGION)]) {
		strcpy(x->a->region, v);
	}
}

/* A server that does not know ranges sends from the start with 200. */
static int
begin_object(struct xfer *x)
{
	struct s3_call *c = x->c;
	uint64_t want;

	x->begun = 1;
	if (c->status == 200)
		x->skip = c->off + c->got;
	if (x->skip == UINT64_MAX)
		return err_set(x->e, ERR_CORRUPT, "the server sent another range than asked for");
	want = c->size > c->off ? c->size - c->off : 0;
	if (want > c->len)
		want = c->len;
	if (want > c->got && !c->into)
		return store_get_room(c->get, (size_t)(want - c->got), x->e);
	return 0;
}

/* Bytes that nobody wants are read past, so that the connection can be kept, up to a point. */
static void
pass_over(struct xfer *x, size_t n)
{
	x->spare += n;
	if (x->spare > DRAIN_MAX)
		x->over = x->close = 1;
}

/* Bytes of an object that lie elsewhere: what came with the header, or in chunks. */
static int
keep_object(struct xfer *x, const char *p, size_t n)
{
	struct s3_call *c = x->c;
	unsigned char *to;

	if (!x->begun && begin_object(x) < 0)
		return -1;
	if (n <= x->skip) {
		x->skip -= n;
		return 0;
	}
	p += x->skip;
	n -= (size_t)x->skip;
	x->skip = 0;
	if (n > c->len - c->got) {
		pass_over(x, n - (size_t)(c->len - c->got));
		n = (size_t)(c->len - c->got);
		x->enough = 1;
	}
	if (c->into) {
		to = c->into + c->got;
	} else {
		if (store_get_room(c->get, n, x->e) < 0)
			return -1;
		to = c->get->out->p + c->get->out->len;
		c->get->out->len += n;
	}
	memcpy(to, p, n);
	c->got += n;
	if (c->get->seen && !c->into)
		c->get->seen(c->get->ctx, to, n);
	return 0;
}

/* A piece of the body that was received to p. */
static int
take_body(struct xfer *x, const char *p, size_t n)
{
	struct s3_call *c = x->c;
	int good = c->status >= 200 && c->status < 300;

	if (!c->finish && limit_take(x->s->limit, n, x->e) < 0)
		return -1;
	if (good && c->get)
		return keep_object(x, p, n);
	if (good && c->text) {
		if (c->text->len + n > S3_TEXT_MAX || buf_add(c->text, p, n) < 0)
			return err_set(x->e, ERR_CORRUPT, "the answer is too long");
	} else if (!good && x->a->error.len + n <= ERROR_MAX) {
		buf_add(&x->a->error, p, n);
	} else {
		pass_over(x, n);
	}
	return 0;
}

static int
cut_short(struct xfer *x)
{
	x->a->again = 1;
	return err_set(x->e, ERR_TEMP, "connection to '%s' broke: it ended early", x->conn->host);
}

/* More into the connection's buffer: -1 also at the end of the stream. */
static int
fill(struct xfer *x)
{
	struct s3_conn *k = x->conn;
	ssize_t got;

	if (k->from > 0) {
		memmove(k->buf, k->buf + k->from, k->to - k->from);
		k->to -= k->from;
		k->from = 0;
	}
	if (k->to == sizeof(k->buf))
		return err_set(x->e, ERR_CORRUPT, "the answer has a line that is too long");
	got = s3_conn_recv(k, k->buf + k->to, sizeof(k->buf) - k->to, &x->wait, x->e);
	if (got > 0)
		k->to += (size_t)got;
	else if (got < 0)
		x->a->again = x->e->kind == ERR_TEMP;
	return got > 0 ? 0 : got < 0 ? -1 : cut_short(x);
}

/* The next line, without its end; it stands until the next fill(). */
static char *
get_line(struct xfer *x)
{
	struct s3_conn *k = x->conn;
	char *line, *end;

	while (!(end = memchr(k->buf + k->from, '\n', k->to - k->from)))
		if (fill(x) < 0)
			return NULL;
	line = k->buf + k->from;
	k->from = (size_t)(end + 1 - k->buf);
	if (end > line && end[-1] == '\r')
		end--;
	*end = 0;
	return line;
}

static int
read_head(struct xfer *x)
{
	unsigned lines = 0;
	char *line;

	do {
		if (!(line = get_line(x)))
			return -1;
		if (strncmp(line, "HTTP/1.", 7) != 0)
			return err_set(x->e, ERR_CORRUPT, "'%s' does not speak HTTP",
				x->conn->host);
		do {
			take_line(x, line, strlen(line));
			if (!(line = get_line(x)))
				return -1;
			if (++lines > LINES_MAX)
				return err_set(x->e, ERR_CORRUPT, "the answer's head has no end");
		} while (*line);
		if (x->bad)
			return err_set(x->e, ERR_CORRUPT, "the answer's length is none");
	} while (x->c->status >= 100 && x->c->status < 200);
	return 0;
}

/* Up to n bytes that are in the buffer already. */
static int
take_buffered(struct xfer *x, uint64_t *n)
{
	struct s3_conn *k = x->conn;
	size_t have = k->to - k->from;

	if (have > *n)
		have = (size_t)*n;
	k->from += have;
	*n -= have;
	return have ? take_body(x, k->buf + k->from - have, have) : 0;
}

/* Bytes of an object straight to their place: how many, 0 if there is no such place. */
static ssize_t
receive_object(struct xfer *x, uint64_t left)
{
	struct s3_wait wait = { x->wait.stall_s, x->wait.finish, .all = 1 };
	struct s3_call *c = x->c;
	uint64_t n = left < PIECE ? left : PIECE;
	unsigned char *to;
	ssize_t got;

	if (!c->get || c->status > 299 || !x->begun || x->skip || x->enough)
		return 0;
	if (n > c->len - c->got)
		n = c->len - c->got;
	if (!n || (!c->into && store_get_room(c->get, (size_t)n, x->e) < 0))
		return n ? -1 : 0;
	to = c->into ? c->into + c->got : c->get->out->p + c->get->out->len;
	got = s3_conn_recv(x->conn, to, (size_t)n, &wait, x->e);
	if (got <= 0)
		return got < 0 ? -1 : cut_short(x);
	c->got += (uint64_t)got;
	if (!c->into)
		c->get->out->len += (size_t)got;
	if (c->get->seen && !c->into)
		c->get->seen(c->get->ctx, to, (size_t)got);
	return limit_take(x->s->limit, (size_t)got, x->e) < 0 ? -1 : got;
}

/* n bytes of body. What is not wanted is read past if it is short. */
static int
read_sized(struct xfer *x, uint64_t n)
{
	while (n > 0) {
		ssize_t got;

		if (take_buffered(x, &n) < 0)
			return -1;
		if (n == 0)
			break;
		if (x->enough && n > DRAIN_MAX)
			x->over = x->close = 1;
		if (x->over)
			return 0;
		got = receive_object(x, n);
		if (got < 0) {
			x->a->again = x->e->kind == ERR_TEMP;
			return -1;
		}
		n -= (uint64_t)got;
		if (got == 0 && fill(x) < 0)
			return -1;
	}
	return 0;
}

static int
read_chunks(struct xfer *x)
{
	char *line, *end;
	unsigned long long n;
	unsigned trailers = 0;

	do {
		if (!(line = get_line(x)))
			return -1;
		n = strtoull(line, &end, 16);
		if (!isxdigit((unsigned char)*line) || end - line > 8 ||
		    (*end && !strchr("; \t", *end)))
			return err_set(x->e, ERR_CORRUPT, "the answer has a bad chunk");
		if (n > 0 && read_sized(x, n) < 0)
			return -1;
		if (x->over)
			return 0;
		if (!(line = get_line(x)))
			return -1;
		while (n == 0 && *line) {
			if (++trailers > LINES_MAX)
				return err_set(x->e, ERR_CORRUPT, "the answer has no end");
			if (!(line = get_line(x)))
				return -1;
		}
	} while (n > 0);
	return 0;
}

/* Without a length the body ends with the connection. */
static int
read_to_end(struct xfer *x)
{
	struct s3_conn *k = x->conn;
	ssize_t got;

	x->close = 1;
	do {
		uint64_t n = k->to - k->from;

		if (take_buffered(x, &n) < 0)
			return -1;
		k->from = k->to = 0;
		if (x->over)
			return 0;
		got = s3_conn_recv(k, k->buf, sizeof(k->buf), &x->wait, x->e);
		if (got > 0)
			k->to = (size_t)got;
	} while (got > 0);
	if (got < 0)
		x->a->again = x->e->kind == ERR_TEMP;
	return (int)got;
}

static int
read_answer(struct xfer *x)
{
	struct s3_call *c = x->c;

	if (read_head(x) < 0)
		return -1;
	if (!strcmp(c->method, "HEAD") || c->status == 204 || c->status == 304)
		return 0;
	if (x->chunked)
		return read_chunks(x);
	if (x->length == UINT64_MAX)
		return read_to_end(x);
	if (c->get && c->status < 300 && x->length && !x->begun && begin_object(x) < 0)
		return -1;
	return read_sized(x, x->length);
}

/* Did all of the object come that its header promised? */
static int
whole(struct xfer *x)
{
	const struct s3_call *c = x->c;
	uint64_t want;

	if (!c->get || c->status < 200 || c->status > 299)
		return 0;
	if (!x->begun && begin_object(x) < 0)
		return -1;
	want = x->sized && c->size > c->off ? c->size - c->off : 0;
	if (want > c->len)
		want = c->len;
	if (c->got == want || !x->sized)
		return 0;
	x->a->again = 1;
	return err_set(x->e, ERR_TEMP, "the server sent %llu bytes of %llu",
		(unsigned long long)c->got, (unsigned long long)want);
}

/* A kept connection may have been closed meanwhile: it says nothing then, and proves nothing. */
static int
exchange(struct xfer *x, const struct s3_send *send)
{
	struct s3_request r = { send->head, x->c->body, x->s->limit, &x->wait };
	int sent, reused, rc;

	do {
		new_answer(x);
		x->conn = s3_conn_take(x->s, send->host, x->c->finish, x->e);
		if (!x->conn) {
			x->a->again = x->e->kind == ERR_TEMP;
			return -1;
		}
		reused = x->conn->reused;
		sent = s3_conn_request(x->conn, &r, x->e);
		if (sent < 0)
			x->a->again = x->e->kind == ERR_TEMP;
		rc = sent < 0 ? -1 : read_answer(x);
		if (rc == 0 && sent == 0 && !x->close && x->conn->from == x->conn->to)
			s3_conn_put(x->s, x->conn);
		else
			s3_conn_drop(x->conn);
	} while (rc < 0 && reused && !x->c->status && x->a->again);
	return rc;
}

int
s3_http(struct s3 *s, struct s3_call *c, const struct s3_send *send, struct s3_answer *a,
	struct err *e)
{
	struct xfer x = {
		.s = s, .c = c, .a = a, .e = e,
		.wait = { .stall_s = (double)s->stall_s, .finish = c->finish },
	};

	a->again = 0;
	return exchange(&x, send) < 0 ? -1 : whole(&x);
}
