#ifndef STORE_S3_LIFECYCLE_H
#define STORE_S3_LIFECYCLE_H

#include "base/buf.h"
#include "store/store.h"

/*
 * Rules by which the server itself expires objects (S3 API Reference, PutBucketLifecycle-
 * Configuration). They belong to the bucket, and a bucket has one set: what others
 * put there stays.
 */
#define S3_RULE_OWN "kvtools-"	/* how ids of our rules begin */

struct s3_rule {
	char id[256];
	char prefix[1024];	/* of keys in the bucket; "" all */
	unsigned days;		/* expire objects after; 0: no such action */
	unsigned abort_days;	/* abort multipart uploads never completed after; 0: no */
	int enabled;
};

/* The set as XML, for printing and installing. */
int s3_lifecycle_print(struct buf *out, const struct s3_rule *rules, size_t n, struct err *e);

/* The bucket's set as the server has it, appended to xml: nothing if there is none.
 * ERR_USAGE: the store is no S3 store. */
int s3_lifecycle_get(struct store *s, struct buf *xml, struct err *e);

/* The rules of a set; what we cannot express of them is left out. *rules is the caller's, to
 * be freed. */
int s3_lifecycle_parse(struct s3_rule **rules, size_t *n, const struct buf *xml, struct err *e);

/* Put our rules (ids beginning with S3_RULE_OWN) in place of ours in the set, and keep the
 * others as they are, byte for byte. n 0 takes ours away. Prefixes are of the bucket: see
 * s3_lifecycle_prefix(). Reads the set back: ERR_FAILED if ours are not in it. */
int s3_lifecycle_install(struct store *s, const struct s3_rule *rules, size_t n, struct err *e);

/* What keys of this store begin with: "" or "prefix/". NULL: no S3 store. */
const char *s3_lifecycle_prefix(const struct store *s);

#endif
