#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xml.h"
#include "store/s3.h"

/* Codes that do not mean what their HTTP status says (S3 API Reference, "Error responses"). */
static const struct row {
	const char *code;
	enum err_kind kind;
	const char *text;
} rows[] = {
	{ "AccessDenied", ERR_REFUSED, "permission denied by a policy of the server" },
	{ "AllAccessDisabled", ERR_REFUSED, "all access is disabled" },
	{ "AccountProblem", ERR_REFUSED, "the account has a problem" },
	{ "UserSuspended", ERR_REFUSED, "the user is suspended" },
	{ "InvalidObjectState", ERR_REFUSED, "the object is archived" },
	{ "QuotaExceeded", ERR_REFUSED, "quota exceeded" },
	{ "BucketAlreadyExists", ERR_REFUSED, "the bucket belongs to somebody else" },
	{ "ExpiredToken", ERR_TEMP, "the credentials have expired" },
	{ "TokenRefreshRequired", ERR_TEMP, "the credentials have expired" },
	{ "InvalidToken", ERR_REFUSED, "the session token is not accepted" },
	{ "NoSuchKey", ERR_ABSENT, "no such object" },
	{ "NoSuchUpload", ERR_ABSENT, "no such upload" },
	{ "NoSuchLifecycleConfiguration", ERR_ABSENT, "no lifecycle rules" },
	{ "InvalidBucketName", ERR_USAGE, "not a bucket's name" },
	{ "InvalidStorageClass", ERR_USAGE, "no such storage class" },
	{ "NotImplemented", ERR_USAGE, "the server does not implement this" },
	{ "EntityTooLarge", ERR_USAGE, "too large for the server" },
	{ "XAmzContentSHA256Mismatch", ERR_CORRUPT, "the bytes changed on their way" },
	{ "BadDigest", ERR_CORRUPT, "the bytes changed on their way" },
	{ "SlowDown", ERR_TEMP, "the server asks to slow down" },
	{ "RequestTimeout", ERR_TEMP, "the server waited too long" },
	{ "OperationAborted", ERR_TEMP, "another operation is under way" },
	{ "ConditionalRequestConflict", ERR_TEMP, "another operation is under way" },
	{ "InternalError", ERR_TEMP, "the server failed" },
	{ "ServiceUnavailable", ERR_TEMP, "the server is not available" },
};

static const struct row *
find(const char *code)
{
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (!strcmp(rows[i].code, code))
			return &rows[i];
	return NULL;
}

static int
take_code(void *ctx, const char *path, const char *text, struct err *e)
{
	struct s3_call *c = ctx;
	size_t i;
	(void)e;

	if (strcmp(path, "Error/Code") != 0 && strcmp(path, "ErrorResponse/Error/Code") != 0)
		return 0;
	for (i = 0; isalnum((unsigned char)text[i]) && i + 1 < sizeof(c->code); i++)
		c->code[i] = text[i];
	c->code[i] = 0;
	return 0;
}

void
s3_error_code(struct s3_call *c, struct s3_answer *a)
{
	c->code[0] = 0;
	if (a->error.len && buf_room(&a->error, 1))
		xml_scan(a->error.p, a->error.len, take_code, c, NULL);
}

int
s3_transient(const struct s3_call *c)
{
	const struct row *r = find(c->code);

	if (r)
		return r->kind == ERR_TEMP || r->kind == ERR_CORRUPT;
	return c->status == 429 || (c->status >= 500 && c->status != 501);
}

/* What concerns the key pair; the id is no secret, but four of its letters do. */
static int
key_error(const struct s3_call *c, const struct s3_answer *a, const struct aws_keys *k,
	struct err *e)
{
	if (!strcmp(c->code, "SignatureDoesNotMatch"))
		return err_set(e, ERR_REFUSED, "signature refused: the secret key does not belong "
			"to access key '%.4s...' of %s (SignatureDoesNotMatch)", k->id, k->origin);
	if (!strcmp(c->code, "InvalidAccessKeyId"))
		return err_set(e, ERR_REFUSED, "access key '%.4s...' of %s is not known to the "
			"server (InvalidAccessKeyId)", k->id, k->origin);
	if (!strcmp(c->code, "RequestTimeTooSkewed")) {
		long long off = a->date ? llabs((long long)(a->date - clock_now())) : 0;

		return err_set(e, ERR_REFUSED, "the clocks differ by %lld s: set this host's "
			"(RequestTimeTooSkewed)", off);
	}
	return 0;
}

static int
by_status(const struct s3_call *c, struct err *e)
{
	const char *code = c->code[0] ? c->code : "no code";

	if (c->status == 404)
		return err_set(e, ERR_ABSENT, "no such object");
	if (c->status >= 300 && c->status < 400)
		return err_set(e, ERR_USAGE, "the server points to another address (status %d); "
			"set --region or --endpoint-url", c->status);
	if (c->status == 401 || c->status == 403)
		return err_set(e, ERR_REFUSED, "permission denied (status %d, %s)", c->status,
			code);
	if (c->status == 429 || (c->status >= 500 && c->status != 501))
		return err_set(e, ERR_TEMP, "the server failed (status %d, %s)", c->status, code);
	return err_set(e, ERR_FAILED, "the server refused the request (status %d, %s)",
		c->status, code);
}

int
s3_error(struct s3 *s, const struct s3_call *c, const struct s3_answer *a,
	const struct aws_keys *k, struct err *e)
{
	const struct row *r = find(c->code);

	if (key_error(c, a, k, e) < 0)
		return -1;
	/* It was there when the store was opened: no usage that could be forgiven. */
	if (!strcmp(c->code, "NoSuchBucket"))
		return err_set(e, ERR_FAILED, "bucket '%s' is gone", s->bucket);
	if (!strcmp(c->code, "AccessDenied") && !k->id[0])
		return err_set(e, ERR_REFUSED, "permission denied without credentials "
			"(AccessDenied)");
	if (r)
		return err_set(e, r->kind, "%s (%s)", r->text, r->code);
	return by_status(c, e);
}
