#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dialect/dialect.h"
#include "dialect/safetensors.h"

#define HASH32 "d91666ca730384f8682de552f88f93cf31c2763788df4f83fded99fba5d4692c"

static const struct {
	const char *family, *name;
	uint64_t size;
	const char *row, *model, *dtype, *hash;
	uint32_t tp, rank, group;
	const char *salt, *algo;
} names[] = {
	{ "lmcache", "kvtools-SEP-tiny-6l@1@0@1c8d3fd245d1dc9b@bfloat16.data", 1572892,
	  "lmcache-fs", "kvtools/tiny-6l", "bf16", "1c8d3fd245d1dc9b", 1, 0, 0, "",
	  "opaque:lmcache" },
	{ "lmcache", "kvtools-SEP-tiny-6l@2@1@-1cea871653945ef5@bfloat16.data", 786460,
	  "lmcache-fs", "kvtools/tiny-6l", "bf16", "e31578e9ac6ba10b", 2, 1, 0, "",
	  "opaque:lmcache" },
	{ "lmcache", "kvtools-tiny-6l@1@0@bc2f72bd16a94d9@half.data", 1572864,
	  "lmcache-fs-old-raw", "kvtools-tiny-6l", "f16", "0bc2f72bd16a94d9", 1, 0, 0, "",
	  "opaque:lmcache" },
	{ "lmcache", "kvtools_tiny-6l@1@0@1c8d3fd245d1dc9b@bfloat16", 1572864,
	  "lmcache-s3", "kvtools_tiny-6l", "bf16", "1c8d3fd245d1dc9b", 1, 0, 0, "",
	  "opaque:lmcache" },
	{ "lmcache", "a/b@4@3@5f05dec65811b7cc@fp8_e4m3fn@user%alice@t%x", 4096,
	  "lmcache-resp", "a/b", "f8_e4m3fn", "5f05dec65811b7cc", 4, 3, 0, "user%alice,t%x",
	  "opaque:lmcache" },
	{ "lmcache", "a/b@4@3@5f05dec65811b7cc@bfloat16kv_bytes", 4096,
	  "lmcache-redis", "a/b", "bf16", "5f05dec65811b7cc", 4, 3, 0, "", "opaque:lmcache" },
	{ "lmcache", "1c/8d/kvtools%2Ftiny-6l%401%400%401c8d3fd245d1dc9b%40bfloat16"
	  ".kvcache.safetensors", 1576960,
	  "lmcache-gds", "kvtools/tiny-6l", "bf16", "1c8d3fd245d1dc9b", 1, 0, 0, "",
	  "opaque:lmcache" },
	{ "lmcache-mp", "kvtools-SEP-tiny-6l@0x02010201@0@" HASH32 "@tenant7.data", 786432,
	  "lmcache-mp-fs", "kvtools/tiny-6l", "", HASH32, 2, 1, 0, "tenant7",
	  "opaque:lmcache-mp" },
	{ "lmcache-mp", "m@0x04020402@" HASH32 ".data", 786432,
	  "lmcache-mp-fs2", "m", "", HASH32, 4, 2, 0, "", "opaque:lmcache-mp" },
	{ "lmcache-mp", "a_b@01000100@1f@" HASH32, 786432,
	  "lmcache-mp-s3", "a_b", "", HASH32, 1, 0, 31, "", "opaque:lmcache-mp" },
	{ "lmcache-mp", "a/b@01000100@" HASH32 "@salt", 786432,
	  "lmcache-mp-resp2", "a/b", "", HASH32, 1, 0, 0, "salt", "opaque:lmcache-mp" },
	{ "vllm-fs", "kvtools_tiny-6l_a0902df85b91_r3/d91/66_g2/" HASH32 ".bin", 786432,
	  "vllm-fs", "kvtools_tiny-6l", "", HASH32, 4, 3, 2, "", "opaque:vllm-fs" },
};
#define NAMES (sizeof(names) / sizeof(*names))

