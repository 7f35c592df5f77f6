#ifndef FLOW_PLACE_GEOM_H
#define FLOW_PLACE_GEOM_H

#include "flow/catalog.h"

/* Inside the room: geometry of another engine's store, when nobody said it: from config.json at
 * its top (Hugging Face's), or, if bodies do not tell any, from a chunk of ours beside the
 * others. 1: found, and noted in p->detected; model is set if it is told. 0: there is none. */
int place_geom(struct place *p, struct geom *out, char model[256]);

#endif
