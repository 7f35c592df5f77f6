#ifndef CMD_COPY_H
#define CMD_COPY_H

#include "flow/flow.h"

/* What kvget and kvput share: sources from operands, the run with its progress and summary. */

/* A stream, a file of tensors or gen: named by an operand; "-" is stdin. ends the program on
 * wrong usage; NULL after tool_fail() otherwise. Descriptors stay open until exit. */
struct source *copy_source(const char *name);

/* How operands that are tensor files are to be read (--geometry, --tokens, --chunk-tokens ...). */
struct copy_import {
	const char *geometry, *tokens, *algo, *model, *tenant;
	uint64_t chunk_tokens;
	int tail;
};
extern struct copy_import copy_import;

/* A sink that makes a tensor file at path (form "safetensors" or "npy"), or below it a folder
 * of vLLM's example connector ("vllm-example") of a generation (layout; NULL otherwise). */
int copy_export(struct sink **out, const char *path, const char *form, const char *layout,
	struct err *e);

/* Step that names chunks by algo "to", from --tokens, --algo and --chunk-tokens; to NULL: by the
 * algorithm they have, which gives place and parent to chunks whose store does not tell
 * them. NULL after tool_fail(). */
struct flow_step *copy_rename(const char *to);

/* Is this operand a file (not a store)? */
int copy_is_file(const char *name);

/* Append a step to the list. */
void copy_add_step(struct flow_step **list, struct flow_step *s);

struct copy_result {
	struct flow_stats stats;
	double seconds;
	char last[KEY_SHORT];	/* hash of the last chunk, "-" */
	int timed_out;		/* the caller says what that means */
	int failed;
	/* kvget's own, of stores: tiers that were asked, were left out as they were down; chunks
	 * that came from a lower one than they should */
	uint64_t tiers, tiers_down, fallen;
};

/* Run with the common options and progress. Failures have been told (tool_fail). */
void copy_run(struct source *from, struct sink *to, struct flow_step *steps, int keep_going,
	struct copy_result *r);

/* "--jobs"; or what fits the store, of two (NULL: none) the one that likes more at once, but no
 * more chunks of the mean size in from (NULL: not known) than this machine's cores keep moving. */
unsigned copy_jobs(const struct store *a, const struct store *b, const struct source *from);

#endif
