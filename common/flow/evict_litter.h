#ifndef FLOW_EVICT_LITTER_H
#define FLOW_EVICT_LITTER_H

#include "flow/evict.h"

/*
 * What is no chunk and of no use any more:
 * - temporaries and unfinished uploads of killed writers, ours and other engines';
 * - halves of pairs: a small object (Redis metadata, GDS .metadata) without its data;
 * - regions: vllm_offload_*.mmap at the top of a directory (/dev/shm), which vLLM's CPU tier
 *   leaves when it is killed, and which no process holds (base/holder.h)
 *   (vllm/v1/kv_offload/cpu/shared_offload_region.py, 2026-08).
 * Chunks of no use are asked to go by the plan: data whose needed other half is missing
 * (EVICT_HALF), and .pt files of LMCache's local disk, which have no index since the
 * engine died, written before this host started, without a .meta beside them (EVICT_DEAD;
 * lmcache/v1/storage_backend/local_disk_backend.py).
 */
struct litter {
	struct buf names, items;	/* struct litter_item */
	double min_age_s;
};

struct litter_item {
	size_t name;			/* offset in names */
	uint64_t size;
	const char *what;		/* "half", "temporary", "region" */
};

/* After evict_read(), before evict_mark(). What is younger than min_age_s (at least 10
 * minutes for temporaries and regions) is left alone, but for what store_sweep() knows better.
 * Free in any case. */
int litter_find(struct litter *l, struct evict *ev, double min_age_s, struct err *e);
void litter_free(struct litter *l);

/* Remove it. told hears of each that is gone; dry: of each that would be. What cannot be removed
 * is told with why set. */
typedef void litter_told(void *ctx, const char *name, uint64_t size, const char *what,
	const struct err *why);
int litter_remove(struct litter *l, struct evict *ev, int dry, litter_told *told, void *ctx,
	struct err *e);

#endif
