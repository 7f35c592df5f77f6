#ifndef CMD_KVSTAT_COMMON_H
#define CMD_KVSTAT_COMMON_H

#include "pick.h"
#include "select_opts.h"

/* A place read for a verb: opened, listed, and if asked its headers read. Failures have been
 * told: -1. An operand may also be a stream file, for verbs that say so themselves. */
struct stat_place {
	struct place place;
	struct catalog cat;
	struct cat_head *heads;	/* NULL unless asked for */
};
int stat_open(struct stat_place *s, const char *url, const struct select *sel, int heads);
void stat_close(struct stat_place *s);

/* The store operand, or usage; and of verbs that take nothing else. */
const char *stat_url(int argc, char **argv, const char *verb);
const char *stat_only_url(int argc, char **argv, const char *verb);

/* Ranks of one chunk, folded: what one line of ls shows. */
struct folded {
	size_t row, end;	/* rows of the catalog */
	unsigned ranks;
	uint64_t size;
	int64_t mtime_s, atime_s;
	char name[KEY_HEX];	/* whole hash */
	char flags[8];
};
void stat_fold(const struct stat_place *s, size_t row, struct folded *f);

/* Chunks before it in its chain, by first token; OUT_NONE if not known. */
uint64_t stat_depth(const struct cat_head *h);

#endif
