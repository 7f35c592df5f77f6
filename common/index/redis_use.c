#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/num.h"
#include "index/redis.h"

/*
 * The uses of a name are one value of a hash, "TTTTTTTTTT N": the last of them in ten
 * digits, and how many. A writer reads hundreds of them with one HMGET and writes them with
 * one HSET, in a transaction that fails when another writer was there in between. Then it
 * takes the next of REDIS_INDEX_SHARDS such hashes, and stays with that one, so that writers
 * soon have one each; who reads adds them up. Two words a name in two commands cost the
 * server half of what a command a name costs it, and a script more than either.
 */
#define BATCH 1024		/* names of one transaction */
#define SLOTS 4096		/* a power of two, more than BATCH */
#define TRIES 512		/* of a transaction, before others are taken for a fault */
#define TIME_MAX 9999999999
#define TEXT_MAX 64		/* of a value */

/* ARGV: where to go on among the names. Answers the last name sorted, "" at the end. */
static const char script_sort[] =
	REDIS_INDEX_BASE "local v = redis.call('ZRANGEBYLEX', base .. 'names', ARGV[1], '+', "
	"'LIMIT', 0, 500) "
	"if #v == 0 then return '' end "
	"local at, set = {}, {} "
	"for k = 1, #shards do local uses = redis.call('HMGET', shards[k], unpack(v)) "
	"for i = 1, #v do local t = uses[i] and tonumber(string.sub(uses[i], 1, 10)) or 0 "
	"if t > (at[i] or 0) then at[i] = t end end end "
	"for i = 1, #v do set[2 * i - 1] = at[i] or 0 set[2 * i] = v[i] end "
	"redis.call('ZADD', base .. 'used', unpack(set)) "
	"return v[#v]";

const char *
redis_index_time(char *out, int64_t at_s)
{
	at_s = at_s < 0 ? 0 : at_s > TIME_MAX ? TIME_MAX : at_s;
	snprintf(out, REDIS_INDEX_TIME + 1, "%010lld", (long long)at_s);
	return out;
}

/* Add what a value says. Others may have written here: what is no use of ours is none. */
static void
add_value(struct index_use *to, const char *text)
{
	char at[REDIS_INDEX_TIME + 1];
	int64_t at_s;
	uint64_t n;

	if (strlen(text) < REDIS_INDEX_TIME + 2 || text[REDIS_INDEX_TIME] != ' ')
		return;
	memcpy(at, text, REDIS_INDEX_TIME);
	at[REDIS_INDEX_TIME] = 0;
	if (num_i64(&at_s, at, 0, TIME_MAX, "last use", NULL) < 0 ||
	    num_u64(&n, text + REDIS_INDEX_TIME + 1, 0, INT64_MAX, "uses", NULL) < 0)
		return;
	to->n = n > INT64_MAX - to->n ? INT64_MAX : to->n + n;
	if (to->at_s < at_s)
		to->at_s = at_s;
}

static void
say_values(struct resp *r, const char *shard, const struct index_use *v, size_t n)
{
	size_t i;

	resp_begin(r, 2 + n);
	resp_text(r, "HMGET");
	resp_text(r, shard);
	for (i = 0; i < n; i++)
		resp_text(r, v[i].name);
}

/* Add the answer to v. unknown: 1 for each that has no value there; may be NULL. */
static int
take_values(struct resp *r, struct index_use *v, size_t n, unsigned char *unknown,
	struct err *e)
{
	char text[TEXT_MAX];
	size_t i, got;
	int nil;

	if (resp_get_array(r, &got, e) < 0)
		return -1;
	if (got != n)
		return err_set(e, ERR_CORRUPT, "reply: not as many as asked for");
	for (i = 0; i < n; i++) {
		nil = resp_get_text(r, text, sizeof(text), e);
		if (nil < 0)
			return -1;
		if (unknown)
			unknown[i] = nil != 0;
		add_value(&v[i], text);
	}
	return 0;
}

/* ---- write ---- */

struct batch {
	const struct redis_index *x;
	const struct index_use *v;	/* n uses of different names */
	size_t n;
	const char *shard;
	struct index_use sum[BATCH];	/* what each will be */
	unsigned char fresh[BATCH];	/* it may be new to the index */
	size_t n_fresh;
	int lost;			/* another writer came in between */
};

/* 0: it was there. */
static int
remember(uint64_t *slot, uint64_t h)
{
	size_t k = h & (SLOTS - 1);

	h += !h;		/* 0 is a free slot */
	for (; slot[k]; k = (k + 1) & (SLOTS - 1))
		if (slot[k] == h)
			return 0;
	slot[k] = h;
	return 1;
}

/* How many of v one transaction can take: no name twice. */
static size_t
different(const struct index_use *v, size_t n)
{
	uint64_t slot[SLOTS] = { 0 };
	size_t i;

	for (i = 0; i < n && i < BATCH; i++)
		if (!remember(slot, XXH3_64bits(v[i].name, strlen(v[i].name))))
			break;
	return i;
}

static int
read_batch(struct batch *b, struct resp *r, struct err *e)
{
	size_t i;

	resp_begin(r, 2);
	resp_text(r, "WATCH");
	resp_text(r, b->shard);
	say_values(r, b->shard, b->v, b->n);
	memcpy(b->sum, b->v, b->n * sizeof(*b->v));
	if (resp_flush(r, e) < 0 || resp_ok(r, e) < 0 ||
	    take_values(r, b->sum, b->n, b->fresh, e) < 0)
		return -1;
	b->n_fresh = 0;
	for (i = 0; i < b->n; i++)
		b->n_fresh += b->fresh[i];
	return 0;
}

