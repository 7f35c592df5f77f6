#ifndef KEY_PYTHON_H
#define KEY_PYTHON_H

#include <stddef.h>
#include <stdint.h>

/* CPython's hash() on 64-bit systems, in the parts that LMCache's "builtin" algorithm
 * uses (CPython 3.9-3.13: Objects/tupleobject.c, Python/pyhash.c, longobject.c). */

int64_t python_hash_int(int64_t v);

/* hash(None): a constant since CPython 3.12, an address before. */
#define PYTHON_HASH_NONE INT64_C(0xFCA86420)

/* A str of one byte a character under PYTHONHASHSEED=seed: SipHash-1-3, or SipHash-2-4 if
 * it is older than CPython 3.11. */
int64_t python_hash_text(uint32_t seed, const char *s, int old);

/* Tuples, member by member: begin, add hash(member) ..., end. */
struct python_tuple {
	uint64_t acc;
	uint64_t n;
};
void python_tuple_begin(struct python_tuple *t);
void python_tuple_add(struct python_tuple *t, int64_t hash);
int64_t python_tuple_end(const struct python_tuple *t);
/* hash() of a tuple of n ids. */
int64_t python_hash_ids(const uint32_t *ids, size_t n);

#endif
