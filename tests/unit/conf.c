#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/io.h"
#include "conf/conf.h"
#include "conf/ini.h"

static char dir[] = "/tmp/kvtools.conf.XXXXXX";

static const char *
file(const char *name, const char *text, mode_t mode)
{
	static char path[256];
	struct err e;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(io_replace(path, text, strlen(text), mode, &e), 0);
	return path;
}

static int
remember(void *ctx, const char *section, const char *name, const char *value, int line,
	struct err *e)
{
	(void)e;
	return buf_printf(ctx, "%d|%s|%s|%s\n", line, section, name, value);
}

static void
ini_forms(void **state)
{
	char text[] = "\xef\xbb\xbf" "a = 1\n[ x y ]\n# c\n ; c\r\nb: 2:3\r\ns3 =\n"
		"  endpoint_url = http://h:1/\n  y=\nk = v # kept ; too\n  loose = 4";
	struct buf got = { 0 };
	struct err e;
	(void)state;

	assert_int_equal(ini_parse(text, "t", remember, &got, &e), 0);
	assert_string_equal(buf_text(&got), "1||a|1\n5|x y|b|2:3\n6|x y|s3|\n"
		"7|x y|s3.endpoint_url|http://h:1/\n8|x y|s3.y|\n9|x y|k|v # kept ; too\n"
		"10|x y|loose|4\n");
	buf_free(&got);
}

static void
ini_long_values(void **state)
{
	struct buf b = { 0 }, got = { 0 };
	struct err e;
	(void)state;

	buf_str(&b, "aws_session_token = ");
	while (b.len < 5000)
		buf_chr(&b, 'T');
	buf_text(&b);
	assert_int_equal(ini_parse(b.p, "t", remember, &got, &e), 0);
	assert_int_equal(got.len, 5000 - 20 + strlen("1||aws_session_token|\n"));
	buf_free(&b);
	buf_free(&got);
}

static void
ini_refuses(void **state)
{
	static const char *const bad[] = { "[open\n", "noequals\n", "= v\n", "[a] b\n", "  : x" };
	struct buf got = { 0 };
	struct err e;
	size_t i;
	(void)state;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char text[64];

		snprintf(text, sizeof(text), "%s", bad[i]);
		assert_int_equal(ini_parse(text, "t", remember, &got, &e), -1);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_memory_equal(e.text, "t:1: ", 5);
	}
	buf_free(&got);
}

static void
order_and_origin(void **state)
{
	const char *path = file("config", "[kvtools]\nregion = file\nretries = 4\n"
		"[store prod]\nurl = s3://b/p?dialect=lmcache\n", 0600);
	char want[300];
	struct conf *c;
	struct err e;
	(void)state;

	assert_int_equal(conf_open(&c, path, &e), 0);
	assert_string_equal(conf_get(c, "region"), "file");
	snprintf(want, sizeof(want), "file %s:2", path);
	assert_string_equal(conf_origin(c, "region"), want);
	setenv("KVTOOLS_REGION", "env", 1);
	assert_string_equal(conf_get(c, "region"), "env");
	assert_string_equal(conf_origin(c, "region"), "environment KVTOOLS_REGION");
	assert_string_equal(conf_get(NULL, "region"), "env");
	assert_int_equal(conf_set(c, "region", "one", &e), 0);
	assert_int_equal(conf_set(c, "region", "two", &e), 0);
	assert_string_equal(conf_get(c, "region"), "two");
	assert_string_equal(conf_origin(c, "region"), "option");
	assert_null(conf_get(c, "absent"));
	assert_null(conf_origin(c, "absent"));
	unsetenv("KVTOOLS_REGION");
	conf_close(c);
}

