#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "base/stop.h"
#include "codec/codec.h"
#include "copy.h"
#include "flow/convert.h"
#include "metrics.h"
#include "note.h"
#include "opts.h"
#include "out.h"
#include "pick.h"
#include "select_opts.h"
#include "tool.h"

enum { CHAIN = OPT_FIRST, TOKENS, ALGO, CHUNK_TOKENS, LIMIT, SORT, COMPRESS, OUT_FILE, FILL,
	KEEP_GOING, DIRECT, GEOMETRY, TAIL, EXPORT, TO_TP, TO_DTYPE, TO_SCALE, TO_LAYOUT, RENAME,
	FROM, MAX_TIME, ACCESS_LOG };

static const struct opt options[] = {
	{ 'O', "output-file", "FILE", "the stream into this file, which appears when whole",
		"FILE" },
	SELECT_OPTIONS,
	{ CHAIN, "chain", "HEAD", "the chain that ends with this chunk, root first", NULL },
	{ TOKENS, "tokens", "FILE", "the chunks of this prompt, as far as they are there", "FILE" },
	{ ALGO, "algo", "NAME", "hash algorithm of the names for --tokens (default blake3)", NULL },
	{ CHUNK_TOKENS, "chunk-tokens", "N", "tokens a chunk (default 256)", NULL },
	{ LIMIT, "limit", "SIZE", "no more than this", NULL },
	{ SORT, "sort", "ORDER", "chain (default), newest, oldest, size, hits",
		"chain newest oldest size hits" },
	{ FROM, "from", "STORE", "look here; again for lower tiers, in order", "DIR" },
	{ MAX_TIME, "max-time", "TIME", "give up as a miss (status 1) after this time", NULL },
	{ ACCESS_LOG, "access-log", "FILE", "append what --tokens or --chain referred to, for "
		"kvstat sim", "FILE" },
	{ COMPRESS, "compress", "CODEC", "recode: none, zstd[:N], planes+zstd[:N] or auto",
		"none zstd planes+zstd auto" },
	{ TO_TP, "to-tp", "N", "of so many tensor-parallel ranks, cut from those that are there",
		NULL },
	{ TO_DTYPE, "to-dtype", "TYPE", "of this element type",
		"bf16 f16 f32 f8_e4m3fn f8_e4m3fnuz f8_e5m2 f8_e5m2fnuz" },
	{ TO_SCALE, "to-scale", "X", "scale of 8-bit elements (default: as it was, or 1), or codes",
		"codes" },
	{ RENAME, "rename", "ALGO", "named by this algorithm; needs --tokens", NULL },
	{ FILL, "fill", "STORE", "put them into this store; a stream too only with -O", "DIR" },
	{ KEEP_GOING, "keep-going", NULL, "leave out damaged chunks and go on", NULL },
	{ DIRECT, "direct", NULL, "files past the page cache, --fill too (O_DIRECT)", NULL },
	{ EXPORT, "export", "FORM", "one chain as tensors, to -O: safetensors, npy, vllm-example",
		"safetensors npy vllm-example" },
	{ TO_LAYOUT, "to-layout", "WORD", "of such folders: g1-nhd, g2-nhd or g3-nhd",
		"g1-nhd g2-nhd g3-nhd" },
	{ GEOMETRY, "geometry", "MODEL", "of tensor files and bare bodies: a model, config.json",
		NULL },
	{ TAIL, "tail", NULL, "keep the tail that fills no chunk (tensor files)", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvget [options] SOURCE [NAME ...]\n"
	"kvget [options] --from STORE [--from STORE ...] [NAME ...]",
	"Writes chunks to standard output as a stream: those that are named (6 or more hex\n"
	"digits) or selected, or all, chain by chain. SOURCE is a store, a stream or tensor file,\n"
	"gen:MODEL, or - to filter standard input. Every byte is checked before it is passed on.",
	options,
	"  kvget ./store --chain 9ad0b1 > demo.kv\n"
	"  kvget --from shm:hot --from @prod --tokens p.json --fill shm:hot -O p.kv\n"
	"  kvget - --compress none < packed.kv > plain.kv\n"
	"  kvget ./engine --tokens p.json --algo lmcache-builtin:C:seed=0 \\\n"
	"      --rename blake3 -O p.kv",
	"kvget(1)",
};

static struct {
	struct select sel;
	struct pick pick;
	struct store_opts store;
	const char *compress, *file, *fill, *geometry, *export, *rename, *layout, *access_log;
	uint64_t to_tp;
	enum dtype to_dtype;
	double to_scale;
	const char *from[PICK_TIERS];
	size_t n_from;
	double max_time_s;
	int keep_going, sorted;
} o;

static void
option(int c)
{
	struct codec codec;
	struct err e;
	int rc = 0;

	if (select_option(c, &o.sel))
		return;
	switch (c) {
	case 'O': o.file = opts_arg; break;
	case CHAIN: o.pick.chain = opts_arg; break;
	case TOKENS: o.pick.tokens = copy_import.tokens = opts_arg; break;
	case ALGO: o.pick.algo = copy_import.algo = opts_arg; break;
	case CHUNK_TOKENS:
		rc = num_u64(&copy_import.chunk_tokens, opts_arg, 1, 1 << 20, "--chunk-tokens", &e);
		o.pick.chunk_tokens = copy_import.chunk_tokens;
		break;
	case LIMIT: rc = num_size(&o.pick.limit, opts_arg, "--limit", &e); break;
	case SORT:
		o.sorted = 1;
		rc = pick_sort(&o.pick, opts_arg, &e);
		break;
	case COMPRESS:
		rc = codec_parse(&codec, opts_arg, &e);
		o.compress = opts_arg;
		break;
	case FILL: o.fill = opts_arg; break;
	case FROM:
		if (o.n_from == PICK_TIERS)
			opts_bad("--from: at most %d", PICK_TIERS);
		o.from[o.n_from++] = opts_arg;
		break;
	case MAX_TIME:
		rc = num_duration(&o.max_time_s, opts_arg, "--max-time", &e);
		opts_common.max_duration = o.max_time_s;
		break;
	case ACCESS_LOG: o.access_log = opts_arg; break;
	case KEEP_GOING: o.keep_going = 1; break;
	case DIRECT: o.store.flags |= STORE_DIRECT; break;
	case GEOMETRY: o.geometry = copy_import.geometry = opts_arg; break;
	case TO_TP: rc = num_u64(&o.to_tp, opts_arg, 1, KEY_TP_MAX, "--to-tp", &e); break;
	case TO_DTYPE:
		o.to_dtype = dtype_parse(opts_arg);
		if (!float_known(o.to_dtype))
			opts_bad("--to-dtype '%.20s': bf16, f16, f32, f8_e4m3fn, f8_e4m3fnuz, "
				"f8_e5m2 or f8_e5m2fnuz", opts_arg);
		break;
	case TO_SCALE:
		if (!strcmp(opts_arg, "codes"))
			o.to_scale = -1;
		else
			rc = num_double(&o.to_scale, opts_arg, 1e-30, 1e30, "--to-scale", &e);
		break;
	case RENAME: o.rename = opts_arg; break;
	case EXPORT: o.export = opts_arg; break;
	case TO_LAYOUT: o.layout = opts_arg; break;
	case TAIL: copy_import.tail = 1; break;
	}
	if (rc < 0)
		opts_die(&e);
}

/* A stream to a file appears whole: temporary beside it, then rename. */
static char temp[PATH_MAX];	/* "": a device or pipe, written to as it is */

static int
open_file(void)
{
	int special = io_is_special(o.file), fd;

	if (snprintf(temp, sizeof(temp), "%s.%ld.tmp", o.file, (long)getpid()) >= (int)sizeof(temp))
		opts_bad("-O: path too long");
	if (special)
		*temp = 0;
	fd = special ? open(o.file, O_WRONLY | O_CLOEXEC) :
		open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) {
		struct err e;

		err_sys(&e, "create '%s'", o.file);
		err_named(&e);
		opts_die(&e);
	}
	return fd;
}

