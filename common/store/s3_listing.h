#ifndef STORE_S3_LISTING_H
#define STORE_S3_LISTING_H

#include "base/buf.h"
#include "store/store.h"

#define S3_TOKEN_LEN 2048	/* continuation tokens are compared up to here */

/* A listing while its pages come. Fill the first part, zero the rest. */
struct s3_page {
	const char *prefix;	/* of the store: cut off the keys */
	size_t n_prefix;
	store_each *each;
	void *ctx;

	int more;		/* out: there is another page, */
	struct buf token;	/* out: after this continuation token */
	int enough;		/* out: each() wanted no more */
	int whole;		/* it is such an answer */

	struct buf key;		/* of the element being read */
	uint64_t size;
	int64_t mtime;
	char class[64];
};

/* Read one answer to ListObjectsV2 with encoding-type=url; text must have room for one byte
 * more and is taken apart. ERR_CORRUPT: not such an answer; what came before was told. */
int s3_page_read(struct s3_page *p, char *text, size_t n, struct err *e);
void s3_page_free(struct s3_page *p);

/* A percent-coded text of a listing, in place of what out held. ERR_CORRUPT. */
int s3_listing_text(struct buf *out, const char *text, struct err *e);

#endif
