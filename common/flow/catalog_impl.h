#ifndef FLOW_CATALOG_IMPL_H
#define FLOW_CATALOG_IMPL_H

#include "flow/catalog.h"

/* Private to the files of the catalog: catalog_list.c lists, catalog.c sorts and joins, chains.c
 * reads headers. */

/* Rows in their order, groups too, and each group once. */
int catalog_sort(struct catalog *c, struct err *e);

/* Sorted rows of our own names each once: prefixes that overlap list objects twice. */
void catalog_once(struct catalog *c);

/* Add n catalogs to one, not sorted yet. They are empty afterwards, whatever is returned.
 * tiers: rows of the i-th get tier i. */
int catalog_join(struct catalog *to, struct catalog *v, size_t n, int tiers, struct err *e);

int catalog_no_memory(struct err *e);	/* -1 */

/* What the header that a listing brought of an object named for k says: 0, or -1 if it is not
 * enough (longer than a page) and must be read. */
int catalog_parse(struct cat_head *out, const struct key *k, const struct store_item *it);

#endif
