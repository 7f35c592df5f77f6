#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/held.h"
#include "base/io.h"
#include "base/num.h"
#include "base/stop.h"
#include "store/file.h"

#define DEPTH_MAX 16

/* One walk: path is the name so far, "a/b/" or "". */
struct walk {
	struct store *s;
	const char *want;	/* names must begin so */
	unsigned flags;
	int litter;		/* 1: temporaries alone, 0: all but them */
	store_each *each;
	void *ctx;
	char path[PATH_MAX];
	char head[4096];
};

static int
ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && !strcmp(name + n - m, end);
}

static int walk_dir(struct walk *w, int fd, size_t len, int depth, struct err *e);

/* One look-up of the name gives size, times and first page. */
static int
visit_head(struct walk *w, int dir, const char *leaf, struct store_item *it)
{
	int fd = file_open_quietly(dir, leaf, 0);
	struct stat st;
	ssize_t n = -1;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		n = pread(fd, w->head, sizeof(w->head), 0);
	close(fd);
	if (n < 0)
		return -1;
	file_item(it, &st);
	it->head = w->head;
	it->n_head = (size_t)n;
	return 0;
}

static int
cannot_open(const struct walk *w, struct err *e)
{
	return err_sys(e, "%s: open '%s'", store_url(w->s), w->path);
}

/* 0 go on, 1 enough, -1 failed */
static int
visit_file(struct walk *w, int dir, const char *leaf, struct err *e)
{
	struct store_item it = { .name = w->path, .ttl_s = -1, .hits = -1 };
	struct stat st;

	if (ends_in(leaf, ".tmp") != w->litter || (*leaf == '.' && !w->litter))
		return 0;
	it.litter = w->litter != 0;
	if (w->flags & STORE_LIST_HEADS && visit_head(w, dir, leaf, &it) == 0)
		return w->each(w->ctx, &it, e);
	if (!(w->flags & STORE_LIST_FAST)) {
		if (fstatat(dir, leaf, &st, 0) < 0)
			return errno == ENOENT ? 0 : err_sys(e, "stat '%s'", w->path);
		file_item(&it, &st);
	}
	return w->each(w->ctx, &it, e);
}

