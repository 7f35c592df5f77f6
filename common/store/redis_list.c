#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/clock.h"
#include "store/redis.h"

/*
 * SCAN, page by page, with the questions about a page's keys and the next SCAN sent in one
 * go. SCAN may give a key twice, and starts anew after a failover: what was given is
 * remembered by 64 bits of hash.
 *
 * STRLEN counts as a use of the key before Redis 7.2, which the server's own eviction and
 * the next OBJECT IDLETIME see; nothing else tells the length there. So it is asked last.
 */
#define PAGE "1000"
#define PAGE_MAX 100000		/* names; a server may give more than were asked for */

/* A list that has no end is none of a server's: each key it has, or had, comes once or a few
 * times, and pages without any are few, since tables shrink. In hundredths of a page: */
#define PAGE_COSTS 100
#define NAME_COSTS 10
#define FREE_COSTS 10000000	/* whatever the server says it has */
#define NAME_TIMES 4

struct seen {
	uint64_t *slot;
	size_t n, cap;		/* cap: a power of two */
};

struct listing {
	struct redis_store *s;
	const char *prefix;
	unsigned flags;
	store_each *each;
	void *ctx;
	struct seen seen;
	struct buf pattern;	/* MATCH */
	struct buf names;	/* of this page: keys, each with its NUL */
	size_t n_names;
	struct store_item *items;
	size_t cap;
	char cursor[24];
	uint64_t cost, most;	/* of this server's pages; its keys */
	double since;		/* something new came last, or a server's end */
	int lfu, known;		/* how this server counts uses */
	int end;		/* the callback's answer: enough, or failed */
	struct err why;		/* with it */
};

/* 1: new. -1: no memory. */
static int
remember(struct seen *t, uint64_t h)
{
	uint64_t *old = t->slot;
	size_t i, k, n = t->cap;

	if (t->n * 4 >= t->cap * 3) {
		size_t cap = n ? n * 2 : 4096;

		t->slot = calloc(cap, sizeof(*t->slot));
		if (!t->slot) {
			t->slot = old;
			return -1;
		}
		t->cap = cap;
		for (i = 0; i < n; i++) {
			if (!old[i])
				continue;
			for (k = old[i] & (cap - 1); t->slot[k]; k = (k + 1) & (cap - 1))
				;
			t->slot[k] = old[i];
		}
		free(old);
	}
	h += !h;		/* 0 is a free slot */
	for (k = h & (t->cap - 1); t->slot[k]; k = (k + 1) & (t->cap - 1))
		if (t->slot[k] == h)
			return 0;
	t->slot[k] = h;
	t->n++;
	return 1;
}

/* The prefix as a pattern that means only itself, and '*'. */
static int
make_pattern(struct listing *l, struct err *e)
{
	const char *parts[] = { redis_net_prefix(l->s->net), l->prefix };
	const char *p;
	int i;

	for (i = 0; i < 2; i++)
		for (p = parts[i]; *p; p++) {
			if (strchr("*?[]^\\", *p))
				buf_chr(&l->pattern, '\\');
			buf_chr(&l->pattern, *p);
		}
	buf_chr(&l->pattern, '*');
	return buf_text(&l->pattern) ? 0 : err_set(e, ERR_FAILED, "list: out of memory");
}

static void
say_scan(struct listing *l, struct resp *r)
{
	int match = l->pattern.len > 1, fast = l->flags & STORE_LIST_FAST;

	resp_call(r, "DBSIZE");
	resp_begin(r, 4u + (match ? 2 : 0) + (fast ? 2 : 0));
	resp_text(r, "SCAN");
	resp_text(r, l->cursor);
	resp_text(r, "COUNT");
	resp_text(r, PAGE);
	if (match) {
		resp_text(r, "MATCH");
		resp_text(r, l->pattern.p);
	}
	if (fast) {
		resp_text(r, "TYPE");
		resp_text(r, "string");
	}
}

