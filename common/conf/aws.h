#ifndef CONF_AWS_H
#define CONF_AWS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/aws_sign.h"
#include "conf/conf.h"

/*
 * Credentials, region and endpoint, found as aws-cli finds them (botocore 1.29
 * credentials.py, and the AWS SDKs and Tools Reference Guide for what is newer):
 *   environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   web identity: AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, by STS
 *   profile in the shared credentials and config files: keys, credential_process,
 *     role_arn with source_profile, credential_source or web_identity_token_file
 *   container endpoint: AWS_CONTAINER_CREDENTIALS_{RELATIVE,FULL}_URI
 *   instance metadata, version 2 only, answers within a second or is not there
 * Option "profile" makes the environment's keys not count, as --profile does there.
 * Settings from conf: profile, region, endpoint-url, no-sign-request, ca-bundle.
 */
struct aws;

/* What one store says over the configuration; each may be NULL. */
struct aws_choice {
	const char *profile, *region, *endpoint;
};

/* Reads the files; asks no network. ERR_USAGE: no such profile, a file that cannot be read.
 * conf must live as long; may be NULL. */
int aws_open(struct aws **out, const struct conf *conf, const struct aws_choice *choice,
	struct err *e);
void aws_close(struct aws *a);

const char *aws_region(const struct aws *a);		/* "us-east-1" if nobody says */
/* URL of the S3 endpoint, or NULL: AWS itself. */
const char *aws_endpoint(const struct aws *a);
const char *aws_ca_bundle(const struct aws *a);		/* file, or NULL: the system's */

/* Credentials of this moment, shared by all who hold them. */
struct aws_keys {
	char *id;		/* "" : requests are not to be signed */
	char *secret;
	char *token;		/* or NULL */
	int64_t expires;	/* seconds since 1970; 0 never */
	char origin[96];	/* for people: "environment", "profile 'x'", "instance role 'y'" */
	int refs;
};

/* Resolve, or renew when they end soon: a few seconds at worst, in the caller's thread. Any
 * thread. To be given back with aws_keys_put(). NULL: ERR_REFUSED there are none,
 * ERR_TEMP the service that gives them does not answer, ERR_USAGE bad configuration. */
struct aws_keys *aws_keys_get(struct aws *a, struct err *e);
void aws_keys_put(struct aws *a, struct aws_keys *k);

/* The server says these have expired. Returns 1 if others may be had: try again. */
int aws_keys_stale(struct aws *a, const struct aws_keys *k);

/* Sign with k, keeping the day's key. Any thread. See aws_sign(). */
int aws_keys_sign(struct aws *a, const struct aws_keys *k, const struct aws_request *r,
	struct buf *out, struct err *e);

#endif
