#ifndef CMD_OPTS_HELP_H
#define CMD_OPTS_HELP_H

#include "opts.h"

extern const struct opt opts_shared[];		/* options of every tool */

void opts_help(const struct usage *u);		/* to stdout */

/* Completion for bash, zsh or fish to stdout; ERR_USAGE: another shell. With opts_verb set it is
 * what the completion of the whole tool asks for when it meets that verb. */
int opts_completion(const struct usage *u, const char *shell, struct err *e);
extern const char *opts_verb;

/* Completion of a tool with verbs: its first word, and then as the verb itself says. */
struct opts_verbs {
	size_t n;
	const char *(*name)(size_t i);
	const char *(*help)(size_t i);
};
int opts_completion_verbs(const struct opts_verbs *v, const char *shell, struct err *e);

#endif
