#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/num.h"
#include "select_opts.h"
#include "tool.h"

#define NO_NAME "none"	/* no hash begins like this */

/* Lists of texts, ended by NULL; they live as long as the program. */
static void
add(const char *const **list, size_t *n, const char *text)
{
	const char **v = realloc((void *)*list, (*n + 2) * sizeof(*v));

	if (!v)
		opts_no_memory();
	v[(*n)++] = text;
	v[*n] = NULL;
	*list = v;
}

/* "9ad0b1..." as it is; an object's name gives its hash. */
static const char *
prefix_of(const char *name)
{
	char hex[KEY_HEX];
	struct err e;
	struct key k;
	char *copy, *low, *p;

	if (key_parse_name(&k, name, NULL) == 0) {
		copy = strdup(key_hash_hex(hex, &k.hash));
		if (!copy)
			opts_no_memory();
		return copy;
	}
	if (key_prefix_check(name, &e) < 0)
		opts_die(&e);
	low = strdup(name);
	if (!low)
		opts_no_memory();
	for (p = low; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return low;
}

static void
add_name(struct select *s, const char *name)
{
	add(&s->prefixes, &s->n_prefixes, prefix_of(name));
}

/* The member "hash" or "name" of one NDJSON object. */
static char *
json_name(char *line)
{
	struct json j;
	struct err e;
	int t;

	json_open(&j, line, strlen(line));
	if (json_next(&j, &e) != JSON_OBJECT)
		return NULL;
	while ((t = json_next(&j, &e)) == JSON_NAME) {
		int wanted = json_is(&j, "hash") || json_is(&j, "name");

		if (wanted && json_next(&j, &e) == JSON_STRING && !j.escaped)
			return strndup(j.text, j.len);
		if (!wanted && json_skip(&j, &e) < 0)
			return NULL;
	}
	return NULL;
}

static void
names_from(struct select *s, const char *path)
{
	char sep = opts_common.nul ? 0 : '\n', *line, *next, *end, *name;
	struct buf b = { 0 };
	struct err e;

	if (io_slurp(!strcmp(path, "-") ? "/dev/stdin" : path, &b, 1u << 30, &e) < 0) {
		err_named(&e);
		opts_die(&e);
	}
	if (!buf_text(&b))
		opts_no_memory();
	for (line = b.p, end = b.p + b.len; line < end; line = next) {
		next = memchr(line, sep, (size_t)(end - line));
		next = next ? next + 1 : end + 1;
		next[-1] = 0;
		name = *line == '{' ? json_name(line) : line;
		if (name && *name)
			add_name(s, name);
		if (name != line)
			free(name);
	}
	buf_free(&b);
	if (!s->n_prefixes)	/* an empty list selects nothing, not everything */
		add(&s->prefixes, &s->n_prefixes, NO_NAME);
}

int
select_option(int id, struct select *s)
{
	static size_t n_include, n_exclude;
	struct err e;
	uint64_t v = 0;
	int rc = 0;

	switch (id) {
	case SEL_MODEL: s->model = opts_arg; break;
	case SEL_DTYPE:
		if (dtype_parse(opts_arg) == DT_NONE)
			opts_bad("--dtype '%.40s': no such type", opts_arg);
		s->dtype = dtype_word(dtype_parse(opts_arg));
		break;
	case SEL_TP: rc = num_u64(&v, opts_arg, 1, 65536, "--tp", &e); s->tp = (int64_t)v; break;
	case SEL_RANK:
		rc = num_u64(&v, opts_arg, 0, 65535, "--rank", &e);
		s->rank = (int64_t)v;
		break;
	case SEL_TENANT: s->tenant = opts_arg; break;
	case SEL_OLDER: rc = num_duration(&s->older_s, opts_arg, "--older-than", &e); break;
	case SEL_NEWER: rc = num_duration(&s->newer_s, opts_arg, "--newer-than", &e); break;
	case SEL_LARGER: rc = num_size(&s->larger, opts_arg, "--larger", &e); break;
	case SEL_SMALLER: rc = num_size(&s->smaller, opts_arg, "--smaller", &e); break;
	case SEL_INCLUDE: add(&s->include, &n_include, opts_arg); break;
	case SEL_EXCLUDE: add(&s->exclude, &n_exclude, opts_arg); break;
	case SEL_NAMES: names_from(s, opts_arg); break;
	default:
		return 0;
	}
	if (rc < 0)
		opts_die(&e);
	return 1;
}

void
select_names(struct select *s, char **names, int n)
{
	while (n-- > 0)
		add_name(s, *names++);
}

int
select_is_nothing(const struct select *s)
{
	return s->n_prefixes == 1 && !strcmp(s->prefixes[0], NO_NAME);
}

#define LOOKS_MAX (1u << 26)	/* names x rows that are compared, under a second */

/* How many different hashes fit; the first two are told. */
static size_t
fits(const struct catalog *c, const char *prefix, const struct cat_row *two[2])
{
	size_t i, n = 0;

	for (i = 0; i < c->n; i = catalog_chunk_end(c, i)) {
		if (!key_hash_match(&c->rows[i].hash, prefix))
			continue;
		if (n && !key_hash_cmp(&two[0]->hash, &c->rows[i].hash))
			continue;
		if (n < 2)
			two[n] = &c->rows[i];
		n++;
	}
	return n;
}

int
select_unique(const struct select *s, const struct catalog *c)
{
	const struct cat_row *two[2];
	char a[KEY_HEX], b[KEY_HEX];
	int rc = 0;
	size_t i, n;

	for (i = 0; i < s->n_prefixes; i++) {
		struct err e;

		if (!strcmp(s->prefixes[i], NO_NAME))
			continue;	/* nothing of an empty list is missing */
		if (strlen(s->prefixes[i]) == 64 && c->n > LOOKS_MAX / s->n_prefixes)
			continue;	/* whole names are unique, and so many are a program's */
		n = fits(c, s->prefixes[i], two);
		if (n == 1)
			continue;
		rc = -1;
		if (n == 0)
			err_set(&e, ERR_ABSENT, "%s: no such chunk", s->prefixes[i]);
		else
			err_set(&e, ERR_USAGE, "%s: ambiguous: %s, %s%s", s->prefixes[i],
				key_hash_hex(a, &two[0]->hash), key_hash_hex(b, &two[1]->hash),
				n > 2 ? " ..." : "");
		tool_fail(&e);
	}
	return rc;
}
