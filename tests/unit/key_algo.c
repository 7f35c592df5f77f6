#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "key/algo.h"
#include "key/encode.h"

/*
 * Tokens 0..511 in chunks of 256: root and two hashes. Made with CPython 3.10 to 3.13
 * (hash(), pickle, hashlib), a CBOR writer of its own, xxhsum and b3sum.
 */
static const struct {
	const char *algo, *root, *first, *second;
} vectors[] = {
	{ "blake3",
	  "7e3eff9ef7613a50340eb12677ee03b83ac759fcba9bb32705f07248d56d473b",
	  "084547b6c40ed5b05ba8cd0305db5bf74d5617673948d9ed193ab7d6cbc484d4",
	  "e5ffee45c2b9db326814c9692dc594369887ba3b0df5761817820b60f864c8e0" },
	{ "vllm-sha256:seed=0",
	  "1973e23848344dc43a988a9b478663803cfffe1243480253f9a3cf004b14aa7c",
	  "b74f553ae7f24324e67403d87c6f9e77c73622734a4f9a264c3fb4b60bda54e8",
	  "ea1c75242394a6deae2650f67ac0c09f66872e90edfd2d64f163ba88475be8c0" },
	{ "vllm-sha256:seed=42",
	  "c0bc02c9fc92a4944335649961b9e55cc41b194bece4801e8c6ef0f0f3f5884a",
	  "0f94623982c3e516b74328ea8dd0700bc0dd25a6961a8baf02a1b3fa93c08e70",
	  "4ccef2c26bc1b2bed895f21c97eaa4c77a9a12c36accec1e20ab50940d4e28c4" },
	{ "vllm-sha256_cbor:seed=0",
	  "4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e",
	  "f3de83132fabc7fa86835e24f2a2008df215e9d03ba998de8e1aaa1431327685",
	  "371af08f4403543b92424de857c05f7e7e941c51fc259b7b6c5de7956b6adb7e" },
	{ "vllm-sha256_cbor:seed=42",
	  "9fa6eb003f14425eb9c8e6baacfbcaab26257357b829c7bfa74ffcc4f31c1780",
	  "a4d809d7a0051074e2025369545e47c5f2c1d12a5d4b86433972c9b96891441b",
	  "7e1017f88100b759c00d30a618b22c712ad5e2c8b2b315c5f835015b8117e6b2" },
	{ "vllm-xxhash:seed=0",
	  "6fb31cc38bba6066183f7f2104b9c051",
	  "7902fe02d6517382ed85425f0aaa3721",
	  "07d4a9a52ae07df95dcfdc554161c1de" },
	{ "vllm-xxhash:seed=42",
	  "b6cdd80ea04b31ad0b9fc22fff500882",
	  "ad2ff70b46a75b437cf04919d36402b2",
	  "1ca315556b31f8f6e9a6de97f2f56dbd" },
	{ "vllm-xxhash_cbor:seed=0",
	  "1ebe36576dcb573f26b99533a20aaeca",
	  "edc65864244e996e339a585182346963",
	  "01b1c7acff9bfe174f13a187a6ff0cc0" },
	{ "vllm-xxhash_cbor:seed=42",
	  "a9d2e63407fce1a26c9dc9d7fa2d7caf",
	  "b88f3cf9079e248d956193197b677064",
	  "bb4b1ca371868b6f54a4ff7b1bfb34be" },
	{ "lmcache-sha256_cbor:C",
	  "0000000000000000",
	  "ffc58acb88244190",
	  "6d46bded3cc7e749" },
	{ "lmcache-sha256_cbor:C:seed=0",
	  "4e1195df020de59e",
	  "b8a960cfcc69e7a5",
	  "cc309e143d545625" },
	{ "lmcache-sha256_cbor:C32",
	  "0000000000000000",
	  "ffc58acb88244190ebd4b87f67dd2c73908b4d8849ac5d2b1ce4fee8c615a984",
	  "1f696318ac9b72c6e408e90353a885cf91add21c830bea7a9202a85dce747f37" },
	{ "lmcache-sha256_cbor:C32:seed=0",
	  "4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e",
	  "8b81dbad38c4b07b71e4def300d2cc1cf7e45ae1ee2ec983e0f92070d955e2dc",
	  "781718220b72190ce94eeac369ffd9845a1ce1f72fd9639121f2fea4248401a5" },
	{ "lmcache-sha256_cbor:A",
	  "0000000000000000",
	  "4e7cf94e520a077e1b1fac19149a3ceb64c42f676f93ecbc673a6cbce8976f2a",
	  "67a4d36b906f0f4fe8a90399260d46a07ca0fe0a3246dff6e1e6ec2e0462041e" },
	{ "lmcache-sha256_cbor:A:seed=0",
	  "4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e",
	  "f3de83132fabc7fa86835e24f2a2008df215e9d03ba998de8e1aaa1431327685",
	  "371af08f4403543b92424de857c05f7e7e941c51fc259b7b6c5de7956b6adb7e" },
	{ "lmcache-sha256_cbor:A64",
	  "0000000000000000",
	  "673a6cbce8976f2a",
	  "549f988a1f5c27c5" },
	{ "lmcache-sha256_cbor:A64:seed=0",
	  "f8b55adff2e61c3e",
	  "7b322416f5636694",
	  "6ac93b99aae6c43a" },
	{ "lmcache-sha256_cbor:B",
	  "0000000000000000",
	  "a8bf366c9d53e30bff41cbf3fab831738545818db6c7d45db3d7adaae94c5787",
	  "d52de2115a233591220d8a3b85bea83e74e5b104cc115896c7735c361b5beabe" },
	{ "lmcache-sha256_cbor:B:seed=0",
	  "4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e",
	  "cfe1fd29f508f440e735eeb2e87770c8431797083d75ebddfbe6aad31079ef73",
	  "0883b74530e348ca128a0cfbaea6711c1018aaa2dd98d985a7b2acde6d8482a7" },
	{ "lmcache-builtin:A:seed=0",
	  "49bc192c478bfc2e",
	  "2a931e3de8aacf26",
	  "abd70b2c2dd81f09" },
	{ "lmcache-builtin:A",
	  "0000000000000000",
	  "953af6f9217f6ba9",
	  "1c8758503e140605" },
	{ "lmcache-builtin:B:seed=0",
	  "49bc192c478bfc2e",
	  "0c16372e41eb4086",
	  "68420ac111243717" },
	{ "lmcache-builtin:B",
	  "0000000000000000",
	  "d5959976eee8a183",
	  "cec4f928fba809c9" },
	{ "lmcache-builtin:C:seed=0",
	  "49bc192c478bfc2e",
	  "5f05dec65811b7cc",
	  "f523ccc46155f1bb" },
	{ "lmcache-builtin:C",
	  "0000000000000000",
	  "2b763dd00afa89c8",
	  "79e62c807b48385b" },
	{ "lmcache-builtin:A:seed=42",
	  "0c06a5630ef176cb",
	  "2714ae5d42339ff7",
	  "cad5d520ac2cc20f" },
	{ "lmcache-builtin:B:seed=42",
	  "0c06a5630ef176cb",
	  "add986fbcdce6478",
	  "bcf33fbd85055d1e" },
	{ "lmcache-builtin:C:seed=42",
	  "0c06a5630ef176cb",
	  "5b876ee5b19a889d",
	  "1a4b3c2c9df2465a" },
	{ "lmcache-builtin:A:seed=4294967295",
	  "7b65f3eec8aebf2a",
	  "002e3d711c0fa945",
	  "319f3501749d6587" },
	{ "lmcache-builtin:B:seed=4294967295",
	  "7b65f3eec8aebf2a",
	  "bfa8fa7f2a7ea0ce",
	  "54ffc53bf5641e2c" },
	{ "lmcache-builtin:C:seed=4294967295",
	  "7b65f3eec8aebf2a",
	  "34a0fdf98b7691eb",
	  "67c2b11a092f970e" },
	{ "lmcache-builtin:C-py3.10:seed=0",
	  "b6af0bb034a05e4a",
	  "ecefc057e1b168c1",
	  "f190a57e559dc3c3" },
	{ "lmcache-builtin:B-py3.10:seed=0",
	  "b6af0bb034a05e4a",
	  "3f7b6e74f3c9293b",
	  "d6641c029747fb7c" },
	{ "lmcache-builtin:C-py3.10:seed=42",
	  "6d0f339ec9f37899",
	  "b2370836e5aa3a05",
	  "37503d3bc5cf49d1" },
	{ "lmcache-builtin:B-py3.10:seed=42",
	  "6d0f339ec9f37899",
	  "513fb1abb5265ec9",
	  "2e8ba423fd10f793" },
};

