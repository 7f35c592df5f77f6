#include <stdlib.h>
#include <string.h>

#include "base/huge.h"
#include "flow/catalog_impl.h"

int
catalog_no_memory(struct err *e)
{
	return err_set(e, ERR_FAILED, "listing: out of memory");
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

/* Groups in their order, each once; place[i] is where group i went. */
static int
sort_groups(struct catalog *c, uint32_t *place)
{
	struct cat_group *sorted = malloc((c->n_groups + 1) * sizeof(*sorted));
	uint32_t *order = malloc((c->n_groups + 1) * sizeof(*order));
	size_t i, n = 0;

	for (i = 0; order && i < c->n_groups; i++)
		order[i] = (uint32_t)i;
	if (!sorted || !order) {
		free(sorted);
		free(order);
		return -1;
	}
	if (c->n_groups)
		qsort_r(order, c->n_groups, sizeof(*order), group_cmp, c->groups);
	for (i = 0; i < c->n_groups; i++) {
		if (i == 0 || group_cmp(&order[i - 1], &order[i], c->groups) != 0)
			sorted[n++] = c->groups[order[i]];
		place[order[i]] = (uint32_t)n - 1;
	}
	free(order);
	free(c->groups);
	c->groups = sorted;
	c->n_groups = n;
	return 0;
}

int
catalog_sort(struct catalog *c, struct err *e)
{
	uint32_t *place = malloc((c->n_groups + 1) * sizeof(*place));
	size_t i;

	if (!place || sort_groups(c, place) < 0) {
		free(place);
		return catalog_no_memory(e);
	}
	for (i = 0; i < c->n; i++)
		c->rows[i].group = place[c->rows[i].group];
	free(place);
	for (i = 1; i < c->n && row_cmp(&c->rows[i - 1], &c->rows[i]) <= 0;)
		i++;
	if (i < c->n)
		qsort(c->rows, c->n, sizeof(*c->rows), row_cmp);
	return 0;
}

void
catalog_once(struct catalog *c)
{
	struct cat_row *r = c->rows;
	size_t i, n = 0;

	for (i = 0; i < c->n; i++) {
		if (n && r[i].name == CAT_NATIVE && row_cmp(&r[n - 1], &r[i]) == 0)
			c->bytes -= r[i].size;
		else
			r[n++] = r[i];
	}
	c->n = n;
}

/* n of size bytes, in place of the first used ones. NULL: the old ones stay. */
static void *
more_room(void *old, size_t used, size_t n, size_t size)
{
	void *v = huge_malloc((n + 1) * size);

	if (!v)
		return NULL;
	if (used)
		memcpy(v, old, used * size);
	free(old);
	return v;
}

/* Room for what is in n more catalogs. */
static int
grow(struct catalog *c, const struct catalog *v, size_t n)
{
	size_t groups = c->n_groups, rows = c->n, brought = c->n_brought, i;
	struct cat_group *g;
	struct cat_row *r;
	struct cat_head *h;

	for (i = 0; i < n; i++) {
		groups += v[i].n_groups;
		rows += v[i].n;
		brought += v[i].n_brought;
	}
	g = more_room(c->groups, c->n_groups, groups, sizeof(*g));
	c->groups = g ? g : c->groups;
	r = more_room(c->rows, c->n, rows, sizeof(*r));
	c->rows = r ? r : c->rows;
	h = more_room(c->brought, c->n_brought, brought, sizeof(*h));
	c->brought = h ? h : c->brought;
	c->room_brought = h ? brought + 1 : c->room_brought;
	return g && r && h ? 0 : -1;
}

/* The groups, rows, headers and names of one to the end of another that has room; their numbers
 * and offsets move. */
static int
append(struct catalog *to, const struct catalog *from, uint8_t tier)
{
	uint32_t names = (uint32_t)to->names.len;
	struct cat_row *row = to->rows + to->n;
	size_t i;

	if (buf_add(&to->names, from->names.p, from->names.len) < 0)
		return -1;
	for (i = 0; i < from->n_groups; i++)
		to->groups[to->n_groups + i] = from->groups[i];
	for (i = 0; i < from->n_brought; i++)
		to->brought[to->n_brought + i] = from->brought[i];
	for (i = 0; i < from->n; i++, row++) {
		*row = from->rows[i];
		row->group += (uint32_t)to->n_groups;
		row->tier = tier;
		if (row->brought)
			row->brought += (uint32_t)to->n_brought;
		if (row->name != CAT_NATIVE)
			row->name += names;
	}
	to->n_groups += from->n_groups;
	to->n_brought += from->n_brought;
	to->n += from->n;
	to->bytes += from->bytes;
	to->foreign += from->foreign;
	to->foreign_bytes += from->foreign_bytes;
	to->litter += from->litter;
	return 0;
}

int
catalog_join(struct catalog *to, struct catalog *v, size_t n, int tiers, struct err *e)
{
	int rc = grow(to, v, n);
	size_t i;

	for (i = 0; i < n; i++) {
		if (rc == 0)
			rc = append(to, &v[i], tiers ? (uint8_t)i : 0);
		catalog_free(&v[i]);
	}
	return rc < 0 ? catalog_no_memory(e) : 0;
}

int
catalog_merge(struct catalog *out, struct catalog *v, size_t n, struct err *e)
{
	memset(out, 0, sizeof(*out));
	if (catalog_join(out, v, n, 1, e) == 0 && catalog_sort(out, e) == 0)
		return 0;
	catalog_free(out);
	return -1;
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
