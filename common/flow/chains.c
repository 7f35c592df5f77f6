#include <stdlib.h>
#include <string.h>

#include "base/par.h"
#include "flow/catalog_impl.h"

struct heads {
	const struct catalog *c;
	struct place *p;
	struct cat_head *v;
};

#define BATCH 64	/* headers a job reads with one buffer */

static void
fill(struct cat_head *out, const struct chunk_head *h, const struct key *named, uint64_t size)
{
	out->parent = h->parent;
	out->first_token = h->first_token;
	out->tokens = (uint32_t)h->tokens;
	out->chunk_tokens = (uint32_t)h->chunk_tokens;
	out->created = h->created;
	out->expires = h->expires;
	out->priority = h->priority;
	out->coded = *h->codec != 0;
	if (key_cmp(&h->key, named) != 0 || h->region + h->payload != size)
		out->state = ERR_CORRUPT;
}

int
catalog_parse(struct cat_head *out, const struct key *k, const struct store_item *it)
{
	struct chunk_head head;

	if (it->n_head < CHUNK_ALIGN || chunk_region(it->head, NULL) != CHUNK_ALIGN)
		return -1;
	memset(out, 0, sizeof(*out));
	out->first_token = CHUNK_UNKNOWN;
	if (chunk_head_parse(&head, it->head, CHUNK_ALIGN, NULL) < 0)
		out->state = ERR_CORRUPT;
	else
		fill(out, &head, k, it->size);
	chunk_head_free(&head);
	return 0;
}

uint32_t
catalog_bring(struct catalog *c, const struct cat_head *h)
{
	size_t room = c->room_brought ? 2 * c->room_brought : 1024;
	struct cat_head *v;

	if (c->n_brought == c->room_brought) {
		v = realloc(c->brought, room * sizeof(*v));
		if (!v)
			return 0;
		c->brought = v;
		c->room_brought = room;
	}
	c->brought[c->n_brought++] = *h;
	return (uint32_t)c->n_brought;
}

static int
read_one(struct heads *h, size_t i, struct block *b, struct buf *name, struct err *e)
{
	struct place *place = &h->p[h->c->rows[i].tier];
	struct chunk_head head;
	struct key named;

	name->len = 0;
	if (catalog_name(h->c, &h->c->rows[i], name) < 0 || !buf_text(name))
		return err_set(e, ERR_FAILED, "out of memory");
	if (!place->native)
		return 0;
	if (place_head(place, name->p, b, &head, NULL, e) < 0)
		return -1;
	catalog_key(h->c, &h->c->rows[i], &named);
	fill(&h->v[i], &head, &named, h->c->rows[i].size);
	chunk_head_free(&head);
	return 0;
}

static int
read_batch(void *ctx, size_t batch, struct err *e)
{
	struct heads *h = ctx;
	size_t i = batch * BATCH, end = i + BATCH < h->c->n ? i + BATCH : h->c->n;
	struct block b = { .cap = CHUNK_HEADER_MAX };
	struct buf name = { 0 };
	int rc = 0;

	b.p = aligned_alloc(CHUNK_ALIGN, b.cap);	/* touched as far as it is used */
	if (!b.p)
		return err_set(e, ERR_FAILED, "out of memory");
	for (; i < end && rc == 0; i++) {
		struct err why;

		if (h->c->rows[i].brought && h->c->n_brought) {
			h->v[i] = h->c->brought[h->c->rows[i].brought - 1];
			continue;
		}
		if (read_one(h, i, &b, &name, &why) == 0)
			continue;
		h->v[i].state = (unsigned char)why.kind;
		/* bad data and vanished objects are states; an unreachable store is the end */
		if (why.kind != ERR_CORRUPT && why.kind != ERR_ABSENT && !err_is_local(&why)) {
			if (e)
				*e = why;
			rc = -1;
		}
	}
	free(b.p);
	buf_free(&name);
	return rc;
}

int
catalog_heads(struct catalog *c, struct place *p, unsigned jobs, struct cat_head **heads,
	struct err *e)
{
	struct heads h = { .c = c, .p = p };
	size_t i;

