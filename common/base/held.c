#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/held.h"

#ifndef BCACHEFS_SUPER_MAGIC
#define BCACHEFS_SUPER_MAGIC 0xca451a4e
#endif
#define ZFS_SUPER_MAGIC 0x2fc12fc1	/* OpenZFS, outside Linux */

int
held_here(int fd)
{
	static const unsigned here[] = {
		EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
		BCACHEFS_SUPER_MAGIC, ZFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
		RAMFS_MAGIC, HUGETLBFS_MAGIC,
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(here) / sizeof(*here); i++)
		if ((unsigned)fs.f_type == here[i])
			return 1;
	return 0;
}

/* Does the name still stand for the file? */
static int
is_named(int fd, int dir, const char *name)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && S_ISREG(a.st_mode) &&
		fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
		a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int
held_take(int fd, int dir, const char *name)
{
	struct stat st;

	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fstat(fd, &st) == 0 && st.st_nlink > 0;
	if (errno != EWOULDBLOCK)	/* no locks here: not for sweepers either */
		return 1;
	unlinkat(dir, name, 0);
	return 0;
}

static enum held
look(int *fd, int dir, const char *name)
{
	enum held rc = HELD_UNKNOWN;

	*fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return rc;
	if (held_here(*fd)) {
		if (flock(*fd, LOCK_EX | LOCK_NB) < 0)
			rc = errno == EWOULDBLOCK ? HELD_LIVE : rc;
		else if (is_named(*fd, dir, name))
			return HELD_DEAD;
	}
	close(*fd);
	*fd = -1;
	return rc;
}

enum held
held_look(int *fd, int dir, const char *name)
{
	enum held rc = look(fd, dir, name);
	struct stat st;

	/* Just created, and not held yet? */
	if (rc == HELD_DEAD && fstat(*fd, &st) == 0 && st.st_size == 0) {
		close(*fd);
		clock_sleep(0.01, NULL);
		rc = look(fd, dir, name);
	}
	return rc;
}
