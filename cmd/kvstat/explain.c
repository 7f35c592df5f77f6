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
		if (chain_find(&c->places[i].cat, h, &f, &c->places[i]) != SIZE_MAX)
			return 1;
	return 0;
}

/* What the store says of the chunk that was found: model, type and ranks. */
static void
found_as(const struct chain *c, const struct key_hash *h, char *out, size_t size)
{
	struct folded f;
	size_t i, row;

	*out = 0;
	for (i = 0; i < c->n_places; i++) {
		const struct cat_group *g;

		row = chain_find(&c->places[i].cat, h, &f, &c->places[i]);
		if (row == SIZE_MAX)
			continue;
		g = &c->places[i].cat.groups[c->places[i].cat.rows[row].group];
		snprintf(out, size, "%s %s, ranks %u/%" PRIu32 "%s%s", g->model, g->dtype, f.ranks,
			g->tp, *g->salt ? ", tenant " : "", g->salt);
		return;
	}
}

/* One line what, one line the next command. */
static void
print_match(const struct chain *c, const struct key_match *m, const char *tokens)
{
	char algo[KEY_ALGO_TEXT], as[500];

	found_as(c, &m->found, as, sizeof(as));
	printf("found: %zu of %zu links with", m->present, m->links);
	if (m->differs & (KEY_DIFF_ALGO | KEY_DIFF_SEED))
		printf(" names of %s", key_algo_text(algo, &m->algo));
	if (m->differs & KEY_DIFF_CHUNK)
		printf(" chunks of %" PRIu32 " tokens", m->chunk_tokens);
	if (m->differs & KEY_DIFF_DROPPED)
		printf(" the first token left out (an extra BOS, id %" PRIu32 ")", m->bos);
	if (m->differs & KEY_DIFF_ADDED)
		printf(" token %" PRIu32 " in front (a missing BOS)", m->bos);
	if (m->differs & KEY_DIFF_EXTRA)
		printf(" no extra keys");
	printf(": %s\n", as);
	if (!(m->differs & (KEY_DIFF_DROPPED | KEY_DIFF_ADDED | KEY_DIFF_EXTRA)))
		printf("next: kvstat chain --tokens %s --algo %s --chunk-tokens %" PRIu32 " ...\n",
			tokens, key_algo_text(algo, &m->algo), m->chunk_tokens);
}

static const char *
sentence(enum key_cause cause)
{
	switch (cause) {
	case KEY_CAUSE_SAME:
		return "all links are there: under another model, type, world size or tenant "
			"than the engine asks for, or with ranks missing";
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

void
chain_explain(struct chain *c, const char *tokens_file, const char *algo)
{
	struct key_question q = { .present = present, .ctx = c };
	struct key_tokens tokens = { 0 };
	struct key_answer a;
	struct buf b = { 0 };
	struct err e;
	size_t i;

	q.asked.chunk_tokens = (uint32_t)c->chunk_tokens;
	if (key_algo_parse(&q.asked.algo, algo ? algo : KEY_ALGO_DEFAULT, &e) < 0 ||
	    io_slurp(tokens_file, &b, 1u << 30, &e) < 0 ||
	    key_tokens_read(&tokens, b.p, b.len, &e) < 0)
		goto fail;
	q.tokens = tokens.ids;
	q.n = tokens.n;
	if (key_explain(&a, &q, &e) < 0)
		goto fail;
	if (opts_common.json) {
		printf("{\"schema\":\"kv.explain/1\",\"cause\":\"%s\",\"tried\":%zu,"
			"\"matches\":%zu}\n", key_cause_word(a.cause), a.tried, a.n_best);
	} else {
		for (i = 0; i < a.n_best; i++)
			print_match(c, &a.best[i], tokens_file);
		printf("explanation: %s\n", sentence(a.cause));
		if (a.cause == KEY_CAUSE_NOTHING)
			printf("tried %zu other ways: algorithms, seeds, chunk sizes, with and "
				"without BOS\n", a.tried);
	}
	key_tokens_free(&tokens);
	buf_free(&b);
	return;
fail:
	tool_fail(&e);
	key_tokens_free(&tokens);
	buf_free(&b);
}
