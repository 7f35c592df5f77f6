#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/redis.h"

#define PIECE (1u << 20)	/* what is hashed while it is still in the cache */
#define BATCH 512		/* deletions on their way at once */

static struct redis_store *
of(struct store *s)
{
	return (struct redis_store *)s;
}

static int
redis_open(struct store **out, const struct uri *u, const struct store_opts *o, struct err *e)
{
	static const char *const also[] = { "dialect", "geometry", "model", "algo",
		"chunk-tokens", "layout", "block", NULL };
	struct redis_store *s = calloc(1, sizeof(*s));

	if (!s)
		return err_sys(e, "open");
	if (redis_net_open(&s->net, u, also, o->conf, e) < 0) {
		free(s);
		return -1;
	}
	*out = &s->base;
	return 0;
}

static void
redis_close(struct store *s)
{
	redis_net_close(of(s)->net);
	free(s);
}

const char *
redis_key(struct redis_store *s, const char *name, struct buf *key, struct err *e)
{
	key->len = 0;
	buf_str(key, redis_net_prefix(s->net));
	buf_str(key, name);
	if (!buf_text(key)) {
		err_set(e, ERR_FAILED, "'%.200s': out of memory", name);
		return NULL;
	}
	return key->p;
}

static int
absent(const char *name, struct err *e)
{
	return err_set(e, ERR_ABSENT, "'%.300s': no such object", name);
}

/* ---- stat ---- */

void
redis_ask(struct resp *r, const char *key, int lfu)
{
	resp_begin(r, 2);
	resp_text(r, "PTTL");
	resp_text(r, key);
	resp_begin(r, 3);
	resp_text(r, "OBJECT");
	resp_text(r, lfu ? "FREQ" : "IDLETIME");
	resp_text(r, key);
	resp_begin(r, 2);
	resp_text(r, "STRLEN");
	resp_text(r, key);
}

enum answer { GOOD, BAD, ELSEWHERE };

/* A number, or an error that is an answer too: another type of value, another policy
 * (BAD); a redirection, or a request for patience (ELSEWHERE). -1: broken, or forbidden. */
static int
number_or_error(struct resp *r, int64_t *out, enum answer *how, struct err *e)
{
	*how = GOOD;
	if (resp_get_number(r, out, e) == 0)
		return 0;
	if (resp_broken(r) || (e->kind != ERR_FAILED && e->kind != ERR_TEMP))
		return -1;
	*how = e->kind == ERR_FAILED ? BAD : ELSEWHERE;
	return 0;
}

int
redis_told(struct resp *r, struct store_item *it, int lfu, struct err *e)
{
	struct err why = { 0 };
	int64_t ttl, use, size;
	enum answer of_ttl, of_use, of_size;

	if (number_or_error(r, &ttl, &of_ttl, &why) < 0 ||
	    number_or_error(r, &use, &of_use, &why) < 0 ||
	    number_or_error(r, &size, &of_size, &why) < 0)
		return err_set(e, why.kind, "%s", why.text);
	if (of_ttl == ELSEWHERE || of_use == ELSEWHERE || of_size == ELSEWHERE) {
		err_set(e, why.kind, "%s", why.text);
		return 3;
	}
	if (ttl == -2 || of_ttl == BAD || of_size == BAD || (of_use == GOOD && use < 0))
		return 1;
	it->size = (uint64_t)size;
	it->ttl_s = ttl < 0 ? -1 : (double)ttl / 1000;
	if (of_use == BAD)
		return 2;
	if (lfu)
		it->hits = use;
	else
		it->atime_ns = clock_now_ns() - clock_ns(use);
	return 0;
}

struct look {
	const char *key;
	struct store_item *it;
	int answer;
};

