#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <cmocka.h>

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <openssl/ssl.h>
#include <sqlite3.h>

#include "lib/lib.h"

static int
is_here(const char *name)
{
	return dlopen(name, RTLD_NOW | RTLD_NOLOAD) != NULL;
}

/* Nothing comes with the program, and calls before it comes are harmless. */
static void
not_before(void **state)
{
	(void)state;
	assert_false(is_here("libcrypto.so.3"));
	assert_false(is_here("libsqlite3.so.0"));
	assert_false(is_here("libcurl.so.4"));
	assert_false(is_here("libibverbs.so.1"));
	/* nor would libcurl take our functions for OpenSSL's: this test's symbols are exported */
	assert_non_null(dlsym(RTLD_DEFAULT, "main"));
	assert_null(dlsym(RTLD_DEFAULT, "SSL_CTX_new"));
	assert_null(dlsym(RTLD_DEFAULT, "curl_easy_setopt"));
	SSL_CTX_free(NULL);
	assert_null(SSL_CTX_new(NULL));
	assert_null(curl_easy_init());
	assert_int_equal(curl_easy_setopt(NULL, CURLOPT_URL, "http://h/"), CURLE_FAILED_INIT);
}

static void *
need_all(void *arg)
{
	struct err e;

	assert_int_equal(lib_openssl(&e), 0);
	assert_int_equal(lib_sqlite(&e), 0);
	assert_int_equal(lib_curl(&e), 0);
#ifdef WITH_RDMA
	assert_int_equal(lib_rdma(&e), 0);
#endif
	return arg;
}

/* Every function that is listed is there, whoever comes first. */
static void
all_of_them(void **state)
{
	pthread_t t[4];
	sqlite3 *db;
	SSL_CTX *c;
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, need_all, NULL), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	c = SSL_CTX_new(TLS_method());
	assert_non_null(c);
	assert_true(SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION));
	SSL_CTX_free(c);
	assert_int_equal(sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_true(curl_getdate("Thu, 01 Jan 1970 00:01:00 GMT", NULL) == 60);
}

static void
absent(void **state)
{
	static const char *const none[] = { "libkvtools-no-such.so.1", NULL };
	static const char *const libm[] = { "libkvtools-no-such.so.1", "libm.so.6", NULL };
	static const struct lib_symbol symbols[] = { { "sqrt", 0 }, { "no_such", 0 } };
	double (*root)(double) = NULL;
	struct err e;

	(void)state;
	assert_int_equal(lib_open(none, symbols, 1, &root, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_non_null(strstr(e.text, "libkvtools-no-such.so.1: cannot open"));
	assert_int_equal(lib_open(libm, symbols, 2, &root, &e), -1);
	assert_string_equal(e.text, "libm.so.6 has no no_such");
	assert_null(root);
	assert_int_equal(lib_open(libm, symbols, 1, &root, &e), 0);
	assert_true(root(9) == 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_before), cmocka_unit_test(all_of_them),
		cmocka_unit_test(absent),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
