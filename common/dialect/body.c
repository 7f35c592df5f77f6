#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/row.h"

/* Bodies that are the neutral tensor, with or without something in front. */

size_t
dialect_front(const struct dialect_name *n, uint64_t size)
{
	if (n->what != DIALECT_CHUNK || n->layer >= 0)
		return 0;
	switch (n->d->body) {
	case BODY_META:
		return size == UINT64_MAX || size % CHUNK_ALIGN ? CHUNK_ALIGN - META_SIZE
			: CHUNK_ALIGN;
	case BODY_RAW:
	case BODY_SPLIT:
		return CHUNK_ALIGN;
	default:
		return 0;
	}
}

int
dialect_ready(const struct dialect_ctx *x, const struct dialect_name *n, struct err *e)
{
	if (n->d->names == NAMES_TIER && pages_ready(x, e) < 0)
		return -1;
	if (x->o.geom || (n->d->names != NAMES_TIER && n->d->body != BODY_RAW))
		return 0;
	return err_set(e, ERR_USAGE, "%s: bodies do not tell their shape: add --geometry, or "
		"geometry= to the URL: a model, a config.json, or layers=N,heads=N,head_dim=N,"
		"dtype=TYPE", n->d->word);
}

/* Geometry of a rank's headerless body. */
static int
raw_geom(const struct dialect_ctx *x, const struct key *k, struct geom *g, struct err *e)
{
	if (geom_shard(g, &x->geom, k->tp, k->rank, e) < 0)
		return -1;
	if (*k->dtype && dtype_parse(k->dtype) != DT_NONE)
		g->dtype = dtype_parse(k->dtype);
	return 0;
}

/* What a size that is no whole number of tokens may be. */
static int
odd_size(const struct geom *g, uint64_t chunk, uint64_t size, struct err *e)
{
	uint64_t full = geom_bytes(g, chunk);

	if (full && size == full + 29)
		return err_set(e, ERR_CORRUPT, "%llu bytes are a chunk and 29: a frame of "
			"LMCache's 'encrypt' serde, which only LMCache can open",
			(unsigned long long)size);
	if (full && size == full + 17)
		return err_set(e, ERR_CORRUPT, "%llu bytes are a chunk and 17: a frame of "
			"LMCache's 'checksum' serde", (unsigned long long)size);
	return err_set(e, ERR_CORRUPT, "%llu bytes: a token has %llu and a chunk %llu",
		(unsigned long long)size, (unsigned long long)geom_bytes(g, 1),
		(unsigned long long)full);
}

static uint64_t
chunk_of(const struct dialect_ctx *x)
{
	return x->o.chunk_tokens ? x->o.chunk_tokens : 256;
}

/* Forms whose engines store and read whole chunks alone (LMCache lmcache/v1/multiprocess/
 * token_hasher.py; s3_connector.py, resp: the size must be the chunk's). */
static int
is_whole(const struct dialect *d)
{
	return d->body == BODY_RAW && (*d->suffix != '.' || !strcmp(d->family, "lmcache-mp"));
}

/* Tokens of a raw body; 0 with e set if size cannot be. */
static uint64_t
raw_tokens(const struct dialect_ctx *x, const struct dialect *d, const struct geom *g,
	uint64_t size, struct err *e)
{
	uint64_t row = geom_bytes(g, 1), tokens = row && size % row == 0 ? size / row : 0;

	if (tokens && (tokens == chunk_of(x) || (tokens < chunk_of(x) && !is_whole(d))))
		return tokens;
	if (tokens && tokens < chunk_of(x)) {
		err_set(e, ERR_CORRUPT, "%llu of %llu tokens: cut short, or cast by a serde; or "
			"say chunk-tokens=%llu", (unsigned long long)tokens,
			(unsigned long long)chunk_of(x), (unsigned long long)tokens);
		return 0;
	}
	odd_size(g, chunk_of(x), size, e);
	return 0;
}

/* Twenty-eight bytes whose length is that of their shape are no part of a tensor. */
static int
meta_is(const struct meta *m)
{
	uint64_t n = dtype_size(m->dtype);
	int i;

	if (m->fmt == META_BINARY || m->fmt == META_BINARY_BUFFER)
		return m->shape[0] == m->length;
	for (i = 0; i < 4; i++)
		if (m->shape[i] && __builtin_mul_overflow(n, m->shape[i], &n))
			return 0;
	return m->fmt && n && n == m->length;
}

