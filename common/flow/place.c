#include <stdlib.h>
#include <string.h>

#include "flow/catalog.h"
#include "flow/place_geom.h"

#define SAMPLE_NATIVE 64
#define SAMPLE 4096

/* The URL without the arguments that are the dialect's. */
static char *
store_part(const struct uri *u, struct err *e)
{
	size_t n = strcspn(u->text, "?"), k;
	struct buf b = { 0 };
	int i, first = 1;

	if (!u->n_args)
		n = strlen(u->text);
	buf_add(&b, u->text, n);
	for (i = 0; i < u->n_args; i++) {
		for (k = 0; dialect_args[k] && strcmp(dialect_args[k], u->args[i].name) != 0; k++)
			;
		if (dialect_args[k])
			continue;
		buf_printf(&b, "%c%s=", first ? '?' : '&', u->args[i].name);
		uri_encode(&b, u->args[i].value, strlen(u->args[i].value), "/:");
		first = 0;
	}
	if (!buf_text(&b)) {
		buf_free(&b);
		err_set(e, ERR_FAILED, "url: out of memory");
	}
	return b.p;
}

struct sample {
	size_t n, native;
	struct dialect_detect d;
};

static int
sample_names(void *ctx, const struct store_item *it, struct err *e)
{
	struct sample *s = ctx;
	struct key k;

	(void)e;
	s->native += key_parse_name(&k, it->name, NULL) == 0;
	return ++s->n == SAMPLE_NATIVE;
}

static int
sample_sizes(void *ctx, const struct store_item *it, struct err *e)
{
	struct sample *s = ctx;

	(void)e;
	dialect_detect_add(&s->d, it->name, it->size);
	return ++s->n == SAMPLE;
}

/* What lies there? Most stores are ours: that is seen from a few names. */
static int
detect(struct place *p, int write, struct err *e)
{
	struct sample s = { 0 };
	struct dialect_guess g;

	if (!strcmp(store_scheme(p->store), "null"))
		return 0;
	if (store_list(p->store, "", STORE_LIST_FAST, sample_names, &s, e) < 0)
		return -1;
	if (s.native == s.n)
		return 0;
	memset(&s, 0, sizeof(s));
	if (store_list(p->store, "", 0, sample_sizes, &s, e) < 0)
		return -1;
	g = dialect_detect_end(&s.d);
	if (!g.d || dialect_flags(g.d) & DIALECT_NATIVE)
		return 0;
	if (write)
		return err_set(e, ERR_USAGE, "store '%s' holds %s; say ?dialect=%s or "
			"?dialect=native to write", store_url(p->store), g.text,
			dialect_word(g.d));
	p->dialect = g.d;
	memcpy(p->detected, g.text, sizeof(p->detected));
	return 0;
}

static int
choose(struct place *p, const struct uri *u, int write, struct err *e)
{
	const char *word = uri_arg(u, "dialect");

	p->dialect = dialect_find("native", "file");
	if (!word)
		return detect(p, write, e);
	p->dialect = dialect_find(word, store_scheme(p->store));
	if (!p->dialect)
		return err_set(e, ERR_USAGE, "dialect '%.40s': no such dialect (see kvurl(7))",
			word);
	if (write && !(dialect_flags(p->dialect) & (DIALECT_WRITES | DIALECT_NATIVE)))
		return err_set(e, ERR_USAGE, "dialect '%s' cannot be written%s", word,
			dialect_flags(p->dialect) & DIALECT_EXPORT ?
			", but exported: kvget --export" : "");
	return 0;
}

/* vLLM's config.json and the like speak about the other objects. */
static int
learn_one(void *ctx, const struct store_item *it, struct err *e)
{
	struct place *p = ctx;
	struct dialect_name n;
	struct block b = { 0 };
	struct store_get g = { .out = &b };
	int rc;

	if (it->size > 1 << 20 ||
	    dialect_name(p->dialect, it->name, it->size, &n) != DIALECT_CONFIG)
		return 0;
	b.cap = it->size + 1;
	b.p = malloc(b.cap);
	if (!b.p)
		return err_set(e, ERR_FAILED, "out of memory");
	rc = store_get(p->store, it->name, 0, b.cap, &g, e);
	if (rc == 0)
		rc = dialect_learn(p->ctx, it->name, b.p, b.len, e);
	free(b.p);
	return rc;
}

static int
open_dialect(struct place *p, const struct uri *u, const struct dialect_opts *hints,
	struct err *e)
{
	struct dialect_opts o = { 0 };
	const char *spec = uri_arg(u, "geometry");
	char model[256] = "";
	struct geom geom;

	if (hints)
		o = *hints;
	if (dialect_opts_uri(&o, u, e) < 0)
		return -1;
	if (spec) {
		if (geom_read(&geom, model, spec, e) < 0)
			return -1;
		o.geom = &geom;
	}
	if (!o.geom && place_geom(p, &geom, model))
		o.geom = &geom;
	if (!o.model && *model)
		o.model = model;
	if (dialect_open(&p->ctx, p->dialect, &o, e) < 0)
		return -1;
	p->native = (dialect_flags(p->dialect) & DIALECT_NATIVE) != 0;
	if (!(dialect_flags(p->dialect) & DIALECT_LEARNS))
		return 0;
	return store_list(p->store, "", 0, learn_one, p, e);
}

int
place_open(struct place *p, const char *url, const struct store_opts *o,
	const struct dialect_opts *hints, struct err *e)
{
	char *full = conf_store_url(o->conf, url, e), *bare = NULL;
	struct uri *u = NULL;
	int rc = -1;

	memset(p, 0, sizeof(*p));
	if (!full || uri_parse(&u, full, e) < 0)
		goto done;
	bare = store_part(u, e);
	if (!bare || store_open(&p->store, bare, o, e) < 0)
		goto done;
	if (choose(p, u, (o->flags & STORE_WRITE) != 0, e) < 0 ||
	    open_dialect(p, u, hints, e) < 0) {
		place_close(p);
		goto done;
	}
	rc = 0;
done:
	uri_free(u);
	free(bare);
	free(full);
	return rc;
}

int
place_in_dir(const struct place *p)
{
	const char *scheme = store_scheme(p->store);

	return !strcmp(scheme, "file") || !strcmp(scheme, "shm");
}

int
place_head(struct place *p, const char *name, struct block *b, struct chunk_head *out,
	uint64_t *size, struct err *e)
{
	struct store_get g = { .out = b, .blind = !size };
	size_t region;

	memset(out, 0, sizeof(*out));
	b->len = 0;
	if (store_get(p->store, name, 0, CHUNK_ALIGN, &g, e) < 0)
		return -1;
	if (b->len < CHUNK_ALIGN)
		return err_set(e, ERR_CORRUPT, "truncated");
	region = chunk_region(b->p, e);
	if (!region)
		return -1;
	if (region > CHUNK_ALIGN && region <= b->cap) {
		b->len = 0;
		if (store_get(p->store, name, 0, region, &g, e) < 0)
			return -1;
	}
	if (size)
		*size = g.size;
	if (chunk_head_parse(out, b->p, b->len, e) == 0)
		return 0;
	chunk_head_free(out);
	return -1;
}

void
place_close(struct place *p)
{
	dialect_close(p->ctx);
	store_close(p->store);
	memset(p, 0, sizeof(*p));
}