static int
look_at(void *ctx, struct resp *r, struct err *e)
{
	struct look *l = ctx;
	int lfu;

	for (lfu = 0; lfu < 2; lfu++) {
		redis_ask(r, l->key, lfu);
		if (resp_flush(r, e) < 0)
			return -1;
		l->answer = redis_told(r, l->it, lfu, e);
		if (l->answer != 2)
			break;
	}
	return l->answer < 0 || l->answer == 3 ? -1 : 0;
}

int
redis_stat(struct store *s, const char *name, struct store_item *it, struct err *e)
{
	struct buf key = { 0 };
	struct look l = { .key = redis_key(of(s), name, &key, e), .it = it };
	int rc = l.key ? redis_net_run(of(s)->net, l.key, look_at, &l, e) : -1;

	buf_free(&key);
	return rc == 0 && l.answer == 1 ? absent(name, e) : rc;
}

/* ---- get ---- */

struct getting {
	const char *key, *name;
	uint64_t off, len;	/* what is still to come, also after a broken connection */
	int whole;		/* from the first byte to the last, nothing read so far */
	struct store_get *g;
};

/* A bulk into the block. What is hashed moves off, so that a broken connection costs no byte of it
 * twice; its digest tells if another value took its place. All else is read whole or anew. */
static int
read_value(struct getting *x, struct resp *r, uint64_t n, struct err *e)
{
	struct store_get *g = x->g;

	if (store_get_room(g, n, e) < 0)
		return -1;
	while (n > 0) {
		size_t step = g->seen && n > PIECE ? PIECE : (size_t)n;
		unsigned char *p = g->out->p + g->out->len;

		if (resp_body(r, p, step, e) < 0)
			return -1;
		if (g->seen)
			g->seen(g->ctx, p, step);
		g->out->len += step;
		x->off += step;
		x->len -= x->len == UINT64_MAX ? 0 : step;
		x->whole = 0;
		n -= step;
	}
	return 0;
}

/* The value's item; not a value: -1. */
static int
value_item(struct getting *x, struct resp *r, struct resp_item *it, struct err *e)
{
	if (resp_next(r, it, e) < 0)
		return -1;
	if (it->type == RESP_ERROR)
		return resp_error(it->text, e);
	if (it->type == RESP_NIL)
		return absent(x->name, e);
	if (it->type == RESP_BULK)
		return 0;
	return err_set(e, ERR_CORRUPT, "reply: of another type than expected");
}

static int
get_whole(struct getting *x, struct resp *r, struct err *e)
{
	struct resp_item it;

	resp_begin(r, 2);
	resp_text(r, "GET");
	resp_text(r, x->key);
	if (resp_flush(r, e) < 0 || value_item(x, r, &it, e) < 0)
		return -1;
	x->g->size = (uint64_t)it.n;
	return read_value(x, r, (uint64_t)it.n, e);
}

/* GETRANGE of a key that is not there is an empty text, as of one that is short: the
 * length tells, and where that is 0, EXISTS. */
static int
get_range(struct getting *x, struct resp *r, struct err *e)
{
	int64_t size, there, last;
	struct resp_item it;

	last = x->len > (uint64_t)INT64_MAX - x->off ? -1 : (int64_t)(x->off + x->len) - 1;
	resp_begin(r, 2);
	resp_text(r, "STRLEN");
	resp_text(r, x->key);
	resp_begin(r, 2);
	resp_text(r, "EXISTS");
	resp_text(r, x->key);
	resp_begin(r, 4);
	resp_text(r, "GETRANGE");
	resp_text(r, x->key);
	resp_number(r, (int64_t)x->off);
	resp_number(r, last);
	if (resp_flush(r, e) < 0)
		return -1;
	if (resp_get_number(r, &size, e) < 0 || resp_get_number(r, &there, e) < 0 ||
	    value_item(x, r, &it, e) < 0)
		return -1;
	if (size < 0 || (uint64_t)it.n > x->len)
		return err_set(e, ERR_CORRUPT, "reply: more than asked for");
	if (!there)
		return absent(x->name, e);
	x->g->size = (uint64_t)size;
	return read_value(x, r, (uint64_t)it.n, e);
}