/* Header at p, if there is one: *skip its length. m->fmt 0: none. */
static int
body_meta(const struct dialect_part *p, const struct dialect_part *twin, struct meta *m,
	size_t *skip, struct err *e)
{
	const unsigned char *at = p->mem.p + p->front;
	uint64_t size = p->mem.len - p->front;

	*m = (struct meta){ 0 };
	*skip = 0;
	if (twin && p->n.d->body == BODY_SPLIT) {
		if (twin->mem.len - twin->front < META_SIZE)
			return err_set(e, ERR_CORRUPT, "'%s': too short", twin->name);
		return meta_read(m, twin->mem.p + twin->front, e);
	}
	if (p->n.d->body == BODY_GDS) {
		*skip = CHUNK_ALIGN;
		return size >= CHUNK_ALIGN ? gds_read(m, at, e)
			: err_set(e, ERR_CORRUPT, "shorter than its header");
	}
	if (p->n.d->names != NAMES_ENGINE)
		return 0;
	if (size >= META_SIZE && meta_read(m, at, NULL) == 0 && meta_is(m)
		&& (p->n.d->body == BODY_META || m->length == size - META_SIZE)) {
		*skip = META_SIZE;
		return 0;
	}
	*m = (struct meta){ 0 };
	return size % CHUNK_ALIGN != META_SIZE || p->n.d->body != BODY_META ? 0 :
		err_set(e, ERR_CORRUPT, "no header, and 28 bytes more than pages");
}

/* Names and bodies both tell a type; names know fp8 better. */
static int
name_dtype(const struct key *k, struct meta *m, struct err *e)
{
	enum dtype d = dtype_parse(k->dtype);

	if (d == DT_NONE || d == m->dtype)
		return 0;
	if (m->dtype == DT_U8 && dtype_size(d) == 1) {
		m->dtype = d;
		return 0;
	}
	return err_set(e, ERR_CORRUPT, "its name says %s, its header %s", k->dtype,
		dtype_word(m->dtype));
}

/* Payload at offset from of the block, to where chunk_seal() wants it. */
static int
place(struct block *mem, size_t from, uint64_t n, struct pool *pool, struct err *e)
{
	if (from != CHUNK_ALIGN) {
		if (from < CHUNK_ALIGN && pool_grow(pool, mem, CHUNK_ALIGN + n, e) < 0)
			return -1;
		memmove(mem->p + CHUNK_ALIGN, mem->p + from, n);
	}
	mem->len = CHUNK_ALIGN + n;
	return 0;
}

static int
tensor_read(const struct dialect_ctx *x, struct dialect_part *p, struct dialect_part *twin,
	struct pool *pool, struct chunk *out, struct err *e)
{
	struct chunk_head *h = &out->head;
	uint64_t bytes;
	struct meta m;
	size_t skip;

	if (identify(x, p, h, e) < 0 || body_meta(p, twin, &m, &skip, e) < 0)
		return -1;
	bytes = p->mem.len - p->front - skip;
	if (m.fmt) {
		if (name_dtype(&h->key, &m, e) < 0
			|| meta_geom(x, &h->key, &m, &h->geom, &h->tokens, e) < 0)
			return -1;
		if (m.length != bytes)
			return err_set(e, ERR_CORRUPT, "its header says %llu bytes, it has %llu",
				(unsigned long long)m.length, (unsigned long long)bytes);
	} else {
		if (!x->o.geom) {	/* a name of headed bodies, and no header */
			struct dialect_name raw = p->n;

			raw.d = dialect_find("lmcache-fs-raw", NULL);
			return dialect_ready(x, &raw, e);
		}
		if (raw_geom(x, &h->key, &h->geom, e) < 0)
			return -1;
		h->tokens = raw_tokens(x, p->n.d, &h->geom, bytes, e);
		if (!h->tokens)
			return -1;
	}
	h->chunk_tokens = h->tokens > chunk_of(x) ? h->tokens : chunk_of(x);
	if (place(&p->mem, p->front + skip, bytes, pool, e) < 0)
		return -1;
	out->mem = p->mem;
	p->mem = (struct block){ 0 };
	return 0;
}

static int
native_read(struct dialect_part *p, struct chunk *out, struct err *e)
{
	size_t n = p->mem.len - p->front;

	if (p->front)
		memmove(p->mem.p, p->mem.p + p->front, n);
	out->mem = p->mem;
	out->mem.len = n;
	p->mem = (struct block){ 0 };
	return chunk_open(out, e);
}

static int
any_read(const struct dialect_ctx *x, struct dialect_part *parts, size_t n, struct pool *pool,
	struct chunk *out, struct err *e)
{
	struct dialect_part *p = NULL, *twin = NULL;
	size_t i, chunks = 0;

