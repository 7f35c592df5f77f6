#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "digest/digest.h"
#include "dialect/row.h"

/* Names of vLLM's FS tier (vllm/v1/kv_offload/file_mapper.py @0078e9d2) and of llm-d's FS
 * backend, which has other words in its config.json:
 * MODEL_12HEX/config.json, MODEL_12HEX_rR/HHH/HH_gG/HASH.bin */

static int
is_hex(const char *s, size_t n)
{
	return strspn(s, "0123456789abcdef") >= n;
}

/* Length of MODEL_12HEX at the start of a directory's name, or 0. */
static size_t
base_len(const char *s, size_t n)
{
	return n > 13 && s[n - 13] == '_' && is_hex(s + n - 12, 12) ? n : 0;
}

static int
small_number(const char *s, size_t n, uint32_t max, uint32_t *out)
{
	char text[12];
	uint64_t v;

	if (n == 0 || n >= sizeof(text))
		return -1;
	memcpy(text, s, n);
	text[n] = '\0';
	if (num_u64(&v, text, 0, max, "", NULL) < 0)
		return -1;
	*out = (uint32_t)v;
	return 0;
}

static int
model_read(struct dialect_name *n, const char *s, size_t base)
{
	size_t len = base - 13;

	if (len == 0 || len >= sizeof(n->key.model))
		return -1;
	memcpy(n->key.model, s, len);
	n->lossy = strchr(n->key.model, '_') != NULL;
	n->key.tp = 1;
	n->layer = -1;
	snprintf(n->algo, sizeof(n->algo), "opaque:vllm-fs");
	return 0;
}

/* HHH/HH_gG/HASH.bin */
static int
block_read(struct dialect_name *n, const char *s)
{
	const char *group, *hash, *dot;
	size_t len;

	if (strlen(s) < 8 || s[3] != '/' || strncmp(s + 6, "_g", 2))
		return -1;
	group = s + 8;
	hash = strchr(group, '/');
	if (!hash || small_number(group, (size_t)(hash - group), 4096, &n->key.group) < 0)
		return -1;
	hash++;
	dot = strchr(hash, '.');
	len = dot ? (size_t)(dot - hash) : 0;
	if ((len != 64 && len != 32) || !is_hex(hash, len) || strncmp(hash, s, 3)
		|| strncmp(hash + 3, s + 4, 2))
		return -1;
	if (!strncmp(dot, ".bin_", 5) && !strcmp(dot + strlen(dot) - 4, ".tmp"))
		n->what = DIALECT_LITTER;
	else if (strcmp(dot, ".bin"))
		return -1;
	n->key.hash.len = (uint8_t)(len / 2);
	return hex_read(n->key.hash.b, hash, len / 2);
}

int
names_tier_parse(const struct dialect *d, const char *name, struct dialect_name *n)
{
	const char *slash = strchr(name, '/'), *r;
	size_t base;

	(void)d;
	if (!slash)
		return -1;
	base = base_len(name, (size_t)(slash - name));
	if (base && !strcmp(slash, "/config.json")) {
		n->what = DIALECT_CONFIG;
		return model_read(n, name, base);
	}
	for (r = slash; r > name && r[-1] >= '0' && r[-1] <= '9'; r--)
		;
	if (r - name < 3 || r[-1] != 'r' || r[-2] != '_')
		return -1;
	base = base_len(name, (size_t)(r - 2 - name));
	if (!base || small_number(r, (size_t)(slash - r), KEY_TP_MAX - 1, &n->key.rank) < 0)
		return -1;
	n->what = DIALECT_CHUNK;
	if (model_read(n, name, base) < 0)
		return -1;
	n->key.tp = n->key.rank + 1;	/* at least; config.json tells */
	return block_read(n, slash + 1);
}

int
names_tier_format(const struct tier *t, const struct chunk_head *h, struct buf *out,
	struct err *e)
{
	char hash[KEY_HEX];

	key_hash_hex(hash, &h->key.hash);
	return buf_printf(out, "%s_r%u/%.3s/%.2s_g%u/%s.bin", t->base, h->key.rank, hash, hash + 3,
		h->key.group, hash) < 0 ? err_sys(e, "vllm-fs name") : 0;
}

