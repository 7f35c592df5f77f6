#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/held.h"
#include "base/io.h"
#include "base/num.h"
#include "base/stop.h"
#include "store/file.h"
#include "store/ops.h"

/*
 * A directory. An object is written to ".NAME.HOST.PID.SEQ.tmp" beside its place and renamed,
 * so that nothing half-written is ever seen, on NFS too. Whatever begins with '.' is not
 * listed; what ends in ".tmp" (other engines' temporaries as well) is litter by age, and
 * what ends in FILE_HELD at once, when its writer is dead.
 */
#define PIECE (512u << 10)	/* what seen() looks at is still in the cache */

struct file_store {
	struct store base;	/* first: a struct store * is one of these */
	int dir;
	int holds;		/* temporaries are held while they are written */
	uint64_t limit;		/* shm:NAME?size= ; 0 none */
	atomic_uint seq;
	char host[64];
};

static struct file_store *
of(struct store *s)
{
	return (struct file_store *)s;
}

int
file_open_dir(struct store **out, const char *path, uint64_t limit, const struct store_opts *o,
	struct err *e)
{
	struct file_store *f = calloc(1, sizeof(*f));

	if (!f)
		return err_sys(e, "open");
	if ((o->flags & STORE_CREATE) && io_mkdirs(path, 0777, e) < 0)
		goto free_f;
	f->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dir < 0) {
		err_sys(e, "open directory '%s'", path);
		if (e && (errno == ENOENT || errno == ENOTDIR))
			e->kind = ERR_USAGE;
		goto free_f;
	}
	f->holds = held_here(f->dir);
	f->limit = limit;
	if (gethostname(f->host, sizeof(f->host) - 1) < 0 || strchr(f->host, '/'))
		strcpy(f->host, "host");
	*out = &f->base;
	return 0;
free_f:
	free(f);
	return -1;
}

static int
file_open(struct store **out, const struct uri *u, const struct store_opts *o, struct err *e)
{
	static const char *const args[] = { "dialect", "fsync", NULL };

	if (uri_check_args(u, args, e) < 0)
		return -1;
	if (*u->host && strcmp(u->host, "localhost") != 0)
		return err_set(e, ERR_USAGE, "file://%s: a directory on another host", u->host);
	return file_open_dir(out, u->path, 0, o, e);
}

static int
shm_open_store(struct store **out, const struct uri *u, const struct store_opts *o, struct err *e)
{
	static const char *const args[] = { "dialect", "size", NULL };
	const char *size = uri_arg(u, "size");
	char path[300];
	uint64_t limit = 0;

	if (uri_check_args(u, args, e) < 0)
		return -1;
	if (!*u->path || strchr(u->path, '/') || u->path[0] == '.' || strlen(u->path) > 200)
		return err_set(e, ERR_USAGE, "shm:NAME: a name without '/'");
	if (size && num_size(&limit, size, "size", e) < 0)
		return -1;
	snprintf(path, sizeof(path), "/dev/shm/kvtools-%s", u->path);
	return file_open_dir(out, path, limit, o, e);
}

static void
file_close(struct store *s)
{
	close(of(s)->dir);
	free(s);
}

void
file_item(struct store_item *it, const struct stat *st)
{
	it->size = (uint64_t)st->st_size;
	it->mtime_ns = st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
	it->atime_ns = st->st_atim.tv_sec * INT64_C(1000000000) + st->st_atim.tv_nsec;
}

static int
file_stat(struct store *s, const char *name, struct store_item *it, struct err *e)
{
	struct stat st;

	if (fstatat(of(s)->dir, name, &st, 0) < 0) {
		if (errno == ENOTDIR)
			errno = ENOENT;
		return err_sys(e, "'%s'", name);
	}
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_ABSENT, "'%s': not a file", name);
	file_item(it, &st);
	return 0;
}

/* O_DIRECT wants aligned memory, lengths and offsets; the rest goes the ordinary way. */
static int
read_pieces(int fd, uint64_t off, uint64_t len, struct store_get *g, struct err *e)
{
	while (len > 0) {
		size_t n = len < PIECE ? (size_t)len : PIECE;
		unsigned char *to = g->out->p + g->out->len;
		ssize_t got = io_pread(fd, to, n, off, e);

		if (got < 0)
			return -1;
		if (got == 0)
			break;
		g->out->len += (size_t)got;
		if (g->seen)
			g->seen(g->ctx, to, (size_t)got);
		off += (size_t)got;
		len -= (size_t)got;
		if (stop_asked())
			return err_set(e, ERR_STOPPED, "stopped by a signal");
	}
	return 0;
}

int
file_open_quietly(int dir, const char *name, int flags)
{
	int fd;

	flags |= O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	fd = openat(dir, name, flags | O_NOATIME);
	return fd < 0 && errno == EPERM ? openat(dir, name, flags) : fd;
}

