#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/xml.h"
#include "conf/aws_chain.h"

#define TOKEN_MAX (64 << 10)
#define STS_TIMEOUT_S 20

/* What is wanted from the answer of either action; points into its text. */
struct answer {
	const char *id, *secret, *token, *expires, *code;
};

static int
take_element(void *ctx, const char *path, const char *text, struct err *e)
{
	struct answer *a = ctx;
	const char *leaf = strrchr(path, '/');
	(void)e;

	if (!leaf)
		return 0;
	if (!strcmp(leaf, "/AccessKeyId"))
		a->id = text;
	else if (!strcmp(leaf, "/SecretAccessKey"))
		a->secret = text;
	else if (!strcmp(leaf, "/SessionToken"))
		a->token = text;
	else if (!strcmp(leaf, "/Expiration"))
		a->expires = text;
	else if (!strcmp(leaf, "/Code"))
		a->code = text;
	return 0;
}

static int
read_answer(struct buf *text, int status, struct aws_keys *k, struct err *e)
{
	struct answer a = { 0 };
	int bad = xml_scan(text->p, text->len, take_element, &a, e) < 0;

	if (status != 200)
		return err_set(e, status >= 500 || status == 429 ? ERR_TEMP : ERR_REFUSED,
			"sts: status %d %.60s", status, !bad && a.code ? a.code : "");
	if (bad)
		return err_in(e, "sts");
	if (!a.id || !a.secret || !a.token)
		return err_set(e, ERR_CORRUPT, "sts: no credentials in the answer");
	return aws_keys_fill(k, a.id, a.secret, a.token, a.expires, e);
}

static void
sts_url(const struct aws *a, struct buf *out)
{
	const char *v = getenv("AWS_ENDPOINT_URL_STS");

	if (!v || !*v)
		v = getenv("AWS_ENDPOINT_URL");
	if (!v || !*v)
		v = aws_profile_endpoint(&a->files, a->profile, "sts");
	if (v && *v)
		buf_printf(out, "%s%s", v, v[strlen(v) - 1] == '/' ? "" : "/");
	else
		buf_printf(out, "https://sts.%s.amazonaws.com/", a->region);
}

static int
token_from(const char *path, struct buf *body, struct err *e)
{
	struct buf token = { 0 };
	int rc = io_slurp(path, &token, TOKEN_MAX, e);

	while (rc == 0 && token.len && strchr("\r\n", token.p[token.len - 1]))
		token.len--;
	if (rc == 0 && buf_text(&token))
		rc = aws_query_add(body, "WebIdentityToken", token.p);
	conf_forget(&token);
	return rc;
}

static int
form(const struct aws_role *role, int web, struct buf *body, struct err *e)
{
	char session[64];

	snprintf(session, sizeof(session), "kvtools-%ld", (long)getpid());
	aws_query_add(body, "Action", web ? "AssumeRoleWithWebIdentity" : "AssumeRole");
	aws_query_add(body, "Version", "2011-06-15");
	aws_query_add(body, "RoleArn", role->arn);
	aws_query_add(body, "RoleSessionName", role->session ? role->session : session);
	if (role->external_id)
		aws_query_add(body, "ExternalId", role->external_id);
	if (role->duration)
		aws_query_add(body, "DurationSeconds", role->duration);
	if (web && token_from(role->token_file, body, e) < 0)
		return -1;
	return buf_text(body) ? 0 : err_sys(e, "sts");
}

/* "host:port" of a URL. */
static void
host_of(char *out, size_t n, const char *url)
{
	const char *p = strstr(url, "://");

	p = p ? p + 3 : url;
	snprintf(out, n, "%.*s", (int)strcspn(p, "/?"), p);
}

static int
sign(const struct aws *a, const char *url, const struct buf *body, const struct aws_keys *keys,
	struct buf lines[3], struct err *e)
{
	char host[256], time[17], hash[AWS_HASH_TEXT];
	struct aws_header headers[3] = {
		{ "host", host }, { "x-amz-date", time }, { "x-amz-security-token", keys->token },
	};
	struct aws_request r = {
		.method = "POST", .path = "/", .query = "", .headers = headers,
		.n_headers = keys->token ? 3 : 2, .payload = hash, .region = a->region,
		.service = "sts", .time = time,
	};
	struct aws_sign_key key = { .scope = "" };
	int rc;

	host_of(host, sizeof(host), url);
	aws_time(time, clock_now());
	if (aws_hash(hash, body->p, body->len, e) < 0)
		return -1;
	buf_printf(&lines[0], "x-amz-date: %s", time);
	if (keys->token)
		buf_printf(&lines[1], "x-amz-security-token: %s", keys->token);
	buf_str(&lines[2], "Authorization: ");
	rc = aws_sign(&r, keys->id, keys->secret, &key, &lines[2], e);
	aws_sign_key_forget(&key);
	return rc;
}

int
aws_assume(struct aws *a, const struct aws_role *role, const struct aws_keys *keys,
	struct aws_keys *k, struct err *e)
{
	struct buf url = { 0 }, body = { 0 }, answer = { 0 }, lines[3] = { 0 };
	struct aws_call call = { .method = "POST", .timeout_s = STS_TIMEOUT_S };
	int rc = -1, status, i, n = 0;

	sts_url(a, &url);
	if (!buf_text(&url)) {
		err_sys(e, "sts");
		goto done;
	}
	if (form(role, keys == NULL, &body, e) < 0 ||
	    (keys && sign(a, url.p, &body, keys, lines, e) < 0))
		goto done;
	call.url = url.p;
	call.body = body.p;
	call.ca_bundle = aws_ca_bundle(a);
	for (i = 0; i < 3; i++)
		if (lines[i].len)
			call.headers[n++] = buf_text(&lines[i]);
	status = aws_fetch(&call, &answer, e);
	if (status >= 0 && buf_room(&answer, 1))
		rc = read_answer(&answer, status, k, e);
	if (rc < 0)
		err_in(e, "role '%s'", role->arn);
done:
	for (i = 0; i < 3; i++)
		conf_forget(&lines[i]);
	conf_forget(&answer);
	conf_forget(&body);
	buf_free(&url);
	return rc;
}

int
aws_from_web_identity(struct aws *a, struct aws_keys *k, struct err *e)
{
	struct aws_role role = {
		.arn = getenv("AWS_ROLE_ARN"),
		.session = getenv("AWS_ROLE_SESSION_NAME"),
		.token_file = getenv("AWS_WEB_IDENTITY_TOKEN_FILE"),
	};

	if (a->explicit_profile || !role.token_file || !*role.token_file)
		return 1;
	if (!role.arn || !*role.arn)
		return err_set(e, ERR_USAGE, "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN "
			"is not");
	snprintf(k->origin, sizeof(k->origin), "web identity");
	return aws_assume(a, &role, NULL, k, e);
}
