#ifndef KEY_ENCODE_H
#define KEY_ENCODE_H

#include "base/buf.h"
#include "key/algo.h"

/* What the engines hash for one chunk, as bytes: the tuple (parent, tokens, third). */

enum third {
	THIRD_LEFT_OUT,		/* a pair */
	THIRD_NONE,		/* None */
	THIRD_EMPTY,		/* () */
	THIRD_EXTRA,		/* extra keys; None if this chunk has none */
};

struct link {
	const struct key_hash *parent;	/* 8 bytes: an unsigned integer; else bytes */
	const uint32_t *tokens;
	size_t n;
	enum third third;
	const struct key_extra *extra;	/* may be NULL */
	uint64_t first;			/* place of tokens[0] */
};

/* Canonical CBOR (RFC 8949, section 4.2.1: shortest lengths). */
void encode_cbor(struct buf *out, const struct link *l);
void encode_cbor_text(struct buf *out, const char *s);

/* Pickle protocol 5 as CPython's C pickler writes it: one frame, every object put into
 * the memo. True up to a frame of 64 KiB; and if no string stands twice in one link,
 * where Python may refer back to the first. */
void encode_pickle(struct buf *out, const struct link *l);
void encode_pickle_text(struct buf *out, const char *s);
#define PICKLE_FRAME_MAX 65535

#endif
