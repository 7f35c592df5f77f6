#ifndef DIALECT_MANIFEST_H
#define DIALECT_MANIFEST_H

#include "base/buf.h"
#include "base/err.h"
#include "digest/digest.h"

/*
 * Checksums of a store whose format has none: a text file beside it, lines
 *
 *	XXH3-128 in hex, two blanks, object name
 *
 * sorted by name (bytes), after a line "# kvmanifest 1". "xxhsum -c" reads it too. Names have
 * no control characters, so they stand as they are.
 */
struct manifest_entry {
	char *name;
	struct digest128 sum;
	unsigned char seen;	/* the caller's */
};

struct manifest {
	struct manifest_entry *v;
	size_t n, cap;
	size_t sorted;		/* of them, from the first on; what is set later is behind */
};

/* ERR_CORRUPT with the line's number: malformed, or not in order. n 0: an empty one. Zeroed on
 * failure. */
int manifest_parse(struct manifest *m, const void *p, size_t n, struct err *e);
void manifest_free(struct manifest *m);		/* safe on zero */

/* Among those that were parsed; NULL if it is not there. */
struct manifest_entry *manifest_find(const struct manifest *m, const char *name);
/* One that is not there yet. */
int manifest_add(struct manifest *m, const char *name, const struct digest128 *sum,
	struct err *e);
/* Of all entries, or with seen_only of those seen and added. Sorts them; appended to out. */
int manifest_text(struct manifest *m, int seen_only, struct buf *out, struct err *e);

#endif
