#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "kvstat/chain.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

enum { HEAD, LINKS, TOKENS, SIZE, STATE, MISSING, MODEL, HASH, N_COLS };

static const struct out_col cols[N_COLS] = {
	[HEAD] = { "HEAD", "head", OUT_TEXT, 0, 0 },
	[LINKS] = { "LINKS", "links", OUT_COUNT, 0, 0 },
	[TOKENS] = { "TOKENS", "tokens", OUT_COUNT, 0, 0 },
	[SIZE] = { "SIZE", "size", OUT_SIZE, 0, 0 },
	[STATE] = { "STATE", "state", OUT_TEXT, 0, 0 },
	[MISSING] = { "MISSING", "missing", OUT_TEXT, 0, 0 },
	[MODEL] = { "MODEL", "model", OUT_TEXT, 0, 0 },
	[HASH] = { "HASH", "hash", OUT_TEXT, 2, 0 },
};

/* One climb from a chunk to its root. */
struct climb {
	uint64_t links, tokens, bytes;
	struct key_hash missing;	/* len 0: the chain is complete */
	int damaged;			/* it is there, and its header does not tell its parent */
};

static void
climb(const struct stat_place *s, size_t row, struct climb *c)
{
	const struct catalog *cat = &s->cat;
	size_t i, end;

	memset(c, 0, sizeof(*c));
	while (row != SIZE_MAX && c->links <= cat->n) {
		const struct cat_head *h = &s->heads[row];

		for (i = row, end = catalog_chunk_end(cat, row); i < end; i++)
			c->bytes += cat->rows[i].size;
		c->links++;
		c->tokens += h->tokens;
		c->damaged = h->state == ERR_CORRUPT || c->links > cat->n;	/* or a loop */
		if (h->state || c->damaged)
			c->missing = cat->rows[row].hash;
		if (h->state || !h->parent.len)
			return;
		row = catalog_find(cat, cat->rows[row].group, &h->parent);
		if (row == SIZE_MAX)
			c->missing = h->parent;
	}
}

static void
print(struct out *out, const struct stat_place *s, size_t row)
{
	char hex[KEY_HEX], brief[KEY_SHORT], missing[KEY_HEX];
	union out_value v[N_COLS];
	struct climb c;

	climb(s, row, &c);
	key_hash_hex(hex, &s->cat.rows[row].hash);
	if (c.missing.len)
		tool_mark(c.damaged ? ERR_CORRUPT : ERR_ABSENT);
	v[HEAD].s = out_human() ? key_hash_short(brief, &s->cat.rows[row].hash) : hex;
	v[LINKS].u = c.links;
	v[TOKENS].u = c.tokens;
	v[SIZE].u = c.bytes;
	v[STATE].s = !c.missing.len ? "complete" : c.damaged ? "damaged" : "broken";
	v[MISSING].s = !c.missing.len ? NULL : out_human() ?
		key_hash_short(missing, &c.missing) : key_hash_hex(missing, &c.missing);
	v[MODEL].s = s->cat.groups[s->cat.rows[row].group].model;
	v[HASH].s = hex;
	out_row(out, v);
}

/* Chunks that are nobody's parent. */
static void
heads_of(struct out *out, const struct stat_place *s)
{
	unsigned char *parent = calloc(s->cat.n + 1, 1);
	size_t i, p;

	if (!parent)
		opts_no_memory();
	for (i = 0; i < s->cat.n; i = catalog_chunk_end(&s->cat, i)) {
		if (!s->heads[i].parent.len)
			continue;
		p = catalog_find(&s->cat, s->cat.rows[i].group, &s->heads[i].parent);
		if (p != SIZE_MAX)
			parent[p] = 1;
	}
	for (i = 0; i < s->cat.n; i = catalog_chunk_end(&s->cat, i))
		if (!parent[i])
			print(out, s, i);
	free(parent);
}

static void
one_head(struct out *out, const struct stat_place *s, const char *head)
{
	size_t i;

	for (i = 0; i < s->cat.n; i = catalog_chunk_end(&s->cat, i))
		if (key_hash_match(&s->cat.rows[i].hash, head))
			print(out, s, i);
}

void
chain_list(struct chain *c, const char *head)
{
	struct out *out;
	struct select s;
	struct err e;
	size_t i;

	if (head && key_prefix_check(head, &e) < 0)
		opts_die(&e);
	for (i = 0; i < c->n_places; i++) {
		if (!c->places[i].place.native) {
			err_set(&e, ERR_USAGE, "%s: objects of %s do not tell their parents; use "
				"--tokens or --hashes", store_url(c->places[i].place.store),
				dialect_word(c->places[i].place.dialect));
			tool_fail(&e);
			return;
		}
		select_init(&s);
		s.prefixes = &head;
		s.n_prefixes = head ? 1 : 0;
		if (head && select_unique(&s, &c->places[i].cat) < 0)
			return;
	}
	out = out_open("kv.chains/1", cols, N_COLS, HEAD);
	for (i = 0; i < c->n_places; i++) {
		if (head)
			one_head(out, &c->places[i], head);
		else
			heads_of(out, &c->places[i]);
	}
	out_close(out);
}
