#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/par.h"
#include "flow/catalog_impl.h"

/* One reading: jobs list prefixes in parallel and add under the lock. */
struct reading {
	struct catalog *c;
	struct place *p;
	const struct select *sel;
	pthread_mutex_t lock;
	size_t cap, group_cap;
	struct buf prefixes;	/* NUL-terminated, n_prefixes of them */
	size_t n_prefixes;
};

/* Index of k's group, made if new; the lock is held. -1: out of memory. */
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
no_memory(struct err *e)
{
	return err_set(e, ERR_FAILED, "listing: out of memory");
}

static int
add_row(struct reading *r, const struct store_item *it, const struct key *k,
	const struct dialect_name *n, const struct cat_head *h, struct err *e)
{
	struct catalog *c = r->c;
	int64_t g = group_of(r, k, n ? n->algo : "", n ? n->lossy : 0);
	struct cat_row *row;

	if (g < 0)
		return no_memory(e);
	if (c->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 1024;

		row = realloc(c->rows, cap * sizeof(*row));
		if (!row)
			return no_memory(e);
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
			return no_memory(e);
	}
	if (h)
		row->brought = catalog_bring(c, h);
	c->n++;
	c->bytes += it->size;
	return 0;
}

static int
add_item(void *ctx, const struct store_item *it, struct err *e)
{
	struct reading *r = ctx;
	struct dialect_name n;
	struct key k;
	struct cat_head head;
	enum dialect_what what;
	int brought, rc = 0;

	if (r->p->native) {
		what = key_parse_name(&k, it->name, NULL) == 0 ? DIALECT_CHUNK : DIALECT_FOREIGN;
	} else {
		what = dialect_name(r->p->dialect, it->name, it->size, &n);
		if (what == DIALECT_CHUNK)
			dialect_key(r->p->ctx, it->name, &n, &k);
	}
	if (what == DIALECT_CHUNK &&
	    (!select_match(r->sel, &k, it->name, it->size, it->mtime_ns / 1000000000) ||
	    (r->sel->not_class && it->class && !strcmp(r->sel->not_class, it->class))))
		return 0;
	brought = what == DIALECT_CHUNK && r->p->native && it->head &&
		catalog_parse(&head, &k, it) == 0;
	pthread_mutex_lock(&r->lock);
	if (what == DIALECT_CHUNK) {
		rc = add_row(r, it, &k, r->p->native ? NULL : &n, brought ? &head : NULL, e);
	} else if (what == DIALECT_FOREIGN) {
		r->c->foreign++;
		r->c->foreign_bytes += it->size;
	} else if (what == DIALECT_LITTER) {
		r->c->litter++;
	}
	if (what != DIALECT_CHUNK && r->sel->other)
		rc = r->sel->other(r->sel->other_ctx, what, it, e);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static int
add_prefix(struct reading *r, const char *prefix, struct err *e)
{
	if (buf_add(&r->prefixes, prefix, strlen(prefix) + 1) < 0)
		return no_memory(e);
	r->n_prefixes++;
	return 0;
}

/* The group a directory "MODEL/DTYPE-.../" stands for: can anything below be selected? */
static int
dir_selected(const struct reading *r, const char *dir)
{
	char name[2200];
	struct key k;

	/* any hash will do to read the rest of the name */
	snprintf(name, sizeof(name), "%s00/%064d.kv.safetensors", dir, 0);
	return key_parse_name(&k, name, NULL) < 0 ||
		(select_group(r->sel, &k) && (r->sel->rank < 0 || r->sel->rank == (int64_t)k.rank));
}

/* Prefixes to list below one directory of a group. */
static int
shard_dir(struct reading *r, const char *dir, struct err *e)
{
	const struct select *s = r->sel;
	int file = !strcmp(store_scheme(r->p->store), "file") ||
		!strcmp(store_scheme(r->p->store), "shm");
	char prefix[2200];
	size_t i;

	for (i = 0; i < s->n_prefixes; i++) {
		snprintf(prefix, sizeof(prefix), "%s%.2s/%s", dir, s->prefixes[i], s->prefixes[i]);
		if (add_prefix(r, prefix, e) < 0)
			return -1;
	}
	if (s->n_prefixes)
		return 0;
	for (i = 0; i < (file ? 256 : 16); i++) {
		snprintf(prefix, sizeof(prefix), file ? "%s%02x/" : "%s%x", dir, (unsigned)i);
		if (add_prefix(r, prefix, e) < 0)
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
	return buf_add(&d->names, it->name, strlen(it->name) + 1) < 0 ? no_memory(e) : 0;
}

/* Two levels of directories give the groups; what lies beside them is taken along. */
static int
find_prefixes(struct reading *r, struct err *e)
{
	struct dirs models = { .r = r }, groups = { .r = r };
	struct store *s = r->p->store;
	const char *d;
	int rc = -1;
	size_t i;

	if (store_list(s, "", STORE_LIST_DIRS, note_dir, &models, e) < 0)
		goto done;
	for (i = 0, d = models.names.p; i < models.n; i++, d += strlen(d) + 1)
		if (store_list(s, d, STORE_LIST_DIRS, note_dir, &groups, e) < 0)
			goto done;
	for (i = 0, d = groups.names.p; i < groups.n; i++, d += strlen(d) + 1)
		if (dir_selected(r, d) && shard_dir(r, d, e) < 0)
			goto done;
	rc = 0;
done:
	buf_free(&models.names);
	buf_free(&groups.names);
	return rc;
}

static int
list_one(void *ctx, size_t i, struct err *e)
{
	struct reading *r = ctx;
	const char *prefix = ((const char **)(void *)r->prefixes.p)[i];

	return store_list(r->p->store, prefix, r->sel->heads ? STORE_LIST_HEADS : 0, add_item, r,
		e);
}

/* Offsets of the texts, in place of them: par_each wants the i-th at once. */
static int
list_all(struct reading *r, unsigned jobs, struct err *e)
{
	struct buf texts = r->prefixes, index = { 0 };
	const char *p = texts.p;
	size_t i;
	int rc;

	for (i = 0; i < r->n_prefixes; i++, p += strlen(p) + 1)
		buf_add(&index, &p, sizeof(p));
	r->prefixes = index;
	rc = index.fail ? no_memory(e) : par_each(r->n_prefixes, jobs, list_one, r, e);
	buf_free(&index);
	r->prefixes = texts;
	return rc;
}

/* Only groups' names decide their order: rank them once, then compare numbers. */
static int
group_cmp(const void *a, const void *b, void *ctx)
{
	const struct cat_group *v = ctx, *x = &v[*(const uint32_t *)a],
		*y = &v[*(const uint32_t *)b];
	int c = strcmp(x->model, y->model);

	if (!c)
		c = strcmp(x->dtype, y->dtype);
	if (!c)
		c = (x->tp > y->tp) - (x->tp < y->tp);
	if (!c)
		c = (x->group > y->group) - (x->group < y->group);
	if (!c)
		c = strcmp(x->salt, y->salt);
	return c ? c : strcmp(x->algo, y->algo);
}

static int
row_cmp(const void *a, const void *b)
{
	const struct cat_row *x = a, *y = b;
	int c = (x->group > y->group) - (x->group < y->group);

	if (!c)
		c = key_hash_cmp(&x->hash, &y->hash);
	if (!c)
		c = (x->rank > y->rank) - (x->rank < y->rank);
	if (!c)
		c = (x->layer > y->layer) - (x->layer < y->layer);
	return c ? c : (x->tier > y->tier) - (x->tier < y->tier);
}

static int
sort_all(struct catalog *c, struct err *e)
{
	uint32_t *order = malloc((c->n_groups + 1) * 2 * sizeof(*order));
	uint32_t *place = order + c->n_groups + 1;
	struct cat_group *sorted = malloc((c->n_groups + 1) * sizeof(*sorted));
	size_t i;

	if (!order || !sorted) {
		free(order);
		free(sorted);
		return no_memory(e);
	}
	for (i = 0; i < c->n_groups; i++)
		order[i] = (uint32_t)i;
	if (c->n_groups)
		qsort_r(order, c->n_groups, sizeof(*order), group_cmp, c->groups);
	for (i = 0; i < c->n_groups; i++) {
		sorted[i] = c->groups[order[i]];
		place[order[i]] = (uint32_t)i;
	}
	for (i = 0; i < c->n; i++)
		c->rows[i].group = place[c->rows[i].group];
	free(c->groups);
	free(order);
	c->groups = sorted;
	if (c->n)
		qsort(c->rows, c->n, sizeof(*c->rows), row_cmp);
	return 0;
}

int
catalog_read(struct catalog *c, struct place *p, const struct select *s, unsigned jobs,
	struct err *e)
{
	struct reading r = { .c = c, .p = p, .sel = s };
	const char *scheme = store_scheme(p->store);
	int rc;

	memset(c, 0, sizeof(*c));
	pthread_mutex_init(&r.lock, NULL);
	if (p->native && (!strcmp(scheme, "file") || !strcmp(scheme, "shm") ||
	    !strcmp(scheme, "s3"))) {
		rc = find_prefixes(&r, e);
		if (rc == 0)
			rc = list_all(&r, jobs ? jobs : store_jobs(p->store), e);
	} else {
		rc = store_list(p->store, "", 0, add_item, &r, e);
	}
	buf_free(&r.prefixes);
	pthread_mutex_destroy(&r.lock);
	if (rc == 0)
		rc = sort_all(c, e);
	if (rc < 0)
		catalog_free(c);
	return rc;
}

/* Append one catalog's groups and rows to another's; their numbers and offsets move. */
static int
append(struct catalog *to, const struct catalog *from, uint8_t tier, struct err *e)
{
	size_t n_groups = to->n_groups + from->n_groups, n = to->n + from->n, i;
	struct cat_group *g = realloc(to->groups, (n_groups + 1) * sizeof(*g));
	struct cat_row *r = realloc(to->rows, (n + 1) * sizeof(*r));
	uint32_t names = (uint32_t)to->names.len;

	if (g)
		to->groups = g;
	if (r)
		to->rows = r;
	if (!g || !r || buf_add(&to->names, from->names.p, from->names.len) < 0)
		return no_memory(e);
	for (i = 0; i < from->n_groups; i++)
		g[to->n_groups + i] = from->groups[i];
	for (i = 0; i < from->n; i++) {
		struct cat_row *row = &r[to->n + i];

		*row = from->rows[i];
		row->group += (uint32_t)to->n_groups;
		row->tier = tier;
		row->brought = 0;	/* merged catalogs read their headers */
		if (row->name != CAT_NATIVE)
			row->name += names;
	}
	to->n_groups = n_groups;
	to->n = n;
	to->bytes += from->bytes;
	to->foreign += from->foreign;
	to->foreign_bytes += from->foreign_bytes;
	to->litter += from->litter;
	return 0;
}

/* Groups that are the same get one number. */
static void
unite_groups(struct catalog *c)
{
	size_t i, k, row;

	for (i = 0; i < c->n_groups; i++) {
		for (k = 0; k < i; k++) {
			uint32_t a = (uint32_t)i, b = (uint32_t)k;

			if (group_cmp(&a, &b, c->groups) != 0)
				continue;
			for (row = 0; row < c->n; row++)
				if (c->rows[row].group == i)
					c->rows[row].group = (uint32_t)k;
			break;
		}
	}
}

int
catalog_merge(struct catalog *out, struct catalog *v, size_t n, struct err *e)
{
	size_t i;
	int rc = 0;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < n; i++) {
		if (rc == 0)
			rc = append(out, &v[i], (uint8_t)i, e);
		catalog_free(&v[i]);
	}
	if (rc == 0) {
		unite_groups(out);
		rc = sort_all(out, e);
	}
	if (rc < 0)
		catalog_free(out);
	return rc;
}

int
catalog_is_copy(const struct catalog *c, size_t i)
{
	const struct cat_row *a = &c->rows[i], *b = a - 1;

	return i > 0 && a->tier != b->tier && a->group == b->group && a->rank == b->rank &&
		a->layer == b->layer && !key_hash_cmp(&a->hash, &b->hash);
}

void
catalog_free(struct catalog *c)
{
	free(c->groups);
	free(c->rows);
	free(c->brought);
	buf_free(&c->names);
	memset(c, 0, sizeof(*c));
}

void
catalog_key(const struct catalog *c, const struct cat_row *r, struct key *out)
{
	const struct cat_group *g = &c->groups[r->group];

	memset(out, 0, sizeof(*out));
	strcpy(out->model, g->model);
	strcpy(out->salt, g->salt);
	strcpy(out->dtype, g->dtype);
	out->tp = g->tp;
	out->group = g->group;
	out->rank = r->rank;
	out->hash = r->hash;
}

int
catalog_name(const struct catalog *c, const struct cat_row *r, struct buf *out)
{
	struct key k;

	if (r->name != CAT_NATIVE)
		return buf_str(out, c->names.p + r->name);
	catalog_key(c, r, &k);
	return key_name(out, &k, NULL);
}

size_t
catalog_chunk_end(const struct catalog *c, size_t i)
{
	size_t end = i + 1;

	while (end < c->n && c->rows[end].group == c->rows[i].group &&
	       !key_hash_cmp(&c->rows[end].hash, &c->rows[i].hash))
		end++;
	return end;
}

unsigned
catalog_ranks(const struct catalog *c, size_t i, size_t end)
{
	unsigned n = 1;

	for (i++; i < end; i++)
		n += c->rows[i].rank != c->rows[i - 1].rank;
	return n;
}
