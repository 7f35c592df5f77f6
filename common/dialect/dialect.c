#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "dialect/row.h"

#define WRITES DIALECT_WRITES
#define SELF DIALECT_SELF

/* Reading tries the rows of a family from top to bottom. */
static const struct dialect rows[] = {
	{ "native", "native", "file s3 redis shm mem", NAMES_NATIVE, "/", "", BODY_NATIVE,
	  DIALECT_NATIVE | WRITES | SELF, "kvchunk(5) files" },

	{ "lmcache-fs", "lmcache", "file shm mem", NAMES_ENGINE, "-SEP-", ".data", BODY_META,
	  WRITES | SELF, "LMCache fs://: .data files, a 28-byte header before the tensor" },
	{ "lmcache-fs-raw", "lmcache", "", NAMES_ENGINE, "-SEP-", ".data", BODY_RAW, WRITES,
	  "the same without headers (save_chunk_meta: false)" },
	{ "lmcache-fs-old", "lmcache", "", NAMES_ENGINE, "-", ".data", BODY_META, WRITES | SELF,
	  "older names, '/' of the model as '-'" },
	{ "lmcache-fs-old-raw", "lmcache", "", NAMES_ENGINE, "-", ".data", BODY_RAW, WRITES,
	  "the same without headers" },
	{ "lmcache-gds", "lmcache", "", NAMES_ENGINE_GDS, "/", ".kvcache.safetensors", BODY_GDS,
	  WRITES | SELF, "LMCache GDS: 4096-byte headers, .metadata twins" },
	{ "lmcache-weka", "lmcache", "", NAMES_ENGINE_GDS, "/", ".weka1", BODY_GDS,
	  WRITES | SELF, "LMCache on WekaFS: the same, .weka1" },
	{ "lmcache-disk", "lmcache", "", NAMES_ENGINE, "-", ".pt", BODY_RAW, 0,
	  "LMCache local disk: .pt files whose index died with the engine (read only)" },
	{ "lmcache-redis", "lmcache", "redis", NAMES_ENGINE, "/", "kv_bytes", BODY_SPLIT,
	  WRITES | SELF, "LMCache redis://: two strings a chunk, kv_bytes and metadata" },
	{ "lmcache-value", "lmcache", "infinistore mooncake mooncakestore lm", NAMES_ENGINE, "/",
	  "", BODY_META, WRITES | SELF, "LMCache infinistore://, mooncakestore://: header and "
	  "tensor in one value" },
	{ "lmcache-resp", "lmcache", "valkey", NAMES_ENGINE, "/", "", BODY_RAW, WRITES,
	  "LMCache resp://, valkey://: one string a chunk, the tensor alone" },
	{ "lmcache-s3", "lmcache", "s3", NAMES_ENGINE, "_", "", BODY_RAW, WRITES,
	  "LMCache s3://: '/' of the model as '_', the tensor alone" },

	{ "lmcache-mp-fs", "lmcache-mp", "file shm mem", NAMES_OBJECT, "-SEP-", ".data", BODY_RAW,
	  WRITES, "lmcache server, fs: .data files, the tensor alone" },
	{ "lmcache-mp-fs2", "lmcache-mp", "", NAMES_OBJECT2, "-SEP-", ".data", BODY_RAW, WRITES,
	  "the same with names of generations 1 and 2 (no group)" },
	{ "lmcache-mp-resp", "lmcache-mp", "redis valkey mooncake mooncakestore", NAMES_OBJECT,
	  "/", "", BODY_RAW, WRITES, "lmcache server, resp: one string a chunk" },
	{ "lmcache-mp-resp2", "lmcache-mp", "", NAMES_OBJECT2, "/", "", BODY_RAW, WRITES,
	  "the same with names of generations 1 and 2" },
	{ "lmcache-mp-s3", "lmcache-mp", "s3", NAMES_OBJECT, "_", "", BODY_RAW, WRITES,
	  "lmcache server, s3: '/' of the model as '_'" },
	{ "lmcache-mp-s3-2", "lmcache-mp", "", NAMES_OBJECT2, "_", "", BODY_RAW, WRITES,
	  "the same with names of generations 1 and 2" },

	{ "vllm-fs", "vllm-fs", "file s3 shm mem", NAMES_TIER, "_", ".bin", BODY_PAGES,
	  WRITES | DIALECT_LEARNS,
	  "vLLM OffloadingConnector, FS tier: engine pages" },
	{ "llmd-fs", "vllm-fs", "", NAMES_TIER, "_", ".bin", BODY_TAIL,
	  WRITES | DIALECT_LEARNS,
	  "llm-d FS backend: engine pages, packed at the tail" },
	{ "vllm-example", "vllm-example", "file shm mem", NAMES_EXAMPLE, "/", ".safetensors",
	  BODY_EXAMPLE, SELF | DIALECT_EXPORT, "vLLM ExampleConnector: a folder a prompt" },
};
#define ROWS (sizeof(rows) / sizeof(*rows))

