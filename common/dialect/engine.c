#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "dialect/row.h"

/* Names of LMCache's in-process line (CacheEngineKey, lmcache/utils.py @0353be82):
 * model@world@worker@hash@dtype[@layer][@tag%value]..., and before that form
 * engine@model@world@worker@hash[@tag%value]... */

#define FIELDS 24

/* LMCache's words for element types; the first of ours is what is written. */
static const struct {
	const char *word;
	enum dtype dtype;
} types[] = {
	{ "half", DT_F16 }, { "bfloat16", DT_BF16 }, { "float", DT_F32 }, { "double", DT_F64 },
	{ "uint8", DT_U8 }, { "int8", DT_I8 }, { "fp8_e4m3fn", DT_F8_E4M3FN },
	{ "fp8_e4m3fnuz", DT_F8_E4M3FNUZ }, { "fp8_e5m2", DT_F8_E5M2 },
	{ "fp8_e5m2fnuz", DT_F8_E5M2FNUZ }, { "float16", DT_F16 }, { "float32", DT_F32 },
};

struct fields {
	char *f[FIELDS];
	int n;
	char text[1100];
};

static int
cut(struct fields *s, const char *text, size_t n)
{
	char *p = s->text;

	if (n >= sizeof(s->text))
		return -1;
	memcpy(p, text, n);
	p[n] = '\0';
	for (s->n = 0; p && s->n < FIELDS; s->n++) {
		s->f[s->n] = p;
		p = strchr(p, '@');
		if (p)
			*p++ = '\0';
	}
	return p ? -1 : 0;
}

static int
number(const char *s, uint32_t max, uint32_t *out)
{
	uint64_t v;

	if (num_u64(&v, s, 0, max, "", NULL) < 0)
		return -1;
	*out = (uint32_t)v;
	return 0;
}

/* An int in hex, perhaps negative, or a digest of 16 or 32 bytes. */
static int
hash_read(struct dialect_name *n, const char *hex)
{
	int minus = *hex == '-';
	size_t len = strlen(hex += minus);
	char full[17] = "0000000000000000";

	snprintf(n->algo, sizeof(n->algo), "opaque:lmcache");
	if (len == 32 || len == 64) {
		n->key.hash.len = (uint8_t)(len / 2);
		return minus ? -1 : hex_read(n->key.hash.b, hex, len / 2);
	}
	if (len == 0 || len > 16 || (*hex == '0' && len > 1))
		return -1;
	memcpy(full + 16 - len, hex, len);
	n->key.hash.len = 8;
	if (hex_read(n->key.hash.b, full, 8) < 0)
		return -1;
	if (minus) {
		uint64_t v = get_be64(n->key.hash.b);

		if (v == 0 || v > 1ull << 63)
			return -1;
		put_be64(n->key.hash.b, -v);
		n->minus = 1;
	}
	return 0;
}

static int
dtype_read(char out[16], const char *word)
{
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (!strcmp(types[i].word, word)) {
			snprintf(out, 16, "%s", dtype_word(types[i].dtype));
			return 0;
		}
	return -1;
}

/* Tags become the salt: what tells apart two chunks of the same tokens. */
static int
tags_read(struct dialect_name *n, const struct fields *s, int i)
{
	size_t len = 0;

	for (; i < s->n; i++) {
		if (!strchr(s->f[i], '%') || strchr(s->f[i], ','))
			return -1;
		len += (size_t)snprintf(n->key.salt + len, sizeof(n->key.salt) - len, "%s%s",
			len ? "," : "", s->f[i]);
		if (len >= sizeof(n->key.salt))
			return -1;
	}
	return 0;
}

/* Model as spelled in the name, with '/' put back where that is certain. */
static int
model_read(const struct dialect *d, struct dialect_name *n, const char *text)
{
	const char *sep;
	size_t len = 0;

	n->lossy = strlen(d->slash) == 1 && *d->slash != '/' && strchr(text, *d->slash);
	if (!strcmp(d->slash, "-SEP-") && strchr(text, '-') && !strstr(text, d->slash))
		return -1;	/* the older form */
	if (!strcmp(d->slash, "/") && !*d->suffix && strchr(text, '_') && !strchr(text, '/'))
		return -1;	/* the form of S3 */
	if (strcmp(d->slash, "-SEP-")) {
		if (!*text || strlen(text) >= sizeof(n->key.model)
			|| (*d->slash != '/' && strchr(text, '/')))
			return -1;
		strcpy(n->key.model, text);
		return 0;
	}
	while ((sep = strstr(text, "-SEP-"))) {
		if (len + (size_t)(sep - text) + 1 >= sizeof(n->key.model))
			return -1;
		memcpy(n->key.model + len, text, (size_t)(sep - text));
		len += (size_t)(sep - text);
		n->key.model[len++] = '/';
		text = sep + 5;
	}
	if (len + strlen(text) >= sizeof(n->key.model) || strchr(text, '/'))
		return -1;
	strcpy(n->key.model + len, text);
	return *n->key.model ? 0 : -1;
}

static int
text_read(const struct dialect *d, const char *text, size_t len, struct dialect_name *n)
{
	struct fields s;
	uint32_t layer, x;
	int at = 0, tags = 5;

	if (cut(&s, text, len) < 0 || s.n < 5)
		return -1;
	if (number(s.f[1], KEY_TP_MAX, &x) < 0)
		at = 1;		/* the older form, behind the engine's name */
	if (number(s.f[at + 1], KEY_TP_MAX, &n->key.tp) < 0 || n->key.tp == 0
		|| number(s.f[at + 2], n->key.tp - 1, &n->key.rank) < 0
		|| model_read(d, n, s.f[at]) < 0 || hash_read(n, s.f[at + 3]) < 0)
		return -1;
	n->layer = -1;
	if (at == 0) {
		if (dtype_read(n->key.dtype, s.f[4]) < 0)
			return -1;
		if (s.n > 5 && number(s.f[5], 4096, &layer) == 0) {
			n->layer = (int32_t)layer;
			tags = 6;
		}
	}
	if (tags_read(n, &s, tags) < 0)
		return -1;
	n->what = DIALECT_CHUNK;
	return 0;
}

