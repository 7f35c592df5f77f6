#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/num.h"
#include "key/algo.h"
#include "key/tokens.h"
#include "pick.h"
#include "pick_hits.h"
#include "select_opts.h"
#include "tool.h"

#define SMALL (1 << 20)		/* a request for it costs as much as its bytes */

int
pick_sort(struct pick *p, const char *word, struct err *e)
{
	static const char *const words[] = { "chain", "newest", "oldest", "size", "hits" };
	int i;

	for (i = 0; i < 5; i++) {
		if (!strcmp(word, words[i])) {
			p->order = (enum pick_order)i;
			return 0;
		}
	}
	return err_set(e, ERR_USAGE, "--sort '%.20s': chain, newest, oldest, size or hits", word);
}

unsigned pick_tiers_down;

int
pick_open(struct place *p, const char *url, const struct store_opts *o, const char *geometry,
	struct err *e)
{
	struct dialect_opts hints = { 0 };
	char model[256] = "";
	struct geom geom;

	if (geometry) {
		if (geom_read(&geom, model, geometry, e) < 0)
			return -1;
		hints.geom = &geom;
		hints.model = *model ? model : NULL;
	}
	if (place_open(p, url, o, &hints, e) < 0)
		return -1;
	if (*p->detected)
		tool_note("%s: %s", store_url(p->store), p->detected);
	return 0;
}

int
pick_open_tiers(struct place *p, size_t *n, const char **urls, size_t n_urls, const char *fill,
	const struct store_opts *o, const char *geometry, struct err *e)
{
	size_t i;

	for (i = *n = 0; i < n_urls; i++) {
		if (pick_open(&p[*n], urls[i], o, geometry, e) == 0) {
			urls[(*n)++] = urls[i];
			continue;
		}
		if (i == n_urls - 1 && !*n)
			return -1;
		if (e->sys == ENOENT && fill && !strcmp(urls[i], fill))
			continue;
		if (e->kind != ERR_TEMP)
			return -1;
		tool_warn("%s; tier left out", e->text);
		pick_tiers_down++;
	}
	return 0;
}

int
pick_hashes(const char *file, const char *algo, uint64_t chunk_tokens, struct key_hash **out,
	size_t *n, size_t *n_tokens, struct err *e)
{
	struct key_chain how = { .chunk_tokens = (uint32_t)chunk_tokens };
	struct key_tokens tokens;
	struct buf b = { 0 };
	int rc = -1;

	*out = NULL;
	if (io_slurp(file, &b, 1u << 30, e) < 0)
		return err_named(e);
	if (key_algo_parse(&how.algo, algo ? algo : KEY_ALGO_DEFAULT, e) < 0)
		goto free_b;
	if (key_tokens_read(&tokens, b.p, b.len, e) < 0) {
		err_in(e, "'%s'", file);
		goto free_b;
	}
	*n_tokens = tokens.n;
	*n = tokens.n / chunk_tokens;
	*out = calloc(*n + 1, sizeof(**out));
	rc = !*out ? err_set(e, ERR_FAILED, "out of memory") :
		key_chain(*out, &how, tokens.ids, tokens.n, e);
	key_tokens_free(&tokens);
	if (rc < 0) {
		free(*out);
		*out = NULL;
	}
free_b:
	buf_free(&b);
	return rc;
}

/* Newer, larger or more used first; rows of one chunk stay as they are. */
static int
by(const void *a, const void *b, void *ctx, enum pick_order order)
{
	size_t i = *(const size_t *)a, k = *(const size_t *)b;
	const struct cat_row *x = (const struct cat_row *)ctx + i,
		*y = (const struct cat_row *)ctx + k;

	if (order == PICK_SIZE && x->size != y->size)
		return x->size < y->size ? 1 : -1;
	if (order == PICK_HITS && x->hits != y->hits)
		return x->hits < y->hits ? 1 : -1;
	if (order != PICK_SIZE && x->mtime_s != y->mtime_s)
		return x->mtime_s < y->mtime_s ? 1 : -1;
	return (i > k) - (i < k);
}

static int
by_time(const void *a, const void *b, void *ctx)
{
	return by(a, b, ctx, PICK_NEWEST);
}

static int
by_size(const void *a, const void *b, void *ctx)
{
	return by(a, b, ctx, PICK_SIZE);
}

static int
by_hits(const void *a, const void *b, void *ctx)
{
	return by(a, b, ctx, PICK_HITS);
}

