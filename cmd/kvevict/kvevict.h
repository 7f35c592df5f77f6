#ifndef CMD_KVEVICT_H
#define CMD_KVEVICT_H

#include "flow/evict.h"
#include "flow/evict_litter.h"
#include "flow/evict_versions.h"

/* What kvevict's files share. */
struct kvevict {
	struct evict_want want;
	struct select select;
	int selects;			/* an option or a name narrows the selection */
	size_t names;			/* so many at the end of select.prefixes are operands */
	const char *demote, *audit;
	int all, yes, lock, litter, versions, limits, has_ttl;
	char rule;			/* 'p': print a lifecycle rule, 'i': install it */
	struct evict ev;
	double seconds;
};

/* The lines on stdout, the audit log, the summary and the metrics. */
int report_open(struct kvevict *k, struct err *e);
void report_step(void *ctx, const struct plan_step *s, enum evict_state state,
	const struct err *why);
litter_told report_litter;
void report_alike(void);	/* how many more failures there were like the last one told */
void report_close(struct kvevict *k, const struct evict_run *r);

/* A line for each tenant of the quota file, after a plan: on stderr, or with --json on stdout. */
void tenants(const struct evict *ev);

/* --print-lifecycle, --install-lifecycle; failures have been told. */
void lifecycle(const struct kvevict *k, const char *url);

#endif
