#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flow/flow.h"

struct place_source {
	struct source base;	/* first */
	struct place *p;
	const struct catalog *c;
	const size_t *order;
	size_t n, at;
	int64_t listed_s;		/* what times to live count from */
	_Atomic uint64_t *fallen;	/* counts loads that a lower tier had to serve */
};

/* One try to load an item: its rows, in one of the tiers that hold it. */
struct try {
	struct place *p;
	const struct catalog *c;
	const size_t *rows;	/* of the first tier */
	size_t n;
	size_t below;		/* rows[i] + below is the one to read */
	int64_t listed_s;
	int lend;
};

static const struct cat_row *
try_row(const struct try *t, size_t i)
{
	return &t->c->rows[t->rows[i] + t->below];
}

/* Rows of one item: objects (layers) of one rank of one chunk, from order[at] on. */
static size_t
item_rows(const struct place_source *x, size_t at)
{
	const struct cat_row *r = x->c->rows, *a = &r[x->order[at]];
	size_t end = at + 1;

	while (end < x->n && a->layer >= 0 && r[x->order[end]].rank == a->rank &&
	       r[x->order[end]].group == a->group &&
	       !key_hash_cmp(&r[x->order[end]].hash, &a->hash))
		end++;
	return end - at;
}

/* Are its chunks to stay in their files? */
static int
lends(const struct source *s, const struct place *p)
{
	return s->lend && p->native && place_in_dir(p);
}

static int
place_next(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct place_source *x = (struct place_source *)s;
	const struct cat_row *row;
	size_t n, room;

	if (x->at == x->n)
		return 0;
	n = item_rows(x, x->at);
	it->index = x->at;
	x->at += n;
	row = &x->c->rows[x->order[it->index]];
	/* Rounded up to whole pages, for O_DIRECT; header room for other dialects. */
	room = lends(s, &x->p[row->tier]) ? CHUNK_HEADER_MAX : row->size + 2 * CHUNK_ALIGN;
	return pool_get(pool, it->ticket, room, &it->chunk.mem, e) < 0 ? -1 : 1;
}

/* Hashing while reading: the payload begins where the header region ends. */
struct hashing {
	struct digest_xxh3 *sum;
	const struct block *b;
	size_t done;		/* bytes of the object hashed or stepped over */
};

static void
hash_seen(void *ctx, const void *p, size_t n)
{
	struct hashing *h = ctx;
	size_t end = (size_t)((const unsigned char *)p - h->b->p) + n;

	if (h->done == 0 && end >= 8)
		h->done = chunk_region(h->b->p, NULL);
	if (h->done && end > h->done) {
		digest_xxh3_add(h->sum, h->b->p + h->done, end - h->done);
		h->done = end;
	}
}

static int
check_sum(const struct chunk *c, const struct hashing *h, struct err *e)
{
	struct digest128 found;

	/* moved or grown meanwhile, or read past the end: do it the plain way */
	if (h->done != c->mem.len)
		return chunk_verify(c, e);
	digest_xxh3_end(h->sum, &found);
	return digest_equal(&found, &c->head.digest) ? 0 : chunk_verify(c, e);
}

static int
load_kept(const struct try *t, const char *name, struct pool *pool, struct chunk *c,
	struct err *e)
{
	struct hashing h = { .b = &c->mem };
	struct store_get g = { .pool = pool, .out = &c->mem, .seen = hash_seen, .ctx = &h };
	int rc;

	h.sum = digest_xxh3_new(e);
	if (!h.sum)
		return -1;
	c->mem.len = 0;
	rc = store_get(t->p->store, name, 0, UINT64_MAX, &g, e);
	if (rc == 0)
		rc = chunk_open(c, e);
	if (rc == 0)
		rc = check_sum(c, &h, e);
	digest_xxh3_free(h.sum);
	return rc;
}

static int
load_lent(const struct try *t, const char *name, struct chunk *c, struct err *e)
{
	int fd = store_fd(t->p->store, name, e);

	return fd < 0 ? -1 : chunk_open_file(c, fd, e);
}

static int
load_native(const struct try *t, const char *name, struct pool *pool, struct flow_item *it,
	struct err *e)
{
	struct chunk *c = &it->chunk;
	struct key named;

	if ((t->lend ? load_lent(t, name, c, e) : load_kept(t, name, pool, c, e)) < 0)
		return -1;
	catalog_key(t->c, try_row(t, 0), &named);
	if (c->head.kind != CHUNK_DATA || key_cmp(&c->head.key, &named) != 0)
		return err_set(e, ERR_CORRUPT, "holds another chunk than its name says");
	return 0;
}

static int
read_part(const struct try *t, struct pool *pool, struct dialect_part *part, struct err *e)
{
	struct store_get g = { .pool = pool, .out = &part->mem };

	part->mem.len = part->front;
	return store_get(t->p->store, part->name, 0, UINT64_MAX, &g, e);
}