static int
visit_dir(struct walk *w, int dir, const char *leaf, size_t len, int depth, struct err *e)
{
	struct store_item it = { .name = w->path, .dir = 1, .ttl_s = -1, .hits = -1 };
	int fd;

	if (*leaf == '.' || !strcmp(w->path, "lost+found"))	/* a file system's own */
		return 0;
	w->path[len++] = '/';
	w->path[len] = 0;
	if (w->flags & STORE_LIST_DIRS)
		return w->each(w->ctx, &it, e);
	if (depth == DEPTH_MAX)
		return err_set(e, ERR_USAGE, "'%s': directories nested too deep", w->path);
	fd = openat(dir, leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : cannot_open(w, e);
	return walk_dir(w, fd, len, depth + 1, e);
}

static int
visit(struct walk *w, int dir, const struct dirent *d, size_t len, int depth, struct err *e)
{
	size_t n = strlen(d->d_name), want = strlen(w->want), full = len + n;
	unsigned char type = d->d_type;

	if (full + 2 >= sizeof(w->path))
		return err_set(e, ERR_USAGE, "'%s': path too long", w->path);
	memcpy(w->path + len, d->d_name, n + 1);
	/* Not below the prefix, nor on the way to it? */
	if (strncmp(w->path, w->want, full < want ? full : want) != 0 ||
	    (full < want && w->want[full] != '/'))
		return 0;
	if (type == DT_UNKNOWN || type == DT_LNK) {
		struct stat st;

		if (fstatat(dir, d->d_name, &st, 0) < 0)
			return 0;
		type = S_ISDIR(st.st_mode) && type != DT_LNK ? DT_DIR : S_ISREG(st.st_mode) ?
			DT_REG : DT_UNKNOWN;
	}
	if (type == DT_DIR)
		return visit_dir(w, dir, d->d_name, full, depth, e);
	return type == DT_REG && full >= want ? visit_file(w, dir, d->d_name, e) : 0;
}

/* Takes fd. */
static int
walk_dir(struct walk *w, int fd, size_t len, int depth, struct err *e)
{
	DIR *d = fdopendir(fd);
	const struct dirent *ent;
	int rc = 0;

	if (!d) {
		close(fd);
		return err_sys(e, "read directory '%s'", w->path);
	}
	while (rc == 0 && (errno = 0, ent = readdir(d)) != NULL) {
		if (!strcmp(ent->d_name, ".") || !strcmp(ent->d_name, ".."))
			continue;
		rc = visit(w, fd, ent, len, depth, e);
		w->path[len] = 0;
		if (stop_asked())
			rc = err_set(e, ERR_STOPPED, "stopped by a signal");
	}
	if (rc == 0 && errno)
		rc = err_sys(e, "read directory '%s'", w->path);
	closedir(d);
	return rc;
}

/* Does a path, "a/b/", lead elsewhere: an empty segment, or ".."? */
static int
leads_out(const char *path)
{
	size_t n;

	for (; *path; path += n + 1) {
		n = strcspn(path, "/");
		if (n == 0 || (n == 2 && !strncmp(path, "..", 2)))
			return 1;
	}
	return 0;
}

/* Begin at the deepest directory that the prefix names. */
static int
walk_from_prefix(struct walk *w, struct err *e)
{
	const char *slash = strrchr(w->want, '/');
	size_t len = slash ? (size_t)(slash + 1 - w->want) : 0;
	int fd, rc;

	if (len >= sizeof(w->path))
		return err_set(e, ERR_USAGE, "prefix too long");
	memcpy(w->path, w->want, len);
	w->path[len] = 0;
	if (leads_out(w->path))
		return err_set(e, ERR_REFUSED, "prefix '%.100s': not inside the store", w->want);
	fd = openat(file_dir_fd(w->s), len ? w->path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : cannot_open(w, e);
	rc = walk_dir(w, fd, len, 0, e);
	return rc < 0 ? -1 : 0;
}

int
file_list(struct store *s, const char *prefix, unsigned flags, store_each *each, void *ctx,
	struct err *e)
{
	struct walk w = { .s = s, .want = prefix, .flags = flags, .each = each, .ctx = ctx };

	return walk_from_prefix(&w, e);
}

struct sweep {
	struct store *s;
	int64_t before_ns;
	int dry;
	store_each *each;
	void *ctx;
};

static int
sweep_one(void *ctx, const struct store_item *it, struct err *e)
{
	struct sweep *sw = ctx;
	int dir = file_dir_fd(sw->s), fd = -1, rc = 0;
	enum held held = ends_in(it->name, FILE_HELD) ? held_look(&fd, dir, it->name) :
		HELD_UNKNOWN;

	if (held == HELD_LIVE || (held == HELD_UNKNOWN && it->mtime_ns > sw->before_ns))
		return 0;
	if (sw->each)
		rc = sw->each(sw->ctx, it, e);
	if (rc == 0 && !sw->dry && unlinkat(dir, it->name, 0) < 0 && errno != ENOENT)
		rc = err_sys(e, "delete '%s'", it->name);
	if (fd >= 0)
		close(fd);
	return rc;
}

int
file_sweep(struct store *s, double min_age_s, int dry, store_each *each, void *ctx, struct err *e)
{
	struct sweep sw = { s, clock_now_ns() - (int64_t)(min_age_s * 1e9), dry, each, ctx };
	struct walk w = { .s = s, .want = "", .litter = 1, .each = sweep_one, .ctx = &sw };

	return walk_from_prefix(&w, e);
}

/* A lock is a file ".kvtools-WHAT.lock" with "HOST PID TIME\n", made by link() of a temporary so
 * that it appears whole, on NFS too. */
static void
lock_path(char out[64], const char *what)
{
	snprintf(out, 64, ".kvtools-%.32s.lock", what);
}

/* 1: the holder is known to be dead. host gets its host, or "". */
static int
holder_dead(struct store *s, const char *path, char text[128])
{
	char host[65] = "";
	long pid = 0;
	char *space;
	struct err e;
	uint64_t v;
	int fd = openat(file_dir_fd(s), path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : io_read(fd, text, 127, NULL);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	space = strchr(text, ' ');
	if (!space || (size_t)(space - text) >= sizeof(host))
		return 0;
	memcpy(host, text, (size_t)(space - text));
	space[strcspn(space + 1, " ") + 1] = 0;
	if (num_u64(&v, space + 1, 1, INT_MAX, "pid", &e) == 0)
		pid = (long)v;
	space[strlen(space)] = ' ';
	return pid > 0 && !strcmp(host, file_host(s)) && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

int
file_lock(struct store *s, const char *what, struct err *e)
{
	char path[64], tmp[128], line[160], holder[128], now[32];
	int dir = file_dir_fd(s), fd, n, tries, rc = -1;

	lock_path(path, what);
	snprintf(tmp, sizeof(tmp), "%s.%ld.tmp", path, (long)getpid());
	n = snprintf(line, sizeof(line), "%s %ld %s\n", file_host(s), (long)getpid(),
		clock_text(now, clock_now()));
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, "create '%s'", tmp);
	if (io_write(fd, line, (size_t)n, e) < 0) {
		close(fd);
		goto unlink_tmp;
	}
	close(fd);
	for (tries = 0; tries < 2; tries++) {
		if (linkat(dir, tmp, dir, path, 0) == 0) {
			rc = 0;
			break;
		}
		if (errno != EEXIST) {
			err_sys(e, "lock '%s'", what);
			break;
		}
		if (!holder_dead(s, path, holder)) {
			err_set(e, ERR_TEMP, "locked by another run: host, pid, since: "
				"%s (%s in the store)", holder, path);
			break;
		}
		unlinkat(dir, path, 0);
	}
unlink_tmp:
	unlinkat(dir, tmp, 0);
	return rc;
}

void
file_unlock(struct store *s, const char *what)
{
	char path[64];

	lock_path(path, what);
	unlinkat(file_dir_fd(s), path, 0);
}

static int
add_size(void *ctx, const struct store_item *it, struct err *e)
{
	(void)e;
	*(uint64_t *)ctx += it->size;
	return 0;
}

int
file_limit_space(struct store *s, uint64_t limit, uint64_t *total, uint64_t *left, struct err *e)
{
	uint64_t used = 0;

	if (!limit)
		return 0;
	if (file_list(s, "", 0, add_size, &used, e) < 0)
		return -1;
	if (limit < *total)
		*total = limit;
	if (*left > (used < limit ? limit - used : 0))
		*left = used < limit ? limit - used : 0;
	return 0;
}