/* One key of a page; kept if it can be an object of ours. */
static int
read_name(struct listing *l, struct resp *r, struct err *e)
{
	size_t skip = strlen(redis_net_prefix(l->s->net)), n;
	struct resp_item it;
	const char *name;
	char *p;
	int new;

	if (resp_next(r, &it, e) < 0)
		return -1;
	if (it.type != RESP_BULK || it.n > 4096)
		return resp_drop(r, &it, e);
	n = (size_t)it.n;
	p = buf_room(&l->names, n + 1);
	if (!p)
		return err_set(e, ERR_FAILED, "list: out of memory");
	if (resp_body(r, p, n, e) < 0)
		return -1;
	p[n] = 0;
	if (n < skip || strlen(p) != n)
		return 0;
	name = p + skip;
	if (!strncmp(name, REDIS_OWN, strlen(REDIS_OWN)) || store_name_check(name, NULL) < 0)
		return 0;
	new = remember(&l->seen, XXH3_64bits(name, n - skip));
	if (new < 0)
		return err_set(e, ERR_FAILED, "list: out of memory");
	if (new) {
		l->names.len += n + 1;
		l->n_names++;
	}
	return 0;
}

/* How many keys the server has; if it may not tell, or does not know how, any number. */
static int
read_size(struct listing *l, struct resp *r, struct err *e)
{
	struct err why;
	int64_t n;

	if (resp_get_number(r, &n, &why) < 0) {
		if (resp_broken(r) || why.kind == ERR_TEMP)
			return err_set(e, why.kind, "%s", why.text);
		n = INT64_MAX;
	}
	if (n > 0 && (uint64_t)n > l->most)
		l->most = (uint64_t)n;
	return 0;
}

static int
pay(struct listing *l, size_t names, struct err *e)
{
	uint64_t times = NAME_TIMES * NAME_COSTS;

	l->cost += PAGE_COSTS + NAME_COSTS * (uint64_t)names;
	if (l->cost <= FREE_COSTS || (l->cost - FREE_COSTS) / times <= l->most)
		return 0;
	return err_set(e, ERR_CORRUPT, "list: the server has %llu keys, and its list does not end",
		(unsigned long long)l->most);
}

static int
read_page(struct listing *l, struct resp *r, struct err *e)
{
	size_t two, n;

	l->names.len = 0;
	l->n_names = 0;
	if (read_size(l, r, e) < 0 || resp_get_array(r, &two, e) < 0)
		return -1;
	if (two != 2 || resp_get_text(r, l->cursor, sizeof(l->cursor), e) != 0 ||
	    resp_get_array(r, &n, e) < 0 || n > PAGE_MAX ||
	    strspn(l->cursor, "0123456789") != strlen(l->cursor))
		return resp_broken(r) ? -1 : err_set(e, ERR_CORRUPT, "reply: no page of names");
	if (pay(l, n, e) < 0)
		return -1;
	for (; n > 0; n--)
		if (read_name(l, r, e) < 0)
			return -1;
	if (l->n_names > l->cap) {
		struct store_item *v = realloc(l->items, l->n_names * sizeof(*v));

		if (!v)
			return err_sys(e, "list");
		l->items = v;
		l->cap = l->n_names;
	}
	return 0;
}

static void
ask_names(const struct listing *l, struct resp *r)
{
	const char *key = l->names.p;
	size_t i;

	for (i = 0; i < l->n_names; i++, key += strlen(key) + 1)
		redis_ask(r, key, l->lfu);
}

/* What is told of the page's keys; *other: the server counts uses the other way. */
static int
read_told(struct listing *l, struct resp *r, int *other, struct err *e)
{
	size_t i, skip = strlen(redis_net_prefix(l->s->net));
	const char *key = l->names.p;

	*other = 0;
	for (i = 0; i < l->n_names; i++, key += strlen(key) + 1) {
		int fast = (l->flags & STORE_LIST_FAST) != 0;

		l->items[i] = (struct store_item){ .name = key + skip, .ttl_s = -1, .hits = -1 };
		switch (fast ? 0 : redis_told(r, &l->items[i], l->lfu, e)) {
		case 1:
			l->items[i].name = NULL;
			break;
		case 2:
			*other = 1;
			break;
		case 3:		/* its slot is being moved: asked for alone, later */
			l->items[i].size = UINT64_MAX;
			break;
		case -1:
			return -1;
		}
	}
	return 0;
}

