#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/uri.h"
#include "digest/digest.h"
#include "index/ops.h"

/* The whole registry. */
static const struct index_ops *const backends[] = { &index_sqlite, &index_redis };

/* A directory by its real path, so that "./kv", "/srv/kv/" and a link to it are one. */
static int
identify_dir(struct buf *out, const char *path, struct err *e)
{
	char *real = realpath(path, NULL);
	char cwd[PATH_MAX];

	buf_str(out, "file:");
	if (real) {
		buf_str(out, real);
		free(real);
		return 0;
	}
	if (*path != '/') {
		if (!getcwd(cwd, sizeof(cwd)))
			return err_sys(e, "getcwd");
		buf_printf(out, "%s/", cwd);
	}
	return buf_str(out, path);
}

/* An argument that says how a store's objects are read, or by whom, not where they are. */
static int
only_reading(const char *name)
{
	static const char *const names[] = { "dialect", "geometry", "model", "algo",
		"chunk-tokens", "layout", "block", "timeout", "retry", "user" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			return 1;
	return 0;
}

/* The URL without what only says how to read it, and with the endpoint, which makes two buckets
 * of one name two stores. */
char *
index_identity(const char *url, const struct conf *conf, struct err *e)
{
	const char *endpoint = conf_get(conf, "endpoint-url");
	struct buf out = { 0 };
	struct uri *u;
	size_t len;
	int i;

	if (uri_parse(&u, url, e) < 0)
		return NULL;
	if (!strcmp(u->scheme, "file")) {
		if (identify_dir(&out, u->path, e) < 0)
			goto fail;
	} else {
		buf_printf(&out, "%s://%s", u->scheme, u->host);
		if (u->port >= 0)
			buf_printf(&out, ":%d", u->port);
		buf_printf(&out, "/%s", u->path + (*u->path == '/'));
	}
	for (len = out.len; len > 6 && out.p && out.p[len - 1] == '/'; len--)
		;
	out.len = len;
	for (i = 0; i < u->n_args; i++)
		if (!only_reading(u->args[i].name))
			buf_printf(&out, "?%s=%s", u->args[i].name, u->args[i].value);
	if (!strcmp(u->scheme, "s3") && endpoint && !uri_arg(u, "endpoint"))
		buf_printf(&out, "?endpoint=%s", endpoint);
	if (!buf_text(&out)) {
		err_set(e, ERR_FAILED, "index: out of memory");
		goto fail;
	}
	uri_free(u);
	return out.p;
fail:
	buf_free(&out);
	uri_free(u);
	return NULL;
}

/* $XDG_STATE_HOME/kvtools/index/HASH.db; malloc'ed. Only who writes makes the directory: whoever
 * has no home can still do without an index. */
static char *
standard_place(const char *store, unsigned flags, struct err *e)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char hex[DIGEST128_HEX + 1];
	struct digest128 d;
	struct buf out = { 0 };

	if (state && *state)
		buf_printf(&out, "%s/kvtools/index", state);
	else
		buf_printf(&out, "%s/.local/state/kvtools/index", home ? home : "");
	if (buf_text(&out) && (flags & INDEX_WRITE) && io_mkdirs(out.p, 0700, e) < 0) {
		err_in(e, "index (--index names another place)");
		goto fail;
	}
	digest_xxh3(&d, store, strlen(store));
	buf_printf(&out, "/%.16s.db", digest_hex(hex, &d));
	if (buf_text(&out))
		return out.p;
	err_set(e, ERR_FAILED, "index: out of memory");
fail:
	buf_free(&out);
	return NULL;
}

static const struct index_ops *
find(const char *where, struct err *e)
{
	const struct index_ops *ops = NULL;
	struct uri *u;
	size_t i, k;

	if (uri_parse(&u, where, e) < 0)
		return NULL;
	for (i = 0; i < sizeof(backends) / sizeof(*backends); i++)
		for (k = 0; backends[i]->schemes[k]; k++)
			if (!strcmp(u->scheme, backends[i]->schemes[k]))
				ops = backends[i];
	if (!ops)
		err_set(e, ERR_USAGE, "index: no such kind of index as '%s:'", u->scheme);
	uri_free(u);
	return ops;
}

