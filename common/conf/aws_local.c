#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/io.h"
#include "base/uri.h"
#include "conf/aws_chain.h"

/* Services of the machine we run on: container agents and instance metadata. */

#define CONTAINER_TIMEOUT_S 2
#define INSTANCE_TIMEOUT_S 1	/* elsewhere nobody answers: do not make people wait */
#define TOKEN_MAX (64 << 10)

/* Plain http is for addresses of this machine alone (AWS SDKs and Tools Reference Guide,
 * "Container credential provider"). */
static int
may_be_asked(const char *url)
{
	static const char *const hosts[] = {
		"127.0.0.1", "localhost", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23",
	};
	struct uri *u;
	size_t i;
	int ok = 0;

	if (uri_parse(&u, url, NULL) < 0)
		return 0;
	ok = !strcmp(u->scheme, "https");
	for (i = 0; !strcmp(u->scheme, "http") && i < sizeof(hosts) / sizeof(*hosts); i++)
		if (!strcmp(u->host, hosts[i]))
			ok = 1;
	uri_free(u);
	return ok;
}

static int
container_url(struct buf *url, struct err *e)
{
	const char *relative = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");

	if (relative && *relative)
		buf_printf(url, "http://169.254.170.2%s", relative);
	else if (full && *full && !may_be_asked(full))
		return err_set(e, ERR_USAGE, "AWS_CONTAINER_CREDENTIALS_FULL_URI: http is only for "
			"addresses of this machine");
	else if (full && *full)
		buf_str(url, full);
	else
		return 1;
	return buf_text(url) ? 0 : err_sys(e, "container credentials");
}

static int
container_token(struct buf *line, struct err *e)
{
	const char *file = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");

	if ((!file || !*file) && (!token || !*token))
		return 0;
	buf_str(line, "Authorization: ");
	if (file && *file) {
		if (io_slurp(file, line, TOKEN_MAX, e) < 0)
			return -1;
		while (line->len && strchr("\r\n", line->p[line->len - 1]))
			line->len--;
	} else {
		buf_str(line, token);
	}
	if (!buf_text(line))
		return err_sys(e, "container credentials");
	if (strpbrk(line->p, "\r\n"))
		return err_set(e, ERR_USAGE, "container credentials: the token has a line end");
	return 0;
}

static int
unexpected(const char *who, int status, struct err *e)
{
	return err_set(e, status >= 500 || status == 429 ? ERR_TEMP : ERR_REFUSED,
		"%s: status %d", who, status);
}

int
aws_from_container(struct aws *a, struct aws_keys *k, struct err *e)
{
	struct buf url = { 0 }, line = { 0 }, answer = { 0 };
	struct aws_call call = { .method = "GET", .timeout_s = CONTAINER_TIMEOUT_S, .local = 1 };
	int rc = container_url(&url, e), status;

	if (rc != 0)
		goto done;
	rc = container_token(&line, e);
	if (rc < 0)
		goto done;
	call.url = url.p;
	call.ca_bundle = aws_ca_bundle(a);
	call.headers[0] = line.len ? line.p : NULL;
	status = aws_fetch(&call, &answer, e);
	if (status == 200)
		rc = aws_keys_from_json(k, answer.p, answer.len, "Token", e);
	else
		rc = status < 0 ? -1 : unexpected("container credentials", status, e);
	snprintf(k->origin, sizeof(k->origin), "container service");
done:
	conf_forget(&answer);
	conf_forget(&line);
	buf_free(&url);
	return rc;
}

/* One exchange with the metadata service; 1: nobody is there, or it does not know. */
static int
ask_instance(const char *method, const char *path, const char *header, struct buf *out,
	struct err *e)
{
	const char *base = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	struct aws_call call = {
		.method = method, .headers = { header }, .timeout_s = INSTANCE_TIMEOUT_S,
		.local = 1,
	};
	struct buf url = { 0 };
	int status = -1;
	size_t n;

	if (!base || !*base)
		base = "http://169.254.169.254";
	n = strlen(base);
	buf_printf(&url, "%.*s%s", (int)(base[n - 1] == '/' ? n - 1 : n), base, path);
	call.url = buf_text(&url);
	if (call.url)
		status = aws_fetch(&call, out, e);
	buf_free(&url);
	if (status == 200)
		return buf_text(out) ? 0 : err_sys(e, "instance metadata");
	if (status < 0 || status == 404 || status == 403 || status == 400)
		return 1;
	return unexpected("instance metadata", status, e);
}

/* The answer has AccessKeyId and so on when "Code" is "Success". */
static int
take_role(const char *role, struct buf *answer, struct aws_keys *k, struct err *e)
{
	json_t *j = json_loadb(answer->p, answer->len, 0, NULL);
	const char *code = json_string_value(json_object_get(j, "Code"));
	int rc;

	if (code && strcmp(code, "Success") != 0)
		rc = err_set(e, ERR_REFUSED, "instance role '%s': %.60s", role, code);
	else
		rc = aws_keys_from_json(k, answer->p, answer->len, "Token", e);
	json_decref(j);
	snprintf(k->origin, sizeof(k->origin), "instance role '%.64s'", role);
	return rc;
}

int
aws_from_instance(struct aws *a, struct aws_keys *k, struct err *e)
{
	static const char where[] = "/latest/meta-data/iam/security-credentials/";
	const char *off = getenv("AWS_EC2_METADATA_DISABLED");
	struct buf header = { 0 }, role = { 0 }, path = { 0 }, answer = { 0 };
	int rc;
	(void)a;

	if (off && !strcasecmp(off, "true"))
		return 1;
	buf_str(&header, "X-aws-ec2-metadata-token: ");
	rc = ask_instance("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 21600",
		&header, e);
	if (rc == 0)
		rc = ask_instance("GET", where, header.p, &role, e);
	if (rc != 0)
		goto done;
	role.p[strcspn(role.p, "\r\n")] = 0;
	buf_printf(&path, "%s%s", where, role.p);
	rc = buf_text(&path) ? ask_instance("GET", path.p, header.p, &answer, e) :
		err_sys(e, "instance metadata");
	if (rc == 0)
		rc = take_role(role.p, &answer, k, e);
done:
	conf_forget(&header);
	conf_forget(&answer);
	buf_free(&role);
	buf_free(&path);
	return rc;
}
