#ifndef BASE_ERR_H
#define BASE_ERR_H

/*
 * Errors are values. A function that can fail returns 0 or -1 (a pointer or
 * NULL) and takes a struct err *, last, which lives in the caller. Nothing in
 * common/ prints or exits. The kinds are the exit statuses of the tools:
 * err_status() is the one table of both.
 */
enum err_kind {
	ERR_NONE,
	ERR_ABSENT,	/* the answer is no: no such chunk, chain broken, differs */
	ERR_USAGE,	/* wrong usage or configuration */
	ERR_PARTIAL,	/* some done, some failed */
	ERR_CORRUPT,	/* corrupt, truncated or foreign data */
	ERR_TEMP,	/* unreachable, throttled, locked: retry later */
	ERR_REFUSED,	/* guard, quota, permission */
	ERR_FAILED,	/* disk full, I/O, memory, a bug */
	ERR_STOPPED,	/* a signal asked us to stop */
	ERR_KINDS
};

struct err {
	enum err_kind kind;
	int sys;		/* errno, or 0 */
	char text[400];		/* lower case, no full stop, no secrets */
};

/* Set e; the text is "operation 'subject': reason". Always returns -1.
 * e may be NULL: the caller does not care why. */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with kind and reason taken from errno. */
int err_sys(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Going out: puts "context: " before the text. Always returns -1. */
int err_in(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* e is about something that was named, and had to be there: absent is wrong usage then, and
 * no answer. Always returns -1. */
int err_named(struct err *e);

/* Is e of one object alone, and says nothing of those beside it? No permission to read it
 * (EACCES), a bad sector (EIO). */
int err_is_local(const struct err *e);

/* Kind of an errno value: ENOSPC is failed, EACCES refused, ENOENT absent. */
enum err_kind err_kind_of(int sys);

/* Exit status of a kind (0-7; ERR_STOPPED is 7 unless a signal is known). */
int err_status(enum err_kind kind);

/* One word for machines: "ok", "absent", "usage", "partial", "corrupt", ... */
const char *err_word(enum err_kind kind);

/* The more severe of two: 4 > 7 > 6 > 5 > 3 > 1 > 0; 2 ends a run before it begins
 * and so is above all. */
enum err_kind err_worst(enum err_kind a, enum err_kind b);

#endif
