#ifndef POLICY_POLICIES_H
#define POLICY_POLICIES_H

#include "policy/node.h"

/* The rows of the table, each in the file of its name. */
extern const struct policy_ops policy_auto, policy_lru, policy_fifo, policy_lfu, policy_s3fifo,
	policy_sieve, policy_lru2, policy_arc, policy_2q, policy_w_tinylfu, policy_gdsf,
	policy_cost, policy_length_aware, policy_priority, policy_size, policy_ttl,
	policy_quota;

#endif
