#include <stdlib.h>
#include <string.h>

#include "chunk/stream.h"
#include "flow/flow.h"

struct stream_source {
	struct source base;	/* first */
	int fd;
	struct stream_in *in;
};

static int
stream_next(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct stream_source *x = (struct stream_source *)s;

	if (!x->in && stream_in_open(&x->in, x->fd, pool, e) < 0)
		return -1;
	return stream_in_next(x->in, it->ticket, &it->chunk, e);
}

static void
stream_close(struct source *s)
{
	stream_in_close(((struct stream_source *)s)->in);
	free(s);
}

int
source_stream(struct source **out, int fd, struct err *e)
{
	static const struct source_ops ops = { .next = stream_next, .close = stream_close };
	struct stream_source *x = calloc(1, sizeof(*x));

	*out = NULL;
	if (!x)
		return err_set(e, ERR_FAILED, "out of memory");
	x->base.ops = &ops;
	x->fd = fd;
	*out = &x->base;
	return 0;
}

struct stream_sink {
	struct sink base;	/* first */
	struct stream_out *out;
};

static int
sink_stream_put(struct sink *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	(void)pool;
	return stream_out_put(((struct stream_sink *)s)->out, &it->chunk, e);
}

static int
sink_stream_close(struct sink *s, const struct err *why, struct err *e)
{
	int rc = stream_out_close(((struct stream_sink *)s)->out, why, e);

	free(s);
	return rc;
}

int
sink_stream(struct sink **out, int fd, struct err *e)
{
	static const struct sink_ops ops = { .ordered = 1, .put = sink_stream_put,
		.close = sink_stream_close };
	struct stream_sink *x = calloc(1, sizeof(*x));

	*out = NULL;
	if (!x)
		return err_set(e, ERR_FAILED, "out of memory");
	x->base.ops = &ops;
	if (stream_out_open(&x->out, fd, e) < 0) {
		free(x);
		return -1;
	}
	*out = &x->base;
	return 0;
}

struct tee_sink {
	struct sink base;	/* first */
	struct sink *a, *b;
};

static int
tee_put(struct sink *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct tee_sink *x = (struct tee_sink *)s;
	int rc = x->a->ops->put(x->a, pool, it, e);

	return rc < 0 || x->b->ops->put(x->b, pool, it, e) < 0 ? -1 : rc;
}

static int
tee_close(struct sink *s, const struct err *why, struct err *e)
{
	struct tee_sink *x = (struct tee_sink *)s;
	int a = x->a->ops->close(x->a, why, e);
	int b = x->b->ops->close(x->b, why, a < 0 ? NULL : e);

	free(x);
	return a < 0 || b < 0 ? -1 : 0;
}

int
sink_tee(struct sink **out, struct sink *a, struct sink *b, struct err *e)
{
	static const struct sink_ops ops = { 1, tee_put, tee_close };
	struct tee_sink *x = calloc(1, sizeof(*x));

	*out = NULL;
	if (!x)
		return err_set(e, ERR_FAILED, "out of memory");
	x->base.ops = &ops;
	x->a = a;
	x->b = b;
	*out = &x->base;
	return 0;
}

struct cat_source {
	struct source base;	/* first */
	struct source **v;
	size_t n, at;
};

static int
cat_next(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct cat_source *x = (struct cat_source *)s;
	int rc;

	for (; x->at < x->n; x->at++) {
		rc = x->v[x->at]->ops->next(x->v[x->at], pool, it, e);
		if (rc != 0) {
			/* load() may come when next() is further on already */
			it->from = x->v[x->at];
			return rc;
		}
	}
	return 0;
}

static int
cat_load(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	(void)s;
	return it->from->ops->load ? it->from->ops->load(it->from, pool, it, e) :
		chunk_verify(&it->chunk, e);
}

static void
cat_close(struct source *s)
{
	struct cat_source *x = (struct cat_source *)s;

	while (x->n > 0) {
		struct source *v = x->v[--x->n];

		v->ops->close(v);
	}
	free(x->v);
	free(x);
}

int
source_cat(struct source **out, struct source **v, size_t n, struct err *e)
{
	static const struct source_ops ops = { cat_next, cat_load, cat_close };
	struct cat_source *x = calloc(1, sizeof(*x));
	size_t i;

	*out = NULL;
	if (x)
		x->v = malloc((n + 1) * sizeof(*v));
	if (!x || !x->v) {
		free(x);
		return err_set(e, ERR_FAILED, "out of memory");
	}
	memcpy(x->v, v, n * sizeof(*v));
	x->n = n;
	x->base.ops = &ops;
	for (i = 0; i < n; i++) {
		x->base.chunks += v[i]->chunks;
		x->base.bytes += v[i]->bytes;
	}
	*out = &x->base;
	return 0;
}