	for (i = 0; i < n; i++) {
		if (parts[i].mem.len < parts[i].front)
			return err_set(e, ERR_CORRUPT, "'%s': nothing read", parts[i].name);
		if (parts[i].n.what == DIALECT_CHUNK && chunks++ == 0)
			p = &parts[i];
		else if (parts[i].n.what == DIALECT_TWIN)
			twin = &parts[i];
	}
	if (!p)
		return err_set(e, ERR_USAGE, "no object of a chunk given");
	if (p->n.d->body == BODY_NATIVE)
		return native_read(p, out, e);
	if (chunks > 1 || p->n.layer >= 0)
		return layers_read(x, parts, n, pool, out, e);
	if (dialect_ready(x, &p->n, e) < 0)
		return -1;
	if (p->n.d->names == NAMES_TIER)
		return pages_read(x, p, pool, out, e);
	return tensor_read(x, p, twin, pool, out, e);
}

int
dialect_read(const struct dialect_ctx *x, struct dialect_part *parts, size_t n,
	struct pool *pool, struct chunk *out, struct err *e)
{
	size_t i;
	int r;

	memset(out, 0, sizeof(*out));
	r = any_read(x, parts, n, pool, out, e);
	for (i = 0; i < n; i++)
		pool_put(pool, &parts[i].mem);
	if (r == 0 && !out->head.region)
		r = key_check(&out->head.key, e) < 0 || geom_check(&out->head.geom, e) < 0 ? -1 : 0;
	if (r < 0)
		chunk_free(out, pool);
	return r;
}

int
dialect_size_check(const struct dialect_ctx *x, const char *name, const struct dialect_name *n,
	uint64_t size, struct err *e)
{
	struct geom g;
	struct key k;

	if (n->what != DIALECT_CHUNK || n->layer >= 0)
		return 0;
	if (n->d->body == BODY_META && size < META_SIZE)
		return err_set(e, ERR_CORRUPT, "%llu bytes, its header alone has 28",
			(unsigned long long)size);
	if (n->d->body == BODY_GDS && size <= CHUNK_ALIGN)
		return err_set(e, ERR_CORRUPT, "%llu bytes, its header alone has 4096",
			(unsigned long long)size);
	if (!x->o.geom || n->d->body == BODY_EXAMPLE || n->d->body == BODY_NATIVE)
		return 0;
	dialect_key(x, name, n, &k);
	if (n->d->names == NAMES_TIER)
		return pages_size(x, name, &k, size, e);
	if (raw_geom(x, &k, &g, e) < 0)
		return -1;
	if (n->d->body == BODY_META)
		size -= META_SIZE;
	if (n->d->body == BODY_GDS)
		size -= CHUNK_ALIGN;
	return raw_tokens(x, n->d, &g, size, e) ? 0 : -1;
}

/* ---- writing ---- */

int
out_add(struct dialect_out *out, struct buf *name, const void *head, size_t n_head,
	const void *body, size_t n_body, struct err *e)
{
	struct dialect_object *more = realloc(out->obj, (out->n + 1) * sizeof(*more)), *o;

	if (!more || !buf_text(name))
		return err_sys(e, "dialect");
	out->obj = more;
	o = &more[out->n++];
	*o = (struct dialect_object){ .name = name->p };
	*name = (struct buf){ 0 };
	if (n_head)
		o->iov[o->n_iov++] = (struct iovec){ (void *)head, n_head };
	if (n_body)
		o->iov[o->n_iov++] = (struct iovec){ (void *)body, n_body };
	return 0;
}

void
dialect_out_free(struct dialect_out *out, struct pool *pool)
{
	size_t i;

	for (i = 0; i < out->n; i++)
		free(out->obj[i].name);
	free(out->obj);
	buf_free(&out->small);
	pool_put(pool, &out->mem);
	memset(out, 0, sizeof(*out));
}

static int
name_of(const struct dialect *d, const struct chunk_head *h, struct buf *out, struct err *e)
{
	switch (d->names) {
	case NAMES_ENGINE:
	case NAMES_ENGINE_GDS:
		return names_engine_format(d, h, out, e);
	case NAMES_OBJECT:
	case NAMES_OBJECT2:
		return names_object_format(d, h, out, e);
	default:
		return key_name(out, &h->key, e);
	}
}

/* The data object and its header; then the twin, which makes engines see the chunk. */
static int
tensor_write(const struct dialect *d, const struct chunk *c, struct dialect_out *out,
	struct err *e)
{
	const struct chunk_head *h = &c->head;
	size_t head = d->body == BODY_META ? META_SIZE : d->body == BODY_GDS ? CHUNK_ALIGN : 0;
	size_t side = d->body == BODY_SPLIT ? META_SIZE : 0;
	struct buf name = { 0 }, twin = { 0 };
	struct meta m;
	char *p = NULL;
	int r = -1;

