#ifndef FLOW_EVICT_VERSIONS_H
#define FLOW_EVICT_VERSIONS_H

#include "flow/evict_litter.h"

/*
 * Versioned buckets: what lies behind the objects. Gone for good are the versions of what this
 * run has evicted, whatever their age, and, unless only those are wanted, every version that
 * another one hides, and then every delete marker with nothing under it. Versions
 * go before the marker that hides them, so that no deleted chunk comes back. Names that are
 * neither ours nor of the place's dialect are somebody else's: theirs stay.
 */
struct versions_want {
	double min_age_s;	/* what is younger stays, but for what was evicted */
	int evicted;		/* those of what was evicted alone */
	int dry;
	unsigned jobs;		/* 0: what the store likes */
};

/* After evict_run() (dry: after evict_plan()). told hears of each "version" and "marker", but
 * not of what this run itself made of the chunks that it has told already. */
int evict_versions(struct evict *ev, const struct versions_want *w, litter_told *told, void *ctx,
	struct err *e);

#endif
