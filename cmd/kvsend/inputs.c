#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "kvsend/inputs.h"
#include "opts.h"
#include "peer_opts.h"
#include "tool.h"

static int
add_stream(struct inputs *in, const char *name, struct err *e)
{
	int fd = STDIN_FILENO;
	struct source *s;
	struct stat st;

	if (!strncmp(name, "gen:", 4))
		return source_gen(&s, name, e) < 0 ? -1 : outbox_add_source(in->box, s, -1, e);
	if (!strcmp(name, "-")) {
		if (tool_binary_in(opts_common.force, e) < 0)
			return -1;
	} else {
		if (in->n_fds == (int)(sizeof(in->fds) / sizeof(*in->fds)))
			return err_set(e, ERR_USAGE, "too many files; cat them");
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			err_sys(e, "open '%s'", name);
			return err_named(e);
		}
		in->fds[in->n_fds++] = fd;
	}
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat '%s'", name);
	if (S_ISDIR(st.st_mode))
		return err_set(e, ERR_USAGE, "'%s': a directory, not a stream; --from names stores",
			name);
	if (S_ISREG(st.st_mode))
		return outbox_add_file(in->box, fd, e);
	io_widen_pipe(fd);
	return source_stream(&s, fd, e) < 0 ? -1 : outbox_add_source(in->box, s, fd, e);
}

static int
add_store(struct inputs *in, const struct what *w, struct err *e)
{
	struct store_opts so = { .conf = opts_conf };
	struct pick how = w->pick;
	struct source *s;

	how.urls = &w->from;
	if (pick_open(&in->place, w->from, &so, w->geometry, e) < 0 ||
	    pick_chunks(&in->picked, &in->place, 1, &w->sel, &how, e) < 0)
		return -1;
	if (in->place.native)
		return outbox_add_place(in->box, &in->place, &in->picked.cat, in->picked.order,
			in->picked.n, e);
	if (source_place(&s, &in->place, &in->picked.cat, in->picked.order,
	    in->picked.n, NULL, e) < 0)
		return -1;
	return outbox_add_source(in->box, s, -1, e);
}

int
inputs_open(struct inputs *in, const struct what *w, unsigned peers, struct err *e)
{
	struct outbox_opts bo = { .pool = peer.pool, .peers = peers, .shard = w->shard,
	    .jobs = peer.wire.jobs, .failed = w->failed,
	    .max_duration = opts_common.max_duration };
	int i;

	memset(in, 0, sizeof(*in));
	if (outbox_open(&in->box, &bo, e) < 0)
		return -1;
	if (w->from)
		return add_store(in, w, e) < 0 ? -1 : outbox_start(in->box, e);
	for (i = 0; i < w->n_names; i++)
		if (add_stream(in, w->names[i], e) < 0)
			return -1;
	if (!w->n_names && add_stream(in, "-", e) < 0)
		return -1;
	return outbox_start(in->box, e);
}

void
inputs_close(struct inputs *in)
{
	outbox_close(in->box);
	pick_free(&in->picked);
	place_close(&in->place);
	while (in->n_fds > 0)
		close(in->fds[--in->n_fds]);
}