static uint32_t ids[512];

static struct key_chain
chain_of(const char *algo, uint32_t chunk_tokens)
{
	struct key_chain c = { .chunk_tokens = chunk_tokens };
	struct err e;

	assert_int_equal(key_algo_parse(&c.algo, algo, &e), 0);
	return c;
}

static void
assert_hash(const struct key_hash *h, const char *hex)
{
	char own[KEY_HEX];

	assert_string_equal(key_hash_hex(own, h), hex);
}

static void
golden(void **state)
{
	struct key_hash h[2], root;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct key_chain c = chain_of(vectors[i].algo, 256);

		assert_int_equal(key_root(&root, &c.algo, &e), 0);
		assert_hash(&root, vectors[i].root);
		assert_int_equal(key_chain(h, &c, ids, 512, &e), 0);
		assert_hash(&h[0], vectors[i].first);
		assert_hash(&h[1], vectors[i].second);
		assert_int_equal(h[0].len, key_algo_width(&c.algo));
	}
}

/* The tail is left out; a chain may be continued from its middle. */
static void
continued(void **state)
{
	static const char *const algos[] = {
		"blake3", "lmcache-builtin:C:seed=0", "lmcache-sha256_cbor:C:seed=0",
		"vllm-sha256:seed=0", "vllm-xxhash_cbor:seed=0",
	};
	struct key_hash whole[5], part[3];
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(algos) / sizeof(algos[0]); i++) {
		struct key_chain c = chain_of(algos[i], 100);

		memset(whole, 0xee, sizeof(whole));
		assert_int_equal(key_chain(whole, &c, ids, 499, &e), 0);
		assert_int_equal(whole[4].len, 0xee);
		c.parent = whole[1];
		c.first_token = 200;
		assert_int_equal(key_chain(part, &c, ids + 200, 212, &e), 0);
		assert_memory_equal(part, whole + 2, 2 * sizeof(*part));
		assert_int_equal(key_chain(part, &c, ids, 99, &e), 0);
	}
}

