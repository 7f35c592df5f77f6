#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/uri.h"

static size_t
scheme_len(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '+')
		n++;
	return n >= 2 && s[n] == ':' && isalpha((unsigned char)s[0]) ? n : 0;
}

int
uri_encode(struct buf *out, const char *s, size_t n, const char *keep)
{
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (isalnum(c) || (c && strchr("-._~", c)) || (c && strchr(keep, c)))
			buf_chr(out, (char)c);
		else
			buf_printf(out, "%%%02X", c);
	}
	return out->fail ? -1 : 0;
}

int
uri_decode(struct buf *out, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '%') {
			if (n - i < 3 || hex_read(&c, s + i + 1, 1) < 0 || c == 0)
				return -1;
			i += 2;
		}
		buf_chr(out, (char)c);
	}
	return out->fail ? -1 : 0;
}

static char *
decoded(const char *s, size_t n, struct err *e)
{
	struct buf b = { 0 };

	if (uri_decode(&b, s, n) < 0 || !buf_text(&b)) {
		err_set(e, ERR_USAGE, "url: bad escape in '%.*s'", (int)n, s);
		buf_free(&b);
		return NULL;
	}
	return b.p;
}

static int
parse_args(struct uri *u, const char *q, struct err *e)
{
	while (*q) {
		size_t n = strcspn(q, "&"), eq = strcspn(q, "=&");
		struct uri_arg *a = realloc(u->args, (size_t)(u->n_args + 1) * sizeof(*a));

		if (!a)
			return err_sys(e, "url");
		u->args = a;
		a += u->n_args;
		a->value = NULL;
		a->name = decoded(q, eq, e);
		if (!a->name)
			return -1;
		u->n_args++;
		a->value = eq < n ? decoded(q + eq + 1, n - eq - 1, e) : strdup("");
		if (!a->value)
			return -1;
		q += n;
		if (*q == '&')
			q++;
	}
	return 0;
}

/* "host:port" or "[v6]:port", n bytes. */
static int
parse_host(struct uri *u, const char *s, size_t n, struct err *e)
{
	const char *at = memrchr(s, '@', n), *colon;
	char port[8];
	uint64_t v;

	if (at && memchr(s, ':', (size_t)(at - s)))
		return err_set(e, ERR_USAGE, "url: a password in a URL is visible to everyone; "
			"use --password-file, --credential or the environment");
	if (at)
		return err_set(e, ERR_USAGE, "url: a user name does not belong in a URL; "
			"use the environment or ?user=");
	if (n && *s == '[') {
		const char *close = memchr(s, ']', n);

		if (!close)
			return err_set(e, ERR_USAGE, "url: '[' without ']'");
		u->host = strndup(s + 1, (size_t)(close - s - 1));
		colon = close + 1 < s + n ? close + 1 : NULL;
		if (colon && *colon != ':')
			return err_set(e, ERR_USAGE, "url: text after ']'");
	} else {
		colon = memrchr(s, ':', n);
		u->host = strndup(s, colon ? (size_t)(colon - s) : n);
	}
	if (!u->host)
		return err_sys(e, "url");
	if (!colon)
		return 0;
	n -= (size_t)(colon + 1 - s);
	if (n >= sizeof(port))
		return err_set(e, ERR_USAGE, "url: bad port");
	memcpy(port, colon + 1, n);
	port[n] = 0;
	if (num_u64(&v, port, 0, 65535, "port", e) < 0)
		return -1;
	u->port = (int)v;
	return 0;
}

/* Where the query begins, or the end. */
static const char *
find_query(const char *rest)
{
	const char *q = strrchr(rest, '?'), *p;

	if (!q)
		return rest + strlen(rest);
	for (p = q + 1; *p && *p != '='; p++)
		if (!isalnum((unsigned char)*p) && *p != '_' && *p != '-')
			return rest + strlen(rest);
	return *p == '=' || p == q + 1 ? q : rest + strlen(rest);
}

int
uri_parse(struct uri **out, const char *text, struct err *e)
{
	size_t n = scheme_len(text), len;
	const char *rest = n ? text + n + 1 : text, *query = find_query(rest);
	struct uri *u = calloc(1, sizeof(*u));
	size_t i;

	*out = NULL;
	if (!u)
		return err_sys(e, "url");
	u->port = -1;
	u->text = strdup(text);
	u->scheme = n ? strndup(text, n) : strdup("file");
	if (!u->text || !u->scheme) {
		err_sys(e, "url");
		goto fail;
	}
	for (i = 0; u->scheme[i]; i++)
		u->scheme[i] = (char)tolower((unsigned char)u->scheme[i]);
	len = (size_t)(query - rest);
	if (n && len >= 2 && rest[0] == '/' && rest[1] == '/') {
		const char *host = rest + 2, *slash = memchr(host, '/', len - 2);
		size_t hl = slash ? (size_t)(slash - host) : len - 2;

		if (parse_host(u, host, hl, e) < 0)
			goto fail;
		rest = host + hl;
	}
	if (!u->host)
		u->host = strdup("");
	u->path = n ? decoded(rest, (size_t)(query - rest), e) :
		strndup(rest, (size_t)(query - rest));
	if (!u->host || !u->path)
		goto fail;
	if (*query && parse_args(u, query + 1, e) < 0)
		goto fail;
	if (!*text) {
		err_set(e, ERR_USAGE, "url: empty");
		goto fail;
	}
	*out = u;
	return 0;
fail:
	uri_free(u);
	return -1;
}

void
uri_free(struct uri *u)
{
	int i;

	if (!u)
		return;
	for (i = 0; i < u->n_args; i++) {
		free(u->args[i].name);
		free(u->args[i].value);
	}
	free(u->args);
	free(u->scheme);
	free(u->host);
	free(u->path);
	free(u->text);
	free(u);
}

const char *
uri_arg(const struct uri *u, const char *name)
{
	int i;

	for (i = 0; i < u->n_args; i++)
		if (!strcmp(u->args[i].name, name))
			return u->args[i].value;
	return NULL;
}

int
uri_check_args(const struct uri *u, const char *const *known, struct err *e)
{
	int i, k;

	for (i = 0; i < u->n_args; i++) {
		for (k = 0; known[k] && strcmp(known[k], u->args[i].name) != 0; k++)
			;
		if (!known[k])
			return err_set(e, ERR_USAGE, "url: %s: takes no argument '%s'", u->scheme,
				u->args[i].name);
	}
	return 0;
}

const char *
uri_safe(char out[256], const char *text)
{
	size_t n = scheme_len(text);
	const char *rest = n ? text + n + 1 : text, *query = find_query(rest), *at;

	if (n && !strncmp(rest, "//", 2)) {
		size_t host = strcspn(rest + 2, "/?");

		at = memrchr(rest + 2, '@', host);
		if (at) {
			snprintf(out, 256, "%.*s://%.*s", (int)n, text, (int)(query - at - 1),
				at + 1);
			return out;
		}
	}
	snprintf(out, 256, "%.*s", (int)(query - text), text);
	return out;
}
