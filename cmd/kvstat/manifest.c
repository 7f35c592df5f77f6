#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/num.h"
#include "base/par.h"
#include "copy.h"
#include "dialect/manifest.h"
#include "kvstat/verify.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

/* kvstat verify --manifest: every object of a store, whatever it is, against a list of
 * checksums. Other engines' stores have none of their own. */

enum { PIECE = 4 << 20 };

enum { OBJECT, STATE, SIZE, N_COLS };

static const struct out_col cols[N_COLS] = {
	[OBJECT] = { "OBJECT", "object", OUT_TEXT, 0, 0 },
	[STATE] = { "STATE", "state", OUT_TEXT, 0, 0 },
	[SIZE] = { "SIZE", "size", OUT_SIZE, 0, 0 },
};

struct item {
	size_t name;		/* offset in names */
	uint64_t size;
};

struct check {
	struct store *store;
	struct manifest m;
	struct buf names, items;
	struct out *out;
	pthread_mutex_t lock;
	uint64_t good, bad, fresh, missing, gone, bytes;
};

static int
note_object(void *ctx, const struct store_item *it, struct err *e)
{
	struct check *c = ctx;
	struct item i = { c->names.len, it->size };

	if (buf_add(&c->names, it->name, strlen(it->name) + 1) < 0 ||
	    buf_add(&c->items, &i, sizeof(i)) < 0)
		return err_set(e, ERR_FAILED, "listing: out of memory");
	return 0;
}

static void
row(struct check *c, const char *name, const char *state, uint64_t size)
{
	union out_value o[N_COLS] = { [OBJECT].s = name, [STATE].s = state, [SIZE].u = size };

	out_row(c->out, o);
}

/* Digest of an object, piece by piece: any size in bounded memory. */
static int
sum_object(struct store *s, const char *name, uint64_t *size, struct digest128 *sum,
	struct err *e)
{
	struct digest_xxh3 *x = digest_xxh3_new(e);
	struct block b = { .p = x ? malloc(PIECE) : NULL, .cap = PIECE };
	struct store_get g = { .out = &b };
	int rc = -1;

	*size = 0;
	if (!b.p) {
		err_set(e, ERR_FAILED, "out of memory");
		goto done;
	}
	do {
		b.len = 0;
		if (store_get(s, name, *size, PIECE, &g, e) < 0)
			goto done;
		digest_xxh3_add(x, b.p, b.len);
		*size += b.len;
	} while (b.len == PIECE && *size < g.size);
	digest_xxh3_end(x, sum);
	rc = 0;
done:
	free(b.p);
	digest_xxh3_free(x);
	return rc;
}

static int
judge(struct check *c, const char *name, uint64_t size, const struct digest128 *sum,
	struct err *e)
{
	struct manifest_entry *m = manifest_find(&c->m, name);

	c->bytes += size;
	if (!m) {
		c->fresh++;
		row(c, name, "new", size);
		return manifest_add(&c->m, name, sum, e);
	}
	m->seen = 1;
	if (digest_equal(sum, &m->sum)) {
		c->good++;
		if (opts_common.json)
			row(c, name, "ok", size);
		return 0;
	}
	c->bad++;
	tool_mark(ERR_CORRUPT);
	row(c, name, "corrupt", size);
	return 0;
}

static int
gone(struct check *c)
{
	c->gone++;
	return 0;
}

/* It is still there: what the manifest says of it stays. */
static int
unreadable(struct check *c, const char *name, enum err_kind kind)
{
	struct manifest_entry *m = manifest_find(&c->m, name);

	if (m)
		m->seen = 1;
	c->bad++;
	tool_mark(kind);
	row(c, name, "unreadable", 0);
	return 0;
}

static int
check_one(void *ctx, size_t i, struct err *e)
{
	struct check *c = ctx;
	const char *name = c->names.p + ((struct item *)(void *)c->items.p)[i].name;
	struct digest128 sum;
	uint64_t size;
	int rc = sum_object(c->store, name, &size, &sum, e);

	/* one that cannot be read or named does not stand for the others */
	if (rc < 0 && e->kind != ERR_ABSENT && !err_is_local(e) &&
	    store_name_check(name, NULL) == 0)
		return -1;
	pthread_mutex_lock(&c->lock);
	if (rc == 0)
		rc = judge(c, name, size, &sum, e);
	else if (e->kind == ERR_ABSENT)
		rc = gone(c);
	else
		rc = unreadable(c, name, e->kind);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static void
tell_missing(struct check *c)
{
	size_t i;

	for (i = 0; i < c->m.sorted; i++)
		if (!c->m.v[i].seen) {
			c->missing++;
			row(c, c->m.v[i].name, "missing", 0);
		}
}

/* New objects are taken in and those that are gone left out; an object whose bytes changed
 * keeps its old sum, and so stays an error until it is removed or put again. */
static int
update(struct check *c, const char *file, struct err *e)
{
	struct buf b = { 0 };
	int rc = manifest_text(&c->m, 1, &b, e);

	if (rc == 0 && !opts_common.dry)
		rc = io_replace(file, b.p, b.len, 0644, e);
	buf_free(&b);
	return rc;
}

static int
load(struct check *c, const char *file, int may_lack, struct err *e)
{
	struct buf b = { 0 };
	int rc = io_slurp(file, &b, SIZE_MAX / 2, e);

	if (rc < 0 && may_lack && e->kind == ERR_ABSENT)
		rc = 0;
	if (rc == 0)
		rc = manifest_parse(&c->m, b.p, b.len, e);
	else
		err_named(e);
	buf_free(&b);
	return rc;
}

static void
summary(const struct check *c, int updated)
{
	char size[NUM_TEXT], json[240];

	tool_note("%" PRIu64 " good, %" PRIu64 " bad, %" PRIu64 " new%s, %" PRIu64
		" missing, %s", c->good, c->bad, c->fresh, updated ? " (taken in)" : "",
		c->missing, num_size_text(size, c->bytes));
	snprintf(json, sizeof(json), "\"good\":%" PRIu64 ",\"bad\":%" PRIu64 ",\"new\":%" PRIu64
		",\"missing\":%" PRIu64 ",\"vanished\":%" PRIu64 ",\"bytes\":%" PRIu64,
		c->good, c->bad, c->fresh, c->missing, c->gone, c->bytes);
	out_summary("kvstat verify", json, 0);
}

void
verify_manifest(const char *url, const char *file, int updating)
{
	struct check c = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct store_opts so = { .conf = opts_conf };
	struct place p = { 0 };
	struct err e;

	if (load(&c, file, updating, &e) < 0 || place_open(&p, url, &so, NULL, &e) < 0 ||
	    store_list(p.store, "", 0, note_object, &c, &e) < 0) {
		tool_fail(&e);
		goto done;
	}
	c.store = p.store;
	c.out = out_open("kv.manifest/1", cols, N_COLS, OBJECT);
	if (par_each(c.items.len / sizeof(struct item), copy_jobs(p.store, NULL, NULL), check_one,
	    &c, &e) < 0)
		tool_fail(&e);
	else
		tell_missing(&c);
	out_close(c.out);
	if (c.missing && !updating)
		tool_mark(ERR_ABSENT);
	if (c.fresh && !updating)
		tool_mark(ERR_PARTIAL);
	if (updating && tool_mark(ERR_NONE) != ERR_STOPPED && update(&c, file, &e) < 0)
		tool_fail(&e);
	summary(&c, updating);
done:
	place_close(&p);
	manifest_free(&c.m);
	buf_free(&c.names);
	buf_free(&c.items);
}
