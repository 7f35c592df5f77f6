#ifndef CHUNK_FIELDS_H
#define CHUNK_FIELDS_H

#include "chunk/chunk.h"

/* Private to the room: the metadata that the format knows, in the canonical order. One
 * table reads and writes: what stands in it is what kvchunk(5) promises. */
enum chunk_type { TEXT, U32, U64, I64, REAL, TIME, HASH, DIGEST, SPAN, PARTS };

#define CHUNK_NEEDED 0x100	/* must be there; others are left out when empty */

struct chunk_field {
	const char *name;
	size_t name_len;
	enum chunk_type type;
	size_t at, size;	/* in struct chunk_head */
	unsigned where;		/* bits of 1 << enum chunk_kind, CHUNK_NEEDED */
};

extern const struct chunk_field chunk_fields[];
extern const size_t chunk_n_fields;

/* Names of the format that are not in the table, and records by kind. */
enum { OTHER_VERSION, OTHER_SEAL, OTHER_RECORD, OTHER_DTYPE, OTHER_SHAPE, N_OTHERS };
extern const char *const chunk_others[N_OTHERS];
extern const char *const chunk_records[4];

/* Values from the texts of a header; -1: not canonical, or too large. */
int chunk_take_u64(const char *s, size_t n, uint64_t *out);	/* n decimal digits */
/* Numbers with sep between two: how many there are, at most max. */
int chunk_take_list(const char *s, char sep, uint64_t *out, size_t max);
int chunk_take_parts(struct chunk_head *h, const char *s, size_t n);	/* "1,2,3" */
int chunk_take_span(const char *text, uint32_t *count_first_total);	/* "first:count/total" */

/* XXH3-128 of a region of n bytes whose 32 seal digits, at seal, count as '0'.
 * -1: out of memory. */
int chunk_seal_of(struct digest128 *out, const char *region, size_t n, const char *seal);

#endif