static int
open_read(struct file_store *f, const char *name, const struct store_get *g, uint64_t off,
	int *direct)
{
	int fd;

	/* Aligned from the start and room to the end: whole pages can be asked for. */
	*direct = (f->base.opts.flags & STORE_DIRECT) && off % 4096 == 0 &&
		((uintptr_t)g->out->p + g->out->len) % 4096 == 0;
	if (*direct) {
		fd = file_open_quietly(f->dir, name, O_DIRECT);
		if (fd >= 0 || errno != EINVAL)
			return fd;
		*direct = 0;
	}
	return file_open_quietly(f->dir, name, 0);
}

/* How much to read: from the file's size, which is asked for only if the caller does not know
 * how much there will be. */
static int
plan_read(int fd, uint64_t off, uint64_t len, struct store_get *g, int *direct, size_t *n,
	struct err *e)
{
	struct stat st;
	size_t padded;

	if (g->blind && !g->pool && len <= g->out->cap - g->out->len && !*direct) {
		*n = (size_t)len;
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_ABSENT, "not a file");
	g->size = (uint64_t)st.st_size;
	if (off > g->size)
		off = g->size;
	*n = (size_t)(len < g->size - off ? len : g->size - off);
	padded = (*n + 4095) & ~(size_t)4095;
	if (store_get_room(g, g->pool && *direct ? padded : *n, e) < 0)
		return -1;
	if (*direct && g->out->cap - g->out->len < padded) {
		fcntl(fd, F_SETFL, 0);
		*direct = 0;
	}
	if (*direct)
		*n = padded;
	return 0;
}

static int
file_get(struct store *s, const char *name, uint64_t off, uint64_t len, struct store_get *g,
	struct err *e)
{
	struct file_store *f = of(s);
	int direct, fd = open_read(f, name, g, off, &direct), rc;
	size_t n = 0;

	if (fd < 0)
		return err_sys(e, "open '%s'", name);
	g->size = 0;
	rc = plan_read(fd, off, len, g, &direct, &n, e);
	if (rc == 0)
		rc = read_pieces(fd, off, n, g, e);
	if (rc < 0) {
		err_in(e, "'%s'", name);
		if (e && (e->sys == EISDIR || e->sys == ESPIPE))	/* no object */
			e->kind = ERR_ABSENT;
	}
	close(fd);
	return rc;
}

static int
file_fd(struct store *s, const char *name, struct err *e)
{
	int fd = file_open_quietly(of(s)->dir, name, 0);
	struct stat st;

	if (fd < 0)
		return err_sys(e, "open '%s'", name);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return err_set(e, ERR_ABSENT, "'%s': not a file", name);
}

/* Make the directories above name; racing with others doing the same is fine. */
static int
make_parents(struct file_store *f, const char *name, struct err *e)
{
	char part[PATH_MAX];
	const char *slash = name;

	while ((slash = strchr(slash, '/')) != NULL) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - name), name);
		if (mkdirat(f->dir, part, 0777) < 0 && errno != EEXIST)
			return err_sys(e, "mkdir '%s'", part);
		slash++;
	}
	return 0;
}

static int
open_temp(struct file_store *f, const char *name, char tmp[PATH_MAX], struct err *e)
{
	const char *base = strrchr(name, '/');
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, fd, tries;

	base = base ? base + 1 : name;
	for (tries = 0; tries < 3; tries++) {
		snprintf(tmp, PATH_MAX, "%.*s.%.64s.%s.%ld.%u%s",
			(int)(base - name), name, base, f->host, (long)getpid(),
			atomic_fetch_add(&f->seq, 1), f->holds ? FILE_HELD : ".tmp");
		fd = openat(f->dir, tmp, flags, 0666);
		if (fd >= 0) {
			if (!f->holds || held_take(fd, f->dir, tmp))
				return fd;
			close(fd);
			errno = EEXIST;
		}
		if (errno == ENOENT && make_parents(f, name, e) < 0)
			return -1;
		if (errno != ENOENT && errno != EEXIST)
			break;
	}
	return err_sys(e, "create in '%s'", *name == '/' ? "/" : tmp);
}

/* With O_DIRECT the aligned front of each piece goes past the page cache. */
static int
write_direct(int fd, const struct iovec *iov, int n, struct err *e)
{
	int i;

	for (i = 0; i < n; i++) {
		size_t front = iov[i].iov_len & ~(size_t)4095;
		const char *p = iov[i].iov_base;

		if ((uintptr_t)p % 4096)
			break;
		if (front && io_write(fd, p, front, e) < 0)
			return -1;
		if (front == iov[i].iov_len)
			continue;
		fcntl(fd, F_SETFL, 0);
		if (io_write(fd, p + front, iov[i].iov_len - front, e) < 0)
			return -1;
		i++;
		break;
	}
	fcntl(fd, F_SETFL, 0);
	return io_writev(fd, iov + i, n - i, e);
}

