#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/holder.h"

/* 1, 0, or -1 with errno. */
static int
in_fds(const char *pid, const struct stat *file)
{
	char path[600];
	const struct dirent *d;
	struct stat st;
	int found = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	while (!found && (d = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%s", pid, d->d_name);
		found = *d->d_name != '.' && stat(path, &st) == 0 &&
			st.st_dev == file->st_dev && st.st_ino == file->st_ino;
	}
	closedir(dir);
	return found;
}

/* Lines of "address perms offset major:minor inode path". */
static int
in_maps(const char *pid, const struct stat *file)
{
	char path[64], line[1024];
	unsigned int maj, min;
	unsigned long inode;
	int found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*s %*s %*s %x:%x %lu", &maj, &min, &inode) == 3 &&
			makedev(maj, min) == file->st_dev && inode == file->st_ino;
	fclose(f);
	return found;
}

/* 1 held, 0 not as far as can be seen, -1 somebody of its owner cannot be looked into. */
static int
in_processes(const struct stat *file)
{
	DIR *proc = opendir("/proc");
	const struct dirent *d;
	int found = 0, hidden = !proc;

	while (proc && found <= 0 && (d = readdir(proc)) != NULL) {
		char path[64];
		struct stat st;

		if (!isdigit((unsigned char)*d->d_name))
			continue;
		found = in_fds(d->d_name, file);
		if (found == 0)
			found = in_maps(d->d_name, file);
		snprintf(path, sizeof(path), "/proc/%.20s", d->d_name);
		if (found < 0 && errno != ENOENT && errno != ESRCH && stat(path, &st) == 0 &&
		    st.st_uid == file->st_uid)
			hidden = 1;
	}
	if (proc)
		closedir(proc);
	return found > 0 ? 1 : hidden ? -1 : 0;
}

/* 1 held, 0 not, -1 no leases here. */
static int
by_lease(int dir, const char *name, const struct stat *file)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), rc = -1;
	struct stat st;

	if (fd < 0)
		return errno == EWOULDBLOCK ? 1 : -1;
	if (fstat(fd, &st) < 0 || st.st_dev != file->st_dev || st.st_ino != file->st_ino)
		rc = 1;		/* another file by now: in use */
	else if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
		rc = 0;
	else if (errno == EAGAIN)
		rc = 1;
	close(fd);
	return rc;
}

int
holder_any(int dir, const char *name, struct err *e)
{
	struct stat st;
	int seen, lease;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "'%s'", name);
	if (!S_ISREG(st.st_mode))
		return 1;
	seen = in_processes(&st);
	if (seen > 0)
		return 1;
	lease = by_lease(dir, name, &st);
	if (lease < 0 && seen < 0)
		return err_set(e, ERR_REFUSED, "'%s': processes of its owner cannot be looked into",
			name);
	return lease > 0;
}
