#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "opts.h"
#include "progress.h"
#include "tool.h"

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
	int running, stop, bar_shown;
	void (*look)(void *ctx, struct progress_now *now);
	void *ctx;
	double start;
} p = { .lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER };

static atomic_int asked;

static void
on_usr1(int sig)
{
	(void)sig;
	atomic_store(&asked, 1);
}

static int
is_plain(void)
{
	return !strcmp(opts_common.progress, "plain");
}

static int
is_json(void)
{
	return !strcmp(opts_common.progress, "json");
}

/* A foreground terminal? */
static int
wants_bar(void)
{
	return !strcmp(opts_common.progress, "auto") && opts_common.progress_fd < 0 &&
		tool_verbose >= 0 && isatty(STDERR_FILENO) && tcgetpgrp(STDERR_FILENO) == getpgrp();
}

static int
line_text(char *out, size_t size)
{
	struct progress_now n = { .buffer = -1 };
	char in[NUM_TEXT], to[NUM_TEXT], done[NUM_TEXT], count[NUM_TEXT], eta[NUM_TEXT];
	char fill[32] = "";
	double s = clock_mono() - p.start, left = 0;

	p.look(p.ctx, &n);
	if (s < 0.001)
		s = 0.001;
	num_rate_text(in, (double)n.bytes_in / s);
	num_rate_text(to, (double)n.bytes_out / s);
	num_size_text(done, n.bytes_in);
	if (n.buffer >= 0)
		snprintf(fill, sizeof(fill), "  buffer %d%%", n.buffer);
	if (n.bytes_total > n.bytes_in && n.bytes_in)
		left = s * (double)(n.bytes_total - n.bytes_in) / (double)n.bytes_in;
	if (is_json())
		return snprintf(out, size, "{\"schema\":\"kv.progress/1\",\"seconds\":%.1f,"
			"\"chunks\":%" PRIu64 ",\"chunks_total\":%" PRIu64 ",\"bytes_in\":%" PRIu64
			",\"bytes_out\":%" PRIu64 ",\"skipped\":%" PRIu64 "}", s, n.chunks,
			n.chunks_total, n.bytes_in, n.bytes_out, n.skipped);
	if (n.chunks_total)
		return snprintf(out, size, "%s: %" PRIu64 "/%" PRIu64 " chunks  %s  in %s"
			"  out %s%s  skipped %" PRIu64 "  ETA %s", tool_name, n.chunks,
			n.chunks_total, done, in, to, fill, n.skipped,
			num_duration_text(eta, left));
	return snprintf(out, size, "%s: %s  %s  in %s  out %s%s  skipped %" PRIu64, tool_name,
		num_count_text(count, n.chunks, "chunk"), done, in, to, fill, n.skipped);
}

static void
emit(int bar)
{
	char text[400];
	int n = line_text(text, sizeof(text) - 8);
	int fd = opts_common.progress_fd >= 0 ? opts_common.progress_fd : STDERR_FILENO;

	if (bar)
		fprintf(stderr, "\r\033[K%s", text);
	else if (dprintf(fd, "%.*s\n", n, text) < 0)
		opts_common.progress_fd = -1;	/* the reader is gone: that is no failure of ours */
	p.bar_shown = bar;
}

static void *
ticker(void *arg)
{
	int bar = wants_bar(), lines = is_plain() || is_json() || opts_common.progress_fd >= 0;
	double last = p.start;

	(void)arg;
	pthread_mutex_lock(&p.lock);
	while (!p.stop) {
		struct timespec t;
		double now;

		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_nsec += 250000000;
		t.tv_sec += t.tv_nsec / 1000000000;
		t.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&p.change, &p.lock, &t);
		now = clock_mono();
		if (p.stop)
			break;
		if (atomic_exchange(&asked, 0))
			emit(0);
		else if (bar && now - p.start > 1 && now - last > 0.4)
			emit(1), last = now;
		else if (lines && now - last >= (opts_common.progress_fd >= 0 ? 1 : 2))
			emit(0), last = now;
	}
	pthread_mutex_unlock(&p.lock);
	return NULL;
}

void
progress_start(void (*look)(void *ctx, struct progress_now *now), void *ctx)
{
	struct sigaction a = { .sa_handler = on_usr1, .sa_flags = SA_RESTART };

	sigaction(SIGUSR1, &a, NULL);
	p.look = look;
	p.ctx = ctx;
	p.start = clock_mono();
	p.stop = 0;
	p.running = pthread_create(&p.thread, NULL, ticker, NULL) == 0;
}

void
progress_stop(void)
{
	if (!p.running)
		return;
	pthread_mutex_lock(&p.lock);
	p.stop = 1;
	pthread_cond_broadcast(&p.change);
	pthread_mutex_unlock(&p.lock);
	pthread_join(p.thread, NULL);
	p.running = 0;
	if (p.bar_shown)
		fprintf(stderr, "\r\033[K");
}
