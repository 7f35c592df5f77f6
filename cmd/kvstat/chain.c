#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "kvstat/chain.h"
#include "kvstat/verbs.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

enum { HEAD = OPT_FIRST, TOKENS, HASHES, FROM, ALGO, CHUNK_TOKENS, EXPLAIN };

static const struct opt options[] = {
	{ HEAD, "head", "HASH", "the chain that ends with this chunk", NULL },
	{ TOKENS, "tokens", "FILE", "the chunks of this prompt (token ids)", "FILE" },
	{ HASHES, "hashes", "FILE", "the chunks with these hashes (a lookup log)", "FILE" },
	{ FROM, "from", "STORE", "another store to look in, in order; again for more", "DIR" },
	{ ALGO, "algo", "NAME", "hash algorithm of the names (default blake3)", NULL },
	{ CHUNK_TOKENS, "chunk-tokens", "N", "tokens a chunk (default 256)", NULL },
	{ EXPLAIN, "explain", NULL, "if links are missing, find out why", NULL },
	SELECT_OPTIONS,
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvstat chain [options] [STORE ...]",
	"Is a prompt cached? Shows each link of its chain, where it lies, the first one missing\n"
	"(exit status 1) and the usable prefix. With stores alone: all their chains.",
	options,
	"  kvstat chain ./store\n"
	"  kvstat chain --tokens ids.json --from @nvme --from @prod --explain",
	"kvstat(1)",
};

enum { NUMBER, NAME, TOKENS_COL, STATE, WHERE, SIZE, HASH, N_COLS };

static const struct out_col cols[N_COLS] = {
	[NUMBER] = { "#", "link", OUT_COUNT, 0, 0 },
	[NAME] = { "NAME", "name", OUT_TEXT, 0, 0 },
	[TOKENS_COL] = { "TOKENS", "tokens", OUT_TEXT, 0, 0 },
	[STATE] = { "STATE", "state", OUT_TEXT, 0, 0 },
	[WHERE] = { "WHERE", "where", OUT_TEXT, 0, 0 },
	[SIZE] = { "SIZE", "size", OUT_SIZE, 0, 0 },
	[HASH] = { "HASH", "hash", OUT_TEXT, 2, 0 },
};

size_t
chain_find(const struct stat_place *s, const struct key_hash *h, const struct select *asked,
	struct folded *f)
{
	const struct catalog *c = &s->cat;
	size_t row = SIZE_MAX;
	uint32_t g;

	for (g = 0; g < c->n_groups; g++) {
		struct folded here;
		size_t r = catalog_find(c, g, h);
		struct key k;

		if (r == SIZE_MAX)
			continue;
		catalog_key(c, &c->rows[r], &k);
		if (asked && !select_group(asked, &k))
			continue;
		stat_fold(s, r, &here);
		/* a whole set of ranks is better than a part */
		if (row == SIZE_MAX || here.ranks == c->groups[g].tp) {
			row = r;
			*f = here;
		}
	}
	return row;
}

/* Where one link lies, in all places; what is said of it. */
struct link {
	char where[256];
	uint64_t size;
	int present, incomplete;
};

static void
look_up(const struct chain *c, const struct key_hash *h, struct link *l)
{
	size_t i;

	memset(l, 0, sizeof(*l));
	for (i = 0; i < c->n_places; i++) {
		struct folded f;
		size_t row = chain_find(&c->places[i], h, &c->asked, &f), n;
		const struct cat_group *g;

		if (row == SIZE_MAX)
			continue;
		g = &c->places[i].cat.groups[c->places[i].cat.rows[row].group];
		if (f.ranks < g->tp)
			l->incomplete = 1;
		else
			l->present = 1;
		l->size = l->size ? l->size : f.size;
		n = strlen(l->where);
		snprintf(l->where + n, sizeof(l->where) - n, "%s%s", n ? " " : "",
			store_url(c->places[i].place.store));
	}
}

static void
print_link(struct out *out, size_t i, const struct key_hash *h, uint64_t chunk_tokens,
	const struct link *l, int first_missing)
{
	char hex[KEY_HEX], name[KEY_SHORT], range[48];
	union out_value v[N_COLS];

	key_hash_hex(hex, h);
	key_hash_short(name, h);
	snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, i * chunk_tokens,
		(i + 1) * chunk_tokens - 1);
	v[NUMBER].u = i;
	v[NAME].s = out_human() ? name : hex;
	v[TOKENS_COL].s = range;
	v[STATE].s = l->present ? "present" : l->incomplete ? "incomplete" :
		first_missing ? "MISSING" : "missing";
	v[WHERE].s = *l->where ? l->where : NULL;
	v[SIZE].u = l->size ? l->size : OUT_NONE;
	v[HASH].s = hex;
	out_row(out, v);
}

/* Rows for all links up to the first missing one; behind it people get a count. */
static void
print_chain(struct chain *c)
{
	struct out *out = out_open("kv.chain/1", cols, N_COLS, NAME);
	struct link l;
	size_t i;

	c->usable = c->n;
	for (i = 0; i < c->n; i++) {
		look_up(c, &c->hashes[i], &l);
		if (!l.present && c->usable == c->n)
			c->usable = i;
		c->present += l.present;
		if (i > c->usable)
			c->unreachable += l.present;
		if (i <= c->usable || !out_human())
			print_link(out, i, &c->hashes[i], c->chunk_tokens, &l, i == c->usable);
	}
	out_close(out);
}