static void
say_batch(const struct batch *b, struct resp *r)
{
	char at[REDIS_INDEX_TIME + 1], text[TEXT_MAX];
	size_t i;

	resp_call(r, "MULTI");
	resp_begin(r, 2 + 2 * b->n);
	resp_text(r, "HSET");
	resp_text(r, b->shard);
	for (i = 0; i < b->n; i++) {
		snprintf(text, sizeof(text), "%s %llu", redis_index_time(at, b->sum[i].at_s),
			(unsigned long long)b->sum[i].n);
		resp_text(r, b->sum[i].name);
		resp_text(r, text);
	}
	if (b->n_fresh) {
		resp_begin(r, 2 + 2 * b->n_fresh);
		resp_text(r, "ZADD");
		resp_text(r, b->x->names);
	}
	for (i = 0; i < b->n; i++) {
		if (!b->fresh[i])
			continue;
		resp_number(r, 0);
		resp_text(r, b->sum[i].name);
	}
	resp_call(r, "EXEC");
}

/* Nil instead of the commands' answers: the transaction was not done. */
static int
take_done(struct batch *b, struct resp *r, struct err *e)
{
	size_t i, n = b->n_fresh ? 2 : 1;
	struct resp_item it;
	int64_t added;

	for (i = 0; i < 1 + n; i++)
		if (resp_ok(r, e) < 0)
			return -1;
	if (resp_next(r, &it, e) < 0)
		return -1;
	b->lost = it.type == RESP_NIL;
	if (b->lost)
		return 0;
	if (it.type == RESP_ERROR)
		return resp_error(it.text, e);
	if (it.type != RESP_ARRAY || it.n != (int64_t)n)
		return err_set(e, ERR_CORRUPT, "reply: no end of a transaction");
	for (i = 0; i < n; i++)
		if (resp_get_number(r, &added, e) < 0)
			return -1;
	return 0;
}

static int
write_batch(void *ctx, struct resp *r, struct err *e)
{
	struct batch *b = ctx;

	if (read_batch(b, r, e) < 0)
		return -1;
	say_batch(b, r);
	return resp_flush(r, e) < 0 ? -1 : take_done(b, r, e);
}

/* With the lock held, so that the threads of one writer do not fight each other. */
static int
settle(struct redis_index *x, struct batch *b, struct err *e)
{
	int i;

	for (i = 1; i <= TRIES; i++) {
		b->shard = x->uses[x->shard];
		if (redis_net_run(x->net, b->shard, write_batch, b, e) < 0)
			return -1;
		if (!b->lost)
			return 0;
		x->shard = (x->shard + 1) % REDIS_INDEX_SHARDS;
		if (i % REDIS_INDEX_SHARDS == 0 && clock_sleep(0.01, e) < 0)
			return -1;
	}
	return err_set(e, ERR_TEMP, "too many write at once");
}

int
redis_index_access(struct index *ix, const struct index_use *v, size_t n, struct err *e)
{
	struct redis_index *x = (struct redis_index *)ix;
	struct index_use *now = malloc(n * sizeof(*now));
	struct batch *b = malloc(sizeof(*b));
	int64_t now_s = clock_now();
	size_t i;
	int rc = 0;

	if (!now || !b) {
		rc = err_sys(e, "access");
		goto out;
	}
	b->x = x;
	memcpy(now, v, n * sizeof(*v));
	for (i = 0; i < n; i++)
		if (!now[i].at_s)
			now[i].at_s = now_s;
	pthread_mutex_lock(&x->lock);
	for (i = 0; i < n && rc == 0; i += b->n) {
		b->v = now + i;
		b->n = different(b->v, n - i);
		rc = settle(x, b, e);
	}
	pthread_mutex_unlock(&x->lock);
out:
	free(b);
	free(now);
	return rc;
}

/* ---- read ---- */

int
redis_index_uses(const struct redis_index *x, struct resp *r, struct index_use *v, size_t n,
	struct err *e)
{
	int64_t there[REDIS_INDEX_SHARDS];
	size_t i;

	for (i = 0; i < REDIS_INDEX_SHARDS; i++) {
		resp_begin(r, 2);
		resp_text(r, "EXISTS");
		resp_text(r, x->uses[i]);
	}
	if (resp_flush(r, e) < 0)
		return -1;
	for (i = 0; i < REDIS_INDEX_SHARDS; i++)
		if (resp_get_number(r, &there[i], e) < 0)
			return -1;
	for (i = 0; i < REDIS_INDEX_SHARDS; i++)
		if (there[i])
			say_values(r, x->uses[i], v, n);
	if (resp_flush(r, e) < 0)
		return -1;
	for (i = 0; i < REDIS_INDEX_SHARDS; i++)
		if (there[i] && take_values(r, v, n, NULL, e) < 0)
			return -1;
	return 0;
}

/* Names come in their order: one that does not would have us ask for ever. */
int
redis_index_sort(const struct redis_index *x, struct resp *r, struct err *e)
{
	char last[2][REDIS_INDEX_TEXT + 2] = { "-", "" };
	int i;

	for (i = 1;; i = !i) {
		redis_index_script(x, r, script_sort, 1);
		resp_text(r, last[!i]);
		last[i][0] = '(';
		if (resp_flush(r, e) < 0 ||
		    resp_get_text(r, last[i] + 1, REDIS_INDEX_TEXT + 1, e) < 0)
			return -1;
		if (!last[i][1])
			return 0;
		if (strcmp(last[i] + 1, last[!i] + 1) <= 0)
			return err_set(e, ERR_CORRUPT, "reply: names out of order");
	}
}
