#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "conf/aws_chain.h"

#define CHAIN_MAX 5		/* role -> source profile -> its role ... */
#define PROCESS_MAX (64 << 10)

static int
from_variables(struct aws_keys *k, struct err *e)
{
	const char *id = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");
	const char *token = getenv("AWS_SESSION_TOKEN");

	if (!id || !*id)
		return 1;
	if (!secret || !*secret)
		return err_set(e, ERR_USAGE, "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY "
			"is not");
	if (!token)
		token = getenv("AWS_SECURITY_TOKEN");
	snprintf(k->origin, sizeof(k->origin), "environment");
	return aws_keys_fill(k, id, secret, token, NULL, e);
}

int
aws_from_environment(struct aws *a, struct aws_keys *k, struct err *e)
{
	return a->explicit_profile ? 1 : from_variables(k, e);
}

/* Standard input is our data: the child gets none of it. */
static int
start(const char *command, int out, pid_t *pid)
{
	char *argv[] = { "sh", "-c", (char *)command, NULL };
	posix_spawn_file_actions_t fa;
	int rc;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, out, 1);
	rc = posix_spawn(pid, "/bin/sh", &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	return rc;
}

static int
read_process(const char *command, struct buf *out, struct err *e)
{
	int fd[2], status = -1;
	ssize_t got;
	char *to;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, "credential_process");
	errno = start(command, fd[1], &pid);
	close(fd[1]);
	if (errno) {
		close(fd[0]);
		return err_sys(e, "credential_process");
	}
	to = buf_room(out, PROCESS_MAX + 1);
	got = to ? io_read(fd[0], to, PROCESS_MAX, e) : err_sys(e, "credential_process");
	close(fd[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (got < 0)
		return -1;
	out->len += (size_t)got;
	if (status != 0)
		return err_set(e, ERR_REFUSED, "credential_process: it failed with status %d",
			WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}

static int
from_process(const char *command, struct aws_keys *k, struct err *e)
{
	struct buf out = { 0 };
	int rc = read_process(command, &out, e);

	if (rc == 0)
		rc = aws_keys_from_json(k, out.p, out.len, "SessionToken", e);
	if (rc < 0)
		err_in(e, "credential_process");
	conf_forget(&out);
	return rc;
}

static int from_named(struct aws *a, const char *profile, unsigned depth, struct aws_keys *k,
	struct err *e);

static int
from_source(struct aws *a, const char *source, struct aws_keys *k, struct err *e)
{
	if (!strcmp(source, "Environment"))
		return from_variables(k, e);
	if (!strcmp(source, "Ec2InstanceMetadata"))
		return aws_from_instance(a, k, e);
	if (!strcmp(source, "EcsContainer"))
		return aws_from_container(a, k, e);
	return err_set(e, ERR_USAGE, "credential_source '%s': not known", source);
}

static int
from_static(struct aws *a, const char *profile, struct aws_keys *k, struct err *e)
{
	const char *id = aws_profile_get(&a->files, profile, "aws_access_key_id");
	const char *secret = aws_profile_get(&a->files, profile, "aws_secret_access_key");

	if (!id)
		return 1;
	if (!secret)
		return err_set(e, ERR_USAGE, "aws_access_key_id without aws_secret_access_key");
	return aws_keys_fill(k, id, secret,
		aws_profile_get(&a->files, profile, "aws_session_token"), NULL, e);
}

static int
from_role(struct aws *a, const char *profile, unsigned depth, struct aws_keys *k, struct err *e)
{
	const struct aws_profiles *f = &a->files;
	const char *source = aws_profile_get(f, profile, "source_profile");
	const char *where = aws_profile_get(f, profile, "credential_source");
	struct aws_role role = {
		.arn = aws_profile_get(f, profile, "role_arn"),
		.session = aws_profile_get(f, profile, "role_session_name"),
		.external_id = aws_profile_get(f, profile, "external_id"),
		.duration = aws_profile_get(f, profile, "duration_seconds"),
		.token_file = aws_profile_get(f, profile, "web_identity_token_file"),
	};
	struct aws_keys base = { 0 };
	int rc;

	if (aws_profile_get(f, profile, "mfa_serial"))
		return err_set(e, ERR_USAGE, "mfa_serial: nobody can be asked for a code here; use "
			"credential_process");
	if (role.token_file)
		return aws_assume(a, &role, NULL, k, e);
	if (!source == !where)
		return err_set(e, ERR_USAGE, "role_arn needs one of source_profile, "
			"credential_source and web_identity_token_file");
	if (source && !strcmp(source, profile))	/* its own keys take the role */
		rc = from_static(a, profile, &base, e);
	else
		rc = source ? from_named(a, source, depth + 1, &base, e) :
			from_source(a, where, &base, e);
	if (rc > 0)
		rc = err_set(e, ERR_REFUSED, "no credentials in '%s'", source ? source : where);
	if (rc == 0)
		rc = aws_assume(a, &role, &base, k, e);
	aws_keys_clear(&base);
	return rc;
}

/* The ways within one profile, in the order of botocore. */
static int
from_named(struct aws *a, const char *profile, unsigned depth, struct aws_keys *k, struct err *e)
{
	const char *command = aws_profile_get(&a->files, profile, "credential_process");
	int rc;

	if (depth > CHAIN_MAX)
		return err_set(e, ERR_USAGE, "profile '%s': its source_profile leads in a circle",
			profile);
	if (aws_profile_get(&a->files, profile, "role_arn"))
		rc = from_role(a, profile, depth, k, e);
	else
		rc = from_static(a, profile, k, e);
	if (rc > 0 && command)
		rc = from_process(command, k, e);
	if (rc > 0 && (aws_profile_get(&a->files, profile, "sso_session") ||
	    aws_profile_get(&a->files, profile, "sso_start_url")))
		rc = err_set(e, ERR_USAGE, "single sign-on: use credential_process = "
			"aws configure export-credentials --profile %s", profile);
	if (rc == 0)
		snprintf(k->origin, sizeof(k->origin), "profile '%.80s'", profile);
	return rc < 0 ? err_in(e, "AWS profile '%s'", profile) : rc;
}

int
aws_from_profile(struct aws *a, struct aws_keys *k, struct err *e)
{
	return from_named(a, a->profile, 0, k, e);
}