static void
verdict(const struct chain *c)
{
	uint64_t usable = c->usable * c->chunk_tokens, all = c->n * c->chunk_tokens;
	uint64_t total = c->n_tokens ? c->n_tokens : all;

	if (c->usable < c->n)
		tool_mark(ERR_ABSENT);
	if (out_human()) {
		if (c->usable + 1 < c->n)
			printf("%zu-%zu: %zu present but unreachable (parent missing)\n",
				c->usable + 1, c->n - 1, c->unreachable);
		printf("usable prefix %" PRIu64 " of %" PRIu64 " tokens (%.1f %%)", usable, total,
			total ? 100 * (double)usable / (double)total : 0);
		if (all > usable)
			printf("; could be %" PRIu64 " (%.1f %%)", all,
				100 * (double)all / (double)total);
		printf("\n");
	}
}

static void
sum_up(const struct chain *c)
{
	uint64_t total = c->n_tokens ? c->n_tokens : c->n * c->chunk_tokens;
	char json[300], hex[KEY_HEX] = "";

	if (c->usable < c->n)
		key_hash_hex(hex, &c->hashes[c->usable]);
	snprintf(json, sizeof(json), "\"links\":%zu,\"present\":%zu,\"first_missing\":%s%s%s,"
		"\"usable_tokens\":%" PRIu64 ",\"tokens\":%" PRIu64, c->n, c->present,
		c->usable < c->n ? "\"" : "null", c->usable < c->n ? hex : "",
		c->usable < c->n ? "\"" : "", c->usable * c->chunk_tokens, total);
	out_summary("kvstat chain", json, 0);
}

static void
by_tokens(struct chain *c, const char *file, const char *algo, int explain)
{
	struct err e;

	if (pick_hashes(file, algo, c->chunk_tokens, &c->hashes, &c->n, &c->n_tokens, &e) < 0) {
		tool_fail(&e);
		return;
	}
	if (out_human())
		printf("%zu tokens = %zu chunks of %" PRIu64 " + %zu tail tokens (a tail is not "
			"looked for)\n", c->n_tokens, c->n, c->chunk_tokens,
			(size_t)(c->n_tokens - c->n * c->chunk_tokens));
	print_chain(c);
	verdict(c);
	if (explain && (c->usable < c->n || !c->n))
		chain_explain(c, file, algo);
	sum_up(c);
}

static void
by_hashes(struct chain *c, const char *file, int explain)
{
	struct key_hashes h;
	struct buf b = { 0 };
	struct err e;

	if (io_slurp(file, &b, 1u << 30, &e) < 0 || key_hashes_read(&h, b.p, b.len, &e) < 0) {
		err_named(&e);
		tool_fail(&e);
		buf_free(&b);
		return;
	}
	buf_free(&b);
	c->hashes = h.h;
	c->n = h.n;
	print_chain(c);
	verdict(c);
	if (explain && c->usable < c->n)
		chain_explain(c, NULL, NULL);
	sum_up(c);
}

static void
usage_check(const struct chain *c, const char *head, const char *tokens, const char *hashes)
{
	if (!c->n_places && (head || tokens || hashes))
		opts_bad("in which store? give STORE or --from STORE");
	if (!c->n_places)
		opts_bad("which store? kvstat chain STORE");
	if ((head != NULL) + (tokens != NULL) + (hashes != NULL) > 1)
		opts_bad("one of --head, --tokens, --hashes");
}

static void
add_place(struct chain *c, const char *url)
{
	if (c->n_places == CHAIN_PLACES)
		opts_bad("at most %d stores", CHAIN_PLACES);
	c->urls[c->n_places++] = url;
}

/* Opens them all; -1 if none can be. One that is down is told and left out. To explain, what lies
 * there under other models, types, sizes and tenants must be known too. */
static int
open_places(struct chain *c, int heads, int explain)
{
	struct select what = c->asked;
	size_t i, n = 0;

	if (explain) {
		what.model = what.dtype = what.tenant = NULL;
		what.tp = -1;
	}
	for (i = 0; i < c->n_places; i++)
		if (stat_open(&c->places[n], c->urls[i], &what, heads) == 0)
			c->urls[n++] = c->urls[i];
	c->n_places = n;
	return n ? 0 : -1;
}

void
verb_chain(int argc, char **argv)
{
	static struct chain c = { .chunk_tokens = 256 };
	const char *head = NULL, *tokens = NULL, *hashes = NULL, *algo = NULL;
	struct err e;
	int o, explain = 0;
	size_t i;

	select_init(&c.asked);
	while ((o = opts_next(argc, argv, &usage)) != -1) {
		if (select_option(o, &c.asked))
			continue;
		switch (o) {
		case HEAD: head = opts_arg; break;
		case TOKENS: tokens = opts_arg; break;
		case HASHES: hashes = opts_arg; break;
		case FROM: add_place(&c, opts_arg); break;
		case ALGO: algo = opts_arg; break;
		case EXPLAIN: explain = 1; break;
		case CHUNK_TOKENS:
			if (num_u64(&c.chunk_tokens, opts_arg, 1, 1 << 20, "--chunk-tokens",
			    &e) < 0)
				opts_die(&e);
			break;
		}
	}
	for (; optind < argc; optind++)
		add_place(&c, argv[optind]);
	usage_check(&c, head, tokens, hashes);
	explain = explain && (tokens || hashes);
	if (open_places(&c, !tokens && !hashes, explain) == 0) {
		if (tokens)
			by_tokens(&c, tokens, algo, explain);
		else if (hashes)
			by_hashes(&c, hashes, explain);
		else
			chain_list(&c, head);
	}
	for (i = 0; i < c.n_places; i++)
		stat_close(&c.places[i]);
	free(c.hashes);
}
