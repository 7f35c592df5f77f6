#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/aws_chain.h"
#include "conf/ini.h"

struct reading {
	struct aws_profiles *p;
	int config;		/* the config file: sections are "profile NAME" */
};

static int
take_line(void *ctx, const char *section, const char *name, const char *value, int no,
	struct err *e)
{
	struct reading *r = ctx;
	struct aws_line *l = realloc(r->p->lines, (r->p->n + 1) * sizeof(*l));
	(void)no;

	if (!l)
		return err_sys(e, "AWS configuration");
	r->p->lines = l;
	l += r->p->n;
	/* A profile is kept as "profile NAME" whichever file it is in; "default" needs no word. */
	if (!r->config || !strcmp(section, "default")) {
		if (asprintf(&l->section, "profile %s", section) < 0)
			l->section = NULL;
	} else {
		l->section = strdup(section);
	}
	l->name = strdup(name);
	l->value = strdup(value);
	r->p->n++;
	if (l->section && l->name && l->value)
		return 0;
	errno = ENOMEM;
	return err_sys(e, "AWS configuration");
}

static int
read_one(struct aws_profiles *p, const char *variable, const char *name, int config, struct err *e)
{
	const char *named = getenv(variable), *home = getenv("HOME");
	struct reading r = { p, config };
	char path[4096];

	if (named && *named)
		snprintf(path, sizeof(path), "%s%s", *named == '~' && home ? home : "",
			*named == '~' ? named + 1 : named);
	else if (home)
		snprintf(path, sizeof(path), "%s/.aws/%s", home, name);
	else
		return 0;
	return ini_read(path, take_line, &r, e) < 0 ? -1 : 0;
}

int
aws_profiles_read(struct aws_profiles *p, struct err *e)
{
	if (read_one(p, "AWS_SHARED_CREDENTIALS_FILE", "credentials", 0, e) < 0 ||
	    read_one(p, "AWS_CONFIG_FILE", "config", 1, e) < 0)
		return -1;
	return 0;
}

void
aws_profiles_free(struct aws_profiles *p)
{
	size_t i;

	for (i = 0; i < p->n; i++) {
		free(p->lines[i].section);
		free(p->lines[i].name);
		if (p->lines[i].value)
			explicit_bzero(p->lines[i].value, strlen(p->lines[i].value));
		free(p->lines[i].value);
	}
	free(p->lines);
	memset(p, 0, sizeof(*p));
}

static int
is_profile(const struct aws_line *l, const char *profile)
{
	return !strncmp(l->section, "profile ", 8) && !strcmp(l->section + 8, profile);
}

int
aws_profile_exists(const struct aws_profiles *p, const char *profile)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (is_profile(&p->lines[i], profile))
			return 1;
	return 0;
}

const char *
aws_profile_get(const struct aws_profiles *p, const char *profile, const char *name)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (is_profile(&p->lines[i], profile) && !strcmp(p->lines[i].name, name))
			return p->lines[i].value;
	return NULL;
}

const char *
aws_profile_endpoint(const struct aws_profiles *p, const char *profile, const char *service)
{
	const char *services = aws_profile_get(p, profile, "services");
	char section[160], name[64];
	size_t i;

	snprintf(section, sizeof(section), "services %s", services ? services : "");
	snprintf(name, sizeof(name), "%s.endpoint_url", service);
	for (i = 0; services && i < p->n; i++)
		if (!strcmp(p->lines[i].section, section) && !strcmp(p->lines[i].name, name))
			return p->lines[i].value;
	return aws_profile_get(p, profile, "endpoint_url");
}
