#include <stdlib.h>
#include <string.h>

#include "base/xml.h"
#include "store/s3.h"
#include "store/s3_class.h"

static int
take_result(void *ctx, const char *path, const char *text, struct err *e)
{
	(void)text, (void)e;
	*(int *)ctx |= !strcmp(path, "CopyObjectResult");
	return 0;
}

/* The answer begins before the copy is made: 200 may have an error in it. */
static int
copy(struct s3 *s, struct s3_call *c, struct err *e)
{
	int copied = 0;

	if (s3_do(s, c, e) < 0) {
		if (e && (!strcmp(c->code, "InvalidStorageClass") ||
		    !strcmp(c->code, "InvalidArgument")))
			e->kind = ERR_USAGE;
		return -1;
	}
	if (!c->text->len || !buf_room(c->text, 1) ||
	    xml_scan(c->text->p, c->text->len, take_result, &copied, e) < 0 || !copied)
		return err_set(e, ERR_TEMP, "the server could not copy it");
	return 0;
}

int
s3_class_set(struct store *base, const char *name, const char *class, struct err *e)
{
	struct s3 *s = s3_of(base, "storage classes", e);
	struct buf source = { 0 }, text = { 0 };
	struct s3_call c = { .method = "PUT", .text = &text };
	char *key;
	int rc = -1;

	key = s ? s3_key(s, name, e) : NULL;
	if (!key)
		return -1;
	buf_printf(&source, "/%s/", s->bucket);
	uri_encode(&source, key, strlen(key), "/");
	if (!buf_text(&source)) {
		err_set(e, ERR_FAILED, "out of memory");
		goto done;
	}
	c.key = key;
	c.header[0] = (struct s3_pair){ "x-amz-copy-source", source.p };
	s3_put_headers(s, &c, 1, class);
	rc = copy(s, &c, e);
done:
	buf_free(&source);
	buf_free(&text);
	free(key);
	return rc < 0 ? err_in(e, "to %s: '%.200s'", class, name) : 0;
}
