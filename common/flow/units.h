#ifndef FLOW_UNITS_H
#define FLOW_UNITS_H

#include "flow/catalog.h"

/*
 * What goes and stays together in a store: one unit is a chunk with all its ranks, groups
 * and layers. Units are sorted by class (what their chunks share: model, element type,
 * tensor-parallel size, tenant, algorithm), then by hash.
 */
#define UNIT_NONE UINT32_MAX

struct units {
	const struct catalog *cat;	/* must outlive this */
	uint32_t *class_of;		/* by index of cat->groups */
	uint32_t *groups;		/* one group of each class, sorted */
	uint32_t n_classes;
	uint32_t *rows;			/* the catalog's, in order of units; NULL: as they are */
	uint32_t *start;		/* n + 1: where a unit's rows begin */
	uint32_t n;
};

/* ERR_FAILED: memory, or more than 4 billion objects. Free in any case. */
int units_make(struct units *u, const struct catalog *cat, struct err *e);
void units_free(struct units *u);

/* Row k of all, in order of units. */
static inline const struct cat_row *
units_row(const struct units *u, uint32_t k)
{
	return &u->cat->rows[u->rows ? u->rows[k] : k];
}

static inline uint32_t
units_class(const struct units *u, uint32_t unit)
{
	return u->class_of[units_row(u, u->start[unit])->group];
}

static inline const struct key_hash *
units_hash(const struct units *u, uint32_t unit)
{
	return &units_row(u, u->start[unit])->hash;
}

/* The unit of a hash in a class; UNIT_NONE. */
uint32_t units_find(const struct units *u, uint32_t class, const struct key_hash *h);

/* The unit that an object with this key belongs to; algo: as the catalog's groups have it
 * ("" for native). */
uint32_t units_of_key(const struct units *u, const struct key *k, const char *algo);

/* The unit that an object's name belongs to, by the place's dialect. */
uint32_t units_of_name(const struct units *u, const struct place *p, const char *name);

#endif
