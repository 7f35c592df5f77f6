#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "index/redis.h"

/*
 * The index of a fleet. All keys of one index have the hash of its store's name between
 * braces, and so lie on one server of a cluster, where scripts can change them together:
 *
 *	PREFIXkvtools:index:{HASH}:meta		hash: store, version, made, generation, ...
 *	PREFIXkvtools:index:{HASH}:names	sorted set, all 0: names, in their order
 *	PREFIXkvtools:index:{HASH}:uses:0 ...	hashes: last use and number of each name's
 *	PREFIXkvtools:index:{HASH}:used		sorted set by last use, made when asked for
 *	PREFIXkvtools:index:{HASH}:e:NAME	hash: the rest of an entry
 *
 * Uses are in redis_use.c. They are counted at least once: a batch whose answer was lost
 * is sent again.
 */
#define PUT_BATCH 64		/* entries one script puts, so that it blocks nobody for long */
#define NAMES_BATCH 500

static struct redis_index *
of(struct index *ix)
{
	return (struct redis_index *)ix;
}

/* ---- scripts ---- */

/* ARGV: 15 words an entry: name, last use (ten digits), uses, and the fields in the order
 * of f. Rules as in index_put()'s contract; 60 is INDEX_SKEW_S. */
static const char script_put[] =
	REDIS_INDEX_BASE "local gen = redis.call('HGET', KEYS[1], 'generation') or '1' "
	"local f = {'size', 'created', 'expires', 'hash', 'parent', 'depth', "
	"'priority', 'tenant', 'cost', 'labels', 'pinned', 'leased'} "
	"for i = 1, #ARGV, 15 do "
	"local name, key, set = ARGV[i], base .. 'e:' .. ARGV[i], {'seen', gen} "
	"local old = redis.call('HMGET', key, unpack(f)) "
	"local size, made = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]) "
	"for k = 1, #f do "
	"local new = ARGV[i + 2 + k] "
	"local take = new ~= '' and new ~= '0' "
	"if f[k] == 'size' then take = size > 0 or made > 0 "
	"elseif f[k] == 'expires' then "
	"take = take or made > tonumber(old[2] or '0') + 60 "
	"elseif f[k] == 'leased' then "
	"take = tonumber(new) > tonumber(old[k] or '0') end "
	"if take then set[#set + 1] = f[k] set[#set + 1] = new end end "
	"redis.call('HSET', key, unpack(set)) "
	"if size > 0 or made > 0 then "
	"redis.call('HINCRBY', KEYS[1], 'bytes', size - tonumber(old[1] or '0')) end "
	"local at, n = ARGV[i + 1], ARGV[i + 2] "
	"if tonumber(at) > 0 or n ~= '0' then "
	"local first, sum, own = base .. 'uses:0', 0, 0 "
	"for k = 1, #shards do local o = redis.call('HGET', shards[k], name) or '' "
	"local was = tonumber(string.sub(o, 11)) or 0 "
	"if shards[k] == first then own = was end "
	"if o > at then at = string.sub(o, 1, 10) end "
	"sum = sum + was end "
	"n = string.format('%.0f', own + math.max(0, n - sum)) "
	"redis.call('HSET', first, name, at .. ' ' .. n) "
	"if #shards == 0 then shards[1] = first end end "
	"redis.call('ZADD', base .. 'names', 0, name) end "
	"return 0";

/* ARGV: a generation, names: those not seen since are forgotten; 0: all of them. */
static const char script_remove[] =
	REDIS_INDEX_BASE "local gen, n = tonumber(ARGV[1]), 0 "
	"for i = 2, #ARGV do local key = base .. 'e:' .. ARGV[i] "
	"local old = redis.call('HMGET', key, 'size', 'seen') "
	"if gen == 0 or tonumber(old[2] or '0') < gen then "
	"n = n + redis.call('ZREM', base .. 'names', ARGV[i]) "
	"redis.call('ZREM', base .. 'used', ARGV[i]) redis.call('UNLINK', key) "
	"for k = 1, #shards do redis.call('HDEL', shards[k], ARGV[i]) end "
	"redis.call('HINCRBY', KEYS[1], 'bytes', 0 - tonumber(old[1] or '0')) end end "
	"return n";

