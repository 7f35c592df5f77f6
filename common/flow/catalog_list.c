#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/par.h"
#include "flow/catalog_impl.h"

/* One listing, by one thread, into a catalog of its own. */
struct reading {
	struct catalog *c;
	struct place *p;
	const struct select *sel;
	size_t cap, group_cap;
	struct buf before;	/* the last name of ours; */
	struct key key;		/* its key */
	pthread_mutex_t *others;	/* held while sel->other hears of something */
};

/* Index of k's group, made if new. -1: out of memory. */
static int64_t
group_of(struct reading *r, const struct key *k, const char *algo, int lossy)
{
	struct catalog *c = r->c;
	struct cat_group *g;
	size_t i = c->n_groups;

	/* the last ones are the likely ones: listings come sorted or nearly so */
	while (i-- > 0) {
		g = &c->groups[i];
		if (g->tp == k->tp && g->group == k->group && !strcmp(g->dtype, k->dtype) &&
		    !strcmp(g->model, k->model) && !strcmp(g->salt, k->salt) &&
		    !strcmp(g->algo, algo))
			return (int64_t)i;
	}
	if (c->n_groups == r->group_cap) {
		size_t cap = r->group_cap ? 2 * r->group_cap : 16;

		g = realloc(c->groups, cap * sizeof(*g));
		if (!g)
			return -1;
		c->groups = g;
		r->group_cap = cap;
	}
	g = &c->groups[c->n_groups];
	memset(g, 0, sizeof(*g));
	strcpy(g->model, k->model);
	strcpy(g->salt, k->salt);
	strcpy(g->dtype, k->dtype);
	strcpy(g->algo, algo);
	g->tp = k->tp;
	g->group = k->group;
	g->lossy = lossy;
	return (int64_t)c->n_groups++;
}

static int
add_row(struct reading *r, const struct store_item *it, const struct dialect_name *n,
	const struct cat_head *h, struct err *e)
{
	struct catalog *c = r->c;
	const struct key *k = &r->key;
	int64_t g = group_of(r, k, n ? n->algo : "", n ? n->lossy : 0);
	struct cat_row *row;

	if (g < 0)
		return catalog_no_memory(e);
	if (c->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 1024;

		row = realloc(c->rows, cap * sizeof(*row));
		if (!row)
			return catalog_no_memory(e);
		c->rows = row;
		r->cap = cap;
	}
	row = &c->rows[c->n];
	*row = (struct cat_row){ .hash = k->hash, .group = (uint32_t)g, .rank = k->rank,
		.layer = n ? n->layer : -1, .name = CAT_NATIVE, .size = it->size,
		.mtime_s = it->mtime_ns / 1000000000, .atime_s = it->atime_ns / 1000000000,
		.ttl_s = (float)it->ttl_s,
		.hits = it->hits > INT32_MAX ? INT32_MAX : (int32_t)it->hits };
	if (n) {
		if (c->names.len >= CAT_NATIVE - 2000)
			return err_set(e, ERR_FAILED, "listing: too many names");
		row->name = (uint32_t)c->names.len;
		if (buf_add(&c->names, it->name, strlen(it->name) + 1) < 0)
			return catalog_no_memory(e);
	}
	if (h)
		row->brought = catalog_bring(c, h);
	c->n++;
	c->bytes += it->size;
	return 0;
}

/* Most names of ours differ from the one before in their hash alone. */
static int
native_key(struct reading *r, const char *name)
{
	if (!r->before.len || key_parse_next(&r->key, r->before.p, name) < 0) {
		r->before.len = 0;
		if (key_parse_name(&r->key, name, NULL) < 0)
			return -1;
	}
	r->before.len = 0;
	buf_add(&r->before, name, strlen(name) + 1);
	return 0;
}

