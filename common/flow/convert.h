#ifndef FLOW_CONVERT_H
#define FLOW_CONVERT_H

#include <pthread.h>

#include "flow/flow.h"
#include "geom/float.h"
#include "key/algo.h"

/* Changes that need more than a chunk's head: ranks, element types, names. */

/*
 * Chunks of tp ranks out of those that in gives, whatever their ranks and pipeline parts:
 * all of one chunk must come one after the other, as source_place() and streams have them.
 * Takes in. Memory: one chunk with all its ranks besides what flow_copy() has in flight.
 * ERR_CORRUPT from next(): a rank is missing. ERR_USAGE: heads cannot be split so.
 */
int source_reshard(struct source **out, struct source *in, uint32_t tp, struct err *e);

/* Elements of another type: bf16, f16, f32, f8_*. 8-bit types have k_scale and v_scale in
 * the metadata (1 if there are none); their own scales are kept (scale 0), or set (above
 * 0), or between a FNUZ type and its twin changed so that the codes stay (below 0). What
 * was lost adds up in loss, which may be NULL. */
struct convert_loss {
	pthread_mutex_t lock;
	struct float_loss sum;
};
int step_dtype(struct flow_step **out, enum dtype to, float scale, struct convert_loss *loss,
	struct err *e);

/* Name chunks by to. Their places in the prompt are their first tokens, or, where a store
 * does not tell those, the places of their names among those which from makes of the
 * prompt. Tokens stay the caller's. ERR_USAGE: a chunk that is not of this prompt. */
struct rename {
	struct key_algo from, to;
	const uint32_t *tokens;
	size_t n;
	uint32_t chunk_tokens;
};
int step_rename(struct flow_step **out, const struct rename *r, struct err *e);

#endif
