#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/uri.h"
#include "store/s3.h"

/* Full jitter: a random time up to a bound that doubles. */
#define FIRST_S 0.05
#define THROTTLED_S 0.5		/* the first bound after SlowDown */
#define LONGEST_S 20.0
#define ASKED_MAX_S 60.0	/* the longest that Retry-After is believed */
#define PROGRESS (1 << 20)
#define MAX_SIGNED (S3_PAIRS + 4)

static size_t
count(const struct s3_pair *p)
{
	size_t n = 0;

	while (n < S3_PAIRS && p[n].name)
		n++;
	return n;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "name=value&..." sorted, as both the wire and the signature have it. */
static void
add_query(struct buf *out, const struct s3_call *c)
{
	struct s3_pair q[S3_PAIRS];
	struct buf b = { 0 };
	size_t n = count(c->query), i;

	memcpy(q, c->query, sizeof(q));
	qsort(q, n, sizeof(*q), by_name);
	for (i = 0; i < n; i++)
		aws_query_add(&b, q[i].name, q[i].value);
	buf_add(out, b.p, b.len);
	out->fail |= b.fail;
	buf_free(&b);
}

/* What one attempt sends. */
struct message {
	struct buf path, query, head, auth;
	char payload[AWS_HASH_TEXT];
	char time[17], region[64], host[256];
};

static void
message_free(struct message *m)
{
	buf_free(&m->path);
	buf_free(&m->query);
	conf_forget(&m->head);
	buf_free(&m->auth);
}

/* AWS has a host for each region, and one for each bucket in it. */
static void
make_host(struct s3 *s, struct message *m)
{
	pthread_mutex_lock(&s->lock);
	memcpy(m->region, s->region, sizeof(m->region));
	pthread_mutex_unlock(&s->lock);
	if (s->host)
		snprintf(m->host, sizeof(m->host), "%s", s->host);
	else
		snprintf(m->host, sizeof(m->host), "%s%ss3.%s.amazonaws.com%s",
			s->path_style ? "" : s->bucket, s->path_style ? "" : ".", m->region,
			!strncmp(m->region, "cn-", 3) ? ".cn" : "");
}

static int
make_path(struct s3 *s, const struct s3_call *c, struct message *m, struct err *e)
{
	size_t root = strlen(s->root);

	make_host(s, m);
	m->path.len = m->query.len = 0;
	/* "/bucket/" is the root of keys; the bucket itself goes without the last '/'. */
	if (c->key) {
		buf_str(&m->path, s->root);
		uri_encode(&m->path, c->key, strlen(c->key), "/");
	} else {
		buf_add(&m->path, s->root, root > 1 ? root - 1 : root);
	}
	add_query(&m->query, c);
	if (!buf_text(&m->path) || !buf_text(&m->query))
		return err_set(e, ERR_FAILED, "out of memory");
	return 0;
}

static int
payload_hash(const struct s3 *s, const struct s3_call *c, struct message *m, struct err *e)
{
	if (!c->body)
		return aws_hash(m->payload, "", 0, e);
	if (s->unsigned_payload) {
		strcpy(m->payload, AWS_UNSIGNED);
		return 0;
	}
	return s3_body_hash(m->payload, c->body, e);
}

static void
add_line(struct message *m, const char *name, const char *value)
{
	buf_str(&m->head, name);
	buf_str(&m->head, ": ");
	buf_str(&m->head, value);
	buf_str(&m->head, "\r\n");
}

static int
sign(struct s3 *s, const struct s3_call *c, struct message *m, const struct aws_keys *k,
	struct err *e)
{
	struct aws_header h[MAX_SIGNED];
	struct aws_request r = {
		.method = c->method, .path = m->path.p, .query = m->query.p, .headers = h,
		.payload = m->payload, .region = m->region, .service = "s3", .time = m->time,
	};
	size_t n = 0, i;

	h[n++] = (struct aws_header){ "host", m->host };
	h[n++] = (struct aws_header){ "x-amz-content-sha256", m->payload };
	h[n++] = (struct aws_header){ "x-amz-date", m->time };
	if (k->token)
		h[n++] = (struct aws_header){ "x-amz-security-token", k->token };
	for (i = 0; i < count(c->header); i++)
		if (!strncmp(c->header[i].name, "x-amz-", 6))
			h[n++] = (struct aws_header){ c->header[i].name, c->header[i].value };
	qsort(h, n, sizeof(*h), by_name);
	r.n_headers = n;
	if (aws_keys_sign(s->aws, k, &r, &m->auth, e) < 0)
		return -1;
	add_line(m, "x-amz-content-sha256", m->payload);
	add_line(m, "x-amz-date", m->time);
	if (k->token)
		add_line(m, "x-amz-security-token", k->token);
	add_line(m, "authorization", buf_text(&m->auth) ? m->auth.p : "");
	return 0;
}

/* A get asks for the rest of its range, and for the same object when some of it came. */
static void
range_lines(const struct s3_call *c, struct message *m)
{
	const char *tag = c->match ? c->match : c->got ? c->etag : "";
	uint64_t from = c->off + c->got;

	if (from == 0 && c->len == UINT64_MAX)
		return;
	if (c->len > UINT64_MAX - c->off)
		buf_printf(&m->head, "range: bytes=%llu-\r\n", (unsigned long long)from);
	else
		buf_printf(&m->head, "range: bytes=%llu-%llu\r\n", (unsigned long long)from,
			(unsigned long long)(c->off + c->len - 1));
	if (*tag)
		add_line(m, "if-match", tag);
}

static int
make_head(struct s3 *s, const struct s3_call *c, struct message *m, const struct aws_keys *k,
	struct err *e)
{
	size_t i;

	m->head.len = m->auth.len = 0;
	buf_room(&m->head, 1024);
	aws_time(m->time, clock_now());
	buf_printf(&m->head, "%s %s%s%s HTTP/1.1\r\nhost: %s\r\n", c->method, m->path.p,
		m->query.len ? "?" : "", m->query.p, m->host);
	if (c->body || *c->method == 'P')	/* PUT, POST */
		buf_printf(&m->head, "content-length: %llu\r\n",
			(unsigned long long)(c->body ? c->body->len : 0));
	for (i = 0; i < count(c->header); i++)
		add_line(m, c->header[i].name, c->header[i].value);
	if (c->get)
		range_lines(c, m);
	if (k->id[0] && sign(s, c, m, k, e) < 0)
		return -1;
	buf_str(&m->head, "\r\n");
	return m->head.fail ? err_set(e, ERR_FAILED, "out of memory") : 0;
}

static double
delay(unsigned attempt, const struct s3_call *c, const struct s3_answer *a)
{
	double most = c->status == 503 || c->status == 429 ? THROTTLED_S : FIRST_S, asked;
	uint32_t r = 0;

	for (; attempt > 0 && most < LONGEST_S; attempt--)
		most *= 2;
	if (most > LONGEST_S)
		most = LONGEST_S;
	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		r = UINT32_MAX;
	asked = a->retry_after_s < ASKED_MAX_S ? a->retry_after_s : ASKED_MAX_S;
	most *= (double)r / UINT32_MAX;
	return most > asked ? most : asked;
}

/* AWS names the bucket's region when asked in another; once is enough. */
static int
other_region(struct s3 *s, const struct s3_call *c, const struct s3_answer *a,
	const struct message *m)
{
	if ((c->status != 301 && c->status != 400) || !a->region[0] ||
	    !strcmp(a->region, m->region))
		return 0;
	pthread_mutex_lock(&s->lock);
	strcpy(s->region, a->region);
	pthread_mutex_unlock(&s->lock);
	return 1;
}

static int
expired(const struct s3_call *c)
{
	return !strcmp(c->code, "ExpiredToken") || !strcmp(c->code, "TokenRefreshRequired");
}

enum verdict { DONE, AGAIN, AT_ONCE, GIVE_UP };

/* What to do after one exchange; for GIVE_UP and AGAIN e says why. */
static enum verdict
judge(struct s3 *s, struct s3_call *c, struct s3_answer *a, const struct message *m,
	const struct aws_keys *k, struct err *e)
{
	if (c->status >= 200 && c->status < 300)
		return DONE;
	if (c->status == 416 && c->get)
		return DONE;
	s3_error_code(c, a);
	s3_error(s, c, a, k, e);
	if (other_region(s, c, a, m) || (expired(c) && aws_keys_stale(s->aws, k)))
		return AT_ONCE;
	if (c->status == 412 && c->get && (c->got || c->match)) {
		err_set(e, ERR_TEMP, "the object was replaced while it was read");
		return GIVE_UP;
	}
	return s3_transient(c) ? AGAIN : GIVE_UP;
}

static enum verdict
attempt(struct s3 *s, struct s3_call *c, struct message *m, struct s3_answer *a, struct err *e)
{
	struct s3_send send = { .host = m->host, .head = &m->head };
	struct aws_keys *k = aws_keys_get(s->aws, e);
	enum verdict v = GIVE_UP;

	if (!k)
		return e->kind == ERR_TEMP ? AGAIN : GIVE_UP;
	if (c->text)
		c->text->len = 0;
	if (make_path(s, c, m, e) < 0 || make_head(s, c, m, k, e) < 0)
		goto put_k;
	if (s3_http(s, c, &send, a, e) < 0)
		v = a->again ? AGAIN : GIVE_UP;
	else
		v = judge(s, c, a, m, k, e);
put_k:
	aws_keys_put(s->aws, k);
	return v;
}

int
s3_do(struct s3 *s, struct s3_call *c, struct err *e)
{
	struct message m = { .time = "" };
	struct s3_answer a = { .retry_after_s = -1 };
	unsigned tries = 0, at_once = 0;
	enum verdict v = GIVE_UP;
	struct err why = { 0 };

	if (payload_hash(s, c, &m, &why) < 0)
		goto done;
	for (;;) {
		uint64_t had = c->got;

		v = attempt(s, c, &m, &a, &why);
		if (v == AT_ONCE && at_once++ < 2)
			continue;
		/* While data flows only attempts in vain are counted. */
		if (c->got - had >= PROGRESS)
			tries = 0;
		if (v != AGAIN || tries >= s->retries)
			break;
		if (clock_sleep(delay(tries++, c, &a), &why) < 0)
			break;
	}
done:
	message_free(&m);
	buf_free(&a.error);
	if (v == DONE)
		return 0;
	if (e)
		*e = why;
	return -1;
}