static int
tell_other(struct reading *r, enum dialect_what what, const struct store_item *it, struct err *e)
{
	int rc;

	if (!r->sel->other)
		return 0;
	pthread_mutex_lock(r->others);
	rc = r->sel->other(r->sel->other_ctx, what, it, e);
	pthread_mutex_unlock(r->others);
	return rc;
}

static int
add_item(void *ctx, const struct store_item *it, struct err *e)
{
	struct reading *r = ctx;
	struct key *k = &r->key;
	int native = r->p->native, brought;
	enum dialect_what what = DIALECT_CHUNK;
	struct dialect_name n;
	struct cat_head head;

	if (!native)
		what = dialect_name(r->p->dialect, it->name, it->size, &n);
	else if (native_key(r, it->name) < 0)
		what = DIALECT_FOREIGN;
	if (what == DIALECT_FOREIGN) {
		r->c->foreign++;
		r->c->foreign_bytes += it->size;
	} else if (what == DIALECT_LITTER) {
		r->c->litter++;
	}
	if (what != DIALECT_CHUNK)
		return tell_other(r, what, it, e);
	if (!native)
		dialect_key(r->p->ctx, it->name, &n, k);
	if (!select_match(r->sel, k, it->name, it->size, it->mtime_ns / 1000000000) ||
	    (r->sel->not_class && it->class && !strcmp(r->sel->not_class, it->class)))
		return 0;
	brought = native && it->head && catalog_parse(&head, k, it) == 0;
	return add_row(r, it, native ? NULL : &n, brought ? &head : NULL, e);
}

/* Many prefixes, and what is listed below each. */
struct parts {
	struct place *p;
	const struct select *sel;
	struct buf prefixes;	/* NUL-terminated, n of them */
	size_t n;
	const char **at;	/* the i-th of them */
	struct catalog *v;	/* its rows */
	pthread_mutex_t others;
};

static int
add_prefix(struct parts *p, const char *prefix, struct err *e)
{
	if (buf_add(&p->prefixes, prefix, strlen(prefix) + 1) < 0)
		return catalog_no_memory(e);
	p->n++;
	return 0;
}

/* The group a directory "MODEL/DTYPE-.../" stands for: can anything below be selected? */
static int
dir_selected(const struct select *s, const char *dir)
{
	char name[2200];
	struct key k;

	/* any hash will do to read the rest of the name */
	snprintf(name, sizeof(name), "%s00/%064d.kv.safetensors", dir, 0);
	return key_parse_name(&k, name, NULL) < 0 ||
		(select_group(s, &k) && (s->rank < 0 || s->rank == (int64_t)k.rank));
}

/* Prefixes to list below one directory of a group. */
static int
shard_dir(struct parts *p, const char *dir, struct err *e)
{
	const struct select *s = p->sel;
	int file = place_in_dir(p->p);
	char prefix[2200];
	size_t i;

	for (i = 0; i < s->n_prefixes; i++) {
		snprintf(prefix, sizeof(prefix), "%s%.2s/%s", dir, s->prefixes[i], s->prefixes[i]);
		if (add_prefix(p, prefix, e) < 0)
			return -1;
	}
	if (s->n_prefixes)
		return 0;
	for (i = 0; i < (file ? 256 : 16); i++) {
		snprintf(prefix, sizeof(prefix), file ? "%s%02x/" : "%s%x", dir, (unsigned)i);
		if (add_prefix(p, prefix, e) < 0)
			return -1;
	}
	return 0;
}

struct dirs {
	struct reading *r;
	struct buf names;
	size_t n;
};

static int
note_dir(void *ctx, const struct store_item *it, struct err *e)
{
	struct dirs *d = ctx;

	if (!it->dir)
		return add_item(d->r, it, e);
	d->n++;
	return buf_add(&d->names, it->name, strlen(it->name) + 1) < 0 ? catalog_no_memory(e) : 0;
}

