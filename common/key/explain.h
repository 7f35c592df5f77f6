#ifndef KEY_EXPLAIN_H
#define KEY_EXPLAIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "key/algo.h"

/*
 * Why is this prompt not in the store? Names are hashes, so nothing can be read from
 * them; but its tokens can be hashed in every other way that is in use, and whatever
 * the store then holds tells what its writer did otherwise.
 */

/* What a match does otherwise than was asked. */
enum key_differs {
	KEY_DIFF_ALGO = 1,	/* another algorithm or variant; its seed counts with it */
	KEY_DIFF_SEED = 2,	/* the same algorithm under another PYTHONHASHSEED */
	KEY_DIFF_CHUNK = 4,	/* another chunk size */
	KEY_DIFF_DROPPED = 8,	/* without our first token: a BOS that the writer did not have */
	KEY_DIFF_ADDED = 16,	/* with one more token in front: a BOS that we lack */
	KEY_DIFF_EXTRA = 32,	/* without the extra keys */
};

enum key_cause {
	KEY_CAUSE_SAME,		/* nothing differs: the whole chain is there. If it is missed, then
				 * under another model, dtype, tensor-parallel size or tenant */
	KEY_CAUSE_GAP,		/* nothing differs, but not all links are there */
	KEY_CAUSE_SHORT,	/* not one whole chunk of tokens */
	KEY_CAUSE_ALGO, KEY_CAUSE_SEED, KEY_CAUSE_CHUNK, KEY_CAUSE_DROPPED, KEY_CAUSE_ADDED,
	KEY_CAUSE_EXTRA,	/* the best match differs in this alone ... */
	KEY_CAUSE_SEVERAL,	/* ... or in several things: see its differs */
	KEY_CAUSE_NOTHING,	/* whatever was tried, the store has none of it */
	KEY_CAUSES
};

/* One word for machines: "same", "gap", "short", "algo", "seed", "chunk", "bos-extra" (we
 * have one more), "bos-missing", "extra-keys", "several", "nothing". */
const char *key_cause_word(enum key_cause c);

struct key_match {
	struct key_algo algo;
	uint32_t chunk_tokens;
	unsigned differs;	/* enum key_differs, or-ed */
	uint32_t bos;		/* the token that was put in front or dropped */
	size_t links;		/* of the chain */
	size_t present;		/* of them in the store */
	size_t prefix;		/* of them from the first on without a gap: what engines can use */
	struct key_hash found;	/* the first that is there: look under whose name it stands */
};

#define KEY_MATCHES 8

struct key_question {
	struct key_chain asked;		/* parent and first_token are not looked at */
	const uint32_t *tokens;
	size_t n;
	const char *const *seeds;	/* also try these, NULL ends; may be NULL */
	const uint32_t *bos;		/* also try these in front; may be NULL */
	size_t n_bos;
	/* Has the store a chunk of this hash, whatever its model, dtype and size? 1, 0 or -1.
	 * Stores that keep 64 bits of longer hashes compare those. */
	int (*present)(void *ctx, const struct key_hash *h, struct err *e);
	void *ctx;
};

struct key_answer {
	enum key_cause cause;
	struct key_match asked;		/* links 0 if it cannot be computed */
	struct key_match best[KEY_MATCHES];	/* other ways that match, best first */
	size_t n_best;
	size_t tried;			/* other ways tried */
};

/* First links are tried in all ways, some twelve thousand; only if none is there, later ones
 * in the likely ways, over the first KEY_EXPLAIN_TOKENS: half a second at most, besides what
 * present() takes. -1 for chunks of 0 tokens, lack of memory, or if present() failed. */
#define KEY_EXPLAIN_TOKENS 16384
int key_explain(struct key_answer *out, const struct key_question *q, struct err *e);

#endif