/* Rows of vLLM's tests: blocks of 16, PYTHONHASHSEED=0. */
static void
vllm_blocks(void **state)
{
	static const uint32_t sizes[16] = {
		1, 23, 24, 255, 256, 65535, 65536, 128000,
		1, 23, 24, 255, 256, 65535, 65536, 128000,
	};
	static const uint32_t six[6] = { 1, 255, 256, 65535, 65536, 128000 };
	struct key_chain c = chain_of("vllm-sha256_cbor:seed=0", 16);
	struct key_hash h[2];
	struct err e;

	(void)state;
	assert_int_equal(key_chain(h, &c, ids, 32, &e), 0);
	assert_hash(&h[0], "d830de3d42c00f25a2949b5d12d98642664a44872c1614c5b0147556276afc9c");
	assert_true(get_be64(h[0].b + 24) == UINT64_C(12687895063098490012));
	assert_hash(&h[1], "fedd9e4abebebbe6f6cf96b682f08d316063fe2f22a5c552192dd62904fcccac");
	assert_int_equal(key_chain(h, &c, sizes, 16, &e), 0);
	assert_hash(&h[0], "f36aec161ede57c2f56b78c288a143d201b52914d0101d3e73f25fb0069a2fa6");
	c = chain_of("vllm-sha256:seed=0", 16);
	assert_int_equal(key_chain(h, &c, ids, 16, &e), 0);
	assert_hash(&h[0], "6358e31578a64b75ebe28cdb99d3beae65de82a2087321dc6ec84ae048faaaa6");
	c.parent = h[0];
	c.chunk_tokens = 6;
	c.first_token = 16;
	assert_int_equal(key_chain(h, &c, six, 6, &e), 0);
	assert_hash(&h[0], "af726413bfabc91f748cc9239181897e27cc22abc3663cf2169fcd5f59961524");
}

