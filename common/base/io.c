#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/stop.h"

/* After a failed call: 1 try again, -1 e is set. */
static int
again(int fd, short events, struct err *e)
{
	const char *what = events == POLLIN ? "read" : "write";
	struct pollfd p = { .fd = fd, .events = events };
	int stop;

	if (errno != EINTR && errno != EAGAIN)
		return err_sys(e, "%s", what);
	if (errno == EAGAIN)	/* somebody else, who has it too, made it non-blocking */
		poll(&p, 1, 250);
	stop = stop_asked();
	return stop && stop != STOP_TIME ?
		err_set(e, ERR_STOPPED, "%s: stopped by a signal", what) : 1;
}

ssize_t
io_read(int fd, void *p, size_t n, struct err *e)
{
	size_t done = 0;

	while (done < n) {
		int slot = stop_wait();
		ssize_t got = read(fd, (char *)p + done, n - done);

		stop_waited(slot);
		if (got < 0) {
			if (again(fd, POLLIN, e) < 0)
				return -1;
			continue;
		}
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

ssize_t
io_pread(int fd, void *p, size_t n, uint64_t off, struct err *e)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(fd, (char *)p + done, n - done, (off_t)(off + done));

		if (got < 0) {
			if (again(fd, POLLIN, e) < 0)
				return -1;
			continue;
		}
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

int
io_write(int fd, const void *p, size_t n, struct err *e)
{
	struct iovec v = { (void *)p, n };

	return io_writev(fd, &v, 1, e);
}

#define PIECE (64u << 10)

/* Regular files are written in pieces, by their place in the file: the page cache takes as large
 * folios as one write fills. Those of 64 KiB come from free memory that is in use again and again;
 * larger ones from large areas, which a virtual machine may have to get from its host first. */
static int
in_pieces(int fd, const struct iovec *iov, int n)
{
	size_t bytes = 0;
	struct stat st;

	while (n > 0 && bytes <= PIECE)
		bytes += iov[--n].iov_len;
	return bytes > PIECE && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		!(fcntl(fd, F_GETFL) & O_DIRECT);
}

int
io_writev(int fd, const struct iovec *iov, int n, struct err *e)
{
	size_t skip = 0;	/* bytes of iov[0] already written */
	int pieces = in_pieces(fd, iov, n);
	off_t at = pieces ? lseek(fd, 0, SEEK_CUR) : 0;

	while (n > 0) {
		size_t left = iov->iov_len - skip, piece = PIECE - (size_t)at % PIECE;
		ssize_t put;
		int slot;

		if (skip == iov->iov_len) {
			iov++, n--, skip = 0;
			continue;
		}
		slot = pieces ? -1 : stop_wait();	/* files do not wait */
		if (skip || pieces)
			put = write(fd, (char *)iov->iov_base + skip,
				pieces && piece < left ? piece : left);
		else
			put = writev(fd, iov, n < 64 ? n : 64);
		stop_waited(slot);
		if (put < 0) {
			if (again(fd, POLLOUT, e) < 0)
				return -1;
			continue;
		}
		skip += (size_t)put;
		at += put;
		while (n > 0 && skip >= iov->iov_len) {
			skip -= iov->iov_len;
			iov++, n--;
		}
	}
	return 0;
}

int
io_pwrite(int fd, const void *p, size_t n, uint64_t off, struct err *e)
{
	size_t done = 0;

	while (done < n) {
		ssize_t put = pwrite(fd, (const char *)p + done, n - done, (off_t)(off + done));

		if (put < 0) {
			if (again(fd, POLLOUT, e) < 0)
				return -1;
			continue;
		}
		done += (size_t)put;
	}
	return 0;
}

static int
ended_early(size_t n, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "the file ended %zu bytes early", n);
}

/* Where the file system knows no splice. */
static int
copy(int to, int from, uint64_t off, size_t n, struct err *e)
{
	size_t cap = n < PIECE ? n : PIECE;
	char *p = malloc(cap);
	int rc = p ? 0 : err_sys(e, "copy");

	while (rc == 0 && n > 0) {
		ssize_t got = io_pread(from, p, n < cap ? n : cap, off, e);

		if (got <= 0)
			rc = got < 0 ? -1 : ended_early(n, e);
		else
			rc = io_write(to, p, (size_t)got, e);
		off += (size_t)got;
		n -= (size_t)got;
	}
	free(p);
	return rc;
}

int
io_splice(int pipe, int file, uint64_t off, size_t n, struct err *e)
{
	loff_t at = (loff_t)off, end = at + (loff_t)n;

	while (at < end) {
		int slot = stop_wait();
		ssize_t put = splice(file, &at, pipe, NULL, (size_t)(end - at), 0);

		stop_waited(slot);
		if (put == 0)
			return ended_early((size_t)(end - at), e);
		if (put < 0 && errno == EINVAL)
			return copy(pipe, file, (uint64_t)at, (size_t)(end - at), e);
		if (put < 0 && again(pipe, POLLOUT, e) < 0)
			return -1;
	}
	return 0;
}

int
io_slurp(const char *path, struct buf *out, size_t max, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t had = out->len;
	ssize_t got;

	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	do {
		char *to = buf_room(out, 65536);

		if (!to) {
			errno = ENOMEM;
			err_sys(e, "read '%s'", path);
			goto fail;
		}
		got = io_read(fd, to, 65536, e);
		if (got < 0) {
			err_in(e, "'%s'", path);
			goto fail;
		}
		out->len += (size_t)got;
		if (out->len - had > max) {
			err_set(e, ERR_USAGE, "read '%s': larger than %zu bytes", path, max);
			goto fail;
		}
	} while (got > 0);
	close(fd);
	return 0;
fail:
	close(fd);
	return -1;
}

int
io_is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

static int
write_into(const char *path, const void *p, size_t n, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	rc = io_write(fd, p, n, e);
	close(fd);
	return rc;
}

int
io_replace(const char *path, const void *p, size_t n, mode_t mode, struct err *e)
{
	char tmp[PATH_MAX];
	int fd;

	if (io_is_special(path))
		return write_into(path, p, n, e);
	if (snprintf(tmp, sizeof(tmp), "%s.XXXXXX", path) >= (int)sizeof(tmp))
		return err_set(e, ERR_USAGE, "write '%s': path too long", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0) {
		err_sys(e, "create '%s'", path);
		return err_named(e);
	}
	if (io_write(fd, p, n, e) < 0) {
		err_in(e, "'%s'", tmp);
		goto unlink_tmp;
	}
	if (fchmod(fd, mode) < 0 || close(fd) < 0) {
		fd = -1;
		err_sys(e, "close '%s'", tmp);
		goto unlink_tmp;
	}
	fd = -1;
	if (rename(tmp, path) == 0)
		return 0;
	err_sys(e, "rename to '%s'", path);
unlink_tmp:
	if (fd >= 0)
		close(fd);
	unlink(tmp);
	return -1;
}

int
io_mkdirs(const char *path, mode_t mode, struct err *e)
{
	char part[PATH_MAX];
	size_t n = strlen(path), i;

	if (n == 0 || n >= sizeof(part))
		return err_set(e, ERR_USAGE, "mkdir '%.100s': bad path", path);
	memcpy(part, path, n + 1);
	for (i = 1; i <= n; i++) {
		if (part[i] != '/' && part[i] != 0)
			continue;
		part[i] = 0;
		if (mkdir(part, mode) < 0 && errno != EEXIST) {
			err_sys(e, "mkdir '%s'", part);
			return err_named(e);
		}
		part[i] = path[i];
	}
	return 0;
}

int
io_is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

void
io_widen_pipe(int fd)
{
	fcntl(fd, F_SETPIPE_SZ, 1 << 20);
}
