#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/num.h"
#include "kvstat/sim.h"
#include "kvstat/sim_random.h"

/* Workloads made up. All lengths are tokens; only full blocks are keyed, except that
 * chat and code end each prompt with a part block of its own, as engines see them. */
struct gen {
	struct trace *t;
	struct sim_random random;
	/* what can be set */
	char kind[16], mode[16];
	uint64_t docs, len, repeat, seed, requests, system, turns, k;
	double think, rate, skew, edit;
};

struct setting {
	const char *name;
	size_t at;
};

static const struct setting wholes[] = {
	{ "docs", offsetof(struct gen, docs) }, { "len", offsetof(struct gen, len) },
	{ "repeat", offsetof(struct gen, repeat) }, { "seed", offsetof(struct gen, seed) },
	{ "requests", offsetof(struct gen, requests) }, { "system", offsetof(struct gen, system) },
	{ "turns", offsetof(struct gen, turns) }, { "k", offsetof(struct gen, k) },
};

static const struct setting fractions[] = {
	{ "think", offsetof(struct gen, think) }, { "rate", offsetof(struct gen, rate) },
	{ "skew", offsetof(struct gen, skew) }, { "edit", offsetof(struct gen, edit) },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BLOCKS_MAX (1ull << 30)		/* references made up */

static uint64_t
name_of(uint64_t parent, uint64_t what)
{
	return map_mix(map_mix(parent + 0x9e3779b97f4a7c15ull) ^ what);
}

/* n more blocks below parent, all named for one text; returns the last. */
static int
run(struct gen *g, uint64_t *parent, uint64_t text, uint64_t blocks, struct err *e)
{
	for (uint64_t i = 0; i < blocks; i++) {
		*parent = name_of(*parent, text);
		if (trace_add(g->t, *parent, e) < 0)
			return -1;
	}
	return 0;
}

static int
docqa(struct gen *g, struct err *e)
{
	size_t n = g->docs * g->repeat;
	uint32_t *order = malloc((n + 1) * sizeof(*order));
	int r = -1;

	if (!order)
		return err_sys(e, "docqa");
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)(!strcmp(g->mode, "interleave") ? i / g->repeat : i % g->docs);
	if (!strcmp(g->mode, "random"))
		sim_random_shuffle(&g->random, order, n);
	for (size_t i = 0; i < n; i++) {
		uint64_t parent = 0;

		if (run(g, &parent, order[i], g->len / g->t->block_tokens, e) < 0 ||
		    trace_end(g->t, (double)i, g->len, e) < 0)
			goto done;
	}
	r = 0;
done:
	free(order);
	return r;
}

/* A prompt that ends with a part block nobody else has. */
static int
end_prompt(struct gen *g, uint64_t parent, uint64_t own, double time_s, uint64_t tokens,
	struct err *e)
{
	if (tokens % g->t->block_tokens &&
	    trace_add(g->t, name_of(parent, own | 1ull << 63), e) < 0)
		return -1;
	return trace_end(g->t, time_s, tokens, e);
}

/* Conversations: a shared system prompt, turns that append, pauses to think. New ones begin until
 * the last request: were they to stop, a few long ones would be alone with the cache at the end. */
struct chats {
	uint64_t *tokens;	/* so far, of each */
	uint32_t n, room;
	struct heap turns;	/* the next of each, by time */
	double start;		/* of the newest */
};

static int
new_chat(struct gen *g, struct chats *c, struct err *e)
{
	if (c->n == c->room) {
		uint32_t room = 2 * c->room + 64;
		uint64_t *more = realloc(c->tokens, room * sizeof(*more));

		if (!more)
			return err_sys(e, "chat");
		c->tokens = more;
		c->room = room;
	}
	c->tokens[c->n] = g->system;
	c->start += sim_random_exp(&g->random, 1 / g->rate);
	return heap_put(&c->turns, c->n++, (struct rank){ c->start, 0 }, e);
}

static int
turn(struct gen *g, uint32_t id, uint64_t tokens, double when, struct err *e)
{
	uint64_t parent = 0, bt = g->t->block_tokens, shared = g->system / bt;

	if (run(g, &parent, 0, shared, e) < 0 ||
	    run(g, &parent, 1 + id, tokens / bt - shared, e) < 0)
		return -1;
	return end_prompt(g, parent, g->t->n, when, tokens, e);
}

