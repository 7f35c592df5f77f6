#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "conf/conf.h"
#include "conf/ini.h"

#define SYSTEM_FILE "/etc/kvtools/config"
#define SECRET_MAX (32 << 10)

enum where { OPTION, USER_FILE, SYSTEM, WHERES };	/* the environment stands after OPTION */

struct setting {
	struct setting *next;
	enum where where;
	char *name;	/* of [store X]: "store X" */
	char *value;
	char *origin;
};

struct conf {
	struct setting *first;
};

/* What reading one file needs to know. */
struct reading {
	struct conf *c;
	const char *path;
	enum where where;
	int names_secrets;
};

static void
setting_free(struct setting *s)
{
	free(s->name);
	free(s->value);
	free(s->origin);
	free(s);
}

static struct setting *
find_in(const struct conf *c, enum where where, const char *name)
{
	struct setting *s;

	for (s = c ? c->first : NULL; s; s = s->next)
		if (s->where == where && !strcmp(s->name, name))
			return s;
	return NULL;
}

/* Takes origin, also on failure. */
static int
add(struct conf *c, enum where where, const char *name, const char *value, char *origin,
	struct err *e)
{
	struct setting *old = find_in(c, where, name), *s = calloc(1, sizeof(*s)), **link;

	if (!s) {
		free(origin);
		return err_sys(e, "configuration");
	}
	s->where = where;
	s->name = strdup(name);
	s->value = strdup(value);
	s->origin = origin;
	if (!s->name || !s->value || !s->origin) {
		setting_free(s);
		errno = ENOMEM;
		return err_sys(e, "configuration");
	}
	for (link = &c->first; *link && *link != old; link = &(*link)->next)
		;
	s->next = old ? old->next : NULL;
	*link = s;
	if (old)
		setting_free(old);
	return 0;
}

static int
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

static int
is_secret(const char *name)
{
	return (strstr(name, "password") || strstr(name, "secret")) && !ends_with(name, "-file");
}

static int
file_setting(void *ctx, const char *section, const char *name, const char *value, int line,
	struct err *e)
{
	struct reading *r = ctx;
	char *origin;
	int store = !strncmp(section, "store ", 6) && !strcmp(name, "url");

	if (!store && strcmp(section, "kvtools") != 0)
		return err_set(e, ERR_USAGE, "%s:%d: no place for '%s' in section [%s]", r->path,
			line, name, section);
	if (is_secret(name))
		return err_set(e, ERR_USAGE, "%s:%d: a secret does not belong in here; name a file "
			"that holds it: %s-file =", r->path, line, name);
	if (ends_with(name, "-file"))
		r->names_secrets = 1;
	if (asprintf(&origin, "file %s:%d", r->path, line) < 0)
		return err_sys(e, "configuration");
	return add(r->c, r->where, store ? section : name, value, origin, e);
}

/* 1: there is none. */
static int
read_file(struct conf *c, const char *path, enum where where, struct err *e)
{
	struct reading r = { c, path, where, 0 };
	struct stat st;
	int rc = ini_read(path, file_setting, &r, e);

	if (rc == 0 && r.names_secrets && stat(path, &st) == 0 && (st.st_mode & S_IWOTH))
		return err_set(e, ERR_REFUSED, "%s: says where secrets are, and everyone may "
			"write to it; use chmod o-w", path);
	return rc;
}

static int
read_standard_files(struct conf *c, struct err *e)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	struct buf path = { 0 };
	int rc = 0;

	if (xdg && *xdg == '/')
		buf_printf(&path, "%s/kvtools/config", xdg);
	else if (home && *home)
		buf_printf(&path, "%s/.config/kvtools/config", home);
	if (path.len && !buf_text(&path))
		rc = err_sys(e, "configuration");
	else if (path.len)
		rc = read_file(c, path.p, USER_FILE, e);
	buf_free(&path);
	return rc < 0 ? -1 : read_file(c, SYSTEM_FILE, SYSTEM, e);
}

int
conf_open(struct conf **out, const char *file, struct err *e)
{
	struct conf *c = calloc(1, sizeof(*c));
	int rc;

	*out = NULL;
	if (!c)
		return err_sys(e, "configuration");
	rc = file ? read_file(c, file, USER_FILE, e) : read_standard_files(c, e);
	if (rc > 0 && file)
		rc = err_set(e, ERR_USAGE, "configuration '%s': no such file", file);
	if (rc < 0) {
		conf_close(c);
		return -1;
	}
	*out = c;
	return 0;
}

void
conf_close(struct conf *c)
{
	struct setting *s;

	if (!c)
		return;
	while ((s = c->first)) {
		c->first = s->next;
		setting_free(s);
	}
	free(c);
}

int
conf_set(struct conf *c, const char *name, const char *value, struct err *e)
{
	return add(c, OPTION, name, value, strdup("option"), e);
}

/* "endpoint-url" -> "KVTOOLS_ENDPOINT_URL" */
static const char *
variable(char out[128], const char *name)
{
	size_t i;

	snprintf(out, 128, "KVTOOLS_%s", name);
	for (i = 8; out[i]; i++)
		out[i] = (char)(out[i] == '-' ? '_' : toupper((unsigned char)out[i]));
	return out;
}

const char *
conf_get(const struct conf *c, const char *name)
{
	const struct setting *s = find_in(c, OPTION, name);
	const char *value = s ? s->value : NULL;
	char var[128];

	if (!value)
		value = getenv(variable(var, name));
	if (!value && ((s = find_in(c, USER_FILE, name)) || (s = find_in(c, SYSTEM, name))))
		value = s->value;
	return value;
}

