#ifndef CMD_TOOL_H
#define CMD_TOOL_H

#include "base/err.h"

/*
 * What every tool does the same way: name, signals, messages, the accumulated status,
 * the end. First tool_start(), last return tool_end().
 */
extern const char *tool_name;	/* "kvput" */
extern int tool_verbose;	/* -v counts up, -q makes it -1 */

/* INT, TERM, HUP ask for a stop (base/stop); a second one kills. SIGPIPE is ignored: a write
 * error tells; and SIGUSR1, until progress.h takes it up. No core dumps: secrets may be in
 * memory. */
void tool_start(const char *name);

/* A line on stderr, "kvput: text"; note: not with -q; info: only with -v. */
void tool_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void tool_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void tool_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Print e once and note its kind; returns the exit status of the worst so far. With --json also
 * as a kv.error/1 line on stderr. */
int tool_fail(const struct err *e);
/* Note a kind without a word; returns the worst so far as a kind. */
enum err_kind tool_mark(enum err_kind kind);

/* Since tool_start(). */
double tool_seconds(void);

/* Write the metrics that nobody wrote yet, flush and check stdout, give the exit status; dies by
 * SIGPIPE or the stop signal if that is what ended us. */
int tool_end(void);

/* 1: may we write binary to stdout, or read it from stdin? A terminal is refused (ERR_USAGE)
 * unless force. */
int tool_binary_out(int force, struct err *e);
int tool_binary_in(int force, struct err *e);

extern int tool_json;		/* set by --json: errors too are JSON lines */

#endif