/* Two levels of directories give the groups; what lies beside them is taken along. */
static int
find_prefixes(struct parts *p, struct reading *r, struct err *e)
{
	struct dirs models = { .r = r }, groups = { .r = r };
	struct store *s = p->p->store;
	const char *d;
	int rc = -1;
	size_t i;

	if (store_list(s, "", STORE_LIST_DIRS, note_dir, &models, e) < 0)
		goto done;
	for (i = 0, d = models.names.p; i < models.n; i++, d += strlen(d) + 1)
		if (store_list(s, d, STORE_LIST_DIRS, note_dir, &groups, e) < 0)
			goto done;
	for (i = 0, d = groups.names.p; i < groups.n; i++, d += strlen(d) + 1)
		if (dir_selected(p->sel, d) && shard_dir(p, d, e) < 0)
			goto done;
	rc = 0;
done:
	buf_free(&models.names);
	buf_free(&groups.names);
	return rc;
}

/* Headers in the order of rows, while both are in the cache. */
static int
order_brought(struct catalog *c, struct err *e)
{
	struct cat_head *v = malloc((c->n_brought + 1) * sizeof(*v));
	uint32_t n = 0;
	size_t i;

	if (!v)
		return catalog_no_memory(e);
	for (i = 0; i < c->n; i++) {
		if (!c->rows[i].brought)
			continue;
		v[n++] = c->brought[c->rows[i].brought - 1];
		c->rows[i].brought = n;
	}
	free(c->brought);
	c->brought = v;
	c->room_brought = c->n_brought + 1;
	return 0;
}

static int
list_one(void *ctx, size_t i, struct err *e)
{
	struct parts *p = ctx;
	struct reading r = { .c = &p->v[i], .p = p->p, .sel = p->sel,
		.others = &p->others };
	int rc = store_list(p->p->store, p->at[i], p->sel->heads ? STORE_LIST_HEADS : 0, add_item,
		&r, e);

	buf_free(&r.before);
	if (rc < 0 || catalog_sort(r.c, e) < 0)
		return -1;
	return order_brought(r.c, e);
}

/* Lists every prefix into a catalog of its own, in parallel, and adds them to c. */
static int
list_parts(struct parts *p, struct catalog *c, unsigned jobs, struct err *e)
{
	const char *text = p->prefixes.p;
	size_t i;
	int rc = -1;

	p->at = malloc((p->n + 1) * sizeof(*p->at));
	p->v = calloc(p->n + 1, sizeof(*p->v));
	if (!p->at || !p->v) {
		catalog_no_memory(e);
		goto done;
	}
	for (i = 0; i < p->n; i++, text += strlen(text) + 1)
		p->at[i] = text;
	rc = par_each(p->n, jobs ? jobs : store_jobs(p->p->store), list_one, p, e);
	if (rc == 0)
		rc = catalog_join(c, p->v, p->n, 0, e);
	for (i = 0; i < p->n; i++)
		catalog_free(&p->v[i]);
done:
	free(p->at);
	free(p->v);
	return rc;
}

int
catalog_read(struct catalog *c, struct place *p, const struct select *s, unsigned jobs,
	struct err *e)
{
	struct parts parts = { .p = p, .sel = s };
	struct reading r = { .c = c, .p = p, .sel = s, .others = &parts.others };
	int rc;

	memset(c, 0, sizeof(*c));
	pthread_mutex_init(&parts.others, NULL);
	if (p->native && (place_in_dir(p) || !strcmp(store_scheme(p->store), "s3"))) {
		rc = find_prefixes(&parts, &r, e);
		if (rc == 0)
			rc = list_parts(&parts, c, jobs, e);
	} else {
		rc = store_list(p->store, "", 0, add_item, &r, e);
	}
	buf_free(&r.before);
	buf_free(&parts.prefixes);
	pthread_mutex_destroy(&parts.others);
	if (rc == 0)
		rc = catalog_sort(c, e);
	if (rc == 0 && s->n_prefixes > 1)
		catalog_once(c);
	if (rc < 0)
		catalog_free(c);
	return rc;
}