int
index_open(struct index **out, const char *where, const char *store_url, unsigned flags,
	const struct conf *conf, struct err *e)
{
	struct index like = { .flags = flags };

	*out = NULL;
	like.store = index_identity(store_url, conf, e);
	if (!like.store)
		return -1;
	like.where = where && *where && strcmp(where, "auto") != 0 ? strdup(where) :
		standard_place(like.store, flags, e);
	if (!like.where)
		goto fail;
	uri_safe(like.safe, like.where);
	like.ops = find(like.where, e);
	if (!like.ops)
		goto fail;
	if (like.ops->open(out, &like, conf, e) < 0) {
		err_in(e, "index '%s'", like.safe);
		*out = NULL;
		goto fail;
	}
	**out = like;
	return 0;
fail:
	free(like.where);
	free(like.store);
	return -1;
}

int
index_close(struct index *ix, struct err *e)
{
	char *where, *store;
	int rc;

	if (!ix)
		return 0;
	rc = index_notes_close(ix, e);
	where = ix->where;
	store = ix->store;
	ix->ops->close(ix);
	free(where);
	free(store);
	return rc;
}

const char *
index_where(const struct index *ix)
{
	return ix->safe;
}

int
index_writable(const struct index *ix)
{
	return (ix->flags & INDEX_WRITE) != 0;
}

int
index_shared(const struct index *ix)
{
	return ix->ops->shared;
}

/* What a back end answered, with its place before the text. */
static int
told(const struct index *ix, int rc, struct err *e)
{
	return rc < 0 ? err_in(e, "index '%s'", ix->safe) : rc;
}

int
index_put(struct index *ix, const struct index_entry *v, size_t n, struct err *e)
{
	return n ? told(ix, ix->ops->put(ix, v, n, e), e) : 0;
}

int
index_access(struct index *ix, const struct index_use *v, size_t n, struct err *e)
{
	return n ? told(ix, ix->ops->access(ix, v, n, e), e) : 0;
}

int
index_remove(struct index *ix, const char *const *names, size_t n, struct err *e)
{
	return n ? told(ix, ix->ops->remove(ix, names, n, e), e) : 0;
}

int
index_pin(struct index *ix, const char *name, int pinned, struct err *e)
{
	return told(ix, ix->ops->pin(ix, name, pinned, e), e);
}

int
index_lease(struct index *ix, const char *name, int64_t until_s, struct err *e)
{
	return told(ix, ix->ops->lease(ix, name, until_s, e), e);
}

static void
page_free(struct index_page *pg)
{
	while (pg->n > 0)
		index_entry_free(&pg->v[--pg->n]);
}

int
index_each(struct index *ix, const char *prefix, enum index_order order, index_fn *each,
	void *ctx, struct err *e)
{
	struct index_page *pg = calloc(1, sizeof(*pg));
	size_t i, got = INDEX_PAGE;
	int rc = 0;

	if (!pg)
		return err_sys(e, "index");
	pg->prefix = prefix;
	pg->order = order;
	while (rc == 0 && got == INDEX_PAGE) {
		rc = told(ix, ix->ops->page(ix, pg, e), e);
		got = pg->n;
		for (i = 0; i < pg->n && rc == 0; i++)
			rc = each(ctx, &pg->v[i], e);
		index_entry_free(&pg->last);
		if (got == INDEX_PAGE)
			pg->last = pg->v[--pg->n];
		page_free(pg);
	}
	index_entry_free(&pg->last);
	free(pg);
	return rc < 0 ? -1 : 0;
}

int
index_get(struct index *ix, const char *name, index_fn *each, void *ctx, struct err *e)
{
	struct index_entry x;
	int rc;

	if (told(ix, ix->ops->get(ix, name, &x, e), e) < 0)
		return -1;
	rc = each(ctx, &x, e);
	index_entry_free(&x);
	return rc < 0 ? -1 : 0;
}

int
index_info(struct index *ix, struct index_info *out, struct err *e)
{
	memset(out, 0, sizeof(*out));
	return told(ix, ix->ops->info(ix, out, e), e);
}

int
index_rebuild_begin(struct index *ix, struct err *e)
{
	return told(ix, ix->ops->rebuild_begin(ix, e), e);
}

int
index_rebuild_end(struct index *ix, uint64_t *dropped, struct err *e)
{
	uint64_t n = 0;

	if (!ix->generation)
		return err_set(e, ERR_FAILED, "index '%s': no rebuild was begun", ix->safe);
	if (told(ix, ix->ops->rebuild_end(ix, &n, e), e) < 0)
		return -1;
	if (dropped)
		*dropped = n;
	return 0;
}
