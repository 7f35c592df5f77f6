#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/near.h"
#include "base/num.h"
#include "opts.h"
#include "opts_help.h"
#include "tool.h"

char *opts_arg;
struct conf *opts_conf;
struct opts_common opts_common = { .mem = 1ull << 30, .progress = "auto", .progress_fd = -1 };

enum {
	O_VERSION = OPT_COMMON, O_COMPLETION, O_MEM, O_JSON, O_METRICS, O_DURATION,
	O_BWLIMIT, O_PROGRESS, O_PROGRESS_FD, O_CONFIG
};

const struct opt opts_shared[] = {
	{ 'n', "dry-run", NULL, "only say what would be done", NULL },
	{ 'j', "jobs", "N", "so many operations at once (0: automatic)", NULL },
	{ 'o', "output", "FORM", "wide, name or tsv instead of the usual table", "wide name tsv" },
	{ '0', "null", NULL, "names end with NUL instead of newline", NULL },
	{ 'f', "force", NULL, "binary data even to or from a terminal", NULL },
	{ 'q', "quiet", NULL, "no notes, only errors", NULL },
	{ 'v', "verbose", NULL, "say more; twice, more still", NULL },
	{ O_JSON, "json", NULL, "one JSON object a line, with its schema", NULL },
	{ O_MEM, "mem", "SIZE", "memory for data in flight (default 1G)", NULL },
	{ O_BWLIMIT, "bwlimit", "RATE", "no faster than this, like 500MB/s", NULL },
	{ O_DURATION, "max-duration", "TIME", "stop after this time, like 20m", NULL },
	{ O_METRICS, "metrics-file", "FILE", "write Prometheus metrics here at the end", "FILE" },
	{ O_PROGRESS, "progress", "WHEN", "auto, plain, json or none", "auto plain json none" },
	{ O_PROGRESS_FD, "progress-fd", "N", "progress lines to this descriptor", NULL },
	{ O_CONFIG, "config", "FILE", "settings from this file", "FILE" },
	{ OPT_SETTING, "endpoint-url", "URL", "S3 endpoint", NULL },
	{ OPT_SETTING + 1, "region", "NAME", "S3 region", NULL },
	{ OPT_SETTING + 2, "profile", "NAME", "AWS profile", NULL },
	{ OPT_SETTING + 3, "ca-bundle", "FILE", "certificates to trust", "FILE" },
	{ OPT_SETTING + 4, "retries", "N", "attempts after the first (default 8)", NULL },
	{ OPT_SETTING + 5, "timeout", "TIME", "give up on a silent server after this", NULL },
	{ OPT_SETTING + 6, "index", "URL", "last uses: a file, redis://, auto or none", NULL },
	{ OPT_SETTING + 7, "password-file", "FILE", "password of the store or peer", "FILE" },
	{ OPT_SETTING + 9, "client-cert", "FILE", "certificate to show to a TLS server", "FILE" },
	{ OPT_SETTING + 10, "client-key", "FILE", "and its key", "FILE" },
	{ OPT_SETTING + 11, "no-sign-request", NULL, "S3 without credentials", NULL },
	{ OPT_SETTING + 12, "virtual-host", NULL, "S3 buckets as host names", NULL },
	{ OPT_SETTING + 13, "storage-class", "NAME", "of new S3 objects", NULL },
	{ OPT_SETTING + 14, "sse", "NAME", "encryption of new S3 objects", "AES256 aws:kms" },
	{ OPT_SETTING + 15, "sse-kms-key-id", "ID", "and its key", NULL },
	{ OPT_SETTING + 16, "multipart-size", "SIZE", "parts of larger S3 objects", NULL },
	{ OPT_SETTING + 8, "credential", "NAME", "file in $CREDENTIALS_DIRECTORY", NULL },
	{ 'h', "help", NULL, "this text", NULL },
	{ O_VERSION, "version", NULL, "the version", NULL },
	{ O_COMPLETION, "completion", "SHELL", NULL, "bash zsh fish" },
	{ 0, NULL, NULL, NULL, NULL },
};

void
opts_bad(const char *fmt, ...)
{
	va_list ap;
	char line[512];

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	tool_warn("%s (try '%s --help')", line, tool_name);
	exit(2);
}

void
opts_no_memory(void)
{
	struct err e;

	err_set(&e, ERR_FAILED, "out of memory");
	opts_die(&e);
}

