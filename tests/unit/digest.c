#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "digest/blake3.h"
#include "digest/digest.h"

/* BLAKE3's published test inputs: 0, 1, ... 250, 0, 1, ...; the sums are b3sum 1.2's. */
static const struct {
	size_t n;
	const char *hex;
} vectors[] = {
	{ 0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262" },
	{ 1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213" },
	{ 2, "7b7015bb92cf0b318037702a6cdd81dee41224f734684c2c122cd6359cb1ee63" },
	{ 3, "e1be4d7a8ab5560aa4199eea339849ba8e293d55ca0a81006726d184519e647f" },
	{ 63, "e9bc37a594daad83be9470df7f7b3798297c3d834ce80ba85d6e207627b7db7b" },
	{ 64, "4eed7141ea4a5cd4b788606bd23f46e212af9cacebacdc7d1f4c6dc7f2511b98" },
	{ 65, "de1e5fa0be70df6d2be8fffd0e99ceaa8eb6e8c93a63f2d8d1c30ecb6b263dee" },
	{ 127, "d81293fda863f008c09e92fc382a81f5a0b4a1251cba1634016a0f86a6bd640d" },
	{ 128, "f17e570564b26578c33bb7f44643f539624b05df1a76c81f30acd548c44b45ef" },
	{ 129, "683aaae9f3c5ba37eaaf072aed0f9e30bac0865137bae68b1fde4ca2aebdcb12" },
	{ 1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11" },
	{ 1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7" },
	{ 1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444" },
	{ 2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a" },
	{ 2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030" },
	{ 3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2" },
	{ 3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3" },
	{ 4096, "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969" },
	{ 4097, "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995" },
	{ 5120, "9cadc15fed8b5d854562b26a9536d9707cadeda9b143978f319ab34230535833" },
	{ 5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff" },
	{ 6144, "3e2e5b74e048f3add6d21faab3f83aa44d3b2278afb83b80b3c35164ebeca205" },
	{ 6145, "f1323a8631446cc50536a9f705ee5cb619424d46887f3c376c695b70e0f0507f" },
	{ 7168, "61da957ec2499a95d6b8023e2b0e604ec7f6b50e80a9678b89d2628e99ada77a" },
	{ 7169, "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817" },
	{ 8192, "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63" },
	{ 8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b" },
	{ 16384, "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4" },
	{ 31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47" },
	{ 102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085" },
};

static uint8_t *
pattern(size_t n)
{
	uint8_t *p = malloc(n + 1);
	size_t i;

	assert_non_null(p);
	for (i = 0; i < n; i++)
		p[i] = (uint8_t)(i % 251);
	return p;
}

static void
assert_hex(const uint8_t *sum, size_t n, const char *hex)
{
	char text[65];

	hex_write(text, sum, n);
	assert_string_equal(text, hex);
}

static void
blake3_vectors(void **state)
{
	uint8_t sum[BLAKE3_OUT];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		uint8_t *p = pattern(vectors[i].n);

		blake3(sum, p, vectors[i].n);
		assert_hex(sum, sizeof(sum), vectors[i].hex);
		free(p);
	}
}

static void
blake3_pieces(void **state)
{
	static const size_t steps[] = { 1, 3, 63, 64, 65, 1000, 1024, 4097 };
	uint8_t whole[BLAKE3_OUT], sum[BLAKE3_OUT];
	const size_t n = 31744;
	uint8_t *p = pattern(n);
	size_t i, at;

	(void)state;
	blake3(whole, p, n);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct blake3 s;

		blake3_begin(&s);
		for (at = 0; at < n; at += steps[i]) {
			blake3_add(&s, p + at, n - at < steps[i] ? n - at : steps[i]);
			blake3_end(&s, sum);	/* a look changes nothing */
		}
		blake3_end(&s, sum);
		assert_memory_equal(sum, whole, sizeof(sum));
	}
	free(p);
}

/* Sums of xxh128sum 0.8.1. */
static void
xxh3_sums(void **state)
{
	struct digest128 d, back;
	struct digest_xxh3 *s;
	uint8_t *p = pattern(5000);
	char hex[DIGEST128_HEX + 1];
	struct err e;
	size_t i;

	(void)state;
	digest_xxh3(&d, "", 0);
	assert_string_equal(digest_hex(hex, &d), "99aa06d3014798d86001c324468d497f");
	digest_xxh3(&d, "kvcache", 7);
	assert_string_equal(digest_hex(hex, &d), "bb9e51e629cd3bf3657e6b84f18c69eb");
	digest_xxh3(&d, p, 5000);
	assert_string_equal(digest_hex(hex, &d), "b92ec02c39d33ce7b418500fc42320ee");
	s = digest_xxh3_new(&e);
	assert_non_null(s);
	for (i = 0; i < 5000; i += 100)
		digest_xxh3_add(s, p + i, 100);
	digest_xxh3_end(s, &back);
	assert_true(digest_equal(&d, &back));
	digest_xxh3_begin(s);
	digest_xxh3_end(s, &back);
	assert_false(digest_equal(&d, &back));
	digest_xxh3_free(s);
	digest_xxh3_free(NULL);
	free(p);
}

static void
hex_strict(void **state)
{
	struct digest128 d, back;
	char hex[DIGEST128_HEX + 1];

	(void)state;
	digest_xxh3(&d, "x", 1);
	digest_hex(hex, &d);
	assert_int_equal(digest_read(&back, hex, DIGEST128_HEX), 0);
	assert_true(digest_equal(&d, &back));
	assert_int_equal(digest_read(&back, hex, 31), -1);
	assert_int_equal(digest_read(&back, "99AA06d3014798d86001c324468d497f", 32), -1);
	assert_int_equal(digest_read(&back, "99aa06d3014798d86001c324468d49 f", 32), -1);
}

static void
sha256_sums(void **state)
{
	static const char abc[] =
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	uint8_t sum[DIGEST_SHA256];
	struct digest_sha256 *s;
	struct err e;

	(void)state;
	assert_int_equal(digest_sha256(sum, "abc", 3, &e), 0);
	assert_hex(sum, sizeof(sum), abc);
	s = digest_sha256_new(&e);
	assert_non_null(s);
	assert_int_equal(digest_sha256_add(s, "zz", 2, &e), 0);
	assert_int_equal(digest_sha256_begin(s, &e), 0);
	assert_int_equal(digest_sha256_add(s, "a", 1, &e), 0);
	assert_int_equal(digest_sha256_add(s, "bc", 2, &e), 0);
	assert_int_equal(digest_sha256_end(s, sum, &e), 0);
	assert_hex(sum, sizeof(sum), abc);
	digest_sha256_free(s);
	digest_sha256_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blake3_vectors),
		cmocka_unit_test(blake3_pieces),
		cmocka_unit_test(xxh3_sums),
		cmocka_unit_test(hex_strict),
		cmocka_unit_test(sha256_sums),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