/* ARGV: name, field, value. */
static const char script_set[] =
	REDIS_INDEX_BASE "local key = base .. 'e:' .. ARGV[1] "
	"if not redis.call('ZSCORE', base .. 'names', ARGV[1]) then return 0 end "
	"redis.call('HSET', key, ARGV[2], ARGV[3]) return 1";

void
redis_index_script(const struct redis_index *x, struct resp *r, const char *script, size_t args)
{
	resp_begin(r, 4 + args);
	resp_text(r, "EVAL");
	resp_text(r, script);
	resp_number(r, 1);
	resp_text(r, x->meta);
}

static int
run(struct redis_index *x, redis_fn *fn, void *ctx, struct err *e)
{
	return redis_net_run(x->net, x->meta, fn, ctx, e);
}

/* ---- put ---- */

struct work {
	struct redis_index *x;
	const void *v;		/* what it is about: entries, names */
	size_t n;
	const char *name, *field;
	int64_t value;		/* in or out */
};

static void
say_real(struct resp *r, double v)
{
	char text[40];

	snprintf(text, sizeof(text), "%.9g", v);
	resp_text(r, v > 0 ? text : "0");
}

static void
say_text(struct resp *r, const char *s)
{
	resp_text(r, s ? s : "");
}

static void
say_entry(struct resp *r, const struct index_entry *x)
{
	char at[REDIS_INDEX_TIME + 1];

	resp_text(r, x->name);
	resp_text(r, redis_index_time(at, x->accessed_s));
	resp_number(r, (int64_t)x->hits);
	resp_number(r, (int64_t)x->size);
	resp_number(r, x->created_s);
	resp_number(r, x->expires_s);
	say_text(r, x->hash);
	say_text(r, x->parent);
	resp_number(r, x->depth);
	resp_number(r, x->priority);
	say_text(r, x->tenant);
	say_real(r, x->cost);
	say_text(r, x->labels);
	resp_number(r, x->pinned != 0);
	resp_number(r, x->leased_s);
}

static int
put(void *ctx, struct resp *r, struct err *e)
{
	const struct work *w = ctx;
	const struct index_entry *v = w->v;
	size_t i, k, scripts = 0;
	int64_t done;

	for (i = 0; i < w->n; i += PUT_BATCH, scripts++) {
		size_t n = w->n - i < PUT_BATCH ? w->n - i : PUT_BATCH;

		redis_index_script(w->x, r, script_put, 15 * n);
		for (k = 0; k < n; k++)
			say_entry(r, &v[i + k]);
	}
	if (resp_flush(r, e) < 0)
		return -1;
	for (; scripts > 0; scripts--)
		if (resp_get_number(r, &done, e) < 0)
			return -1;
	return 0;
}

static int
redis_put(struct index *ix, const struct index_entry *v, size_t n, struct err *e)
{
	struct work w = { .x = of(ix), .v = v, .n = n };

	return run(w.x, put, &w, e);
}

/* ---- remove, pin, lease ---- */

static int
remove_batch(void *ctx, struct resp *r, struct err *e)
{
	struct work *w = ctx;
	const char *const *names = w->v;
	int64_t done;
	size_t i;

	redis_index_script(w->x, r, script_remove, 1 + w->n);
	resp_number(r, (int64_t)w->x->base.generation * (w->field != NULL));
	for (i = 0; i < w->n; i++)
		resp_text(r, names[i]);
	if (resp_flush(r, e) < 0 || resp_get_number(r, &done, e) < 0)
		return -1;
	w->value += done;
	return 0;
}

/* old: only what was not put since the rebuild began. */
static int
forget(struct redis_index *x, const char *const *names, size_t n, int old, uint64_t *dropped,
	struct err *e)
{
	struct work w = { .x = x, .field = old ? "seen" : NULL };
	size_t i;