static int
chat(struct gen *g, struct err *e)
{
	double go_on = 1 - 1.0 / (double)g->turns;
	struct chats c = { 0 };
	int r = new_chat(g, &c, e);

	while (r == 0 && g->t->n < g->requests) {
		uint32_t i = heap_pop(&c.turns);
		double when = c.turns.rank[i].a;

		if (i + 1 == c.n)
			r = new_chat(g, &c, e);
		c.tokens[i] += 1 + (uint64_t)sim_random_exp(&g->random, (double)g->len);
		if (r == 0)
			r = turn(g, i, c.tokens[i], when, e);
		when += sim_random_exp(&g->random, g->think);
		if (r == 0 && sim_random_unit(&g->random) < go_on)
			r = heap_put(&c.turns, i, (struct rank){ when, 0 }, e);
	}
	heap_free(&c.turns);
	free(c.tokens);
	return r;
}

/* Numbers below n, the i-th with weight 1 / i^skew. */
static double *
zipf_table(uint64_t n, double skew)
{
	double *sum = malloc((n + 1) * sizeof(*sum)), s = 0;

	for (uint64_t i = 0; sum && i < n; i++)
		sum[i] = s += pow((double)(i + 1), -skew);
	return sum;
}

static uint64_t
zipf(struct gen *g, const double *sum, uint64_t n)
{
	double x = sim_random_unit(&g->random) * sum[n - 1];
	uint64_t low = 0, high = n - 1;

	while (low < high) {
		uint64_t mid = (low + high) / 2;

		if (sum[mid] < x)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* k documents, drawn by popularity, behind a system prompt (rag); or one alone (zipf). */
static int
drawn(struct gen *g, struct err *e)
{
	double *sum = zipf_table(g->docs, g->skew);
	uint64_t bt = g->t->block_tokens;
	int r = -1;

	if (!sum)
		return err_sys(e, "%s", g->kind);
	for (uint64_t i = 0; i < g->requests; i++) {
		uint64_t parent = 0;

		if (run(g, &parent, 0, g->system / bt, e) < 0)
			goto done;
		for (uint64_t d = 0; d < g->k; d++)
			if (run(g, &parent, 1 + zipf(g, sum, g->docs), g->len / bt, e) < 0)
				goto done;
		if (trace_end(g->t, (double)i / g->rate,
		    g->system / bt * bt + g->k * (g->len / bt * bt), e) < 0)
			goto done;
	}
	r = 0;
done:
	free(sum);
	return r;
}

/* Agents at work in k repositories: long shared contexts, steps that append, and now
 * and then an edit that takes another way from the middle. */
struct agent {
	uint64_t repo, id, tokens, common, branch;	/* branch: from common on, another text */
	uint64_t left;					/* steps */
};

static int
step(struct gen *g, struct agent *a, double when, struct err *e)
{
	uint64_t parent = 0, bt = g->t->block_tokens, own = g->system / bt;

	a->tokens += 1 + (uint64_t)sim_random_exp(&g->random, (double)g->len);
	if (sim_random_unit(&g->random) < g->edit && a->tokens > a->common + bt) {
		a->common += sim_random_below(&g->random, (a->tokens - a->common) & 0xffffffff);
		a->tokens = a->common + 1 + (uint64_t)sim_random_exp(&g->random, (double)g->len);
		a->branch = g->t->n;
	}
	if (run(g, &parent, a->repo, own, e) < 0 ||
	    run(g, &parent, 1000 + a->id, a->common / bt - own, e) < 0 ||
	    run(g, &parent, name_of(a->id, a->branch), a->tokens / bt - a->common / bt, e) < 0)
		return -1;
	a->left--;
	return end_prompt(g, parent, g->t->n, when, a->tokens, e);
}

static int
code(struct gen *g, struct err *e)
{
	struct agent *agents = calloc(g->docs, sizeof(*agents));
	double when = 0;
	int r = 0;

	if (!agents)
		return err_sys(e, "code");
	for (uint64_t i = 0; i < g->requests && r == 0; i++) {
		struct agent *a = &agents[sim_random_below(&g->random, g->docs)];

		if (!a->left)
			*a = (struct agent){ .repo = sim_random_below(&g->random, g->k), .id = i,
				.tokens = g->system, .common = g->system, .left = g->turns };
		when += sim_random_exp(&g->random, 1 / g->rate);
		r = step(g, a, when, e);
	}
	free(agents);
	return r;
}

/* Texts one after another, never (scan) or all again in the same order (loop). */
static int
in_turn(struct gen *g, uint64_t docs, struct err *e)
{
	for (uint64_t i = 0; i < g->requests; i++) {
		uint64_t parent = 0;

		if (run(g, &parent, i % docs, g->len / g->t->block_tokens, e) < 0 ||
		    trace_end(g->t, (double)i / g->rate, g->len, e) < 0)
			return -1;
	}
	return 0;
}

static int
make(struct gen *g, struct err *e)
{
	if (!strcmp(g->kind, "docqa"))
		return docqa(g, e);
	if (!strcmp(g->kind, "chat"))
		return chat(g, e);
	if (!strcmp(g->kind, "code"))
		return code(g, e);
	if (!strcmp(g->kind, "loop") || !strcmp(g->kind, "scan"))
		return in_turn(g, *g->kind == 'l' ? g->docs : g->requests, e);
	return drawn(g, e);
}

static const struct gen kinds[] = {
	{ .kind = "docqa", .mode = "random", .docs = 8, .len = 20000, .repeat = 2 },
	{ .kind = "chat", .requests = 10000, .len = 1500, .system = 1000, .turns = 4,
	  .think = 120, .rate = 1 },
	{ .kind = "rag", .requests = 10000, .docs = 2000, .len = 1024, .system = 512, .k = 3,
	  .skew = 0.9, .rate = 1 },
	{ .kind = "code", .requests = 5000, .docs = 50, .len = 800, .system = 8000, .turns = 30,
	  .k = 20, .edit = 0.1, .rate = 1 },
	{ .kind = "scan", .requests = 5000, .len = 4096, .rate = 1 },
	{ .kind = "loop", .requests = 5000, .docs = 500, .len = 4096, .rate = 1 },
	{ .kind = "zipf", .requests = 200000, .docs = 50000, .k = 1, .skew = 0.9, .rate = 1 },
};

static int
set(struct gen *g, const char *key, const char *value, struct err *e)
{
	if (!strcmp(key, "mode")) {
		if (strcmp(value, "random") && strcmp(value, "tile") &&
		    strcmp(value, "interleave"))
			return err_set(e, ERR_USAGE, "mode '%s': random, tile or interleave",
				value);
		memcpy(g->mode, value, strlen(value) + 1);
		return 0;
	}
	for (size_t i = 0; i < COUNT(wholes); i++)
		if (!strcmp(key, wholes[i].name))
			return num_u64((uint64_t *)((char *)g + wholes[i].at), value, 0,
				strcmp(key, "seed") ? 1u << 30 : UINT64_MAX, key, e);
	for (size_t i = 0; i < COUNT(fractions); i++)
		if (!strcmp(key, fractions[i].name))
			return num_double((double *)((char *)g + fractions[i].at), value, 1e-6, 1e9,
				key, e);
	return err_set(e, ERR_USAGE, "no setting '%s'", key);
}

/* Nothing may be 0 that is divided by, nor the whole run out of hand. */
static int
check(const struct gen *g, struct err *e)
{
	double prompts = (double)g->requests + (double)g->docs * (double)g->repeat;
	double blocks = ((double)g->len * (double)(1 + g->k) * (double)(1 + g->turns) +
		(double)g->system) / (double)g->t->block_tokens + 1;

	if (!g->len || (!g->docs && strcmp(g->kind, "chat") && strcmp(g->kind, "scan")))
		return err_set(e, ERR_USAGE, "docs and len must not be 0");
	if ((!strcmp(g->kind, "chat") && !g->turns) ||
	    (!strcmp(g->kind, "code") && (!g->turns || !g->k)))
		return err_set(e, ERR_USAGE, "turns and k must not be 0");
	if (prompts * blocks > (double)BLOCKS_MAX)
		return err_set(e, ERR_USAGE, "that is more than a billion blocks");
	return 0;
}

int
sim_generate(struct trace *t, const char *spec, struct err *e)
{
	char copy[256], *rest = copy, *word, *value;
	struct gen g = { 0 };

	if (strlen(spec) >= sizeof(copy))
		return err_set(e, ERR_USAGE, "--gen '%.40s...': too long", spec);
	memcpy(copy, spec, strlen(spec) + 1);
	word = strsep(&rest, ",");
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (!strcmp(word, kinds[i].kind))
			g = kinds[i];
	if (!*g.kind)
		return err_set(e, ERR_USAGE, "--gen '%s': not one of docqa chat rag code scan "
			"loop zipf", word);
	g.t = t;
	if (!g.len)
		g.len = t->block_tokens;
	while ((word = strsep(&rest, ",")) != NULL) {
		value = strchr(word, '=');
		if (!value)
			return err_set(e, ERR_USAGE, "--gen: '%s' has no '='", word);
		*value++ = '\0';
		if (set(&g, word, value, e) < 0)
			return err_in(e, "--gen %s", g.kind);
	}
	if (check(&g, e) < 0)
		return err_in(e, "--gen %s", g.kind);
	sim_random_seed(&g.random, g.seed);
	return make(&g, e);
}