static int
in_list(const char *list, const char *word)
{
	size_t n = strlen(word), k;

	for (; *list; list += k + (list[k] == ' ')) {
		k = strcspn(list, " ");
		if (k == n && !memcmp(list, word, n))
			return 1;
	}
	return 0;
}

/* Store schemes that behave as another in the table. */
static const char *
plain_scheme(const char *scheme)
{
	if (!strncmp(scheme, "redis", 5))
		return "redis";
	return strncmp(scheme, "valkey", 6) ? scheme : "valkey";
}

const struct dialect *
dialect_find(const char *word, const char *scheme)
{
	const struct dialect *first = NULL;
	size_t i;

	for (i = 0; i < ROWS; i++)
		if (!strcmp(rows[i].word, word))
			return &rows[i];
	for (i = 0; i < ROWS; i++) {
		if (strcmp(rows[i].family, word))
			continue;
		if (scheme && in_list(rows[i].schemes, plain_scheme(scheme)))
			return &rows[i];
		first = first ? first : &rows[i];
	}
	return first;
}

const struct dialect *
dialect_at(size_t i)
{
	return i < ROWS ? &rows[i] : NULL;
}

const char *
dialect_word(const struct dialect *d)
{
	return d->word;
}

const char *
dialect_family(const struct dialect *d)
{
	return d->family;
}

const char *
dialect_about(const struct dialect *d)
{
	return d->about;
}

unsigned
dialect_flags(const struct dialect *d)
{
	return d->flags;
}

static int
parse(const struct dialect *d, const char *name, struct dialect_name *n)
{
	memset(n, 0, sizeof(*n));
	n->d = d;
	n->layer = -1;
	switch (d->names) {
	case NAMES_NATIVE:
		n->what = DIALECT_CHUNK;
		return key_parse_name(&n->key, name, NULL);
	case NAMES_ENGINE:
	case NAMES_ENGINE_GDS:
		return names_engine_parse(d, name, n);
	case NAMES_OBJECT:
	case NAMES_OBJECT2:
		return names_object_parse(d, name, n);
	case NAMES_TIER:
		return names_tier_parse(d, name, n);
	case NAMES_EXAMPLE:
		return names_example_parse(d, name, n);
	}
	return -1;
}

/* A tensor is whole pages in all usual geometries: 28 bytes more are a header. */
static int
size_fits(const struct dialect *d, uint64_t size)
{
	return d->body != BODY_META || size == UINT64_MAX || size % CHUNK_ALIGN != 0;
}

enum dialect_what
dialect_name(const struct dialect *d, const char *name, uint64_t size, struct dialect_name *n)
{
	size_t i;

	for (i = 0; i < ROWS; i++) {
		if (strcmp(rows[i].family, d->family) || parse(&rows[i], name, n) < 0)
			continue;
		if (n->what == DIALECT_CHUNK && !size_fits(&rows[i], size))
			continue;
		return n->what;
	}
	memset(n, 0, sizeof(*n));
	n->d = d;
	n->layer = -1;
	return n->what = DIALECT_FOREIGN;
}

int
dialect_twin(const struct dialect_name *n, const char *name, struct buf *out, int *needed)
{
	size_t len = strlen(name), k = strlen(n->d->suffix);

	*needed = 0;
	if (n->what != DIALECT_CHUNK || len <= k)
		return 0;
	if (n->d->body == BODY_GDS) {
		buf_str(out, name);
		buf_str(out, ".metadata");
		return 1;
	}
	if (n->d->body != BODY_SPLIT)
		return 0;
	*needed = 1;
	buf_add(out, name, len - k);
	buf_str(out, "metadata");
	return 1;
}

/* ---- detection ---- */

void
dialect_detect_add(struct dialect_detect *t, const char *name, uint64_t size)
{
	struct dialect_name n;
	size_t i, k;

	t->seen++;
	for (i = 0; i < ROWS; i++) {
		if (i > 0 && !strcmp(rows[i].family, rows[i - 1].family))
			continue;
		if (dialect_name(&rows[i], name, size, &n) == DIALECT_FOREIGN)
			continue;
		k = (size_t)(n.d - rows);
		t->fits[k]++;
	}
}

