#include <stdlib.h>
#include <string.h>

#include "index/index.h"
#include "note.h"
#include "opts.h"
#include "tool.h"

void
note_open(struct place *p, const char *url)
{
	const char *where = conf_get(opts_conf, "index");
	struct err e;
	char *full;

	if (!p->store || opts_common.dry || (where && !strcmp(where, "none")))
		return;
	full = conf_store_url(opts_conf, url, &e);
	/* one that is not there is made only where it was asked for */
	if (!full || (!where && index_open(&p->index, NULL, full, INDEX_READ, opts_conf, &e) < 0)) {
		if (e.kind != ERR_ABSENT)
			tool_warn("uses are not noted: %s", e.text);
		free(full);
		return;
	}
	index_close(p->index, NULL);
	if (index_open(&p->index, where, full, INDEX_WRITE, opts_conf, &e) < 0)
		tool_warn("uses are not noted: %s", e.text);
	free(full);
}

void
note_close(struct place *p)
{
	struct err e;

	if (index_close(p->index, &e) < 0)
		tool_warn("uses are not all noted: %s", e.text);
	p->index = NULL;
}
