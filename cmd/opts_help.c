#include <stdio.h>
#include <string.h>

#include "opts_help.h"

#define WIDTH 80
#define TEXT 31		/* where the texts of options begin */

/* Words of s from column at on; what does not fit goes into the next line, at indent. */
static void
words(const char *s, int at, int indent)
{
	int n;

	for (; *s; s += n + strspn(s + n, " \n")) {
		n = (int)strcspn(s, " \n");
		if (at > indent && at + 1 + n > WIDTH) {
			printf("\n%*s", indent, "");
			at = indent;
		} else if (at > indent) {
			printf(" ");
			at++;
		}
		printf("%.*s", n, s);
		at += n;
	}
	printf("\n");
}

static void
line(const struct opt *o)
{
	int n;

	if (!o->help)
		return;
	n = printf("  %c%c%s--%s%s%s", o->id < 256 ? '-' : ' ', o->id < 256 ? o->id : ' ',
		o->id < 256 ? ", " : "  ", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	printf(n < TEXT ? "%*s" : "\n%*s", n < TEXT ? TEXT - n : TEXT, "");
	words(o->help, TEXT, TEXT);
}

/* Where things are and how they are reached: by name alone. */
static void
settings(void)
{
	const struct opt *o;
	int n = 0;

	printf("\nsettings, explained in kv(7) and kept in kvtools.conf(5) as well:");
	for (o = opts_shared; o->id; o++)
		if (o->id >= OPT_SETTING)
			printf("%s--%s%s%s", n++ % 4 ? "  " : "\n  ", o->name, o->arg ? " " : "",
				o->arg ? o->arg : "");
	printf("\n");
}

/* Its lines below each other. */
static void
synopsis(const char *s)
{
	size_t n;

	for (printf("usage: "); *s; s += n) {
		n = strcspn(s, "\n");
		printf("%.*s\n", (int)n, s);
		if (s[n]) {
			printf("       ");
			n++;
		}
	}
}

void
opts_help(const struct usage *u)
{
	const struct opt *o;

	synopsis(u->synopsis);
	printf("\n");
	words(u->about, 0, 0);
	printf("\noptions:\n");
	for (o = u->options; o->id; o++)
		line(o);
	printf("\ncommon to all tools:\n");
	for (o = opts_shared; o->id; o++)
		if (o->id < OPT_SETTING)
			line(o);
	settings();
	if (u->examples)
		printf("\nexamples:\n%s\n", u->examples);
	printf("\nSee %s and kv(7).\n", u->page);
}