static int
sync_one(struct file_store *f, const char *dir, struct err *e)
{
	int fd = openat(f->dir, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return err_sys(e, "open '%s'", dir);
	rc = fsync(fd) < 0 ? err_sys(e, "sync '%s'", dir) : 0;
	close(fd);
	return rc;
}

/* The object's directory and all above it: any of them may have been made for it. */
static int
sync_dirs(struct file_store *f, const char *name, struct err *e)
{
	char part[PATH_MAX], *slash;

	snprintf(part, sizeof(part), "%s", name);
	while ((slash = strrchr(part, '/')) != NULL) {
		*slash = 0;
		if (sync_one(f, part, e) < 0)
			return -1;
	}
	return sync_one(f, ".", e);
}

static int
over_limit(struct file_store *f, uint64_t more, struct err *e)
{
	uint64_t total, left;

	if (!f->limit)
		return 0;
	if (store_space(&f->base, &total, &left, e) < 0)
		return -1;
	return left >= more ? 0 : err_set(e, ERR_FAILED, "no space: %" PRIu64 " bytes over size=",
		more - left);
}

static int
write_temp(struct file_store *f, int fd, const struct iovec *iov, int n, struct err *e)
{
	enum store_sync sync = f->base.opts.sync;

	if (f->base.opts.flags & STORE_DIRECT && fcntl(fd, F_SETFL, O_DIRECT) == 0) {
		if (write_direct(fd, iov, n, e) < 0)
			return -1;
	} else if (io_writev(fd, iov, n, e) < 0) {
		return -1;
	}
	if (sync != STORE_SYNC_NONE && fdatasync(fd) < 0)
		return err_sys(e, "sync");
	return 0;
}

static int
file_put(struct store *s, const char *name, const struct iovec *iov, int n,
	const struct store_put *how, struct err *e)
{
	struct file_store *f = of(s);
	char tmp[PATH_MAX];
	struct stat st;
	int fd, rc;

	/* a pipe, say, is no object: it is replaced */
	if (how->excl && fstatat(f->dir, name, &st, 0) == 0 && S_ISREG(st.st_mode))
		return 1;
	if (over_limit(f, store_iov_size(iov, n), e) < 0)
		return -1;
	fd = open_temp(f, name, tmp, e);
	if (fd < 0)
		return -1;
	rc = write_temp(f, fd, iov, n, e);
	if (rc < 0)
		err_in(e, "'%s'", name);
	/* NFS reports a full disk at close; a file that is held is let go of by it. */
	if (!f->holds && close(fd) < 0 && rc == 0)
		rc = err_sys(e, "close '%s'", name);
	if (rc == 0 && renameat(f->dir, tmp, f->dir, name) < 0) {
		rc = err_sys(e, "rename to '%s'", name);
		if (e && e->kind == ERR_ABSENT)	/* the directory went, with what was in it */
			e->kind = ERR_TEMP;
	}
	if (rc < 0)
		unlinkat(f->dir, tmp, 0);
	if (f->holds && close(fd) < 0 && rc == 0)
		rc = err_sys(e, "close '%s'", name);
	return rc == 0 && s->opts.sync == STORE_SYNC_FULL ? sync_dirs(f, name, e) : rc;
}

static int
file_del(struct store *s, const char *const *names, size_t n, signed char *states, struct err *e)
{
	int rc = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		if (unlinkat(of(s)->dir, names[i], 0) == 0) {
			states[i] = 0;
		} else if (errno == ENOENT || errno == ENOTDIR) {
			states[i] = 1;
		} else {
			states[i] = -1;
			if (rc == 0)
				rc = err_sys(e, "delete '%s'", names[i]);
		}
	}
	return rc;
}

static void
file_touch(struct store *s, const char *name)
{
	const struct timespec t[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_OMIT } };

	utimensat(of(s)->dir, name, t, 0);
}

static int
file_space(struct store *s, uint64_t *total, uint64_t *left, struct err *e)
{
	struct statvfs v;

	if (fstatvfs(of(s)->dir, &v) < 0)
		return err_sys(e, "statvfs");
	*total = (uint64_t)v.f_blocks * v.f_frsize;
	*left = (uint64_t)v.f_bavail * v.f_frsize;
	return file_limit_space(s, of(s)->limit, total, left, e);
}

int
file_dir_fd(struct store *s)
{
	return of(s)->dir;
}

const char *
file_host(struct store *s)
{
	return of(s)->host;
}

static const char *const file_schemes[] = { "file", NULL };
static const char *const shm_schemes[] = { "shm", NULL };

const struct store_ops store_file = {
	.schemes = file_schemes, .jobs = 4, .open = file_open, .close = file_close,
	.list = file_list, .stat = file_stat, .get = file_get, .fd = file_fd, .put = file_put,
	.del = file_del, .touch = file_touch, .sweep = file_sweep, .space = file_space,
	.lock = file_lock, .unlock = file_unlock,
};

const struct store_ops store_shm = {
	.schemes = shm_schemes, .jobs = 4, .open = shm_open_store, .close = file_close,
	.list = file_list, .stat = file_stat, .get = file_get, .fd = file_fd, .put = file_put,
	.del = file_del, .touch = file_touch, .sweep = file_sweep, .space = file_space,
	.lock = file_lock, .unlock = file_unlock,
};
