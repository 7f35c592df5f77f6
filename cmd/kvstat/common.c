#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "copy.h"
#include "kvstat/common.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

/* Headers that cannot be read are shown as damaged, and told. */
static void
tell_unreadable(const struct stat_place *s)
{
	enum err_kind state, worst = ERR_NONE;
	char text[NUM_TEXT];
	size_t i, n = 0;

	for (i = 0; s->heads && i < s->cat.n; i++) {
		state = s->heads[i].state;
		if (!state || state == ERR_ABSENT || state == ERR_CORRUPT)
			continue;
		worst = err_worst(worst, state);
		n++;
	}
	if (!n)
		return;
	tool_warn("%s cannot be read; kvstat verify says why", num_count_text(text, n, "header"));
	tool_mark(worst);
}

int
stat_open(struct stat_place *s, const char *url, const struct select *sel, int heads)
{
	struct store_opts so = { .conf = opts_conf };
	struct select what = *sel;
	struct err e;

	memset(s, 0, sizeof(*s));
	what.heads = heads;
	if (copy_is_file(url)) {
		err_set(&e, ERR_USAGE, "'%.200s' is no store; kvstat show and verify read streams",
			url);
		tool_fail(&e);
		return -1;
	}
	if (pick_open(&s->place, url, &so, NULL, &e) < 0 ||
	    catalog_read(&s->cat, &s->place, &what, opts_common.jobs, &e) < 0 ||
	    (heads && catalog_heads(&s->cat, &s->place, opts_common.jobs, &s->heads, &e) < 0)) {
		tool_fail(&e);
		stat_close(s);
		return -1;
	}
	pick_tell_others(&s->cat, &s->place);
	tell_unreadable(s);
	s->place.quiet = 1;
	return 0;
}

void
stat_close(struct stat_place *s)
{
	free(s->heads);
	catalog_free(&s->cat);
	place_close(&s->place);
}

const char *
stat_url(int argc, char **argv, const char *verb)
{
	if (optind >= argc)
		opts_bad("which store? kvstat %s STORE", verb);
	return argv[optind];
}

const char *
stat_only_url(int argc, char **argv, const char *verb)
{
	const char *url = stat_url(argc, argv, verb);

	if (optind + 1 < argc)
		opts_bad("'%.60s': kvstat %s takes one store, and no names", argv[optind + 1],
			verb);
	return url;
}

uint64_t
stat_depth(const struct cat_head *h)
{
	return h && h->first_token != CHUNK_UNKNOWN && h->chunk_tokens ?
		h->first_token / h->chunk_tokens : OUT_NONE;
}

void
stat_fold(const struct stat_place *s, size_t row, struct folded *f)
{
	const struct cat_row *r = s->cat.rows;
	const struct cat_group *g = &s->cat.groups[r[row].group];
	const struct cat_head *h = s->heads ? &s->heads[row] : NULL;
	int corrupt = 0, n = 0;
	size_t i;

	memset(f, 0, sizeof(*f));
	f->row = row;
	f->end = catalog_chunk_end(&s->cat, row);
	f->ranks = catalog_ranks(&s->cat, row, f->end);
	for (i = row; i < f->end; i++) {
		f->size += r[i].size;
		if (r[i].mtime_s > f->mtime_s)
			f->mtime_s = r[i].mtime_s;
		if (r[i].atime_s > f->atime_s)
			f->atime_s = r[i].atime_s;
		if (s->heads && s->heads[i].state)
			corrupt = 1;
	}
	key_hash_hex(f->name, &r[row].hash);
	if (f->ranks < g->tp)
		f->flags[n++] = 'I';
	if (h && h->coded)
		f->flags[n++] = 'C';
	if (h && h->expires && h->expires <= clock_now())
		f->flags[n++] = 'X';
	if (corrupt)
		f->flags[n++] = '!';
	if (!n)
		f->flags[n++] = '-';
}