static void
standard_places(void **state)
{
	struct conf *c;
	struct err e;
	char path[256];
	(void)state;

	setenv("XDG_CONFIG_HOME", dir, 1);
	snprintf(path, sizeof(path), "%s/kvtools", dir);
	mkdir(path, 0700);
	assert_int_equal(conf_open(&c, NULL, &e), 0);	/* none there: fine */
	conf_close(c);
	file("kvtools/config", "[kvtools]\njobs = 3\n", 0600);
	assert_int_equal(conf_open(&c, NULL, &e), 0);
	assert_string_equal(conf_get(c, "jobs"), "3");
	conf_close(c);
	assert_int_equal(conf_open(&c, "/nonexistent", &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_null(c);
}

static void
store_names(void **state)
{
	static const char *const want[][2] = {
		{ "@prod", "s3://b/p?dialect=lmcache" },
		{ "@prod/sub", "s3://b/p/sub?dialect=lmcache" },
		{ "@prod/sub?region=x", "s3://b/p/sub?dialect=lmcache&region=x" },
		{ "@nvme/a", "/nvme/a" },
		{ "@nvme?x=1", "/nvme/?x=1" },
		{ "s3://other", "s3://other" },
	};
	const char *path = file("config", "[store prod]\nurl = s3://b/p?dialect=lmcache\n"
		"[store nvme]\nurl = /nvme/\n", 0600);
	struct conf *c;
	struct err e;
	size_t i;
	(void)state;

	assert_int_equal(conf_open(&c, path, &e), 0);
	for (i = 0; i < sizeof(want) / sizeof(*want); i++) {
		char *url = conf_store_url(c, want[i][0], &e);

		assert_string_equal(url, want[i][1]);
		free(url);
	}
	assert_null(conf_store_url(c, "@nope", &e));
	assert_int_equal(e.kind, ERR_USAGE);
	conf_close(c);
}

static int
list(void *ctx, const char *name, const char *value, const char *origin)
{
	if (strstr(origin, "KVTOOLS_") && !strstr(origin, "KVTOOLS_T_"))
		return 0;
	return buf_printf(ctx, "%s=%s\n", name, value);
}

static void
each_setting_once(void **state)
{
	const char *path = file("config", "[kvtools]\nt-a = file\nt-b = file\n"
		"[store s]\nurl = mem:\n", 0600);
	struct buf got = { 0 };
	struct conf *c;
	struct err e;
	(void)state;

	assert_int_equal(conf_open(&c, path, &e), 0);
	setenv("KVTOOLS_T_B", "env", 1);
	setenv("KVTOOLS_T_PASSWORD", "canary", 1);
	conf_set(c, "t-c", "opt", &e);
	assert_int_equal(conf_each(c, list, &got), 0);
	assert_non_null(buf_text(&got));
	assert_non_null(strstr(got.p, "t-a=file\nstore s=mem:\nt-c=opt\n"));
	assert_non_null(strstr(got.p, "t-b=env\n"));
	assert_null(strstr(got.p, "t-b=file"));
	assert_non_null(strstr(got.p, "t-password=(secret)\n"));
	assert_null(strstr(got.p, "canary"));
	unsetenv("KVTOOLS_T_B");
	unsetenv("KVTOOLS_T_PASSWORD");
	buf_free(&got);
	conf_close(c);
}

static void
bad_files(void **state)
{
	static const struct { const char *text; mode_t mode; enum err_kind kind; } bad[] = {
		{ "[kvtools]\npassword = canary\n", 0600, ERR_USAGE },
		{ "[elsewhere]\na = 1\n", 0600, ERR_USAGE },
		{ "[store x]\nuri = mem:\n", 0600, ERR_USAGE },
		{ "[kvtools]\npassword-file = /x\n", 0666, ERR_REFUSED },
	};
	struct conf *c;
	struct err e;
	size_t i;
	(void)state;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const char *path = file("bad", bad[i].text, bad[i].mode);

		chmod(path, bad[i].mode);
		assert_int_equal(conf_open(&c, path, &e), -1);
		assert_int_equal(e.kind, bad[i].kind);
		assert_null(strstr(e.text, "canary"));
	}
}

static void
secrets(void **state)
{
	struct buf out = { 0 };
	struct conf *c;
	struct err e;
	const char *path;
	(void)state;

	assert_int_equal(conf_open(&c, file("empty", "", 0600), &e), 0);
	assert_int_equal(conf_secret(c, "password", "T_PASSWORD", &out, &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	setenv("T_PASSWORD", "from-env", 1);
	assert_int_equal(conf_secret(c, "password", "T_PASSWORD", &out, &e), 0);
	assert_string_equal(out.p, "from-env");
	conf_forget(&out);
	assert_null(out.p);

	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	file("cred", "from-systemd\n", 0640);
	conf_set(c, "credential", "cred", &e);
	assert_int_equal(conf_secret(c, "password", "T_PASSWORD", &out, &e), 0);
	assert_string_equal(out.p, "from-systemd");
	conf_forget(&out);
	conf_set(c, "credential", "../cred", &e);
	assert_int_equal(conf_secret(c, "password", "T_PASSWORD", &out, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);

	path = file("pw", "from-file\r\n", 0600);
	conf_set(c, "password-file", path, &e);
	assert_int_equal(conf_secret(c, "password", "T_PASSWORD", &out, &e), 0);
	assert_string_equal(out.p, "from-file");
	conf_forget(&out);
	chmod(path, 0644);
	assert_int_equal(conf_secret(c, "password", "T_PASSWORD", &out, &e), -1);
	assert_int_equal(e.kind, ERR_REFUSED);
	assert_null(out.p);
	unsetenv("T_PASSWORD");
	unsetenv("CREDENTIALS_DIRECTORY");
	conf_close(c);
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
		cmocka_unit_test(ini_forms),
		cmocka_unit_test(ini_long_values),
		cmocka_unit_test(ini_refuses),
		cmocka_unit_test(order_and_origin),
		cmocka_unit_test(standard_places),
		cmocka_unit_test(store_names),
		cmocka_unit_test(each_setting_once),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(secrets),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
