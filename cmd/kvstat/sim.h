#ifndef CMD_KVSTAT_SIM_H
#define CMD_KVSTAT_SIM_H

#include "policy/map.h"
#include "policy/policy.h"

/* kvstat sim: what its files share. */

/* Requests in order of arrival. Blocks are numbered from 0. */
struct sim_trace {
	uint64_t *keys;
	size_t n_refs, room_refs;
	size_t *first;			/* of each request in keys[]; first[n] is n_refs */
	double *time_s;
	uint64_t *tokens;		/* of each request's prompt */
	size_t n, room;
	uint64_t distinct;
	uint64_t total_tokens;
	uint64_t block_tokens;		/* 0 until told */
	uint64_t block_bytes;		/* 0: not known */
	struct map ids;			/* outside names to numbers */
	uint32_t *small;		/* the same for names that are small numbers, + 1 */
};

int sim_trace_open(struct sim_trace *t, struct err *e);
void sim_trace_close(struct sim_trace *t);
/* Append a file ("-": stdin) in any of the formats; a line's error names file and line. */
int sim_trace_read(struct sim_trace *t, const char *path, struct err *e);
/* The building blocks of that, for generators: begin, any number of keys, end. */
int sim_trace_key(struct sim_trace *t, uint64_t name, struct err *e);
int sim_trace_end(struct sim_trace *t, double time_s, uint64_t tokens, struct err *e);
/* Several files were read: by time. */
int sim_trace_sort(struct sim_trace *t, struct err *e);
/* Tokens of the first n blocks of a request. */
uint64_t sim_trace_prefix(const struct sim_trace *t, size_t request, uint64_t n);

/* "docqa,docs=10,len=20000,...": a trace made up. Needs block_tokens. */
int sim_generate(struct sim_trace *t, const char *spec, struct err *e);

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
	double alpha, ttl_s;
	/* results */
	uint64_t hits, prefix, hit_tokens, min_hits;
	int min_known;
};

/* Replay the trace. */
int sim_replay(struct sim_run *run, const struct sim_trace *t, struct err *e);
/* Belady's bound for the room of all tiers together. */
int sim_bound(struct sim_run *run, const struct sim_trace *t, struct err *e);

struct sim_cost {
	double gpu_hour, gpus, prefill_tps;
};

/* Rows of results, the advice, the plot (sim_out.c). */
void sim_out_open(const struct sim_trace *t, const struct sim_cost *cost);
void sim_out_row(const struct sim_run *run);
void sim_out_close(int advise);
/* All rows so far as a gnuplot script with its data; before sim_out_close(). */
int sim_plot(const char *path, const struct sim_trace *t, struct err *e);

#endif
