#ifndef CMD_OPTS_HELP_H
#define CMD_OPTS_HELP_H

#include "opts.h"

extern const struct opt opts_shared[];		/* options of every tool */

void opts_help(const struct usage *u);		/* to stdout */
/* Completion for bash, zsh or fish to stdout; ERR_USAGE: another shell. */
int opts_completion(const struct usage *u, const char *shell, struct err *e);

#endif
