#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/par.h"
#include "copy.h"
#include "dialect/tensor.h"
#include "flow/convert.h"
#include "key/algo.h"
#include "key/tokens.h"
#include "opts.h"
#include "progress.h"
#include "tool.h"

/* Bytes of chunks under way for each core: more of them only take memory, as far as a core moves
 * 2 GB/s and an answer takes 15 ms. */
#define WAY_PER_CORE (UINT64_C(32) << 20)

struct copy_import copy_import = { .chunk_tokens = 256 };

int
copy_is_file(const char *name)
{
	struct stat st;

	return !strcmp(name, "-") || !strncmp(name, "gen:", 4) ||
		(stat(name, &st) == 0 && (!S_ISDIR(st.st_mode) || tensor_path(name)));
}

static struct source *
told(const struct err *e)
{
	tool_fail(e);
	return NULL;
}

/* What the options tell of tensor files; the texts and tokens live as long as the program. */
static int
import_opts(struct tensor_opts *o, struct err *e)
{
	static struct key_tokens tokens;
	static struct key_algo algo;
	static struct geom geom;
	static char model[256];
	const struct copy_import *i = &copy_import;
	struct buf b = { 0 };
	int rc = 0;

	*o = (struct tensor_opts){ .chunk_tokens = (uint32_t)i->chunk_tokens, .tail = i->tail,
		.algo = &algo, .salt = i->tenant };
	if (key_algo_parse(&algo, i->algo ? i->algo : KEY_ALGO_DEFAULT, e) < 0)
		return -1;
	if (i->geometry) {
		if (geom_read(&geom, model, i->geometry, e) < 0)
			return -1;
		o->geom = &geom;
	}
	o->model = i->model ? i->model : *model ? model : NULL;
	if (i->tokens && !tokens.n) {
		rc = io_slurp(i->tokens, &b, 1u << 30, e);
		if (rc < 0)
			err_named(e);
		else
			rc = key_tokens_read(&tokens, b.p, b.len, e);
		if (rc < 0)
			err_in(e, "--tokens '%s'", i->tokens);
		buf_free(&b);
	}
	if (i->tokens) {
		o->tokens = tokens.ids;
		o->n_tokens = tokens.n;
	}
	return rc;
}

static struct source *
tensor_source(const char *path)
{
	struct tensor_opts o;
	struct source *s;
	uint64_t dropped;
	struct err e;

	if (import_opts(&o, &e) < 0 || source_tensor(&s, path, &o, &dropped, &e) < 0) {
		err_named(&e);
		return told(&e);
	}
	if (dropped)
		tool_note("'%s': the last %" PRIu64 " tokens fill no chunk of %" PRIu64
			" and are left out (--tail keeps them)", path, dropped,
			copy_import.chunk_tokens);
	return s;
}

int
copy_export(struct sink **out, const char *path, const char *form, const char *layout,
	struct err *e)
{
	int folder = !strcmp(form, "vllm-example");
	struct tensor_opts o;
	size_t n = strlen(path), k = strlen(form);

	if (strcmp(form, "safetensors") != 0 && strcmp(form, "npy") != 0 && !folder)
		return err_set(e, ERR_USAGE, "--export '%.20s': safetensors, npy or vllm-example",
			form);
	if (!folder && (n <= k || strcmp(path + n - k, form) != 0 || path[n - k - 1] != '.'))
		return err_set(e, ERR_USAGE, "-O '%.200s': should end in .%s", path, form);
	if (import_opts(&o, e) < 0)
		return -1;
	o.layout = layout ? layout_parse(layout) : LAYOUT_NONE;
	return sink_tensor(out, path, &o, e);
}

struct flow_step *
copy_rename(const char *to)
{
	struct rename r = { 0 };
	struct flow_step *s;
	struct tensor_opts o;
	struct err e;

	if (import_opts(&o, &e) < 0)
		goto fail;
	if (!o.tokens) {
		err_set(&e, ERR_USAGE, "--rename: only tokens give names: --tokens FILE");
		goto fail;
	}
	r.from = r.to = *o.algo;
	r.tokens = o.tokens;
	r.n = o.n_tokens;
	r.chunk_tokens = o.chunk_tokens;
	if ((to && key_algo_parse(&r.to, to, &e) < 0) || step_rename(&s, &r, &e) < 0)
		goto fail;
	return s;
fail:
	tool_fail(&e);
	return NULL;
}