static void
reads_names(void **state)
{
	char hex[KEY_HEX];
	struct dialect_name n;
	size_t i;

	(void)state;
	for (i = 0; i < NAMES; i++) {
		const struct dialect *d = dialect_find(names[i].family, NULL);

		assert_int_equal(dialect_name(d, names[i].name, names[i].size, &n), DIALECT_CHUNK);
		assert_string_equal(dialect_word(n.d), names[i].row);
		assert_string_equal(n.key.model, names[i].model);
		assert_string_equal(n.key.dtype, names[i].dtype);
		assert_string_equal(key_hash_hex(hex, &n.key.hash), names[i].hash);
		assert_int_equal(n.key.tp, names[i].tp);
		assert_int_equal(n.key.rank, names[i].rank);
		assert_int_equal(n.key.group, names[i].group);
		assert_string_equal(n.key.salt, names[i].salt);
		assert_string_equal(n.algo, names[i].algo);
		assert_int_equal(n.layer, -1);
	}
}

static void
other_names(void **state)
{
	static const struct { const char *family, *name; enum dialect_what what; } t[] = {
		{ "lmcache", "a@1@0@1c8d3fd245d1dc9b@bfloat16.tmp", DIALECT_LITTER },
		{ "lmcache", "a/b@1@0@1c8d3fd245d1dc9b@bfloat16metadata", DIALECT_TWIN },
		{ "lmcache-mp", "a@0x01000100@0@" HASH32 ".tmp", DIALECT_LITTER },
		{ "vllm-fs", "m_a0902df85b91/config.json", DIALECT_CONFIG },
		{ "vllm-fs", "m_a0902df85b91_r0/d91/66_g0/" HASH32 ".bin_x7.tmp",
		  DIALECT_LITTER },
		{ "lmcache", "1c/8d/a%401%400%401c8d3fd245d1dc9b%40half.kvcache.safetensors"
		  ".metadata", DIALECT_TWIN },
		/* none of theirs */
		{ "lmcache", "", DIALECT_FOREIGN },
		{ "lmcache", "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@", DIALECT_FOREIGN },
		{ "lmcache", "a@1@1@1c8d3fd245d1dc9b@bfloat16.data", DIALECT_FOREIGN },
		{ "lmcache", "a@0@0@1c8d3fd245d1dc9b@bfloat16.data", DIALECT_FOREIGN },
		{ "lmcache", "a@1@0@01c8d3fd245d1dc9b@bfloat16.data", DIALECT_FOREIGN },
		{ "lmcache", "a@1@0@-0@bfloat16.data", DIALECT_FOREIGN },
		{ "lmcache", "a@1@0@1c8d@complex64.data", DIALECT_FOREIGN },
		{ "lmcache", "a@1@0@1c8d@half@tag.data", DIALECT_FOREIGN },
		{ "lmcache", "ff/8d/a%401%400%401c8d3fd245d1dc9b%40half.kvcache.safetensors",
		  DIALECT_FOREIGN },
		{ "lmcache-mp", "a@0x00000000@0@" HASH32 ".data", DIALECT_FOREIGN },
		{ "lmcache-mp", "a@0x01010101@0@" HASH32 ".data", DIALECT_FOREIGN },
		{ "lmcache-mp", "a@01000100@0@" HASH32 ".data", DIALECT_FOREIGN },
		{ "lmcache-mp", "@0x01000100@0@" HASH32 ".data", DIALECT_FOREIGN },
		{ "vllm-fs", "m_a0902df85b91_r0/d92/66_g0/" HASH32 ".bin", DIALECT_FOREIGN },
		{ "vllm-fs", "m_r0/d91/66_g0/" HASH32 ".bin", DIALECT_FOREIGN },
		{ "vllm-example", "0123/model.layers.0.safetensors", DIALECT_FOREIGN },
		{ "native", "a/b/c", DIALECT_FOREIGN },
	};
	struct dialect_name n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(*t); i++)
		if (dialect_name(dialect_find(t[i].family, NULL), t[i].name, UINT64_MAX, &n)
			!= t[i].what)
			fail_msg("%s: %d", t[i].name, n.what);
}

static void
layerwise(void **state)
{
	struct dialect_name n;

	(void)state;
	assert_int_equal(dialect_name(dialect_find("lmcache", "file"),
		"m@1@0@1c8d3fd245d1dc9b@half@17@a%b.data", 28 + 100, &n), DIALECT_CHUNK);
	assert_int_equal(n.layer, 17);
	assert_string_equal(n.key.salt, "a%b");
	/* the form before dtypes stood in names */
	assert_int_equal(dialect_name(dialect_find("lmcache", "file"),
		"vllm@m@2@1@-1c8d3fd245d1dc9@a%b.data", 28 + 100, &n), DIALECT_CHUNK);
	assert_string_equal(n.key.model, "m");
	assert_int_equal(n.key.rank, 1);
	assert_string_equal(n.key.dtype, "");
}