/* 1: give it; 0: it vanished; -1: in l->why. */
static int
complete(struct listing *l, struct store_item *it)
{
	if (!it->name)
		return 0;
	if (it->size != UINT64_MAX)
		return 1;
	it->size = 0;
	if (redis_stat(&l->s->base, it->name, it, &l->why) == 0)
		return 1;
	return l->why.kind == ERR_ABSENT ? 0 : -1;
}

/* 0 to go on. */
static int
give_page(struct listing *l)
{
	size_t i;
	int rc;

	redis_lock_renew(l->s);
	for (i = 0; i < l->n_names && l->end == 0; i++) {
		rc = complete(l, &l->items[i]);
		l->end = rc > 0 ? l->each(l->ctx, &l->items[i], &l->why) : rc;
	}
	return l->end;
}

/* A server with an LFU policy refuses IDLETIME, one with another refuses FREQ: the first
 * page shows. If it takes neither, uses are not known. */
static int
find_policy(struct listing *l, struct resp *r, struct err *e)
{
	int other;

	for (l->lfu = 0; l->lfu < 2; l->lfu++) {
		ask_names(l, r);
		if (resp_flush(r, e) < 0 || read_told(l, r, &other, e) < 0)
			return -1;
		if (!other)
			break;
	}
	l->known = 1;
	return 0;
}

/* The page's questions and the next SCAN in one go; not for the first page. */
static int
ask_page(struct listing *l, struct resp *r, int last, struct err *e)
{
	int other, fast = l->flags & STORE_LIST_FAST, first = !fast && !l->known && l->n_names;

	if (first && find_policy(l, r, e) < 0)
		return -1;
	if (!fast && !first)
		ask_names(l, r);
	if (!last)
		say_scan(l, r);
	if (resp_flush(r, e) < 0)
		return -1;
	return first ? 0 : read_told(l, r, &other, e);
}

static int
scan(struct listing *l, struct resp *r, struct err *e)
{
	int last;

	say_scan(l, r);
	if (resp_flush(r, e) < 0)
		return -1;
	do {
		if (read_page(l, r, e) < 0)
			return -1;
		last = !strcmp(l->cursor, "0");
		if (ask_page(l, r, last, e) < 0)
			return -1;
		if (give_page(l) != 0)
			return 0;	/* the next page is on its way: an unsettled connection */
		if (l->n_names)
			l->since = clock_mono();
	} while (!last);
	return 0;
}

static int
list_server(void *ctx, struct resp *r, struct err *e)
{
	struct listing *l = ctx;

	strcpy(l->cursor, "0");
	l->cost = l->most = 0;
	l->known = 0;
	return scan(l, r, e);
}

/* One server after the other. One that went away is begun anew, maybe elsewhere. */
static int
list_all(struct listing *l, struct err *e)
{
	struct redis_net *net = l->s->net;
	struct err why;
	size_t i, done = 0;

	l->since = clock_mono();
	if (redis_net_nodes(net) == 0)
		return err_set(e, ERR_REFUSED, "list: a cluster, and CLUSTER SLOTS is not allowed");
	for (i = 0; i < redis_net_nodes(net) && l->end == 0; i++) {
		if (redis_net_run_at(net, i, list_server, l, &why) == 0) {
			if (i == done) {
				done++;
				l->since = clock_mono();
			}
			continue;
		}
		if (redis_net_again(net, l->since, &why) < 0)
			return err_set(e, why.kind, "%s", why.text);
		i = (size_t)-1;		/* the servers may be others now */
	}
	return 0;
}

int
redis_list(struct store *s, const char *prefix, unsigned flags, store_each *each, void *ctx,
	struct err *e)
{
	struct listing l = { .s = (struct redis_store *)s, .prefix = prefix, .flags = flags,
		.each = each, .ctx = ctx };
	int rc;

	if (flags & STORE_LIST_DIRS)
		return err_set(e, ERR_USAGE, "redis: has no directories");
	rc = make_pattern(&l, e);
	if (rc == 0)
		rc = list_all(&l, e);
	if (rc == 0 && l.end < 0)
		rc = err_set(e, l.why.kind, "%s", l.why.text);
	buf_free(&l.pattern);
	buf_free(&l.names);
	free(l.seen.slot);
	free(l.items);
	return rc;
}
