#ifndef CONF_AWS_CHAIN_H
#define CONF_AWS_CHAIN_H

#include <pthread.h>

#include "conf/aws.h"

/* What the files aws*.c share. */

/* The shared credentials and config files, read once. */
struct aws_profiles {
	struct aws_line { char *section, *name, *value; } *lines;
	size_t n;
};

/* Paths: AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE, ~/.aws. Absent files are empty. */
int aws_profiles_read(struct aws_profiles *p, struct err *e);
void aws_profiles_free(struct aws_profiles *p);		/* overwrites */
/* A setting of a profile, the credentials file before the config file; or NULL. */
const char *aws_profile_get(const struct aws_profiles *p, const char *profile, const char *name);
int aws_profile_exists(const struct aws_profiles *p, const char *profile);
/* endpoint_url of a service ("s3", "sts"): its services section, then the profile's own. */
const char *aws_profile_endpoint(const struct aws_profiles *p, const char *profile,
	const char *service);

struct aws {
	const struct conf *conf;
	struct aws_profiles files;
	char *profile, *region, *endpoint;	/* endpoint may be NULL */
	int explicit_profile;			/* named by option: no keys of the environment */
	pthread_mutex_t lock;			/* for what follows, and refs of keys */
	struct aws_keys *keys;			/* the current ones, or NULL */
	int64_t renew_at;			/* when to look for new ones; 0 never */
	struct aws_sign_key sign_key;
	const struct aws_keys *sign_key_of;
};

/* A way to credentials. 0: *k is filled; 1: this way is not configured; -1. */
int aws_from_web_identity(struct aws *a, struct aws_keys *k, struct err *e);
int aws_from_profile(struct aws *a, struct aws_keys *k, struct err *e);
int aws_from_container(struct aws *a, struct aws_keys *k, struct err *e);
int aws_from_instance(struct aws *a, struct aws_keys *k, struct err *e);

/* The environment's keys; 1 where a profile was chosen by option. */
int aws_from_environment(struct aws *a, struct aws_keys *k, struct err *e);

/* Fill k (zero) with copies; token may be NULL, expires RFC 3339 or NULL. ERR_CORRUPT for
 * an expiry that is no time. */
int aws_keys_fill(struct aws_keys *k, const char *id, const char *secret, const char *token,
	const char *expires, struct err *e);
void aws_keys_clear(struct aws_keys *k);	/* overwrites; k itself stays */
/* From the JSON object that containers, instances and credential processes answer with.
 * token: the name of its session token. */
int aws_keys_from_json(struct aws_keys *k, const char *text, size_t n, const char *token,
	struct err *e);

/* STS: AssumeRole with the keys, or with a token file when keys is NULL. */
struct aws_role {
	const char *arn, *session, *external_id, *duration, *token_file;
};
int aws_assume(struct aws *a, const struct aws_role *role, const struct aws_keys *keys,
	struct aws_keys *k, struct err *e);

/* One small HTTP exchange, without retry. Answer appended to out, at most 256 KiB. */
struct aws_call {
	const char *method, *url, *body;	/* body may be NULL */
	const char *headers[6];			/* whole lines, NULL ends */
	const char *ca_bundle;
	double timeout_s;
	int local;				/* never by a proxy: metadata services */
};
/* The HTTP status, or -1: ERR_TEMP unreachable, ERR_REFUSED TLS failed. */
int aws_fetch(const struct aws_call *c, struct buf *out, struct err *e);

#endif