static void
close_file(int fd)
{
	struct err e;

	if (tool_mark(ERR_NONE) == ERR_NONE || tool_mark(ERR_NONE) == ERR_PARTIAL) {
		if (close(fd) == 0 && (!*temp || rename(temp, o.file) == 0))
			return;
		err_sys(&e, "write '%s'", o.file);
		tool_fail(&e);
	}
	if (*temp)
		unlink(temp);
}

/* Is there a stream to standard output? */
static int
is_to_stdout(void)
{
	return !o.export && (o.file ? !strcmp(o.file, "-") : !o.fill) && !opts_common.dry;
}

static int
open_stream(struct sink **to, int *fd, struct err *e)
{
	if (!is_to_stdout())
		*fd = open_file();
	io_widen_pipe(*fd);
	return sink_stream(to, *fd, e);
}

/* For a dry run into one yet to be made, an empty one. */
static int
open_fill(struct place *fill, struct err *e)
{
	struct store_opts so = { .flags = o.store.flags & STORE_DIRECT, .conf = opts_conf };

	if (!opts_common.dry)
		so.flags |= STORE_WRITE | STORE_CREATE;
	if (place_open(fill, o.fill, &so, NULL, e) == 0)
		return 0;
	return opts_common.dry && e->kind == ERR_USAGE ? place_open(fill, "mem:", &so, NULL, e) :
		-1;
}

