#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "key/explain.h"
#include "kvstat/chain.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

static int
present(void *ctx, const struct key_hash *h, struct err *e)
{
	const struct chain *c = ctx;
	struct folded f;
	size_t i;

	(void)e;
	for (i = 0; i < c->n_places; i++)
		if (chain_find(&c->places[i], h, NULL, &f) != SIZE_MAX)
			return 1;
	return 0;
}

/* Where the chunk that was found stands, and how many of its ranks; NULL: nowhere. */
static const struct cat_group *
found_in(const struct chain *c, const struct key_hash *h, unsigned *ranks)
{
	struct folded f;
	size_t i, row;

	for (i = 0; i < c->n_places; i++) {
		const struct catalog *cat = &c->places[i].cat;

		row = chain_find(&c->places[i], h, NULL, &f);
		if (row == SIZE_MAX)
			continue;
		*ranks = f.ranks;
		return &cat->groups[cat->rows[row].group];
	}
	return NULL;
}

/* A word of a command line, in quotes where a shell needs them. */
static void
add_word(struct buf *b, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"%+,-./:=@_";

	buf_chr(b, ' ');
	if (*word && word[strspn(word, plain)] == 0) {
		buf_str(b, word);
		return;
	}
	buf_chr(b, '\'');
	for (; *word; word++) {
		if (*word == '\'')
			buf_str(b, "'\\'");
		buf_chr(b, *word);
	}
	buf_chr(b, '\'');
}

static void
add_option(struct buf *b, const char *option, const char *value)
{
	buf_chr(b, ' ');
	buf_str(b, option);
	add_word(b, value);
}

/* The question that would find the chain: under these names, in this group (NULL: as asked). */
static void
next_command(const struct chain *c, struct buf *b, const char *tokens, const struct cat_group *g,
	const char *algo, uint64_t chunk_tokens)
{
	const struct select *s = &c->asked;
	char number[24];
	size_t i;

	buf_str(b, "kvstat chain");
	add_option(b, "--tokens", tokens);
	if (algo)
		add_option(b, "--algo", algo);
	snprintf(number, sizeof(number), "%" PRIu64, chunk_tokens);
	if (chunk_tokens != 256)
		add_option(b, "--chunk-tokens", number);
	if (s->model)
		add_option(b, "--model", g ? g->model : s->model);
	if (s->dtype && !(g && !*g->dtype))
		add_option(b, "--dtype", g ? g->dtype : s->dtype);
	snprintf(number, sizeof(number), "%" PRId64, g ? (int64_t)g->tp : s->tp);
	if (s->tp >= 0)
		add_option(b, "--tp", number);
	if (s->tenant)
		add_option(b, "--tenant", g ? g->salt : s->tenant);
	for (i = 0; i < c->n_places; i++)
		add_option(b, "--from", c->urls[i]);
	buf_text(b);
}

/* One match as an object; NULL: not known. */
static void
print_json(const struct key_match *m, const struct cat_group *g, unsigned ranks, const char *algo,
	const char *next)
{
	struct buf b = { 0 };

	buf_printf(&b, "{\"schema\":\"kv.match/1\",\"links\":%zu,\"present\":%zu,\"usable\":%zu",
		m->links, m->present, m->prefix);
	if (algo)
		buf_printf(&b, ",\"algo\":\"%s\",\"chunk_tokens\":%" PRIu32, algo, m->chunk_tokens);
	if (m->differs & KEY_DIFF_DROPPED)
		buf_printf(&b, ",\"bos_dropped\":%" PRIu32, m->bos);
	if (m->differs & KEY_DIFF_ADDED)
		buf_printf(&b, ",\"bos_added\":%" PRIu32, m->bos);
	if (g) {
		buf_str(&b, ",\"model\":");
		buf_json(&b, g->model, strlen(g->model));
		buf_printf(&b, ",\"dtype\":\"%s\",\"tp\":%" PRIu32 ",\"ranks\":%u,\"tenant\":",
			g->dtype, g->tp, ranks);
		buf_json(&b, g->salt, strlen(g->salt));
	}
	if (next) {
		buf_str(&b, ",\"next\":");
		buf_json(&b, next, strlen(next));
	}
	buf_str(&b, "}\n");
	fwrite(b.p, 1, b.len, stdout);
	buf_free(&b);
}

static void
print_group(const struct cat_group *g, unsigned ranks)
{
	char model[256];

	if (g)
		printf(": %s%s%s, ranks %u/%" PRIu32 "%s%s", out_safe(model, sizeof(model),
			g->model), *g->dtype ? " " : "", g->dtype, ranks, g->tp,
			*g->salt ? ", tenant " : "", g->salt);
	printf("\n");
}

