#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "chunk/fields.h"

#define DATA	(1 << CHUNK_DATA)
#define END	(1 << CHUNK_END)
#define ABORT	(1 << CHUNK_ABORT)
#define NEEDED	CHUNK_NEEDED
#define NAME(s)	(s), sizeof(s) - 1
#define AT(m)	offsetof(struct chunk_head, m), sizeof(((struct chunk_head *)0)->m)

const struct chunk_field chunk_fields[] = {
	{ NAME("digest"), DIGEST, AT(digest), DATA | NEEDED },
	{ NAME("model"), TEXT, AT(key.model), DATA | NEEDED },
	{ NAME("hash"), HASH, AT(key.hash), DATA | NEEDED },
	{ NAME("parent"), HASH, AT(parent), DATA },
	{ NAME("algo"), TEXT, AT(algo), DATA | NEEDED },
	{ NAME("first_token"), U64, AT(first_token), DATA },
	{ NAME("tokens"), U64, AT(tokens), DATA | NEEDED },
	{ NAME("chunk_tokens"), U64, AT(chunk_tokens), DATA | NEEDED },
	{ NAME("tp"), U32, AT(key.tp), DATA | NEEDED },
	{ NAME("rank"), U32, AT(key.rank), DATA | NEEDED },
	{ NAME("heads"), SPAN, AT(geom.heads), DATA | NEEDED },
	{ NAME("layers"), SPAN, AT(geom.layers), DATA | NEEDED },
	{ NAME("group"), U32, AT(key.group), DATA },
	{ NAME("salt"), TEXT, AT(key.salt), DATA },
	{ NAME("created"), TIME, AT(created), DATA },
	{ NAME("expires"), TIME, AT(expires), DATA },
	{ NAME("priority"), I64, AT(priority), DATA },
	{ NAME("cost"), REAL, AT(cost), DATA },
	{ NAME("codec"), TEXT, AT(codec), DATA },
	{ NAME("cipher"), TEXT, AT(cipher), DATA },
	{ NAME("parts"), PARTS, AT(parts), DATA },
	{ NAME("raw_digest"), DIGEST, AT(raw_digest), DATA },
	{ NAME("count"), U64, AT(count), END | NEEDED },
	{ NAME("bytes"), U64, AT(bytes), END | NEEDED },
	{ NAME("seals"), DIGEST, AT(seals), END | NEEDED },
	{ NAME("reason"), TEXT, AT(reason), ABORT | NEEDED },
};
const size_t chunk_n_fields = sizeof(chunk_fields) / sizeof(*chunk_fields);

const char *const chunk_others[N_OTHERS] = { "kvchunk", "seal", "record", "dtype", "shape" };

const char *const chunk_records[4] = { "", "begin", "end", "abort" };

int
chunk_take_u64(const char *s, size_t n, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (n == 0 || n > 20 || (n > 1 && *s == '0'))
		return -1;
	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return -1;
	}
	*out = v;
	return 0;
}

int
chunk_take_list(const char *s, char sep, uint64_t *out, size_t max)
{
	size_t n = 0, k;

	for (;; s += k + 1) {
		for (k = 0; s[k] >= '0' && s[k] <= '9'; k++)
			;
		if ((s[k] && s[k] != sep) || n == max ||
		    chunk_take_u64(s, k, &out[n++]) < 0)
			return -1;
		if (!s[k])
			return (int)n;
	}
}

int
chunk_take_parts(struct chunk_head *h, const char *s, size_t n)
{
	size_t count = 1, i;
	char *copy = strndup(s, n);
	int rc = -1;

	for (i = 0; i < n; i++)
		count += s[i] == ',';
	h->parts = calloc(count, sizeof(*h->parts));
	if (copy && h->parts && chunk_take_list(copy, ',', h->parts, count) == (int)count) {
		h->n_parts = count;
		rc = 0;
	}
	free(copy);
	return rc;
}