/* Extra keys: LoRA and salt; three items of media and a salt. The second item begins in
 * one chunk and ends in the next, so its offset is negative there. */
static const struct {
	const char *algo, *lora[2], *media[3];
} extras[] = {
	{ "vllm-sha256:seed=0",
	  { "8d48241a319a54cbed48f74ca96ef52c738d2e0a3022c1eab5ae88cd67ad69c8",
	    "3530b5cdbb9d062f47df4cd0197f7ec85bcc1cc47f3b8607d923cac8ea723bac" },
	  { "e6b0b3f99ce62a0da4c8134d168671b1d69235fb978a324bb1ac9ad04a3f3ede",
	    "cd2c950b2e3222a85c5b700426e5cf78650736b9987028c9a23e01fd7af4b944",
	    "7947b5b4d9c596e460761004a11695269598b9e8038504a7e4179915eda19339" } },
	{ "vllm-sha256_cbor:seed=0",
	  { "7cd6f066786427505de6f60576a0ebec4066d387f7f4338e398c3b1a8dc54451",
	    "b5666d48692c2a6e6c107d727852950831b9a745c43e7e90b230e942d6f8a106" },
	  { "3155f874f9b0b9111d8083db8187a52c9787e4f62ae16a4e85111e84068619ad",
	    "188d7471749d2d8bc5dcd9e80e62fa1fa46da30cdfaa94743978bc8574616acd",
	    "5df4621a4a3700feb1c6f8dc3b7befd25a0a7f0557f28f5c957c9088c76cf7fb" } },
	{ "vllm-xxhash:seed=0",
	  { "79e0616a9db4d98cbdcbf375082d4037",
	    "a9007e773b1fda6ea74c1b6c8ef7f8a6" },
	  { "564eb301c800e9dde1df793fd0274dfd",
	    "550d03f444cffb93a711f0dc7571e86e",
	    "93acc8bf7d4b40de4cef2af43887ebce" } },
	{ "vllm-xxhash_cbor:seed=0",
	  { "71f60111ee869f9da6afc582298d4e4d",
	    "c1d44055b9f6fadd53cddcb82aa74676" },
	  { "541498cddf3026d9528bc5adb64fa49e",
	    "52dd397d6a777535632d0851704a6c60",
	    "a6e88ca8d7c1c1b2808854984909661c" } },
};

static void
extra_keys(void **state)
{
	char long_id[301];
	const struct key_media media[] = {
		{ "img-a", 3, 5 }, { "img-b", 12, 20 }, { long_id, 30, 2 },
	};
	const struct key_extra lora = { .lora = "my-lora", .salt = "salt" };
	const struct key_extra many = { .salt = "s", .media = media, .n_media = 3 };
	struct key_hash h[3];
	struct err e;
	size_t i;

	(void)state;
	memset(long_id, 'x', 300);
	long_id[300] = 0;
	for (i = 0; i < sizeof(extras) / sizeof(extras[0]); i++) {
		struct key_chain c = chain_of(extras[i].algo, 16);

		c.extra = &lora;
		assert_int_equal(key_chain(h, &c, ids, 32, &e), 0);
		assert_hash(&h[0], extras[i].lora[0]);
		assert_hash(&h[1], extras[i].lora[1]);
		c.extra = &many;
		assert_int_equal(key_chain(h, &c, ids, 48, &e), 0);
		assert_hash(&h[0], extras[i].media[0]);
		assert_hash(&h[1], extras[i].media[1]);
		assert_hash(&h[2], extras[i].media[2]);
	}
}

