#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/num.h"
#include "geom/geom.h"

/* Published model configurations: layers, KV heads, head size (MLA: heads 0, the latent's
 * size kv_lora_rank + qk_rope_head_dim). All bf16. */
static const struct preset {
	const char *name;
	uint32_t layers, heads, dim;
} presets[] = {
	{ "llama-2-7b", 32, 32, 128 }, { "llama-2-13b", 40, 40, 128 },
	{ "llama-2-70b", 80, 8, 128 },
	{ "codellama-34b", 48, 8, 128 }, { "yi-34b", 60, 8, 128 },
	{ "llama-3.1-8b", 32, 8, 128 }, { "llama-3.1-70b", 80, 8, 128 },
	{ "llama-3.3-70b", 80, 8, 128 }, { "llama-3.1-405b", 126, 8, 128 },
	{ "mistral-7b", 32, 8, 128 }, { "mixtral-8x7b", 32, 8, 128 },
	{ "qwen2.5-7b", 28, 4, 128 }, { "qwen2.5-72b", 80, 8, 128 },
	{ "qwen3-0.6b", 28, 8, 128 }, { "qwen3-8b", 36, 8, 128 }, { "qwen3-32b", 64, 8, 128 },
	{ "qwen3-30b-a3b", 48, 4, 128 }, { "qwen3-235b-a22b", 94, 4, 128 },
	{ "gpt-oss-20b", 24, 8, 64 }, { "gpt-oss-120b", 36, 8, 64 },
	{ "deepseek-v3", 61, 0, 576 }, { "deepseek-r1", 61, 0, 576 },
	{ "tiny", 2, 2, 64 },	/* ours: 1 KiB a token, for tests and demonstrations */
};

const char *
geom_preset_name(size_t i)
{
	return i < sizeof(presets) / sizeof(*presets) ? presets[i].name : NULL;
}

static void
whole(struct geom *g, enum dtype dtype, uint32_t layers, uint32_t heads, uint32_t dim)
{
	*g = (struct geom){ .dtype = dtype, .kv = heads ? 2 : 1, .layers = layers,
		.layers_total = layers, .heads = heads ? heads : 1,
		.heads_total = heads ? heads : 1, .head_dim = dim };
}

static int
from_preset(struct geom *out, char model[256], const char *spec)
{
	size_t i;

	for (i = 0; geom_preset_name(i); i++) {
		if (strcasecmp(presets[i].name, spec) != 0)
			continue;
		whole(out, DT_BF16, presets[i].layers, presets[i].heads, presets[i].dim);
		if (model)
			snprintf(model, 256, "%s", presets[i].name);
		return 0;
	}
	return -1;
}

static int
positive(json_t *o, const char *name, uint32_t *out)
{
	json_int_t v = json_integer_value(json_object_get(o, name));

	if (v <= 0 || v > 1 << 20)
		return -1;
	*out = (uint32_t)v;
	return 0;
}

static int
from_json(struct geom *out, char model[256], json_t *top, const char *path, struct err *e)
{
	json_t *text = json_object_get(top, "text_config");	/* multimodal models nest it */
	json_t *c = json_is_object(text) ? text : top;
	uint32_t layers, heads, dim, hidden, q_heads, lora, rope;
	const char *name, *word;
	enum dtype dtype;

	if (positive(c, "num_hidden_layers", &layers) < 0)
		return err_set(e, ERR_USAGE, "geometry '%s': no num_hidden_layers", path);
	word = json_string_value(json_object_get(c, "torch_dtype"));
	if (!word)
		word = json_string_value(json_object_get(c, "dtype"));
	dtype = dtype_parse(word ? word : "bfloat16");
	if (dtype == DT_NONE)
		return err_set(e, ERR_USAGE, "geometry '%s': unknown torch_dtype '%.40s'", path,
			word);
	if (positive(c, "kv_lora_rank", &lora) == 0 &&
	    positive(c, "qk_rope_head_dim", &rope) == 0) {
		whole(out, dtype, layers, 0, lora + rope);
	} else {
		if (positive(c, "num_attention_heads", &q_heads) < 0)
			return err_set(e, ERR_USAGE, "geometry '%s': no num_attention_heads", path);
		if (positive(c, "num_key_value_heads", &heads) < 0)
			heads = q_heads;
		if (positive(c, "head_dim", &dim) < 0) {
			if (positive(c, "hidden_size", &hidden) < 0 || hidden % q_heads)
				return err_set(e, ERR_USAGE, "geometry '%s': no head_dim", path);
			dim = hidden / q_heads;
		}
		whole(out, dtype, layers, heads, dim);
	}
	name = json_string_value(json_object_get(top, "_name_or_path"));
	if (model && name && *name)
		snprintf(model, 256, "%s", name);
	return 0;
}

