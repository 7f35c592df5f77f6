#include <stdio.h>
#include <string.h>

#include "base/near.h"
#include "opts_help.h"
#include "tool.h"
#include "kvstat/verbs.h"

static const struct verb {
	const char *name;
	void (*run)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{ "ls", verb_ls, "chunks, from names and sizes; -l reads the headers" },
	{ "du", verb_du, "totals by model, type, tenant, age" },
	{ "show", verb_show, "everything a chunk, a stream or a store tells of itself" },
	{ "chain", verb_chain, "is this prompt cached? the first missing link" },
	{ "verify", verb_verify, "check every byte" },
	{ "diff", verb_diff, "what one store has and another has not" },
	{ "index", verb_index, "what a store cannot tell: rebuild, verify, export, import" },
	{ "sim", verb_sim, "replay requests over a cache: which policy, how much room" },
};

static int
help(void)
{
	size_t i;

	printf("usage: kvstat VERB [options] ...\n\nLooks at stores and streams of KV chunks, and "
		"never changes them.\n\nverbs:\n");
	for (i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		printf("  %-8s %s\n", verbs[i].name, verbs[i].help);
	printf("\nkvstat VERB --help tells the options of each. See kvstat(1) and kv(7).\n");
	return tool_end();
}

static const char *
verb_name(size_t i)
{
	return verbs[i].name;
}

static const char *
verb_help(size_t i)
{
	return verbs[i].help;
}

static int
completion(const char *shell)
{
	const struct opts_verbs v = { sizeof(verbs) / sizeof(*verbs), verb_name, verb_help };
	struct err e;

	if (!shell)
		opts_bad("--completion needs an argument");
	if (opts_completion_verbs(&v, shell, &e) < 0)
		opts_die(&e);
	return tool_end();
}

static _Noreturn void
no_verb(const char *word)
{
	struct near n = { .word = word };
	size_t i;

	if (*word == '-')
		opts_bad("which verb? it comes first: kvstat ls %.40s ...", word);
	for (i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		near_offer(&n, verbs[i].name);
	if (n.best)
		opts_bad("no verb '%.40s': %s?", word, n.best);
	opts_bad("no verb '%.40s'", word);
}

int
main(int argc, char **argv)
{
	size_t i;

	tool_start("kvstat");
	if (argc < 2)
		opts_bad("which verb? ls, du, show, chain, verify, diff ...");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return help();
	if (!strcmp(argv[1], "--version")) {
		printf("kvstat (kvtools) %s\n", KVTOOLS_VERSION);
		return tool_end();
	}
	if (!strcmp(argv[1], "--completion"))
		return completion(argv[2]);
	for (i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(verbs[i].name, argv[1]) != 0)
			continue;
		opts_verb = argv[1];
		verbs[i].run(argc - 1, argv + 1);
		return tool_end();
	}
	no_verb(argv[1]);
}
