#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "conf/aws.h"

static char dir[] = "/tmp/kvtools.aws.XXXXXX";

/* The worked examples of the S3 API Reference, "Authenticating Requests: Using the Authorization
 * Header (AWS Signature Version 4)": key pair, requests and signatures are printed there. */
#define ID "AKIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define WELCOME "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"

#define HOST { "host", "examplebucket.s3.amazonaws.com" }
#define DATE { "x-amz-date", "20130524T000000Z" }

static const struct {
	const char *method, *path, *query, *payload;
	struct aws_header headers[6];
	const char *signature;
} examples[] = {
	{ "GET", "/test.txt", "", EMPTY,
		{ HOST, { "range", "bytes=0-9" }, { "x-amz-content-sha256", EMPTY }, DATE },
		"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
	{ "PUT", "/test%24file.text", "", WELCOME,
		{ { "date", "Fri, 24 May 2013 00:00:00 GMT" }, HOST,
		  { "x-amz-content-sha256", WELCOME }, DATE,
		  { "x-amz-storage-class", "REDUCED_REDUNDANCY" } },
		"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
	{ "GET", "/", "lifecycle=", EMPTY,
		{ HOST, { "x-amz-content-sha256", EMPTY }, DATE },
		"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
	{ "GET", "/", "max-keys=2&prefix=J", EMPTY,
		{ HOST, { "x-amz-content-sha256", EMPTY }, DATE },
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

static void
published_signatures(void **state)
{
	struct aws_sign_key key = { .scope = "" };
	struct buf out = { 0 };
	struct err e;
	size_t i, n;
	(void)state;

	for (i = 0; i < sizeof(examples) / sizeof(*examples); i++) {
		struct aws_request r = {
			.method = examples[i].method, .path = examples[i].path,
			.query = examples[i].query, .headers = examples[i].headers,
			.payload = examples[i].payload, .region = "us-east-1", .service = "s3",
			.time = "20130524T000000Z",
		};

		for (n = 0; n < 6 && examples[i].headers[n].name; n++)
			;
		r.n_headers = n;
		out.len = 0;
		assert_int_equal(aws_sign(&r, ID, SECRET, &key, &out, &e), 0);
		assert_non_null(buf_text(&out));
		assert_non_null(strstr(out.p, "Credential=" ID
			"/20130524/us-east-1/s3/aws4_request,SignedHeaders="));
		assert_string_equal(strstr(out.p, "Signature=") + 10, examples[i].signature);
	}
	assert_string_equal(key.scope, "20130524/us-east-1/s3/aws4_request");
	buf_free(&out);
}

/* A secret longer than a block of the hash; the signature is by Python's hmac. */
static void
long_secret(void **state)
{
	static const char secret[] = "ssssssssssssssssssssssssssssssssssssssss"
		"ssssssssssssssssssssssssssssssssssssssss";
	static const struct aws_header headers[] = { HOST, { "x-amz-content-sha256", EMPTY }, DATE };
	struct aws_sign_key key = { .scope = "" };
	struct aws_request r = {
		.method = "GET", .path = "/", .query = "lifecycle=", .headers = headers,
		.n_headers = 3, .payload = EMPTY, .region = "us-east-1", .service = "s3",
		.time = "20130524T000000Z",
	};
	struct buf out = { 0 };
	struct err e;
	(void)state;

	assert_int_equal(aws_sign(&r, ID, secret, &key, &out, &e), 0);
	assert_non_null(buf_text(&out));
	assert_string_equal(strstr(out.p, "Signature=") + 10,
		"7bf2491982f11dbb958bea4f9ca0ffd846c7c17c4cc4a5e5c76eb31951e9faaa");
	buf_free(&out);
}

static void
query_coding(void **state)
{
	struct buf b = { 0 };
	(void)state;

	aws_query_add(&b, "prefix", "a/b c+d~\xc3\xa9*");
	aws_query_add(&b, "uploads", "");
	assert_string_equal(buf_text(&b), "prefix=a%2Fb%20c%2Bd~%C3%A9%2A&uploads=");
	buf_free(&b);
}

static void
write_file(const char *name, const char *text, char path[256])
{
	struct err e;

	snprintf(path, 256, "%s/%s", dir, name);
	assert_int_equal(io_replace(path, text, strlen(text), 0600, &e), 0);
}

static void
forget_environment(void)
{
	static const char *const names[] = {
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL",
		"AWS_ENDPOINT_URL_S3", "S3_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_ROLE_ARN",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
		"KVTOOLS_PROFILE", "KVTOOLS_REGION", "KVTOOLS_ENDPOINT_URL",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		unsetenv(names[i]);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static int
files(void **state)
{
	char path[256];

	(void)state;
	forget_environment();
	write_file("credentials", "[default]\naws_access_key_id = DEFID\n"
		"aws_secret_access_key = defsecret\n"
		"[both]\naws_access_key_id = CREDID\naws_secret_access_key = credsecret\n"
		"aws_session_token = credtoken\n", path);
	setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
	write_file("config", "[default]\nregion = eu-central-1\n"
		"[profile both]\naws_access_key_id = CONFID\naws_secret_access_key = x\n"
		"region = mars-1\nendpoint_url = http://both:1\n"
		"[profile sub]\nservices = mine\nendpoint_url = http://general:1\n"
		"credential_process = echo '{\"Version\":1,\"AccessKeyId\":\"PROC\","
		"\"SecretAccessKey\":\"ps\",\"SessionToken\":\"pt\","
		"\"Expiration\":\"2099-01-01T00:00:00Z\"}'\n"
		"[profile bad]\ncredential_process = echo canary-secret; exit 3\n"
		"[profile circle]\nrole_arn = arn:x\nsource_profile = circle2\n"
		"[profile circle2]\nrole_arn = arn:x\nsource_profile = circle\n"
		"[profile sso]\nsso_session = s\n"
		"[services mine]\ns3 =\n  endpoint_url = http://special:2\n", path);
	setenv("AWS_CONFIG_FILE", path, 1);
	return 0;
}

/* What a profile gives, or the error's kind. */
static enum err_kind
found(const char *profile, char out[600])
{
	struct aws_choice choice = { .profile = profile };
	struct aws_keys *k;
	struct aws *a;
	struct err e = { 0 };

	*out = 0;
	if (aws_open(&a, NULL, &choice, &e) < 0)
		return e.kind;
	k = aws_keys_get(a, &e);
	snprintf(out, 600, "%s %s %s %s %s", k ? k->id : "-", k ? k->secret : e.text,
		k && k->token ? k->token : "-", aws_region(a),
		aws_endpoint(a) ? aws_endpoint(a) : "-");
	aws_keys_put(a, k);
	aws_close(a);
	return e.kind;
}

static void
profiles(void **state)
{
	char got[600];
	(void)state;

	assert_int_equal(found(NULL, got), 0);
	assert_string_equal(got, "DEFID defsecret - eu-central-1 -");
	assert_int_equal(found("both", got), 0);
	assert_string_equal(got, "CREDID credsecret credtoken mars-1 http://both:1");
	assert_int_equal(found("sub", got), 0);
	assert_string_equal(got, "PROC ps pt us-east-1 http://special:2");
	assert_int_equal(found("nope", got), ERR_USAGE);
	assert_int_equal(found("bad", got), ERR_REFUSED);
	assert_null(strstr(got, "canary"));
	assert_int_equal(found("circle", got), ERR_USAGE);
	assert_int_equal(found("sso", got), ERR_USAGE);
	assert_non_null(strstr(got, "export-credentials"));
	setenv("AWS_PROFILE", "both", 1);
	found(NULL, got);
	assert_memory_equal(got, "CREDID", 6);
}

static void
order(void **state)
{
	char got[600];
	(void)state;

	setenv("AWS_ACCESS_KEY_ID", "ENVID", 1);
	assert_int_equal(found(NULL, got), ERR_USAGE);	/* half a pair */
	setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1);
	setenv("AWS_SESSION_TOKEN", "envtoken", 1);
	setenv("AWS_DEFAULT_REGION", "second", 1);
	setenv("S3_ENDPOINT_URL", "http://third", 1);
	found(NULL, got);
	assert_string_equal(got, "ENVID envsecret envtoken second http://third");
	setenv("AWS_REGION", "first", 1);
	setenv("AWS_ENDPOINT_URL", "http://second", 1);
	found(NULL, got);
	assert_string_equal(got, "ENVID envsecret envtoken first http://second");
	setenv("AWS_ENDPOINT_URL_S3", "http://first", 1);
	setenv("KVTOOLS_REGION", "ours", 1);
	found(NULL, got);
	assert_string_equal(got, "ENVID envsecret envtoken ours http://first");
	setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
	found(NULL, got);
	assert_string_equal(got, "ENVID envsecret envtoken ours -");
	setenv("KVTOOLS_ENDPOINT_URL", "http://option", 1);
	/* A profile by option silences the environment's keys. */
	found("both", got);
	assert_string_equal(got, "CREDID credsecret credtoken ours http://option");
}

static void
none_and_unsigned(void **state)
{
	char got[600];
	(void)state;

	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
	setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
	assert_int_equal(found(NULL, got), ERR_REFUSED);
	setenv("KVTOOLS_NO_SIGN_REQUEST", "1", 1);
	assert_int_equal(found(NULL, got), 0);
	assert_string_equal(got, "  - us-east-1 -");
	unsetenv("KVTOOLS_NO_SIGN_REQUEST");
}

static void
a_bad_full_uri(void **state)
{
	char got[600];
	(void)state;

	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
	setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/creds", 1);
	assert_int_equal(found(NULL, got), ERR_USAGE);
}

static int
setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int
teardown(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_signatures),
		cmocka_unit_test(long_secret),
		cmocka_unit_test(query_coding),
		cmocka_unit_test_setup(profiles, files),
		cmocka_unit_test_setup(order, files),
		cmocka_unit_test_setup(none_and_unsigned, files),
		cmocka_unit_test_setup(a_bad_full_uri, files),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