struct source *
copy_source(const char *name)
{
	struct source *s;
	struct stat st;
	struct err e;
	int fd = STDIN_FILENO;

	if (!strncmp(name, "gen:", 4))
		return source_gen(&s, name, &e) < 0 ? told(&e) : s;
	if (strcmp(name, "-") != 0 && tensor_path(name))
		return tensor_source(name);
	if (!strcmp(name, "-")) {
		if (tool_binary_in(opts_common.force, &e) < 0)
			return told(&e);
	} else {
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			err_sys(&e, "open '%s'", name);
			err_named(&e);
			return told(&e);
		}
		if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
			err_set(&e, ERR_USAGE, "'%s': a directory, not a stream; kvget reads "
				"stores", name);
			close(fd);
			return told(&e);
		}
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	}
	io_widen_pipe(fd);
	return source_stream(&s, fd, &e) < 0 ? told(&e) : s;
}

void
copy_add_step(struct flow_step **list, struct flow_step *s)
{
	while (*list)
		list = &(*list)->next;
	*list = s;
}

unsigned
copy_jobs(const struct store *a, const struct store *b, const struct source *from)
{
	unsigned like_a = a ? store_jobs(a) : 0, like_b = b ? store_jobs(b) : 0;
	unsigned jobs = like_a > like_b ? like_a : like_b, cores = par_cores();
	uint64_t each = from && from->chunks ? from->bytes / from->chunks : 0;
	uint64_t most = each ? cores * WAY_PER_CORE / each : jobs;

	if (opts_common.jobs)
		return opts_common.jobs;
	if (jobs <= 4)
		return cores < 4 ? cores : 4;
	if (most < 4)
		most = 4;
	return most < jobs ? (unsigned)most : jobs;
}

/* The last chunk by ticket: the head of the last chain. */
struct last {
	struct flow_step base;
	pthread_mutex_t lock;
	uint64_t ticket;
	struct key_hash hash;
};

static int
note_last(void *ctx, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct last *l = ctx;

	(void)pool, (void)e;
	pthread_mutex_lock(&l->lock);
	if (it->ticket >= l->ticket) {
		l->ticket = it->ticket;
		l->hash = it->chunk.head.key.hash;
	}
	pthread_mutex_unlock(&l->lock);
	return 0;
}

static void
no_free(struct flow_step *s)
{
	(void)s;
}

struct watched {
	const struct flow_stats *stats;
	uint64_t chunks, bytes;
};

static void
look(void *ctx, struct progress_now *now)
{
	const struct watched *w = ctx;

	now->chunks = atomic_load(&w->stats->in);
	now->chunks_total = w->chunks;
	now->bytes_total = w->bytes;
	now->bytes_in = atomic_load(&w->stats->bytes_in);
	now->bytes_out = atomic_load(&w->stats->bytes_put);
	now->skipped = atomic_load(&w->stats->skipped);
}

static void
chunk_failed(void *ctx, const struct flow_item *it, const struct err *e)
{
	(void)ctx, (void)it;
	tool_fail(e);
}

void
copy_run(struct source *from, struct sink *to, struct flow_step *steps, int keep_going,
	struct copy_result *r)
{
	struct last last = { .base = { note_last, &last, no_free, NULL },
		.lock = PTHREAD_MUTEX_INITIALIZER };
	struct flow_opts o = { .jobs = opts_common.jobs, .mem = opts_common.mem,
		.keep_going = keep_going, .failed = chunk_failed, .stats = &r->stats,
		.max_duration = opts_common.max_duration, .bwlimit = opts_common.bwlimit };
	struct watched w = { &r->stats, from->chunks, from->bytes };
	double start = clock_mono();
	char hex[KEY_HEX];
	struct err e = { 0 };

	memset(r, 0, sizeof(*r));
	copy_add_step(&steps, &last.base);
	o.steps = steps;
	progress_start(look, &w);
	r->failed = flow_copy(from, to, &o, &e) < 0;
	progress_stop();
	r->seconds = clock_mono() - start;
	r->timed_out = o.timed_out;
	strcpy(r->last, "-");
	if (last.hash.len)
		snprintf(r->last, sizeof(r->last), "%.12s", key_hash_hex(hex, &last.hash));
	step_free(steps);
	if (r->failed)
		tool_fail(&e);
}
