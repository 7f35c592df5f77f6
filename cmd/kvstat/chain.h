#ifndef CMD_KVSTAT_CHAIN_H
#define CMD_KVSTAT_CHAIN_H

#include "base/io.h"
#include "key/tokens.h"
#include "kvstat/common.h"

/* kvstat chain: what its files share. */
#define CHAIN_PLACES 16

struct chain {
	struct stat_place places[CHAIN_PLACES];
	const char *urls[CHAIN_PLACES];	/* as the user wrote them */
	size_t n_places;
	struct select asked;	/* whose links count; places may hold others' as well */
	uint64_t chunk_tokens;
	struct key_hash *hashes;	/* of the links, in order */
	size_t n;
	size_t n_tokens;		/* of the prompt; 0 not known */
	size_t usable, present, unreachable;
};

/* The first row of the chunk with this hash in any group of a place that is asked for (NULL: in
 * any), its ranks folded; SIZE_MAX. */
size_t chain_find(const struct stat_place *s, const struct key_hash *h, const struct select *asked,
	struct folded *f);

/* All chains of the stores, a row each, or the one that ends with head: link by link. */
void chain_list(struct chain *c, const char *head);

/* Why are links missing? Prints the cause and the next command. tokens_file NULL: hashes alone are
 * known. */
void chain_explain(struct chain *c, const char *tokens_file, const char *algo);

#endif
