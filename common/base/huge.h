#ifndef BASE_HUGE_H
#define BASE_HUGE_H

#include <stddef.h>

/*
 * Zeroed memory for big tables, from the system, in huge pages where it has them: a table of
 * some MiB costs one page fault instead of a thousand. Only what is touched counts, so room
 * may be taken generously. NULL: no memory. n of huge_free() is huge_alloc()'s.
 */
void *huge_alloc(size_t n);
void huge_free(void *p, size_t n);	/* safe on NULL */

/* From n to more bytes, the new ones zeroed; NULL leaves the old. p may be NULL with n 0. */
void *huge_grow(void *p, size_t n, size_t more);

/* As malloc(), free() included, for big arrays that are filled from end to end. */
void *huge_malloc(size_t n);

#endif