/* Layer of "model.layers.12.self_attn.attn", or -1. */
static int32_t
layer_of(const char *s)
{
	const char *p = strstr(s, "layers.");
	uint32_t n;

	if (!p)
		return -1;
	p += 7;
	return small_number(p, strspn(p, "0123456789"), 4096, &n) < 0 ? -1 : (int32_t)n;
}

int
names_example_parse(const struct dialect *d, const char *name, struct dialect_name *n)
{
	const char *slash = strchr(name, '/'), *end;
	size_t len = slash ? (size_t)(slash - name) : 0;

	end = slash ? strstr(slash, d->suffix) : NULL;
	if ((len != 32 && len != 64) || !is_hex(name, len) || !end || strchr(slash + 1, '/')
		|| strcmp(end, d->suffix))
		return -1;
	n->layer = layer_of(slash + 1);
	if (n->layer < 0)
		return -1;
	n->what = DIALECT_CHUNK;
	n->key.hash.len = (uint8_t)(len / 2);
	n->key.tp = 1;
	strcpy(n->key.model, "unknown");	/* the names do not tell */
	n->lossy = 1;
	snprintf(n->algo, sizeof(n->algo), "opaque:vllm-example");
	return hex_read(n->key.hash.b, name, len / 2);
}

const struct tier *
tier_find(const struct dialect_ctx *x, const char *name)
{
	size_t i, k;

	for (i = 0; i < x->n_tiers; i++) {
		k = strlen(x->tiers[i].base);
		if (!strncmp(x->tiers[i].base, name, k) && !strncmp(name + k, "_r", 2))
			return &x->tiers[i];
	}
	return NULL;
}

static int
number(const json_t *o, const char *name, const char *other, uint32_t max, uint32_t *out)
{
	const json_t *v = json_object_get(o, name);
	json_int_t n;

	if (!v)
		v = json_object_get(o, other);
	n = json_integer_value(v);
	*out = (uint32_t)n;
	return json_is_integer(v) && n > 0 && n <= max ? 0 : -1;
}

static int
groups_read(struct tier *t, const json_t *list)
{
	const json_t *g;
	uint32_t block;
	size_t i, k;

	if (!json_is_array(list) || json_array_size(list) > 16)
		return -1;
	json_array_foreach(list, i, g) {
		k = json_array_size(json_object_get(g, "layer_names"));
		if (number(g, "tokens_per_block", "block_size", 1 << 20, &block) < 0 || k == 0
			|| k > 4096)
			return -1;
		t->layers[i] = (uint32_t)k;
		if (i == 0)
			t->block = block;
		else if (t->block != block)
			return -1;	/* hybrid block sizes: pages of different spans */
	}
	t->n_groups = (uint32_t)i;
	return i ? 0 : -1;
}

int
tier_learn(struct dialect_ctx *x, const char *name, const void *p, size_t n, struct err *e)
{
	size_t len = strcspn(name, "/");
	struct tier t = { .tp = 1 }, *more;
	json_t *o = json_loadb(p, n, JSON_REJECT_DUPLICATES, NULL);
	const char *model = json_string_value(json_object_get(o, "model_name"));
	const char *dtype = json_string_value(json_object_get(o, "dtype"));
	uint32_t pp;
	int ok;

	ok = model && dtype && strlen(model) < sizeof(t.model) && len < sizeof(t.base)
		&& number(o, "tp_size", "tp_size", KEY_TP_MAX, &t.tp) == 0
		&& number(o, "blocks_per_file", "gpu_blocks_per_file", 1 << 20, &t.blocks) == 0
		&& groups_read(&t, json_object_get(o, "kv_cache_groups")) == 0;
	if (ok) {
		t.tail = json_object_get(o, "gpu_blocks_per_file") != NULL;
		memcpy(t.base, name, len);
		strcpy(t.model, model);
		t.dtype = dtype_parse(dtype);
		if (number(o, "pp_size", "pp_size", KEY_TP_MAX, &pp) == 0 && pp > 1)
			ok = 0;
		/* pages of all ranks' heads, shared (canonical_mapping.py) */
		if (json_object_get(o, "canonical_format"))
			ok = 0;
	}
	json_decref(o);
	if (!ok)
		return err_set(e, ERR_CORRUPT, "'%.200s': not a config.json of vLLM's FS tier that "
			"we can read (one block size, no pipeline parallelism, no "
			"canonical_format)", name);
	more = realloc(x->tiers, (x->n_tiers + 1) * sizeof(*more));
	if (!more)
		return err_sys(e, "config.json");
	x->tiers = more;
	x->tiers[x->n_tiers++] = t;
	return 0;
}

