#ifndef CMD_PICK_HITS_H
#define CMD_PICK_HITS_H

#include "flow/catalog.h"

/* The use counts that the index (--index, or the usual one) of the store at url knows, into the
 * rows of a catalog; those the store told stay where they are higher. ERR_ABSENT: no index. */
int pick_hits(struct catalog *cat, const struct place *p, const char *url, struct err *e);

/* The parents that it knows, as headers that need not be read: parent alone is set in them. */
void pick_parents(struct catalog *cat, const struct place *p, const char *url);

#endif
