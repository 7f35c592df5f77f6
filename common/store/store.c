#include <stdio.h>
#include <string.h>

#include "base/near.h"
#include "store/ops.h"

/* The whole registry. */
static const struct store_ops *const stores[] = {
	&store_file, &store_shm, &store_mem, &store_null, &store_s3, &store_redis,
};

static const struct store_ops *
find(const char *scheme)
{
	size_t i, k;

	for (i = 0; i < sizeof(stores) / sizeof(*stores); i++)
		for (k = 0; stores[i]->schemes[k]; k++)
			if (!strcmp(stores[i]->schemes[k], scheme))
				return stores[i];
	return NULL;
}

static int
no_such_kind(const char *safe, const char *scheme, struct err *e)
{
	struct near n = { .word = scheme };
	size_t i, k;

	for (i = 0; i < sizeof(stores) / sizeof(*stores); i++)
		for (k = 0; stores[i]->schemes[k]; k++)
			near_offer(&n, stores[i]->schemes[k]);
	return err_set(e, ERR_USAGE, "store '%s': no such kind of store as '%s:'; %s%s%s", safe,
		scheme, n.best ? "is '" : "kvurl(7) lists them", n.best ? n.best : "",
		n.best ? ":' meant?" : "");
}

int
store_open(struct store **out, const char *url, const struct store_opts *o, struct err *e)
{
	static const struct store_opts defaults = { 0 };
	const struct store_ops *ops;
	char safe[256];
	struct uri *u;

	*out = NULL;
	uri_safe(safe, url);
	if (uri_parse(&u, url, e) < 0)
		return -1;
	ops = find(u->scheme);
	if (!ops) {
		no_such_kind(safe, u->scheme, e);
		goto free_u;
	}
	if (ops->open(out, u, o ? o : &defaults, e) < 0) {
		err_in(e, "store '%s'", safe);
		*out = NULL;
		goto free_u;
	}
	(*out)->ops = ops;
	(*out)->opts = o ? *o : defaults;
	memcpy((*out)->url, safe, sizeof(safe));
	uri_free(u);
	return 0;
free_u:
	uri_free(u);
	return -1;
}

void
store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
}

const char *
store_url(const struct store *s)
{
	return s->url;
}

const char *
store_scheme(const struct store *s)
{
	return s->ops->schemes[0];
}

unsigned
store_jobs(const struct store *s)
{
	return s->ops->jobs;
}

int
store_name_check(const char *name, struct err *e)
{
	const char *p = name, *seg = name;

	if (!*name || strlen(name) > 1024)
		return err_set(e, ERR_REFUSED, "name: empty or longer than 1024 bytes");
	for (;; p++) {
		if (*p && ((unsigned char)*p < 0x20 || *p == 0x7f))
			return err_set(e, ERR_REFUSED, "name: control character");
		if (*p && *p != '/')
			continue;
		if (p == seg || (p - seg <= 2 && !strncmp(seg, "..", (size_t)(p - seg))))
			return err_set(e, ERR_REFUSED,
				"name '%.100s': empty, '.' or '..' segment", name);
		if (!*p)
			return 0;
		seg = p + 1;
	}
}

static int
cannot(const struct store *s, const char *what, struct err *e)
{
	return err_set(e, ERR_USAGE, "store '%s': cannot %s", s->url, what);
}

int
store_list(struct store *s, const char *prefix, unsigned flags, store_each *each, void *ctx,
	struct err *e)
{
	return s->ops->list ? s->ops->list(s, prefix, flags, each, ctx, e) :
		cannot(s, "be listed", e);
}

int
store_stat(struct store *s, const char *name, struct store_item *it, struct err *e)
{
	memset(it, 0, sizeof(*it));
	it->name = name;
	it->ttl_s = -1;
	it->hits = -1;
	if (store_name_check(name, e) < 0)
		return -1;
	return s->ops->stat ? s->ops->stat(s, name, it, e) : cannot(s, "tell sizes", e);
}

int
store_get(struct store *s, const char *name, uint64_t off, uint64_t len, struct store_get *g,
	struct err *e)
{
	if (store_name_check(name, e) < 0)
		return -1;
	return s->ops->get ? s->ops->get(s, name, off, len, g, e) : cannot(s, "be read", e);
}

int
store_fd(struct store *s, const char *name, struct err *e)
{
	if (store_name_check(name, e) < 0)
		return -1;
	return s->ops->fd ? s->ops->fd(s, name, e) : cannot(s, "give files", e);
}

int
store_put(struct store *s, const char *name, const struct iovec *iov, int n,
	const struct store_put *how, struct err *e)
{
	static const struct store_put plain = { 0 };

	if (store_name_check(name, e) < 0)
		return -1;
	return s->ops->put ? s->ops->put(s, name, iov, n, how ? how : &plain, e) :
		cannot(s, "be written", e);
}

int
store_delete(struct store *s, const char *const *names, size_t n, signed char *states,
	struct err *e)
{
	size_t i;

	memset(states, -1, n);
	for (i = 0; i < n; i++)
		if (store_name_check(names[i], e) < 0)
			return -1;
	return s->ops->del ? s->ops->del(s, names, n, states, e) : cannot(s, "delete", e);
}

void
store_touch(struct store *s, const char *name)
{
	if (s->ops->touch && store_name_check(name, NULL) == 0)
		s->ops->touch(s, name);
}

int
store_sweep(struct store *s, double min_age_s, int dry, store_each *each, void *ctx,
	struct err *e)
{
	return s->ops->sweep ? s->ops->sweep(s, min_age_s, dry, each, ctx, e) : 0;
}

int
store_space(struct store *s, uint64_t *total, uint64_t *free_bytes, struct err *e)
{
	*total = *free_bytes = 0;
	return s->ops->space ? s->ops->space(s, total, free_bytes, e) : 0;
}

int
store_lock(struct store *s, const char *what, struct err *e)
{
	return s->ops->lock ? s->ops->lock(s, what, e) : 0;
}

void
store_unlock(struct store *s, const char *what)
{
	if (s->ops->unlock)
		s->ops->unlock(s, what);
}

int
store_get_room(struct store_get *g, size_t n, struct err *e)
{
	struct block *b = g->out;

	if (n <= b->cap - b->len)
		return 0;
	if (!g->pool)
		return err_set(e, ERR_USAGE, "object of %zu bytes does not fit", n);
	return pool_grow(g->pool, b, n < SIZE_MAX - b->len ? b->len + n : SIZE_MAX, e);
}

uint64_t
store_iov_size(const struct iovec *iov, int n)
{
	uint64_t sum = 0;

	while (n-- > 0)
		sum += iov[n].iov_len;
	return sum;
}
