#ifndef CHUNK_CODING_H
#define CHUNK_CODING_H

#include "chunk/chunk.h"
#include "codec/codec.h"

/*
 * Coded payloads of whole chunks: each layer-half (K or V of one layer) is a part of its own.
 * Decoding gives back the chunk's original bytes, header included, since headers are
 * canonical; a chunk whose header is not (another writer's) is left uncoded.
 */

/* Code a plain chunk in place. Left as it is: what is coded already, what would not shrink,
 * a codec of CODEC_NONE. 0 or -1. */
int chunk_encode(struct codec_ctx *x, struct codec c, struct chunk *k, struct pool *p,
	struct err *e);

/* Back to the plain chunk, checked against its raw_digest; a plain one stays as it is. The
 * payload itself must have been verified (chunk_verify()). ERR_REFUSED, with no memory taken: one
 * that is over BOMB_SIZE then, and over BOMB_RATIO times as large as now. */
#define BOMB_SIZE (1ull << 30)
#define BOMB_RATIO 64
int chunk_decode(struct codec_ctx *x, struct chunk *k, struct pool *p, struct err *e);
/* The same with work space of its own. */
int chunk_plain(struct chunk *k, struct pool *p, struct err *e);

#endif
