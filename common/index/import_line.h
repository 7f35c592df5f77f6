#ifndef INDEX_IMPORT_LINE_H
#define INDEX_IMPORT_LINE_H

#include "index/import.h"

/* What the forms of import_line() share; for this room alone. */

/* One line being read. */
struct reading {
	const struct import_where *w;
	import_fn *each;
	void *ctx;
	struct buf text;	/* scratch that events point into */
};

/* Tell an event about the object of this key, unless it is outside our prefix. */
int import_tell(struct reading *r, struct import_event *ev, const char *key, struct err *e);

/* A GET of no more than the first page of an object: somebody lists, checks or evicts, and it
 * would count as a use of every chunk. */
int import_is_look(const struct import_event *ev, uint64_t sent);

/* S3 server access log. */
int import_s3_line(struct reading *r, const char *line, size_t n, struct err *e);

#endif
