#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/stop.h"
#include "store/s3.h"
#include "store/s3_conn.h"

#define SLICE_MS 500	/* a signal may come between looking for it and waiting */
#define NEAR_US 500
#define NEAR_SEND (512 << 10)	/* a GB/s at that distance */
#define NEAR_RECV (4 << 20)
#define WAKE_MAX (512 << 10)
#define SEND_PIECE (1 << 20)
#define SEND_RUNS 8

static int
on_progress(void *ctx, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un)
{
	const struct s3_conn *c = ctx;

	(void)dt, (void)dn, (void)ut, (void)un;
	return stop_asked() && !c->finish;
}

/* libcurl does not look at HTTP_PROXY, which a web server's clients can set; AWS's tools do. */
static void
set_proxy(const struct s3 *s, CURL *h)
{
	const char *upper = getenv("HTTP_PROXY"), *lower = getenv("http_proxy");

	curl_easy_setopt(h, CURLOPT_HTTPPROXYTUNNEL, 1L);	/* requests name no host but ours */
	curl_easy_setopt(h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (!s->https && upper && *upper && !lower)
		curl_easy_setopt(h, CURLOPT_PROXY, upper);
}

static void
set_up(const struct s3 *s, struct s3_conn *c, const char *url)
{
	const char *ca = aws_ca_bundle(s->aws);
	CURL *h = c->curl;

	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	set_proxy(s, h);
	curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 512L << 10);	/* else a receive ends at 16 KiB */
	curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, s->connect_ms);
	curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(h, CURLOPT_XFERINFODATA, c);
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

/* A proxy that is set, for whoever wonders what cannot be reached. */
static const char *
beware_proxy(void)
{
	static const char *const names[] = { "http_proxy", "HTTP_PROXY", "https_proxy",
		"HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (getenv(names[i]))
			return " (a proxy is set in the environment)";
	return "";
}

/* status: the proxy's, 0 none. */
static int
proxy_error(long status, const char *host, struct err *e)
{
	if (status == 407 || status == 401)
		return err_set(e, ERR_REFUSED, "the proxy before '%s' wants a user and password, "
			"or others (status %ld)", host, status);
	return err_set(e, status < 500 ? ERR_REFUSED : ERR_TEMP, "the proxy does not connect to "
		"'%s' (status %ld)", host, status);
}

/* What libcurl's result means to people and scripts. */
static int
connect_error(CURLcode rc, const char *host, struct err *e)
{
	const char *why = curl_easy_strerror(rc);

	switch (rc) {
	case CURLE_ABORTED_BY_CALLBACK:
		return err_set(e, ERR_STOPPED, "stopped by a signal");
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
	case CURLE_COULDNT_RESOLVE_PROXY:
		return err_set(e, ERR_TEMP, "the host of the proxy before '%s' is not known", host);
	case CURLE_COULDNT_RESOLVE_HOST:
		return err_set(e, ERR_TEMP, "host '%s' is not known", host);
	case CURLE_COULDNT_CONNECT:
		return err_set(e, ERR_TEMP, "'%s' cannot be reached%s", host, beware_proxy());
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(e, ERR_TEMP, "'%s' does not answer", host);
	case CURLE_OUT_OF_MEMORY:
		return err_set(e, ERR_FAILED, "out of memory");
	default:
		return err_set(e, ERR_TEMP, "connection to '%s' broke: %s", host, why);
	}
}

/* To a server close by: bytes beyond a few on their way come no sooner, and have left the caches
 * when they are read there; and few large receives cost less than many. Far ones are left to
 * the kernel, which finds out how much a long way takes. */
static void
fit_buffers(int fd)
{
	int to = NEAR_SEND, from = NEAR_RECV;
	struct tcp_info way = { 0 };
	socklen_t n = sizeof(way);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &way, &n) < 0 || way.tcpi_rtt > NEAR_US)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &to, sizeof(to));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &from, sizeof(from));
}

