#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "digest/digest.h"
#include "index/redis.h"

struct opening {
	struct redis_index *x;
	const struct index *like;
};

static int
open_meta(void *ctx, struct resp *r, struct err *e)
{
	const struct opening *o = ctx;
	int64_t version, none;
	char now[24], store[4096];
	const char *const set[][2] = { { "store", o->like->store }, { "version", "1" },
		{ "generation", "1" }, { "made", now } };
	size_t i, n = o->like->flags & INDEX_WRITE ? 4 : 0;
	int absent;

	snprintf(now, sizeof(now), "%lld", (long long)clock_now());
	for (i = 0; i < n; i++) {
		resp_begin(r, 4);
		resp_text(r, "HSETNX");
		resp_text(r, o->x->meta);
		resp_text(r, set[i][0]);
		resp_text(r, set[i][1]);
	}
	resp_begin(r, 3);
	resp_text(r, "HGET");
	resp_text(r, o->x->meta);
	resp_text(r, "store");
	if (resp_flush(r, e) < 0)
		return -1;
	for (i = 0; i < n; i++)
		if (resp_get_number(r, &none, e) < 0)
			return -1;
	absent = resp_get_text(r, store, sizeof(store), e);
	if (absent)
		return absent < 0 ? -1 : err_set(e, ERR_ABSENT, "there is none yet");
	if (strcmp(store, o->like->store) != 0)
		return err_set(e, ERR_USAGE, "is the index of another store, '%.200s'", store);
	if (redis_index_number(o->x, r, "version", &version, e) < 0)
		return -1;
	return version == INDEX_VERSION ? 0 :
		err_set(e, ERR_USAGE, "of another version of kvtools");
}

void
redis_index_close(struct index *ix)
{
	struct redis_index *x = (struct redis_index *)ix;
	size_t i;

	redis_net_close(x->net);
	free(x->entry);
	free(x->meta);
	free(x->names);
	free(x->used);
	for (i = 0; i < REDIS_INDEX_SHARDS; i++)
		free(x->uses[i]);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

static char *
make_key(const char *prefix, const char *hex, const char *word)
{
	char *key;

	return asprintf(&key, "%skvtools:index:{%.16s}:%s", prefix, hex, word) < 0 ? NULL : key;
}

static int
make_keys(struct redis_index *x, const char *store, struct err *e)
{
	char hex[DIGEST128_HEX + 1];
	struct digest128 d;
	const char *prefix = redis_net_prefix(x->net);
	char **const keys[] = { &x->entry, &x->meta, &x->names, &x->used };
	static const char *const words[] = { "e:", "meta", "names", "used" };
	size_t i;

	digest_xxh3(&d, store, strlen(store));
	digest_hex(hex, &d);
	for (i = 0; i < 4; i++)
		if (!(*keys[i] = make_key(prefix, hex, words[i])))
			return err_sys(e, "open");
	for (i = 0; i < REDIS_INDEX_SHARDS; i++) {
		char word[16];

		snprintf(word, sizeof(word), "uses:%zu", i);
		if (!(x->uses[i] = make_key(prefix, hex, word)))
			return err_sys(e, "open");
	}
	return 0;
}

int
redis_index_open(struct index **out, const struct index *like, const struct conf *conf,
	struct err *e)
{
	struct redis_index *x = calloc(1, sizeof(*x));
	struct opening o = { x, like };
	struct uri *u = NULL;

	if (!x)
		return err_sys(e, "open");
	pthread_mutex_init(&x->lock, NULL);
	if (uri_parse(&u, like->where, e) < 0)
		goto close;
	if (redis_net_open(&x->net, u, NULL, conf, e) < 0)
		goto close;
	redis_net_keep_whole(x->net);
	if (make_keys(x, like->store, e) < 0 ||
	    redis_net_run(x->net, x->meta, open_meta, &o, e) < 0)
		goto close;
	uri_free(u);
	*out = &x->base;
	return 0;
close:
	uri_free(u);
	redis_index_close(&x->base);
	return -1;
}
