#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "lib/lib.h"
#include "store/redis_login.h"

#define PORT 6379
#define SENTINEL_PORT 26379
#define TIMEOUT_S 10
#define RETRY_S 15

static int
tls_open(struct redis_login *l, const struct conf *conf, struct err *e)
{
	const char *ca = conf_get(conf, "ca-bundle"), *cert = conf_get(conf, "client-cert");
	const char *key = conf_get(conf, "client-key");
	SSL_CTX *tls;

	if (lib_openssl(e) < 0)
		return err_in(e, "tls");
	l->tls = tls = SSL_CTX_new(TLS_client_method());
	if (!tls)
		return err_set(e, ERR_FAILED, "tls: out of memory");
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(tls, SSL_MODE_AUTO_RETRY | SSL_MODE_ENABLE_PARTIAL_WRITE);
	ERR_clear_error();
	if (ca ? !SSL_CTX_load_verify_locations(tls, ca, NULL) :
	    !SSL_CTX_set_default_verify_paths(tls))
		return err_set(e, ERR_USAGE, "--ca-bundle '%s': not readable as certificates",
			ca ? ca : "");
	if (cert && SSL_CTX_use_certificate_chain_file(tls, cert) != 1)
		return err_set(e, ERR_USAGE, "--client-cert '%s': not readable as a certificate",
			cert);
	if (cert && SSL_CTX_use_PrivateKey_file(tls, key ? key : cert, SSL_FILETYPE_PEM) != 1)
		return err_set(e, ERR_USAGE, "--client-key '%s': not readable as its key",
			key ? key : cert);
	return 0;
}

/* "host", "host:port", "[v6]:port", "v6" in the n bytes at s. */
static int
add_seed(struct redis_login *l, const char *s, size_t n, int port, struct err *e)
{
	struct redis_place *at = &l->seeds[l->n_seeds];
	const char *colon = memrchr(s, ':', n), *end = s + n;
	char text[8];
	uint64_t v;

	if (l->n_seeds == REDIS_SEEDS)
		return err_set(e, ERR_USAGE, "url: more than %d hosts", REDIS_SEEDS);
	if (colon && memchr(s, ':', (size_t)(colon - s)) && colon[-1] != ']')
		colon = NULL;		/* a bare address of IPv6 */
	at->port = port;
	if (colon) {
		snprintf(text, sizeof(text), "%.*s", (int)(end - colon - 1), colon + 1);
		if (num_u64(&v, text, 1, 65535, "port", e) < 0)
			return -1;
		at->port = (int)v;
		n = (size_t)(colon - s);
	}
	if (n >= 2 && *s == '[' && s[n - 1] == ']') {
		s++;
		n -= 2;
	}
	if (n == 0 || n >= sizeof(at->host))
		return err_set(e, ERR_USAGE, "url: no host, or too long a name");
	memcpy(at->host, s, n);
	at->host[n] = 0;
	l->n_seeds++;
	return 0;
}

/* The URL's port belongs to the last of its hosts. */
static int
add_seeds(struct redis_login *l, const struct uri *u, struct err *e)
{
	int standard = l->sentinel ? SENTINEL_PORT : PORT;
	const char *s = *u->host ? u->host : "127.0.0.1";

	if (u->port == 0)
		return err_set(e, ERR_USAGE, "url: bad port");
	for (;;) {
		size_t n = strcspn(s, ",");
		int last = !s[n];

		if (add_seed(l, s, n, last && u->port > 0 ? u->port : standard, e) < 0)
			return -1;
		if (last)
			return 0;
		s += n + 1;
	}
}

static int
all_digits(const char *s, size_t n)
{
	return n > 0 && n < 6 && strspn(s, "0123456789") >= n;
}

static int
set_db(struct redis_login *l, const char *text, struct err *e)
{
	uint64_t v;

	if (num_u64(&v, text, 0, 65535, "database number", e) < 0)
		return -1;
	l->db = (unsigned)v;
	return 0;
}

