#ifndef FLOW_EVICT_LISTS_H
#define FLOW_EVICT_LISTS_H

#include "flow/evict.h"
#include "flow/flow.h"

/* Text files that evict_mark() reads. All: ERR_USAGE with file and line. */

/*
 * Pins: a line is 6 or more hex digits that a hash begins with, or a pattern of object
 * names (anything else). '#' begins a comment.
 */
int evict_read_pins(struct evict *ev, const char *file, struct err *e);

/* What a verification found (NDJSON with "name" or "hash", and "state"): whatever
 * is not "ok" is asked to go. */
int evict_read_report(struct evict *ev, const char *file, struct err *e);

/*
 * Quotas: "TENANT MAX-SIZE TTL PRIORITY [MAX-CHUNKS]" a line, "-" for none, '#' begins a
 * comment. TENANT "*" is every tenant without a line, each for itself, and the chunks of
 * no tenant. Sets ev->quotas, and tenant and priority of the units.
 */
int evict_read_quotas(struct evict *ev, const char *file, struct err *e);

/* What a tenant may still put into a store by such a file: room and room_chunks of how,
 * UINT64_MAX where there is no limit. ERR_REFUSED: it has all that it may have. */
int evict_tenant_room(struct place_put *how, struct place *p, const char *file,
	const char *tenant, struct err *e);

#endif
