#ifndef BASE_IO_H
#define BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/err.h"

/* Whole transfers over short reads, short writes, EINTR and non-blocking pipes. A stop signal
 * (base/stop) that arrives while waiting ends them with ERR_STOPPED. */

/* Reads until n bytes or end of file; returns how many, or -1. */
ssize_t io_read(int fd, void *p, size_t n, struct err *e);
ssize_t io_pread(int fd, void *p, size_t n, uint64_t off, struct err *e);
/* Write all of it: 0 or -1. */
int io_write(int fd, const void *p, size_t n, struct err *e);
int io_writev(int fd, const struct iovec *iov, int n, struct err *e);
int io_pwrite(int fd, const void *p, size_t n, uint64_t off, struct err *e);

/* n bytes of a file from off on into a pipe, without a copy of them where the kernel can: then the
 * pipe has the file's own pages, and who writes to them in place changes what it has.
 * ERR_CORRUPT: the file ends before. */
int io_splice(int pipe, int file, uint64_t off, size_t n, struct err *e);

/* A whole file into out (appended), at most max bytes: larger is ERR_USAGE. */
int io_slurp(const char *path, struct buf *out, size_t max, struct err *e);

/* Make path hold exactly these bytes, or leave it as it was: temporary file beside
 * it, then rename. For metrics, manifests, ready files. A device or pipe (/dev/null) is
 * written to, never replaced. */
int io_replace(const char *path, const void *p, size_t n, mode_t mode, struct err *e);

/* Is path there, and not a regular file: something that must not be replaced by rename? */
int io_is_special(const char *path);

/* mkdir -p; existing is fine. */
int io_mkdirs(const char *path, mode_t mode, struct err *e);

int io_is_pipe(int fd);
/* Bigger buffer for a pipe, as far as the system allows; no error if it does not. */
void io_widen_pipe(int fd);

#endif