	if (name_of(d, h, &name, e) < 0 || meta_of(&m, h, e) < 0)
		goto done;
	if (head || side) {
		p = buf_room(&out->small, head + side);
		if (!p) {
			err_sys(e, "dialect");
			goto done;
		}
		out->small.len = head + side;
		if ((head == CHUNK_ALIGN ? gds_write(p, &m, e) : meta_write(p, &m, e)) < 0)
			goto done;
	}
	if (head == CHUNK_ALIGN || side) {
		buf_add(&twin, name.p, name.len - (side ? strlen(d->suffix) : 0));
		buf_str(&twin, side ? "metadata" : ".metadata");
	}
	r = out_add(out, &name, p, head, chunk_payload(c), h->payload, e);
	if (r == 0 && twin.len)
		r = out_add(out, &twin, p, head + side, NULL, 0, e);
done:
	buf_free(&name);
	buf_free(&twin);
	return r;
}

int
dialect_write(const struct dialect_ctx *x, const struct chunk *c, struct pool *pool,
	struct dialect_out *out, struct err *e)
{
	struct buf name = { 0 };

	memset(out, 0, sizeof(*out));
	if (dialect_takes(x, &c->head, e) < 0)
		return -1;
	if (x->d->body == BODY_NATIVE) {
		if (key_name(&name, &c->head.key, e) == 0
			&& out_add(out, &name, c->mem.p, c->mem.len, NULL, 0, e) == 0)
			return 0;
		buf_free(&name);
		return -1;
	}
	if (x->d->names == NAMES_TIER)
		return pages_write(x, c, pool, out, e);
	return tensor_write(x->d, c, out, e);
}

/* Whose engine computes such names. */
static int
family_fits(const struct dialect *d, const char *algo, const struct key_hash *h)
{
	if (!strncmp(algo, "opaque:", 7)) {
		if (!strcmp(algo + 7, d->family))
			return 1;
		return !strcmp(algo + 7, "lmcache-signed") && !strcmp(d->family, "lmcache");
	}
	if (!strcmp(d->family, "lmcache"))
		return !strncmp(algo, "lmcache-", 8);
	if (!strcmp(d->family, "lmcache-mp"))	/* all digests whole, ints as 8 bytes */
		return !strncmp(algo, "blake3", 6) || !strncmp(algo, "lmcache-builtin", 15)
			|| (!strncmp(algo, "lmcache-sha256_cbor", 19) && h->len == 32);
	return !strncmp(algo, "vllm-", 5);
}

static int
salt_fits(const struct dialect *d, const struct key *k, struct err *e)
{
	int tags = strchr(k->salt, '%') != NULL;

	if (!*k->salt)
		return 0;
	if (!strcmp(d->family, "lmcache-mp") && !tags)
		return 0;
	if (!strcmp(d->family, "lmcache") && tags)
		return 0;
	return err_set(e, ERR_USAGE, "%s: names have no place for tenant '%s'", d->word, k->salt);
}

static int
shape_fits(const struct dialect *d, const struct chunk_head *h, struct err *e)
{
	const struct geom *g = &h->geom;

	if (g->layers != g->layers_total)
		return err_set(e, ERR_USAGE, "%s: has layers %u to %u of %u only: put the "
			"pipeline's parts together first", d->word, g->layer_first,
			g->layer_first + g->layers - 1, g->layers_total);
	if (h->key.group && (d->names == NAMES_ENGINE || d->names == NAMES_ENGINE_GDS
		|| d->names == NAMES_OBJECT2))
		return err_set(e, ERR_USAGE, "%s: names have no place for group %u", d->word,
			h->key.group);
	if (h->tokens != h->chunk_tokens && is_whole(d))
		return err_set(e, ERR_USAGE, "%s: %llu of %llu tokens: the engine takes whole "
			"chunks only", d->word, (unsigned long long)h->tokens,
			(unsigned long long)h->chunk_tokens);
	if (h->key.tp > 255 && !strcmp(d->family, "lmcache-mp"))
		return err_set(e, ERR_USAGE, "%s: at most 255 ranks", d->word);
	return 0;
}

int
dialect_takes(const struct dialect_ctx *x, const struct chunk_head *h, struct err *e)
{
	const struct dialect *d = x->d;
	char hash[KEY_SHORT];

	if (!(d->flags & DIALECT_WRITES))
		return err_set(e, ERR_USAGE, "%s: cannot be written a chunk at a time", d->word);
	if (d->body == BODY_NATIVE)
		return 0;
	if (*h->codec || *h->cipher)
		return err_set(e, ERR_USAGE, "%s: payloads must be plain", d->word);
	if (!family_fits(d, h->algo, &h->key.hash))
		return err_set(e, ERR_USAGE, "%s: chunk %s is named by '%s', and this engine "
			"looks for other names, which only tokens give: --tokens FILE --algo NAME",
			d->word, key_hash_short(hash, &h->key.hash), h->algo);
	return salt_fits(d, &h->key, e) < 0 || shape_fits(d, h, e) < 0 ? -1 : 0;
}
