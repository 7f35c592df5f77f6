#ifndef CONF_INI_H
#define CONF_INI_H

#include "base/err.h"

/*
 * The INI dialect of our own file and of the AWS files: [section], name = value (or
 * name: value), whole-line comments with # or ;, nothing quoted. An indented line under
 * a name without a value belongs to it: "s3 =" and then "  endpoint_url = x" is the name
 * "s3.endpoint_url". As Python's configparser, which aws-cli 2.9 uses, there are
 * no comments behind a value. (libinih 55 as Debian builds it cuts lines at 200 bytes;
 * a session token has more, and it tells no line numbers.)
 */

/* Calls each() for every setting of the file, in its order; section is "" before the first.
 * each() returns -1 with e set to fail. Returns 0; 1 if there is no such file; -1 with
 * ERR_USAGE for a line that is none of the above ("PATH:LINE: ..."; the line itself
 * is not quoted, it may be a secret) or a file over 1 MiB. */
typedef int ini_each(void *ctx, const char *section, const char *name, const char *value,
	int line, struct err *e);
int ini_read(const char *path, ini_each *each, void *ctx, struct err *e);

/* The same for text in memory; it is taken apart. path is for messages. */
int ini_parse(char *text, const char *path, ini_each *each, void *ctx, struct err *e);

#endif
