#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "store/s3_lifecycle.h"
#include "store/s3_listing.h"

/* What a server answers: a listing, and a set of lifecycle rules. */

static int
each(void *ctx, const struct store_item *it, struct err *e)
{
	(void)e;
	if (!it->name || !*it->name || strlen(it->name) > 1 << 20)
		abort();
	return ++*(int *)ctx > 100;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct s3_page page = { .prefix = "p/", .n_prefix = 2, .each = each };
	struct buf text = { 0 };
	struct s3_rule *rules;
	size_t n_rules;
	int told = 0;

	if (buf_add(&text, p, n) < 0 || !buf_room(&text, 1))
		goto done;
	if (s3_lifecycle_parse(&rules, &n_rules, &text, NULL) == 0)
		free(rules);
	page.ctx = &told;
	s3_page_read(&page, text.p, text.len, NULL);
	s3_page_free(&page);
done:
	buf_free(&text);
	return 0;
}
