#ifndef STORE_REDIS_NET_H
#define STORE_REDIS_NET_H

#include "base/uri.h"
#include "conf/conf.h"
#include "store/resp.h"

/*
 * One Redis or Valkey behind a URL, whatever it consists of: a server, the master that
 * sentinels name, or a cluster. Who wants something done says for which key, and gets a
 * connection to the right server; pooling, logging in, redirections and trying again are
 * done here. Safe for several threads.
 *
 *	redis://HOST[:PORT][,HOST[:PORT]...][/DB][/PREFIX]	rediss: with TLS
 *	valkey: valkeys: the same		redis+unix:///PATH/OF/SOCKET
 *	?user= ?db= ?prefix= ?sentinel=MASTER-NAME ?timeout=SECONDS ?retry=SECONDS
 *
 * A path of digits is the database number; anything else is a prefix of keys, with a '/'
 * put behind it. ?prefix= is taken as it stands. Password: conf_secret("password"),
 * REDISCLI_AUTH, REDIS_PASSWORD; user: ?user=, REDIS_USERNAME; of sentinels:
 * REDIS_SENTINEL_USERNAME, REDIS_SENTINEL_PASSWORD. TLS: ca-bundle, client-cert, client-key.
 */
struct redis_net;

extern const char *const redis_net_schemes[];
/* u's arguments that are not known here or in also (NULL ends; may be NULL): ERR_USAGE. */
int redis_net_open(struct redis_net **out, const struct uri *u, const char *const *also,
	const struct conf *conf, struct err *e);
void redis_net_close(struct redis_net *n);		/* safe on NULL */

const char *redis_net_prefix(const struct redis_net *n);
int redis_net_is_cluster(const struct redis_net *n);
/* Keys that are asked for belong together, and lie in one slot: while that is being moved,
 * and some are here and some there (ASK), it is waited for. */
void redis_net_keep_whole(struct redis_net *n);

/* Send commands, read all their replies. May be called again, on another connection, when
 * the server went away, redirected or asked for patience; what was read of a reply before
 * that is the function's to remember. */
typedef int redis_fn(void *ctx, struct resp *r, struct err *e);

/* Run fn on a connection to the server that has the key (NULL: any). ERR_TEMP only after
 * trying for ?retry= seconds. */
int redis_net_run(struct redis_net *n, const char *key, redis_fn *fn, void *ctx, struct err *e);

/* How many servers share the keys (0: a cluster that does not tell), and which of them has
 * this one (0 .. nodes-1). fn on that server, once, without redirections. */
size_t redis_net_nodes(struct redis_net *n);
size_t redis_net_node_of(struct redis_net *n, const char *key);
int redis_net_run_at(struct redis_net *n, size_t node, redis_fn *fn, void *ctx, struct err *e);

/* After a failure of run_at: wait a moment and find the servers anew, 0 to try again; -1
 * when it is none that passes, or has lasted too long since (clock_mono()). */
int redis_net_again(struct redis_net *n, double since, const struct err *why);

/* Slot of a key in a cluster: of what is between '{' and '}' if there is something. */
unsigned redis_slot(const char *key, size_t n);
#define REDIS_SLOTS 16384

#endif