/* Tokens at the ends of every integer form; tuples of 8, 1, 2 and 3. */
static const struct {
	const char *algo, *hash[4];
} edges[] = {
	{ "vllm-sha256:seed=0",
	  { "a3e77b9feaa5a247f1f1059fec9bd41f3d533265466e1b573ca4a48063b5ba2c",
	    "8a8ca157f153d0ded68e06e9dc141ac01badc8be407579fc7088ec5e2e2126f6",
	    "163b21eaf64b32d3bd579abc78a3b1db3898ee1e799fa98394431c9469936269",
	    "857ac83024f830aa00b3b9201f8bd8ab9e9e6196e043328c86dccdf4d9e7ff78" } },
	{ "vllm-sha256_cbor:seed=0",
	  { "3a02273337a4e007848540110a0b6e353b8f48085fbb08aa1aec0d1db7a24721",
	    "089cbc4133d486069e9c2a18d642db7e46dd33742ba375954e5abb8bf05c6e79",
	    "aca9c6704d7f8741abd46fe69fdb5feb04eba06fa3ec8826de6c8717baebd7f1",
	    "eb651b526287f4e6ec8893e52bd5e46a58465c8c1d3b9a1b20a1d1c22bf9324b" } },
	{ "vllm-xxhash:seed=0",
	  { "38cb0e57a60dcd7a0fab9a39729159bd",
	    "362dbd30f1df8ea222027e68bb458f34",
	    "b283ba391c607a0a822bd7ea330cc504",
	    "ae4fae7e215593dfbde170d72cc37deb" } },
	{ "vllm-xxhash_cbor:seed=0",
	  { "adda9b224587b54d6da28107ecbe5570",
	    "606a5b0fa80400fd2dc5805b83a0bee3",
	    "49b8257b67a85968acedfa59deb73c99",
	    "41433b378e1695730565794afa86306a" } },
};

static void
integer_forms(void **state)
{
	static const uint32_t big[] = {
		0, 255, 256, 65535, 65536, INT32_MAX, INT32_MAX + 1u, UINT32_MAX,
	};
	static const struct { size_t first; uint32_t n; } cut[4] = {
		{ 0, 8 }, { 0, 1 }, { 0, 2 }, { 5, 3 },
	};
	struct key_hash h;
	struct err e;
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		for (k = 0; k < 4; k++) {
			struct key_chain c = chain_of(edges[i].algo, cut[k].n);

			assert_int_equal(key_chain(&h, &c, big + cut[k].first, cut[k].n, &e), 0);
			assert_hash(&h, edges[i].hash[k]);
		}
}

/* (0x4e1195df020de59e, (1, 2, 300, 70000), ()) */
static void
cbor_bytes(void **state)
{
	static const uint32_t tokens[] = { 1, 2, 300, 70000 };
	struct key_hash parent = { .len = 8 };
	struct link l = { &parent, tokens, 4, THIRD_EMPTY, NULL, 0 };
	struct buf b = { 0 }, hex = { 0 };

	(void)state;
	put_be64(parent.b, UINT64_C(0x4e1195df020de59e));
	encode_cbor(&b, &l);
	buf_hex(&hex, b.p, b.len);
	assert_string_equal(buf_text(&hex), "831b4e1195df020de59e84010219012c1a0001117080");
	buf_free(&b);
	buf_free(&hex);
}

