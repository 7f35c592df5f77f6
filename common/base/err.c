#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

/* One row a kind: exit status, severity, word. */
static const struct {
	int status;
	int severity;
	const char *word;
} kinds[ERR_KINDS] = {
	[ERR_NONE]    = { 0, 0, "ok" },
	[ERR_ABSENT]  = { 1, 1, "no" },
	[ERR_PARTIAL] = { 3, 2, "partial" },
	[ERR_TEMP]    = { 5, 3, "temporary" },
	[ERR_REFUSED] = { 6, 4, "refused" },
	[ERR_FAILED]  = { 7, 5, "failed" },
	[ERR_STOPPED] = { 7, 6, "stopped" },
	[ERR_CORRUPT] = { 4, 7, "corrupt" },
	[ERR_USAGE]   = { 2, 8, "usage" },
};

int
err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	e->kind = kind;
	e->sys = 0;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -1;
}

enum err_kind
err_kind_of(int sys)
{
	switch (sys) {
	case ENOENT:
		return ERR_ABSENT;
	case EACCES: case EPERM: case EROFS:
		return ERR_REFUSED;
	case EAGAIN: case EBUSY: case ETIMEDOUT: case ECONNREFUSED: case ECONNRESET:
	case ECONNABORTED: case EHOSTUNREACH: case ENETUNREACH: case ENETDOWN: case ESTALE:
	case EPIPE:
		return ERR_TEMP;
	case ENOTDIR: case EISDIR: case ENAMETOOLONG: case ELOOP:
		return ERR_USAGE;
	default:
		return ERR_FAILED;
	}
}

int
err_sys(struct err *e, const char *fmt, ...)
{
	int sys = errno;
	size_t n;
	va_list ap;

	if (!e)
		return -1;
	e->kind = err_kind_of(sys);
	e->sys = sys;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerrordesc_np(sys));
	return -1;
}

int
err_in(struct err *e, const char *fmt, ...)
{
	char inner[sizeof(e->text)];
	size_t n;
	va_list ap;

	if (!e)
		return -1;
	memcpy(inner, e->text, sizeof(inner));
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", inner);
	return -1;
}

int
err_named(struct err *e)
{
	if (e && e->kind == ERR_ABSENT)
		e->kind = ERR_USAGE;
	return -1;
}

int
err_is_local(const struct err *e)
{
	return e->sys == EACCES || e->sys == EIO;
}

int
err_status(enum err_kind kind)
{
	return kind < ERR_KINDS ? kinds[kind].status : 7;
}

const char *
err_word(enum err_kind kind)
{
	return kind < ERR_KINDS ? kinds[kind].word : "failed";
}

enum err_kind
err_worst(enum err_kind a, enum err_kind b)
{
	return kinds[a].severity >= kinds[b].severity ? a : b;
}
