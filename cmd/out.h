#ifndef CMD_OUT_H
#define CMD_OUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Results on stdout. One table of columns gives the aligned text for people, tab-separated
 * text for scripts (no header when not a terminal), and NDJSON with a schema: text and
 * JSON always hold the same fields.
 */
enum out_type {
	OUT_TEXT,	/* .s, NULL is "-" and null */
	OUT_COUNT,	/* .u; OUT_NONE is "-" and null */
	OUT_NUMBER,	/* .d; NaN is "-" and null; out_digits decimals in text */
	OUT_SIZE,	/* .u bytes: "32 MiB" in text for a terminal, bytes elsewhere */
	OUT_AGE,	/* .d seconds: "4h12m"; NaN: "-" */
	OUT_TIME,	/* .i seconds since 1970, RFC 3339; 0: "-" */
	OUT_SHARE,	/* .d 0..1: "38.1 %"; NaN "-" */
};
#define OUT_NONE UINT64_MAX

struct out_col {
	const char *head;	/* "TOKENS" */
	const char *name;	/* "tokens": JSON key */
	enum out_type type;
	int wide;		/* 1: text only with -o wide; 2: never in text, JSON alone */
	int digits;		/* OUT_NUMBER */
};

union out_value {
	const char *s;
	uint64_t u;
	int64_t i;
	double d;
};

struct out;

/* schema: "kv.ls/1". Rows are held back until widths are known only on a terminal or when
 * text is aligned; NDJSON and tsv go out at once. name_col: the column that -o name prints. */
struct out *out_open(const char *schema, const struct out_col *cols, int n_cols, int name_col);
void out_row(struct out *o, const union out_value *v);
/* n rows made by several threads: row(o, i, ctx) calls out_row(o) for the i-th, with the o that it
 * is given. They come out in order. */
typedef void out_make(struct out *o, size_t i, void *ctx);
void out_rows(struct out *o, size_t n, out_make *row, void *ctx);
void out_close(struct out *o);	/* an empty table has no head */

/* One NDJSON object for summaries: pairs as JSON text already; "kv.summary/1" and the exit
 * word are added. Only with --json. To stderr when stdout carries data (to_stderr). */
void out_summary(const char *tool, const char *members, int to_stderr);

/* Is text for people wanted on stdout? (a terminal, no --json, no -o tsv|name) */
int out_human(void);

/* A name from outside, with control characters replaced, for messages. */
const char *out_safe(char *buf, uint64_t size, const char *text);

#endif