/* "/0/prefix", "/prefix", "/0", "/" and what ?db= and ?prefix= say. */
static int
set_path(struct redis_login *l, const struct uri *u, struct err *e)
{
	const char *path = u->path + strspn(u->path, "/"), *db = uri_arg(u, "db");
	const char *prefix = uri_arg(u, "prefix");
	size_t n = strcspn(path, "/"), len;
	char digits[8];

	if (l->path) {
		path = "";
	} else if (all_digits(path, n)) {
		snprintf(digits, sizeof(digits), "%.*s", (int)n, path);
		if (set_db(l, digits, e) < 0)
			return -1;
		path += n + (path[n] == '/');
	}
	if (db && set_db(l, db, e) < 0)
		return -1;
	if (prefix && *path)
		return err_set(e, ERR_USAGE, "url: a prefix in the path and in ?prefix=");
	for (len = strlen(path); len > 0 && path[len - 1] == '/'; len--)
		;
	if (prefix)
		l->prefix = strdup(prefix);
	else if (asprintf(&l->prefix, "%.*s%s", (int)len, path, len ? "/" : "") < 0)
		l->prefix = NULL;
	return l->prefix ? 0 : err_sys(e, "url");
}

static int
seconds(const struct uri *u, const struct conf *conf, const char *name, double *s,
	struct err *e)
{
	const char *text = uri_arg(u, name) ? uri_arg(u, name) : conf_get(conf, name);

	if (!text)
		return 0;
	if (num_duration(s, text, name, e) < 0)
		return -1;
	return *s > 0 && *s <= 3600 ? 0 : err_set(e, ERR_USAGE, "%s: not 1s to 1h", name);
}

static char *
kept(const char *text)
{
	return text && *text ? strdup(text) : NULL;
}

static int
set_secrets(struct redis_login *l, const struct uri *u, const struct conf *conf, struct err *e)
{
	static const char *const vars[] = { "REDISCLI_AUTH", "REDIS_PASSWORD" };
	struct buf b = { 0 };
	struct err why = { 0 };
	size_t i;

	for (i = 0; i < 2 && !l->password; i++) {
		if (conf_secret(conf, "password", vars[i], &b, &why) == 0)
			l->password = kept(buf_text(&b));
		else if (why.kind != ERR_ABSENT)
			return err_set(e, why.kind, "%s", why.text);
		conf_forget(&b);
	}
	l->user = kept(uri_arg(u, "user") ? uri_arg(u, "user") : getenv("REDIS_USERNAME"));
	l->sentinel_user = kept(getenv("REDIS_SENTINEL_USERNAME"));
	l->sentinel_password = kept(getenv("REDIS_SENTINEL_PASSWORD"));
	if (uri_arg(u, "user") && !l->password)
		return err_set(e, ERR_USAGE, "url: ?user= without a password (REDISCLI_AUTH, "
			"--password-file)");
	return 0;
}

int
redis_login_open(struct redis_login *l, const struct uri *u, const struct conf *conf,
	struct err *e)
{
	size_t len = strlen(u->scheme);

	memset(l, 0, sizeof(*l));
	l->timeout_s = TIMEOUT_S;
	l->retry_s = RETRY_S;
	l->sentinel = kept(uri_arg(u, "sentinel"));
	if (!strcmp(u->scheme, "redis+unix")) {
		l->path = strdup(u->path);
		l->n_seeds = 1;
		if (!l->path || *l->path != '/' || *u->host)
			return err_set(e, ERR_USAGE, "url: write redis+unix:///path/of/socket");
	} else if (add_seeds(l, u, e) < 0) {
		return -1;
	}
	if (set_path(l, u, e) < 0 || set_secrets(l, u, conf, e) < 0 ||
	    seconds(u, conf, "timeout", &l->timeout_s, e) < 0 ||
	    seconds(u, conf, "retry", &l->retry_s, e) < 0)
		return -1;
	if (l->path || u->scheme[len - 1] != 's' || !strcmp(u->scheme, "redis"))
		return 0;
	return tls_open(l, conf, e);
}