static int
open_sink(struct sink **to, struct place *fill, int *fd, struct err *e)
{
	struct place_put how = { .dry = opts_common.dry };
	struct sink *stream;

	*fd = STDOUT_FILENO;
	if (o.export && !o.file)
		return err_set(e, ERR_USAGE, "--export needs -O FILE");
	if (o.export && !opts_common.dry)
		return copy_export(to, o.file, o.export, o.layout, e);
	if (opts_common.dry && !o.fill)
		o.fill = "null:";
	if (!o.fill)
		return open_stream(to, fd, e);
	if (open_fill(fill, e) < 0 || sink_place(to, fill, &how, e) < 0)
		return -1;
	if (!o.file || opts_common.dry)
		return 0;
	if (!fill->native)
		return err_set(e, ERR_USAGE, "--fill of %s and a stream: one of the two",
			dialect_word(fill->dialect));
	return open_stream(&stream, fd, e) < 0 ? -1 : sink_tee(to, *to, stream, e);
}

static void
summary(const struct copy_result *r)
{
	char count[NUM_TEXT], size[NUM_TEXT], time[NUM_TEXT], rate[NUM_TEXT], json[400];
	const struct flow_stats *s = &r->stats;

	tool_note("%s%s, %" PRIu64 " tokens, %s in %s (%s)%s",
		opts_common.dry ? "would get " : "", num_count_text(count, s->put, "chunk"),
		s->tokens, num_size_text(size, s->bytes_in), num_duration_text(time, r->seconds),
		num_rate_text(rate, (double)s->bytes_in / (r->seconds > 0 ? r->seconds : 1)),
		r->timed_out ? "; time limit reached" : "");
	if (s->skipped || s->vanished || s->failed)
		tool_note("skipped %" PRIu64 " (there already), vanished %" PRIu64 ", failed %"
			PRIu64, s->skipped, s->vanished, s->failed);
	snprintf(json, sizeof(json), "\"chunks\":%" PRIu64 ",\"tokens\":%" PRIu64
		",\"bytes\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"vanished\":%" PRIu64
		",\"failed\":%" PRIu64 ",\"fallen\":%" PRIu64 ",\"tiers_down\":%" PRIu64
		",\"seconds\":%.3f,\"head\":\"%s\"", s->put, s->tokens, s->bytes_in, s->skipped,
		s->vanished, s->failed, r->fallen, r->tiers_down, r->seconds, r->last);
	out_summary("kvget", json, 1);
}