static void
finds(void **state)
{
	(void)state;
	assert_string_equal(dialect_word(dialect_find("lmcache", "s3")), "lmcache-s3");
	assert_string_equal(dialect_word(dialect_find("lmcache", "rediss")), "lmcache-redis");
	assert_string_equal(dialect_word(dialect_find("lmcache", "valkeys")), "lmcache-resp");
	assert_string_equal(dialect_word(dialect_find("lmcache-mp", "file")), "lmcache-mp-fs");
	assert_string_equal(dialect_word(dialect_find("native", "s3")), "native");
	assert_null(dialect_find("dynamo", "file"));
}

static void
detects(void **state)
{
	struct dialect_detect t = { 0 };
	struct dialect_guess g;
	size_t i;

	(void)state;
	g = dialect_detect_end(&t);
	assert_null(g.d);
	for (i = 0; i < 3; i++)
		dialect_detect_add(&t, names[0].name, names[0].size);
	g = dialect_detect_end(&t);
	assert_string_equal(dialect_word(g.d), "lmcache-fs");
	assert_true(g.sure);
	dialect_detect_add(&t, names[7].name, names[7].size);
	g = dialect_detect_end(&t);
	assert_string_equal(g.text, "lmcache-fs: 3 of 4 objects");
	assert_false(g.sure);
}

/* A chunk of two heads, three layers, 8 tokens of dimension 4, sealed. */
static void
make(struct chunk *c, struct pool *pool, uint32_t tp, uint32_t rank, const char *algo)
{
	struct chunk_head *h = &c->head;
	struct err e;
	uint64_t i, n;

	memset(c, 0, sizeof(*c));
	h->geom = (struct geom){ .dtype = DT_BF16, .kv = 2, .layers = 3, .layers_total = 3,
		.heads = 2, .head_first = 2 * rank, .heads_total = 2 * tp, .head_dim = 4 };
	h->key.tp = tp;
	h->key.rank = rank;
	strcpy(h->key.model, "org/some-model_x");
	strcpy(h->key.dtype, "bf16");
	h->key.hash.len = 32;
	memset(h->key.hash.b, 0xd9, 32);
	strcpy(h->algo, algo);
	h->tokens = h->chunk_tokens = 8;
	h->first_token = CHUNK_UNKNOWN;
	n = geom_bytes(&h->geom, 8);
	assert_int_equal(pool_extra(pool, CHUNK_ALIGN + n, &c->mem, &e), 0);
	c->mem.len = CHUNK_ALIGN + n;
	for (i = 0; i < n; i++)
		c->mem.p[CHUNK_ALIGN + i] = (unsigned char)(i * 7 + i / 256);
	assert_int_equal(chunk_seal(c, pool, &e), 0);
}

static struct pool *pool;

/* What write puts, as parts for read. Config objects are learned. */
static size_t
as_parts(struct dialect_ctx *x, const struct dialect *d, const struct dialect_out *out,
	struct dialect_part *p)
{
	struct err e;
	size_t i, n = 0, size, front;
	int k;

	for (i = 0; i < out->n; i++) {
		const struct dialect_object *o = &out->obj[i];
		struct block b;

		for (k = 0, size = 0; k < o->n_iov; k++)
			size += o->iov[k].iov_len;
		p[n].name = o->name;
		assert_int_not_equal(dialect_name(d, o->name, size, &p[n].n), DIALECT_FOREIGN);
		front = dialect_front(&p[n].n, size);
		assert_int_equal(pool_extra(pool, front + size, &b, &e), 0);
		for (k = 0, b.len = front; k < o->n_iov; b.len += o->iov[k++].iov_len)
			memcpy(b.p + b.len, o->iov[k].iov_base, o->iov[k].iov_len);
		if (p[n].n.what == DIALECT_CONFIG) {
			assert_int_equal(dialect_learn(x, o->name, b.p + front, size, &e), 0);
			pool_put(pool, &b);
			continue;
		}
		p[n].mem = b;
		p[n++].front = front;
	}
	return n;
}

