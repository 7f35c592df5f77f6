#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "conf/aws_chain.h"

int
aws_keys_fill(struct aws_keys *k, const char *id, const char *secret, const char *token,
	const char *expires, struct err *e)
{
	k->expires = 0;
	if (expires && *expires && clock_read(&k->expires, expires, e) < 0)
		return err_in(e, "AWS credentials: expiry");
	k->id = strdup(id);
	k->secret = strdup(secret);
	k->token = token && *token ? strdup(token) : NULL;
	if (k->id && k->secret && (k->token || !token || !*token))
		return 0;
	errno = ENOMEM;
	return err_sys(e, "AWS credentials");
}

static void
wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void
aws_keys_clear(struct aws_keys *k)
{
	wipe(&k->id);
	wipe(&k->secret);
	wipe(&k->token);
}

int
aws_keys_from_json(struct aws_keys *k, const char *text, size_t n, const char *token,
	struct err *e)
{
	json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	const char *id = json_string_value(json_object_get(j, "AccessKeyId"));
	const char *secret = json_string_value(json_object_get(j, "SecretAccessKey"));
	const char *session = json_string_value(json_object_get(j, token));
	const char *expires = json_string_value(json_object_get(j, "Expiration"));
	int rc;

	if (!id || !secret)
		rc = err_set(e, ERR_CORRUPT, "AWS credentials: the answer has no AccessKeyId and "
			"SecretAccessKey");
	else
		rc = aws_keys_fill(k, id, secret, session, expires, e);
	json_decref(j);
	return rc;
}
