#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "codec/codec.h"
#include "copy.h"
#include "flow/evict_lists.h"
#include "metrics.h"
#include "note.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

enum { REPLACE = OPT_FIRST, TENANT, TTL, PRIORITY, LABEL, META, COMPRESS, FSYNC, DIRECT, SWEEP,
	GEOMETRY, TOKENS, CHUNK_TOKENS, TAIL, ALGO, MODEL, KEEP_GOING, CREATE_BUCKET,
	ENFORCE_QUOTA, QUOTA_FILE };

static const struct opt options[] = {
	{ REPLACE, "replace", NULL, "put again what is there already", NULL },
	{ TENANT, "tenant", "NAME", "chunks belong to this tenant (cache salt)", NULL },
	{ ENFORCE_QUOTA, "enforce-quota", NULL, "put no more than the tenant may have", NULL },
	{ QUOTA_FILE, "quota-file", "FILE", "tenants' quotas, as of kvevict(1)", "FILE" },
	{ TTL, "ttl", "TIME", "they expire after this time, like 7d", NULL },
	{ PRIORITY, "priority", "N", "higher stays longer in the store", NULL },
	{ LABEL, "label", "TEXT", "label, like doc:annual-2026", NULL },
	{ META, "meta", "NAME=VALUE", "metadata of your own; again for more", NULL },
	{ COMPRESS, "compress", "CODEC", "none, zstd[:N], planes+zstd[:N] or auto",
		"none zstd planes+zstd auto" },
	{ FSYNC, "fsync", "WHAT", "none (default), data, or full: with directories",
		"none data full" },
	{ DIRECT, "direct", NULL, "past the page cache (O_DIRECT)", NULL },
	{ SWEEP, "sweep", NULL, "first remove what killed writers left", NULL },
	{ CREATE_BUCKET, "create-bucket", NULL, "make the bucket if it is not there", NULL },
	{ KEEP_GOING, "keep-going", NULL, "leave out damaged chunks and go on", NULL },
	{ GEOMETRY, "geometry", "MODEL", "of tensor files: a model, config.json or layers=N,...",
		NULL },
	{ TOKENS, "tokens", "FILE", "token ids of the prompt in tensor files", "FILE" },
	{ CHUNK_TOKENS, "chunk-tokens", "N", "tokens a chunk (default 256)", NULL },
	{ TAIL, "tail", NULL, "keep the tail that fills no chunk", NULL },
	{ ALGO, "algo", "NAME", "hash algorithm of names (default blake3)", NULL },
	{ MODEL, "model", "NAME", "name of the model in tensor files", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvput [options] STORE [FILE ...]",
	"Puts the chunks of streams (standard input, or FILEs) into a store. FILEs may also be\n"
	"tensors (.safetensors, .npy, a directory of vLLM's ExampleConnector) or gen:MODEL.\n"
	"What the store holds already is skipped.",
	options,
	"  kvget 'gen:llama-3.1-8b?tokens=2048' | kvput ./store\n"
	"  kvput --compress auto /nvme/kv a.safetensors --tokens a.json \\\n"
	"      --geometry config.json\n"
	"  kvget @prod --newer-than 1h | kvput s3://backup/kv --ttl 30d",
	"kvput(1)",
};

static struct {
	struct place_put how;
	struct relabel label;
	struct store_opts store;
	const char *compress, *quota_file;
	double ttl_s;
	int sweep, relabel, keep_going;
} o = { .label.priority = INT64_MIN };

static void
add_meta(const char *pair)
{
	static const char **v;
	static size_t n;

	v = realloc((void *)v, (n + 2) * sizeof(*v));
	if (!v)
		opts_no_memory();
	v[n++] = pair;
	v[n] = NULL;
	o.label.meta = v;
	o.relabel = 1;
}

static void
read_sync(const char *word)
{
	static const char *const words[] = { "none", "data", "full" };
	int i;

	for (i = 0; i < 3 && strcmp(words[i], word) != 0; i++)
		;
	if (i == 3)
		opts_bad("--fsync '%.20s': none, data or full", word);
	o.store.sync = (enum store_sync)i;
}

static void
option(int c)
{
	struct codec codec;
	struct err e;
	int rc = 0;

	switch (c) {
	case REPLACE: o.how.replace = 1; break;
	case TENANT:
		if (strpbrk(opts_arg, "@/\\"))
			opts_bad("--tenant '%.60s': has one of @ / \\ in it", opts_arg);
		o.label.tenant = copy_import.tenant = opts_arg;
		o.relabel = 1;
		break;
	case ENFORCE_QUOTA: o.how.bounded = 1; break;
	case QUOTA_FILE: o.quota_file = opts_arg; break;
	case TTL:
		rc = num_duration(&o.ttl_s, opts_arg, "--ttl", &e);
		o.label.expires = clock_now() + (int64_t)o.ttl_s;
		o.relabel = 1;
		break;
	case PRIORITY:
		rc = num_i64(&o.label.priority, opts_arg, -1000000, 1000000, "--priority", &e);
		o.relabel = 1;
		break;
	case LABEL: o.label.labels = opts_arg; o.relabel = 1; break;
	case META: add_meta(opts_arg); break;
	case COMPRESS:
		rc = codec_parse(&codec, opts_arg, &e);
		o.compress = opts_arg;
		break;
	case FSYNC: read_sync(opts_arg); break;
	case DIRECT: o.store.flags |= STORE_DIRECT; break;
	case SWEEP: o.sweep = 1; break;
	case CREATE_BUCKET: o.store.flags |= STORE_CREATE; break;
	case KEEP_GOING: o.keep_going = 1; break;
	case GEOMETRY: copy_import.geometry = opts_arg; break;
	case TOKENS: copy_import.tokens = opts_arg; break;
	case CHUNK_TOKENS:
		rc = num_u64(&copy_import.chunk_tokens, opts_arg, 1, 1 << 20, "--chunk-tokens", &e);
		break;
	case TAIL: copy_import.tail = 1; break;
	case ALGO: copy_import.algo = opts_arg; break;
	case MODEL: copy_import.model = opts_arg; break;
	}
	if (rc < 0)
		opts_die(&e);
}

/* All inputs, one after the other. */
static struct source *
inputs(char **names, int n)
{
	struct source **v = calloc((size_t)n + 1, sizeof(*v)), *all = NULL;
	struct err e;
	int i, ok = v != NULL;

	for (i = 0; ok && i < n; i++) {
		v[i] = copy_source(names[i]);
		ok = v[i] != NULL;
	}
	if (ok && n == 0)
		v[0] = copy_source("-");
	if (ok && n < 2)
		all = v[0];
	else if (ok && source_cat(&all, v, (size_t)n, &e) < 0)
		tool_fail(&e);
	free(v);
	return all;
}

static struct flow_step *
steps(void)
{
	struct flow_step *list = NULL, *s;
	struct err e;

	if (o.relabel) {
		if (step_relabel(&s, &o.label, &e) < 0)
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

static void
summary(const struct copy_result *r)
{
	char size[NUM_TEXT], rate[NUM_TEXT], time[NUM_TEXT], json[400];
	const struct flow_stats *s = &r->stats;

	tool_note("%s %" PRIu64 ", skipped %" PRIu64 "%s, %s in %s (%s)  head %s",
		opts_common.dry ? "would put" : "put", s->put, s->skipped,
		s->skipped ? " (there already)" : "", num_size_text(size, s->bytes_put),
		num_duration_text(time, r->seconds),
		num_rate_text(rate, (double)s->bytes_put / (r->seconds > 0 ? r->seconds : 1)),
		r->last);
	if (s->failed || s->vanished)
		tool_note("failed %" PRIu64 ", vanished %" PRIu64, s->failed, s->vanished);
	snprintf(json, sizeof(json), "\"put\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"failed\":%"
		PRIu64 ",\"bytes_in\":%" PRIu64 ",\"bytes_put\":%" PRIu64 ",\"tokens\":%" PRIu64
		",\"seconds\":%.3f,\"head\":\"%s\",\"dry_run\":%s", s->put, s->skipped, s->failed,
		s->bytes_in, s->bytes_put, s->tokens, r->seconds, r->last,
		opts_common.dry ? "true" : "false");
	out_summary("kvput", json, 0);
}

/* The store; for a dry run into one yet to be made, an empty one. */
static int
open_store(struct place *p, const char *url, struct err *e)
{
	o.store.conf = opts_conf;
	if (!opts_common.dry)
		o.store.flags |= STORE_WRITE;
	if (!opts_common.dry && strncmp(url, "s3:", 3) != 0)
		o.store.flags |= STORE_CREATE;
	o.how.dry = opts_common.dry;
	if (place_open(p, url, &o.store, NULL, e) == 0)
		return 0;
	return opts_common.dry && e->kind == ERR_USAGE ? place_open(p, "mem:", &o.store, NULL, e) :
		-1;
}

static void
run(const char *url, char **names, int n)
{
	struct copy_result r;
	struct flow_step *list;
	struct source *from;
	struct place p = { 0 };
	struct sink *to;
	struct err e;

	from = inputs(names, n);	/* before a store is made for nothing */
	if (!from)
		return;
	if (open_store(&p, url, &e) < 0 || (o.how.bounded &&
	    evict_tenant_room(&o.how, &p, o.quota_file, o.label.tenant, &e) < 0))
		goto fail;
	if (o.sweep && store_sweep(p.store, 600, opts_common.dry, NULL, NULL, &e) < 0)
		tool_fail(&e);
	if (!p.native)		/* other engines' bodies are plain */
		o.compress = "none";
	opts_common.jobs = copy_jobs(p.store, NULL, from);
	if (sink_place(&to, &p, &o.how, &e) < 0)
		goto fail;
	list = steps();
	note_open(&p, url);
	copy_run(from, to, list, o.keep_going, &r);
	if (r.timed_out)
		tool_mark(ERR_PARTIAL);
	metrics_copy(&r);
	summary(&r);
	note_close(&p);
	place_close(&p);
	return;
fail:
	tool_fail(&e);
	from->ops->close(from);
	place_close(&p);
}

int
main(int argc, char **argv)
{
	int c;

	tool_start("kvput");
	while ((c = opts_next(argc, argv, &usage)) != -1)
		option(c);
	if (optind == argc)
		opts_bad("which store? kvput STORE [FILE ...]");
	if (o.how.bounded && !o.quota_file)
		o.quota_file = conf_get(opts_conf, "quota-file");
	if (o.how.bounded && (!o.quota_file || !o.label.tenant))
		opts_bad("--enforce-quota: whose, and how much? --tenant, --quota-file");
	run(argv[optind], argv + optind + 1, argc - optind - 1);
	return tool_end();
}