static void
forget(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void
redis_login_close(struct redis_login *l)
{
	free(l->path);
	free(l->sentinel);
	free(l->prefix);
	free(l->user);
	free(l->sentinel_user);
	forget(l->password);
	forget(l->sentinel_password);
	SSL_CTX_free(l->tls);
	memset(l, 0, sizeof(*l));
}

static void
say_auth(struct resp *r, const char *user, const char *password)
{
	resp_begin(r, user ? 3 : 2);
	resp_text(r, "AUTH");
	if (user)
		resp_text(r, user);
	resp_text(r, password);
}

static int
dial(const struct redis_login *l, const struct redis_place *at, struct resp **out,
	struct err *e)
{
	struct resp_end end = { .host = *at->host ? at->host : NULL, .port = at->port,
		.path = l->path, .timeout_s = l->timeout_s, .tls = l->tls };

	return resp_open(out, &end, e);
}

/* Looking at a key shall be no use of it: servers that can (Redis 7.2, Valkey) are asked. */
static int
be_quiet(struct resp *r, struct err *e)
{
	int rc = resp_ok(r, e);

	resp_set_quiet(r, rc == 0);
	return rc < 0 && resp_broken(r) ? -1 : 0;
}

/* Wrong secrets, a wrong port and a server that is not ready all show here, and not in
 * the middle of the first object. */
int
redis_login_connect(const struct redis_login *l, const struct redis_place *at,
	struct resp **out, struct err *e)
{
	struct resp *r;

	*out = NULL;
	if (dial(l, at, &r, e) < 0)
		return -1;
	if (l->password)
		say_auth(r, l->user, l->password);
	if (l->db) {
		resp_begin(r, 2);
		resp_text(r, "SELECT");
		resp_number(r, l->db);
	}
	resp_call(r, "PING");
	resp_call(r, "CLIENT NO-TOUCH ON");
	if (resp_flush(r, e) < 0 || (l->password && resp_ok(r, e) < 0) ||
	    (l->db && resp_ok(r, e) < 0) || resp_ok(r, e) < 0 || be_quiet(r, e) < 0) {
		resp_close(r);
		return *at->host ? err_in(e, "'%s:%d'", at->host, at->port) : -1;
	}
	*out = r;
	return 0;
}

static int
ask_sentinel(const struct redis_login *l, struct resp *r, struct redis_place *at,
	struct err *e)
{
	char port[8];
	uint64_t v;
	size_t n;

	if (l->sentinel_password)
		say_auth(r, l->sentinel_user, l->sentinel_password);
	resp_begin(r, 3);
	resp_text(r, "SENTINEL");
	resp_text(r, "get-master-addr-by-name");
	resp_text(r, l->sentinel);
	if (resp_flush(r, e) < 0 || (l->sentinel_password && resp_ok(r, e) < 0) ||
	    resp_get_array(r, &n, e) < 0)
		return e && e->kind == ERR_REFUSED && !l->sentinel_password ?
			err_set(e, ERR_REFUSED, "sentinel: wants a password "
				"(REDIS_SENTINEL_PASSWORD)") : err_in(e, "sentinel");
	if (n != 2)
		return err_set(e, ERR_USAGE, "sentinel: knows no master '%s'", l->sentinel);
	if (resp_get_text(r, at->host, sizeof(at->host), e) < 0 ||
	    resp_get_text(r, port, sizeof(port), e) < 0)
		return err_in(e, "sentinel");
	if (!*at->host || num_u64(&v, port, 1, 65535, "port", NULL) < 0)
		return err_set(e, ERR_CORRUPT, "sentinel: tells no address of '%s'",
			l->sentinel);
	at->port = (int)v;
	return 0;
}

int
redis_login_master(const struct redis_login *l, struct redis_place *at, struct err *e)
{
	struct resp *r;
	size_t i;
	int rc;

	for (i = 0; i < l->n_seeds; i++) {
		if (dial(l, &l->seeds[i], &r, e) < 0)
			continue;
		rc = ask_sentinel(l, r, at, e);
		resp_close(r);
		if (rc == 0)
			return 0;
	}
	return -1;
}
