#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "key/key.h"

#define H32 "084547b6c40ed5b05ba8cd0305db5bf74d5617673948d9ed193ab7d6cbc484d4"
#define H8 "ff05dec65811b7cc"

static struct key
make(const char *model, const char *salt, uint32_t tp, uint32_t rank, uint32_t group,
	const char *hash)
{
	struct key k = { .dtype = "bf16", .tp = tp, .rank = rank, .group = group };
	struct err e;

	snprintf(k.model, sizeof(k.model), "%s", model);
	snprintf(k.salt, sizeof(k.salt), "%s", salt);
	assert_int_equal(key_hash_read(&k.hash, hash, strlen(hash), &e), 0);
	return k;
}

static void
hashes(void **state)
{
	struct key_hash a, b;
	char hex[KEY_HEX], s[KEY_SHORT];
	struct err e;

	(void)state;
	assert_int_equal(key_hash_read(&a, H32, 64, &e), 0);
	assert_int_equal(a.len, 32);
	assert_string_equal(key_hash_hex(hex, &a), H32);
	assert_string_equal(key_hash_short(s, &a), "084547b6c40e");
	assert_int_equal(key_hash_read(&b, "084547B6C40ED5B0", 16, &e), 0);
	assert_string_equal(key_hash_hex(hex, &b), "084547b6c40ed5b0");
	assert_true(key_hash_cmp(&b, &a) < 0);		/* its prefix */
	assert_true(key_hash_cmp(&a, &b) > 0);
	assert_int_equal(key_hash_cmp(&a, &a), 0);
	assert_int_equal(key_hash_match(&a, "084547b"), 1);
	assert_int_equal(key_hash_match(&a, "084547B6C4"), 1);
	assert_int_equal(key_hash_match(&a, "084547c"), 0);
	assert_int_equal(key_hash_match(&b, H32), 0);	/* longer than the hash */
	memset(&b, 0, sizeof(b));
	assert_int_equal(key_hash_match(&b, "084547"), 0);
	assert_string_equal(key_hash_hex(hex, &b), "-");
	assert_string_equal(key_hash_short(s, &b), "-");
	assert_int_equal(key_hash_read(&a, H32 "00", 66, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_int_equal(key_hash_read(&a, H32, 15, &e), -1);
	assert_int_equal(key_hash_read(&a, H32, 14, &e), -1);
	assert_int_equal(key_hash_read(&a, "0x4547b6c40ed5b0", 16, &e), -1);
	assert_int_equal(a.len, 0);
	assert_int_equal(key_prefix_check("084547", &e), 0);
	assert_int_equal(key_prefix_check("08454", &e), -1);
	assert_int_equal(key_prefix_check("08454g", &e), -1);
	assert_int_equal(key_prefix_check(H32 "0", &e), -1);
}

static const struct {
	const char *model, *salt;
	uint32_t tp, rank, group;
	const char *hash, *name;
} names[] = {
	{ "kvtools/tiny-6l", "", 1, 0, 0, H32,
	  "kvtools%2Ftiny-6l/bf16-tp1-r0/08/" H32 ".kv.safetensors" },
	{ "m", "", 8, 7, 0, H8, "m/bf16-tp8-r7/ff/" H8 ".kv.safetensors" },
	{ "m", "", 1, 0, 3, H8, "m/bf16-tp1-r0-g3/ff/" H8 ".kv.safetensors" },
	{ "m", "tenant7", 1, 0, 0, H8, "m/bf16-tp1-r0-tenant7/ff/" H8 ".kv.safetensors" },
	{ "m", "tenant7", 1, 0, 3, H8, "m/bf16-tp1-r0-g3-tenant7/ff/" H8 ".kv.safetensors" },
	{ "m", "g3", 1, 0, 0, H8, "m/bf16-tp1-r0-g0-g3/ff/" H8 ".kv.safetensors" },
	{ "m", "g3-x", 1, 0, 2, H8, "m/bf16-tp1-r0-g2-g3-x/ff/" H8 ".kv.safetensors" },
	{ "m", "-a-", 1, 0, 0, H8, "m/bf16-tp1-r0--a-/ff/" H8 ".kv.safetensors" },
	{ "m", "a b%\xc3\xa9", 1, 0, 0, H8,
	  "m/bf16-tp1-r0-a%20b%25%C3%A9/ff/" H8 ".kv.safetensors" },
	{ "./x y@%2F..", "", 1, 0, 0, H8,
	  "%2E%2Fx%20y%40%252F../bf16-tp1-r0/ff/" H8 ".kv.safetensors" },
	{ "...", "..", 1, 0, 4294967295, H8,
	  "%2E../bf16-tp1-r0-g4294967295-../ff/" H8 ".kv.safetensors" },
};

static void
names_both_ways(void **state)
{
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct key k = make(names[i].model, names[i].salt, names[i].tp, names[i].rank,
			names[i].group, names[i].hash), back;
		struct buf b = { 0 };

		assert_int_equal(key_name(&b, &k, &e), 0);
		assert_string_equal(buf_text(&b), names[i].name);
		assert_int_equal(key_parse_name(&back, names[i].name, &e), 0);
		assert_int_equal(key_cmp(&k, &back), 0);
		assert_memory_equal(&k, &back, sizeof(k));
		buf_free(&b);
	}
}

static void
foreign_names(void **state)
{
	static const char *const bad[] = {
		"", "/", "m", "m/", "..", "../bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"%2E/bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"%2E./bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"/bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		".m/bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"%6D/bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"m%2f/bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"m%00/bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"m%0A/bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"m%C2%85/bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"m%FF/bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"m%/bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"m/BF16-tp1-r0/ff/" H8 ".kv.safetensors",
		"m/-tp1-r0/ff/" H8 ".kv.safetensors",
		"m/bf16-tp01-r0/ff/" H8 ".kv.safetensors",
		"m/bf16-tp1-r1/ff/" H8 ".kv.safetensors",
		"m/bf16-tp0-r0/ff/" H8 ".kv.safetensors",
		"m/bf16-tp65537-r0/ff/" H8 ".kv.safetensors",
		"m/bf16-tp99999999999999999999-r0/ff/" H8 ".kv.safetensors",
		"m/bf16-tp1-r0-/ff/" H8 ".kv.safetensors",
		"m/bf16-tp1-r0-g0/ff/" H8 ".kv.safetensors",
		"m/bf16-tp1-r0-gx/ff/" H8 ".kv.safetensors",
		"m/bf16-tp1-r0-g0-x/ff/" H8 ".kv.safetensors",
		"m/bf16-tp1-r0-g1-/ff/" H8 ".kv.safetensors",
		"m/bf16-tp1-r0-a%40b/ff/" H8 ".kv.safetensors",
		"m/bf16-tp1-r0-%2F/ff/" H8 ".kv.safetensors",
		"m/bf16-tp1-r0/fe/" H8 ".kv.safetensors",
		"m/bf16-tp1-r0/" H8 ".kv.safetensors",
		"m/bf16-tp1-r0/../" H8 ".kv.safetensors",
		"m/bf16-tp1-r0/FF/FF05DEC65811B7CC.kv.safetensors",
		"m/bf16-tp1-r0/ff/ff05dec65811b7c.kv.safetensors",
		"m/bf16-tp1-r0/ff/ff05dec65811b7.kv.safetensors",
		"m/bf16-tp1-r0/08/" H32 "00.kv.safetensors",
		"m/bf16-tp1-r0/ff/" H8,
		"m/bf16-tp1-r0/ff/" H8 ".kv.safetensors.tmp",
		"m/bf16-tp1-r0/ff/" H8 ".kv.safetensors/x",
		"./m/bf16-tp1-r0/ff/" H8 ".kv.safetensors",
		"m//bf16-tp1-r0/ff/" H8 ".kv.safetensors",
	};
	struct key k;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		e.kind = ERR_NONE;
		if (key_parse_name(&k, bad[i], &e) == 0)
			fail_msg("'%s' passed", bad[i]);
		assert_int_equal(e.kind, ERR_CORRUPT);
	}
}