/* Every row that writes reads back what it wrote. */
static void
round_trips(void **state)
{
	struct geom whole = { .dtype = DT_BF16, .kv = 2, .layers = 3, .layers_total = 3,
		.heads = 4, .heads_total = 4, .head_dim = 4 };
	struct dialect_opts o = { .geom = &whole, .chunk_tokens = 8, .layout = LAYOUT_G3_HND,
		.block = 4, .model = "org/some-model_x" };
	const struct dialect *d;
	size_t i, n;

	(void)state;
	for (i = 0; (d = dialect_at(i)); i++) {
		struct dialect_part parts[4];
		struct dialect_ctx *x;
		struct dialect_out out;
		struct chunk c, back;
		struct err e;
		char algo[64];

		if (!(dialect_flags(d) & DIALECT_WRITES))
			continue;
		snprintf(algo, sizeof(algo), "opaque:%s", dialect_family(d));
		make(&c, pool, 2, 1, algo);
		assert_int_equal(dialect_open(&x, d, &o, &e), 0);
		if (dialect_write(x, &c, pool, &out, &e) < 0)
			fail_msg("%s", e.text);
		n = as_parts(x, d, &out, parts);
		if (dialect_read(x, parts, n, pool, &back, &e) < 0)
			fail_msg("%s: %s", dialect_word(d), e.text);
		if (!(dialect_flags(d) & DIALECT_NATIVE))
			assert_int_equal(chunk_seal(&back, pool, &e), 0);
		if (key_cmp(&back.head.key, &c.head.key))
			fail_msg("%s: %s", dialect_word(d), back.head.key.model);
		assert_true(geom_same(&back.head.geom, &c.head.geom));
		assert_int_equal(back.mem.len, c.mem.len);
		assert_memory_equal(chunk_payload(&back), chunk_payload(&c), c.head.payload);
		dialect_out_free(&out, pool);
		dialect_close(x);
		chunk_free(&back, pool);
		chunk_free(&c, pool);
	}
}

