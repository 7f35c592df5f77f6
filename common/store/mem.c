#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/ops.h"

/* mem: objects in this process's memory, for tests and scratch. null: takes everything,
 * holds nothing: for measuring. */
struct object {
	struct object *next;
	char *name;
	unsigned char *p;
	size_t size;
	int64_t mtime_ns;
};

struct mem_store {
	struct store base;	/* first */
	pthread_mutex_t lock;
	struct object *all;
};

static struct mem_store *
of(struct store *s)
{
	return (struct mem_store *)s;
}

static int
mem_open(struct store **out, const struct uri *u, const struct store_opts *o, struct err *e)
{
	static const char *const args[] = { "dialect", NULL };
	struct mem_store *m;

	(void)o;
	if (uri_check_args(u, args, e) < 0)
		return -1;
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_sys(e, "open");
	pthread_mutex_init(&m->lock, NULL);
	*out = &m->base;
	return 0;
}

static void
object_free(struct object *x)
{
	free(x->name);
	free(x->p);
	free(x);
}

static void
mem_close(struct store *s)
{
	struct mem_store *m = of(s);

	while (m->all) {
		struct object *x = m->all;

		m->all = x->next;
		object_free(x);
	}
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* Where the pointer to name's object is, or would be; the lock is held. */
static struct object **
find(struct mem_store *m, const char *name)
{
	struct object **x = &m->all;

	while (*x && strcmp((*x)->name, name) != 0)
		x = &(*x)->next;
	return x;
}

static int
absent(const char *name, struct err *e)
{
	return err_set(e, ERR_ABSENT, "'%s': no such object", name);
}

static int
mem_list(struct store *s, const char *prefix, unsigned flags, store_each *each, void *ctx,
	struct err *e)
{
	struct mem_store *m = of(s);
	struct object *x;
	int rc = 0;

	if (flags & STORE_LIST_DIRS)
		return err_set(e, ERR_USAGE, "mem: has no directories");
	pthread_mutex_lock(&m->lock);
	for (x = m->all; x && rc == 0; x = x->next) {
		struct store_item it = { .name = x->name, .size = x->size,
			.mtime_ns = x->mtime_ns, .ttl_s = -1, .hits = -1 };

		if (!strncmp(x->name, prefix, strlen(prefix)))
			rc = each(ctx, &it, e);
	}
	pthread_mutex_unlock(&m->lock);
	return rc < 0 ? -1 : 0;
}

static int
mem_stat(struct store *s, const char *name, struct store_item *it, struct err *e)
{
	struct mem_store *m = of(s);
	struct object *x;

	pthread_mutex_lock(&m->lock);
	x = *find(m, name);
	if (x) {
		it->size = x->size;
		it->mtime_ns = x->mtime_ns;
	}
	pthread_mutex_unlock(&m->lock);
	return x ? 0 : absent(name, e);
}

static int
mem_get(struct store *s, const char *name, uint64_t off, uint64_t len, struct store_get *g,
	struct err *e)
{
	struct mem_store *m = of(s);
	struct object *x;
	int rc = -1;

	pthread_mutex_lock(&m->lock);
	x = *find(m, name);
	if (!x) {
		absent(name, e);
		goto unlock;
	}
	g->size = x->size;
	if (off > x->size)
		off = x->size;
	if (len > x->size - off)
		len = x->size - off;
	if (store_get_room(g, len, e) < 0)
		goto unlock;
	memcpy(g->out->p + g->out->len, x->p + off, len);
	if (g->seen)
		g->seen(g->ctx, g->out->p + g->out->len, len);
	g->out->len += len;
	rc = 0;
unlock:
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static struct object *
object_new(const char *name, const struct iovec *iov, int n)
{
	struct object *x = calloc(1, sizeof(*x));
	unsigned char *to;
	int i;

	if (!x)
		return NULL;
	x->size = store_iov_size(iov, n);
	x->name = strdup(name);
	x->p = malloc(x->size ? x->size : 1);
	if (!x->name || !x->p) {
		object_free(x);
		return NULL;
	}
	for (i = 0, to = x->p; i < n; to += iov[i++].iov_len)
		if (iov[i].iov_len)
			memcpy(to, iov[i].iov_base, iov[i].iov_len);
	x->mtime_ns = clock_now_ns();
	return x;
}

static int
mem_put(struct store *s, const char *name, const struct iovec *iov, int n,
	const struct store_put *how, struct err *e)
{
	struct mem_store *m = of(s);
	struct object *x = object_new(name, iov, n), **at;

	if (!x)
		return err_sys(e, "put '%s'", name);
	pthread_mutex_lock(&m->lock);
	at = find(m, name);
	if (*at && how->excl) {
		pthread_mutex_unlock(&m->lock);
		object_free(x);
		return 1;
	}
	if (*at) {
		struct object *old = *at;

		x->next = old->next;
		*at = x;
		object_free(old);
	} else {
		*at = x;
	}
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static int
mem_del(struct store *s, const char *const *names, size_t n, signed char *states, struct err *e)
{
	struct mem_store *m = of(s);
	size_t i;

	(void)e;
	pthread_mutex_lock(&m->lock);
	for (i = 0; i < n; i++) {
		struct object **at = find(m, names[i]), *x = *at;

		states[i] = x ? 0 : 1;
		if (x) {
			*at = x->next;
			object_free(x);
		}
	}
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static int
null_list(struct store *s, const char *prefix, unsigned flags, store_each *each, void *ctx,
	struct err *e)
{
	(void)s, (void)prefix, (void)flags, (void)each, (void)ctx, (void)e;
	return 0;
}

static int
null_stat(struct store *s, const char *name, struct store_item *it, struct err *e)
{
	(void)s, (void)it;
	return absent(name, e);
}

static int
null_put(struct store *s, const char *name, const struct iovec *iov, int n,
	const struct store_put *how, struct err *e)
{
	(void)s, (void)name, (void)iov, (void)n, (void)how, (void)e;
	return 0;
}

static const char *const mem_schemes[] = { "mem", NULL };
static const char *const null_schemes[] = { "null", NULL };

const struct store_ops store_mem = {
	.schemes = mem_schemes, .jobs = 2, .open = mem_open, .close = mem_close,
	.list = mem_list, .stat = mem_stat, .get = mem_get, .put = mem_put, .del = mem_del,
};

const struct store_ops store_null = {
	.schemes = null_schemes, .jobs = 2, .open = mem_open, .close = mem_close,
	.list = null_list, .stat = null_stat, .put = null_put,
};
