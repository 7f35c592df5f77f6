#ifndef STORE_S3_H
#define STORE_S3_H

#include <pthread.h>

#include "base/limit.h"
#include "conf/aws.h"
#include "store/ops.h"

/*
 * The S3 back end's files share this. URL: s3://BUCKET/PREFIX, arguments endpoint-url,
 * region, profile, dialect. Settings (conf): those of conf/aws.h and
 *   virtual-host, insecure, client-cert, client-key, unsigned-payload, retries,
 *   timeout (of a silent connection), bwlimit, multipart-size, storage-class,
 *   sse (AES256, aws:kms), sse-kms-key-id, lock-age.
 * Wire facts: Amazon S3 API Reference (2006-03-01), and Ceph 16.2.15 as tried.
 */

#define S3_OWN ".kvtools/"	/* our own objects under the store's prefix; never listed */
#define S3_PAIRS 8
#define S3_TEXT_MAX (32 << 20)	/* an answer that is text */

struct s3_conn;

struct s3 {
	struct store base;	/* first */
	struct aws *aws;
	char *bucket;
	char *prefix;		/* "" or with a '/' at the end */
	char *host;		/* of the endpoint, as in the Host header; NULL: AWS */
	int https, path_style;
	char *root;		/* path before the key: "/" or "/bucket/", percent-coded */
	int unsigned_payload;
	_Atomic int if_none_match;	/* the server is believed to know conditional puts */
	unsigned retries;
	uint64_t multipart;	/* larger objects go in parts of this size */
	double lock_age_s;
	long connect_ms, stall_s;
	/* conf's, or NULL */
	const char *storage_class, *sse, *kms_key, *client_cert, *client_key;
	int insecure;
	struct limit *limit;
	pthread_mutex_t lock;		/* for what follows */
	char region[64];
	struct s3_conn *idle;		/* connections, the last used first */
};

struct s3_pair {
	const char *name, *value;
};

/* A run of bytes within an iovec. */
struct s3_body {
	const struct iovec *iov;
	int n;
	uint64_t off, len;
};

/* One request and its answer. Zero what is not used. */
struct s3_call {
	const char *method;
	const char *key;			/* in the bucket, whole; NULL: the bucket itself */
	struct s3_pair query[S3_PAIRS];		/* a NULL name ends */
	struct s3_pair header[S3_PAIRS];	/* lower case; x-amz-... are signed */
	const struct s3_body *body;		/* or NULL: none */
	struct buf *text;			/* the answer's body if it is text */
	struct store_get *get;			/* or the object: bytes [off, off+len) of it, */
	unsigned char *into;			/* to get->out, or when set to here */
	uint64_t off, len;
	const char *match;			/* get: only the object with this etag */
	int finish;				/* not to be broken off by a signal: cleaning up */

	int status;				/* HTTP, of the last attempt; 0: no answer came */
	char code[64];				/* S3's word for the error, or "" */
	char etag[96];				/* with its quotes */
	uint64_t size;				/* of the whole object, or of the answer */
	int64_t mtime;				/* seconds; 0 unknown */
	uint64_t got;				/* bytes of [off, off+len) that came */
};

/* Do it, with retries; a broken off get goes on where it was. 0 for a 2xx answer, and for 416
 * to a get. -1 otherwise: e by s3_error(), status and code tell more. */
int s3_do(struct s3 *s, struct s3_call *c, struct err *e);

/* --- s3_http.c */

/* What of an answer steers the retries alone. */
struct s3_answer {
	struct buf error;		/* body of an answer that is not 2xx */
	double retry_after_s;		/* or -1 */
	int64_t date;			/* the server's clock, or 0 */
	char region[64];		/* x-amz-bucket-region */
	int again;			/* no answer came, and it may the next time */
};

/* One exchange. 0: an answer came whole. -1: none did, or it broke off. */
struct s3_send {
	const char *host;
	const struct buf *head;		/* the request up to its body */
};
int s3_http(struct s3 *s, struct s3_call *c, const struct s3_send *send, struct s3_answer *a,
	struct err *e);

/* --- s3_error.c */

/* Reads code from the error body. */
void s3_error_code(struct s3_call *c, struct s3_answer *a);
/* Sets e for an answer that is not 2xx, from status and code; never from the text of the
 * server, which could hold what we sent. Returns -1. */
int s3_error(struct s3 *s, const struct s3_call *c, const struct s3_answer *a,
	const struct aws_keys *k, struct err *e);
/* May the same request succeed later? */
int s3_transient(const struct s3_call *c);

/* --- s3_body.c */

/* A place in a body, for reading it piece by piece. */
struct s3_cursor {
	const struct s3_body *body;
	int i;			/* iov */
	size_t in;		/* offset within it */
	uint64_t left;
};
void s3_cursor_set(struct s3_cursor *c, const struct s3_body *b, uint64_t at);
/* Up to n bytes, in place: *p is set, their number returned; 0 at the end. */
size_t s3_cursor_next(struct s3_cursor *c, const void **p, size_t n);
int s3_body_hash(char out[AWS_HASH_TEXT], const struct s3_body *b, struct err *e);
/* A body of text. */
struct s3_text {
	struct s3_body body;
	struct iovec iov;
};
const struct s3_body *s3_text(struct s3_text *t, const struct buf *b);
/* Text as the content of an XML element. */
void s3_xml_text(struct buf *b, const char *s);
/* Content-MD5 of text, base64, where S3 demands one. */
int s3_md5(char out[32], const struct buf *b, struct err *e);

/* --- operations; contracts in store.h */
int s3_list(struct store *s, const char *prefix, unsigned flags, store_each *each, void *ctx,
	struct err *e);
int s3_stat(struct store *s, const char *name, struct store_item *it, struct err *e);
int s3_get(struct store *s, const char *name, uint64_t off, uint64_t len, struct store_get *g,
	struct err *e);
int s3_put(struct store *s, const char *name, const struct iovec *iov, int n,
	const struct store_put *how, struct err *e);
int s3_del(struct store *s, const char *const *names, size_t n, signed char *states,
	struct err *e);
int s3_sweep(struct store *s, double min_age_s, int dry, store_each *each, void *ctx,
	struct err *e);
int s3_lock(struct store *s, const char *what, struct err *e);
void s3_unlock(struct store *s, const char *what);

/* One request for at most S3_DELETE_MAX objects; ids are versions', or NULL. states as of
 * store_delete(), 0 also for those that were not there; -1: it is not known of any that it
 * was. Versions of one name fail together. */
#define S3_DELETE_MAX 1000
int s3_delete_batch(struct s3 *s, const char *const *names, const char *const *ids, size_t n,
	signed char *states, struct err *e);
/* Whole key of a name; free() it. */
char *s3_key(const struct s3 *s, const char *name, struct err *e);
/* The store as S3. NULL, ERR_USAGE: it is another, and only S3 has what is asked for. */
struct s3 *s3_of(struct store *s, const char *what, struct err *e);
/* Headers for a new object, from header[i] on: storage class (NULL: the server's own),
 * encryption. */
void s3_put_headers(const struct s3 *s, struct s3_call *c, int i, const char *class);
/* One object in parallel parts; excl as in struct store_put. */
int s3_multipart(struct s3 *s, const char *key, const struct s3_body *b, int excl,
	struct err *e);

#endif