/* The header in LMCache's documentation of a full chunk of Llama-3.1-8B, in small. */
static void
header_bytes(void **state)
{
	static const unsigned char want[28] = { 0x00, 3, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0,
		3, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0 };
	struct dialect_ctx *x;
	struct dialect_out out;
	struct chunk c;
	struct err e;

	(void)state;
	make(&c, pool, 2, 1, "lmcache-builtin:C:seed=0");
	c.head.key.hash.len = 8;
	memset(c.head.key.hash.b + 8, 0, 24);
	assert_int_equal(dialect_open(&x, dialect_find("lmcache", "file"), NULL, &e), 0);
	assert_int_equal(dialect_write(x, &c, pool, &out, &e), 0);
	assert_int_equal(out.n, 1);
	assert_string_equal(out.obj[0].name,
		"org-SEP-some-model_x@2@1@-2626262626262627@bfloat16.data");
	assert_int_equal(out.obj[0].n_iov, 2);
	assert_memory_equal(out.obj[0].iov[0].iov_base, want, 28);
	assert_ptr_equal(out.obj[0].iov[1].iov_base, chunk_payload(&c));
	dialect_out_free(&out, pool);
	/* other people's names are refused, and so is what the format lacks */
	strcpy(c.head.algo, "blake3");
	assert_int_equal(dialect_takes(x, &c.head, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_non_null(strstr(e.text, "--tokens"));
	strcpy(c.head.algo, "lmcache-builtin");
	strcpy(c.head.key.salt, "tenant");
	assert_int_equal(dialect_takes(x, &c.head, &e), -1);
	dialect_close(x);
	chunk_free(&c, pool);
}

static int
read_one(const char *family, const struct dialect_opts *o, const char *name, const void *p,
	size_t n, struct chunk *out, struct err *e)
{
	struct dialect_part part = { .name = name };
	struct dialect_ctx *x;
	int r;

	assert_int_equal(dialect_open(&x, dialect_find(family, NULL), o, e), 0);
	dialect_name(dialect_find(family, NULL), name, n, &part.n);
	part.front = dialect_front(&part.n, n);
	assert_int_equal(pool_extra(pool, part.front + n, &part.mem, e), 0);
	memcpy(part.mem.p + part.front, p, n);
	part.mem.len = part.front + n;
	r = dialect_read(x, &part, 1, pool, out, e);
	dialect_close(x);
	return r;
}

static void
broken_bodies(void **state)
{
	static const char name[] = "m@1@0@1c8d3fd245d1dc9b@bfloat16.data";
	struct geom g = { .dtype = DT_BF16, .kv = 2, .layers = 1, .layers_total = 1, .heads = 2,
		.heads_total = 2, .head_dim = 32 };
	struct dialect_opts o = { .geom = &g, .chunk_tokens = 256 };
	static unsigned char body[28 + 65536 + 64];
	struct chunk c;
	struct err e;

	(void)state;
	put_le32(body, 65536);
	put_le32(body + 4, 1);
	put_le32(body + 8, 3);
	put_le32(body + 12, 2);
	put_le32(body + 16, 1);
	put_le32(body + 20, 256);
	put_le32(body + 24, 64);
	assert_int_equal(read_one("lmcache", &o, name, body, 28 + 65536, &c, &e), 0);
	assert_int_equal(c.head.geom.heads, 2);
	chunk_free(&c, pool);
	/* without geometry the heads are not known */
	assert_int_equal(read_one("lmcache", NULL, name, body, 28 + 65536, &c, &e), 0);
	assert_int_equal(c.head.geom.heads, 1);
	assert_int_equal(c.head.geom.head_dim, 64);
	chunk_free(&c, pool);
	/* cut short, a shape of other size, a coded body, another type than the name's */
	assert_int_equal(read_one("lmcache", &o, name, body, 28 + 65535, &c, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	put_le32(body + 20, 255);
	assert_int_equal(read_one("lmcache", &o, name, body, 28 + 65536, &c, &e), -1);
	put_le32(body + 20, 0x80000000u);
	assert_int_equal(read_one("lmcache", &o, name, body, 28 + 65536, &c, &e), -1);
	put_le32(body + 20, 256);
	put_le32(body + 4, 5);
	assert_int_equal(read_one("lmcache", &o, name, body, 28 + 65536, &c, &e), -1);
	put_le32(body + 4, 1);
	put_le32(body + 8, 2);
	assert_int_equal(read_one("lmcache", &o, name, body, 28 + 65536, &c, &e), -1);
	/* raw: no geometry, an encrypted frame; half a chunk where the engine has whole ones, which
	 * is a cast body or a lost half, and where it has others */
	assert_int_equal(read_one("lmcache-mp", NULL, "m@0x01000100@0@" HASH32 ".data", body,
		65536, &c, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_non_null(strstr(e.text, "--geometry"));
	assert_int_equal(read_one("lmcache-mp", &o, "m@0x01000100@0@" HASH32 ".data", body,
		65536 + 29, &c, &e), -1);
	assert_non_null(strstr(e.text, "encrypt"));
	assert_int_equal(read_one("lmcache-mp", &o, "m@0x01000100@0@" HASH32 ".data", body,
		32768, &c, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_non_null(strstr(e.text, "chunk-tokens=128"));
	o.chunk_tokens = 128;
	assert_int_equal(read_one("lmcache-mp", &o, "m@0x01000100@0@" HASH32 ".data", body,
		32768, &c, &e), 0);
	assert_int_equal(c.head.tokens, 128);
	chunk_free(&c, pool);
	o.chunk_tokens = 0;
	assert_int_equal(read_one("lmcache-fs-raw", &o, "m@1@0@ab12@bfloat16.data", body, 32768, &c,
		&e), 0);
	assert_int_equal(c.head.tokens, 128);
	chunk_free(&c, pool);
}

/* Two layers as LMCache's layerwise objects, one [T,2,H], one [2,T,H]. */
static void
layers_together(void **state)
{
	enum { T = 3, H = 4 };
	struct dialect_part parts[2] = { 0 };
	const struct dialect *d = dialect_find("lmcache", "file");
	struct dialect_ctx *x;
	struct chunk c;
	struct err e;
	unsigned char *p;
	int i, k, t, h;

	(void)state;
	assert_int_equal(dialect_open(&x, d, NULL, &e), 0);
	for (i = 0; i < 2; i++) {
		parts[i].name = i ? "m@1@0@1c8d3fd245d1dc9b@uint8@1.data"
			: "m@1@0@1c8d3fd245d1dc9b@uint8@0.data";
		dialect_name(d, parts[i].name, 28 + 2 * T * H, &parts[i].n);
		assert_int_equal(pool_extra(pool, 28 + 2 * T * H, &parts[i].mem, &e), 0);
		parts[i].mem.len = 28 + 2 * T * H;
		p = parts[i].mem.p;
		memset(p, 0, 28);
		put_le32(p, 2 * T * H);
		put_le32(p + 4, i ? 3 : 2);
		put_le32(p + 8, 6);
		put_le32(p + 12, i ? 2 : T);
		put_le32(p + 16, i ? T : 2);
		put_le32(p + 20, H);
		for (k = 0; k < 2; k++)
			for (t = 0; t < T; t++)
				for (h = 0; h < H; h++)
					p[28 + (i ? k * T + t : t * 2 + k) * H + h] =
						(unsigned char)(64 * k + 32 * i + t * H + h);
	}
	assert_int_equal(dialect_read(x, parts, 2, pool, &c, &e), 0);
	assert_int_equal(c.head.geom.layers, 2);
	assert_int_equal(c.head.tokens, T);
	for (k = 0; k < 2; k++)
		for (i = 0; i < 2; i++)
			for (t = 0; t < T * H; t++)
				assert_int_equal(c.mem.p[CHUNK_ALIGN + (k * 2 + i) * T * H + t],
					64 * k + 32 * i + t);
	chunk_free(&c, pool);
	dialect_close(x);
}

static int
parse_text(const char *json, uint64_t data)
{
	struct safetensors s;
	struct err e;
	struct buf b = { 0 };
	int r;

	put_le64(buf_room(&b, 8), strlen(json));
	b.len = 8;
	buf_str(&b, json);
	r = safetensors_parse(&s, b.p, b.len, b.len + data, &e);
	safetensors_free(&s);
	buf_free(&b);
	return r;
}

static void
safetensors_rules(void **state)
{
	(void)state;
	assert_int_equal(parse_text("{}", 0), 0);
	assert_int_equal(parse_text("{\"a\":{\"dtype\":\"BF16\",\"shape\":[2,3],"
		"\"data_offsets\":[0,12]}}   ", 12), 0);
	assert_int_equal(parse_text("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],"
		"\"data_offsets\":[0,2]}}", 2), -1);
	assert_int_equal(parse_text("{\"a\":{\"dtype\":\"BF16\",\"shape\":[],"
		"\"data_offsets\":[0,2]}}", 2), 0);
	assert_int_equal(parse_text("{\"a\":{\"dtype\":\"BF16\",\"shape\":[0,9],"
		"\"data_offsets\":[0,0]}}", 0), 0);
	/* too much data, a hole, an overlap, a wrong size, an overflow, twice, unknown */
	assert_int_equal(parse_text("{}", 1), -1);
	assert_int_equal(parse_text("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],"
		"\"data_offsets\":[1,3]}}", 3), -1);
	assert_int_equal(parse_text("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
		"\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3), -1);
	assert_int_equal(parse_text("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],"
		"\"data_offsets\":[0,2]}}", 2), -1);
	assert_int_equal(parse_text("{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],"
		"\"data_offsets\":[0,0]}}", 0), -1);
	assert_int_equal(parse_text("{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
		"\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0), -1);
	assert_int_equal(parse_text("{\"a\":{\"dtype\":\"BF17\",\"shape\":[1],"
		"\"data_offsets\":[0,2]}}", 2), -1);
	assert_int_equal(parse_text("{\"__metadata__\":{\"a\":1}}", 0), -1);
	assert_int_equal(parse_text("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0), -1);
	assert_int_equal(parse_text(" {}", 0), -1);
	assert_int_equal(parse_text("{}{}", 0), -1);
	assert_int_equal(parse_text("[]", 0), -1);
}

static int
setup(void **state)
{
	struct err e;

	(void)state;
	return pool_open(&pool, 1 << 24, &e);
}

static int
teardown(void **state)
{
	(void)state;
	pool_close(pool);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_names), cmocka_unit_test(other_names),
		cmocka_unit_test(layerwise), cmocka_unit_test(finds), cmocka_unit_test(detects),
		cmocka_unit_test(round_trips), cmocka_unit_test(header_bytes),
		cmocka_unit_test(broken_bodies), cmocka_unit_test(layers_together),
		cmocka_unit_test(safetensors_rules),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
