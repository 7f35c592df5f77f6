#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limit.h"
#include "digest/digest.h"
#include "flow/evict_demote.h"

#define TWIN_MAX (1u << 20)

struct demote {
	const struct evict *ev;
	struct store *to;
	struct limit *limit;
};

/* A copy in the store it was made from would go with the original, and a store can have many
 * URLs: names of hosts, mounts. So what is put there must not be seen here. */
static int
check_elsewhere(struct store *from, struct store *to, struct err *e)
{
	const struct iovec nothing = { NULL, 0 };
	const char *name;
	char text[64];
	struct store_item it;
	signed char state;
	struct err ignored;
	int seen;

	snprintf(text, sizeof(text), "demote-%ld-%" PRId64 ".tmp", (long)getpid(), clock_now_ns());
	name = text;
	if (store_put(to, name, &nothing, 1, NULL, e) < 0)
		return err_in(e, "demote to %s", store_url(to));
	seen = store_stat(from, name, &it, e) == 0 ? 1 : e->kind == ERR_ABSENT ? 0 : -1;
	store_delete(to, &name, 1, &state, &ignored);	/* an archive may not allow it */
	return seen <= 0 ? seen :
		err_set(e, ERR_USAGE, "demote to %s: that is the store itself", store_url(to));
}

int
demote_open(struct demote **out, const struct evict *ev, const struct evict_run *r,
	unsigned *jobs, struct err *e)
{
	struct demote *d;
	uint64_t largest = 1;
	size_t i;

	*out = NULL;
	if (check_elsewhere(ev->place->store, r->demote, e) < 0)
		return -1;
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, ERR_FAILED, "demote: out of memory");
	d->ev = ev;
	d->to = r->demote;
	if (limit_open(&d->limit, r->bwlimit, e) < 0) {
		free(d);
		return -1;
	}
	for (i = 0; i < ev->cat.n; i++)
		if (ev->cat.rows[i].size > largest)
			largest = ev->cat.rows[i].size;
	if (r->mem && *jobs > r->mem / largest)
		*jobs = r->mem / largest ? (unsigned)(r->mem / largest) : 1;
	*out = d;
	return 0;
}

void
demote_close(struct demote *d)
{
	if (d)
		limit_close(d->limit);
	free(d);
}

static int
fetch(struct store *s, const char *name, struct block *b, struct digest128 *sum, struct err *e)
{
	struct store_get g = { .out = b };

	b->len = 0;
	if (store_get(s, name, 0, b->cap, &g, e) < 0)
		return -1;
	if (g.size > b->len)
		return err_set(e, ERR_TEMP, "'%.200s': grew while it was read", name);
	digest_xxh3(sum, b->p, b->len);
	return 0;
}

/* room: at most so many bytes. */
static int
copy_object(struct demote *d, const char *name, uint64_t room, struct err *e)
{
	struct block b = { .cap = room + 1 };
	struct digest128 there, back;
	struct iovec iov;
	int rc = -1;

	b.p = malloc(b.cap);
	if (!b.p)
		return err_set(e, ERR_FAILED, "demote: out of memory");
	if (fetch(d->ev->place->store, name, &b, &there, e) < 0)
		goto free_b;
	iov = (struct iovec){ b.p, b.len };
	if (limit_take(d->limit, b.len, e) < 0 || store_put(d->to, name, &iov, 1, NULL, e) < 0 ||
	    fetch(d->to, name, &b, &back, e) < 0) {
		if (e->kind == ERR_ABSENT)	/* there, not here */
			e->kind = ERR_FAILED;
		err_in(e, "demote to %s", store_url(d->to));
		goto free_b;
	}
	rc = digest_equal(&there, &back) ? 0 : err_set(e, ERR_CORRUPT,
		"demote to %s: '%.200s': what comes back differs", store_url(d->to), name);
free_b:
	free(b.p);
	return rc;
}

int
demote_unit(struct demote *d, uint32_t unit, struct err *e)
{
	const struct units *u = &d->ev->units;
	struct buf name = { 0 }, twin = { 0 };
	struct dialect_name n;
	uint32_t k;
	int rc = 0, needed;

	for (k = u->start[unit]; rc == 0 && k < u->start[unit + 1]; k++) {
		const struct cat_row *r = units_row(u, k);

		name.len = twin.len = 0;
		if (catalog_name(&d->ev->cat, r, &name) < 0 || !buf_text(&name)) {
			rc = err_set(e, ERR_FAILED, "demote: out of memory");
			break;
		}
		rc = copy_object(d, name.p, r->size, e);
		if (rc < 0 || d->ev->place->native)
			continue;
		if (dialect_name(d->ev->place->dialect, name.p, r->size, &n) == DIALECT_CHUNK &&
		    dialect_twin(&n, name.p, &twin, &needed) && buf_text(&twin) &&
		    copy_object(d, twin.p, TWIN_MAX, e) < 0 && e->kind != ERR_ABSENT)
			rc = -1;
	}
	buf_free(&name);
	buf_free(&twin);
	return rc;
}
