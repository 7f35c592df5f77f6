#ifndef INDEX_IMPORT_H
#define INDEX_IMPORT_H

#include "index/index.h"

/*
 * Other programs' logs as accesses: what nobody noted in the index while a bucket was used
 * by engines alone.
 *
 * rgw: the operations log of Ceph's radosgw, JSON objects, one a line or in one array (Ceph,
 *	src/rgw/rgw_log.cc, rgw_format_ops_log_entry; the object's name is in "uri" alone).
 * s3:	S3 server access log lines, and Ceph's bucket logging in that form (Amazon S3 User
 *	Guide, "Server access log format").
 * lookup: LMCache's lookup-hash JSONL (LMCache 2a7468a7,
 *	lmcache/v1/mp_observability/subscribers/logging/lookup_hash.py): hashes of a request
 *	in order, so that it tells parents too.
 * own:	kv.access/1 (kvstat-sim(1): requests as well), kv.audit/1 and kv.index/1 lines of our
 *	tools.
 */
enum import_form { IMPORT_AUTO, IMPORT_RGW, IMPORT_S3, IMPORT_LOOKUP, IMPORT_OWN };

/* By word: "auto", "rgw", "s3", "lookup", "own"; -1 with ERR_USAGE. */
int import_form(const char *word, enum import_form *out, struct err *e);

struct import_where {
	enum import_form form;	/* AUTO: each line shows */
	const char *bucket;	/* NULL: whatever bucket stands there */
	const char *prefix;	/* of the store in its bucket, cut off names; "" */
};

enum import_what { IMPORT_USE, IMPORT_PUT, IMPORT_DELETE };

struct import_event {
	enum import_what what;
	const char *name;	/* or NULL, and then */
	const char *hash;	/* of the chunk, in lower-case hex without leading zeros */
	const char *parent;	/* the same; "-": a root */
	uint32_t depth;
	uint64_t n, size;
	int64_t at_s;
	const struct index_entry *entry;	/* PUT of one of our own lines, or NULL */
};

/* Reads one line, calling each() for each thing it says: 1 if it said something, 0 if it
 * concerns no object of ours (another bucket, a listing, a failed request), -1 with
 * ERR_CORRUPT if it is no such line, or with what each() failed with. Texts live until
 * each() returns. */
typedef int import_fn(void *ctx, const struct import_event *ev, struct err *e);
int import_line(const struct import_where *w, const char *line, size_t n, import_fn *each,
	void *ctx, struct err *e);

/* A whole import into an index. Uses are added: a log read twice counts twice. Lines
 * that are none of the form are counted and left out. */
struct import;
struct import_counts {
	uint64_t lines, uses, puts, deletes;
	uint64_t other;		/* lines that concern no object of ours */
	uint64_t bad;		/* lines that make no sense */
	uint64_t unknown;	/* uses of hashes of which the index has no object */
};
int import_open(struct import **out, struct index *ix, const struct import_where *w,
	struct err *e);
int import_add(struct import *im, const char *line, size_t n, struct err *e);
/* Writes the rest; im is freed in any case. */
int import_close(struct import *im, struct import_counts *out, struct err *e);

#endif