	*heads = NULL;
	for (i = 0; i < c->n && i < c->n_brought && c->rows[i].brought == i + 1;)
		i++;
	if (c->n && i == c->n) {	/* as a listing of a directory brings them */
		*heads = c->brought;
		c->brought = NULL;
		c->n_brought = c->room_brought = 0;
		return 0;
	}
	h.v = calloc(c->n + 1, sizeof(*h.v));
	if (!h.v)
		return err_set(e, ERR_FAILED, "out of memory");
	for (i = 0; i < c->n; i++)
		h.v[i].first_token = CHUNK_UNKNOWN;
	if (par_each((c->n + BATCH - 1) / BATCH, jobs ? jobs : store_jobs(p->store),
	    read_batch, &h, e) < 0) {
		free(h.v);
		return -1;
	}
	*heads = h.v;
	return 0;
}

size_t
catalog_find(const struct catalog *c, uint32_t group, const struct key_hash *h)
{
	size_t lo = 0, hi = c->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct cat_row *r = &c->rows[mid];

		if (r->group < group || (r->group == group && key_hash_cmp(&r->hash, h) < 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->n && c->rows[lo].group == group && !key_hash_cmp(&c->rows[lo].hash, h) ?
		lo : SIZE_MAX;
}

/* The chunks (first rows of runs of ranks), as a forest over parents in the same group. */
struct forest {
	const struct catalog *c;
	const struct cat_head *heads;
	size_t *first_child, *next;	/* by row; SIZE_MAX: none */
	size_t *order, n;
};

static void
emit(struct forest *f, size_t row)
{
	size_t end = catalog_chunk_end(f->c, row);

	for (; row < end; row++)
		if (!catalog_is_copy(f->c, row))
			f->order[f->n++] = row;
}

/* Depth first without recursion: chains are long. A loop of parents, which only damaged or
 * forged headers can make, is never reached from a root; its rows follow at the end. */
static void
walk(struct forest *f, size_t root, size_t *stack, unsigned char *done)
{
	size_t n = 0;

	stack[n++] = root;
	while (n > 0) {
		size_t row = stack[--n], child;

		if (done[row])
			continue;
		done[row] = 1;
		emit(f, row);
		for (child = f->first_child[row]; child != SIZE_MAX; child = f->next[child])
			stack[n++] = child;
	}
}

static void
link_parents(struct forest *f, unsigned char *is_child)
{
	const struct catalog *c = f->c;
	size_t i, end, parent, told;

	for (i = 0; i < c->n; i++)
		f->first_child[i] = f->next[i] = SIZE_MAX;
	for (i = 0; i < c->n; i = end) {
		end = catalog_chunk_end(c, i);
		/* any rank, and any copy, tells the same */
		for (told = i; told + 1 < end && f->heads[told].state;)
			told++;
		if (!f->heads[told].parent.len)
			continue;
		parent = catalog_find(c, c->rows[i].group, &f->heads[told].parent);
		if (parent == SIZE_MAX || parent == i)
			continue;
		/* pushed in ascending order, popped in descending: put in front, so that the
		 * smallest hash comes out first */
		f->next[i] = f->first_child[parent];
		f->first_child[parent] = i;
		is_child[i] = 1;
	}
}

static int
rows_order(const struct catalog *c, size_t **order, struct err *e)
{
	size_t *v = malloc((c->n + 1) * sizeof(*v)), n = 0, i;

	if (!v)
		return err_set(e, ERR_FAILED, "out of memory");
	for (i = 0; i < c->n; i++)
		if (!catalog_is_copy(c, i))
			v[n++] = i;
	*order = v;
	return 0;
}

static int
chains_order(const struct catalog *c, const struct cat_head *heads, size_t **order,
	struct err *e)
{
	struct forest f = { .c = c, .heads = heads };
	unsigned char *marks = calloc(2 * c->n + 1, 1), *done = marks ? marks + c->n : NULL;
	size_t *work = malloc((3 * c->n + 1) * sizeof(*work)), i;

	f.order = malloc((c->n + 1) * sizeof(*f.order));
	if (!marks || !work || !f.order) {
		free(marks);
		free(work);
		free(f.order);
		return err_set(e, ERR_FAILED, "out of memory");
	}
	f.first_child = work;
	f.next = work + c->n;
	link_parents(&f, marks);
	for (i = 0; i < c->n; i = catalog_chunk_end(c, i))
		if (!marks[i])
			walk(&f, i, work + 2 * c->n, done);
	for (i = 0; i < c->n; i = catalog_chunk_end(c, i))
		if (!done[i])
			walk(&f, i, work + 2 * c->n, done);
	free(marks);
	free(work);
	*order = f.order;
	return 0;
}

int
catalog_chains(const struct catalog *c, const struct cat_head *heads, size_t **order,
	struct err *e)
{
	return heads ? chains_order(c, heads, order, e) : rows_order(c, order, e);
}

static void
reverse(size_t *v, size_t n)
{
	size_t i, t;

	for (i = 0; i < n / 2; i++) {
		t = v[i];
		v[i] = v[n - 1 - i];
		v[n - 1 - i] = t;
	}
}

/* The first header of rows [row, end) that can be read: of another rank, or a copy in a lower
 * tier, if need be. Its row, or SIZE_MAX with what is wrong with the first. */
static size_t
read_first(struct heads *h, size_t row, size_t end, struct block *b, struct buf *name,
	struct err *e)
{
	struct err why;
	size_t i;

	for (i = row; i < end; i++) {
		if (read_one(h, i, b, name, &why) == 0)
			return i;
		err_in(&why, "%s: '%.200s'", store_url(h->p[h->c->rows[i].tier].store),
			name->p ? name->p : "");
		if (i == row)
			*e = why;
	}
	return SIZE_MAX;
}

/* From the head towards the root, so the order is made backwards. */
static int
climb(struct heads *h, size_t row, struct buf *order, struct key_hash *missing, struct err *e)
{
	const struct catalog *c = h->c;
	struct block b = { .cap = CHUNK_HEADER_MAX };
	struct buf name = { 0 };
	size_t steps = 0, i, end, told;
	int rc = 0;

	b.p = aligned_alloc(CHUNK_ALIGN, b.cap);
	if (!b.p)
		return err_set(e, ERR_FAILED, "out of memory");
	while (rc == 0 && row != SIZE_MAX) {
		end = catalog_chunk_end(c, row);
		for (i = end; i-- > row;)
			if (!catalog_is_copy(c, i))
				buf_add(order, &i, sizeof(i));
		told = read_first(h, row, end, &b, &name, e);
		rc = told == SIZE_MAX ? -1 : 0;
		if (rc < 0 || !h->v[told].parent.len)
			break;
		if (++steps > c->n)
			rc = err_set(e, ERR_CORRUPT, "chain: its parents form a loop");
		i = catalog_find(c, c->rows[row].group, &h->v[told].parent);
		if (i == SIZE_MAX)
			*missing = h->v[told].parent;
		row = i;
	}
	buf_free(&name);
	free(b.p);
	return rc;
}

int
catalog_chain(const struct catalog *c, struct place *p, size_t head, size_t **order, size_t *n,
	struct key_hash *missing, struct err *e)
{
	struct heads h = { .c = c, .p = p, .v = calloc(c->n + 1, sizeof(*h.v)) };
	struct buf rows = { 0 };
	int rc = h.v ? climb(&h, head, &rows, missing, e) :
		err_set(e, ERR_FAILED, "out of memory");

	free(h.v);
	if (rc == 0 && rows.fail)
		rc = err_set(e, ERR_FAILED, "out of memory");
	if (rc < 0) {
		buf_free(&rows);
		return -1;
	}
	*n = rows.len / sizeof(size_t);
	*order = (size_t *)(void *)rows.p;
	reverse(*order, *n);
	return 0;
}
