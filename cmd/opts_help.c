#include <stdio.h>

#include "opts_help.h"

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

/* Where things are and how they are reached: by name alone. */
static void
settings(void)
{
	const struct opt *o;
	int n = 0;

	printf("\nsettings, explained in kv(7) and kept in kvtools.conf(5) as well:");
	for (o = opts_shared; o->id; o++)
		if (o->id >= OPT_SETTING)
			printf("%s--%s %s", n++ % 4 ? "  " : "\n  ", o->name, o->arg);
	printf("\n");
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
		if (o->id < OPT_SETTING)
			line(o);
	settings();
	if (u->examples)
		printf("\nexamples:\n%s\n", u->examples);
	printf("\nSee %s and kv(7).\n", u->page);
}

