#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "conf/aws_chain.h"
#include "lib/lib.h"

/* Renew this long before the end, or at three quarters of a shorter life. */
#define EARLY_S 600
/* After a failed renewal, with the old keys still good. */
#define PAUSE_S 10

static const char *
first_set(const char *const *names)
{
	const char *v;

	for (; *names; names++)
		if ((v = getenv(*names)) && *v)
			return v;
	return NULL;
}

static int
yes(const char *v)
{
	return v && (!strcmp(v, "1") || !strcasecmp(v, "true") || !strcasecmp(v, "yes"));
}

static const char *
find_endpoint(const struct aws *a, const char *chosen)
{
	static const char *const names[] = {
		"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL", NULL
	};
	const char *v = chosen ? chosen : conf_get(a->conf, "endpoint-url");

	if (v && *v)
		return v;
	if (yes(getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")))
		return NULL;
	v = first_set(names);
	return v ? v : aws_profile_endpoint(&a->files, a->profile, "s3");
}

static const char *
find_region(const struct aws *a, const char *chosen)
{
	static const char *const names[] = { "AWS_REGION", "AWS_DEFAULT_REGION", NULL };
	const char *v = chosen ? chosen : conf_get(a->conf, "region");

	if (!v || !*v)
		v = first_set(names);
	if (!v)
		v = aws_profile_get(&a->files, a->profile, "region");
	return v && *v ? v : "us-east-1";
}

static int
choose_profile(struct aws *a, const char *chosen, struct err *e)
{
	static const char *const names[] = { "AWS_PROFILE", "AWS_DEFAULT_PROFILE", NULL };
	const char *v = chosen ? chosen : conf_get(a->conf, "profile");

	a->explicit_profile = v && *v;
	if (!a->explicit_profile)
		v = first_set(names);
	if (v && !aws_profile_exists(&a->files, v))
		return err_set(e, ERR_USAGE, "AWS profile '%s': not in the credentials or config "
			"file", v);
	a->profile = strdup(v ? v : "default");
	return a->profile ? 0 : err_sys(e, "AWS configuration");
}

static void
start_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

int
aws_open(struct aws **out, const struct conf *conf, const struct aws_choice *choice,
	struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct aws *a = calloc(1, sizeof(*a));
	const char *endpoint;

	*out = NULL;
	if (!a)
		return err_sys(e, "AWS configuration");
	if (lib_curl(e) < 0) {
		free(a);
		return -1;
	}
	pthread_once(&once, start_curl);
	a->conf = conf;
	pthread_mutex_init(&a->lock, NULL);
	if (aws_profiles_read(&a->files, e) < 0 || choose_profile(a, choice->profile, e) < 0)
		goto fail;
	endpoint = find_endpoint(a, choice->endpoint);
	a->region = strdup(find_region(a, choice->region));
	a->endpoint = endpoint ? strdup(endpoint) : NULL;
	if (!a->region || (endpoint && !a->endpoint)) {
		errno = ENOMEM;
		err_sys(e, "AWS configuration");
		goto fail;
	}
	*out = a;
	return 0;
fail:
	aws_close(a);
	return -1;
}

void
aws_close(struct aws *a)
{
	if (!a)
		return;
	if (a->keys)
		aws_keys_put(a, a->keys);
	aws_sign_key_forget(&a->sign_key);
	aws_profiles_free(&a->files);
	pthread_mutex_destroy(&a->lock);
	free(a->profile);
	free(a->region);
	free(a->endpoint);
	free(a);
}

const char *
aws_region(const struct aws *a)
{
	return a->region;
}

const char *
aws_endpoint(const struct aws *a)
{
	return a->endpoint;
}

const char *
aws_ca_bundle(const struct aws *a)
{
	const char *v = conf_get(a->conf, "ca-bundle");

	if (!v || !*v)
		v = getenv("AWS_CA_BUNDLE");
	if (!v || !*v)
		v = aws_profile_get(&a->files, a->profile, "ca_bundle");
	return v && *v ? v : NULL;
}

static int
resolve(struct aws *a, struct aws_keys *k, struct err *e)
{
	static int (*const ways[])(struct aws *, struct aws_keys *, struct err *) = {
		aws_from_environment, aws_from_web_identity, aws_from_profile, aws_from_container,
		aws_from_instance,
	};
	size_t i;

	if (yes(conf_get(a->conf, "no-sign-request"))) {
		snprintf(k->origin, sizeof(k->origin), "no-sign-request");
		return aws_keys_fill(k, "", "", NULL, NULL, e);
	}
	for (i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		int rc = ways[i](a, k, e);

		if (rc <= 0)
			return rc;
	}
	return err_set(e, ERR_REFUSED, "no AWS credentials: not in the environment, profile '%s', "
		"a container's or an instance's service (--no-sign-request asks without)",
		a->profile);
}

/* The lock is held. */
static void
unref(struct aws_keys *k)
{
	if (--k->refs > 0)
		return;
	aws_keys_clear(k);
	free(k);
}

static int
renew(struct aws *a, int64_t now, struct err *e)
{
	struct aws_keys *k = calloc(1, sizeof(*k));

	if (!k)
		return err_sys(e, "AWS credentials");
	if (resolve(a, k, e) < 0) {
		aws_keys_clear(k);
		free(k);
		return -1;
	}
	k->refs = 1;
	if (a->keys)
		unref(a->keys);
	a->keys = k;
	a->sign_key_of = NULL;
	a->renew_at = 0;
	if (k->expires) {
		int64_t life = k->expires - now, early = life / 4 < EARLY_S ? life / 4 : EARLY_S;

		a->renew_at = k->expires - early;
	}
	return 0;
}

struct aws_keys *
aws_keys_get(struct aws *a, struct err *e)
{
	struct aws_keys *k = NULL;
	int64_t now = clock_now();
	int good;

	pthread_mutex_lock(&a->lock);
	if (!a->keys || (a->renew_at && now >= a->renew_at)) {
		good = a->keys && a->keys->expires > now;
		if (renew(a, now, e) < 0) {
			if (!good)
				goto unlock;
			a->renew_at = now + PAUSE_S;
		}
	}
	k = a->keys;
	k->refs++;
unlock:
	pthread_mutex_unlock(&a->lock);
	return k;
}

void
aws_keys_put(struct aws *a, struct aws_keys *k)
{
	if (!k)
		return;
	pthread_mutex_lock(&a->lock);
	unref(k);
	pthread_mutex_unlock(&a->lock);
}

int
aws_keys_stale(struct aws *a, const struct aws_keys *k)
{
	int again = 1;

	pthread_mutex_lock(&a->lock);
	if (a->keys == k) {
		again = k->token != NULL;	/* keys without a token never change */
		a->renew_at = again;		/* a time long past */
		a->keys->expires = again;
	}
	pthread_mutex_unlock(&a->lock);
	return again;
}

int
aws_keys_sign(struct aws *a, const struct aws_keys *k, const struct aws_request *r,
	struct buf *out, struct err *e)
{
	struct aws_sign_key mine = { .scope = "" };
	char before[sizeof(mine.scope)];
	int rc;

	pthread_mutex_lock(&a->lock);
	if (a->sign_key_of == k)
		mine = a->sign_key;
	pthread_mutex_unlock(&a->lock);
	memcpy(before, mine.scope, sizeof(before));
	rc = aws_sign(r, k->id, k->secret, &mine, out, e);
	if (rc == 0 && strcmp(before, mine.scope) != 0) {
		pthread_mutex_lock(&a->lock);
		if (a->keys == k) {
			a->sign_key = mine;
			a->sign_key_of = k;
		}
		pthread_mutex_unlock(&a->lock);
	}
	aws_sign_key_forget(&mine);
	return rc;
}