struct dialect_guess
dialect_detect_end(const struct dialect_detect *t)
{
	struct dialect_guess g = { .seen = t->seen };
	size_t i, k, most, sum, others = 0;

	for (i = 0; i < ROWS; i = k) {
		most = i;
		sum = 0;
		for (k = i; k < ROWS && !strcmp(rows[k].family, rows[i].family); k++) {
			sum += t->fits[k];
			if (t->fits[k] > t->fits[most])
				most = k;
		}
		if (sum > g.ours) {
			others += g.ours;
			g.ours = sum;
			g.d = &rows[most];
		} else {
			others += sum;
		}
	}
	g.sure = g.d && g.ours == g.seen && others == 0;
	if (g.d)
		snprintf(g.text, sizeof(g.text), "%s: %zu of %zu objects", g.d->word, g.ours,
			g.seen);
	else
		snprintf(g.text, sizeof(g.text), "no dialect: %zu objects", g.seen);
	return g;
}

/* ---- context ---- */

const char *const dialect_args[] = { "dialect", "geometry", "model", "algo", "chunk-tokens",
	"layout", "block", NULL };

int
dialect_opts_uri(struct dialect_opts *o, const struct uri *u, struct err *e)
{
	const char *v;
	uint64_t n;

	if ((v = uri_arg(u, "model")))
		o->model = v;
	if ((v = uri_arg(u, "algo")))
		o->algo = v;
	if ((v = uri_arg(u, "chunk-tokens"))
		&& num_u64(&o->chunk_tokens, v, 1, 1 << 24, "chunk-tokens=", e) < 0)
		return -1;
	if ((v = uri_arg(u, "layout")) && !(o->layout = layout_parse(v)))
		return err_set(e, ERR_USAGE, "layout=%.40s: not one of g1-nhd g1-hnd g2-nhd g2-hnd "
			"g3-nhd g3-hnd rocm-x rocm-shuffle hpu", v);
	if ((v = uri_arg(u, "block"))) {
		if (num_u64(&n, v, 1, 1 << 20, "block=", e) < 0)
			return -1;
		o->block = (uint32_t)n;
	}
	return 0;
}

int
dialect_open(struct dialect_ctx **out, const struct dialect *d, const struct dialect_opts *o,
	struct err *e)
{
	struct dialect_ctx *x = calloc(1, sizeof(*x));

	*out = NULL;
	if (!x)
		return err_sys(e, "dialect");
	x->d = d;
	if (o)
		x->o = *o;
	if (o && o->geom) {
		x->geom = *o->geom;	/* a part of the model tells the whole */
		x->geom.heads = x->geom.heads_total;
		x->geom.layers = x->geom.layers_total;
		x->geom.head_first = x->geom.layer_first = 0;
		x->o.geom = &x->geom;
	}
	if (o && o->model) {
		snprintf(x->model, sizeof(x->model), "%s", o->model);
		x->o.model = x->model;
	}
	if (o && o->algo) {
		snprintf(x->algo, sizeof(x->algo), "%s", o->algo);
		x->o.algo = x->algo;
	}
	*out = x;
	return 0;
}

void
dialect_close(struct dialect_ctx *x)
{
	if (x)
		free(x->tiers);
	free(x);
}

int
dialect_learn(struct dialect_ctx *x, const char *name, const void *p, size_t n, struct err *e)
{
	if (x->d->names != NAMES_TIER)
		return 0;
	return tier_learn(x, name, p, n, e);
}

void
dialect_key(const struct dialect_ctx *x, const char *name, const struct dialect_name *n,
	struct key *out)
{
	const struct tier *t = n->d->names == NAMES_TIER ? tier_find(x, name) : NULL;
	enum dtype dtype = x->o.geom ? x->geom.dtype : DT_NONE;
	char spelled[256];

	*out = n->key;
	if (t) {
		strcpy(out->model, t->model);
		out->tp = t->tp > out->rank ? t->tp : out->tp;
		if (t->dtype != DT_NONE)
			dtype = t->dtype;
	} else if (n->lossy && x->o.model && (n->d->names == NAMES_EXAMPLE
		|| (names_model(n->d, x->model, spelled) == 0 && !strcmp(spelled, out->model)))) {
		strcpy(out->model, x->model);
	}
	if (!*out->dtype && dtype != DT_NONE)
		strcpy(out->dtype, dtype_word(dtype));
}

int
identify(const struct dialect_ctx *x, const struct dialect_part *p, struct chunk_head *h,
	struct err *e)
{
	dialect_key(x, p->name, &p->n, &h->key);
	snprintf(h->algo, sizeof(h->algo), "%.50s%s", x->o.algo ? x->algo : p->n.algo,
		p->n.minus && !x->o.algo ? "-signed" : "");
	h->first_token = CHUNK_UNKNOWN;
	if (!*h->key.model)
		return err_set(e, ERR_CORRUPT, "'%s': no model in the name", p->name);
	return 0;
}
