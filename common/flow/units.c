#include <stdlib.h>
#include <string.h>

#include "flow/units.h"

/* What makes a class: all of a group but the number of the group of layers. */
static int
class_cmp(const struct cat_group *x, const struct cat_group *y)
{
	int c = strcmp(x->model, y->model);

	if (!c)
		c = strcmp(x->dtype, y->dtype);
	if (!c)
		c = (x->tp > y->tp) - (x->tp < y->tp);
	if (!c)
		c = strcmp(x->salt, y->salt);
	return c ? c : strcmp(x->algo, y->algo);
}

static int
group_cmp(const void *a, const void *b, void *ctx)
{
	const struct cat_group *v = ctx;

	return class_cmp(&v[*(const uint32_t *)a], &v[*(const uint32_t *)b]);
}

static int
no_memory(struct err *e)
{
	return err_set(e, ERR_FAILED, "listing: out of memory");
}

static int
make_classes(struct units *u, struct err *e)
{
	const struct catalog *c = u->cat;
	uint32_t *order = malloc((c->n_groups + 1) * sizeof(*order));
	size_t i;

	u->class_of = malloc((c->n_groups + 1) * sizeof(*u->class_of));
	u->groups = malloc((c->n_groups + 1) * sizeof(*u->groups));
	if (!order || !u->class_of || !u->groups) {
		free(order);
		return no_memory(e);
	}
	for (i = 0; i < c->n_groups; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, c->n_groups, sizeof(*order), group_cmp, c->groups);
	for (i = 0; i < c->n_groups; i++) {
		if (i == 0 || class_cmp(&c->groups[order[i - 1]], &c->groups[order[i]]))
			u->groups[u->n_classes++] = order[i];
		u->class_of[order[i]] = u->n_classes - 1;
	}
	free(order);
	return 0;
}

static int
same_unit(const struct units *u, const struct cat_row *x, const struct cat_row *y)
{
	return u->class_of[x->group] == u->class_of[y->group] && !key_hash_cmp(&x->hash, &y->hash);
}

static int
row_cmp(const void *a, const void *b, void *ctx)
{
	const struct units *u = ctx;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	const struct cat_row *x = &u->cat->rows[i], *y = &u->cat->rows[k];
	uint32_t p = u->class_of[x->group], q = u->class_of[y->group];
	int c = p < q ? -1 : p > q;

	if (!c)
		c = key_hash_cmp(&x->hash, &y->hash);
	return c ? c : i < k ? -1 : i > k;
}

/* The catalog's order will do, unless a class has several groups of layers. */
static int
sort_rows(struct units *u, struct err *e)
{
	size_t i;

	for (i = 1; i < u->cat->n_groups; i++)
		if (u->class_of[i] <= u->class_of[i - 1])
			break;
	if (i >= u->cat->n_groups)
		return 0;
	u->rows = malloc((u->cat->n + 1) * sizeof(*u->rows));
	if (!u->rows)
		return no_memory(e);
	for (i = 0; i < u->cat->n; i++)
		u->rows[i] = (uint32_t)i;
	qsort_r(u->rows, u->cat->n, sizeof(*u->rows), row_cmp, u);
	return 0;
}

int
units_make(struct units *u, const struct catalog *cat, struct err *e)
{
	uint32_t i, n = (uint32_t)cat->n;

	memset(u, 0, sizeof(*u));
	u->cat = cat;
	if (cat->n >= UNIT_NONE)
		return err_set(e, ERR_FAILED, "listing: more than 4 billion objects");
	if (make_classes(u, e) < 0 || sort_rows(u, e) < 0)
		return -1;
	u->start = malloc(((size_t)n + 1) * sizeof(*u->start));
	if (!u->start)
		return no_memory(e);
	for (i = 0; i < n; i++)
		if (i == 0 || !same_unit(u, units_row(u, i - 1), units_row(u, i)))
			u->start[u->n++] = i;
	u->start[u->n] = n;
	return 0;
}

void
units_free(struct units *u)
{
	free(u->class_of);
	free(u->groups);
	free(u->rows);
	free(u->start);
	memset(u, 0, sizeof(*u));
}

uint32_t
units_find(const struct units *u, uint32_t class, const struct key_hash *h)
{
	uint32_t lo = 0, hi = u->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2, c = units_class(u, mid);

		if (c < class || (c == class && key_hash_cmp(units_hash(u, mid), h) < 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < u->n && units_class(u, lo) == class && !key_hash_cmp(units_hash(u, lo), h) ?
		lo : UNIT_NONE;
}

uint32_t
units_of_key(const struct units *u, const struct key *k, const char *algo)
{
	uint32_t lo = 0, hi = u->n_classes;
	struct cat_group want = { .tp = k->tp };

	strcpy(want.model, k->model);
	strcpy(want.salt, k->salt);
	strcpy(want.dtype, k->dtype);
	strcpy(want.algo, algo);
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (class_cmp(&u->cat->groups[u->groups[mid]], &want) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == u->n_classes || class_cmp(&u->cat->groups[u->groups[lo]], &want))
		return UNIT_NONE;
	return units_find(u, lo, &k->hash);
}

uint32_t
units_of_name(const struct units *u, const struct place *p, const char *name)
{
	struct dialect_name n;
	struct key k;

	if (p->native)
		return key_parse_name(&k, name, NULL) == 0 ? units_of_key(u, &k, "") : UNIT_NONE;
	if (dialect_name(p->dialect, name, UINT64_MAX, &n) != DIALECT_CHUNK)
		return UNIT_NONE;
	dialect_key(p->ctx, name, &n, &k);
	return units_of_key(u, &k, n.algo);
}
