#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/stop.h"
#include "metrics.h"
#include "out.h"
#include "tool.h"

const char *tool_name = "kvtools";
int tool_verbose;
int tool_json;

static enum err_kind worst;
static int epipe;
static double started;

/* It has ended a wait: that is all it is for. */
static void
on_wake(int sig)
{
	(void)sig;
}

static void
on_tick(int sig)
{
	int was = errno;

	(void)sig;
	stop_wake();
	errno = was;
}

/* Any thread gets it, but all that wait are to hear of it: they are woken until we end. */
static void
on_signal(int sig)
{
	static const struct itimerval ticks = { .it_value.tv_usec = 1,
		.it_interval.tv_usec = 100000 };
	int before = stop_asked();

	if (before && before != STOP_TIME) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	stop_ask(sig);
	setitimer(ITIMER_REAL, &ticks, NULL);
}

/* Where one of them is closed, what is opened next would take its place, and a message would end
 * in a chunk. What stands there instead cannot be read, or written. */
static void
keep_standard(void)
{
	int fd;

	for (fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			_exit(7);
}

void
tool_start(const char *name)
{
	static const int asks[] = { SIGINT, SIGTERM, SIGHUP };
	const struct sigaction a = { .sa_handler = on_signal }, wake = { .sa_handler = on_wake },
		tick = { .sa_handler = on_tick };
	const struct rlimit none = { 0, 0 };
	size_t i;

	tool_name = name;
	started = clock_mono();
	keep_standard();
	sigaction(SIGURG, &wake, NULL);
	sigaction(SIGALRM, &tick, NULL);
	for (i = 0; i < sizeof(asks) / sizeof(*asks); i++) {
		struct sigaction old;

		/* nohup and background shells have them ignored: so they stay */
		if (sigaction(asks[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
			continue;
		sigaction(asks[i], &a, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);	/* until there is progress to tell */
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
}

static void __attribute__((format(printf, 1, 0)))
say(const char *fmt, va_list ap)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%s: ", tool_name);

	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	out_safe(line, sizeof(line), line);	/* names and reasons are other people's */
	fflush(stdout);		/* what was printed before stands before */
	fprintf(stderr, "%s\n", line);
}

#define SAY(name, level) \
	void \
	name(const char *fmt, ...) \
	{ \
		va_list ap; \
		if (tool_verbose < (level)) \
			return; \
		va_start(ap, fmt); \
		say(fmt, ap); \
		va_end(ap); \
	}

SAY(tool_warn, -9)
SAY(tool_note, 0)
SAY(tool_info, 1)

enum err_kind
tool_mark(enum err_kind kind)
{
	worst = err_worst(worst, kind);
	return worst;
}

int
tool_fail(const struct err *e)
{
	struct buf b = { 0 };

	if (e->kind == ERR_FAILED && e->sys == EPIPE)
		epipe = 1;
	if (e->sys == EPIPE && e->kind == ERR_TEMP && !strncmp(e->text, "write", 5))
		epipe = 1;
	if (!epipe && e->kind != ERR_STOPPED) {
		if (tool_json) {
			buf_printf(&b, "{\"schema\":\"kv.error/1\",\"tool\":\"%s\",\"kind\":\"%s\","
				"\"error\":", tool_name, err_word(e->kind));
			buf_json(&b, e->text, strlen(e->text));
			buf_str(&b, "}\n");
			fwrite(b.p, 1, b.len, stderr);
			buf_free(&b);
		} else {
			tool_warn("%s", e->text);
		}
	}
	return err_status(tool_mark(e->kind));
}

double
tool_seconds(void)
{
	return clock_mono() - started;
}

int
tool_end(void)
{
	int sig = stop_asked();

	metrics_rest();
	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout)) {
		if (errno == EPIPE) {
			epipe = 1;
		} else {
			tool_warn("write to standard output: %s", strerror(errno ? errno : EIO));
			tool_mark(ERR_FAILED);
		}
	}
	if (epipe)
		sig = SIGPIPE;
	if (sig) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	return err_status(worst);
}

int
tool_binary_out(int force, struct err *e)
{
	if (force || !isatty(STDOUT_FILENO))
		return 0;
	return err_set(e, ERR_USAGE, "will not write binary data to a terminal; redirect it, or "
		"use -f");
}

int
tool_binary_in(int force, struct err *e)
{
	if (force || !isatty(STDIN_FILENO))
		return 0;
	return err_set(e, ERR_USAGE, "standard input is a terminal; give it a stream, or use -f");
}
