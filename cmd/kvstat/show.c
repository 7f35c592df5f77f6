#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "copy.h"
#include "kvstat/common.h"
#include "kvstat/verbs.h"
#include "metrics.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

enum { TOKENS = OPT_FIRST };

static const struct opt options[] = {
	{ TOKENS, "show-tokens", NULL, "token ids too, if it holds them (they are the prompt)",
		NULL },
	SELECT_OPTIONS,
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvstat show [options] STORE|STREAM [NAME ...]",
	"Everything that chunks tell of themselves: identity, geometry, life, coding. With a\n"
	"store alone, what lies there. Payloads of a STREAM are checked on the way.",
	options,
	"  kvstat show ./store 9ad0b1\n  kvstat show demo.kv",
	"kvstat(1)",
};

static int show_tokens;

/* "name: value" lines for people, a member for JSON. Names may be a chunk's own, too. */
static void
put_text(struct buf *b, const char *name, const char *value)
{
	if (!opts_common.json) {
		char label[200], clean[400];

		buf_printf(b, "%-13s %s\n", out_safe(label, sizeof(label), name),
			out_safe(clean, sizeof(clean), value));
		return;
	}
	buf_chr(b, ',');
	buf_json(b, name, strlen(name));
	buf_chr(b, ':');
	buf_json(b, value, strlen(value));
}

static void
put_number(struct buf *b, const char *name, uint64_t v)
{
	buf_printf(b, opts_common.json ? ",\"%s\":%" PRIu64 : "%-13s %" PRIu64 "\n", name, v);
}

static void
put_hash(struct buf *b, const char *name, const struct key_hash *h)
{
	char hex[KEY_HEX];

	if (h->len)
		put_text(b, name, key_hash_hex(hex, h));
}

static void
put_time(struct buf *b, const char *name, int64_t t)
{
	char text[32];

	if (t)
		put_text(b, name, clock_text(text, t));
}

static void
put_identity(struct buf *b, const struct chunk_head *h)
{
	put_hash(b, "hash", &h->key.hash);
	put_hash(b, "parent", &h->parent);
	put_text(b, "model", h->key.model);
	put_text(b, "algo", h->algo);
	if (h->first_token != CHUNK_UNKNOWN)
		put_number(b, "first_token", h->first_token);
	put_number(b, "tokens", h->tokens);
	put_number(b, "chunk_tokens", h->chunk_tokens);
	put_number(b, "tp", h->key.tp);
	put_number(b, "rank", h->key.rank);
	if (h->key.group)
		put_number(b, "group", h->key.group);
	if (*h->key.salt)
		put_text(b, "tenant", h->key.salt);
}

static void
put_geometry(struct buf *b, const struct chunk_head *h)
{
	const struct geom *g = &h->geom;
	char text[200];

	put_text(b, "dtype", dtype_word(g->dtype));
	snprintf(text, sizeof(text), "[%u, %u, %" PRIu64 ", %u, %u] = [kv, layers, tokens, heads, "
		"head_dim]", g->kv, g->layers, h->tokens, g->heads, g->head_dim);
	put_text(b, "shape", text);
	snprintf(text, sizeof(text), "%u-%u of %u", g->layer_first, g->layer_first + g->layers - 1,
		g->layers_total);
	put_text(b, "layers", text);
	snprintf(text, sizeof(text), "%u-%u of %u", g->head_first, g->head_first + g->heads - 1,
		g->heads_total);
	put_text(b, "heads", text);
}

static void
put_rest(struct buf *b, const struct chunk_head *h)
{
	char hex[DIGEST128_HEX + 1];
	size_t i;

	put_time(b, "created", h->created);
	put_time(b, "expires", h->expires);
	if (h->priority)
		buf_printf(b, opts_common.json ? ",\"%s\":%" PRId64 : "%-13s %" PRId64 "\n",
			"priority", h->priority);
	put_text(b, "codec", *h->codec ? h->codec : "none");
	put_number(b, "payload", h->payload);
	if (*h->codec)
		put_number(b, "raw_size", h->raw_size);
	put_text(b, "digest", digest_hex(hex, &h->digest));
	put_text(b, "seal", digest_hex(hex, &h->seal));
	for (i = 0; i < h->n_meta; i++) {
		if (!strcmp(h->meta[i].name, "token_ids") && !show_tokens)
			put_text(b, "token_ids", "(held back; --show-tokens)");
		else
			put_text(b, h->meta[i].name, h->meta[i].value);
	}
}

static void
show_head(const struct chunk_head *h)
{
	struct buf b = { 0 };

	if (opts_common.json)
		buf_str(&b, "{\"schema\":\"kv.show/1\"");
	put_identity(&b, h);
	put_geometry(&b, h);
	put_rest(&b, h);
	buf_str(&b, opts_common.json ? "}\n" : "\n");
	fwrite(b.p, 1, b.len, stdout);
	buf_free(&b);
}

/* One sink for both: shows heads as they come by (named chunks), or counts chains (streams). */
struct show {
	struct sink base;	/* first */
	int heads;
	struct key_hash last;	/* of rank 0 */
	uint64_t chunks, chains, bytes, tokens;
};

