#ifndef CMD_KVSTAT_SIM_H
#define CMD_KVSTAT_SIM_H

#include "policy/policy.h"
#include "trace/trace.h"

/* kvstat sim: what its files share. */

/* "docqa,docs=10,len=20000,...": a trace made up. Needs block_tokens. */
int sim_generate(struct trace *t, const char *spec, struct err *e);

#define SIM_TIERS 8

struct sim_tier {
	char name[32];
	const struct policy_ops *policy;
	uint64_t capacity;	/* blocks */
	uint64_t admit;		/* enters at its so-manieth sighting; 1: at once */
	uint64_t rate;		/* read rate, bytes/s; 0: free */
	double price;		/* of a GiB for a month */
	/* results */
	uint64_t hits;		/* references it answered */
	uint64_t prefix;	/* of them, within the usable prefix */
	uint64_t written;	/* blocks let in */
};

struct sim_run {
	struct sim_tier tiers[SIM_TIERS];
	int n_tiers;
	int tail;		/* 1, 0; -1: as the first tier's policy has it */
	int with_min;		/* Belady's bound for the room of all tiers together too */
	double alpha, ttl_s;
	struct replay *replay;	/* between sim_open() and sim_close() */
	/* results */
	uint64_t hits, prefix, hit_tokens, min_hits;
};

/*
 * Replay a trace, also while it is read; several may at once. All are opened before there are
 * threads: where one asks the system for much memory the others sleep, and may wake on the core
 * of the one that let them. sim_replay() closes too; sim_close() is safe on what is not open.
 */
int sim_open(struct sim_run *run, struct err *e);
int sim_replay(struct sim_run *run, struct trace *t, struct err *e);
void sim_close(struct sim_run *run);

struct sim_cost {
	double gpu_hour, gpus, prefill_tps;
};

/* Rows of results, the advice, the plot (sim_out.c). */
void sim_out_open(const struct trace *t, const struct sim_cost *cost);
void sim_out_row(const struct sim_run *run);
void sim_out_close(void);
/* All rows so far as a gnuplot script with its data; before sim_out_close(). */
int sim_plot(const char *path, const struct trace *t, struct err *e);

#endif
