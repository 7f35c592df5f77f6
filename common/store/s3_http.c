#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "base/num.h"
#include "base/stop.h"
#include "store/s3.h"

#define ERROR_MAX (64 << 10)
/* The largest that libcurl 7.88 takes; fewer calls a megabyte. */
#define RECEIVE_BUFFER (512L << 10)
#define SEND_BUFFER (512L << 10)
#define SLOWEST 1024L		/* bytes a second: slower counts as stalled */

/* A connection with what stays set on it. A handle is one thread's at a time. */
struct s3_handle {
	struct s3_handle *next;
	CURL *curl;
};

/* One exchange under way. */
struct xfer {
	struct s3 *s;
	struct s3_call *c;
	struct s3_answer *a;
	struct s3_cursor body;
	uint64_t skip;		/* bytes that come before the first we want */
	int sized;		/* the answer says how long it, or the object, is */
	int begun;		/* the first byte of an object came: its header is checked */
	int enough;		/* all that was asked for is here, and more would come */
	struct err *e;
	int failed;		/* a callback set e */
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

	return num_u64(&v, s, 0, UINT64_MAX, "", NULL) < 0 ? 0 : v;
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
	x->c->size = number(slash + 1);
	if (*v == '*')
		return;
	memcpy(first, v, sizeof(first) - 1);
	first[sizeof(first) - 1] = 0;
	first[strspn(first, "0123456789")] = 0;
	/* Somebody else's part of the object: nothing of it is wanted. */
	if (number(first) != x->c->off + x->c->got)
		x->skip = UINT64_MAX;
}

static void
new_answer(struct xfer *x)
{
	x->a->reached = 1;
	x->a->error.len = 0;
	x->a->retry_after_s = -1;
	x->c->status = 0;
	x->c->size = 0;
	x->c->mtime = 0;
	x->skip = 0;
	x->sized = 0;
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
	} else if (starts(line, n, "content-length", &v)) {
		if (c->status < 300 && !x->sized)
			c->size = number(v);
		x->sized = 1;
	} else if (starts(line, n, "content-range", &v)) {
		take_range(x, v);
		x->sized = 1;
	} else if (starts(line, n, "etag", &v) && strlen(v) < sizeof(c->etag)) {
		/* While a get goes on, the object must stay the one it began with. */
		if (!c->get || !c->got)
			strcpy(c->etag, v);
	} else if (starts(line, n, "last-modified", &v)) {
		c->mtime = (int64_t)curl_getdate(v, NULL);
	} else if (starts(line, n, "date", &v)) {
		x->a->date = (int64_t)curl_getdate(v, NULL);
	} else if (starts(line, n, "retry-after", &v)) {
		x->a->retry_after_s = (double)number(v);
	} else if (starts(line, n, "x-amz-bucket-region", &v) && strlen(v) < sizeof(x->a->region)) {
		strcpy(x->a->region, v);
	}
}

static size_t
on_header(char *p, size_t one, size_t n, void *ctx)
{
	char line[512];
	size_t len = n < sizeof(line) - 1 ? n : sizeof(line) - 1;
	(void)one;

	memcpy(line, p, len);
	while (len && strchr(" \r\n", line[len - 1]))
		len--;
	line[len] = 0;
	take_line(ctx, line, len);
	return n;
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
	return x->enough ? -1 : 0;
}

static size_t
on_body(char *p, size_t one, size_t n, void *ctx)
{
	struct xfer *x = ctx;
	struct s3_call *c = x->c;
	int good = c->status >= 200 && c->status < 300;
	(void)one;

	if (limit_take(x->s->limit, n, x->e) < 0) {
		x->failed = 1;
		return 0;
	}
	if (good && c->get) {
		if (keep_object(x, p, n) < 0) {
			x->failed = !x->enough;
			return 0;
		}
	} else if (good && c->text) {
		if (c->text->len + n > S3_TEXT_MAX || buf_add(c->text, p, n) < 0) {
			x->failed = 1;
			err_set(x->e, ERR_CORRUPT, "the answer is too long");
			return 0;
		}
	} else if (!good && x->a->error.len + n <= ERROR_MAX) {
		buf_add(&x->a->error, p, n);
	}
	return n;
}

static size_t
on_send(char *p, size_t one, size_t n, void *ctx)
{
	struct xfer *x = ctx;
	size_t sent = 0, got;
	const void *from;
	(void)one;

	while (sent < n && (got = s3_cursor_next(&x->body, &from, n - sent)) > 0) {
		memcpy(p + sent, from, got);
		sent += got;
	}
	if (limit_take(x->s->limit, sent, x->e) < 0) {
		x->failed = 1;
		return CURL_READFUNC_ABORT;
	}
	return sent;
}

/* libcurl goes back to the start when a kept connection proves dead. */
static int
on_seek(void *ctx, curl_off_t at, int whence)
{
	struct xfer *x = ctx;

	if (whence != SEEK_SET || at < 0 || (uint64_t)at > x->c->body->len)
		return CURL_SEEKFUNC_FAIL;
	s3_cursor_set(&x->body, x->c->body, (uint64_t)at);
	return CURL_SEEKFUNC_OK;
}

static int
on_progress(void *ctx, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un)
{
	struct xfer *x = ctx;
	(void)dt, (void)dn, (void)ut, (void)un;

	return stop_asked() && !x->c->finish;
}

