#ifndef CMD_SELECT_OPTS_H
#define CMD_SELECT_OPTS_H

#include "flow/catalog.h"
#include "opts.h"

/* The options that select chunks, the same in every tool that has them: put SELECT_OPTIONS
 * into the tool's table and give what opts_next() returns to select_option() first. */
enum { SEL_MODEL = 1500, SEL_DTYPE, SEL_TP, SEL_RANK, SEL_TENANT, SEL_OLDER, SEL_NEWER,
	SEL_LARGER, SEL_SMALLER, SEL_INCLUDE, SEL_EXCLUDE, SEL_NAMES };

#define SELECT_OPTIONS \
	{ SEL_MODEL, "model", "PATTERN", "chunks of models like this (* and ? as in the shell)", \
		NULL }, \
	{ SEL_DTYPE, "dtype", "TYPE", "... of this element type", "bf16 f16 f8_e4m3fn" }, \
	{ SEL_TP, "tp", "N", "... of this tensor-parallel size", NULL }, \
	{ SEL_RANK, "rank", "N", "... of this rank", NULL }, \
	{ SEL_TENANT, "tenant", "NAME", "... of this tenant", NULL }, \
	{ SEL_OLDER, "older-than", "TIME", "... written longer ago, like 7d", NULL }, \
	{ SEL_NEWER, "newer-than", "TIME", "... written since, like 15m", NULL }, \
	{ SEL_LARGER, "larger", "SIZE", "... larger than this", NULL }, \
	{ SEL_SMALLER, "smaller", "SIZE", "... smaller than this", NULL }, \
	{ SEL_INCLUDE, "include", "PATTERN", "... whose object name is like this; again for more", \
		NULL }, \
	{ SEL_EXCLUDE, "exclude", "PATTERN", "... whose object name is not like this", NULL }, \
	{ SEL_NAMES, "names-from", "FILE", "... with the names in this file (text or NDJSON)", \
		"FILE" }

/* 1: it was one of these. A bad argument ends the program (status 2). */
int select_option(int id, struct select *s);

/* Operands that name chunks: hex prefixes of 6 digits or more, or whole object names. Bad
 * ones end the program. */
void select_names(struct select *s, char **names, int n);

/* Was a list of names given that is empty? */
int select_is_nothing(const struct select *s);

/* Hash prefixes that fit more than one chunk, or none, of what was read: 0, or tells each (notes
 * ERR_USAGE, ERR_ABSENT) and returns -1. */
int select_unique(const struct select *s, const struct catalog *c);

#endif
