#include <stdlib.h>
#include <string.h>

#include "dialect/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
body(const struct dialect *d, const char *name, const uint8_t *p, size_t n)
{
	struct geom g = { .dtype = DT_BF16, .kv = 2, .layers = 2, .layers_total = 2, .heads = 4,
		.heads_total = 4, .head_dim = 8 };
	struct dialect_opts o = { .geom = n & 1 ? &g : NULL, .layout = LAYOUT_G2_HND };
	struct dialect_part part = { .name = name };
	struct dialect_ctx *x;
	struct pool *pool;
	struct chunk c;
	struct err e;

	if (pool_open(&pool, 1 << 20, &e) < 0 || dialect_open(&x, d, &o, &e) < 0)
		abort();
	dialect_name(d, name, n, &part.n);
	part.front = dialect_front(&part.n, n);
	if (pool_extra(pool, part.front + n, &part.mem, &e) < 0)
		abort();
	if (n)
		memcpy(part.mem.p + part.front, p, n);
	part.mem.len = part.front + n;
	dialect_learn(x, "m_0123456789ab/config.json", p, n, &e);
	if (dialect_read(x, &part, 1, pool, &c, &e) == 0) {
		if (!c.head.region && chunk_seal(&c, pool, &e) < 0)
			abort();
		chunk_free(&c, pool);
	}
	dialect_close(x);
	pool_close(pool);
}

/* A name up to the first newline, and a body: as every family. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const uint8_t *end = n ? memchr(p, '\n', n) : NULL;
	size_t len = end ? (size_t)(end - p) : n, rest = end ? n - len - 1 : 0, i;
	const struct dialect *d;
	struct dialect_name dn;
	struct buf twin = { 0 };
	char name[1200];
	int needed;

	if (len >= sizeof(name))
		return 0;
	if (len)
		memcpy(name, p, len);
	name[len] = '\0';
	for (i = 0; (d = dialect_at(i)); i++) {
		if (dialect_name(d, name, rest, &dn) != DIALECT_CHUNK)
			continue;
		dialect_twin(&dn, name, &twin, &needed);
		body(d, name, end ? end + 1 : p, rest);
	}
	buf_free(&twin);
	return 0;
}