static void
set_once(const struct s3 *s, CURL *h)
{
	const char *ca = aws_ca_bundle(s->aws);

	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(h, CURLOPT_PATH_AS_IS, 1L);	/* the path is signed as it stands */
	curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(h, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, s->connect_ms);
	curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, SLOWEST);
	curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, s->stall_s);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (ca)
		curl_easy_setopt(h, CURLOPT_CAINFO, ca);
	if (s->client_cert)
		curl_easy_setopt(h, CURLOPT_SSLCERT, s->client_cert);
	if (s->client_key)
		curl_easy_setopt(h, CURLOPT_SSLKEY, s->client_key);
	if (s->insecure) {
		curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

static struct s3_handle *
take_handle(struct s3 *s, struct err *e)
{
	struct s3_handle *h;

	pthread_mutex_lock(&s->lock);
	h = s->idle;
	if (h)
		s->idle = h->next;
	pthread_mutex_unlock(&s->lock);
	if (h)
		return h;
	h = calloc(1, sizeof(*h));
	if (h)
		h->curl = curl_easy_init();
	if (!h || !h->curl) {
		free(h);
		err_set(e, ERR_USAGE, "libcurl will not start: is libcurl.so.4 here?");
		return NULL;
	}
	set_once(s, h->curl);
	return h;
}

static void
put_handle(struct s3 *s, struct s3_handle *h)
{
	pthread_mutex_lock(&s->lock);
	h->next = s->idle;
	s->idle = h;
	pthread_mutex_unlock(&s->lock);
}

void
s3_http_close(struct s3 *s)
{
	struct s3_handle *h;

	while ((h = s->idle)) {
		s->idle = h->next;
		curl_easy_cleanup(h->curl);
		free(h);
	}
}

static void
set_call(CURL *h, struct xfer *x, const char *url, struct curl_slist *lines)
{
	const struct s3_call *c = x->c;

	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, lines);
	curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);	/* undoes what the last call set */
	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, c->method);
	if (!strcmp(c->method, "HEAD"))
		curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
	if (c->body) {
		curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->body->len);
		s3_cursor_set(&x->body, c->body, 0);
	}
	curl_easy_setopt(h, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(h, CURLOPT_READDATA, x);
	curl_easy_setopt(h, CURLOPT_SEEKDATA, x);
	curl_easy_setopt(h, CURLOPT_XFERINFODATA, x);
}

/* What libcurl's result means to people and scripts. */
static int
transport_error(CURLcode rc, const char *host, struct err *e)
{
	const char *why = curl_easy_strerror(rc);

	switch (rc) {
	case CURLE_PEER_FAILED_VERIFICATION:
		return err_set(e, ERR_REFUSED, "TLS with '%s' failed: its certificate is not "
			"trusted; name its authority with --ca-bundle", host);
	case CURLE_SSL_CONNECT_ERROR:
		return err_set(e, ERR_REFUSED, "TLS with '%s' failed: no agreement (is it https "
			"at all?)", host);
	case CURLE_SSL_CACERT_BADFILE: case CURLE_SSL_CERTPROBLEM:
		return err_set(e, ERR_USAGE, "TLS: a certificate or key file cannot be used: %s",
			why);
	case CURLE_URL_MALFORMAT: case CURLE_UNSUPPORTED_PROTOCOL:
		return err_set(e, ERR_USAGE, "endpoint '%s': %s", host, why);
	case CURLE_COULDNT_RESOLVE_HOST: case CURLE_COULDNT_RESOLVE_PROXY:
		return err_set(e, ERR_TEMP, "host '%s' is not known", host);
	case CURLE_COULDNT_CONNECT:
		return err_set(e, ERR_TEMP, "'%s' cannot be reached", host);
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(e, ERR_TEMP, "'%s' does not answer", host);
	case CURLE_OUT_OF_MEMORY:
		return err_set(e, ERR_FAILED, "out of memory");
	default:
		return err_set(e, ERR_TEMP, "connection to '%s' broke: %s", host, why);
	}
}

static struct curl_slist *
list_lines(const struct buf *lines)
{
	struct curl_slist *list = NULL, *more;
	size_t at;

	for (at = 0; at < lines->len; at += strlen(lines->p + at) + 1) {
		more = curl_slist_append(list, lines->p + at);
		if (!more) {
			curl_slist_free_all(list);
			return NULL;
		}
		list = more;
	}
	return list;
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

int
s3_http(struct s3 *s, struct s3_call *c, const struct s3_send *send, struct s3_answer *a,
	struct err *e)
{
	struct xfer x = { .s = s, .c = c, .a = a, .e = e };
	struct curl_slist *lines = list_lines(send->lines);
	struct s3_handle *h = take_handle(s, e);
	CURLcode rc;

	new_answer(&x);
	a->reached = a->again = 0;
	if (!h || !lines) {
		if (h)
			put_handle(s, h);
		curl_slist_free_all(lines);
		return h ? err_set(e, ERR_FAILED, "out of memory") : -1;
	}
	set_call(h->curl, &x, send->url, lines);
	rc = curl_easy_perform(h->curl);
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
	put_handle(s, h);
	curl_slist_free_all(lines);
	if (x.failed)
		return -1;
	if (rc == CURLE_OK || x.enough)
		return whole(&x);
	if (rc == CURLE_ABORTED_BY_CALLBACK)
		return err_set(e, ERR_STOPPED, "stopped by a signal");
	transport_error(rc, send->host, e);
	a->again = e->kind == ERR_TEMP;
	return -1;
}