static int
get(void *ctx, struct resp *r, struct err *e)
{
	struct getting *x = ctx;

	return x->whole ? get_whole(x, r, e) : get_range(x, r, e);
}

static int
redis_get(struct store *s, const char *name, uint64_t off, uint64_t len, struct store_get *g,
	struct err *e)
{
	struct buf key = { 0 };
	struct getting x = { .name = name, .off = off, .len = len, .g = g,
		.whole = off == 0 && len == UINT64_MAX };
	int rc = -1;

	if (off > INT64_MAX)
		return err_set(e, ERR_USAGE, "'%.200s': no such offset", name);
	x.key = redis_key(of(s), name, &key, e);
	if (x.key && len == 0) {
		struct store_item it = { 0 };

		rc = redis_stat(s, name, &it, e);
		g->size = it.size;
	} else if (x.key) {
		rc = redis_net_run(of(s)->net, x.key, get, &x, e);
	}
	buf_free(&key);
	return rc;
}

/* ---- put ---- */

struct putting {
	const char *key;
	const struct iovec *iov;
	int n;
	const struct store_put *how;
};

/* 1: it is there. */
static int
is_there(const char *key, struct resp *r, struct err *e)
{
	int64_t n;

	resp_begin(r, 2);
	resp_text(r, "EXISTS");
	resp_text(r, key);
	if (resp_flush(r, e) < 0 || resp_get_number(r, &n, e) < 0)
		return -1;
	return n > 0;
}

/* 1: EXCL, and it is there. That is asked before a large value is sent for nothing. */
static int
put(void *ctx, struct resp *r, struct err *e)
{
	const struct putting *x = ctx;
	int64_t ttl_ms = (int64_t)(x->how->ttl_s * 1000);
	struct resp_item it;
	int there = x->how->excl ? is_there(x->key, r, e) : 0;

	if (there)
		return there;
	resp_begin(r, 3u + (x->how->excl ? 1 : 0) + (x->how->ttl_s > 0 ? 2 : 0));
	resp_text(r, "SET");
	resp_text(r, x->key);
	if (resp_value(r, x->iov, x->n, e) < 0)
		return -1;
	if (x->how->excl)
		resp_text(r, "NX");
	if (x->how->ttl_s > 0) {
		resp_text(r, "PX");
		resp_number(r, ttl_ms > 0 ? ttl_ms : 1);
	}
	if (resp_flush(r, e) < 0 || resp_next(r, &it, e) < 0)
		return -1;
	if (it.type == RESP_ERROR)
		return resp_error(it.text, e);
	if (it.type == RESP_STATUS)
		return 0;
	if (it.type == RESP_NIL && x->how->excl)
		return 1;
	return err_set(e, ERR_CORRUPT, "reply: of another type than expected");
}

static int
redis_put(struct store *s, const char *name, const struct iovec *iov, int n,
	const struct store_put *how, struct err *e)
{
	uint64_t size = store_iov_size(iov, n);
	struct buf key = { 0 };
	struct putting x = { .iov = iov, .n = n, .how = how };
	int rc = -1;

	if (size > RESP_BULK_MAX)
		return err_set(e, ERR_REFUSED, "'%.200s': %llu bytes, and Redis takes at most "
			"512 MiB a value: use smaller chunks or another store", name,
			(unsigned long long)size);
	if (how->ttl_s > 1e12)
		return err_set(e, ERR_USAGE, "'%.200s': no such time to live", name);
	x.key = redis_key(of(s), name, &key, e);
	if (x.key)
		rc = redis_net_run(of(s)->net, x.key, put, &x, e);
	buf_free(&key);
	return rc;
}

/* ---- delete ---- */

#define PENDING 2

struct deleting {
	struct redis_store *s;
	const char *const *names;
	signed char *states;
	const size_t *which;	/* places in names and states */
	size_t n;
	struct buf key;
};

