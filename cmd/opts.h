#ifndef CMD_OPTS_H
#define CMD_OPTS_H

#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"

/*
 * One table of options is all there is: parsing, --help and the completion of three
 * shells come from it. Options common to all tools stand in a table of their own.
 */
struct opt {
	int id;			/* the short letter, or a number from OPT_FIRST on */
	const char *name;	/* long name, without dashes */
	const char *arg;	/* name of its argument in help, or NULL */
	const char *help;	/* one line; NULL: not shown */
	const char *values;	/* for completion: "lru lfu", "FILE", "DIR"; or NULL */
};

/* Own options, those of every tool, and of them the settings that are handed to opts_conf. */
enum { OPT_FIRST = 1000, OPT_COMMON = 2000, OPT_SETTING = 2100 };

struct usage {
	const char *synopsis;		/* "kvput [options] STORE [FILE ...]", lines */
	const char *about;		/* what it does, a sentence or two */
	const struct opt *options;	/* ends with id 0 */
	const char *examples;		/* lines */
	const char *page;		/* "kvput(1)" */
};

/* Next option's id, its argument in opts_arg; -1 at the end: operands are argv[optind] on.
 * Handles --help, --version, --completion SHELL (prints, exits 0), -v, -q and the settings that go
 * to opts_conf (--endpoint-url, ...) itself. A wrong option prints one line and exits with 2. */
int opts_next(int argc, char **argv, const struct usage *u);
extern char *opts_arg;

/* The settings: options given so far over environment over files. Made on first use. */
extern struct conf *opts_conf;

/* Common options (one table for all tools). Those that take part in a copy run: */
struct opts_common {
	unsigned jobs;		/* -j; 0: automatic */
	uint64_t mem;		/* --mem */
	int dry;		/* -n */
	int force;		/* -f */
	int json;		/* --json */
	const char *form;	/* -o: NULL, "wide", "name", "tsv" */
	int nul;		/* -0 */
	const char *metrics;	/* --metrics-file */
	double max_duration;	/* --max-duration, s; 0 none */
	uint64_t bwlimit;	/* --bwlimit, bytes/s; 0 none */
	const char *progress;	/* "auto" "plain" "json" "none" */
	int progress_fd;	/* -1 */
};
extern struct opts_common opts_common;

/* Print the line and end with status 2. */
_Noreturn void opts_bad(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Say that memory is out, and end with status 7. */
_Noreturn void opts_no_memory(void);
/* For a failure of kind ERR_USAGE while options are read: prints and exits. */
_Noreturn void opts_die(const struct err *e);

#endif
