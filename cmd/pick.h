#ifndef CMD_PICK_H
#define CMD_PICK_H

#include "flow/catalog.h"

/* Which chunks of a place a command means, and in what order: names and selections, a
 * chain, the chunks of a prompt. Shared by kvget, kvstat and kvsend. */
enum pick_order { PICK_CHAIN, PICK_NEWEST, PICK_OLDEST, PICK_SIZE, PICK_HITS };

struct pick {
	const char *chain;	/* head: a hash prefix */
	const char *tokens;	/* file */
	const char *algo;	/* NULL: blake3 */
	uint64_t chunk_tokens;
	uint64_t limit;		/* bytes; 0 none */
	enum pick_order order;
	int whole;		/* all goes where no order is kept: PICK_CHAIN is but a wish */
	const char *const *urls;	/* of the places, as the user wrote them; or NULL */
};

struct picked {
	struct catalog cat;
	size_t *order;		/* rows of cat */
	size_t n;
	struct key_hash *keys;	/* tokens, chain: its chunks in order, there or not */
	size_t n_keys, n_tokens;	/* n_tokens: of the prompt; 0 not known */
};

int pick_sort(struct pick *p, const char *word, struct err *e);

#define PICK_TIERS 16

/* place_open() for reading; says aloud what dialect was detected. geometry: --geometry or NULL. */
int pick_open(struct place *p, const char *url, const struct store_opts *o, const char *geometry,
	struct err *e);

/* Stores in order, as tiers: p[0..*n). One that is down is told, and left out, of urls too, if
 * another is left; so is, silently, fill (or NULL), which is made when it is filled. -1 with e
 * otherwise. */
int pick_open_tiers(struct place *p, size_t *n, const char **urls, size_t n_urls, const char *fill,
	const struct store_opts *o, const char *geometry, struct err *e);

/* A note where nothing was chosen of a place, and its dialect does not know what lies there. */
void pick_tell_others(const struct catalog *c, const struct place *p);

/* How many were left out as they were down, when opened or listed. */
extern unsigned pick_tiers_down;

/* Names that are absent or ambiguous, and broken chains, have been told (tool_fail) and what
 * is there is picked from n tiers; -1 with e for anything worse. */
int pick_chunks(struct picked *out, struct place *p, size_t n, const struct select *s,
	const struct pick *how, struct err *e);
/* The keys of a prompt alone, before any store is asked; pick_chunks() would else do it. */
int pick_keys(struct picked *out, const struct pick *how, struct err *e);
void pick_free(struct picked *p);

/* Hashes of the whole chunks of a tokens file, to be freed. */
int pick_hashes(const char *file, const char *algo, uint64_t chunk_tokens,
	struct key_hash **out, size_t *n, size_t *n_tokens, struct err *e);

#endif
