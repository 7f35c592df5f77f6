#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "chunk/coding.h"
#include "flow/flow.h"

/* ---- recode ---- */

#define CTX_MAX 64

struct recode {
	struct flow_step base;	/* first */
	struct codec codec;
	pthread_mutex_t lock;
	struct codec_ctx *idle[CTX_MAX];
	int n_idle;
};

static struct codec_ctx *
borrow(struct recode *r, struct err *e)
{
	struct codec_ctx *x = NULL;

	pthread_mutex_lock(&r->lock);
	if (r->n_idle > 0)
		x = r->idle[--r->n_idle];
	pthread_mutex_unlock(&r->lock);
	return x ? x : codec_ctx_new(e);
}

static void
give_back(struct recode *r, struct codec_ctx *x)
{
	pthread_mutex_lock(&r->lock);
	if (r->n_idle < CTX_MAX) {
		r->idle[r->n_idle++] = x;
		x = NULL;
	}
	pthread_mutex_unlock(&r->lock);
	codec_ctx_free(x);
}

static int
recode_run(void *ctx, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct recode *r = ctx;
	struct codec want = codec_for(r->codec, (unsigned)dtype_size(it->chunk.head.geom.dtype));
	struct codec_ctx *x;
	int rc = 0;

	if (want.kind != CODEC_NONE && !strcmp(it->chunk.head.codec, codec_name(want.kind)))
		return 0;	/* in the right form already, of whatever level */
	x = borrow(r, e);
	if (!x)
		return -1;
	rc = chunk_decode(x, &it->chunk, pool, e);
	if (rc == 0)
		rc = chunk_encode(x, r->codec, &it->chunk, pool, e);
	give_back(r, x);
	return rc;
}

static void
recode_free(struct flow_step *s)
{
	struct recode *r = (struct recode *)s;

	while (r->n_idle > 0)
		codec_ctx_free(r->idle[--r->n_idle]);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

int
step_recode(struct flow_step **out, const char *codec, struct err *e)
{
	struct recode *r = calloc(1, sizeof(*r));

	*out = NULL;
	if (!r)
		return err_set(e, ERR_FAILED, "out of memory");
	if (codec_parse(&r->codec, codec, e) < 0) {
		free(r);
		return -1;
	}
	pthread_mutex_init(&r->lock, NULL);
	r->base = (struct flow_step){ recode_run, r, recode_free, NULL };
	*out = &r->base;
	return 0;
}

/* ---- relabel ---- */

struct relabel_step {
	struct flow_step base;	/* first */
	struct relabel how;
};

static int
set_meta(struct chunk_head *h, const char *pair, struct err *e)
{
	const char *eq = strchr(pair, '=');
	char name[256];

	if (!eq || eq == pair || (size_t)(eq - pair) >= sizeof(name))
		return err_set(e, ERR_USAGE, "--meta '%.80s': not name=value", pair);
	memcpy(name, pair, (size_t)(eq - pair));
	name[eq - pair] = 0;
	return chunk_meta_set(h, name, eq[1] ? eq + 1 : NULL, e);
}

static int
relabel_run(void *ctx, struct pool *pool, struct flow_item *it, struct err *e)
{
	const struct relabel *r = &((struct relabel_step *)ctx)->how;
	struct chunk_head *h = &it->chunk.head;
	const char *const *m;

	if (r->tenant)
		strcpy(h->key.salt, r->tenant);
	if (r->expires)
		h->expires = r->expires;
	if (r->priority != INT64_MIN)
		h->priority = r->priority;
	if (r->labels && chunk_meta_set(h, "labels", r->labels, e) < 0)
		return -1;
	for (m = r->meta; m && *m; m++)
		if (set_meta(h, *m, e) < 0)
			return -1;
	if (key_check(&h->key, e) < 0)
		return -1;
	return chunk_reseal(&it->chunk, pool, e);
}

static void
plain_free(struct flow_step *s)
{
	free(s);
}

int
step_relabel(struct flow_step **out, const struct relabel *r, struct err *e)
{
	struct relabel_step *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return err_set(e, ERR_FAILED, "out of memory");
	s->how = *r;
	if (r->tenant && strlen(r->tenant) >= sizeof(((struct key *)0)->salt)) {
		free(s);
		return err_set(e, ERR_USAGE, "--tenant: at most 128 bytes");
	}
	s->base = (struct flow_step){ relabel_run, s, plain_free, NULL };
	*out = &s->base;
	return 0;
}

/* ---- select ---- */

struct select_step {
	struct flow_step base;	/* first */
	const struct select *how;
};

static int
select_run(void *ctx, struct pool *pool, struct flow_item *it, struct err *e)
{
	const struct select *s = ((struct select_step *)ctx)->how;
	const struct chunk_head *h = &it->chunk.head;
	struct select in_stream = *s;

	(void)pool, (void)e;
	if (!h->created)	/* no age is known: age selects nothing */
		in_stream.older_s = in_stream.newer_s = 0;
	it->drop = !select_match(&in_stream, &h->key, NULL, it->chunk.mem.len, h->created);
	return 0;
}

int
step_select(struct flow_step **out, const struct select *how, struct err *e)
{
	struct select_step *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return err_set(e, ERR_FAILED, "out of memory");
	s->how = how;
	s->base = (struct flow_step){ select_run, s, plain_free, NULL };
	*out = &s->base;
	return 0;
}

void
step_free(struct flow_step *s)
{
	while (s) {
		struct flow_step *next = s->next;

		s->free(s);
		s = next;
	}
}
