#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flow/flow.h"

struct place_sink {
	struct sink base;	/* first */
	struct place *p;
	struct place_put how;
	_Atomic uint64_t taken, chunks;	/* of how.room, how.room_chunks */
};

static double
ttl_of(const struct place_sink *x, const struct chunk_head *h)
{
	double left = h->expires ? (double)(h->expires - clock_now()) : 0;

	if (h->expires && left < 1)
		left = 1;
	return x->how.ttl_s > 0 && (left == 0 || x->how.ttl_s < left) ? x->how.ttl_s : left;
}

static struct store_put
how_to_put(const struct place_sink *x, const struct flow_item *it)
{
	return (struct store_put){ !x->how.replace && !it->heals, ttl_of(x, &it->chunk.head) };
}

/* 1 or 0, as such a put would return. */
static int
is_there(const struct place_sink *x, const char *name, const struct store_put *how,
	struct err *e)
{
	struct store_item item;

	if (!how->excl)
		return 0;
	if (store_stat(x->p->store, name, &item, e) == 0)
		return 1;
	return e->kind == ERR_ABSENT ? 0 : -1;
}

/* What the index should know of an object that was stored. */
static void
note(const struct place_sink *x, const char *name, uint64_t size, const struct chunk_head *h)
{
	char hash[KEY_HEX], parent[KEY_HEX];
	double ttl_s = ttl_of(x, h);
	struct index_entry n = { .name = name, .size = size, .created_s = clock_now(),
		.hash = key_hash_hex(hash, &h->key.hash), .parent = "", .tenant = h->key.salt,
		.cost = h->cost, .priority = (int32_t)h->priority };

	if (!x->p->index)
		return;
	if (ttl_s > 0)
		n.expires_s = n.created_s + (int64_t)ttl_s;
	if (h->parent.len)
		n.parent = key_hash_hex(parent, &h->parent);
	else if (h->first_token == 0)
		n.parent = "-";
	if (h->first_token != CHUNK_UNKNOWN && h->chunk_tokens)
		n.depth = (uint32_t)(h->first_token / h->chunk_tokens);
	index_note_put(x->p->index, &n);
}

/* A chunk that was there already is used: whoever puts builds on it. */
static void
note_use(const struct place_sink *x, const char *name)
{
	store_touch(x->p->store, name);
	if (x->p->index)
		index_note(x->p->index, name, 1, 0);
}

/* Is what stands in the way no whole chunk? Of a file its size tells, as a rule; to other stores
 * an object comes at once or not at all. */
static int
is_spoiled(const struct place_sink *x, const char *name, uint64_t size)
{
	struct block b = { .cap = CHUNK_HEADER_MAX };
	struct store_item item;
	struct chunk_head h;
	struct err e;
	int spoiled;

	if (!x->how.looked && (!place_in_dir(x->p) ||
	    (store_stat(x->p->store, name, &item, NULL) == 0 && item.size == size)))
		return 0;
	b.p = malloc(b.cap);
	if (!b.p)
		return 0;
	if (place_head(x->p, name, &b, &h, &size, &e) == 0) {
		spoiled = h.region + h.payload != size;
		chunk_head_free(&h);
	} else {
		spoiled = e.kind == ERR_CORRUPT;
	}
	free(b.p);
	return spoiled;
}

static int
put_native(struct place_sink *x, struct flow_item *it, int dry, struct err *e)
{
	struct iovec v = { it->chunk.mem.p, it->chunk.mem.len };
	struct store_put how = how_to_put(x, it);
	struct buf name = { 0 };
	int rc = key_name(&name, &it->chunk.head.key, e);

	if (rc == 0 && !buf_text(&name))
		rc = err_set(e, ERR_FAILED, "out of memory");
	if (rc == 0 && dry) {
		rc = is_there(x, name.p, &how, e);
	} else if (rc == 0) {
		rc = store_put(x->p->store, name.p, &v, 1, &how, e);
		if (rc == 1 && is_spoiled(x, name.p, v.iov_len)) {
			how.excl = 0;
			rc = store_put(x->p->store, name.p, &v, 1, &how, e);
		}
		if (rc < 0)
			err_in(e, "%s", store_url(x->p->store));
		if (rc == 0)
			note(x, name.p, v.iov_len, &it->chunk.head);
		else if (rc == 1)
			note_use(x, name.p);
	}
	buf_free(&name);
	return rc;
}

static uint64_t
object_size(const struct dialect_object *o)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < o->n_iov; i++)
		sum += o->iov[i].iov_len;
	return sum;
}

static int
put_foreign(struct place_sink *x, struct pool *pool, struct flow_item *it, int dry, struct err *e)
{
	struct store_put how = how_to_put(x, it);
	struct store_put once = { 1, how.ttl_s };
	struct dialect_out out = { 0 };
	struct dialect_name n;
	int rc = dialect_takes(x->p->ctx, &it->chunk.head, e), had = 1;
	size_t i;

	if (rc == 0)
		rc = dialect_write(x->p->ctx, &it->chunk, pool, &out, e);
	for (i = 0; rc >= 0 && i < out.n; i++) {
		const struct dialect_object *o = &out.obj[i];

		rc = dry ? is_there(x, o->name, &how, e) : store_put(x->p->store, o->name, o->iov,
			o->n_iov, o->once ? &once : &how, e);
		had = had && rc == 1;
		if (rc == 0 && !dry && dialect_name(x->p->dialect, o->name, UINT64_MAX,
		    &n) == DIALECT_CHUNK)
			note(x, o->name, object_size(o), &it->chunk.head);
		else if (rc == 1 && !dry)
			note_use(x, o->name);
	}
	dialect_out_free(&out, pool);
	if (rc < 0)
		err_in(e, "%s", store_url(x->p->store));
	return rc < 0 ? -1 : had;
}

static int
put(struct place_sink *x, struct pool *pool, struct flow_item *it, int dry, struct err *e)
{
	return x->p->native ? put_native(x, it, dry, e) : put_foreign(x, pool, it, dry, e);
}

/* Within the tenant's quota: what is there already takes no more of it. */
static int
put_bounded(struct place_sink *x, struct pool *pool, struct flow_item *it, struct err *e)
{
	const struct key *k = &it->chunk.head.key;
	uint64_t len = it->chunk.mem.len, one = !k->rank && !k->group;
	int rc = put(x, pool, it, 1, e), beyond;

	if (rc != 0)
		return rc < 0 ? -1 : put(x, pool, it, x->how.dry, e);
	beyond = atomic_fetch_add(&x->taken, len) + len > x->how.room;
	beyond |= atomic_fetch_add(&x->chunks, one) + one > x->how.room_chunks;
	rc = beyond ? err_set(e, ERR_REFUSED, "the tenant's quota is used up") :
		put(x, pool, it, x->how.dry, e);
	if (rc != 0) {	/* somebody else was quicker, or it is not there */
		atomic_fetch_sub(&x->taken, len);
		atomic_fetch_sub(&x->chunks, one);
	}
	return rc;
}

static int
place_put(struct sink *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct place_sink *x = (struct place_sink *)s;

	return x->how.bounded ? put_bounded(x, pool, it, e) :
		put(x, pool, it, x->how.dry, e);
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
