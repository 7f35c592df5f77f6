#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/s3.h"
#include "store/s3_versions.h"

/* Pages of a listing of versions, and then an answer to deleting what they name. The requests are
 * ours: each gets the bytes up to the next form feed, and none when they are at an end. */

#define NAMES 64

static const char *input;
static size_t left;

struct found {
	char *name[NAMES], *id[NAMES];
	size_t n;
};

int
s3_do(struct s3 *s, struct s3_call *c, struct err *e)
{
	const char *end = left ? memchr(input, '\f', left) : NULL;
	size_t n = end ? (size_t)(end - input) : left;

	(void)s;
	if (!left)
		return err_set(e, ERR_TEMP, "no more");
	if (buf_add(c->text, input, n) < 0)
		abort();
	n += end != NULL;
	input += n;
	left -= n;
	return 0;
}

static int
each(void *ctx, const struct s3_version *v, struct err *e)
{
	struct found *f = ctx;

	(void)e;
	if (!*v->name || !*v->id || v->size > INT64_MAX)
		abort();
	f->name[f->n] = strdup(v->name);
	f->id[f->n] = strdup(v->id);
	return ++f->n == NAMES;
}

/* What did not answer, or not so that it can be understood, has deleted nothing. */
static void
delete(struct store *s, const struct found *f)
{
	signed char states[NAMES];
	struct err e;
	size_t i, failed = 0;
	int rc = s3_versions_delete(s, (const char *const *)f->name, (const char *const *)f->id,
		f->n, states, &e);

	for (i = 0; i < f->n; i++)
		failed += states[i] < 0;
	if ((rc < 0) != (failed > 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static char prefix[] = "p/", bucket[] = "b";
	struct s3 s = { .base.ops = &store_s3, .prefix = prefix, .bucket = bucket };
	struct found f = { .n = 0 };
	struct err e;

	input = (const char *)p;
	left = n;
	s3_versions_each(&s.base, each, &f, &e);
	if (f.n)
		delete(&s.base, &f);
	while (f.n > 0) {
		free(f.name[--f.n]);
		free(f.id[f.n]);
	}
	return 0;
}
