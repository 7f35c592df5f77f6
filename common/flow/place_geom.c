#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/place_geom.h"

#define LOOK_AT 4096	/* names, for a chunk of ours */

/* An object's first bytes, at most n: 0 or -1. */
static int
first_bytes(struct store *s, const char *name, size_t n, struct block *b)
{
	struct store_get g = { .out = b };
	struct err e;

	*b = (struct block){ .p = malloc(n), .cap = n };
	if (b->p && store_get(s, name, 0, n, &g, &e) == 0)
		return 0;
	free(b->p);
	return -1;
}

static int
from_config(struct place *p, struct geom *out, char model[256])
{
	struct block b;
	int found;

	if (first_bytes(p->store, "config.json", 1 << 20, &b) < 0)
		return 0;
	found = geom_config(out, model, b.p, b.len, "config.json", NULL) == 0;
	free(b.p);
	return found;
}

struct sibling {
	char name[1100];
	size_t seen;
};

static int
note_ours(void *ctx, const struct store_item *it, struct err *e)
{
	struct sibling *s = ctx;
	struct key k;

	(void)e;
	if (key_parse_name(&k, it->name, NULL) == 0) {
		snprintf(s->name, sizeof(s->name), "%s", it->name);
		return 1;
	}
	return ++s->seen == LOOK_AT;
}

static int
from_sibling(struct place *p, struct geom *out)
{
	struct sibling s = { 0 };
	struct chunk_head h;
	struct block b;
	struct err e;
	int found;

	if (store_list(p->store, "", STORE_LIST_FAST, note_ours, &s, &e) < 0 || !*s.name ||
	    first_bytes(p->store, s.name, CHUNK_ALIGN, &b) < 0)
		return 0;
	found = chunk_head_parse(&h, b.p, b.len, &e) == 0 && h.kind == CHUNK_DATA;
	if (found)
		*out = h.geom;
	chunk_head_free(&h);
	free(b.p);
	return found;
}

int
place_geom(struct place *p, struct geom *out, char model[256])
{
	size_t n = strlen(p->detected);
	const char *from = "config.json";

	if (dialect_flags(p->dialect) & DIALECT_NATIVE)
		return 0;
	if (!from_config(p, out, model)) {	/* bodies that tell their shape lack heads */
		from = "a chunk of ours";
		if (dialect_flags(p->dialect) & DIALECT_SELF || !from_sibling(p, out))
			return 0;
	}
	snprintf(p->detected + n, sizeof(p->detected) - n, "%sgeometry from %s there",
		n ? ", " : "", from);
	return 1;
}
