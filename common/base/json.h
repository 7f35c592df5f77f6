#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * A strict pull scanner over JSON in memory, for headers that must be read fast and
 * distrusted (safetensors, listings of other programs). No tree is built. RFC 8259,
 * UTF-8 checked, depth at most 16, numbers left as text.
 */
enum json_type {
	JSON_END,		/* nothing left */
	JSON_OBJECT, JSON_OBJECT_END, JSON_ARRAY, JSON_ARRAY_END,
	JSON_NAME,		/* of a member: text */
	JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL
};

struct json {
	const char *begin, *p, *end;
	/* the token: for names and strings the raw text between the quotes, escapes and all;
	 * escaped says whether there are any */
	const char *text;
	size_t len;
	int escaped;
	/* private */
	unsigned char state;
	unsigned char depth;
	unsigned char stack[16];	/* '{' or '[' */
};

void json_open(struct json *j, const void *p, size_t n);

/* The next token's type, or -1 with ERR_CORRUPT ("json: ... at byte N"). */
int json_next(struct json *j, struct err *e);

/* Between members of an object: 1 if the next one is a string, and it and its name are plain text
 * without blanks around them; then that string is the token. 0: ask json_next(). */
int json_plain_pair(struct json *j, const char **name, size_t *len);

/* After JSON_OBJECT, JSON_ARRAY or JSON_NAME: step over the whole value. 0 or -1. */
int json_skip(struct json *j, struct err *e);

/* The current name or string, unescaped, appended to out. -1: \u0000 or a lone surrogate. */
int json_unescape(const struct json *j, struct buf *out, struct err *e);

/* Is the current name or string exactly this? (names with escapes never are) */
int json_is(const struct json *j, const char *text);

#endif
