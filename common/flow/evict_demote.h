#ifndef FLOW_EVICT_DEMOTE_H
#define FLOW_EVICT_DEMOTE_H

#include "flow/evict.h"

/* Copying a unit's objects to another store, byte for byte under the same names (damaged ones
 * too), and reading them back. */
struct demote;

/* *jobs is lowered so that the largest objects fit into r->mem. ERR_USAGE: the other store is the
 * same by another name. */
int demote_open(struct demote **out, const struct evict *ev, const struct evict_run *r,
	unsigned *jobs, struct err *e);
void demote_close(struct demote *d);	/* safe on NULL */

/* Copy and verify; from any thread. ERR_ABSENT: an object is gone at the source. */
int demote_unit(struct demote *d, uint32_t unit, struct err *e);

#endif
