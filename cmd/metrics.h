#ifndef CMD_METRICS_H
#define CMD_METRICS_H

#include "base/buf.h"
#include "copy.h"

/* --metrics-file: Prometheus text for the textfile collector, written whole or not at all,
 * on failure too. Begin, add lines of your own ("kvtools_evict_..."), end writes it with run
 * time, last success and exit code. Nothing happens without the option, nor in a dry run, which
 * did nothing that could be counted and is no success either. */
void metrics_begin(struct buf *b);
void metrics_line(struct buf *b, const char *name, const char *labels, double value);
void metrics_whole(struct buf *b, const char *name, const char *labels, double value);
/* From here on each line has store="..." as a label, so that the files of several stores'
 * jobs do not tell of the same series. */
void metrics_store(const char *store);
void metrics_end(struct buf *b, double seconds);

/* Of a run of copying, after its exit status is known. */
void metrics_copy(const struct copy_result *r);

/* The tool ends: a run that came to no lines of its own has those of the status. */
void metrics_rest(void);

#endif
