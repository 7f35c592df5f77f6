#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "dialect/npy.h"
#include "dialect/tensor.h"

enum { T = 50, CHUNK = 16, LAYERS = 12, HEADS = 2, DIM = 8 };

static struct pool *pool;
static char dir[] = "/tmp/tensorXXXXXX";
static uint32_t tokens[T];

static struct tensor_opts
opts(void)
{
	return (struct tensor_opts){ .model = "org/m", .tokens = tokens, .n_tokens = T,
		.chunk_tokens = CHUNK, .tail = 1, .layout = LAYOUT_G3_NHD, .block = 7 };
}

static const char *
in_dir(const char *name)
{
	static char path[4][200];
	static int k;

	k = (k + 1) % 4;
	snprintf(path[k], sizeof(path[k]), "%s/%s", dir, name);
	return path[k];
}

static unsigned char
value(unsigned c, unsigned l, uint64_t t, unsigned i)
{
	return (unsigned char)(c * 131 + l * 17 + t * 5 + i * 3 + t * i);
}

/* A .npy of all of it, by hand. */
static void
make_npy(const char *path, uint64_t n)
{
	uint64_t shape[5] = { 2, LAYERS, n, HEADS, DIM }, t;
	struct buf b = { 0 };
	struct err e;
	unsigned c, l, i;

	assert_int_equal(npy_header(&b, DT_BF16, shape, 5, &e), 0);
	assert_int_equal(b.len % 64, 0);
	for (c = 0; c < 2; c++)
		for (l = 0; l < LAYERS; l++)
			for (t = 0; t < n; t++)
				for (i = 0; i < HEADS * DIM * 2; i++)
					buf_chr(&b, (char)value(c, l, t, i));
	assert_int_equal(io_replace(path, b.p, b.len, 0600, &e), 0);
	buf_free(&b);
}

static void
check_chunk(const struct chunk *c)
{
	const unsigned char *p = chunk_payload(c);
	uint64_t t, first = c->head.first_token;
	unsigned k, l, i;

	for (k = 0; k < 2; k++)
		for (l = 0; l < LAYERS; l++)
			for (t = 0; t < c->head.tokens; t++)
				for (i = 0; i < HEADS * DIM * 2; i++)
					assert_int_equal(*p++, value(k, l, first + t, i));
}

