#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "store/s3.h"
#include "store/s3_conn.h"

#define MULTIPART (64ull << 20)
#define CONNECT_S 5
#define PART_MIN (5ull << 20)		/* S3's own bound */

static int
yes(const char *v)
{
	return v && (!strcmp(v, "1") || !strcasecmp(v, "true") || !strcasecmp(v, "yes") || !*v);
}

char *
s3_key(const struct s3 *s, const char *name, struct err *e)
{
	char *key;

	if (asprintf(&key, "%s%s", s->prefix, name) >= 0)
		return key;
	err_sys(e, "name");
	return NULL;
}

struct s3 *
s3_of(struct store *s, const char *what, struct err *e)
{
	if (s->ops == &store_s3)
		return (struct s3 *)s;
	err_set(e, ERR_USAGE, "store '%s': only S3 has %s", s->url, what);
	return NULL;
}

void
s3_put_headers(const struct s3 *s, struct s3_call *c, int i, const char *class)
{
	if (class)
		c->header[i++] = (struct s3_pair){ "x-amz-storage-class", class };
	if (s->sse)
		c->header[i++] = (struct s3_pair){ "x-amz-server-side-encryption", s->sse };
	if (s->kms_key)
		c->header[i++] = (struct s3_pair){
			"x-amz-server-side-encryption-aws-kms-key-id", s->kms_key };
}

/* "http://host:port/base": the parts of the endpoint. */
static int
take_endpoint(struct s3 *s, const char *url, struct buf *root, struct err *e)
{
	const char *rest, *end;

	s->https = !strncmp(url, "https://", 8);
	if (!s->https && strncmp(url, "http://", 7) != 0)
		return err_set(e, ERR_USAGE, "endpoint: neither http:// nor https://");
	rest = url + (s->https ? 8 : 7);
	end = rest + strcspn(rest, "/?#");
	if (end == rest || memchr(rest, '@', (size_t)(end - rest)) || strpbrk(end, "?#"))
		return err_set(e, ERR_USAGE, "endpoint: not of the form http://host:port");
	if (s->path_style)
		s->host = strndup(rest, (size_t)(end - rest));
	else if (asprintf(&s->host, "%s.%.*s", s->bucket, (int)(end - rest), rest) < 0)
		s->host = NULL;
	buf_str(root, end);
	while (root->len && root->p[root->len - 1] == '/')
		root->len--;
	return s->host ? 0 : err_sys(e, "endpoint");
}

static int
set_address(struct s3 *s, struct err *e)
{
	const char *virtual = conf_get(s->base.opts.conf, "virtual-host");
	const char *endpoint = aws_endpoint(s->aws);
	struct buf root = { 0 };

	/* A wildcard certificate does not cover a bucket with a dot. */
	s->path_style = virtual ? !yes(virtual) : endpoint || strchr(s->bucket, '.');
	s->https = 1;
	if (endpoint && take_endpoint(s, endpoint, &root, e) < 0) {
		buf_free(&root);
		return -1;
	}
	buf_chr(&root, '/');
	if (s->path_style) {
		uri_encode(&root, s->bucket, strlen(s->bucket), "");
		buf_chr(&root, '/');
	}
	s->root = buf_text(&root);
	if (strlen(aws_region(s->aws)) >= sizeof(s->region))
		return err_set(e, ERR_USAGE, "region: too long");
	strcpy(s->region, aws_region(s->aws));
	return s->root ? 0 : err_sys(e, "endpoint");
}

static int
seconds(double *out, const struct conf *conf, const char *name, double otherwise, struct err *e)
{
	const char *v = conf_get(conf, name);

	*out = otherwise;
	return v ? num_duration(out, v, name, e) : 0;
}

static int
set_limits(struct s3 *s, const struct conf *conf, struct err *e)
{
	const char *retries = conf_get(conf, "retries"), *rate = conf_get(conf, "bwlimit");
	const char *part = conf_get(conf, "multipart-size");
	uint64_t n = 8, bytes_s = 0;
	double timeout;

	s->multipart = MULTIPART;
	if ((retries && num_u64(&n, retries, 0, 100, "retries", e) < 0) ||
	    (rate && num_rate(&bytes_s, rate, "bwlimit", e) < 0) ||
	    (part && num_size(&s->multipart, part, "multipart-size", e) < 0) ||
	    seconds(&timeout, conf, "timeout", 20, e) < 0 ||
	    seconds(&s->lock_age_s, conf, "lock-age", 86400, e) < 0)
		return -1;
	if (s->multipart < PART_MIN)
		return err_set(e, ERR_USAGE, "multipart-size: at least 5 MiB");
	s->retries = (unsigned)n;
	s->stall_s = timeout < 1 ? 1 : (long)timeout;
	s->connect_ms = s->stall_s < CONNECT_S ? s->stall_s * 1000 : CONNECT_S * 1000;
	return limit_open(&s->limit, bytes_s, e);
}

