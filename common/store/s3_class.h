#ifndef STORE_S3_CLASS_H
#define STORE_S3_CLASS_H

#include "store/store.h"

/* Move an object to another storage class: it is copied onto itself by the server, which then
 * calls it written just now (S3 API Reference, CopyObject; Ceph 16.2.15 as tried).
 * ERR_USAGE: no S3 store, or no such class there. ERR_ABSENT: no such object. */
int s3_class_set(struct store *s, const char *name, const char *class, struct err *e);

#endif