/* HH/HH/percent-encoded text; two letters of the printed hash each. */
static int
gds_name(const struct dialect *d, const char *name, size_t len, struct dialect_name *n)
{
	struct buf b = { 0 };
	const char *text, *hash;
	int r = -1, i;

	if (len < 8 || name[2] != '/' || name[5] != '/' || memchr(name + 6, '/', len - 6))
		return -1;
	if (uri_decode(&b, name + 6, len - 6) < 0 || !(text = buf_text(&b)))
		goto done;
	r = text_read(d, text, b.len, n);
	hash = r < 0 ? NULL : text;
	for (i = 0; hash && i < 3; i++)
		hash = strchr(hash + 1, '@');
	if (!hash || strncmp(hash + 1, name, 2) || strncmp(hash + 3, name + 3, 2))
		r = -1;
done:
	buf_free(&b);
	return r;
}

static int
ends(const char *name, size_t len, const char *suffix, size_t *rest)
{
	size_t k = strlen(suffix);

	if (len <= k || strcmp(name + len - k, suffix))
		return 0;
	*rest = len - k;
	return 1;
}

int
names_engine_parse(const struct dialect *d, const char *name, struct dialect_name *n)
{
	size_t len = strlen(name), rest = len;
	enum dialect_what what = DIALECT_CHUNK;
	int r;

	if (d->body == BODY_GDS && ends(name, len, ".metadata", &rest)) {
		what = DIALECT_TWIN;
		len = rest;
	}
	if (d->body == BODY_SPLIT && ends(name, len, "metadata", &rest))
		what = DIALECT_TWIN;
	else if (d->names == NAMES_ENGINE && *d->suffix == '.' && !strchr(name, '/')
		&& ends(name, len, ".tmp", &rest))
		what = DIALECT_LITTER;
	else if (what == DIALECT_TWIN) {
		size_t k = strlen(d->suffix);

		if (len <= k || memcmp(name + len - k, d->suffix, k))
			return -1;
		rest = len - k;
	} else if (*d->suffix && !ends(name, len, d->suffix, &rest))
		return -1;
	r = d->names == NAMES_ENGINE_GDS ? gds_name(d, name, rest, n)
		: text_read(d, name, rest, n);
	if (r == 0)
		n->what = what;
	return r;
}

/* The hash as LMCache prints it: an int without leading zeros, signed when the algorithm
 * makes signed ones; a digest in full. */
static void
hash_text(char out[KEY_HEX + 1], const struct chunk_head *h)
{
	uint64_t v = get_be64(h->key.hash.b);
	int minus = v >> 63 && (!strncmp(h->algo, "lmcache-builtin", 15)
		|| !strcmp(h->algo, "opaque:lmcache-signed"));

	if (h->key.hash.len == 8)
		snprintf(out, KEY_HEX + 1, "%s%llx", minus ? "-" : "",
			(unsigned long long)(minus ? -v : v));
	else
		key_hash_hex(out, &h->key.hash);
}

static int
text_write(const struct dialect *d, const struct chunk_head *h, struct buf *out, struct err *e)
{
	char model[256], hash[KEY_HEX + 1], *c;
	size_t i, first;

	for (i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (types[i].dtype == h->geom.dtype)
			break;
	if (i == sizeof(types) / sizeof(*types) || names_model(d, h->key.model, model) < 0)
		return err_set(e, ERR_USAGE, "%s: model '%s' or its element type cannot stand in "
			"a name", d->word, h->key.model);
	hash_text(hash, h);
	buf_printf(out, "%s@%u@%u@%s@%s", model, h->key.tp, h->key.rank, hash, types[i].word);
	first = out->len + 1;
	if (*h->key.salt)
		buf_printf(out, "@%s", h->key.salt);
	for (c = out->p; !out->fail && first < out->len; first++)
		if (c[first] == ',')
			c[first] = '@';
	return out->fail ? err_sys(e, "%s name", d->word) : 0;
}

int
names_engine_format(const struct dialect *d, const struct chunk_head *h, struct buf *out,
	struct err *e)
{
	char hash[KEY_HEX + 1];
	struct buf text = { 0 };
	int r = text_write(d, h, &text, e);

	if (r < 0)
		goto done;
	if (d->names == NAMES_ENGINE_GDS) {
		hash_text(hash, h);
		buf_printf(out, "%.2s/%.2s/", hash, hash + 2);
		r = uri_encode(out, text.p, text.len, "");
	} else {
		r = buf_add(out, text.p, text.len);
	}
	if (r < 0 || buf_str(out, d->suffix) < 0)
		r = err_sys(e, "%s name", d->word);
done:
	buf_free(&text);
	return r;
}

int
names_model(const struct dialect *d, const char *model, char out[256])
{
	size_t n = 0, k = strlen(d->slash);

	for (; *model; model++) {
		if (n + k >= 255 || *model == '@')
			return -1;
		if (*model == '/') {
			memcpy(out + n, d->slash, k);
			n += k;
		} else {
			out[n++] = *model;
		}
	}
	out[n] = '\0';
	return n ? 0 : -1;
}