/* Digits up to stop, and behind it. */
static int
take_until(const char **s, char stop, uint32_t *out)
{
	size_t n = 0;
	uint64_t v;

	while ((*s)[n] >= '0' && (*s)[n] <= '9')
		n++;
	if ((*s)[n] != stop || chunk_take_u64(*s, n, &v) < 0 || v > UINT32_MAX)
		return -1;
	*out = (uint32_t)v;
	*s += n + 1;
	return 0;
}

int
chunk_take_span(const char *text, uint32_t *count_first_total)
{
	return take_until(&text, ':', &count_first_total[1]) < 0 ||
		take_until(&text, '/', &count_first_total[0]) < 0 ||
		take_until(&text, 0, &count_first_total[2]) < 0 ? -1 : 0;
}

void
chunk_head_free(struct chunk_head *h)
{
	size_t i;

	for (i = 0; i < h->n_meta; i++) {
		free(h->meta[i].name);
		free(h->meta[i].value);
	}
	free(h->meta);
	free(h->parts);
	memset(h, 0, sizeof(*h));
}

int
chunk_head_copy(struct chunk_head *to, const struct chunk_head *from, struct err *e)
{
	size_t i;

	*to = *from;
	to->meta = NULL;
	to->n_meta = 0;
	to->parts = NULL;
	if (from->n_parts) {
		to->parts = malloc(from->n_parts * sizeof(*to->parts));
		if (!to->parts)
			goto fail;
		memcpy(to->parts, from->parts, from->n_parts * sizeof(*to->parts));
	}
	for (i = 0; i < from->n_meta; i++)
		if (chunk_meta_set(to, from->meta[i].name, from->meta[i].value, e) < 0)
			goto fail;
	return 0;
fail:
	chunk_head_free(to);
	return err_set(e, ERR_FAILED, "chunk: out of memory");
}

/* Index where name stands among the metadata, or should. */
static size_t
meta_place(const struct chunk_head *h, const char *name, int *there)
{
	size_t lo = 0, hi = h->n_meta;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(h->meta[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*there = lo < h->n_meta && !strcmp(h->meta[lo].name, name);
	return lo;
}

const char *
chunk_meta_get(const struct chunk_head *h, const char *name)
{
	int there;
	size_t i = meta_place(h, name, &there);

	return there ? h->meta[i].value : NULL;
}

static int
reserved(const char *name)
{
	size_t i;

	for (i = 0; i < chunk_n_fields; i++)
		if (!strcmp(chunk_fields[i].name, name))
			return 1;
	for (i = 0; i < N_OTHERS; i++)
		if (!strcmp(chunk_others[i], name))
			return 1;
	return 0;
}

int
chunk_meta_set(struct chunk_head *h, const char *name, const char *value, struct err *e)
{
	struct chunk_meta *m;
	char *n, *v;
	int there;
	size_t i = meta_place(h, name, &there);

	if (!*name || reserved(name))
		return err_set(e, ERR_USAGE, "metadata '%.80s': a name of the format itself", name);
	if (there) {
		free(h->meta[i].name);
		free(h->meta[i].value);
		h->n_meta--;
		memmove(h->meta + i, h->meta + i + 1, (h->n_meta - i) * sizeof(*m));
	}
	if (!value)
		return 0;
	m = h->meta;
	if (!(h->n_meta & (h->n_meta - 1)))	/* room is doubled at powers of two */
		m = reallocarray(m, h->n_meta ? 2 * h->n_meta : 1, sizeof(*m));
	if (!m)
		return err_set(e, ERR_FAILED, "metadata: out of memory");
	h->meta = m;
	n = strdup(name);
	v = strdup(value);
	if (!n || !v) {
		free(n);
		free(v);
		return err_set(e, ERR_FAILED, "metadata: out of memory");
	}
	memmove(m + i + 1, m + i, (h->n_meta - i) * sizeof(*m));
	m[i] = (struct chunk_meta){ n, v };
	h->n_meta++;
	return 0;
}
