#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "index/import.h"

/*
 * Uses by name are notes like any others. Uses by hash are added up in memory first, and
 * then one walk over the index finds the objects of those hashes: no index by hash is
 * needed for that, nor memory for more than HASHES_MAX of them.
 */
#define HASHES_MAX (1u << 20)
#define PARENT_MAX 160

struct hash_use {
	UT_hash_handle hh;
	uint64_t n;
	int64_t at_s;
	uint32_t depth;
	int found;
	char *parent;
	char hash[];
};

struct import {
	struct index *ix;
	struct import_where w;
	struct import_counts counts;
	struct hash_use *hashes;
};

int
import_open(struct import **out, struct index *ix, const struct import_where *w,
	struct err *e)
{
	struct import *im = calloc(1, sizeof(*im));

	*out = im;
	if (!im)
		return err_sys(e, "import");
	im->ix = ix;
	im->w = *w;
	return 0;
}

static struct hash_use *
new_hash(struct import *im, const struct import_event *ev)
{
	size_t n = strlen(ev->hash);
	struct hash_use *u = calloc(1, sizeof(*u) + n + 1);

	if (!u)
		return NULL;
	u->parent = strdup(ev->parent);
	if (!u->parent) {
		free(u);
		return NULL;
	}
	memcpy(u->hash, ev->hash, n + 1);
	u->depth = ev->depth;
	HASH_ADD_STR(im->hashes, hash, u);
	return u;
}

static int
use_of_hash(struct import *im, const struct import_event *ev, struct err *e)
{
	struct hash_use *u;

	HASH_FIND_STR(im->hashes, ev->hash, u);
	if (!u)
		u = new_hash(im, ev);
	if (!u)
		return err_sys(e, "import");
	u->n += ev->n;
	if (u->at_s < ev->at_s)
		u->at_s = ev->at_s;
	im->counts.uses++;
	return 0;
}

static int
event(void *ctx, const struct import_event *ev, struct err *e)
{
	struct import *im = ctx;
	struct index_entry x = { .name = ev->name, .size = ev->size, .created_s = ev->at_s };

	if (!ev->name)
		return use_of_hash(im, ev, e);
	switch (ev->what) {
	case IMPORT_USE:
		index_note(im->ix, ev->name, ev->n, ev->at_s);
		im->counts.uses++;
		return 0;
	case IMPORT_PUT:
		index_note_put(im->ix, ev->entry ? ev->entry : &x);
		im->counts.puts++;
		return 0;
	default:
		im->counts.deletes++;
		if (index_flush(im->ix, e) < 0)
			return -1;
		return index_remove(im->ix, &ev->name, 1, e);
	}
}

/* The object of a hash that was used: a use, and its parent if that was not known. */
static int
match(void *ctx, const struct index_entry *x, struct err *e)
{
	struct import *im = ctx;
	struct index_entry link = { .name = x->name };
	const char *hash = x->hash + strspn(x->hash, "0");
	char parent[PARENT_MAX];
	struct hash_use *u;

	(void)e;
	if (!*hash)
		return 0;
	HASH_FIND_STR(im->hashes, hash, u);
	if (!u)
		return 0;
	u->found = 1;
	index_note(im->ix, x->name, u->n, u->at_s);
	if (!*x->parent) {
		/* as long as the hashes of this store are, so that the texts are equal */
		size_t want = strlen(x->hash), have = strlen(u->parent);
		size_t zeros = *u->parent != '-' && want > have && want < PARENT_MAX ?
			want - have : 0;

		memset(parent, '0', zeros);
		snprintf(parent + zeros, sizeof(parent) - zeros, "%s", u->parent);
		link.parent = parent;
		link.depth = u->depth;
		index_note_put(im->ix, &link);
	}
	return 0;
}

static int
write_hashes(struct import *im, struct err *e)
{
	struct hash_use *u, *next;
	int rc = 0;

	if (im->hashes)
		rc = index_flush(im->ix, e) < 0 ? -1 :
			index_each(im->ix, "", INDEX_BY_NAME, match, im, e);
	HASH_ITER(hh, im->hashes, u, next) {
		im->counts.unknown += u->found ? 0 : u->n;
		HASH_DEL(im->hashes, u);
		free(u->parent);
		free(u);
	}
	return rc;
}

int
import_add(struct import *im, const char *line, size_t n, struct err *e)
{
	struct err why = { 0 };
	int rc = import_line(&im->w, line, n, event, im, &why);

	im->counts.lines++;
	if (rc < 0 && why.kind != ERR_CORRUPT)
		return err_set(e, why.kind, "%s", why.text);
	im->counts.bad += rc < 0;
	im->counts.other += rc == 0;
	return HASH_COUNT(im->hashes) < HASHES_MAX ? 0 : write_hashes(im, e);
}

int
import_close(struct import *im, struct import_counts *out, struct err *e)
{
	int rc;

	if (!im)
		return 0;
	rc = write_hashes(im, e);
	if (rc == 0)
		rc = index_flush(im->ix, e);
	if (out)
		*out = im->counts;
	free(im);
	return rc;
}