const char *
conf_origin(const struct conf *c, const char *name)
{
	static _Thread_local char text[160];
	const struct setting *s = find_in(c, OPTION, name);
	char var[128];

	if (s)
		return s->origin;
	if (getenv(variable(var, name))) {
		snprintf(text, sizeof(text), "environment %s", var);
		return text;
	}
	s = find_in(c, USER_FILE, name);
	if (!s)
		s = find_in(c, SYSTEM, name);
	return s ? s->origin : NULL;
}

char *
conf_store_url(const struct conf *c, const char *text, struct err *e)
{
	const struct setting *s;
	struct buf b = { 0 };
	char name[128];
	size_t n, cut;

	if (!strcmp(text, "-")) {
		err_set(e, ERR_USAGE, "'-': standard input and output are no store");
		return NULL;
	}
	if (*text != '@')
		return strdup(text);
	n = strcspn(text + 1, "/?");
	snprintf(name, sizeof(name), "store %.*s", (int)n, text + 1);
	s = find_in(c, USER_FILE, name);
	if (!s)
		s = find_in(c, SYSTEM, name);
	if (!s) {
		err_set(e, ERR_USAGE, "'%s': no section [%s] in the configuration", text, name);
		return NULL;
	}
	text += 1 + n;
	cut = strcspn(s->value, "?");
	buf_add(&b, s->value, cut);
	if (cut && *text == '/' && s->value[cut - 1] == '/')
		text++;
	n = strcspn(text, "?");
	buf_add(&b, text, n);
	buf_str(&b, s->value + cut);
	if (text[n]) {
		buf_chr(&b, s->value[cut] ? '&' : '?');
		buf_str(&b, text + n + 1);
	}
	if (!buf_text(&b)) {
		errno = ENOMEM;
		err_sys(e, "configuration");
		buf_free(&b);
	}
	return b.p;
}

/* Is s the setting that counts among those of its name? */
static int
counts(const struct conf *c, const struct setting *s)
{
	char var[128];

	if (s->where == OPTION)
		return 1;
	return !find_in(c, OPTION, s->name) && !getenv(variable(var, s->name)) &&
		(s->where == USER_FILE || !find_in(c, USER_FILE, s->name));
}

static int
each_variable(const struct conf *c,
	int (*each)(void *ctx, const char *name, const char *value, const char *origin), void *ctx)
{
	char name[128], origin[160];
	char **v;
	int rc = 0;

	for (v = environ; *v && rc == 0; v++) {
		size_t n = strcspn(*v, "="), i;

		if (strncmp(*v, "KVTOOLS_", 8) != 0 || n >= sizeof(name) || !(*v)[n])
			continue;
		snprintf(origin, sizeof(origin), "environment %.*s", (int)n, *v);
		snprintf(name, sizeof(name), "%.*s", (int)n - 8, *v + 8);
		for (i = 0; name[i]; i++)
			name[i] = (char)(name[i] == '_' ? '-' : tolower((unsigned char)name[i]));
		if (!find_in(c, OPTION, name))
			rc = each(ctx, name, is_secret(name) ? "(secret)" : *v + n + 1, origin);
	}
	return rc;
}

int
conf_each(const struct conf *c,
	int (*each)(void *ctx, const char *name, const char *value, const char *origin), void *ctx)
{
	const struct setting *s;
	int rc;

	for (s = c ? c->first : NULL; s; s = s->next)
		if (counts(c, s) && (rc = each(ctx, s->name, s->value, s->origin)) != 0)
			return rc;
	return each_variable(c, each, ctx);
}

static int
secret_file(const char *path, int private_dir, struct buf *out, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		err_sys(e, "secret file '%s'", path);
		return err_named(e);
	}
	if (!private_dir && (st.st_mode & (S_IROTH | S_IWOTH)))
		return err_set(e, ERR_REFUSED, "secret file '%s': everyone may read it; "
			"use chmod 600", path);
	/* All the room at once: io_slurp takes 64 KiB at a time, and a
	 * buffer that moves leaves copies behind. */
	if (!buf_room(out, 3 * 65536))
		return err_sys(e, "secret file '%s'", path);
	return io_slurp(path, out, SECRET_MAX, e);
}

static int
find_secret(const struct conf *c, const char *name, const char *env, struct buf *out,
	struct err *e)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY"), *file, *cred;
	char key[128], path[4096];

	snprintf(key, sizeof(key), "%s-file", name);
	file = conf_get(c, key);
	if (file)
		return secret_file(file, 0, out, e);
	cred = conf_get(c, "credential");
	if (cred) {
		if (!*cred || strchr(cred, '/') || *cred == '.')
			return err_set(e, ERR_USAGE, "--credential '%s': not a name", cred);
		if (!dir)
			return err_set(e, ERR_USAGE, "--credential '%s': $CREDENTIALS_DIRECTORY is "
				"not set (systemd's LoadCredential= does)", cred);
		snprintf(path, sizeof(path), "%s/%s", dir, cred);
		return secret_file(path, 1, out, e);
	}
	if (!env || !getenv(env))
		return err_set(e, ERR_ABSENT, "%s: not set", name);
	return buf_str(out, getenv(env)) < 0 ? err_sys(e, "%s", name) : 0;
}

int
conf_secret(const struct conf *c, const char *name, const char *env, struct buf *out,
	struct err *e)
{
	if (find_secret(c, name, env, out, e) < 0)
		goto fail;
	while (out->len && (out->p[out->len - 1] == '\n' || out->p[out->len - 1] == '\r'))
		out->len--;
	if (!buf_text(out)) {
		errno = ENOMEM;
		err_sys(e, "%s", name);
		goto fail;
	}
	return 0;
fail:
	conf_forget(out);
	return -1;
}

void
conf_forget(struct buf *secret)
{
	if (secret->p)
		explicit_bzero(secret->p, secret->cap);
	buf_free(secret);
}