static int
set_options(struct s3 *s, const struct conf *conf, struct err *e)
{
	const char *from = conf_origin(conf, "insecure");

	s->storage_class = conf_get(conf, "storage-class");
	s->sse = conf_get(conf, "sse");
	s->kms_key = conf_get(conf, "sse-kms-key-id");
	s->client_cert = conf_get(conf, "client-cert");
	s->client_key = conf_get(conf, "client-key");
	s->insecure = yes(conf_get(conf, "insecure"));
	s->if_none_match = 1;
	if (s->insecure && from && !strncmp(from, "file", 4))
		return err_set(e, ERR_USAGE, "insecure: may not stand in a configuration file");
	if (s->kms_key && !s->sse)
		s->sse = "aws:kms";
	/* TLS guards the bytes already; over http only the signature does. */
	s->unsigned_payload = s->https || yes(conf_get(conf, "unsigned-payload"));
	return set_limits(s, conf, e);
}

/* Does the bucket answer? HEAD cannot say why not, so a 403 is looked into: without the right
 * to list, objects may still be read and written. */
static int
check_bucket(struct s3 *s, struct err *e)
{
	struct s3_call head = { .method = "HEAD" };
	struct buf text = { 0 };
	struct s3_call list = {
		.method = "GET", .text = &text,
		.query = { { "list-type", "2" }, { "max-keys", "1" } },
	};
	int rc;

	if (s3_do(s, &head, e) == 0)
		return 0;
	if (head.status != 403 && head.status != 400 && head.status != 404)
		return -1;
	rc = head.status == 404 ? -1 : s3_do(s, &list, e);
	buf_free(&text);
	if (head.status == 404 || !strcmp(list.code, "NoSuchBucket"))
		return err_set(e, ERR_USAGE, "bucket '%s' does not exist (kvput --create-bucket "
			"makes it)", s->bucket);
	return rc < 0 && !strcmp(list.code, "AccessDenied") ? 0 : rc;
}

static int
create_bucket(struct s3 *s, struct err *e)
{
	struct s3_call put = { .method = "PUT" };
	struct buf xml = { 0 };
	struct s3_text body;
	int rc;

	/* AWS takes its first region only unsaid; an own gateway knows no regions by name. */
	if (!s->host && strcmp(s->region, "us-east-1") != 0) {
		buf_printf(&xml, "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/"
			"2006-03-01/\"><LocationConstraint>%s</LocationConstraint>"
			"</CreateBucketConfiguration>", s->region);
		put.body = s3_text(&body, &xml);
	}
	rc = s3_do(s, &put, e);
	buf_free(&xml);
	if (rc < 0 && !strcmp(put.code, "BucketAlreadyOwnedByYou"))
		return 0;
	return rc;
}

static void
close_s3(struct store *base)
{
	struct s3 *s = (struct s3 *)base;

	if (!s)
		return;
	s3_conn_close_all(s);
	limit_close(s->limit);
	aws_close(s->aws);
	pthread_mutex_destroy(&s->lock);
	free(s->bucket);
	free(s->prefix);
	free(s->host);
	free(s->root);
	free(s);
}

/* "/a/b" -> "a/b/" */
static char *
make_prefix(const char *path)
{
	char *prefix;
	size_t n;

	while (*path == '/')
		path++;
	for (n = strlen(path); n > 0 && path[n - 1] == '/'; n--)
		;
	return asprintf(&prefix, "%.*s%s", (int)n, path, n ? "/" : "") < 0 ? NULL : prefix;
}

static int
open_s3(struct store **out, const struct uri *u, const struct store_opts *o, struct err *e)
{
	static const char *const args[] = { "dialect", "endpoint-url", "region", "profile", NULL };
	struct aws_choice choice = {
		uri_arg(u, "profile"), uri_arg(u, "region"), uri_arg(u, "endpoint-url"),
	};
	struct s3 *s;

	if (uri_check_args(u, args, e) < 0)
		return -1;
	if (!*u->host || u->port >= 0)
		return err_set(e, ERR_USAGE, "url: not of the form s3://bucket/prefix");
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_sys(e, "open");
	pthread_mutex_init(&s->lock, NULL);
	s->base.opts = *o;
	s->bucket = strdup(u->host);
	s->prefix = make_prefix(u->path);
	if (!s->bucket || !s->prefix) {
		errno = ENOMEM;
		err_sys(e, "open");
		goto close;
	}
	if (aws_open(&s->aws, o->conf, &choice, e) < 0 || set_address(s, e) < 0 ||
	    set_options(s, o->conf, e) < 0)
		goto close;
	if (check_bucket(s, e) < 0 &&
	    !((o->flags & STORE_CREATE) && e->kind == ERR_USAGE && create_bucket(s, e) == 0))
		goto close;
	*out = &s->base;
	return 0;
close:
	close_s3(&s->base);
	return -1;
}

static const char *const schemes[] = { "s3", NULL };

const struct store_ops store_s3 = {
	.schemes = schemes, .jobs = 16, .open = open_s3, .close = close_s3, .list = s3_list,
	.stat = s3_stat, .get = s3_get, .put = s3_put, .del = s3_del, .sweep = s3_sweep,
	.lock = s3_lock, .unlock = s3_unlock,
};
