#ifndef STORE_REDIS_LOGIN_H
#define STORE_REDIS_LOGIN_H

#include "base/buf.h"
#include "base/uri.h"
#include "conf/conf.h"
#include "store/resp.h"

/* What a URL and the settings say about reaching servers, and the way in. */
#define REDIS_SEEDS 16

struct redis_place {
	char host[256];		/* "": path of struct redis_login */
	int port;
};

struct redis_login {
	struct redis_place seeds[REDIS_SEEDS];	/* of the URL: servers, or sentinels */
	size_t n_seeds;
	char *path;		/* Unix socket, or NULL */
	char *sentinel;		/* name of the master, or NULL */
	char *prefix;
	unsigned db;
	void *tls;		/* SSL_CTX, or NULL */
	char *user, *password;	/* or NULL */
	char *sentinel_user, *sentinel_password;
	double timeout_s, retry_s;
};

int redis_login_open(struct redis_login *l, const struct uri *u, const struct conf *conf,
	struct err *e);
void redis_login_close(struct redis_login *l);

/* A connection ready for use: logged in, database chosen, asked whether it is well. */
int redis_login_connect(const struct redis_login *l, const struct redis_place *at,
	struct resp **out, struct err *e);
/* Where the master is now, by the first sentinel that knows it. ERR_USAGE: none knows it. */
int redis_login_master(const struct redis_login *l, struct redis_place *at, struct err *e);

#endif
