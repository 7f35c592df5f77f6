#ifndef STORE_FILE_H
#define STORE_FILE_H

#include <sys/stat.h>

#include "store/ops.h"

/* The directory store's own parts: file.c reads and writes, file_list.c walks and locks. */

/* So ends the name of a temporary that its writer holds (base/held.h) until it is renamed. */
#define FILE_HELD ".held.tmp"

int file_open_dir(struct store **out, const char *path, uint64_t limit,
	const struct store_opts *o, struct err *e);
int file_dir_fd(struct store *s);		/* of the root */
const char *file_host(struct store *s);		/* this host's name */

/* A descriptor to read from. Only store_touch() is a use: reading for a listing or a check leaves
 * the access time alone, where we may (it takes the file's owner). A pipe is not waited for.
 * flags: O_DIRECT, or 0. -1 with errno. */
int file_open_quietly(int dir, const char *name, int flags);

void file_item(struct store_item *it, const struct stat *st);	/* size and times */

int file_list(struct store *s, const char *prefix, unsigned flags, store_each *each, void *ctx,
	struct err *e);
int file_sweep(struct store *s, double min_age_s, int dry, store_each *each, void *ctx,
	struct err *e);
int file_lock(struct store *s, const char *what, struct err *e);
void file_unlock(struct store *s, const char *what);

/* With a limit (shm:NAME?size=): total is the limit and left what the files leave of it. */
int file_limit_space(struct store *s, uint64_t limit, uint64_t *total, uint64_t *left,
	struct err *e);

#endif
