#include <stdlib.h>
#include <string.h>

#include "key/explain.h"

static const char *const words[KEY_CAUSES] = {
	[KEY_CAUSE_SAME] = "same", [KEY_CAUSE_GAP] = "gap", [KEY_CAUSE_SHORT] = "short",
	[KEY_CAUSE_ALGO] = "algo", [KEY_CAUSE_SEED] = "seed", [KEY_CAUSE_CHUNK] = "chunk",
	[KEY_CAUSE_DROPPED] = "bos-extra", [KEY_CAUSE_ADDED] = "bos-missing",
	[KEY_CAUSE_EXTRA] = "extra-keys", [KEY_CAUSE_SEVERAL] = "several",
	[KEY_CAUSE_NOTHING] = "nothing",
};

/* What people export as PYTHONHASHSEED. */
static const char *const usual_seeds[] = {
	"0", "42", "1", "123", "1234", "12345", "123456", "2023", "2024", "2025", "2026", "1337",
	NULL
};

static const uint32_t usual_chunks[] = { 16, 32, 64, 128, 256, 512, 1024 };

/* First tokens of: DeepSeek; Llama 1-2 and Mistral; Gemma and OPT; a byte vocabulary;
 * GPT-2; Llama 3; Qwen; gpt-oss; Llama 4. */
static const uint32_t usual_bos[] = {
	0, 1, 2, 256, 50256, 128000, 151643, 199998, 200000
};

struct search {
	const struct key_question *q;
	struct key_answer *out;
	struct key_hash *hashes;	/* room for the longest chain */
	uint32_t *tokens;		/* the question's, behind room for one more */
	size_t limit;			/* look at so many tokens; 0: at the first link */
	struct key_chain try;
	unsigned differs;		/* of try, tokens aside */
};

const char *
key_cause_word(enum key_cause c)
{
	return words[c];
}

/* How many links of the chain are there. Ways that cannot be computed have no links. */
static int
look(struct search *s, struct key_match *m, const uint32_t *tokens, size_t n, struct err *e)
{
	size_t i;
	int rc;

	m->algo = s->try.algo;
	m->chunk_tokens = s->try.chunk_tokens;
	m->links = m->present = m->prefix = 0;
	if (key_chain(s->hashes, &s->try, tokens, n, e) < 0)
		return e->kind == ERR_USAGE ? 0 : -1;
	m->links = n / s->try.chunk_tokens;
	for (i = 0; i < m->links; i++) {
		rc = s->q->present(s->q->ctx, &s->hashes[i], e);
		if (rc < 0)
			return -1;
		if (rc == 0)
			continue;
		if (m->present++ == 0)
			m->found = s->hashes[i];
		if (m->prefix == i)
			m->prefix++;
	}
	return 0;
}

/* Another algorithm is the least likely: two of them may make the same names. */
static int
unlikely(unsigned differs)
{
	return 2 * __builtin_popcount(differs) + (differs & KEY_DIFF_ALGO ? 1 : 0);
}

static int
better(const struct key_match *a, const struct key_match *b)
{
	uint64_t pa = (uint64_t)a->prefix * a->chunk_tokens;
	uint64_t pb = (uint64_t)b->prefix * b->chunk_tokens;
	uint64_t na = (uint64_t)a->present * a->chunk_tokens;
	uint64_t nb = (uint64_t)b->present * b->chunk_tokens;

	if (pa != pb)
		return pa > pb;
	if (na != nb)
		return na > nb;
	return unlikely(a->differs) < unlikely(b->differs);
}

static void
keep(struct key_answer *out, const struct key_match *m)
{
	size_t at = out->n_best;

	while (at > 0 && better(m, &out->best[at - 1]))
		at--;
	if (at == KEY_MATCHES)
		return;
	if (out->n_best < KEY_MATCHES)
		out->n_best++;
	memmove(&out->best[at + 1], &out->best[at],
		(out->n_best - at - 1) * sizeof(out->best[0]));
	out->best[at] = *m;
}

/* One way: its first link, or its first tokens; where something is there, all of it. */
static int
try_way(struct search *s, unsigned differs, uint32_t bos, const uint32_t *tokens, size_t n,
	struct err *e)
{
	struct key_match m = { .differs = s->differs | differs, .bos = bos };
	size_t some = s->limit ? s->limit : s->try.chunk_tokens;

	if (m.differs == 0 || n < s->try.chunk_tokens)
		return 0;
	if (look(s, &m, tokens, n < some ? n : some, e) < 0)
		return -1;
	s->out->tried += m.links > 0;
	if (m.present == 0)
		return 0;
	if (look(s, &m, tokens, n, e) < 0)
		return -1;
	keep(s->out, &m);
	return 0;
}

static int
try_bos(struct search *s, const uint32_t *bos, size_t n_bos, struct err *e)
{
	size_t i;

	for (i = 0; i < n_bos; i++) {
		s->tokens[0] = bos[i];
		if (try_way(s, KEY_DIFF_ADDED, bos[i], s->tokens, s->q->n + 1, e) < 0)
			return -1;
	}
	return 0;
}

static int
try_tokens(struct search *s, struct err *e)
{
	const struct key_question *q = s->q;

	if (try_way(s, 0, 0, q->tokens, q->n, e) < 0)
		return -1;
	if (q->n > 1 &&
	    try_way(s, KEY_DIFF_DROPPED, q->tokens[0], q->tokens + 1, q->n - 1, e) < 0)
		return -1;
	if (s->limit)
		return 0;
	if (try_bos(s, usual_bos, sizeof(usual_bos) / sizeof(usual_bos[0]), e) < 0)
		return -1;
	return try_bos(s, q->bos, q->n_bos, e);
}

