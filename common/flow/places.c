#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flow/flow.h"

/* ---- from a place ---- */

struct place_source {
	struct source base;	/* first */
	struct place *p;
	const struct catalog *c;
	const size_t *order;
	size_t n, at;
};

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

static int
place_next(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct place_source *x = (struct place_source *)s;
	size_t n;

	if (x->at == x->n)
		return 0;
	n = item_rows(x, x->at);
	it->index = x->at;
	x->at += n;
	/* Rounded up to whole pages, for O_DIRECT; header room for other dialects. */
	return pool_get(pool, it->ticket, x->c->rows[x->order[it->index]].size + 2 * CHUNK_ALIGN,
		&it->chunk.mem, e) < 0 ? -1 : 1;
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
load_native(struct place_source *x, const char *name, struct pool *pool, struct flow_item *it,
	struct err *e)
{
	const struct cat_row *row = &x->c->rows[x->order[it->index]];
	struct hashing h = { .b = &it->chunk.mem };
	struct store_get g = { .pool = pool, .out = &it->chunk.mem, .seen = hash_seen, .ctx = &h };
	int rc = -1;

	h.sum = digest_xxh3_new(e);
	if (!h.sum)
		return -1;
	if (store_get(x->p->store, name, 0, UINT64_MAX, &g, e) < 0)
		goto free_sum;
	if (chunk_open(&it->chunk, e) < 0 || check_sum(&it->chunk, &h, e) < 0)
		goto free_sum;
	rc = 0;
	if (it->chunk.head.kind != CHUNK_DATA ||
	    key_hash_cmp(&it->chunk.head.key.hash, &row->hash) ||
	    it->chunk.head.key.rank != row->rank)
		rc = err_set(e, ERR_CORRUPT, "holds another chunk than its name says");
free_sum:
	digest_xxh3_free(h.sum);
	return rc;
}

static int
read_part(struct place_source *x, struct pool *pool, struct dialect_part *part, struct err *e)
{
	struct store_get g = { .pool = pool, .out = &part->mem };

	part->mem.len = part->front;
	return store_get(x->p->store, part->name, 0, UINT64_MAX, &g, e);
}

/* Objects of other engines: one a chunk, one a layer, or with a twin. */
static int
load_foreign(struct place_source *x, struct pool *pool, struct flow_item *it, struct err *e)
{
	size_t n = item_rows(x, it->index), i, got = 0;
	struct dialect_part *parts = calloc(n + 1, sizeof(*parts));
	struct buf twin = { 0 };
	int needed = 0, rc = -1;

	if (!parts)
		return err_set(e, ERR_FAILED, "out of memory");
	for (i = 0; i < n; i++, got++) {
		const struct cat_row *row = &x->c->rows[x->order[it->index + i]];
		struct dialect_part *part = &parts[i];

		part->name = x->c->names.p + row->name;
		dialect_name(x->p->dialect, part->name, row->size, &part->n);
		part->front = dialect_front(&part->n, row->size);
		if (i == 0) {
			part->mem = it->chunk.mem;
			memset(&it->chunk.mem, 0, sizeof(it->chunk.mem));
		} else if (pool_extra(pool, row->size + 2 * CHUNK_ALIGN, &part->mem, e) < 0) {
			goto free_parts;
		}
		if (read_part(x, pool, part, e) < 0)
			goto free_parts;
	}
	if (dialect_twin(&parts[0].n, parts[0].name, &twin, &needed) && needed && buf_text(&twin)) {
		parts[got].name = twin.p;
		dialect_name(x->p->dialect, twin.p, UINT64_MAX, &parts[got].n);
		if (pool_extra(pool, 2 * CHUNK_ALIGN, &parts[got].mem, e) < 0 ||
		    read_part(x, pool, &parts[got], e) < 0) {
			got++;
			goto free_parts;
		}
		got++;
	}
	rc = dialect_read(x->p->ctx, parts, got, pool, &it->chunk, e);
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
place_load(struct source *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct place_source *x = (struct place_source *)s;
	struct buf name = { 0 };
	int rc;

	if (catalog_name(x->c, &x->c->rows[x->order[it->index]], &name) < 0 || !buf_text(&name)) {
		buf_free(&name);
		return err_set(e, ERR_FAILED, "out of memory");
	}
	rc = x->p->native ? load_native(x, name.p, pool, it, e) : load_foreign(x, pool, it, e);
	if (rc == 0)
		store_touch(x->p->store, name.p);
	else
		err_in(e, "%s: '%.200s'", store_url(x->p->store), name.p);
	buf_free(&name);
	return rc;
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
	size_t n, struct err *e)
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
	x->n = n;
	x->base.chunks = n;
	for (i = 0; i < n; i++)
		x->base.bytes += c->rows[order[i]].size;
	*out = &x->base;
	return 0;
}

/* ---- into a place ---- */

struct place_sink {
	struct sink base;	/* first */
	struct place *p;
	struct place_put how;
};

static double
ttl_of(const struct place_sink *x, const struct chunk_head *h)
{
	double left = h->expires ? (double)(h->expires - clock_now()) : 0;

	if (h->expires && left < 1)
		left = 1;
	return x->how.ttl_s > 0 && (left == 0 || x->how.ttl_s < left) ? x->how.ttl_s : left;
}

/* 1 or 0, as a put would return; replacing puts in any case. */
static int
is_there(const struct place_sink *x, const char *name, struct err *e)
{
	struct store_item item;

	if (x->how.replace)
		return 0;
	if (store_stat(x->p->store, name, &item, e) == 0)
		return 1;
	return e->kind == ERR_ABSENT ? 0 : -1;
}

static int
put_native(struct place_sink *x, struct flow_item *it, struct err *e)
{
	struct iovec v = { it->chunk.mem.p, it->chunk.mem.len };
	struct store_put how = { !x->how.replace, ttl_of(x, &it->chunk.head) };
	struct buf name = { 0 };
	int rc = key_name(&name, &it->chunk.head.key, e);

	if (rc == 0 && !buf_text(&name))
		rc = err_set(e, ERR_FAILED, "out of memory");
	if (rc == 0 && x->how.dry) {
		rc = is_there(x, name.p, e);
	} else if (rc == 0) {
		rc = store_put(x->p->store, name.p, &v, 1, &how, e);
		if (rc < 0)
			err_in(e, "%s", store_url(x->p->store));
	}
	buf_free(&name);
	return rc;
}

static int
put_foreign(struct place_sink *x, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct store_put how = { !x->how.replace, ttl_of(x, &it->chunk.head) };
	struct store_put once = { 1, how.ttl_s };
	struct dialect_out out = { 0 };
	int rc = dialect_takes(x->p->ctx, &it->chunk.head, e), had = 1;
	size_t i;

	if (rc == 0)
		rc = dialect_write(x->p->ctx, &it->chunk, pool, &out, e);
	for (i = 0; rc >= 0 && i < out.n; i++) {
		const struct dialect_object *o = &out.obj[i];

		rc = x->how.dry ? is_there(x, o->name, e) : store_put(x->p->store, o->name, o->iov,
			o->n_iov, o->once ? &once : &how, e);
		had = had && rc == 1;
	}
	dialect_out_free(&out, pool);
	if (rc < 0)
		err_in(e, "%s", store_url(x->p->store));
	return rc < 0 ? -1 : had;
}

static int
place_put(struct sink *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct place_sink *x = (struct place_sink *)s;

	return x->p->native ? put_native(x, it, e) : put_foreign(x, pool, it, e);
}

static int
place_sink_close(struct sink *s, const struct err *why, struct err *e)
{
	(void)why, (void)e;
	free(s);
	return 0;
}

int
sink_place(struct sink **out, struct place *p, const struct place_put *how, struct err *e)
{
	static const struct sink_ops ops = { .put = place_put, .close = place_sink_close };
	struct place_sink *x = calloc(1, sizeof(*x));

	*out = NULL;
	if (!x)
		return err_set(e, ERR_FAILED, "out of memory");
	x->base.ops = &ops;
	x->p = p;
	x->how = *how;
	*out = &x->base;
	return 0;
}
