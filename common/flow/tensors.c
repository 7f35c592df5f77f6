#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/tensor.h"
#include "flow/flow.h"

struct tensor_source {
	struct source base;	/* first */
	struct tensor_in *in;
	size_t at;
};

/* Made under the lock of next(), so that blocks are taken in the order of tickets. */
static int
tensor_next(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct tensor_source *x = (struct tensor_source *)s;

	if (x->at == tensor_in_count(x->in))
		return 0;
	return tensor_in_chunk(x->in, x->at++, pool, it->ticket, &it->chunk, e) < 0 ? -1 : 1;
}

static int
tensor_load(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	(void)s, (void)pool, (void)it, (void)e;	/* sealed just now: nothing to check */
	return 0;
}

static void
tensor_close(struct source *s)
{
	tensor_in_close(((struct tensor_source *)s)->in);
	free(s);
}

int
source_tensor(struct source **out, const char *path, const struct tensor_opts *o,
	uint64_t *dropped, struct err *e)
{
	static const struct source_ops ops = { tensor_next, tensor_load, tensor_close };
	struct tensor_source *x = calloc(1, sizeof(*x));

	*out = NULL;
	if (!x)
		return err_set(e, ERR_FAILED, "out of memory");
	x->base.ops = &ops;
	if (tensor_in_open(&x->in, path, o, e) < 0) {
		free(x);
		return -1;
	}
	x->base.chunks = tensor_in_count(x->in);
	x->base.bytes = tensor_in_bytes(x->in);
	*dropped = tensor_in_dropped(x->in);
	*out = &x->base;
	return 0;
}

struct tensor_sink {
	struct sink base;	/* first */
	struct tensor_out *out;
};

static int
tensor_put(struct sink *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	(void)pool;
	return tensor_out_put(((struct tensor_sink *)s)->out, &it->chunk, e);
}

static int
tensor_sink_close(struct sink *s, const struct err *why, struct err *e)
{
	int rc = tensor_out_close(((struct tensor_sink *)s)->out, why == NULL, e);

	free(s);
	return rc;
}

int
sink_tensor(struct sink **out, const char *path, const struct tensor_opts *o, struct err *e)
{
	static const struct sink_ops ops = { 1, tensor_put, tensor_sink_close };
	struct tensor_sink *x = calloc(1, sizeof(*x));

	*out = NULL;
	if (!x)
		return err_set(e, ERR_FAILED, "out of memory");
	x->base.ops = &ops;
	if (tensor_out_open(&x->out, path, o, e) < 0) {
		free(x);
		return -1;
	}
	*out = &x->base;
	return 0;
}