static int
unlink_batch(void *ctx, struct resp *r, struct err *e)
{
	struct deleting *x = ctx;
	int64_t done;
	size_t i;

	for (i = 0; i < x->n; i++) {
		const char *key = redis_key(x->s, x->names[x->which[i]], &x->key, e);

		if (!key)
			return -1;
		resp_begin(r, 2);
		resp_text(r, "UNLINK");
		resp_text(r, key);
	}
	if (resp_flush(r, e) < 0)
		return -1;
	for (i = 0; i < x->n; i++) {
		if (resp_get_number(r, &done, e) == 0)
			x->states[x->which[i]] = done > 0 ? 0 : 1;
		else if (resp_broken(r))
			return -1;
	}
	return 0;
}

/* Once more, alone, with redirections followed and patience. */
static int
unlink_one(void *ctx, struct resp *r, struct err *e)
{
	struct deleting *x = ctx;

	if (unlink_batch(x, r, e) < 0)
		return -1;
	return x->states[x->which[0]] == PENDING ? -1 : 0;
}

/* All names that node has, a batch at a time, unless it is away. Failures stay PENDING. */
static void
delete_at(struct deleting *x, size_t node, size_t n, size_t *which)
{
	struct redis_net *net = x->s->net;
	struct err ignored;
	size_t i, bad = 0;

	x->n = 0;
	x->which = which;
	for (i = 0; i < n && bad < 2; i++) {
		const char *key = redis_key(x->s, x->names[i], &x->key, NULL);

		if (key && redis_net_node_of(net, key) == node)
			which[x->n++] = i;
		if (x->n == BATCH || (i + 1 == n && x->n > 0)) {
			bad += redis_net_run_at(net, node, unlink_batch, x, &ignored) < 0;
			redis_lock_renew(x->s);
			x->n = 0;
		}
	}
}

static int
redis_delete(struct store *s, const char *const *names, size_t n, signed char *states,
	struct err *e)
{
	struct deleting x = { .s = of(s), .names = names, .states = states };
	size_t which[BATCH], i, node;
	struct err why, first = { 0 };
	const char *key;
	int away = 0;	/* a server: that is waited for once, and not for each name */

	memset(states, PENDING, n);
	for (node = 0; node < redis_net_nodes(x.s->net); node++)
		delete_at(&x, node, n, which);
	x.which = which;
	x.n = 1;
	for (i = 0; i < n; i++) {
		if (states[i] != PENDING)
			continue;
		which[0] = i;
		key = away ? NULL : redis_key(x.s, names[i], &x.key, &why);
		if (key && redis_net_run(x.s->net, key, unlink_one, &x, &why) == 0)
			continue;
		states[i] = -1;
		away = why.kind == ERR_TEMP || why.kind == ERR_STOPPED;
		if (!first.kind)
			first = why;
	}
	buf_free(&x.key);
	return first.kind ? err_set(e, first.kind, "%s", first.text) : 0;
}

/* ---- touch ---- */

/* Where the server counts all that is read, it has counted this already. */
static int
touch(void *ctx, struct resp *r, struct err *e)
{
	int64_t n;

	if (!resp_quiet(r))
		return 0;
	resp_begin(r, 2);
	resp_text(r, "TOUCH");
	resp_text(r, ctx);
	return resp_flush(r, e) < 0 ? -1 : resp_get_number(r, &n, e);
}

static void
redis_touch(struct store *s, const char *name)
{
	struct buf key = { 0 };
	struct err ignored;

	if (redis_key(of(s), name, &key, &ignored))
		redis_net_run(of(s)->net, key.p, touch, key.p, &ignored);
	buf_free(&key);
}

const struct store_ops store_redis = {
	.schemes = redis_net_schemes, .jobs = 8, .open = redis_open, .close = redis_close,
	.list = redis_list, .stat = redis_stat, .get = redis_get, .put = redis_put,
	.touch = redis_touch,
	.del = redis_delete, .space = redis_space, .lock = redis_lock,
	.unlock = redis_unlock,
};
