#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/held.h"
#include "base/io.h"
#include "store/s3_note.h"

#define TEXT_MAX 8192		/* a key of 1,024 bytes and an id, percent-coded */

/* "ENDPOINT BUCKET KEY ID\n"; its digest is the note's name. */
static int
note_text(struct buf *b, const struct s3 *s, const char *key, const char *id,
	char name[DIGEST128_HEX + 1])
{
	const char *endpoint = aws_endpoint(s->aws);
	const char *const part[] = { endpoint ? endpoint : "aws", s->bucket, key, id };
	struct digest128 d;

	for (size_t i = 0; i < 4; i++) {
		uri_encode(b, part[i], strlen(part[i]), "/");
		buf_chr(b, i < 3 ? ' ' : '\n');
	}
	if (!buf_text(b) || b->len > TEXT_MAX)
		return -1;
	digest_xxh3(&d, b->p, b->len);
	digest_hex(name, &d);
	return 0;
}

/* The i-th place. make: if it is not there. */
static int
open_dir(int i, int make)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	uid_t me = geteuid();
	char path[512];
	struct stat st;
	int fd;

	if (i == 0 && (!run || *run != '/' || strlen(run) > 400 || stat(run, &st) < 0 ||
	    st.st_uid != me))	/* su(1) leaves the other user's */
		return -1;
	if (i == 0)
		snprintf(path, sizeof(path), "%s/kvtools", run);
	else if (i == 1)
		snprintf(path, sizeof(path), "/run/kvtools");
	else
		snprintf(path, sizeof(path), "/tmp/kvtools-%lu", (unsigned long)me);
	if (make)
		mkdir(path, 0700);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_uid != me || (st.st_mode & 022) ||
	    !held_here(fd))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int
write_note(struct s3_note *n, const struct buf *text)
{
	char tmp[sizeof(n->name) + 1];

	snprintf(tmp, sizeof(tmp), ".%s", n->name);
	n->fd = openat(n->dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (n->fd < 0)
		return -1;
	/* Held before it has the name that is looked for. */
	if (held_take(n->fd, n->dir, tmp) && io_write(n->fd, text->p, text->len, NULL) == 0 &&
	    renameat(n->dir, tmp, n->dir, n->name) == 0)
		return 0;
	unlinkat(n->dir, tmp, 0);
	close(n->fd);
	n->fd = -1;
	return -1;
}

void
s3_note_begin(struct s3_note *n, const struct s3 *s, const char *key, const char *id)
{
	struct buf text = { 0 };
	int i;

	n->dir = n->fd = -1;
	if (note_text(&text, s, key, id, n->name) == 0)
		for (i = 0; i < S3_NOTE_DIRS && n->fd < 0; i++) {
			n->dir = open_dir(i, 1);
			if (n->dir >= 0 && write_note(n, &text) < 0)
				close(n->dir);
		}
	buf_free(&text);
}

void
s3_note_end(struct s3_note *n, int left)
{
	if (n->fd < 0)
		return;
	if (!left)
		unlinkat(n->dir, n->name, 0);
	close(n->fd);
	close(n->dir);
	n->fd = -1;
}

void
s3_notes_open(int dirs[S3_NOTE_DIRS])
{
	struct stat a, b;
	int i, k;

	for (i = 0; i < S3_NOTE_DIRS; i++) {
		dirs[i] = open_dir(i, 0);
		/* $XDG_RUNTIME_DIR may be /run: nothing is to be told twice */
		for (k = 0; k < i && dirs[i] >= 0; k++) {
			if (dirs[k] < 0 || fstat(dirs[k], &a) < 0 || fstat(dirs[i], &b) < 0 ||
			    a.st_dev != b.st_dev || a.st_ino != b.st_ino)
				continue;
			close(dirs[i]);
			dirs[i] = -1;
		}
	}
}

void
s3_notes_close(int dirs[S3_NOTE_DIRS])
{
	for (int i = 0; i < S3_NOTE_DIRS; i++)
		if (dirs[i] >= 0)
			close(dirs[i]);
}

int
s3_notes_have(const int dirs[S3_NOTE_DIRS], const struct s3 *s, const char *key, const char *id)
{
	char name[DIGEST128_HEX + 1];
	struct buf text = { 0 };
	int i, have = 0;

	if (note_text(&text, s, key, id, name) == 0)
		for (i = 0; i < S3_NOTE_DIRS; i++)
			have |= dirs[i] >= 0 && faccessat(dirs[i], name, F_OK, 0) == 0;
	buf_free(&text);
	return have;
}

struct dead {
	const struct s3 *s;
	int dry;
	s3_note_fn *each;
	void *ctx;
};

/* The upload that a note tells of, if it is one into the store. Into key and id, to be freed. */
static int
read_note(int fd, const struct s3 *s, const char *name, struct buf *key, struct buf *id)
{
	char text[TEXT_MAX + 1], again[DIGEST128_HEX + 1], *at[4], *p = text;
	ssize_t n = io_read(fd, text, TEXT_MAX, NULL);
	struct buf b = { 0 };
	int i, good;

	text[n > 0 ? n : 0] = 0;
	for (i = 0; i < 4; i++) {
		at[i] = p;
		p += strcspn(p, " \n");
		if (!*p)
			return -1;
		*p++ = 0;
	}
	good = uri_decode(key, at[2], strlen(at[2])) == 0 && buf_text(key) &&
		uri_decode(id, at[3], strlen(at[3])) == 0 && buf_text(id) &&
		!strncmp(key->p, s->prefix, strlen(s->prefix)) &&
		note_text(&b, s, key->p, id->p, again) == 0 && !strcmp(name, again);
	buf_free(&b);
	return good ? 0 : -1;
}

static int
look_at_note(const struct dead *d, int dir, const char *name, struct err *e)
{
	struct buf key = { 0 }, id = { 0 };
	struct digest128 digest;
	struct stat st;
	int fd, rc = 0, gone = *name == '.';	/* never got its name */

	if (digest_read(&digest, name + gone, strlen(name + gone)) < 0 ||
	    held_look(&fd, dir, name) != HELD_DEAD)
		return 0;
	if (!gone && fstat(fd, &st) == 0 && read_note(fd, d->s, name, &key, &id) == 0) {
		rc = d->each(d->ctx, key.p, id.p, st.st_mtim.tv_sec, e);
		gone = rc == 0;
	}
	if (gone && !d->dry)
		unlinkat(dir, name, 0);
	close(fd);
	buf_free(&key);
	buf_free(&id);
	return rc;
}

static int
look_into(const struct dead *d, int dir, struct err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *ent;

	if (!list) {
		err_sys(e, "read notes");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while (rc == 0 && (ent = readdir(list)) != NULL)
		rc = look_at_note(d, dir, ent->d_name, e);
	closedir(list);
	return rc;
}

int
s3_notes_dead(const int dirs[S3_NOTE_DIRS], const struct s3 *s, int dry, s3_note_fn *each,
	void *ctx, struct err *e)
{
	struct dead d = { s, dry, each, ctx };
	int i, rc = 0;

	for (i = 0; i < S3_NOTE_DIRS && rc == 0; i++)
		if (dirs[i] >= 0)
			rc = look_into(&d, dirs[i], e);
	return rc;
}