static void
identity_text(void **state)
{
	static const struct { const char *given, *canonical; } good[] = {
		{ "blake3", "blake3" },
		{ "opaque", "opaque" },
		{ "opaque:lmcache-mp", "opaque:lmcache-mp" },
		{ "lmcache-builtin", "lmcache-builtin:C" },
		{ "lmcache-builtin:seed=0", "lmcache-builtin:C:seed=0" },
		{ "lmcache-builtin:A", "lmcache-builtin:A" },
		{ "lmcache-sha256_cbor:C:seed=0", "lmcache-sha256_cbor:C:seed=0" },
		{ "lmcache-sha256_cbor:A64:seed=4294967295",
		  "lmcache-sha256_cbor:A64:seed=4294967295" },
		{ "vllm-sha256", "vllm-sha256" },
		{ "vllm-xxhash_cbor:seed=42", "vllm-xxhash_cbor:seed=42" },
	};
	static const char *const bad[] = {
		"", ":", "blake", "blake3 ", "blake3:", "blake3:seed=0", "blake3:C", "opaque:seed=1",
		"opaque:", "opaque:a:b", "opaque:A", "opaque:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"lmcache-builtin:C32", "lmcache-builtin:c", "lmcache-builtin:", "lmcache-builtin:C:",
		"lmcache-builtin::seed=0", "lmcache-builtin:seed=", "lmcache-builtin:seed=-1",
		"lmcache-builtin:seed=4294967296", "lmcache-builtin:seed=random",
		"lmcache-builtin:seed=0 ", "lmcache-builtin:seed=0:C", "lmcache-builtin:C:x=0",
		"lmcache-builtin:C:seed=00000000001", "vllm-sha256:C", "VLLM-sha256",
	};
	char text[KEY_ALGO_TEXT];
	struct key_algo a, b;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(key_algo_parse(&a, good[i].given, &e), 0);
		assert_string_equal(key_algo_text(text, &a), good[i].canonical);
		assert_int_equal(key_algo_parse(&b, text, &e), 0);
		assert_true(key_algo_equal(&a, &b));
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (key_algo_parse(&a, bad[i], &e) == 0)
			fail_msg("'%s' passed", bad[i]);
		assert_int_equal(e.kind, ERR_USAGE);
	}
	for (i = 0; key_algo_nth(&a, i) == 0; i++) {
		assert_int_equal(key_algo_parse(&b, key_algo_text(text, &a), &e), 0);
		assert_true(key_algo_equal(&a, &b));
		assert_int_equal(key_algo_signed(&a), !strncmp(text, "lmcache-builtin", 15));
	}
	assert_int_equal(i, 16);
}

static void
refusals(void **state)
{
	const struct key_extra lora = { .lora = "x" }, nothing = { .lora = NULL };
	struct key_chain c = chain_of("opaque", 256);
	uint32_t *many = calloc(40000, sizeof(*many));
	struct key_hash h[2];
	struct err e;

	(void)state;
	assert_non_null(many);
	assert_int_equal(key_chain(h, &c, ids, 256, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	c = chain_of("vllm-sha256", 256);
	assert_int_equal(key_chain(h, &c, ids, 256, &e), -1);
	assert_int_equal(key_root(h, &c.algo, &e), -1);
	c.parent.len = 32;
	assert_int_equal(key_chain(h, &c, ids, 256, &e), 0);
	c.parent.len = 16;
	assert_int_equal(key_chain(h, &c, ids, 256, &e), -1);
	c = chain_of("vllm-sha256:seed=0", 40000);
	assert_int_equal(key_chain(h, &c, many, 40000, &e), -1);
	c.chunk_tokens = 0;
	assert_int_equal(key_chain(h, &c, ids, 256, &e), -1);
	c = chain_of("blake3", 256);
	c.extra = &nothing;
	assert_int_equal(key_chain(h, &c, ids, 256, &e), 0);
	c.extra = &lora;
	assert_int_equal(key_chain(h, &c, ids, 256, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	free(many);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden),
		cmocka_unit_test(continued),
		cmocka_unit_test(vllm_blocks),
		cmocka_unit_test(extra_keys),
		cmocka_unit_test(integer_forms),
		cmocka_unit_test(cbor_bytes),
		cmocka_unit_test(identity_text),
		cmocka_unit_test(refusals),
	};
	uint32_t i;

	for (i = 0; i < 512; i++)
		ids[i] = i;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
