#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "opts_help.h"
#include "tool.h"

static void
line(const struct opt *o)
{
	char left[64];

	if (!o->help)
		return;
	snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->id < 256 ? '-' : ' ',
		o->id < 256 ? o->id : ' ', o->id < 256 ? ", " : "  ", o->name,
		o->arg ? " " : "", o->arg ? o->arg : "");
	printf("  %-28s %s\n", left, o->help);
}

void
opts_help(const struct usage *u)
{
	const struct opt *o;

	printf("usage: %s\n\n%s\n\noptions:\n", u->synopsis, u->about);
	for (o = u->options; o->id; o++)
		line(o);
	printf("\ncommon to all tools:\n");
	for (o = opts_shared; o->id; o++)
		line(o);
	if (u->examples)
		printf("\nexamples:\n%s\n", u->examples);
	printf("\nSee %s and kv(7).\n", u->page);
}

static void
each_option(const struct usage *u, void (*fn)(const struct opt *))
{
	const struct opt *o;

	for (o = u->options; o->id; o++)
		fn(o);
	for (o = opts_shared; o->id; o++)
		fn(o);
}

static void
bash_word(const struct opt *o)
{
	printf(" --%s", o->name);
}

static void
bash_case(const struct opt *o)
{
	if (!o->arg || !o->values)
		return;
	printf("\t--%s", o->name);
	if (o->id < 256)
		printf("|-%c", o->id);
	printf(") COMPREPLY=($(compgen %s",
		!strcmp(o->values, "DIR") ? "-d" : isupper((unsigned char)*o->values) ? "-f" : "");
	if (!isupper((unsigned char)*o->values))
		printf("-W '%s'", o->values);
	printf(" -- \"$cur\")); return ;;\n");
}

static void
zsh_option(const struct opt *o)
{
	printf("\t'--%s%s[%s]%s%s%s'\n", o->name, o->arg ? "=" : "", o->help ? o->help : "",
		o->arg ? ":" : "", o->arg ? o->arg : "",
		!o->arg ? "" : !o->values || isupper((unsigned char)*o->values) ? ":_files" : ":");
}

static void
fish_option(const struct opt *o)
{
	printf("complete -c %s -l %s", tool_name, o->name);
	if (o->id < 256)
		printf(" -s %c", o->id);
	if (o->arg)
		printf(" -r");
	if (o->values && !isupper((unsigned char)*o->values))
		printf(" -f -a '%s'", o->values);
	if (o->help)
		printf(" -d \"%s\"", o->help);
	printf("\n");
}

int
opts_completion(const struct usage *u, const char *shell, struct err *e)
{
	if (!strcmp(shell, "bash")) {
		printf("_%s() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} "
			"prev=${COMP_WORDS[COMP_CWORD-1]}\n\tcase $prev in\n", tool_name);
		each_option(u, bash_case);
		printf("\tesac\n\tcase $cur in\n\t-*) COMPREPLY=($(compgen -W '");
		each_option(u, bash_word);
		printf("' -- \"$cur\")) ;;\n\t*) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
			"\tesac\n}\ncomplete -o filenames -F _%s %s\n", tool_name, tool_name);
		return 0;
	}
	if (!strcmp(shell, "zsh")) {
		printf("#compdef %s\nargs=(\n", tool_name);
		each_option(u, zsh_option);
		printf("\t'*:file:_files'\n)\n_arguments -s -S $args\n");
		return 0;
	}
	if (!strcmp(shell, "fish")) {
		each_option(u, fish_option);
		return 0;
	}
	return err_set(e, ERR_USAGE, "--completion '%.20s': bash, zsh or fish", shell);
}