int
geom_config(struct geom *out, char model[256], const void *json, size_t n, const char *name,
	struct err *e)
{
	json_t *top = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
	int rc = -1;

	if (!json_is_object(top))
		err_set(e, ERR_USAGE, "geometry '%s': not a JSON object", name);
	else
		rc = from_json(out, model, top, name, e);
	json_decref(top);
	return rc;
}

static int
from_file(struct geom *out, char model[256], const char *path, struct err *e)
{
	struct buf b = { 0 };
	int rc = io_slurp(path, &b, 1 << 20, e);

	if (rc == 0)
		rc = geom_config(out, model, b.p, b.len, path, e);
	else if (e)
		e->kind = ERR_USAGE;
	buf_free(&b);
	return rc;
}

static int
set_field(struct geom *g, char model[256], const char *name, const char *value, struct err *e)
{
	const struct { const char *name; uint32_t *at; } fields[] = {
		{ "kv", &g->kv }, { "layers", &g->layers }, { "heads", &g->heads },
		{ "head_dim", &g->head_dim },
	};
	uint64_t v;
	size_t i;

	if (!strcmp(name, "dtype")) {
		g->dtype = dtype_parse(value);
		return g->dtype != DT_NONE ? 0 :
			err_set(e, ERR_USAGE, "geometry: unknown dtype '%s'", value);
	}
	if (!strcmp(name, "model")) {
		if (model)
			snprintf(model, 256, "%s", value);
		return 0;
	}
	for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (strcmp(name, fields[i].name) != 0)
			continue;
		if (num_u64(&v, value, 1, 1 << 20, name, e) < 0)
			return -1;
		*fields[i].at = (uint32_t)v;
		return 0;
	}
	return err_set(e, ERR_USAGE, "geometry: unknown '%s' (model dtype kv layers heads "
		"head_dim)", name);
}

static int
from_pairs(struct geom *out, char model[256], const char *spec, struct err *e)
{
	struct geom g = { .dtype = DT_BF16, .kv = 2 };
	char *copy = strdup(spec), *save, *pair;
	int rc = 0;

	if (!copy)
		return err_sys(e, "geometry");
	for (pair = strtok_r(copy, ",", &save); pair && rc == 0;
	     pair = strtok_r(NULL, ",", &save)) {
		char *value = strchr(pair, '=');

		if (value)
			*value++ = 0;
		rc = value ? set_field(&g, model, pair, value, e) :
			err_set(e, ERR_USAGE, "geometry: '%s' is not name=value", pair);
	}
	free(copy);
	if (rc < 0)
		return -1;
	if (g.kv == 1 && !g.heads)
		g.heads = 1;
	g.layers_total = g.layers;
	g.heads_total = g.heads;
	if (geom_check(&g, e) < 0) {
		if (e)
			e->kind = ERR_USAGE;
		return -1;
	}
	*out = g;
	return 0;
}

int
geom_read(struct geom *out, char model[256], const char *spec, struct err *e)
{
	size_t n = strlen(spec);

	if (from_preset(out, model, spec) == 0)
		return 0;
	if (strchr(spec, '=') && !strchr(spec, '/'))
		return from_pairs(out, model, spec, e);
	if (strchr(spec, '/') || (n > 5 && !strcmp(spec + n - 5, ".json")))
		return from_file(out, model, spec, e);
	return err_set(e, ERR_USAGE, "geometry '%s': no such model (kvurl(7) lists them); give a "
		"config.json or layers=N,heads=N,head_dim=N,dtype=bf16", spec);
}
