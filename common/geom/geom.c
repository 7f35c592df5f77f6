#include <stdio.h>
#include <string.h>

#include "geom/geom.h"

/* FNUZ types travel as U8 in safetensors: readers older than their names reject them. */
static const struct {
	const char *word;
	const char *safetensors;
	size_t size;
	const char *others;	/* blank-separated: PyTorch, vLLM, LMCache, numpy */
} types[DT_COUNT] = {
	[DT_NONE] = { "none", "", 0, "" },
	[DT_BF16] = { "bf16", "BF16", 2, "bfloat16 torch.bfloat16" },
	[DT_F16] = { "f16", "F16", 2, "half float16 fp16 torch.float16" },
	[DT_F32] = { "f32", "F32", 4, "float float32 fp32 torch.float32" },
	[DT_F64] = { "f64", "F64", 8, "double float64 torch.float64" },
	[DT_U8] = { "u8", "U8", 1, "uint8 torch.uint8" },
	[DT_I8] = { "i8", "I8", 1, "int8 torch.int8" },
	[DT_F8_E4M3FN] = { "f8_e4m3fn", "F8_E4M3", 1,
		"fp8_e4m3fn float8_e4m3fn fp8_e4m3 fp8_inc f8_e4m3" },
	[DT_F8_E4M3FNUZ] = { "f8_e4m3fnuz", "U8", 1, "fp8_e4m3fnuz float8_e4m3fnuz" },
	[DT_F8_E5M2] = { "f8_e5m2", "F8_E5M2", 1, "fp8_e5m2 float8_e5m2" },
	[DT_F8_E5M2FNUZ] = { "f8_e5m2fnuz", "U8", 1, "fp8_e5m2fnuz float8_e5m2fnuz" },
};

const char *
dtype_word(enum dtype d)
{
	return types[d < DT_COUNT ? d : DT_NONE].word;
}

const char *
dtype_safetensors(enum dtype d)
{
	return types[d < DT_COUNT ? d : DT_NONE].safetensors;
}

size_t
dtype_size(enum dtype d)
{
	return types[d < DT_COUNT ? d : DT_NONE].size;
}

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

enum dtype
dtype_parse(const char *word)
{
	int d;

	for (d = 1; d < DT_COUNT; d++)
		if (!strcmp(word, types[d].word) || in_list(types[d].others, word) ||
		    (!strcmp(word, types[d].safetensors) && d != DT_F8_E4M3FNUZ &&
		     d != DT_F8_E5M2FNUZ))
			return (enum dtype)d;
	return DT_NONE;
}

static int
range_ok(uint32_t n, uint32_t first, uint32_t total)
{
	return n > 0 && total <= 1u << 20 && n <= total && first <= total - n;
}

int
geom_check(const struct geom *g, struct err *e)
{
	if (g->dtype <= DT_NONE || g->dtype >= DT_COUNT)
		return err_set(e, ERR_CORRUPT, "geometry: no data type");
	if (g->kv != 1 && g->kv != 2)
		return err_set(e, ERR_CORRUPT, "geometry: kv is %u, not 1 or 2", g->kv);
	if (!range_ok(g->layers, g->layer_first, g->layers_total))
		return err_set(e, ERR_CORRUPT, "geometry: layers %u:%u/%u do not fit",
			g->layer_first, g->layers, g->layers_total);
	if (!range_ok(g->heads, g->head_first, g->heads_total))
		return err_set(e, ERR_CORRUPT, "geometry: heads %u:%u/%u do not fit",
			g->head_first, g->heads, g->heads_total);
	if (g->head_dim == 0 || g->head_dim > 1u << 20)
		return err_set(e, ERR_CORRUPT, "geometry: head size %u", g->head_dim);
	return 0;
}

uint64_t
geom_row(const struct geom *g)
{
	return (uint64_t)g->heads * g->head_dim * dtype_size(g->dtype);
}

uint64_t
geom_bytes(const struct geom *g, uint64_t t)
{
	uint64_t n;

	if (__builtin_mul_overflow(geom_row(g), t, &n) ||
	    __builtin_mul_overflow(n, (uint64_t)g->kv * g->layers, &n) || n > 1ull << 62)
		return 0;
	return n;
}

int
geom_same(const struct geom *a, const struct geom *b)
{
	return a->dtype == b->dtype && a->kv == b->kv && a->layers == b->layers &&
		a->layer_first == b->layer_first && a->layers_total == b->layers_total &&
		a->heads == b->heads && a->head_first == b->head_first &&
		a->heads_total == b->heads_total && a->head_dim == b->head_dim;
}

int
geom_shard(struct geom *out, const struct geom *whole, uint32_t tp, uint32_t rank, struct err *e)
{
	uint32_t g = whole->heads;

	if (tp == 0 || rank >= tp)
		return err_set(e, ERR_USAGE, "rank %u of %u: no such rank", rank, tp);
	*out = *whole;
	if (whole->kv == 1)
		return 0;
	if ((tp <= g && g % tp) || (tp > g && tp % g))
		return err_set(e, ERR_USAGE, "%u KV heads cannot be split over %u ranks", g, tp);
	out->heads = tp <= g ? g / tp : 1;
	out->head_first = whole->head_first + (uint32_t)((uint64_t)rank * g / tp);
	return 0;
}
