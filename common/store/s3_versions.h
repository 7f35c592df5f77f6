#ifndef STORE_S3_VERSIONS_H
#define STORE_S3_VERSIONS_H

#include "store/store.h"

/*
 * What a bucket keeps behind its objects: with versioning, a delete only lays a marker over an
 * object, and a put hides the version before it (S3 API Reference, ListObjectVersions and
 * DeleteObjects; Ceph 16.2.15 as tried).
 */
struct s3_version {
	const char *name;
	const char *id;
	uint64_t size;
	int64_t mtime_s;
	int latest;		/* what the name stands for now */
	int marker;		/* a delete marker: the name has no object, or had none then */
	int own;		/* of an object of ours that listings leave out (a lock) */
};

/* Every version of every name in the store, our own objects' too; those of a name together,
 * the newest first. each() as for store_list(). ERR_USAGE: no S3 store. */
typedef int s3_version_fn(void *ctx, const struct s3_version *v, struct err *e);
int s3_versions_each(struct store *s, s3_version_fn *each, void *ctx, struct err *e);

/* Delete n versions for good, whatever lies over them. states as of store_delete(). */
int s3_versions_delete(struct store *s, const char *const *names, const char *const *ids,
	size_t n, signed char *states, struct err *e);

#endif