	for (i = 0; i < n; i += w.n) {
		w.v = names + i;
		w.n = n - i < NAMES_BATCH ? n - i : NAMES_BATCH;
		if (run(x, remove_batch, &w, e) < 0)
			return -1;
	}
	*dropped += (uint64_t)w.value;
	return 0;
}

static int
redis_remove(struct index *ix, const char *const *names, size_t n, struct err *e)
{
	uint64_t dropped = 0;

	return forget(of(ix), names, n, 0, &dropped, e);
}

static int
set_field(void *ctx, struct resp *r, struct err *e)
{
	struct work *w = ctx;
	int64_t there;

	redis_index_script(w->x, r, script_set, 3);
	resp_text(r, w->name);
	resp_text(r, w->field);
	resp_number(r, w->value);
	if (resp_flush(r, e) < 0 || resp_get_number(r, &there, e) < 0)
		return -1;
	return there ? 0 : err_set(e, ERR_ABSENT, "'%.200s': no such entry", w->name);
}

static int
redis_pin(struct index *ix, const char *name, int pinned, struct err *e)
{
	struct work w = { .x = of(ix), .name = name, .field = "pinned", .value = pinned != 0 };

	return run(w.x, set_field, &w, e);
}

static int
redis_lease(struct index *ix, const char *name, int64_t until_s, struct err *e)
{
	struct work w = { .x = of(ix), .name = name, .field = "leased", .value = until_s };

	return run(w.x, set_field, &w, e);
}

/* ---- the whole ---- */

static int
begin_rebuild(void *ctx, struct resp *r, struct err *e)
{
	struct work *w = ctx;

	resp_begin(r, 4);
	resp_text(r, "HINCRBY");
	resp_text(r, w->x->meta);
	resp_text(r, "generation");
	resp_number(r, 1);
	return resp_flush(r, e) < 0 ? -1 : resp_get_number(r, &w->value, e);
}

static int
redis_rebuild_begin(struct index *ix, struct err *e)
{
	struct work w = { .x = of(ix) };

	if (run(w.x, begin_rebuild, &w, e) < 0)
		return -1;
	ix->generation = (uint64_t)w.value;
	return 0;
}

static int
end_rebuild(void *ctx, struct resp *r, struct err *e)
{
	struct work *w = ctx;
	int64_t done;

	resp_begin(r, 4);
	resp_text(r, "HSET");
	resp_text(r, w->x->meta);
	resp_text(r, "rebuilt");
	resp_number(r, clock_now());
	return resp_flush(r, e) < 0 ? -1 : resp_get_number(r, &done, e);
}

static int
redis_rebuild_end(struct index *ix, uint64_t *dropped, struct err *e)
{
	struct index_page *pg = calloc(1, sizeof(*pg));
	const char *names[INDEX_PAGE];
	struct work w = { .x = of(ix) };
	size_t i, got = INDEX_PAGE;
	int rc = 0;

	if (!pg)
		return err_sys(e, "rebuild");
	pg->prefix = "";
	while (rc == 0 && got == INDEX_PAGE) {
		rc = redis_index_page(ix, pg, e);
		got = pg->n;
		for (i = 0; i < got; i++)
			names[i] = pg->v[i].name;
		if (rc == 0)
			rc = forget(w.x, names, got, 1, dropped, e);
		index_entry_free(&pg->last);
		if (got == INDEX_PAGE)
			pg->last = pg->v[--pg->n];
		while (pg->n > 0)
			index_entry_free(&pg->v[--pg->n]);
	}
	index_entry_free(&pg->last);
	free(pg);
	return rc < 0 ? -1 : run(w.x, end_rebuild, &w, e);
}

const struct index_ops index_redis = {
	.schemes = redis_net_schemes, .shared = 1, .open = redis_index_open,
	.close = redis_index_close, .put = redis_put,
	.access = redis_index_access, .remove = redis_remove, .pin = redis_pin,
	.lease = redis_lease, .page = redis_index_page, .get = redis_index_get,
	.info = redis_index_info, .rebuild_begin = redis_rebuild_begin,
	.rebuild_end = redis_rebuild_end,
};
