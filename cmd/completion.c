#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "opts_help.h"
#include "tool.h"

const char *opts_verb;

enum { BASH, ZSH, FISH, N_SHELLS };

static const char *const shells[N_SHELLS] = { "bash", "zsh", "fish" };

/* What may follow an option: a few words, a file, a directory, something else. */
enum follows { NOTHING, WORDS, FILES, DIRS, ANYTHING };

static enum follows
follows(const struct opt *o)
{
	if (!o->arg)
		return NOTHING;
	if (!o->values)
		return ANYTHING;
	return !strcmp(o->values, "DIR") ? DIRS :
		isupper((unsigned char)*o->values) ? FILES : WORDS;
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

/* Text inside single quotes, with a backslash before these. */
static void
quoted(const char *text, const char *these)
{
	for (; text && *text; text++) {
		if (*text == '\'')
			printf("'\\'");
		else if (strchr(these, *text))
			putchar('\\');
		putchar(*text);
	}
}

static void
bash_word(const struct opt *o)
{
	printf(" --%s", o->name);
}

static void
bash_case(const struct opt *o)
{
	static const char *const compgen[] = { [FILES] = "-f", [DIRS] = "-d" };
	enum follows f = follows(o);

	if (f == NOTHING)
		return;
	printf("\t--%s", o->name);
	if (o->id < 256)
		printf("|-%c", o->id);
	if (f == ANYTHING)
		printf(") COMPREPLY=(); return ;;\n");
	else if (f == WORDS)
		printf(") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", o->values);
	else
		printf(") COMPREPLY=($(compgen %s -- \"$cur\")); return ;;\n", compgen[f]);
}

static void
bash(const struct usage *u)
{
	printf("_%s%s%s() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} "
		"prev=${COMP_WORDS[COMP_CWORD-1]}\n\tcase $prev in\n", tool_name,
		opts_verb ? "_" : "", opts_verb ? opts_verb : "");
	each_option(u, bash_case);
	printf("\tesac\n\tcase $cur in\n\t-*) COMPREPLY=($(compgen -W '");
	each_option(u, bash_word);
	printf("' -- \"$cur\")) ;;\n\t*) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n\tesac\n}\n");
	if (!opts_verb)
		printf("complete -o filenames -F _%s %s\n", tool_name, tool_name);
}

static void
zsh_option(const struct opt *o)
{
	enum follows f = follows(o);

	printf("\t");
	if (o->id < 256)
		printf("'(-%c --%s)'{-%c%s,--%s%s}'[", o->id, o->name, o->id, f ? "+" : "", o->name,
			f ? "=" : "");
	else
		printf("'--%s%s[", o->name, f ? "=" : "");
	quoted(o->help, "[]");
	printf("]");
	if (f)
		printf(":%s:", o->arg);
	if (f == WORDS)
		printf("(%s)", o->values);
	else if (f == FILES || f == DIRS)
		printf("_files%s", f == DIRS ? " -/" : "");
	printf("'\n");
}

static void
zsh(const struct usage *u)
{
	if (!opts_verb)
		printf("#compdef %s\n", tool_name);
	printf("local -a args\nargs=(\n");
	each_option(u, zsh_option);
	printf("\t'*:file:_files'\n)\n_arguments -s -S $args\n");
}

static void
fish_option(const struct opt *o)
{
	enum follows f = follows(o);

	printf("complete -c %s", tool_name);
	if (opts_verb)
		printf(" -n '__fish_seen_subcommand_from %s'", opts_verb);
	printf(" -l %s", o->name);
	if (o->id < 256)
		printf(" -s %c", o->id);
	if (f)
		printf(f == FILES || f == DIRS ? " -r" : " -x");
	if (f == WORDS)
		printf(" -a '%s'", o->values);
	if (o->help) {
		printf(" -d '");
		quoted(o->help, "\\");
		printf("'");
	}
	printf("\n");
}

static int
which(const char *shell, struct err *e)
{
	int i;

	for (i = 0; i < N_SHELLS; i++)
		if (!strcmp(shells[i], shell))
			return i;
	return err_set(e, ERR_USAGE, "--completion '%.20s': bash, zsh or fish", shell);
}

int
opts_completion(const struct usage *u, const char *shell, struct err *e)
{
	switch (which(shell, e)) {
	case BASH: bash(u); return 0;
	case ZSH: zsh(u); return 0;
	case FISH: each_option(u, fish_option); return 0;
	default: return -1;
	}
}

static void
bash_verbs(const struct opts_verbs *v)
{
	const char *t = tool_name;
	size_t i;

	printf("_%s() {\n\tlocal verb=${COMP_WORDS[1]}\n\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
		"\t\tCOMPREPLY=($(compgen -W '", t);
	for (i = 0; i < v->n; i++)
		printf("%s%s", i ? " " : "", v->name(i));
	printf("' -- \"$verb\"))\n\t\treturn\n\tfi\n"
		"\tdeclare -F \"_%s_$verb\" >/dev/null ||\n"
		"\t\teval \"$(%s \"$verb\" --completion bash 2>/dev/null)\"\n"
		"\t! declare -F \"_%s_$verb\" >/dev/null || \"_%s_$verb\"\n}\n"
		"complete -o filenames -F _%s %s\n", t, t, t, t, t, t);
}

static void
zsh_verbs(const struct opts_verbs *v)
{
	size_t i;

	printf("#compdef %s\nlocal -a verbs\nverbs=(\n", tool_name);
	for (i = 0; i < v->n; i++) {
		printf("\t'%s:", v->name(i));
		quoted(v->help(i), "");
		printf("'\n");
	}
	printf(")\nif (( CURRENT == 2 )); then\n\t_describe verb verbs\nelse\n"
		"\tlocal verb=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n"
		"\teval \"$(%s $verb --completion zsh 2>/dev/null)\"\nfi\n", tool_name);
}

static void
fish_verbs(const struct opts_verbs *v)
{
	size_t i;

	printf("complete -c %s -n __fish_use_subcommand -f\n", tool_name);
	for (i = 0; i < v->n; i++) {
		printf("complete -c %s -n __fish_use_subcommand -a %s -d '", tool_name,
			v->name(i));
		quoted(v->help(i), "\\");
		printf("'\n%s %s --completion fish | source\n", tool_name, v->name(i));
	}
}

int
opts_completion_verbs(const struct opts_verbs *v, const char *shell, struct err *e)
{
	switch (which(shell, e)) {
	case BASH: bash_verbs(v); return 0;
	case ZSH: zsh_verbs(v); return 0;
	case FISH: fish_verbs(v); return 0;
	default: return -1;
	}
}