/* Objects of other engines: one a chunk, one a layer, or with a twin. */
static int
load_foreign(const struct try *t, struct pool *pool, struct flow_item *it, struct err *e)
{
	size_t n = t->n, i, got = 0;
	struct dialect_part *parts = calloc(n + 1, sizeof(*parts));
	struct buf twin = { 0 };
	int needed = 0, rc = -1;

	if (!parts)
		return err_set(e, ERR_FAILED, "out of memory");
	for (i = 0; i < n; i++, got++) {
		const struct cat_row *row = try_row(t, i);
		struct dialect_part *part = &parts[i];

		part->name = t->c->names.p + row->name;
		dialect_name(t->p->dialect, part->name, row->size, &part->n);
		part->front = dialect_front(&part->n, row->size);
		if (i == 0) {
			part->mem = it->chunk.mem;
			memset(&it->chunk.mem, 0, sizeof(it->chunk.mem));
		}
		if (!part->mem.p &&
		    pool_extra(pool, row->size + 2 * CHUNK_ALIGN, &part->mem, e) < 0)
			goto free_parts;
		if (read_part(t, pool, part, e) < 0)
			goto free_parts;
	}
	if (dialect_twin(&parts[0].n, parts[0].name, &twin, &needed) && needed && buf_text(&twin)) {
		parts[got].name = twin.p;
		dialect_name(t->p->dialect, twin.p, UINT64_MAX, &parts[got].n);
		if (pool_extra(pool, 2 * CHUNK_ALIGN, &parts[got].mem, e) < 0 ||
		    read_part(t, pool, &parts[got], e) < 0) {
			got++;
			goto free_parts;
		}
		got++;
	}
	rc = dialect_read(t->p->ctx, parts, got, pool, &it->chunk, e);
	if (rc == 0 && try_row(t, 0)->ttl_s >= 0)	/* only the store knows that */
		it->chunk.head.expires = t->listed_s + (int64_t)try_row(t, 0)->ttl_s;
	if (rc == 0)
		rc = chunk_seal(&it->chunk, pool, e);
free_parts:
	for (i = 0; i < n + 1; i++)
		pool_put(pool, &parts[i].mem);
	buf_free(&twin);
	free(parts);
	return rc;
}

static int
load_once(const struct try *t, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct buf name = { 0 };
	int rc;

	if (catalog_name(t->c, try_row(t, 0), &name) < 0 || !buf_text(&name)) {
		buf_free(&name);
		return err_set(e, ERR_FAILED, "out of memory");
	}
	rc = t->p->native ? load_native(t, name.p, pool, it, e) : load_foreign(t, pool, it, e);
	if (rc == 0 && !t->p->quiet)
		store_touch(t->p->store, name.p);
	if (rc == 0 && t->p->index)
		index_note(t->p->index, name.p, 1, 0);
	if (rc < 0)
		err_in(e, "%s: '%.200s'", store_url(t->p->store), name.p);
	buf_free(&name);
	return rc;
}

/* A look costs a way there and back: of a small chunk of a store far away as much as a put that is
 * refused. */
#define WORTH_A_LOOK (1u << 20)

/* Does it lie there, whole by its size? Then that is a use of it, as a put would be. */
static int
lies_in(struct place *p, const struct try *t)
{
	const struct cat_row *row = try_row(t, 0);
	struct buf name = { 0 };
	struct store_item item;
	int has = 0;

	if (!p || (!place_in_dir(p) && row->size < WORTH_A_LOOK))
		return 0;
	if (catalog_name(t->c, row, &name) == 0 && buf_text(&name) &&
	    store_stat(p->store, name.p, &item, NULL) == 0 && item.size == row->size) {
		has = 1;
		store_touch(p->store, name.p);
		if (p->index)
			index_note(p->index, name.p, 1, 0);
	}
	buf_free(&name);
	return has;
}

/* From the first tier that has it; what is damaged, gone or out of reach there may be well in
 * the next. The first failure is the one that is told if all fail. */
static int
place_load(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct place_source *x = (struct place_source *)s;
	struct try t = { .c = x->c, .rows = x->order + it->index, .n = item_rows(x, it->index),
		.listed_s = x->listed_s };
	struct err first;
	size_t i;

	t.p = &x->p[try_row(&t, 0)->tier];
	t.lend = lends(s, t.p);
	it->had = lies_in(s->unless, &t);
	if (it->had || load_once(&t, pool, it, e) == 0)
		return 0;
	first = *e;
	while (e->kind != ERR_STOPPED) {
		t.below++;
		for (i = 0; i < t.n; i++)
			if (t.rows[i] + t.below >= x->c->n ||
			    !catalog_is_copy(x->c, t.rows[i] + t.below))
				goto none;
		t.p = &x->p[try_row(&t, 0)->tier];
		t.lend = lends(s, t.p) && it->chunk.mem.cap >= CHUNK_HEADER_MAX;
		chunk_forget(&it->chunk);
		if (load_once(&t, pool, it, e) == 0) {
			it->heals = first.kind == ERR_CORRUPT;
			if (x->fallen)
				atomic_fetch_add(x->fallen, 1);
			return 0;
		}
	}
none:
	*e = first;
	return -1;
}

static void
place_source_close(struct source *s)
{
	free(s);
}

/* What must be told beforehand is missed here, once, and not by each chunk. */
static int
foreign_ready(const struct place *p, const struct catalog *c, const struct cat_row *r,
	struct err *e)
{
	struct dialect_name n;

	dialect_name(p->dialect, c->names.p + r->name, r->size, &n);
	return dialect_ready(p->ctx, &n, e);
}

int
source_place(struct source **out, struct place *p, const struct catalog *c, const size_t *order,
	size_t n, _Atomic uint64_t *fallen, struct err *e)
{
	static const struct source_ops ops = { place_next, place_load, place_source_close };
	struct place_source *x;
	size_t i;

	*out = NULL;
	if (n && !p->native && foreign_ready(p, c, &c->rows[order[0]], e) < 0)
		return -1;
	x = calloc(1, sizeof(*x));
	if (!x)
		return err_set(e, ERR_FAILED, "out of memory");
	x->base.ops = &ops;
	x->p = p;
	x->c = c;
	x->order = order;
	x->fallen = fallen;
	x->n = n;
	x->listed_s = clock_now();
	x->base.chunks = n;
	for (i = 0; i < n; i++)
		x->base.bytes += c->rows[order[i]].size;
	*out = &x->base;
	return 0;
}