/* Uses are known from the indexes of the tiers, or from a store that counts them itself. */
static int
know_hits(struct catalog *c, struct place *p, size_t n, const struct pick *how, struct err *e)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (pick_hits(c, &p[i], how->urls[i], e) < 0 && e->kind != ERR_ABSENT)
			return -1;
	for (i = 0; i < c->n && c->rows[i].hits < 0; i++)
		;
	return i < c->n || !c->n ? 0 : err_set(e, ERR_USAGE, "--sort hits: nothing here counts "
		"uses; make an index (kvstat index rebuild) or name one (--index)");
}

/* Do headers cost about as much as the chunks themselves? */
static int
costly_heads(const struct catalog *c)
{
	return c->bytes / c->n <= SMALL;
}

/* All that was selected. */
static int
pick_all(struct picked *out, struct place *p, const struct select *s, const struct pick *how,
	struct err *e)
{
	struct cat_head *heads = NULL;
	size_t i, t;
	int rc;

	if (s->n_prefixes && select_unique(s, &out->cat) < 0 && tool_mark(ERR_NONE) == ERR_USAGE)
		return 0;
	/* a single chunk needs no order of chains */
	if (how->order == PICK_CHAIN && p->native && out->cat.n > 1 &&
	    !(how->whole && costly_heads(&out->cat))) {
		if (out->cat.n_brought < out->cat.n && how->urls)
			pick_parents(&out->cat, p, how->urls[0]);
		if (catalog_heads(&out->cat, p, 0, &heads, e) < 0)
			return -1;
	}
	rc = catalog_chains(&out->cat, heads, &out->order, e);
	free(heads);
	if (rc < 0)
		return -1;
	for (i = 0; i < out->cat.n; i++)
		out->n += !catalog_is_copy(&out->cat, i);
	if (how->order == PICK_SIZE)
		qsort_r(out->order, out->n, sizeof(*out->order), by_size, out->cat.rows);
	else if (how->order == PICK_HITS)
		qsort_r(out->order, out->n, sizeof(*out->order), by_hits, out->cat.rows);
	else if (how->order != PICK_CHAIN)
		qsort_r(out->order, out->n, sizeof(*out->order), by_time, out->cat.rows);
	for (i = 0; how->order == PICK_OLDEST && i < out->n / 2; i++) {
		t = out->order[i];
		out->order[i] = out->order[out->n - 1 - i];
		out->order[out->n - 1 - i] = t;
	}
	return 0;
}

/* The one chunk that a prefix names: its first row, or SIZE_MAX after telling why not. */
static size_t
only(const struct catalog *c, const char *prefix)
{
	struct select s;
	size_t i;

	select_init(&s);
	s.prefixes = &prefix;
	s.n_prefixes = 1;
	if (select_unique(&s, c) < 0)
		return SIZE_MAX;
	for (i = 0; i < c->n; i++)
		if (key_hash_match(&c->rows[i].hash, prefix))
			return i;
	return SIZE_MAX;
}

/* The chunks of a chain, of which first is missing if it has a length. */
static int
chain_keys(struct picked *out, const struct key_hash *first, struct err *e)
{
	size_t i;

	out->keys = calloc(out->n + 1, sizeof(*out->keys));
	if (!out->keys)
		return err_set(e, ERR_FAILED, "out of memory");
	if (first->len)
		out->keys[out->n_keys++] = *first;
	for (i = 0; i < out->n; i++) {
		const struct key_hash *h = &out->cat.rows[out->order[i]].hash;

		if (!out->n_keys || key_hash_cmp(&out->keys[out->n_keys - 1], h) != 0)
			out->keys[out->n_keys++] = *h;
	}
	return 0;
}

static int
pick_chain(struct picked *out, struct place *p, const struct pick *how, struct err *e)
{
	struct key_hash missing = { 0 };
	char hex[KEY_HEX];
	struct err why;
	size_t head;

	if (key_prefix_check(how->chain, e) < 0)
		return -1;
	head = only(&out->cat, how->chain);
	if (head == SIZE_MAX) {		/* a whole name is known, be it there or not */
		(void)key_hash_read(&missing, how->chain, strlen(how->chain), NULL);
		return chain_keys(out, &missing, e);
	}
	if (!p->native)
		return err_set(e, ERR_USAGE, "--chain: objects of %s do not tell their parents; "
			"use --tokens", dialect_word(p->dialect));
	if (catalog_chain(&out->cat, p, head, &out->order, &out->n, &missing, e) < 0)
		return -1;
	if (missing.len) {
		err_set(&why, ERR_ABSENT, "chain is broken: %s is missing",
			key_hash_hex(hex, &missing));
		tool_fail(&why);
	}
	return chain_keys(out, &missing, e);
}

