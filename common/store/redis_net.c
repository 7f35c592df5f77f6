#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/stop.h"
#include "store/redis_cluster.h"
#include "store/redis_login.h"
#include "store/redis_net.h"

#define NODES_MAX 1024
#define IDLE_MAX 32		/* connections kept open a server */
#define MOVES_MAX 16		/* redirections in a row */
#define PAUSE_S 0.05
#define PAUSE_MAX_S 1.0
#define AGAIN_S 0.3

/* A server. It lives as long as the store, so that pointers to it stay good. */
struct node {
	struct redis_place at;
	struct resp *idle[IDLE_MAX];
	size_t n_idle;
};

struct redis_net {
	struct redis_login login;
	int whole;			/* redis_net_keep_whole() */
	pthread_mutex_t lock;		/* of all below */
	struct node *nodes[NODES_MAX];
	size_t n_nodes;
	struct node *master;		/* not a cluster: where everything goes */
	atomic_int cluster;		/* there is a map of slots */
	atomic_int moved;		/* a server that has none redirects all the same */
	unsigned short owner[REDIS_SLOTS];	/* cluster: node of a slot */
	/* the servers with slots, in the order of their first slot */
	unsigned short masters[NODES_MAX];
	size_t n_masters;
};

const char *const redis_net_schemes[] = {
	"redis", "rediss", "valkey", "valkeys", "redis+unix", NULL
};

/* The node at a place, which may be new; NULL: too many. The lock is held. */
static struct node *
node_at(struct redis_net *n, const struct redis_place *at, size_t *index)
{
	size_t i;

	for (i = 0; i < n->n_nodes; i++)
		if (n->nodes[i]->at.port == at->port && !strcmp(n->nodes[i]->at.host, at->host))
			break;
	if (i == NODES_MAX)
		return NULL;
	if (i == n->n_nodes) {
		n->nodes[i] = calloc(1, sizeof(struct node));
		if (!n->nodes[i])
			return NULL;
		n->nodes[i]->at = *at;
		n->n_nodes++;
	}
	if (index)
		*index = i;
	return n->nodes[i];
}

static void
hang_up(struct redis_net *n, struct node *x)
{
	pthread_mutex_lock(&n->lock);
	while (x->n_idle > 0)
		resp_close(x->idle[--x->n_idle]);
	pthread_mutex_unlock(&n->lock);
}

/* A connection to x: one that is open and well, or a new one. */
static int
take(struct redis_net *n, struct node *x, struct resp **out, struct err *e)
{
	struct resp *r = NULL;

	pthread_mutex_lock(&n->lock);
	while (!r && x->n_idle > 0) {
		r = x->idle[--x->n_idle];
		if (!resp_alive(r)) {
			resp_close(r);
			r = NULL;
		}
	}
	pthread_mutex_unlock(&n->lock);
	*out = r;
	return r ? 0 : redis_login_connect(&n->login, &x->at, out, e);
}

static void
give(struct redis_net *n, struct node *x, struct resp *r)
{
	pthread_mutex_lock(&n->lock);
	if (resp_settled(r) && x->n_idle < IDLE_MAX) {
		x->idle[x->n_idle++] = r;
		r = NULL;
	}
	pthread_mutex_unlock(&n->lock);
	resp_close(r);
}

/* ---- where things are ---- */

static void
set_range(struct redis_net *n, unsigned from, unsigned to, const struct redis_place *at)
{
	size_t index, i;

	if (!node_at(n, at, &index))
		return;
	for (; from <= to; from++)
		n->owner[from] = (unsigned short)index;
	for (i = 0; i < n->n_masters; i++)
		if (n->masters[i] == index)
			return;
	n->masters[n->n_masters++] = (unsigned short)index;
}

struct asked {
	struct redis_net *n;
	const struct node *x;
};

/* Ask for the map of slots. A plain server says that it has none. */
static int
load_slots(void *ctx, struct resp *r, struct err *e)
{
	const struct asked *a = ctx;
	struct redis_net *n = a->n;
	struct redis_slots map;
	size_t i;

	if (redis_slots_ask(r, &map, e) < 0)
		return -1;
	pthread_mutex_lock(&n->lock);
	if (map.n) {
		n->cluster = 1;
		n->n_masters = 0;
	}
	for (i = 0; i < map.n; i++) {
		if (!*map.v[i].at.host)		/* the one that was asked */
			strcpy(map.v[i].at.host, a->x->at.host);
		set_range(n, map.v[i].from, map.v[i].to, &map.v[i].at);
	}
	pthread_mutex_unlock(&n->lock);
	redis_slots_free(&map);
	return 0;
}