void
opts_die(const struct err *e)
{
	exit(tool_fail(e));
}

/* --config counts wherever it stands: what other options set must not be lost to it. */
static const char *
config_file(int argc, char **argv)
{
	const char *file = NULL;
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (!strncmp(argv[i], "--config=", 9))
			file = argv[i] + 9;
		else if (!strcmp(argv[i], "--config") && i + 1 < argc)
			file = argv[i + 1];
	}
	return file;
}

static void
open_settings(const char *file)
{
	struct err e;

	if (!opts_conf && conf_open(&opts_conf, file, &e) < 0)
		opts_die(&e);
}

static const struct opt *
by_id(const struct opt *t, int id)
{
	while (t->id && t->id != id)
		t++;
	return t->id ? t : NULL;
}

/* Is it one of these, which spaces separate? */
static int
is_one_of(const char *words, const char *word)
{
	size_t n = strlen(word);
	const char *p;

	for (p = words; n && (p = strstr(p, word)); p += n)
		if ((p == words || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return 1;
	return 0;
}

static int
progress_fd(const char *text, struct err *e)
{
	uint64_t v;

	if (num_u64(&v, text, 0, 1 << 20, "--progress-fd", e) < 0)
		return -1;
	if (fcntl((int)v, F_GETFD) < 0)
		return err_set(e, ERR_USAGE, "--progress-fd '%s': no open descriptor", text);
	opts_common.progress_fd = (int)v;
	return 0;
}

/* A setting is used much later, or never: what is no number is told at once. label: its name as
 * it was given. */
static int
check_number(const char *name, const char *value, const char *label, struct err *e)
{
	uint64_t n;
	double s;

	if (!strcmp(name, "bwlimit"))
		return num_rate(&opts_common.bwlimit, value, label, e);
	if (!strcmp(name, "retries"))
		return num_u64(&n, value, 0, 100, label, e);
	return strcmp(name, "timeout") != 0 ? 0 : num_duration(&s, value, label, e);
}

static int
setting(const struct opt *o, struct err *e)
{
	char label[64];

	snprintf(label, sizeof(label), "--%s", o->name);
	if (check_number(o->name, opts_arg, label, e) < 0)
		return -1;
	return conf_set(opts_conf, o->name, o->arg ? opts_arg : "1", e);
}

/* A line of a file that no tool looks at, misspelt as a rule. */
static void
tell_unknown(const char *name, const char *origin)
{
	static const char *const others[] = { "bwlimit", "lock-age", "psk-file", "quota-file",
		"unsigned-payload", NULL };
	struct near n = { .word = name };
	size_t i;

	for (i = 0; others[i]; i++)
		near_offer(&n, others[i]);
	for (i = 0; opts_shared[i].id; i++)
		if (opts_shared[i].id >= OPT_SETTING)
			near_offer(&n, opts_shared[i].name);
	if (!n.best)
		tool_warn("%s: '%s' is no setting", origin, name);
	else if (strcmp(n.best, name) != 0)
		tool_warn("%s: '%s' is no setting: %s?", origin, name, n.best);
}

/* Of the environment and the files: options were looked at as they came. */
static int
check_setting(void *ctx, const char *name, const char *value, const char *origin)
{
	struct err e;

	(void)ctx;
	if (!strcmp(origin, "option") || !strncmp(name, "store ", 6))
		return 0;
	if (!strncmp(origin, "file ", 5))
		tell_unknown(name, origin + 5);
	if (check_number(name, value, name, &e) < 0) {
		err_in(&e, "%s", origin);
		opts_die(&e);
	}
	return 0;
}

/* 1: done here */
static int
common(int id, const struct usage *u)
{
	struct opts_common *o = &opts_common;
	struct err e = { 0 };
	uint64_t v;
	int rc = 0;

	switch (id) {
	case 'n': o->dry = 1; break;
	case 'f': o->force = 1; break;
	case '0': o->nul = 1; break;
	case 'q': tool_verbose = -1; break;
	case 'v': tool_verbose++; break;
	case 'o':
		o->form = opts_arg;
		if (!is_one_of("wide name tsv", opts_arg))
			rc = err_set(&e, ERR_USAGE, "-o '%.20s': wide, name or tsv%s", opts_arg,
				strcmp(opts_arg, "json") != 0 ? "" : " (JSON is --json)");
		break;
	case 'j':
		rc = num_u64(&v, opts_arg, 0, 1024, "-j", &e);
		o->jobs = (unsigned)v;
		break;
	case O_JSON: o->json = tool_json = 1; break;
	case O_MEM: rc = num_size(&o->mem, opts_arg, "--mem", &e); break;
	case O_BWLIMIT: rc = setting(by_id(opts_shared, id), &e); break;
	case O_DURATION: rc = num_duration(&o->max_duration, opts_arg, "--max-duration", &e); break;
	case O_METRICS: o->metrics = opts_arg; break;
	case O_PROGRESS:
		o->progress = opts_arg;
		if (!is_one_of("auto plain json none", opts_arg))
			rc = err_set(&e, ERR_USAGE, "--progress '%.20s': auto, plain, json or none",
				opts_arg);
		break;
	case O_PROGRESS_FD: rc = progress_fd(opts_arg, &e); break;
	case O_CONFIG: break;	/* read before all others */
	case 'h': opts_help(u); exit(tool_end());
	case O_VERSION: printf("%s (kvtools) %s\n", tool_name, KVTOOLS_VERSION); exit(tool_end());
	case O_COMPLETION: rc = opts_completion(u, opts_arg, &e); if (!rc) exit(tool_end()); break;
	default:
		return 0;
	}
	if (rc < 0)
		opts_die(&e);
	return 1;
}

/* getopt's tables out of ours; made once. */
static struct option *
long_options(const struct usage *u, char *letters, size_t size)
{
	const struct opt *tables[] = { u->options, opts_shared }, *o;
	size_t n = 0, l = 0, t;
	struct option *out = NULL;

	for (t = 0; t < 2; t++) {
		for (o = tables[t]; o->id; o++) {
			struct option *more = realloc(out, (n + 2) * sizeof(*out));

			if (!more)
				opts_no_memory();
			out = more;
			out[n++] = (struct option){ o->name, o->arg ? required_argument : 0, NULL,
				o->id };
			/* a tool's own letter hides the common one */
			if (o->id > 255 || memchr(letters, o->id, l) || l + 4 > size)
				continue;
			letters[l++] = (char)o->id;
			if (o->arg)
				letters[l++] = ':';
		}
	}
	out[n] = (struct option){ 0 };
	letters[l] = 0;
	return out;
}

/* getopt(3) did not take it: a letter, a word, or one that takes no argument. */
static _Noreturn void
refuse(const char *word, const struct option *longs)
{
	const char *name = word + 2, *first = NULL, *second = NULL;
	struct near n = { .word = name };

	if (optopt && (strncmp(word, "--", 2) != 0 || !strchr(word, '=')))
		opts_bad("unknown option '-%c'", optopt);
	if (optopt)
		opts_bad("option '%.*s' takes no argument", (int)strcspn(word, "="), word);
	for (; longs->name; longs++) {
		near_offer(&n, longs->name);
		if (strncmp(longs->name, name, strcspn(name, "=")) != 0)
			continue;
		second = first;
		first = longs->name;
	}
	if (second)
		opts_bad("option '%s' is ambiguous: --%s, --%s", word, second, first);
	if (n.best)
		opts_bad("unknown option '%s': --%s?", word, n.best);
	opts_bad("unknown option '%s'", word);
}

int
opts_next(int argc, char **argv, const struct usage *u)
{
	static struct option *longs;
	static char letters[128];
	const struct opt *o;
	struct err e;
	int c;

	if (!longs) {
		longs = long_options(u, letters + 1, sizeof(letters) - 1);
		letters[0] = ':';
		open_settings(config_file(argc, argv));
	}
	for (;;) {
		c = getopt_long(argc, argv, letters, longs, NULL);
		opts_arg = optarg;
		if (c == -1) {
			conf_each(opts_conf, check_setting, NULL);
			return -1;
		}
		if (c == ':')
			opts_bad("option '%s' needs an argument", argv[optind - 1]);
		if (c == '?')
			refuse(argv[optind - 1], longs);
		if (by_id(u->options, c))
			return c;
		if (common(c, u))
			continue;
		o = by_id(opts_shared, c);
		if (setting(o, &e) < 0)
			opts_die(&e);
	}
}
