#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "digest/blake3.h"
#include "digest/digest.h"
#include "key/algo.h"
#include "key/encode.h"
#include "key/python.h"

enum form { FORM_OPAQUE, FORM_WORDS, FORM_CBOR, FORM_PICKLE, FORM_PYTHON };
enum sum { SUM_NONE, SUM_BLAKE3, SUM_SHA256, SUM_XXH3 };
enum cut { CUT_NOTHING, CUT_FIRST8, CUT_LAST8 };
/* All but the first come from the seed; without one they are 0 or unknown. */
enum root { ROOT_CONSTANT, ROOT_OR_ZERO, ROOT_OR_ZERO_OLD, ROOT_OR_UNKNOWN };

struct key_kind {
	const char *name;
	const char *variant;
	enum form form;
	enum sum sum;
	enum third third;
	enum cut cut;
	enum root root;
};

/* The first of a name is meant when no variant is given. */
static const struct key_kind kinds[] = {
	{ "blake3", "", FORM_WORDS, SUM_BLAKE3, THIRD_LEFT_OUT, CUT_NOTHING, ROOT_CONSTANT },
	{ "lmcache-builtin", "C", FORM_PYTHON, SUM_NONE, THIRD_EMPTY, CUT_NOTHING, ROOT_OR_ZERO },
	{ "lmcache-builtin", "A", FORM_PYTHON, SUM_NONE, THIRD_NONE, CUT_NOTHING, ROOT_OR_ZERO },
	{ "lmcache-builtin", "B", FORM_PYTHON, SUM_NONE, THIRD_LEFT_OUT, CUT_NOTHING,
	  ROOT_OR_ZERO },
	{ "lmcache-builtin", "C-py3.10", FORM_PYTHON, SUM_NONE, THIRD_EMPTY, CUT_NOTHING,
	  ROOT_OR_ZERO_OLD },
	{ "lmcache-builtin", "B-py3.10", FORM_PYTHON, SUM_NONE, THIRD_LEFT_OUT, CUT_NOTHING,
	  ROOT_OR_ZERO_OLD },
	{ "lmcache-sha256_cbor", "C", FORM_CBOR, SUM_SHA256, THIRD_EMPTY, CUT_FIRST8,
	  ROOT_OR_ZERO },
	{ "lmcache-sha256_cbor", "C32", FORM_CBOR, SUM_SHA256, THIRD_EMPTY, CUT_NOTHING,
	  ROOT_OR_ZERO },
	{ "lmcache-sha256_cbor", "A", FORM_CBOR, SUM_SHA256, THIRD_NONE, CUT_NOTHING,
	  ROOT_OR_ZERO },
	{ "lmcache-sha256_cbor", "A64", FORM_CBOR, SUM_SHA256, THIRD_NONE, CUT_LAST8,
	  ROOT_OR_ZERO },
	{ "lmcache-sha256_cbor", "B", FORM_CBOR, SUM_SHA256, THIRD_LEFT_OUT, CUT_NOTHING,
	  ROOT_OR_ZERO },
	{ "vllm-sha256", "", FORM_PICKLE, SUM_SHA256, THIRD_EXTRA, CUT_NOTHING, ROOT_OR_UNKNOWN },
	{ "vllm-sha256_cbor", "", FORM_CBOR, SUM_SHA256, THIRD_EXTRA, CUT_NOTHING,
	  ROOT_OR_UNKNOWN },
	{ "vllm-xxhash", "", FORM_PICKLE, SUM_XXH3, THIRD_EXTRA, CUT_NOTHING, ROOT_OR_UNKNOWN },
	{ "vllm-xxhash_cbor", "", FORM_CBOR, SUM_XXH3, THIRD_EXTRA, CUT_NOTHING,
	  ROOT_OR_UNKNOWN },
	{ "opaque", "", FORM_OPAQUE, SUM_NONE, THIRD_LEFT_OUT, CUT_NOTHING, ROOT_CONSTANT },
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

int
key_algo_nth(struct key_algo *a, size_t i)
{
	if (i >= N_KINDS)
		return -1;
	memset(a, 0, sizeof(*a));
	a->kind = &kinds[i];
	return 0;
}

/* Is word these n characters? */
static int
same(const char *word, const char *s, size_t n)
{
	return strlen(word) == n && !strncmp(word, s, n);
}

/* The row of a name and a variant, n and nv characters; variant NULL: the first. */
static const struct key_kind *
find(const char *name, size_t n, const char *variant, size_t nv)
{
	size_t i;

	for (i = 0; i < N_KINDS; i++)
		if (same(kinds[i].name, name, n) &&
		    (!variant || (nv && same(kinds[i].variant, variant, nv))))
			return &kinds[i];
	return NULL;
}

static int
read_seed(struct key_algo *a, const char *seed, struct err *e)
{
	size_t n = strlen(seed);
	uint64_t v;

	if (!strcmp(seed, "random"))
		return err_set(e, ERR_USAGE, "algorithm: hashes under PYTHONHASHSEED=random "
			"cannot be computed by anyone else");
	if (n >= sizeof(a->seed) ||
	    num_u64(&v, seed, 0, UINT32_MAX, "algorithm: seed", e) < 0)
		return err_set(e, ERR_USAGE, "algorithm: seed '%.40s': not 0 to 4294967295",
			seed);
	if (!key_algo_seeded(a))
		return err_set(e, ERR_USAGE, "algorithm: '%s' takes no seed", a->kind->name);
	memcpy(a->seed, seed, n + 1);
	return 0;
}

/* A word of a-z, 0-9 and '-' behind "opaque:". */
static int
read_family(struct key_algo *a, const char *text, const char *word, struct err *e)
{
	size_t n = strlen(word);

	if (n == 0 || n >= sizeof(a->family) ||
	    strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
		return err_set(e, ERR_USAGE, "algorithm '%.80s': not known", text);
	a->kind = find("opaque", 6, NULL, 0);
	memcpy(a->family, word, n + 1);
	return 0;
}

int
key_algo_parse(struct key_algo *a, const char *text, struct err *e)
{
	size_t n = strcspn(text, ":"), nv = 0;
	const char *rest = text + n, *variant = NULL;

	memset(a, 0, sizeof(*a));
	if (!strncmp(text, "opaque:", 7))
		return read_family(a, text, text + 7, e);
	if (*rest && strncmp(rest, ":seed=", 6) != 0) {
		variant = rest + 1;
		nv = strcspn(variant, ":");
		rest = variant + nv;
	}
	a->kind = find(text, n, variant, nv);
	if (!a->kind)
		return err_set(e, ERR_USAGE, "algorithm '%.80s': not known", text);
	if (!*rest)
		return 0;
	if (strncmp(rest, ":seed=", 6) != 0)
		return err_set(e, ERR_USAGE, "algorithm '%.80s': only a seed may come last", text);
	return read_seed(a, rest + 6, e);
}

char *
key_algo_text(char out[KEY_ALGO_TEXT], const struct key_algo *a)
{
	const char *second = *a->family ? a->family : a->kind->variant;

	snprintf(out, KEY_ALGO_TEXT, "%s%s%s%s%s", a->kind->name, *second ? ":" : "", second,
		*a->seed ? ":seed=" : "", a->seed);
	return out;
}

int
key_algo_equal(const struct key_algo *a, const struct key_algo *b)
{
	return a->kind == b->kind && !strcmp(a->seed, b->seed) && !strcmp(a->family, b->family);
}

int
key_algo_seeded(const struct key_algo *a)
{
	return a->kind->root != ROOT_CONSTANT;
}

int
key_algo_extra(const struct key_algo *a)
{
	return a->kind->third == THIRD_EXTRA;
}

size_t
key_algo_width(const struct key_algo *a)
{
	const struct key_kind *k = a->kind;

	if (k->form == FORM_OPAQUE)
		return 0;
	if (k->form == FORM_PYTHON || k->cut != CUT_NOTHING)
		return 8;
	return k->sum == SUM_XXH3 ? 16 : 32;
}

int
key_algo_signed(const struct key_algo *a)
{
	return a->kind->form == FORM_PYTHON;
}

/* What links need that is kept from one to the next. */
struct work {
	const struct key_kind *kind;
	struct digest_sha256 *sha;
	struct buf enc;
};

static int
work_open(struct work *w, const struct key_algo *a, struct err *e)
{
	memset(w, 0, sizeof(*w));
	w->kind = a->kind;
	if (w->kind->sum == SUM_SHA256 && !(w->sha = digest_sha256_new(e)))
		return -1;
	return 0;
}

static void
work_close(struct work *w)
{
	digest_sha256_free(w->sha);
	buf_free(&w->enc);
}

/* The sum of w->enc, cut as the algorithm says. */
static int
sum(struct work *w, struct key_hash *out, struct err *e)
{
	struct digest128 d;

	memset(out, 0, sizeof(*out));
	if (w->enc.fail)
		return err_sys(e, "hash");
	out->len = 32;
	if (w->kind->sum == SUM_BLAKE3) {
		blake3(out->b, w->enc.p, w->enc.len);
	} else if (w->kind->sum == SUM_XXH3) {
		digest_xxh3(&d, w->enc.p, w->enc.len);
		memcpy(out->b, d.b, sizeof(d.b));
		out->len = sizeof(d.b);
	} else if (digest_sha256_begin(w->sha, e) < 0 ||
	    digest_sha256_add(w->sha, w->enc.p, w->enc.len, e) < 0 ||
	    digest_sha256_end(w->sha, out->b, e) < 0) {
		return -1;
	}
	if (w->kind->cut == CUT_NOTHING)
		return 0;
	if (w->kind->cut == CUT_LAST8)
		memmove(out->b, out->b + 24, 8);
	memset(out->b + 8, 0, sizeof(out->b) - 8);
	out->len = 8;
	return 0;
}

static void
set_integer(struct key_hash *out, int64_t v)
{
	memset(out, 0, sizeof(*out));
	out->len = 8;
	put_be64(out->b, (uint64_t)v);
}

/* The root from the seed's text. */
static int
seed_root(struct work *w, struct key_hash *out, const char *seed, struct err *e)
{
	uint64_t v;

	if (w->kind->form == FORM_PYTHON) {
		if (num_u64(&v, seed, 0, UINT32_MAX, "seed", e) < 0)
			return -1;
		set_integer(out, python_hash_text((uint32_t)v, seed,
			w->kind->root == ROOT_OR_ZERO_OLD));
		return 0;
	}
	w->enc.len = 0;
	if (w->kind->form == FORM_CBOR)
		encode_cbor_text(&w->enc, seed);
	else
		encode_pickle_text(&w->enc, seed);
	return sum(w, out, e);
}

static int
root(struct work *w, struct key_hash *out, const char *seed, struct err *e)
{
	static const uint8_t zeros[12];

	if (w->kind->form == FORM_OPAQUE)
		return err_set(e, ERR_USAGE, "algorithm 'opaque': names were taken over; "
			"they cannot be computed");
	if (w->kind->root == ROOT_CONSTANT) {
		w->enc.len = 0;
		buf_add(&w->enc, zeros, sizeof(zeros));
		return sum(w, out, e);
	}
	if (*seed)
		return seed_root(w, out, seed, e);
	if (w->kind->root == ROOT_OR_UNKNOWN)
		return err_set(e, ERR_USAGE, "algorithm '%s': needs PYTHONHASHSEED (%s:seed=0)",
			w->kind->name, w->kind->name);
	set_integer(out, 0);
	return 0;
}

int
key_root(struct key_hash *out, const struct key_algo *a, struct err *e)
{
	struct work w;
	int rc;

	if (work_open(&w, a, e) < 0)
		return -1;
	rc = root(&w, out, a->seed, e);
	work_close(&w);
	return rc;
}

static void
python_link(struct key_hash *out, const struct link *l)
{
	struct python_tuple t, none;

	python_tuple_begin(&none);
	python_tuple_begin(&t);
	python_tuple_add(&t, python_hash_int((int64_t)get_be64(l->parent->b)));
	python_tuple_add(&t, python_hash_ids(l->tokens, l->n));
	if (l->third == THIRD_NONE)
		python_tuple_add(&t, PYTHON_HASH_NONE);
	else if (l->third == THIRD_EMPTY)
		python_tuple_add(&t, python_tuple_end(&none));
	set_integer(out, python_tuple_end(&t));
}

static void
encode_words(struct buf *out, const struct link *l)
{
	uint8_t *p;
	size_t i;

	buf_add(out, l->parent->b, l->parent->len);
	p = buf_room(out, 4 * l->n);
	if (!p)
		return;
	for (i = 0; i < l->n; i++)
		put_be32(p + 4 * i, l->tokens[i]);
	out->len += 4 * l->n;
}

static int
hash_link(struct work *w, struct key_hash *out, const struct link *l, struct err *e)
{
	w->enc.len = 0;
	switch (w->kind->form) {
	case FORM_PYTHON:
		python_link(out, l);
		return 0;
	case FORM_CBOR:
		encode_cbor(&w->enc, l);
		break;
	case FORM_PICKLE:
		encode_pickle(&w->enc, l);
		if (w->enc.len > PICKLE_FRAME_MAX)
			return err_set(e, ERR_USAGE, "algorithm '%s': chunks of %zu tokens are "
				"too large for one pickle frame", w->kind->name, l->n);
		break;
	default:
		encode_words(&w->enc, l);
	}
	return sum(w, out, e);
}

static int
check_chain(const struct key_chain *c, struct err *e)
{
	const struct key_extra *x = c->extra;
	size_t width = key_algo_width(&c->algo);

	if (c->chunk_tokens == 0)
		return err_set(e, ERR_USAGE, "chunks of 0 tokens");
	if (x && !key_algo_extra(&c->algo) && (x->lora || x->salt || x->n_media))
		return err_set(e, ERR_USAGE, "algorithm '%s': has no extra keys",
			c->algo.kind->name);
	if (width && c->parent.len && c->parent.len != width)
		return err_set(e, ERR_USAGE, "algorithm '%s': a parent of %u bytes, not %zu",
			c->algo.kind->name, c->parent.len, width);
	return 0;
}

int
key_chain(struct key_hash *out, const struct key_chain *c, const uint32_t *tokens, size_t n,
	struct err *e)
{
	struct key_hash parent = c->parent;
	struct work w;
	size_t i;
	int rc = -1;

	if (check_chain(c, e) < 0 || work_open(&w, &c->algo, e) < 0)
		return -1;
	if (!parent.len && root(&w, &parent, c->algo.seed, e) < 0)
		goto close;
	for (i = 0; i < n / c->chunk_tokens; i++) {
		struct link l = {
			.parent = i ? &out[i - 1] : &parent,
			.tokens = tokens + i * c->chunk_tokens,
			.n = c->chunk_tokens,
			.third = w.kind->third,
			.extra = c->extra,
			.first = c->first_token + (uint64_t)i * c->chunk_tokens,
		};

		if (hash_link(&w, &out[i], &l, e) < 0)
			goto close;
	}
	rc = 0;
close:
	work_close(&w);
	return rc;
}
