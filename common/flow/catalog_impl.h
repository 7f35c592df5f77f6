#ifndef FLOW_CATALOG_IMPL_H
#define FLOW_CATALOG_IMPL_H

#include "flow/catalog.h"

/* Private to the two files of the catalog: catalog.c lists, chains.c reads headers. */

/* What the header that a listing brought of an object named for k says: 0, or -1 if it is not
 * enough (longer than a page) and must be read. Takes no lock: this is the dear part. */
int catalog_parse(struct cat_head *out, const struct key *k, const struct store_item *it);

/* Keep it: its number, or 0 without memory. */
uint32_t catalog_bring(struct catalog *c, const struct cat_head *h);

#endif