static void
long_names(void **state)
{
	char text[2000];
	struct key k = make("m", "", 1, 0, 0, H8);
	struct buf b = { 0 };
	struct err e;

	(void)state;
	memset(k.model, 'm', 253);
	assert_int_equal(key_check(&k, &e), 0);
	memset(k.model, '/', 253);		/* three characters each when encoded */
	assert_int_equal(key_name(&b, &k, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	memset(k.model, 'm', sizeof(k.model));	/* not terminated */
	assert_int_equal(key_check(&k, &e), -1);
	memset(text, 'm', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(key_parse_name(&k, text, &e), -1);
	text[300] = '/';
	assert_int_equal(key_parse_name(&k, text, &e), -1);
	text[10] = '/';
	assert_int_equal(key_parse_name(&k, text, &e), -1);
	buf_free(&b);
}

static void
checks(void **state)
{
	struct key good = make("m", "t", 4, 3, 0, H8), k;
	struct err e;

	(void)state;
	assert_int_equal(key_check(&good, &e), 0);
	k = good, strcpy(k.model, "");
	assert_int_equal(key_check(&k, &e), -1);
	k = good, strcpy(k.model, "..");
	assert_int_equal(key_check(&k, &e), -1);
	k = good, strcpy(k.model, "a\tb");
	assert_int_equal(key_check(&k, &e), -1);
	k = good, strcpy(k.salt, "a@b");
	assert_int_equal(key_check(&k, &e), -1);
	k = good, memset(k.salt, 's', sizeof(k.salt));
	assert_int_equal(key_check(&k, &e), -1);
	k = good, strcpy(k.dtype, "bf-16");
	assert_int_equal(key_check(&k, &e), -1);
	k = good, memset(k.dtype, 'x', sizeof(k.dtype));
	assert_int_equal(key_check(&k, &e), -1);
	k = good, k.rank = 4;
	assert_int_equal(key_check(&k, &e), -1);
	k = good, k.hash.len = 7;
	assert_int_equal(key_check(&k, &e), -1);
	k = good, k.hash.len = 33;
	assert_int_equal(key_check(&k, &e), -1);
}

static void
ordering(void **state)
{
	struct key k[] = {
		make("a", "", 2, 0, 0, H8), make("a", "", 2, 0, 0, "ff05dec65811b7cd"),
		make("a", "t", 2, 0, 0, H8), make("a", "", 2, 0, 1, H8),
		make("a", "", 2, 1, 0, H8), make("a", "", 10, 0, 0, H8),
		make("b", "", 1, 0, 0, H8),
	};
	size_t i, j, n = sizeof(k) / sizeof(k[0]);

	(void)state;
	for (i = 0; i < n; i++)
		for (j = 0; j < n; j++) {
			int c = key_cmp(&k[i], &k[j]);

			assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
		}
}

static void
prefixes(void **state)
{
	struct key k = make("a/b", "t", 2, 1, 0, H8);
	struct buf b = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(key_name_prefix(&b, &k, &e), 0);
	assert_string_equal(buf_text(&b), "a%2Fb/bf16-tp2-r1-t/ff/");
	k.hash.len = 0, b.len = 0;
	assert_int_equal(key_name_prefix(&b, &k, &e), 0);
	assert_string_equal(buf_text(&b), "a%2Fb/bf16-tp2-r1-t/");
	k.dtype[0] = 0, b.len = 0;
	assert_int_equal(key_name_prefix(&b, &k, &e), 0);
	assert_string_equal(buf_text(&b), "a%2Fb/");
	k.model[0] = 0, b.len = 0;
	assert_int_equal(key_name_prefix(&b, &k, &e), 0);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static void
messages(void **state)
{
	struct key k = make("a/b", "", 2, 1, 0, H8);
	char text[KEY_TEXT];

	(void)state;
	assert_string_equal(key_text(text, &k), "a/b bf16 tp2 r1 ff05dec65811");
	k = make("a\033[2Jb\xff", "t\xc2\x9b", 2, 1, 7, H8);
	assert_string_equal(key_text(text, &k),
		"a?[2Jb? bf16 tp2 r1 ff05dec65811 g7 tenant t??");
	memset(k.model, 'm', sizeof(k.model));
	memset(k.salt, 's', sizeof(k.salt));
	memset(k.dtype, 'd', sizeof(k.dtype));
	assert_true(strlen(key_text(text, &k)) < KEY_TEXT);
}

static void
neighbours(void **state)
{
	struct key a = make("a/b", "", 2, 1, 0, H8), b = make("a/b", "", 2, 1, 0, H8), k = a;
	struct buf first = { 0 }, name = { 0 };
	struct err e;
	char *p;

	(void)state;
	b.hash.b[7] ^= 1;
	assert_int_equal(key_name(&first, &a, &e), 0);
	assert_int_equal(key_name(&name, &b, &e), 0);
	assert_int_equal(key_parse_next(&k, buf_text(&first), buf_text(&name)), 0);
	assert_int_equal(key_cmp(&k, &b), 0);
	/* another shard, an upper-case digit, no digit, another suffix or model, one more byte */
	k = a;
	b.hash.b[0] ^= 1;
	name.len = 0;
	assert_int_equal(key_name(&name, &b, &e), 0);
	assert_int_equal(key_parse_next(&k, first.p, buf_text(&name)), -1);
	for (p = first.p; *p; p++) {
		char was = *p, to[] = { 'A', 'g', 0 };
		int i;

		for (i = 0; i < 3; i++) {
			name.len = 0;
			buf_str(&name, first.p);
			buf_text(&name)[p - first.p] = to[i];
			assert_int_equal(key_parse_next(&k, first.p, name.p), was == to[i] ? 0 : -1);
		}
	}
	name.len = 0;
	buf_str(&name, first.p);
	buf_str(&name, "x");
	assert_int_equal(key_parse_next(&k, first.p, buf_text(&name)), -1);
	assert_int_equal(key_cmp(&k, &a), 0);
	buf_free(&first);
	buf_free(&name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes),
		cmocka_unit_test(names_both_ways),
		cmocka_unit_test(foreign_names),
		cmocka_unit_test(long_names),
		cmocka_unit_test(checks),
		cmocka_unit_test(ordering),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(messages),
		cmocka_unit_test(neighbours),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
