#ifndef CONF_AWS_SIGN_H
#define CONF_AWS_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * AWS Signature Version 4 (AWS General Reference, "Signing AWS API requests"; checked
 * against the worked examples of the S3 API reference, "Authenticating Requests:
 * Using the Authorization Header"). Path and query are given in the one form that goes
 * over the wire: percent-coded once, upper-case hex, query sorted by name.
 */

#define AWS_HASH_TEXT 65	/* SHA-256 as hex with its NUL */
#define AWS_UNSIGNED "UNSIGNED-PAYLOAD"

struct aws_header {
	const char *name;	/* lower case */
	const char *value;
};

struct aws_request {
	const char *method;
	const char *path;	/* "/" at least */
	const char *query;	/* without '?'; a name without value has its '=' */
	const struct aws_header *headers;	/* to be signed: host, x-amz-...; sorted by name */
	size_t n_headers;
	const char *payload;	/* hex SHA-256 of the body, or AWS_UNSIGNED */
	const char *region;
	const char *service;
	const char *time;	/* x-amz-date: "20130524T000000Z" */
};

/* What signs: the secret, and the key made of it for one day, region and service. Zero the
 * key before first use; not thread-safe. Overwritten by aws_sign_key_forget(). */
struct aws_sign_key {
	char scope[128];	/* "20130524/us-east-1/s3/aws4_request" key belongs to; "" none */
	unsigned char key[32];
};

/* Append the value of the Authorization header. */
int aws_sign(const struct aws_request *r, const char *id, const char *secret,
	struct aws_sign_key *key, struct buf *out, struct err *e);
void aws_sign_key_forget(struct aws_sign_key *key);

/* t as "20130524T000000Z". */
char *aws_time(char out[17], int64_t t);

/* Hex SHA-256 of n bytes. */
int aws_hash(char out[AWS_HASH_TEXT], const void *p, size_t n, struct err *e);

/* Append "name=value", both percent-coded, with '&' before it unless out is empty. */
int aws_query_add(struct buf *out, const char *name, const char *value);

#endif