static json_t *
groups_make(const struct tier *t)
{
	json_t *names = json_array(), *g = json_object(), *list = json_array();
	char name[64];
	uint32_t i;

	for (i = 0; i < t->layers[0]; i++) {
		snprintf(name, sizeof(name), "model.layers.%u.self_attn.attn", i);
		json_array_append_new(names, json_string(name));
	}
	json_object_set_new(g, t->tail ? "block_size" : "tokens_per_block", json_integer(t->block));
	json_object_set_new(g, "layer_names", names);
	json_array_append_new(list, g);
	return list;
}

/* The fields in vLLM's order; the directory's digits are over them, sorted and compact. */
static json_t *
config_make(const struct tier *t)
{
	char dtype[32];
	json_t *o = json_object();

	snprintf(dtype, sizeof(dtype), "torch.%s", t->dtype == DT_BF16 ? "bfloat16"
		: t->dtype == DT_F16 ? "float16" : t->dtype == DT_F32 ? "float32" : "uint8");
	json_object_set_new(o, "model_name", json_string(t->model));
	json_object_set_new(o, t->tail ? "hash_block_size" : "tokens_per_hash",
		json_integer(t->block));
	json_object_set_new(o, t->tail ? "gpu_blocks_per_file" : "blocks_per_file",
		json_integer(t->blocks));
	json_object_set_new(o, "tp_size", json_integer(t->tp));
	json_object_set_new(o, "pp_size", json_integer(1));
	json_object_set_new(o, "pcp_size", json_integer(1));
	json_object_set_new(o, "dcp_size", json_integer(1));
	json_object_set_new(o, "dtype", json_string(dtype));
	json_object_set_new(o, "kv_cache_groups", groups_make(t));
	json_object_set_new(o, "inference_engine", json_string("vllm"));
	if (t->tp > 1)
		json_object_set_new(o, "parallel_agnostic", json_false());
	return o;
}

static int
tier_name(struct tier *t, const json_t *o, struct err *e)
{
	char *compact = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
	uint8_t sum[DIGEST_SHA256];
	char hex[13], *c;
	int r;

	if (!compact)
		return err_sys(e, "config.json");
	r = digest_sha256(sum, compact, strlen(compact), e);
	free(compact);
	if (r < 0)
		return -1;
	hex_write(hex, sum, 6);
	snprintf(t->base, sizeof(t->base), "%s_%s", t->model, hex);
	for (c = t->base; *c; c++)
		if (*c == '/')
			*c = '_';
	return 0;
}

/* Does a chunk belong under this config.json? */
static int
fits(const struct tier *t, const struct chunk_head *h)
{
	return !strcmp(t->model, h->key.model) && t->tp == h->key.tp
		&& t->dtype == h->geom.dtype && h->key.group < t->n_groups
		&& t->layers[h->key.group] == h->geom.layers
		&& (uint64_t)t->block * t->blocks == h->chunk_tokens;
}

int
tier_for(const struct dialect_ctx *x, const struct chunk_head *h, struct tier *t,
	struct buf *config, struct err *e)
{
	json_t *o;
	char *text;
	size_t i;
	int r = -1;

	for (i = 0; i < x->n_tiers; i++)
		if (fits(&x->tiers[i], h)) {
			*t = x->tiers[i];
			return 0;
		}
	if (!x->o.block || h->chunk_tokens % x->o.block)
		return err_set(e, ERR_USAGE, "%s: add block=N to the URL, the engine's tokens a "
			"block, a divisor of %llu", x->d->word,
			(unsigned long long)h->chunk_tokens);
	*t = (struct tier){ .dtype = h->geom.dtype, .tp = h->key.tp, .block = x->o.block,
		.blocks = (uint32_t)(h->chunk_tokens / x->o.block), .n_groups = 1,
		.layers = { h->geom.layers_total }, .tail = x->d->body == BODY_TAIL };
	strcpy(t->model, h->key.model);
	o = config_make(t);
	text = json_dumps(o, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	if (text && tier_name(t, o, e) == 0)
		r = buf_str(config, text) < 0 ? err_sys(e, "config.json") : 0;
	free(text);
	json_decref(o);
	return r;
}