/* One line what, one line the next command. */
static void
print_match(const struct chain *c, const struct key_match *m, const char *tokens)
{
	char algo[KEY_ALGO_TEXT];
	unsigned ranks = 0;
	const struct cat_group *g = found_in(c, &m->found, &ranks);
	struct buf next = { 0 };

	key_algo_text(algo, &m->algo);
	if (!(m->differs & (KEY_DIFF_DROPPED | KEY_DIFF_ADDED | KEY_DIFF_EXTRA)))
		next_command(c, &next, tokens, g, algo, m->chunk_tokens);
	if (opts_common.json) {
		print_json(m, g, ranks, algo, next.p);
		buf_free(&next);
		return;
	}
	printf("found: %zu of %zu links with", m->present, m->links);
	if (m->differs & (KEY_DIFF_ALGO | KEY_DIFF_SEED))
		printf(" names of %s", algo);
	if (m->differs & KEY_DIFF_CHUNK)
		printf(" chunks of %" PRIu32 " tokens", m->chunk_tokens);
	if (m->differs & KEY_DIFF_DROPPED)
		printf(" the first token left out (an extra BOS, id %" PRIu32 ")", m->bos);
	if (m->differs & KEY_DIFF_ADDED)
		printf(" token %" PRIu32 " in front (a missing BOS)", m->bos);
	if (m->differs & KEY_DIFF_EXTRA)
		printf(" no extra keys");
	print_group(g, ranks);
	if (next.p)
		printf("next: %s\n", next.p);
	buf_free(&next);
}

/* What is asked for differently from what lies in a group. */
enum { AS_MODEL = 1, AS_DTYPE = 2, AS_TP = 4, AS_TENANT = 8 };

static unsigned
unlike(const struct select *s, const struct key *k)
{
	struct select one;
	unsigned out = 0;

	select_init(&one);
	one.model = s->model;
	out |= select_group(&one, k) ? 0 : AS_MODEL;
	select_init(&one);
	one.dtype = s->dtype;
	out |= select_group(&one, k) ? 0 : AS_DTYPE;
	select_init(&one);
	one.tenant = s->tenant;
	out |= select_group(&one, k) ? 0 : AS_TENANT;
	return out | (s->tp >= 0 && s->tp != (int64_t)k->tp ? AS_TP : 0);
}

/* The group outside what is asked for that has most of the links, and more than is there of what
 * is asked for; NULL: none. */
static const struct cat_group *
elsewhere(const struct chain *c, struct key_match *m, unsigned *differs)
{
	const struct cat_group *best = NULL;
	size_t i, k, row, n;
	uint32_t g;

	m->present = c->present;
	for (i = 0; i < c->n_places; i++)
		for (g = 0; g < c->places[i].cat.n_groups; g++) {
			const struct catalog *cat = &c->places[i].cat;
			struct key key = { 0 };
			size_t usable = 0;

			for (k = n = 0; k < c->n; k++) {
				row = catalog_find(cat, g, &c->hashes[k]);
				if (row != SIZE_MAX && n++ == 0)
					catalog_key(cat, &cat->rows[row], &key);
				if (n == k + 1)
					usable = n;
			}
			if (n <= m->present || !unlike(&c->asked, &key))
				continue;
			m->present = n;
			m->prefix = usable;
			m->found = key.hash;
			*differs = unlike(&c->asked, &key);
			best = &cat->groups[g];
		}
	return best;
}

static void
print_unlike(const struct select *s, const struct cat_group *g, unsigned differs)
{
	const char *sep = "";
	char model[256];

	printf("explanation: they lie there ");
	if (differs & AS_MODEL) {
		printf("under the model's name '%s', not '%s'",
			out_safe(model, sizeof(model), g->model), s->model);
		sep = ", and ";
	}
	if (differs & AS_DTYPE) {
		printf("%sas %s, not %s (kvget --to-dtype %s makes those)", sep, g->dtype,
			s->dtype, s->dtype);
		sep = ", and ";
	}
	if (differs & AS_TP) {
		printf("%sfor world size %" PRIu32 ", not %" PRId64 " (kvget --to-tp %" PRId64
			" cuts them so)", sep, g->tp, s->tp, s->tp);
		sep = ", and ";
	}
	if (differs & AS_TENANT)
		printf("%sof %s%s, not tenant %s", sep, *g->salt ? "tenant " : "no tenant",
			g->salt, s->tenant);
	printf("\n");
}

static const char *
unlike_word(unsigned differs)
{
	switch (differs) {
	case AS_MODEL: return "model";
	case AS_DTYPE: return "dtype";
	case AS_TP: return "world-size";
	case AS_TENANT: return "tenant";
	default: return "several";
	}
}

/* Are the very links there, but of another model, type, world size or tenant? 1: told. */
static int
told_elsewhere(const struct chain *c, const char *tokens, const char *algo)
{
	struct key_match m = { .links = c->n };
	struct buf next = { 0 };
	unsigned differs = 0;
	const struct cat_group *g = elsewhere(c, &m, &differs);
	unsigned ranks = g ? g->tp : 0;

	if (!g)
		return 0;
	if (tokens)
		next_command(c, &next, tokens, g, algo, c->chunk_tokens);
	if (opts_common.json) {
		print_json(&m, g, ranks, NULL, next.p);
		printf("{\"schema\":\"kv.explain/1\",\"cause\":\"%s\",\"tried\":0,\"matches\":1}\n",
			unlike_word(differs));
	} else {
		printf("found: %zu of %zu links", m.present, m.links);
		print_group(g, ranks);
		if (next.p)
			printf("next: %s\n", next.p);
		print_unlike(&c->asked, g, differs);
	}
	buf_free(&next);
	return 1;
}

