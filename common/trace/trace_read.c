#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "trace/trace.h"

#define PIECE (64u << 10)		/* stays in the core's cache */
#define FIRST_PIECE (4u << 10)		/* for who follows to begin with */
#define LINE_MAX_BYTES (1ull << 30)
#define SLACK 8				/* trace_line() may look so far behind a line */

/* All whole lines of the n bytes at p, at the end of the file the last one too; returns
 * how many bytes they are, or -1. */
static ssize_t
lines(struct trace *t, const char *p, size_t n, int last, size_t *number, struct err *e)
{
	const char *from = p, *end = p + n;

	while (p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));

		if (!stop && !last)
			break;
		if (!stop)
			stop = end;
		++*number;
		if (trace_line(t, p, (size_t)(stop - p), e) < 0)
			return -1;
		p = stop < end ? stop + 1 : end;
	}
	return p - from;
}

static int
read_all(struct trace *t, int fd, struct buf *b, size_t *number, struct err *e)
{
	for (size_t piece = FIRST_PIECE;; piece = PIECE) {
		size_t want = b->len < piece / 2 ? piece - b->len : b->len;
		char *to = buf_room(b, want + SLACK);
		ssize_t n, used;

		if (!to)
			return err_set(e, ERR_FAILED, "out of memory");
		if (b->len > LINE_MAX_BYTES)
			return err_set(e, ERR_CORRUPT, "a line without end");
		n = io_read(fd, to, want, e);
		if (n < 0)
			return -1;
		b->len += (size_t)n;
		used = lines(t, b->p, b->len, (size_t)n < want, number, e);
		if (used < 0)
			return -1;
		trace_ready(t);
		b->len -= (size_t)used;
		memmove(b->p, b->p + used, b->len);
		if ((size_t)n < want || atomic_load(&t->abandoned))
			return 0;
	}
}

int
trace_read(struct trace *t, const char *path, struct err *e)
{
	int own = strcmp(path, "-") != 0;
	int fd = own ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	struct buf b = { 0 };
	size_t number = 0;
	int r;

	if (fd < 0) {
		err_sys(e, "open '%s'", path);
		return err_named(e);
	}
	r = read_all(t, fd, &b, &number, e);
	if (r < 0)
		err_in(e, "%s:%zu", path, number);
	buf_free(&b);
	if (own)
		close(fd);
	return r;
}
