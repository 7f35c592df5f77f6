#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "conf/ini.h"

#define FILE_MAX (1 << 20)
#define NAME_LEN 256

static char *
trim(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	for (n = strlen(s); n > 0 && isspace((unsigned char)s[n - 1]); n--)
		;
	s[n] = 0;
	return s;
}

struct ini {
	char section[NAME_LEN];
	char parent[NAME_LEN];	/* the last name at the margin if it had no value, or "" */
};

static int
set_section(struct ini *ini, char *s)
{
	char *end = strchr(s, ']');

	if (!end || *trim(end + 1) || (size_t)(end - s) >= sizeof(ini->section))
		return -1;
	*end = 0;
	strcpy(ini->section, trim(s));
	ini->parent[0] = 0;
	return 0;
}

/* One line, not blank and no comment. Returns 1 when it is a setting. */
static int
parse_line(struct ini *ini, char *line, char full[2 * NAME_LEN], char **value)
{
	int indented = isspace((unsigned char)*line);
	char *s = trim(line), *name;
	size_t n = strcspn(s, "=:");

	if (*s == '[' && !indented)
		return set_section(ini, s + 1);
	if (!s[n] || n == 0)
		return -1;
	s[n] = 0;
	name = trim(s);
	*value = trim(s + n + 1);
	if (!*name || strlen(name) >= NAME_LEN)
		return -1;
	if (!indented)
		strcpy(ini->parent, **value ? "" : name);
	if (indented && ini->parent[0])
		snprintf(full, 2 * NAME_LEN, "%s.%s", ini->parent, name);
	else
		strcpy(full, name);
	return 1;
}

int
ini_parse(char *text, const char *path, ini_each *each, void *ctx, struct err *e)
{
	struct ini ini = { "", "" };
	char *line, *next, *value, name[2 * NAME_LEN];
	int no = 0, rc;

	if (!strncmp(text, "\xef\xbb\xbf", 3))
		text += 3;
	for (line = text; line; line = next) {
		char *first = line;

		no++;
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		while (isspace((unsigned char)*first))
			first++;
		if (!*first || *first == '#' || *first == ';')
			continue;
		rc = parse_line(&ini, line, name, &value);
		if (rc < 0)
			return err_set(e, ERR_USAGE, "%s:%d: neither [section] nor name = value",
				path, no);
		if (rc > 0 && each(ctx, ini.section, name, value, no, e) < 0)
			return -1;
	}
	return 0;
}

int
ini_read(const char *path, ini_each *each, void *ctx, struct err *e)
{
	struct buf b = { 0 };
	int rc = -1;

	if (access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 1;
	if (io_slurp(path, &b, FILE_MAX, e) < 0)
		goto free_b;
	if (!buf_text(&b)) {
		errno = ENOMEM;
		err_sys(e, "read '%s'", path);
		goto free_b;
	}
	if (memchr(b.p, 0, b.len))
		err_set(e, ERR_USAGE, "%s: not a text file", path);
	else
		rc = ini_parse(b.p, path, each, ctx, e);
free_b:
	if (b.p)
		explicit_bzero(b.p, b.cap);	/* AWS keeps secrets in such files */
	buf_free(&b);
	return rc;
}
