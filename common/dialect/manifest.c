#include <stdlib.h>
#include <string.h>

#include "dialect/manifest.h"

static const char first_line[] = "# kvmanifest 1\n";

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct manifest_entry *)a)->name,
		((const struct manifest_entry *)b)->name);
}

static int
add(struct manifest *m, const char *name, size_t len, const struct digest128 *sum,
	struct err *e)
{
	struct manifest_entry *v;

	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 256;
		v = reallocarray(m->v, m->cap, sizeof(*v));
		if (!v)
			return err_sys(e, "manifest");
		m->v = v;
	}
	v = &m->v[m->n];
	*v = (struct manifest_entry){ .name = strndup(name, len), .sum = *sum };
	if (!v->name)
		return err_sys(e, "manifest");
	m->n++;
	return 0;
}

static int
line(struct manifest *m, const char *p, size_t n, size_t number, struct err *e)
{
	struct digest128 sum;
	size_t i;

	if (n < DIGEST128_HEX + 3 || digest_read(&sum, p, DIGEST128_HEX) < 0 ||
	    p[DIGEST128_HEX] != ' ' || p[DIGEST128_HEX + 1] != ' ')
		goto bad;
	for (i = DIGEST128_HEX; i < n; i++)
		if ((unsigned char)p[i] < ' ')
			goto bad;
	if (add(m, p + DIGEST128_HEX + 2, n - DIGEST128_HEX - 2, &sum, e) < 0)
		return -1;
	if (m->n > 1 && strcmp(m->v[m->n - 2].name, m->v[m->n - 1].name) >= 0)
		goto bad;
	return 0;
bad:
	return err_set(e, ERR_CORRUPT, "manifest: line %zu: not 'hash  name', or out of order",
		number);
}

int
manifest_parse(struct manifest *m, const void *p, size_t n, struct err *e)
{
	const char *at = p, *end = at + n, *nl;
	size_t number = 1;

	memset(m, 0, sizeof(*m));
	if (n == 0)
		return 0;
	if (n < sizeof(first_line) - 1 || memcmp(p, first_line, sizeof(first_line) - 1))
		return err_set(e, ERR_CORRUPT, "manifest: does not begin with '# kvmanifest 1'");
	for (at += sizeof(first_line) - 1; at < end; at = nl + 1) {
		nl = memchr(at, '\n', (size_t)(end - at));
		number++;
		if (!nl)
			err_set(e, ERR_CORRUPT, "manifest: line %zu is cut short", number);
		if (!nl || line(m, at, (size_t)(nl - at), number, e) < 0) {
			manifest_free(m);
			return -1;
		}
	}
	m->sorted = m->n;
	return 0;
}

void
manifest_free(struct manifest *m)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		free(m->v[i].name);
	free(m->v);
	memset(m, 0, sizeof(*m));
}

struct manifest_entry *
manifest_find(const struct manifest *m, const char *name)
{
	struct manifest_entry key = { .name = (char *)name };

	return m->sorted ? bsearch(&key, m->v, m->sorted, sizeof(*m->v), by_name) : NULL;
}

int
manifest_add(struct manifest *m, const char *name, const struct digest128 *sum, struct err *e)
{
	if (add(m, name, strlen(name), sum, e) < 0)
		return -1;
	m->v[m->n - 1].seen = 1;
	return 0;
}

int
manifest_text(struct manifest *m, int seen_only, struct buf *out, struct err *e)
{
	char hex[DIGEST128_HEX + 1];
	size_t i;

	if (m->n)
		qsort(m->v, m->n, sizeof(*m->v), by_name);
	m->sorted = m->n;
	buf_str(out, first_line);
	for (i = 0; i < m->n; i++)
		if (!seen_only || m->v[i].seen)
			buf_printf(out, "%s  %s\n", digest_hex(hex, &m->v[i].sum), m->v[i].name);
	return out->fail ? err_sys(e, "manifest") : 0;
}
