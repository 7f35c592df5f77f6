#ifndef CMD_KVSTAT_SIM_RANDOM_H
#define CMD_KVSTAT_SIM_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Random numbers exactly as CPython's random.Random(seed) gives them (MT19937,
 * init_by_array), so that generated workloads are those of Python benchmarks. */
struct sim_random {
	uint32_t state[624];
	int at;
};

void sim_random_seed(struct sim_random *r, uint64_t seed);
uint32_t sim_random_u32(struct sim_random *r);
uint64_t sim_random_below(struct sim_random *r, uint64_t n);	/* as _randbelow; n to 2^32 */
double sim_random_unit(struct sim_random *r);			/* as random(): [0, 1) */
double sim_random_exp(struct sim_random *r, double mean);
void sim_random_shuffle(struct sim_random *r, uint32_t *v, size_t n);	/* as shuffle() */

#endif