static struct convert_loss loss = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* What the conversion took away is said aloud. */
static void
tell_loss(void)
{
	if (loss.sum.clipped || loss.sum.flushed)
		tool_note("--to-dtype: %" PRIu64 " numbers clipped, %" PRIu64 " became 0, largest "
			"error %.3g", loss.sum.clipped, loss.sum.flushed, loss.sum.max_error);
}

/* foreign: from a store that tells no places and parents, which tokens do. */
static struct flow_step *
steps(int filter, int foreign)
{
	struct flow_step *list = NULL, *s;
	struct err e;

	if (filter) {
		if (step_select(&s, &o.sel, &e) < 0)
			opts_die(&e);
		copy_add_step(&list, s);
	}
	if (o.rename || (foreign && o.pick.tokens)) {
		s = copy_rename(o.rename);
		if (!s)
			exit(tool_end());
		copy_add_step(&list, s);
	}
	if (o.to_dtype) {
		if (step_dtype(&s, o.to_dtype, (float)o.to_scale, &loss, &e) < 0)
			opts_die(&e);
		copy_add_step(&list, s);
	}
	if (o.compress) {
		if (step_recode(&s, o.compress, &e) < 0)
			opts_die(&e);
		copy_add_step(&list, s);
	}
	return list;
}

/* The exit status of what is not there, or not all. */
static void
mark(const struct flow_stats *s, int timed_out)
{
	/* what was asked for by name had to be there */
	if (s->vanished && (o.sel.n_prefixes || o.pick.chain || o.pick.tokens))
		tool_mark(ERR_ABSENT);
	if (timed_out)	/* with --max-time that is a miss; else some is done */
		tool_mark(o.max_time_s > 0 ? ERR_ABSENT : ERR_PARTIAL);
}

/* The time limit holds from the first look at a store. What is under way is given up then, with
 * --max-duration only after as long again. */
static void
start_clock(void)
{
	double s = o.max_time_s > 0 ? o.max_time_s : 2 * opts_common.max_duration;

	if (s > 0)
		stop_at(clock_mono() + s);
}

/* A failure; no answer in time is none. */
static void
failed(const struct err *e)
{
	if (e->kind != ERR_STOPPED || stop_asked() != STOP_TIME) {
		tool_fail(e);
		return;
	}
	tool_note("time limit reached before anything came");
	tool_mark(o.max_time_s > 0 ? ERR_ABSENT : ERR_PARTIAL);
}

/* A stream or file, or what is picked of n tiers of stores; NULL after failed(). */
static struct source *
open_source(int filter, struct place *tiers, size_t *n, struct picked *picked,
	_Atomic uint64_t *fallen)
{
	struct source *from = NULL;
	struct err e;

	o.store.conf = opts_conf;
	o.pick.urls = o.from;
	o.pick.whole = o.fill && !o.file && !o.sorted && !o.pick.limit &&
		!opts_common.max_duration;
	if (filter && (o.pick.chain || o.pick.limit || o.pick.order))
		opts_bad("--chain, --limit and --sort need a store, not a stream");
	if (filter)
		from = copy_source(o.from[0]);
	else if (pick_keys(picked, &o.pick, &e) < 0 ||
	    pick_open_tiers(tiers, n, o.from, o.n_from, o.fill, &o.store, o.geometry, &e) < 0 ||
	    pick_chunks(picked, tiers, *n, &o.sel, &o.pick, &e) < 0 ||
	    source_place(&from, tiers, &picked->cat, picked->order, picked->n, fallen, &e) < 0)
		failed(&e);
	if (from && o.to_tp && source_reshard(&from, from, (uint32_t)o.to_tp, &e) < 0)
		tool_fail(&e);
	return from;
}

