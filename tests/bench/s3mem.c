/*
 * The fastest S3 server that we could think of, so that its clients are the limit: names and
 * the first page of each object in memory, a thread a connection, no signature checked, nothing
 * refused. It knows what listing and deleting need; what else it is asked, it says yes to.
 *	s3mem		prints "port N", ends when its standard input does
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/uri.h"

#define PAGE 4096
#define KEYS 1000		/* of a listing's page */
#define WHEN "2026-11-21T00:00:00.000Z"

struct object {
	char *key;		/* "bucket/name" */
	char *head;		/* up to a page of it */
	size_t size;
	int gone;
};

static struct object *v;
static size_t n, cap, sorted;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

struct conn {
	int fd;
	char in[64 << 10];
	size_t have;
	struct buf body, out;
};

struct request {
	char method[8], path[2048], query[4096];
	size_t length;
	int ranged;
};

static int
by_key(const void *a, const void *b)
{
	return strcmp(((const struct object *)a)->key, ((const struct object *)b)->key);
}

/* A name that was put again is the later one. */
static void
sort_all(void)
{
	size_t i, kept = 0;

	qsort(v, n, sizeof(*v), by_key);
	for (i = 0; i < n; i++) {
		if (i + 1 < n && !strcmp(v[i].key, v[i + 1].key)) {
			free(v[i].key);
			free(v[i].head);
		} else {
			v[kept++] = v[i];
		}
	}
	sorted = n = kept;
}

/* With the lock for reading held, and everything sorted. */
static void
lock_sorted(void)
{
	pthread_rwlock_rdlock(&lock);
	if (sorted == n)
		return;
	pthread_rwlock_unlock(&lock);
	pthread_rwlock_wrlock(&lock);
	if (sorted != n)
		sort_all();
	pthread_rwlock_unlock(&lock);
	pthread_rwlock_rdlock(&lock);
}

