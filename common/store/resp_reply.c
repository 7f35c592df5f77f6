#include <string.h>

#include "store/resp.h"

/* Whole replies, on top of resp.c's items. */

/* The first word of an error line decides, where it is one of these. */
static const struct meaning {
	const char *begins;
	enum err_kind kind;
	const char *text;	/* what it means for people; the line follows */
} meanings[] = {
	{ "NOAUTH", ERR_REFUSED, "wants a password (REDISCLI_AUTH, --password-file)" },
	{ "WRONGPASS", ERR_REFUSED, "wrong user or password" },
	{ "NOPERM", ERR_REFUSED, "this user may not do that" },
	{ "DENIED", ERR_REFUSED, "protected mode" },
	{ "ERR AUTH", ERR_REFUSED, "password not accepted" },
	{ "ERR invalid password", ERR_REFUSED, "wrong password" },
	{ "ERR Client sent AUTH", ERR_REFUSED, "a password is set here, but not there" },
	{ "OOM", ERR_FAILED, "full: maxmemory is reached and nothing may be evicted" },
	{ "MISCONF", ERR_FAILED, "takes no writes: it cannot save" },
	{ "LOADING", ERR_TEMP, "still loading its data" },
	{ "BUSY", ERR_TEMP, "busy with a script" },
	{ "MASTERDOWN", ERR_TEMP, "replica without its master" },
	{ "READONLY", ERR_TEMP, "is a replica" },
	{ "CLUSTERDOWN", ERR_TEMP, "cluster is down" },
	{ "TRYAGAIN", ERR_TEMP, "slot is being moved" },
	{ "MOVED", ERR_TEMP, "slot is elsewhere" },
	{ "ASK", ERR_TEMP, "slot is being moved" },
	{ "NOREPLICAS", ERR_TEMP, "too few replicas" },
	{ "UNBLOCKED", ERR_TEMP, "failing over" },
	{ "ERR max number of clients", ERR_TEMP, "too many clients" },
	{ "ERR max clients", ERR_TEMP, "too many clients" },
	{ "ERR DB index", ERR_USAGE, "no such database" },
	{ "ERR SELECT is not allowed", ERR_USAGE, "a cluster has database 0 only" },
	{ "ERR Protocol error: invalid bulk length", ERR_REFUSED,
		"value larger than the server takes (proto-max-bulk-len, usually 512 MiB)" },
	{ "ERR Protocol error: invalid multibulk", ERR_REFUSED, "request refused" },
	{ "WRONGTYPE", ERR_FAILED, "the key holds something else than a string" },
};

int
resp_error(const char *line, struct err *e)
{
	size_t i;

	for (i = 0; i < sizeof(meanings) / sizeof(*meanings); i++)
		if (!strncmp(line, meanings[i].begins, strlen(meanings[i].begins)))
			return err_set(e, meanings[i].kind, "%s: '%.120s'", meanings[i].text, line);
	if (strstr(line, "attempted to access a non local key"))	/* a script's */
		return err_set(e, ERR_TEMP, "slot is being moved: '%.120s'", line);
	return err_set(e, ERR_FAILED, "server says '%.200s'", line);
}

/* The next item, unless it is an error. */
static int
wanted(struct resp *r, struct resp_item *it, struct err *e)
{
	if (resp_next(r, it, e) < 0)
		return -1;
	return it->type == RESP_ERROR ? resp_error(it->text, e) : 0;
}

/* Of a type that was not asked for: stepped over, so that the connection stays in step. */
static int
unexpected(struct resp *r, const struct resp_item *it, struct err *e)
{
	if (resp_drop(r, it, e) < 0)
		return -1;
	return err_set(e, ERR_CORRUPT, "reply: of another type than expected");
}

int
resp_ok(struct resp *r, struct err *e)
{
	struct resp_item it;

	if (wanted(r, &it, e) < 0)
		return -1;
	return it.type == RESP_STATUS ? 0 : unexpected(r, &it, e);
}

int
resp_get_number(struct resp *r, int64_t *out, struct err *e)
{
	struct resp_item it;

	if (wanted(r, &it, e) < 0)
		return -1;
	*out = it.type == RESP_NIL ? -1 : it.n;
	if (it.type == RESP_NUMBER || it.type == RESP_NIL)
		return 0;
	return unexpected(r, &it, e);
}

int
resp_get_text(struct resp *r, char *out, size_t max, struct err *e)
{
	struct resp_item it;

	out[0] = 0;
	if (wanted(r, &it, e) < 0)
		return -1;
	if (it.type == RESP_NIL)
		return 1;
	if (it.type == RESP_STATUS && strlen(it.text) < max) {
		strcpy(out, it.text);
		return 0;
	}
	if (it.type != RESP_BULK || (uint64_t)it.n >= max)
		return unexpected(r, &it, e);
	out[it.n] = 0;
	return resp_body(r, out, (size_t)it.n, e);
}

int
resp_get_array(struct resp *r, size_t *n, struct err *e)
{
	struct resp_item it;

	*n = 0;
	if (wanted(r, &it, e) < 0)
		return -1;
	if (it.type == RESP_NIL)
		return 0;
	if (it.type != RESP_ARRAY)
		return unexpected(r, &it, e);
	*n = (size_t)it.n;
	return 0;
}