/* What has been done, in words and figures. */
static void
tell(const struct copy_result *r)
{
	char count[NUM_TEXT];

	metrics_copy(r);
	summary(r);
	tell_loss();
	if (r->fallen)
		tool_note("%s came from a lower tier: damaged or out of reach above",
			num_count_text(count, r->fallen, "chunk"));
}

/* A prompt or chain is a request, whatever came of it; a copy is none. */
static void
log_request(struct access *a, const struct picked *p)
{
	if (!o.access_log)
		return;
	if (p->n_keys || p->n_tokens)
		access_write(a, o.access_log, p, o.pick.chunk_tokens);
	else if (tool_mark(ERR_NONE) == ERR_NONE)
		tool_note("--access-log: a copy is no request; --tokens or --chain of a store is");
}

static void
run(void)
{
	static struct place tiers[PICK_TIERS];
	struct place fill = { 0 };
	struct picked picked = { 0 };
	struct access access = { 0 };
	struct source *from;
	struct flow_step *list;
	_Atomic uint64_t fallen = 0;
	struct copy_result r;
	struct sink *to;
	struct err e;
	size_t n = 0, i;
	int filter = o.n_from == 1 && copy_is_file(o.from[0]), foreign = 0, fd;

	/* before a store is listed for nothing */
	if (is_to_stdout() && tool_binary_out(opts_common.force, &e) < 0) {
		tool_fail(&e);
		return;
	}
	from = open_source(filter, tiers, &n, &picked, &fallen);
	if (!from)
		goto done;
	if (open_sink(&to, &fill, &fd, &e) < 0) {
		failed(&e);
		from->ops->close(from);
		goto done;
	}
	opts_common.jobs = copy_jobs(n ? tiers[n - 1].store : NULL, fill.store, from);
	for (i = 0; i < n; i++)
		foreign |= !tiers[i].native;
	if (o.export || (o.fill && !fill.native))
		o.compress = "none";
	for (i = 0; i < n; i++)
		note_open(&tiers[i], o.from[i]);
	if (o.fill)
		note_open(&fill, o.fill);
	list = steps(filter, foreign);
	from->lend = !list && !o.fill && !o.export && !(o.store.flags & STORE_DIRECT) &&
		io_is_pipe(fd);
	if (o.access_log && picked.n_keys)
		list = access_watch(&access, &picked, list);
	if (n == 1 && !list && !foreign && fill.native && !o.file && !opts_common.dry)
		from->unless = &fill;
	copy_run(from, to, list, o.keep_going || (o.fill && !o.file), &r);
	stop_at(0);
	if (filter && o.sel.n_prefixes && !select_is_nothing(&o.sel) && !r.failed &&
	    r.stats.in == r.stats.dropped) {
		err_set(&e, ERR_ABSENT, "no chunk of that name in the stream");
		tool_fail(&e);
	}
	r.tiers = n;
	r.tiers_down = pick_tiers_down;
	r.fallen = fallen;
	mark(&r.stats, r.timed_out);
	if (fd != STDOUT_FILENO)
		close_file(fd);
	tell(&r);
done:
	stop_at(0);
	log_request(&access, &picked);
	pick_free(&picked);
	while (n > 0) {
		note_close(&tiers[--n]);
		place_close(&tiers[n]);
	}
	note_close(&fill);
	place_close(&fill);
}

int
main(int argc, char **argv)
{
	int c;

	tool_start("kvget");
	select_init(&o.sel);
	o.pick.chunk_tokens = 256;
	while ((c = opts_next(argc, argv, &usage)) != -1)
		option(c);
	if (optind == argc && !o.n_from)
		opts_bad("from where? kvget SOURCE [NAME ...]");
	if (o.rename && !o.pick.tokens)
		opts_bad("--rename: only tokens give names: --tokens FILE");
	if (!o.n_from)
		o.from[o.n_from++] = argv[optind++];
	select_names(&o.sel, argv + optind, argc - optind);
	if (opts_common.dry)
		o.access_log = NULL;
	start_clock();
	run();
	return tool_end();
}