/* Read from, check every byte, write to. */
static void
pass(const char *from, const char *to, uint64_t want)
{
	struct tensor_opts o = opts();
	struct tensor_out *out;
	struct tensor_in *in;
	struct chunk c;
	uint64_t n = 0;
	struct err e;
	size_t i;

	if (want != T)
		o.tokens = NULL;
	if (tensor_in_open(&in, from, &o, &e) < 0)
		fail_msg("%s", e.text);
	if (to) {
		o = opts();
		assert_int_equal(tensor_out_open(&out, to, &o, &e), 0);
	}
	for (i = 0; i < tensor_in_count(in); i++) {
		if (tensor_in_chunk(in, i, pool, i, &c, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(chunk_verify(&c, &e), 0);
		check_chunk(&c);
		n += c.head.tokens;
		if (to && tensor_out_put(out, &c, &e) < 0)
			fail_msg("%s", e.text);
		chunk_free(&c, pool);
	}
	assert_int_equal(n, want);
	tensor_in_close(in);
	if (to && tensor_out_close(out, 1, &e) < 0)
		fail_msg("%s", e.text);
}

static void
round_trips(void **state)
{
	struct buf a = { 0 }, b = { 0 };
	struct err e;

	(void)state;
	make_npy(in_dir("a.npy"), T);
	pass(in_dir("a.npy"), in_dir("b.safetensors"), T);
	pass(in_dir("b.safetensors"), in_dir("c.npy"), T);
	pass(in_dir("c.npy"), in_dir("d.safetensors"), T);
	assert_int_equal(io_slurp(in_dir("a.npy"), &a, 1 << 24, &e), 0);
	assert_int_equal(io_slurp(in_dir("c.npy"), &b, 1 << 24, &e), 0);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.p, b.p, a.len);
	a.len = b.len = 0;
	assert_int_equal(io_slurp(in_dir("b.safetensors"), &a, 1 << 24, &e), 0);
	assert_int_equal(io_slurp(in_dir("d.safetensors"), &b, 1 << 24, &e), 0);
	assert_memory_equal(a.p, b.p, a.len);
	buf_free(&a);
	buf_free(&b);
}

/* (T-1)/7*7 = 49 tokens; the folder's name is MD5 of 0..48 as int64, from Python. */
static void
example_folders(void **state)
{
	static const enum layout gens[] = { LAYOUT_G1_NHD, LAYOUT_G2_NHD, LAYOUT_G3_NHD };
	struct geom whole = { .dtype = DT_BF16, .kv = 2, .layers = LAYERS,
		.layers_total = LAYERS, .heads = HEADS, .heads_total = HEADS, .head_dim = DIM };
	char sub[20], path[300];
	struct tensor_opts o;
	struct tensor_out *out;
	struct tensor_in *in;
	struct chunk c;
	struct err e;
	unsigned g;
	size_t i;

	(void)state;
	make_npy(in_dir("a.npy"), T);
	for (g = 0; g < 3; g++) {
		snprintf(sub, sizeof(sub), "ex%u", g);
		o = opts();
		o.layout = gens[g];
		o.geom = &whole;
		assert_int_equal(tensor_in_open(&in, in_dir("a.npy"), &o, &e), 0);
		assert_int_equal(tensor_out_open(&out, in_dir(sub), &o, &e), 0);
		for (i = 0; i < tensor_in_count(in); i++) {
			assert_int_equal(tensor_in_chunk(in, i, pool, i, &c, &e), 0);
			assert_int_equal(tensor_out_put(out, &c, &e), 0);
			chunk_free(&c, pool);
		}
		tensor_in_close(in);
		if (tensor_out_close(out, 1, &e) < 0)
			fail_msg("%s", e.text);
		snprintf(path, sizeof(path), "%s/acc149cb581c66d276f365d5bf5c5471", in_dir(sub));
		o.tokens = NULL;
		if (tensor_in_open(&in, path, &o, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(tensor_in_count(in), 4);
		for (i = 0; i < 4; i++) {
			assert_int_equal(tensor_in_chunk(in, i, pool, i, &c, &e), 0);
			assert_int_equal(c.head.tokens, i < 3 ? 16 : 1);
			assert_int_equal(c.head.geom.heads, HEADS);
			check_chunk(&c);
			chunk_free(&c, pool);
		}
		tensor_in_close(in);
	}
}

/* Prompts that begin alike have chunks of one name, with tokens and without. */
static void
names(void **state)
{
	struct tensor_opts o = opts();
	struct tensor_in *a, *b;
	struct chunk x, y;
	struct err e;
	size_t i, k;

	(void)state;
	make_npy(in_dir("a.npy"), T);
	make_npy(in_dir("b.npy"), 40);
	for (k = 0; k < 2; k++) {
		o.n_tokens = T;
		assert_int_equal(tensor_in_open(&a, in_dir("a.npy"), &o, &e), 0);
		o.n_tokens = 40;
		o.tail = 0;
		assert_int_equal(tensor_in_open(&b, in_dir("b.npy"), &o, &e), 0);
		assert_int_equal(tensor_in_count(b), 2);
		assert_int_equal(tensor_in_dropped(b), 8);
		for (i = 0; i < 2; i++) {
			assert_int_equal(tensor_in_chunk(a, i, pool, i, &x, &e), 0);
			assert_int_equal(tensor_in_chunk(b, i, pool, i, &y, &e), 0);
			assert_int_equal(x.mem.len, y.mem.len);
			assert_memory_equal(x.mem.p, y.mem.p, x.mem.len);
			assert_string_equal(x.head.algo, k ? "opaque" : "blake3");
			chunk_free(&x, pool);
			chunk_free(&y, pool);
		}
		tensor_in_close(a);
		tensor_in_close(b);
		o.tokens = NULL;
		o.tail = 1;
	}
}

static void
refused(void **state)
{
	struct tensor_opts o = opts();
	struct tensor_out *out;
	struct tensor_in *in;
	struct chunk c;
	struct err e;

	(void)state;
	make_npy(in_dir("a.npy"), T);
	o.n_tokens = T - 1;
	assert_int_equal(tensor_in_open(&in, in_dir("a.npy"), &o, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	o = opts();
	o.model = NULL;
	assert_int_equal(tensor_in_open(&in, in_dir("a.npy"), &o, &e), -1);
	assert_int_equal(tensor_in_open(&in, in_dir("none.npy"), &o, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	assert_int_equal(truncate(in_dir("a.npy"), 5000), 0);
	o = opts();
	assert_int_equal(tensor_in_open(&in, in_dir("a.npy"), &o, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	/* the second chunk first; then nothing may be there */
	make_npy(in_dir("a.npy"), T);
	assert_int_equal(tensor_in_open(&in, in_dir("a.npy"), &o, &e), 0);
	assert_int_equal(tensor_out_open(&out, in_dir("no.safetensors"), &o, &e), 0);
	assert_int_equal(tensor_in_chunk(in, 1, pool, 0, &c, &e), 0);
	assert_int_equal(tensor_out_put(out, &c, &e), -1);
	assert_int_equal(tensor_out_close(out, 0, &e), 0);
	assert_int_equal(access(in_dir("no.safetensors"), F_OK), -1);
	chunk_free(&c, pool);
	tensor_in_close(in);
}

static int
npy(const char *dict, uint64_t data)
{
	struct buf b = { 0 };
	struct npy a;
	struct err e;
	int r;

	buf_add(&b, "\x93NUMPY\2\0\0\0\0\0", 12);
	buf_str(&b, dict);
	put_le32(b.p + 8, (uint32_t)strlen(dict));
	r = npy_parse(&a, b.p, b.len, b.len + data, &e);
	buf_free(&b);
	return r;
}

static void
npy_rules(void **state)
{
	(void)state;
	assert_int_equal(npy("{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }\n", 12), 0);
	assert_int_equal(npy("{\"shape\":(3,),'fortran_order':False,'descr':'|u1'}", 3), 0);
	assert_int_equal(npy("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4), 0);
	assert_int_equal(npy("{'descr': '<f2', 'fortran_order': True, 'shape': (2, 3), }", 12), -1);
	assert_int_equal(npy("{'descr': '>f2', 'fortran_order': False, 'shape': (2,), }", 4), -1);
	assert_int_equal(npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 4), -1);
	assert_int_equal(npy("{'descr': [('a', '<f2')], 'fortran_order': False, 'shape': (2,)}", 4),
		-1);
	assert_int_equal(npy("{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }", 5), -1);
	assert_int_equal(npy("{'descr': '<f2', 'fortran_order': False, 'shape': (2), }", 4), -1);
	assert_int_equal(npy("{'descr': '<f2', 'fortran_order': False, }", 4), -1);
	assert_int_equal(npy("{'descr': '<f2', 'descr': '<f2', 'shape': (2,), }", 4), -1);
	assert_int_equal(npy("{'descr': '<f2', 'fortran_order': False, 'shape': "
		"(4294967296,4294967296,0)}", 0), -1);
	assert_int_equal(npy("{'descr': '<f2', 'fortran_order': False, 'shape': (2,)", 4), -1);
	assert_int_equal(npy("", 4), -1);
}

static int
setup(void **state)
{
	struct err e;
	unsigned i;

	(void)state;
	for (i = 0; i < T; i++)
		tokens[i] = i;
	return !mkdtemp(dir) || pool_open(&pool, 1 << 24, &e);
}

static int
teardown(void **state)
{
	char cmd[100];

	(void)state;
	pool_close(pool);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips), cmocka_unit_test(example_folders),
		cmocka_unit_test(names), cmocka_unit_test(refused), cmocka_unit_test(npy_rules),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