/* The chunks of a prompt from the first on, until one is missing; in each group of the store
 * that has the first one. */
static int
pick_prompt(struct picked *out, struct err *e)
{
	struct buf rows = { 0 };
	size_t n = out->n_keys, i, row, end, most = 0;
	uint32_t g;
	struct err why;

	for (g = 0; g < out->cat.n_groups; g++) {
		for (i = 0; i < n; i++) {
			row = catalog_find(&out->cat, g, &out->keys[i]);
			if (row == SIZE_MAX)
				break;
			for (end = catalog_chunk_end(&out->cat, row); row < end; row++)
				if (!catalog_is_copy(&out->cat, row))
					buf_add(&rows, &row, sizeof(row));
		}
		most = i > most ? i : most;
	}
	if (rows.fail)
		return err_set(e, ERR_FAILED, "out of memory");
	out->order = (size_t *)(void *)rows.p;
	out->n = rows.len / sizeof(size_t);
	if (most < n) {
		err_set(&why, ERR_ABSENT, "%zu of %zu chunks of the prompt are there", most, n);
		tool_fail(&why);
	}
	return 0;
}

static void
cut(struct picked *out, uint64_t limit)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; limit && i < out->n; i++) {
		sum += out->cat.rows[out->order[i]].size;
		if (sum > limit)
			out->n = i;
	}
}

void
pick_tell_others(const struct catalog *c, const struct place *p)
{
	char count[NUM_TEXT];

	if (!c->n && c->foreign)
		tool_note("%s: nothing to choose; %s there %s unknown to dialect %s",
			store_url(p->store), num_count_text(count, c->foreign, "object"),
			c->foreign == 1 ? "is" : "are", dialect_word(p->dialect));
}

/* What each tier holds, as one catalog. A tier that cannot be listed now is left out, but for the
 * last one that could be. */
static int
read_tiers(struct catalog *out, struct place *p, size_t n, const struct select *s, int heads,
	struct err *e)
{
	struct catalog v[PICK_TIERS];
	size_t i, good = 0;
	struct select what = *s;
	struct err why;

	what.heads = heads && n == 1;	/* several tiers are read again when merged */
	for (i = 0; i < n; i++) {
		memset(&v[i], 0, sizeof(v[i]));
		if (catalog_read(&v[i], &p[i], &what, 0, &why) == 0) {
			pick_tell_others(&v[i], &p[i]);
			good++;
			continue;
		}
		if (n == 1 || why.kind != ERR_TEMP || (i == n - 1 && !good)) {
			*e = why;
			while (i-- > 0)
				catalog_free(&v[i]);
			return -1;
		}
		tool_warn("%s; tier left out", why.text);
		pick_tiers_down++;
	}
	if (n > 1)
		return catalog_merge(out, v, n, e);
	*out = v[0];
	return 0;
}

int
pick_keys(struct picked *out, const struct pick *how, struct err *e)
{
	return !how->tokens || how->chain ? 0 : pick_hashes(how->tokens, how->algo,
		how->chunk_tokens, &out->keys, &out->n_keys, &out->n_tokens, e);
}

int
pick_chunks(struct picked *out, struct place *p, size_t n, const struct select *s,
	const struct pick *how, struct err *e)
{
	int rc;

	if (!out->keys && pick_keys(out, how, e) < 0)
		return -1;
	if (read_tiers(&out->cat, p, n, s, !how->chain && !how->tokens && !how->whole &&
	    how->order == PICK_CHAIN, e) < 0)
		return -1;
	if (how->order == PICK_HITS && know_hits(&out->cat, p, n, how, e) < 0)
		return -1;
	rc = how->chain ? pick_chain(out, p, how, e) : how->tokens ? pick_prompt(out, e) :
		pick_all(out, p, s, how, e);
	if (rc == 0)
		cut(out, how->limit);
	return rc;
}

void
pick_free(struct picked *p)
{
	catalog_free(&p->cat);
	free(p->order);
	free(p->keys);
	memset(p, 0, sizeof(*p));
}
