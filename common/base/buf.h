#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/*
 * A growing run of bytes: text being built, an array of any type, a message.
 * Zero is a valid empty buffer. Failure to grow is sticky: fail is set, later
 * additions do nothing, and one check at the end suffices.
 */
struct buf {
	char *p;
	size_t len;
	size_t cap;
	int fail;
};

void buf_free(struct buf *b);			/* safe on zero; zeroes it */
void *buf_room(struct buf *b, size_t n);	/* n free bytes at the end; len unchanged */
int buf_add(struct buf *b, const void *p, size_t n);	/* 0 or -1 */
int buf_str(struct buf *b, const char *s);
int buf_chr(struct buf *b, char c);
int buf_u64(struct buf *b, uint64_t v);		/* decimal */
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes: control characters, '"' and '\' escaped, bytes
 * that are not UTF-8 replaced by U+FFFD so that the output always parses. */
int buf_json(struct buf *b, const char *s, size_t n);

/* Length of the well-formed UTF-8 character at s (n > 0 bytes), or 0. */
size_t utf8_len(const void *s, size_t n);

/* Lower-case hex of n bytes. */
int buf_hex(struct buf *b, const void *p, size_t n);

/* The text, NUL-terminated (not counted in len), or NULL when out of memory. */
char *buf_text(struct buf *b);

/* n bytes from 2n hex digits (either case); -1 if a digit is none. */
int hex_read(void *out, const char *hex, size_t n);
/* 2n lower-case digits and a NUL into out. */
void hex_write(char *out, const void *p, size_t n);

#endif