static int
show_put(struct sink *s, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct show *x = (struct show *)s;
	const struct chunk_head *h = &it->chunk.head;

	(void)pool, (void)e;
	x->chunks++;
	x->bytes += it->chunk.mem.len;
	if (h->key.rank == 0) {
		/* chain by chain: what does not continue the one before begins or branches */
		x->chains += !x->last.len || key_hash_cmp(&h->parent, &x->last) != 0;
		x->tokens += h->tokens;
		x->last = h->key.hash;
	}
	if (x->heads)
		show_head(h);
	return 0;
}

static int
show_close(struct sink *s, const struct err *why, struct err *e)
{
	(void)s, (void)why, (void)e;
	return 0;
}

static const struct sink_ops show_ops = { 1, show_put, show_close };

static void
totals(const struct show *x, const char *word)
{
	char chunks[NUM_TEXT], chains[NUM_TEXT], size[NUM_TEXT];

	if (opts_common.json)
		printf("{\"schema\":\"kv.stream/1\",\"chunks\":%" PRIu64 ",\"chains\":%" PRIu64
			",\"tokens\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"state\":\"%s\"}\n",
			x->chunks, x->chains, x->tokens, x->bytes, word);
	else
		printf("%s in %s, %" PRIu64 " tokens, %s, %s\n",
			num_count_text(chunks, x->chunks, "chunk"),
			num_count_text(chains, x->chains, "chain"), x->tokens,
			num_size_text(size, x->bytes), word);
}

static void
show_stream(const char *name)
{
	struct show x = { .base.ops = &show_ops, .heads = tool_verbose > 0 };
	struct source *from = copy_source(name);
	struct copy_result r;

	if (!from)
		return;
	copy_run(from, &x.base, NULL, 0, &r);
	metrics_copy(&r);
	totals(&x, r.failed ? "damaged" : "complete");
}

static void
show_store(const struct stat_place *s)
{
	char size[NUM_TEXT], objects[NUM_TEXT], url[256];
	size_t i, n = 0;

	for (i = 0; i < s->cat.n; i = catalog_chunk_end(&s->cat, i))
		n++;
	if (opts_common.json) {
		struct buf b = { 0 };

		buf_json(&b, store_url(s->place.store), strlen(store_url(s->place.store)));
		printf("{\"schema\":\"kv.store/1\",\"url\":%s,\"dialect\":\"%s\","
			"\"chunks\":%zu,\"objects\":%zu,\"bytes\":%" PRIu64 ",\"foreign\":%"
			PRIu64 ",\"litter\":%" PRIu64 "}\n", buf_text(&b) ? b.p : "null",
			dialect_word(s->place.dialect), n, s->cat.n, s->cat.bytes,
			s->cat.foreign, s->cat.litter);
		buf_free(&b);
		return;
	}
	printf("%-13s %s\n%-13s %s (%s)\n%-13s %zu in %s, %s\n", "store",
		out_safe(url, sizeof(url), store_url(s->place.store)), "dialect",
		dialect_word(s->place.dialect), dialect_about(s->place.dialect), "chunks", n,
		num_count_text(objects, s->cat.n, "object"), num_size_text(size, s->cat.bytes));
	if (s->cat.foreign)
		printf("%-13s %s, %s\n", "other",
			num_count_text(objects, s->cat.foreign, "object"),
			num_size_text(size, s->cat.foreign_bytes));
	for (i = 0; i < s->cat.n_groups; i++) {
		const struct cat_group *g = &s->cat.groups[i];
		char model[256];

		printf("%-13s %s %s tp%" PRIu32 "%s%s%s%s\n", "group",
			out_safe(model, sizeof(model), g->model), g->dtype, g->tp,
			*g->salt ? " tenant " : "", g->salt, *g->algo ? " names " : "", g->algo);
	}
}

static void
show_chunks(struct stat_place *s)
{
	struct show x = { .base.ops = &show_ops, .heads = 1 };
	size_t *order;
	struct source *from;
	struct copy_result r;
	struct err e;

	if (catalog_chains(&s->cat, NULL, &order, &e) < 0 ||
	    source_place(&from, &s->place, &s->cat, order, s->cat.n, NULL, &e) < 0) {
		tool_fail(&e);
		return;
	}
	copy_run(from, &x.base, NULL, 1, &r);
	metrics_copy(&r);
	free(order);
}

void
verb_show(int argc, char **argv)
{
	struct stat_place s;
	static struct select sel;
	int c;

	select_init(&sel);
	while ((c = opts_next(argc, argv, &usage)) != -1)
		if (!select_option(c, &sel))
			show_tokens = 1;
	stat_url(argc, argv, "show");
	if (copy_is_file(argv[optind])) {
		show_stream(argv[optind]);
		return;
	}
	select_names(&sel, argv + optind + 1, argc - optind - 1);
	if (stat_open(&s, argv[optind], &sel, 0) < 0)
		return;
	if (!sel.n_prefixes)
		show_store(&s);
	else if (select_unique(&sel, &s.cat) == 0)
		show_chunks(&s);
	stat_close(&s);
}