static int
try_chunks(struct search *s, struct err *e)
{
	const uint32_t asked = s->q->asked.chunk_tokens;
	const unsigned differs = s->differs;
	size_t i;

	s->try.chunk_tokens = asked;
	if (try_tokens(s, e) < 0)
		return -1;
	s->differs |= KEY_DIFF_CHUNK;
	for (i = 0; i < sizeof(usual_chunks) / sizeof(usual_chunks[0]); i++) {
		s->try.chunk_tokens = usual_chunks[i];
		if (usual_chunks[i] != asked && try_tokens(s, e) < 0)
			return -1;
	}
	s->differs = differs;
	return 0;
}

/* With the extra keys where the algorithm takes them, and without. */
static int
try_extra(struct search *s, struct err *e)
{
	const unsigned differs = s->differs;

	s->try.extra = key_algo_extra(&s->try.algo) ? s->q->asked.extra : NULL;
	if (try_chunks(s, e) < 0)
		return -1;
	if (!s->try.extra)
		return 0;
	s->try.extra = NULL;
	s->differs |= KEY_DIFF_EXTRA;
	if (try_chunks(s, e) < 0)
		return -1;
	s->differs = differs;
	return 0;
}

static int
try_seed(struct search *s, const char *seed, struct err *e)
{
	const struct key_algo *asked = &s->q->asked.algo;

	if (strlen(seed) >= sizeof(s->try.algo.seed))
		return 0;
	strcpy(s->try.algo.seed, seed);
	if (key_algo_equal(&s->try.algo, asked))
		s->differs = 0;
	else
		s->differs = s->try.algo.kind == asked->kind ? KEY_DIFF_SEED : KEY_DIFF_ALGO;
	return try_extra(s, e);
}

static int
try_seeds(struct search *s, const char *const *seeds, struct err *e)
{
	for (; seeds && *seeds; seeds++)
		if (try_seed(s, *seeds, e) < 0)
			return -1;
	return 0;
}

static int
listed(const char *const *seeds, const char *seed)
{
	for (; seeds && *seeds; seeds++)
		if (!strcmp(*seeds, seed))
			return 1;
	return 0;
}

static int
try_all(struct search *s, struct err *e)
{
	const char *own = s->q->asked.algo.seed;
	size_t i;

	for (i = 0; key_algo_nth(&s->try.algo, i) == 0; i++) {
		if (key_algo_width(&s->try.algo) == 0)
			continue;
		if (try_seed(s, "", e) < 0)
			return -1;
		if (!key_algo_seeded(&s->try.algo))
			continue;
		if (*own && !listed(usual_seeds, own) && !listed(s->q->seeds, own) &&
		    try_seed(s, own, e) < 0)
			return -1;
		if (try_seeds(s, usual_seeds, e) < 0 || try_seeds(s, s->q->seeds, e) < 0)
			return -1;
	}
	return 0;
}

static enum key_cause
cause(const struct key_answer *a, const struct key_question *q)
{
	static const struct { unsigned differs; enum key_cause cause; } alone[] = {
		{ KEY_DIFF_ALGO, KEY_CAUSE_ALGO }, { KEY_DIFF_SEED, KEY_CAUSE_SEED },
		{ KEY_DIFF_CHUNK, KEY_CAUSE_CHUNK }, { KEY_DIFF_DROPPED, KEY_CAUSE_DROPPED },
		{ KEY_DIFF_ADDED, KEY_CAUSE_ADDED }, { KEY_DIFF_EXTRA, KEY_CAUSE_EXTRA },
	};
	size_t i;

	if (a->asked.present)
		return a->asked.prefix == a->asked.links ? KEY_CAUSE_SAME : KEY_CAUSE_GAP;
	if (a->n_best == 0)
		return q->n < q->asked.chunk_tokens ? KEY_CAUSE_SHORT : KEY_CAUSE_NOTHING;
	for (i = 0; i < sizeof(alone) / sizeof(alone[0]); i++)
		if (a->best[0].differs == alone[i].differs)
			return alone[i].cause;
	return KEY_CAUSE_SEVERAL;
}

/* Room for the longest chain and for the tokens with one more in front. */
static int
search_open(struct search *s, const struct key_question *q, struct err *e)
{
	uint32_t least = q->asked.chunk_tokens < usual_chunks[0] ? q->asked.chunk_tokens :
		usual_chunks[0];

	s->hashes = calloc((q->n + 1) / least + 1, sizeof(*s->hashes));
	s->tokens = calloc(q->n + 1, sizeof(*s->tokens));
	if (!s->hashes || !s->tokens)
		return err_sys(e, "explain");
	if (q->n)
		memcpy(s->tokens + 1, q->tokens, q->n * sizeof(*s->tokens));
	return 0;
}

int
key_explain(struct key_answer *out, const struct key_question *q, struct err *e)
{
	struct search s = { .q = q, .out = out };
	int rc = -1;

	memset(out, 0, sizeof(*out));
	if (q->asked.chunk_tokens == 0)
		return err_set(e, ERR_USAGE, "chunks of 0 tokens");
	if (search_open(&s, q, e) < 0)
		goto done;
	s.try.algo = q->asked.algo;
	s.try.chunk_tokens = q->asked.chunk_tokens;
	s.try.extra = q->asked.extra;
	if (look(&s, &out->asked, q->tokens, q->n, e) < 0 || try_all(&s, e) < 0)
		goto done;
	if (out->asked.present == 0 && out->n_best == 0) {
		s.limit = KEY_EXPLAIN_TOKENS;
		if (try_all(&s, e) < 0)
			goto done;
	}
	out->cause = cause(out, q);
	rc = 0;
done:
	free(s.hashes);
	free(s.tokens);
	return rc;
}