static struct s3_conn *
connect_to(struct s3 *s, const char *host, int finish, struct err *e)
{
	struct s3_conn *c = calloc(1, sizeof(*c));
	curl_socket_t fd = CURL_SOCKET_BAD;
	char url[300];
	long proxy = 0;
	CURLcode rc;

	if (!c) {
		err_sys(e, "connection");
		return NULL;
	}
	c->finish = finish;
	snprintf(c->host, sizeof(c->host), "%s", host);
	snprintf(url, sizeof(url), "%s://%s/", s->https ? "https" : "http", host);
	c->curl = curl_easy_init();
	if (!c->curl) {
		err_set(e, ERR_FAILED, "libcurl will not start");
		goto drop;
	}
	set_up(s, c, url);
	rc = curl_easy_perform(c->curl);
	if (rc == CURLE_OK)
		rc = curl_easy_getinfo(c->curl, CURLINFO_ACTIVESOCKET, &fd);
	curl_easy_getinfo(c->curl, CURLINFO_HTTP_CONNECTCODE, &proxy);
	if (rc != CURLE_OK || fd == CURL_SOCKET_BAD) {
		if (proxy >= 300)
			proxy_error(proxy, host, e);
		else
			connect_error(rc, host, e);
		goto drop;
	}
	c->fd = fd;
	c->tls = s->https || proxy;	/* which may speak it too */
	c->wake = 1;
	fit_buffers(fd);
	return c;
drop:
	s3_conn_drop(c);
	return NULL;
}

struct s3_conn *
s3_conn_take(struct s3 *s, const char *host, int finish, struct err *e)
{
	struct s3_conn *c;

	pthread_mutex_lock(&s->lock);
	c = s->idle;
	if (c)
		s->idle = c->next;
	pthread_mutex_unlock(&s->lock);
	if (c && strcmp(c->host, host) != 0) {	/* of another region */
		s3_conn_drop(c);
		c = NULL;
	}
	return c ? c : connect_to(s, host, finish, e);
}

void
s3_conn_put(struct s3 *s, struct s3_conn *c)
{
	c->reused = 1;
	c->from = c->to = 0;	/* nothing is in it */
	pthread_mutex_lock(&s->lock);
	c->next = s->idle;
	s->idle = c;
	pthread_mutex_unlock(&s->lock);
}

void
s3_conn_drop(struct s3_conn *c)
{
	if (c->curl)
		curl_easy_cleanup(c->curl);
	free(c);
}

void
s3_conn_close_all(struct s3 *s)
{
	struct s3_conn *c;

	while ((c = s->idle)) {
		s->idle = c->next;
		s3_conn_drop(c);
	}
}

/* Wait for n bytes, not for the first of them. Bytes of TLS are others than those it carries. */
static void
wake_at(struct s3_conn *c, size_t n)
{
	int v = n < WAKE_MAX ? (int)n : WAKE_MAX;

	if (c->tls || v == c->wake)
		return;
	if (setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &v, sizeof(v)) == 0)
		c->wake = v;
}

/* Until fd can do one of events: which, or -1. */
static int
wait_for(struct s3_conn *c, short events, const struct s3_wait *w, struct err *e)
{
	double end = clock_mono() + w->stall_s;
	struct pollfd p = { .fd = c->fd, .events = events };
	int rc;

	for (;;) {
		if (stop_asked() && !w->finish)
			return err_set(e, ERR_STOPPED, "stopped by a signal");
		rc = poll(&p, 1, SLICE_MS);
		if (rc > 0)
			return p.revents;
		if (rc < 0 && errno != EINTR)
			return err_sys(e, "poll");
		wake_at(c, 1);		/* it is slow: what comes is a sign of life */
		if (clock_mono() > end)
			return err_set(e, ERR_TEMP, "'%s' does not answer", c->host);
	}
}

static int
broken(const struct s3_conn *c, CURLcode rc, struct err *e)
{
	return err_set(e, ERR_TEMP, "connection to '%s' broke: %s", c->host,
		curl_easy_strerror(rc));
}

/* What is there already: CURLE_AGAIN if nothing is. */
static CURLcode
pull(struct s3_conn *c, void *p, size_t n, size_t *got)
{
	ssize_t k;

	*got = 0;
	if (c->tls)
		return curl_easy_recv(c->curl, p, n, got);
	k = recv(c->fd, p, n, MSG_DONTWAIT);
	if (k < 0)
		return errno == EAGAIN || errno == EINTR ? CURLE_AGAIN : CURLE_RECV_ERROR;
	*got = (size_t)k;
	return CURLE_OK;
}

