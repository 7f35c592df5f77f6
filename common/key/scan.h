#ifndef KEY_SCAN_H
#define KEY_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* As much of JSON as lists of tokens and hashes need, over bytes in memory. All that
 * fail return -1 with ERR_CORRUPT and "WHAT: byte N: reason". */
struct scan {
	const char *what;
	const char *start, *p, *end;
};

int scan_fail(const struct scan *s, const char *reason, struct err *e);
void scan_space(struct scan *s);
/* 1 and behind it if this character comes next after space, else 0. */
int scan_is(struct scan *s, char c);
/* The next character after space, or 0 at the end. */
char scan_peek(struct scan *s);

/* A whole number 0 to 2^32-1. */
int scan_u32(struct scan *s, uint32_t *v, struct err *e);
/* A string: *text and *n are what lies between the quotes, escapes not undone. */
int scan_string(struct scan *s, const char **text, size_t *n, struct err *e);
/* Any value, at most 64 deep, without looking at it. */
int scan_skip(struct scan *s, struct err *e);
/* In a list or object that was opened: 1 another item, 0 it is closed, -1. first: none
 * was read yet. */
int scan_more(struct scan *s, char close, int first, struct err *e);
/* Opens an object and goes to the value of the one member that is named so among names
 * (NULL ends). -1 if there is none. */
int scan_member(struct scan *s, const char *const *names, struct err *e);
/* The rest of the object that scan_member() opened: no second such member. */
int scan_members_end(struct scan *s, const char *const *names, struct err *e);

#endif