static struct node *
node_number(struct redis_net *n, size_t i)
{
	struct node *x;

	pthread_mutex_lock(&n->lock);
	x = i < n->n_nodes ? n->nodes[i] : NULL;
	pthread_mutex_unlock(&n->lock);
	return x;
}

static int
with(struct redis_net *n, struct node *x, redis_fn *fn, void *ctx, struct err *e)
{
	struct resp *r;
	int rc;

	if (take(n, x, &r, e) < 0)
		return -1;
	rc = fn(ctx, r, e);
	give(n, x, r);
	return rc;
}

static int
find_master(struct redis_net *n, struct err *e)
{
	struct redis_place at;
	struct node *x;

	if (redis_login_master(&n->login, &at, e) < 0)
		return -1;
	pthread_mutex_lock(&n->lock);
	x = node_at(n, &at, NULL);
	if (x)
		n->master = x;
	pthread_mutex_unlock(&n->lock);
	return x ? 0 : err_set(e, ERR_FAILED, "too many servers");
}

/* Find the servers (again): by sentinels, or by asking any server of those known. */
static int
find(struct redis_net *n, struct err *e)
{
	struct asked a = { .n = n };
	struct node *x;
	size_t i;

	if (n->login.sentinel)
		return find_master(n, e);
	for (i = 0; (x = node_number(n, i)); i++) {
		a.x = x;
		if (with(n, x, load_slots, &a, e) < 0)
			continue;
		pthread_mutex_lock(&n->lock);
		if (!n->cluster)
			n->master = x;
		pthread_mutex_unlock(&n->lock);
		return 0;
	}
	return -1;
}

/* The URL's servers are the first nodes. */
static int
begin(struct redis_net *n, struct err *e)
{
	size_t i;

	for (i = 0; i < n->login.n_seeds && !n->login.sentinel; i++)
		if (!node_at(n, &n->login.seeds[i], NULL))
			return err_sys(e, "open");
	return find(n, e);
}

static struct node *
node_of(struct redis_net *n, const char *key)
{
	struct node *x;

	pthread_mutex_lock(&n->lock);
	x = n->master;
	if (n->cluster)
		x = n->nodes[key ? n->owner[redis_slot(key, strlen(key))] : n->masters[0]];
	pthread_mutex_unlock(&n->lock);
	return x;
}

size_t
redis_net_nodes(struct redis_net *n)
{
	size_t nodes;

	if (!n->cluster)
		return n->moved ? 0 : 1;
	pthread_mutex_lock(&n->lock);
	nodes = n->n_masters;
	pthread_mutex_unlock(&n->lock);
	return nodes;
}

size_t
redis_net_node_of(struct redis_net *n, const char *key)
{
	size_t i = 0, want;

	if (!n->cluster)
		return 0;
	pthread_mutex_lock(&n->lock);
	want = n->owner[redis_slot(key, strlen(key))];
	while (i + 1 < n->n_masters && n->masters[i] != want)
		i++;
	pthread_mutex_unlock(&n->lock);
	return i;
}

const char *
redis_net_prefix(const struct redis_net *n)
{
	return n->login.prefix;
}

int
redis_net_is_cluster(const struct redis_net *n)
{
	return n->cluster;
}

void
redis_net_keep_whole(struct redis_net *n)
{
	n->whole = 1;
}

/* ---- doing something ---- */

struct trial {
	struct node *x;
	int asking;		/* the last redirection was for once only */
	int moves;
	double until, pause;
};

/* Go where a server that has not got the key said. -1: it did not, or once too often. */
static int
redirected(struct redis_net *n, struct trial *t, const char *said)
{
	struct redis_place to = { 0 };
	struct node *x;
	unsigned slot;

	if (redis_redirect(said, &slot, &to, &t->asking) < 0 || (t->asking && n->whole) ||
	    t->moves++ == MOVES_MAX) {
		t->asking = 0;
		return -1;
	}
	if (!*to.host)		/* the same host, another port */
		memcpy(to.host, t->x->at.host, sizeof(to.host));
	pthread_mutex_lock(&n->lock);
	x = node_at(n, &to, NULL);
	if (x && !t->asking && n->cluster)
		set_range(n, slot, slot, &to);
	pthread_mutex_unlock(&n->lock);
	n->moved = 1;
	if (x)
		t->x = x;
	return x ? 0 : -1;
}