/* Has the server spoken, or closed? What is readable under TLS may be its own alone: tickets come
 * after the handshake. */
static int
has_spoken(struct s3_conn *c)
{
	size_t got;
	CURLcode rc;

	rc = pull(c, c->buf + c->to, sizeof(c->buf) - c->to, &got);
	c->to += got;
	return rc != CURLE_AGAIN;
}

/* As much as goes at once: how many bytes, or -1 with errno. TLS takes one run of bytes, and the
 * same again until it went. */
static ssize_t
push(struct s3_conn *c, struct iovec *v, int n)
{
	struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)n };
	size_t sent = 0;
	CURLcode rc;

	if (!c->tls)
		return sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	rc = curl_easy_send(c->curl, v->iov_base, v->iov_len, &sent);
	errno = rc == CURLE_AGAIN ? EAGAIN : EPIPE;
	return rc == CURLE_OK ? (ssize_t)sent : -1;
}

/* Some of it: how many bytes. 0: the server has spoken before all was sent, or closed. */
static ssize_t
send_some(struct s3_conn *c, struct iovec *v, int n, const struct s3_wait *w, struct err *e)
{
	ssize_t sent;
	int ready;

	if (stop_asked() && !w->finish)
		return err_set(e, ERR_STOPPED, "stopped by a signal");
	while ((sent = push(c, v, n)) < 0 && (errno == EAGAIN || errno == EINTR)) {
		ready = wait_for(c, POLLOUT | POLLIN, w, e);
		if (ready < 0)
			return -1;
		if ((ready & ~POLLOUT) && has_spoken(c))
			return 0;
	}
	/* A server that closes may have said why before. */
	return sent < 0 ? 0 : sent;
}

/* What follows the first done bytes of a request, up to SEND_PIECE: its runs of bytes, or 0 at the
 * end. */
static int
gather(struct iovec v[SEND_RUNS], const struct s3_request *r, uint64_t done)
{
	size_t head = r->head->len, room = SEND_PIECE, k;
	struct s3_cursor at;
	const void *p;
	int n = 0;

	if (done < head)
		v[n++] = (struct iovec){ r->head->p + done, head - (size_t)done };
	if (!r->body)
		return n;
	s3_cursor_set(&at, r->body, done < head ? 0 : done - head);
	while (n < SEND_RUNS && room && (k = s3_cursor_next(&at, &p, room)) > 0) {
		v[n++] = (struct iovec){ (void *)p, k };
		room -= k;
	}
	return n;
}

int
s3_conn_request(struct s3_conn *c, const struct s3_request *r, struct err *e)
{
	struct iovec v[SEND_RUNS];
	uint64_t done = 0;
	ssize_t sent;
	int n;

	while ((n = gather(v, r, done)) > 0) {
		sent = send_some(c, v, n, r->wait, e);
		if (sent <= 0)
			return sent < 0 ? -1 : 1;
		done += (uint64_t)sent;
		if (!r->wait->finish && limit_take(r->limit, (size_t)sent, e) < 0)
			return -1;
	}
	c->asked = 1;
	return 0;
}

ssize_t
s3_conn_recv(struct s3_conn *c, void *p, size_t n, const struct s3_wait *w, struct err *e)
{
	size_t got;
	CURLcode rc;

	if (stop_asked() && !w->finish)
		return err_set(e, ERR_STOPPED, "stopped by a signal");
	/* No answer is there at once. */
	if (c->asked && !c->tls) {
		wake_at(c, 1);
		if (wait_for(c, POLLIN, w, e) < 0)
			return -1;
	}
	c->asked = 0;
	while ((rc = pull(c, p, n, &got)) == CURLE_AGAIN) {
		wake_at(c, w->all ? n : 1);
		if (wait_for(c, POLLIN, w, e) < 0)
			return -1;
	}
	return rc == CURLE_OK ? (ssize_t)got : broken(c, rc, e);
}
