#include <math.h>

#include "kvstat/sim_random.h"

#define N 624
#define M 397

static void
init(struct sim_random *r, uint32_t s)
{
	r->state[0] = s;
	for (uint32_t i = 1; i < N; i++)
		r->state[i] = 1812433253u * (r->state[i - 1] ^ (r->state[i - 1] >> 30)) + i;
	r->at = N;
}

void
sim_random_seed(struct sim_random *r, uint64_t seed)
{
	uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) }, len = key[1] ? 2 : 1;
	uint32_t *mt = r->state, i = 1, j = 0;

	init(r, 19650218u);
	for (int k = N; k; k--) {
		mt[i] = (mt[i] ^ ((mt[i - 1] ^ (mt[i - 1] >> 30)) * 1664525u)) + key[j] + j;
		if (++i == N) {
			mt[0] = mt[N - 1];
			i = 1;
		}
		j = (j + 1) % len;
	}
	for (int k = N - 1; k; k--) {
		mt[i] = (mt[i] ^ ((mt[i - 1] ^ (mt[i - 1] >> 30)) * 1566083941u)) - i;
		if (++i == N) {
			mt[0] = mt[N - 1];
			i = 1;
		}
	}
	mt[0] = 0x80000000u;
}

static void
refill(struct sim_random *r)
{
	for (int i = 0; i < N; i++) {
		uint32_t y = (r->state[i] & 0x80000000u) | (r->state[(i + 1) % N] & 0x7fffffffu);

		r->state[i] = r->state[(i + M) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
	}
	r->at = 0;
}

uint32_t
sim_random_u32(struct sim_random *r)
{
	uint32_t y;

	if (r->at == N)
		refill(r);
	y = r->state[r->at++];
	y ^= y >> 11;
	y ^= (y << 7) & 0x9d2c5680u;
	y ^= (y << 15) & 0xefc60000u;
	return y ^ (y >> 18);
}

uint64_t
sim_random_below(struct sim_random *r, uint64_t n)
{
	int bits = 64 - __builtin_clzll(n);
	uint32_t v;

	if (bits > 32)
		return sim_random_u32(r);
	do {
		v = sim_random_u32(r) >> (32 - bits);
	} while (v >= n);
	return v;
}

double
sim_random_unit(struct sim_random *r)
{
	uint32_t a = sim_random_u32(r) >> 5, b = sim_random_u32(r) >> 6;

	return (a * 67108864.0 + b) / 9007199254740992.0;
}

double
sim_random_exp(struct sim_random *r, double mean)
{
	return -log(1 - sim_random_unit(r)) * mean;
}

void
sim_random_shuffle(struct sim_random *r, uint32_t *v, size_t n)
{
	for (size_t i = n; i-- > 1;) {
		uint64_t j = sim_random_below(r, i + 1);
		uint32_t t = v[i];

		v[i] = v[j];
		v[j] = t;
	}
}
