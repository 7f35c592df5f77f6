#ifndef FLOW_CATALOG_IMPL_H
#define FLOW_CATALOG_IMPL_H

#include "flow/catalog.h"

/* Private to the two files of the catalog: catalog.c lists, chains.c reads headers. */

/* Keep the header that a listing brought for this row: its number, or 0 if it is not
 * enough (longer than a page) and must be read. */
uint32_t catalog_bring(struct catalog *c, const struct cat_row *r, const struct store_item *it);

#endif