static const char *
sentence(enum key_cause cause)
{
	switch (cause) {
	case KEY_CAUSE_SAME:
		return "all links are there, but not whole: with ranks missing, or some under "
			"another model, type, world size or tenant";
	case KEY_CAUSE_GAP:
		return "the names agree, but links are missing: they were never stored, or "
			"evicted before their children (kvevict deletes leaves first)";
	case KEY_CAUSE_SHORT:
		return "the prompt is shorter than one chunk: nothing of it is ever cached";
	case KEY_CAUSE_ALGO:
		return "the writer names chunks by another hash algorithm";
	case KEY_CAUSE_SEED:
		return "the writer ran with another PYTHONHASHSEED: set the same on every node";
	case KEY_CAUSE_CHUNK:
		return "the writer cuts chunks of another size";
	case KEY_CAUSE_DROPPED:
		return "this prompt has one token more in front (BOS) than the writer's";
	case KEY_CAUSE_ADDED:
		return "this prompt lacks a token in front (BOS) that the writer's had";
	case KEY_CAUSE_EXTRA:
		return "the writer used no extra keys (LoRA, images, salt)";
	case KEY_CAUSE_SEVERAL:
		return "the writer differs in several things";
	default:
		return "nothing of this prompt is in the store, whatever was tried; another "
			"prompt, or a random PYTHONHASHSEED";
	}
}

/* Nothing was found: of which models are the chunks that are there, if of none that was asked? */
static void
print_models(const struct chain *c)
{
	char last[256] = "";
	struct select one;
	size_t i, k;

	select_init(&one);
	one.model = c->asked.model;
	for (i = 0; i < c->n_places; i++)
		for (k = 0; k < c->places[i].cat.n; k++) {
			const struct catalog *cat = &c->places[i].cat;
			struct key key;
			char model[256];

			catalog_key(cat, &cat->rows[k], &key);
			if (select_group(&one, &key))
				return;
			if (!strcmp(key.model, last))
				continue;
			printf("%s has model '%s', not '%s'\n", c->urls[i],
				out_safe(model, sizeof(model), key.model), one.model);
			strcpy(last, key.model);
		}
}

static void
print_answer(const struct chain *c, const struct key_answer *a, const char *tokens)
{
	size_t i;

	for (i = 0; i < a->n_best; i++)
		print_match(c, &a->best[i], tokens);
	if (opts_common.json) {
		printf("{\"schema\":\"kv.explain/1\",\"cause\":\"%s\",\"tried\":%zu,"
			"\"matches\":%zu}\n", key_cause_word(a->cause), a->tried, a->n_best);
		return;
	}
	if (a->cause == KEY_CAUSE_NOTHING && c->asked.model)
		print_models(c);
	printf("explanation: %s\n", sentence(a->cause));
	if (a->cause == KEY_CAUSE_NOTHING && !tokens)
		printf("from hashes alone nothing else can be tried: --tokens does\n");
	else if (a->cause == KEY_CAUSE_NOTHING)
		printf("tried %zu other ways: algorithms, seeds, chunk sizes, with and without "
			"BOS, of any model, type, world size and tenant\n", a->tried);
}

void
chain_explain(struct chain *c, const char *tokens_file, const char *algo)
{
	struct key_question q = { .present = present, .ctx = c };
	struct key_tokens tokens = { 0 };
	struct key_answer a = { .cause = KEY_CAUSE_GAP };
	struct buf b = { 0 };
	struct err e;

	if (told_elsewhere(c, tokens_file, algo))
		return;
	if (!tokens_file) {	/* from hashes nothing else can be computed */
		a.cause = c->present ? KEY_CAUSE_GAP : KEY_CAUSE_NOTHING;
		print_answer(c, &a, NULL);
		return;
	}
	q.asked.chunk_tokens = (uint32_t)c->chunk_tokens;
	if (key_algo_parse(&q.asked.algo, algo ? algo : KEY_ALGO_DEFAULT, &e) < 0 ||
	    io_slurp(tokens_file, &b, 1u << 30, &e) < 0 ||
	    key_tokens_read(&tokens, b.p, b.len, &e) < 0)
		goto fail;
	q.tokens = tokens.ids;
	q.n = tokens.n;
	if (key_explain(&a, &q, &e) < 0)
		goto fail;
	print_answer(c, &a, tokens_file);
	key_tokens_free(&tokens);
	buf_free(&b);
	return;
fail:
	tool_fail(&e);
	key_tokens_free(&tokens);
	buf_free(&b);
}