/* The first that is not below key; n: none. */
static size_t
find(const char *key)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(v[mid].key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct object *
look_up(const char *key)
{
	size_t at = find(key);

	return at < n && !strcmp(v[at].key, key) && !v[at].gone ? &v[at] : NULL;
}

static void
decode(char *out, size_t room, const char *text, size_t len)
{
	struct buf b = { 0 };

	*out = 0;
	if (uri_decode(&b, text, len) == 0 && buf_text(&b) && b.len < room)
		memcpy(out, b.p, b.len + 1);
	buf_free(&b);
}

/* Value of a query argument, or "". */
static void
arg(char out[2048], const char *query, const char *name)
{
	size_t len = strlen(name);
	const char *p = query;

	*out = 0;
	for (; *p; p += strcspn(p, "&"), p += *p == '&')
		if (!strncmp(p, name, len) && p[len] == '=')
			decode(out, 2048, p + len + 1, strcspn(p + len + 1, "&"));
}

static void
answer(struct conn *c, int status, const char *more, const char *body, size_t len)
{
	c->out.len = 0;
	buf_printf(&c->out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nETag: \"0\"\r\n"
		"Last-Modified: Sat, 21 Nov 2026 00:00:00 GMT\r\n%s\r\n", status, len, more);
	if (body)
		buf_add(&c->out, body, len);
}

/* ---- listing ---- */

/* One page from object i on; where the next begins, or n. */
static size_t
list_page(struct buf *x, size_t i, const char *prefix, const char *delimiter, size_t bucket)
{
	size_t keys = 0, len = strlen(prefix);
	const char *end;

	while (i < n && keys < KEYS && !strncmp(v[i].key, prefix, len)) {
		if (v[i].gone) {
			i++;
			continue;
		}
		keys++;
		end = *delimiter ? strchr(v[i].key + len, *delimiter) : NULL;
		if (!end) {
			buf_printf(x, "<Contents><Key>%s</Key><LastModified>" WHEN "</LastModified>"
				"<ETag>\"0\"</ETag><Size>%zu</Size></Contents>", v[i].key + bucket,
				v[i].size);
			i++;
			continue;
		}
		buf_printf(x, "<CommonPrefixes><Prefix>%.*s</Prefix></CommonPrefixes>",
			(int)(end + 1 - v[i].key - (ptrdiff_t)bucket), v[i].key + bucket);
		for (len = (size_t)(end + 1 - v[i].key); i + 1 < n &&
		     !strncmp(v[i].key, v[i + 1].key, len); i++)
			;
		i++;
		len = strlen(prefix);
	}
	while (i < n && v[i].gone)
		i++;
	return i < n && !strncmp(v[i].key, prefix, len) ? i : n;
}

static void
list(struct conn *c, const struct request *r)
{
	char prefix[4200], name[2048], delimiter[2048], after[2048];
	const char *bucket = r->path + 1;
	size_t skip = strcspn(bucket, "/") + 1, at;
	struct buf x = { 0 };

	arg(name, r->query, "prefix");
	arg(delimiter, r->query, "delimiter");
	snprintf(prefix, sizeof(prefix), "%.*s/%s", (int)skip - 1, bucket, name);
	arg(after, r->query, "continuation-token");
	if (!*after)
		arg(after, r->query, "marker");
	buf_str(&x, "<?xml version=\"1.0\"?><ListBucketResult>");
	lock_sorted();
	at = find(prefix);
	if (*after) {
		snprintf(prefix, sizeof(prefix), "%.*s/%s", (int)skip - 1, bucket, after);
		at = find(prefix);
		at += at < n && !strcmp(v[at].key, prefix);
		snprintf(prefix, sizeof(prefix), "%.*s/%s", (int)skip - 1, bucket, name);
	}
	at = list_page(&x, at, prefix, delimiter, skip);
	buf_printf(&x, "<IsTruncated>%s</IsTruncated>", at < n ? "true" : "false");
	if (at < n)	/* the last that was told */
		buf_printf(&x, "<NextMarker>%s</NextMarker><NextContinuationToken>%s"
			"</NextContinuationToken>", v[at - 1].key + skip, v[at - 1].key + skip);
	pthread_rwlock_unlock(&lock);
	buf_str(&x, "</ListBucketResult>");
	answer(c, 200, "Content-Type: application/xml\r\n", x.p, x.len);
	buf_free(&x);
}

/* ---- the rest ---- */

static void
delete_many(struct conn *c, const struct request *r)
{
	const char *bucket = r->path + 1, *p = c->body.p, *end;
	size_t skip = strcspn(bucket, "/");
	int quiet = strstr(p, "<Quiet>true") != NULL;
	struct buf x = { 0 };
	struct object *o;
	char key[4200];

	buf_str(&x, "<?xml version=\"1.0\"?><DeleteResult>");
	lock_sorted();
	while ((p = strstr(p, "<Key>")) && (end = strchr(p + 5, '<'))) {
		snprintf(key, sizeof(key), "%.*s/%.*s", (int)skip, bucket, (int)(end - p - 5), p + 5);
		o = look_up(key);
		if (o)
			o->gone = 1;
		if (!quiet)
			buf_printf(&x, "<Deleted><Key>%.*s</Key></Deleted>", (int)(end - p - 5),
				p + 5);
		p = end;
	}
	pthread_rwlock_unlock(&lock);
	buf_str(&x, "</DeleteResult>");
	answer(c, 200, "Content-Type: application/xml\r\n", x.p, x.len);
	buf_free(&x);
}

static void
put(struct conn *c, const struct request *r)
{
	size_t keep = c->body.len < PAGE ? c->body.len : PAGE;
	struct object o = { strdup(r->path + 1), malloc(keep + 1), c->body.len, 0 };

	memcpy(o.head, c->body.p, keep);
	pthread_rwlock_wrlock(&lock);
	if (n == cap)
		v = realloc(v, (cap = cap ? 2 * cap : 1024) * sizeof(*v));
	v[n++] = o;
	pthread_rwlock_unlock(&lock);
	answer(c, 200, "", NULL, 0);
}

static void
get(struct conn *c, const struct request *r)
{
	struct object *o;
	char more[100] = "";
	size_t len;

	lock_sorted();
	o = look_up(r->path + 1);
	len = o && o->size > PAGE && r->ranged ? PAGE : o ? o->size : 0;
	if (o && r->ranged && len)
		snprintf(more, sizeof(more), "Content-Range: bytes 0-%zu/%zu\r\n", len - 1, o->size);
	answer(c, !o ? 404 : r->ranged ? 206 : 200, more, NULL, len);
	if (o && *r->method == 'G')
		buf_add(&c->out, o->head, len < PAGE ? len : PAGE);
	pthread_rwlock_unlock(&lock);
}

static void
handle(struct conn *c, const struct request *r)
{
	const char *slash = strchr(r->path + 1, '/');
	int object = slash && slash[1];
	static const char uploads[] = "<ListMultipartUploadsResult></ListMultipartUploadsResult>";
	struct object *o;

	if (!strcmp(r->method, "POST")) {
		delete_many(c, r);
	} else if (object && !strcmp(r->method, "DELETE")) {
		lock_sorted();
		o = look_up(r->path + 1);
		if (o)
			o->gone = 1;
		pthread_rwlock_unlock(&lock);
		answer(c, 204, "", NULL, 0);
	} else if (object && !strcmp(r->method, "PUT")) {
		put(c, r);
	} else if (object) {
		get(c, r);
	} else if (strstr(r->query, "uploads=")) {
		answer(c, 200, "", uploads, sizeof(uploads) - 1);
	} else if (!strcmp(r->method, "GET") && !strstr(r->query, "location")) {
		list(c, r);
	} else {
		answer(c, 200, "", "<LocationConstraint></LocationConstraint>",
			*r->method == 'G' ? 41 : 0);
	}
}

/* ---- HTTP ---- */

static int
fill(struct conn *c)
{
	ssize_t got = read(c->fd, c->in + c->have, sizeof(c->in) - 1 - c->have);

	if (got <= 0)
		return -1;
	c->have += (size_t)got;
	c->in[c->have] = 0;
	return 0;
}

static void
drop(struct conn *c, size_t used)
{
	c->have -= used;
	memmove(c->in, c->in + used, c->have + 1);
}

static void
parse(struct request *r, char *head)
{
	char *line, *save = NULL, *path, *end;

	memset(r, 0, sizeof(*r));
	line = strtok_r(head, "\r\n", &save);
	if (!line || !(path = strchr(line, ' ')) || !(end = strchr(path + 1, ' ')))
		return;
	*path++ = *end = 0;
	snprintf(r->method, sizeof(r->method), "%s", line);
	snprintf(r->query, sizeof(r->query), "%s", strchr(path, '?') ? strchr(path, '?') + 1 : "");
	decode(r->path, sizeof(r->path), path, strcspn(path, "?"));
	while ((line = strtok_r(NULL, "\r\n", &save))) {
		if (!strncasecmp(line, "content-length:", 15))
			r->length = strtoul(line + 15, NULL, 10);
		r->ranged |= !strncasecmp(line, "range:", 6);
	}
}

static int
exchange(struct conn *c)
{
	struct request r;
	char *end;
	size_t head, sent;
	ssize_t k;

	while (!(end = strstr(c->in, "\r\n\r\n")))
		if (fill(c) < 0)
			return -1;
	*end = 0;
	head = (size_t)(end + 4 - c->in);
	if (strcasestr(c->in, "100-continue") && write(c->fd, "HTTP/1.1 100 C\r\n\r\n", 18) < 0)
		return -1;
	parse(&r, c->in);
	drop(c, head);
	for (c->body.len = 0; c->body.len < r.length;) {
		size_t left = r.length - c->body.len, part = c->have < left ? c->have : left;

		buf_add(&c->body, c->in, part);
		drop(c, part);
		if (c->body.len < r.length && fill(c) < 0)
			return -1;
	}
	buf_text(&c->body);
	handle(c, &r);
	for (sent = 0; sent < c->out.len; sent += (size_t)k)
		if ((k = write(c->fd, c->out.p + sent, c->out.len - sent)) <= 0)
			return -1;
	return 0;
}

static void *
serve(void *fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	int one = 1;

	c->fd = (int)(intptr_t)fd;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	while (exchange(c) == 0)
		;
	close(c->fd);
	buf_free(&c->body);
	buf_free(&c->out);
	free(c);
	return NULL;
}

static void *
wait_for_end(void *arg_)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	exit(0);
	return arg_;
}

int
main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM, 0), fd;
	pthread_t t;

	if (bind(s, (struct sockaddr *)&a, len) < 0 || listen(s, 100) < 0 ||
	    getsockname(s, (struct sockaddr *)&a, &len) < 0)
		return 1;
	printf("port %d\n", ntohs(a.sin_port));
	fflush(stdout);
	signal(SIGPIPE, SIG_IGN);
	pthread_create(&t, NULL, wait_for_end, NULL);
	while ((fd = accept(s, NULL, NULL)) >= 0)
		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)fd) == 0)
			pthread_detach(t);
	return 0;
}
