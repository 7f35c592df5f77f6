#include <string.h>

#include "base/buf.h"
#include "key/python.h"

/* xxHash's primes, which CPython took over for tuples. */
#define P1 UINT64_C(11400714785074694791)
#define P2 UINT64_C(14029467366897019727)
#define P5 UINT64_C(2870177450012600261)

static inline uint64_t
rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

int64_t
python_hash_int(int64_t v)
{
	const uint64_t p = (UINT64_C(1) << 61) - 1;
	uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	int64_t h = (int64_t)(size % p);

	if (v < 0)
		h = -h;
	return h == -1 ? -2 : h;	/* -1 means error in C there */
}

void
python_tuple_begin(struct python_tuple *t)
{
	t->acc = P5;
	t->n = 0;
}

static inline uint64_t
lane(uint64_t acc, uint64_t hash)
{
	return rotl(acc + hash * P2, 31) * P1;
}

void
python_tuple_add(struct python_tuple *t, int64_t hash)
{
	t->acc = lane(t->acc, (uint64_t)hash);
	t->n++;
}

int64_t
python_tuple_end(const struct python_tuple *t)
{
	uint64_t acc = t->acc + (t->n ^ (P5 ^ 3527539));

	return acc == UINT64_MAX ? 1546275796 : (int64_t)acc;
}

int64_t
python_hash_ids(const uint32_t *ids, size_t n)
{
	struct python_tuple t = { P5, n };
	size_t i;

	for (i = 0; i < n; i++)
		t.acc = lane(t.acc, ids[i]);	/* an id is below 2^61-1: its own hash */
	return python_tuple_end(&t);
}

/* The 16 key bytes that PYTHONHASHSEED makes (Python/bootstrap_hash.c, lcg_urandom). */
static void
sip_key(uint64_t k[2], uint32_t seed)
{
	uint8_t b[16] = { 0 };
	uint32_t x = seed;
	size_t i;

	for (i = 0; seed && i < sizeof(b); i++) {
		x = x * 214013 + 2531011;
		b[i] = (uint8_t)(x >> 16);
	}
	k[0] = get_le64(b);
	k[1] = get_le64(b + 8);
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static void
sip_word(uint64_t v[4], uint64_t m, int rounds)
{
	v[3] ^= m;
	while (rounds-- > 0)
		sip_round(v);
	v[0] ^= m;
}

int64_t
python_hash_text(uint32_t seed, const char *s, int old)
{
	const size_t outer = old ? 4 : 3;
	const int inner = old ? 2 : 1;
	size_t n = strlen(s), i;
	uint8_t last[8] = { 0 };
	uint64_t k[2], v[4];
	int64_t h;

	if (n == 0)
		return 0;
	sip_key(k, seed);
	v[0] = k[0] ^ UINT64_C(0x736f6d6570736575);
	v[1] = k[1] ^ UINT64_C(0x646f72616e646f6d);
	v[2] = k[0] ^ UINT64_C(0x6c7967656e657261);
	v[3] = k[1] ^ UINT64_C(0x7465646279746573);
	for (i = 0; i + 8 <= n; i += 8)
		sip_word(v, get_le64(s + i), inner);
	memcpy(last, s + i, n - i);
	last[7] = (uint8_t)n;
	sip_word(v, get_le64(last), inner);
	v[2] ^= 0xff;
	for (i = 0; i < outer; i++)
		sip_round(v);
	h = (int64_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
	return h == -1 ? -2 : h;
}