/* One attempt; go: the next may follow at once. */
static int
attempt(struct redis_net *n, struct trial *t, redis_fn *fn, void *ctx, int *go, struct err *e)
{
	struct node *x = t->x;
	struct resp *r;
	int rc;

	*go = 0;
	if (take(n, x, &r, e) < 0)
		return -1;
	resp_set_asking(r, t->asking);
	t->asking = 0;
	rc = fn(ctx, r, e);
	if (rc < 0)
		*go = redirected(n, t, resp_said(r)) == 0;
	resp_set_asking(r, 0);
	give(n, x, r);
	return rc;
}

/* After a failure that may pass. -1: it has lasted too long. */
static int
wait_a_moment(struct redis_net *n, struct trial *t, const char *key, struct err *e)
{
	if (e->kind != ERR_TEMP || stop_asked() || clock_mono() + t->pause > t->until)
		return -1;
	if (clock_sleep(t->pause, NULL) < 0)
		return -1;
	t->pause = t->pause * 2 < PAUSE_MAX_S ? t->pause * 2 : PAUSE_MAX_S;
	t->moves = 0;
	hang_up(n, t->x);
	find(n, NULL);		/* if nobody answers, the old map stays */
	t->x = node_of(n, key);
	return 0;
}

int
redis_net_run(struct redis_net *n, const char *key, redis_fn *fn, void *ctx, struct err *e)
{
	struct trial t = { .pause = PAUSE_S, .until = clock_mono() + n->login.retry_s };
	struct err why = { 0 };
	int rc, go;

	t.x = node_of(n, key);
	do {
		rc = attempt(n, &t, fn, ctx, &go, &why);
	} while (rc < 0 && (go || wait_a_moment(n, &t, key, &why) == 0));
	return rc < 0 ? err_set(e, why.kind, "%s", why.text) : rc;
}

int
redis_net_again(struct redis_net *n, double since, const struct err *why)
{
	struct trial t = { .x = node_of(n, NULL), .pause = AGAIN_S,
		.until = since + n->login.retry_s };
	struct err e = *why;

	return wait_a_moment(n, &t, NULL, &e);
}

int
redis_net_run_at(struct redis_net *n, size_t node, redis_fn *fn, void *ctx, struct err *e)
{
	struct node *x;

	pthread_mutex_lock(&n->lock);
	x = n->master;
	if (n->cluster && node < n->n_masters)
		x = n->nodes[n->masters[node]];
	pthread_mutex_unlock(&n->lock);
	return with(n, x, fn, ctx, e);
}

int
redis_net_open(struct redis_net **out, const struct uri *u, const char *const *also,
	const struct conf *conf, struct err *e)
{
	static const char *const own[] = { "user", "db", "prefix", "sentinel", "timeout",
		"retry" };
	const char *known[32] = { 0 };
	struct redis_net *n;
	size_t i, k;

	*out = NULL;
	for (k = 0; k < sizeof(own) / sizeof(*own); k++)
		known[k] = own[k];
	for (i = 0; also && also[i] && k < 31; i++)
		known[k++] = also[i];
	if (uri_check_args(u, known, e) < 0)
		return -1;
	n = calloc(1, sizeof(*n));
	if (!n)
		return err_sys(e, "open");
	pthread_mutex_init(&n->lock, NULL);
	if (redis_login_open(&n->login, u, conf, e) < 0 || begin(n, e) < 0) {
		redis_net_close(n);
		return -1;
	}
	*out = n;
	return 0;
}

void
redis_net_close(struct redis_net *n)
{
	size_t i;

	if (!n)
		return;
	for (i = 0; i < n->n_nodes; i++) {
		hang_up(n, n->nodes[i]);
		free(n->nodes[i]);
	}
	redis_login_close(&n->login);
	pthread_mutex_destroy(&n->lock);
	free(n);
}
