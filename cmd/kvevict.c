#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "kvevict/kvevict.h"
#include "metrics.h"
#include "opts.h"
#include "out.h"
#include "pick.h"
#include "select_opts.h"
#include "tool.h"

enum { MAX_SIZE = OPT_FIRST, LOW_WATER, MAX_CHUNKS, TTL, POLICY, COST_ALPHA, MIN_AGE, MIN_KEEP,
	MAX_DELETE, PIN_FILE, QUOTA_FILE, INCOMPLETE, UNREACHABLE, CORRUPT_FROM, DEMOTE_TO, ALL,
	LITTER, VERSIONS, TRANSITION, YES, LOCK, AUDIT_LOG, PRINT_RULE, INSTALL_RULE };

static const struct opt options[] = {
	{ MAX_SIZE, "max-size", "SIZE", "keep no more than this, like 2TB, or 80% of the capacity",
		NULL },
	{ LOW_WATER, "low-water", "SIZE", "if above the limit, down to this, or 90% of it",
		NULL },
	{ MAX_CHUNKS, "max-chunks", "N", "keep no more chunks than this", NULL },
	{ TTL, "ttl", "TIME", "delete what was not used for so long, like 7d", NULL },
	{ POLICY, "policy", "NAME", "what goes first (default lru; lfu or fifo if not known)",
		"auto lru fifo lfu s3fifo sieve lru2 arc 2q w-tinylfu gdsf cost length-aware "
		"priority size ttl quota" },
	{ COST_ALPHA, "cost-alpha", "X", "size exponent of the policy cost (default 2)", NULL },
	{ MIN_AGE, "min-age", "TIME", "never what is younger (default 10m)", NULL },
	{ MIN_KEEP, "min-keep", "SIZE", "refuse to leave less than this", NULL },
	{ MAX_DELETE, "max-delete", "N", "refuse to delete more chunks, or N% of the store (25%)",
		NULL },
	{ PIN_FILE, "pin-file", "FILE", "hashes and patterns of names that must stay", "FILE" },
	{ QUOTA_FILE, "quota-file", "FILE", "tenants: name, size, time to live, priority", "FILE" },
	{ INCOMPLETE, "incomplete", NULL, "delete chunks that lack a rank", NULL },
	{ UNREACHABLE, "unreachable", NULL, "delete chunks behind a gap in their chain", NULL },
	{ CORRUPT_FROM, "corrupt-from", "FILE", "delete what 'kvstat verify --json' found bad",
		"FILE" },
	{ ALL, "all", NULL, "delete everything (that is selected)", NULL },
	{ DEMOTE_TO, "demote-to", "STORE", "copy there and verify before deleting", "DIR" },
	{ TRANSITION, "transition", "CLASS", "do not delete: move to this storage class", NULL },
	{ LITTER, "litter", NULL, "sweep what dead writers left, if nothing else", NULL },
	{ VERSIONS, "versions", NULL, "delete what a versioned bucket keeps behind objects, too",
		NULL },
	SELECT_OPTIONS,
	{ YES, "yes", NULL, "do not ask", NULL },
	{ LOCK, "lock", NULL, "one run at a time: status 5 when there is another", NULL },
	{ AUDIT_LOG, "audit-log", "FILE", "append what is deleted, as NDJSON", "FILE" },
	{ PRINT_RULE, "print-lifecycle", NULL, "print a bucket's lifecycle rule (--ttl)", NULL },
	{ INSTALL_RULE, "install-lifecycle", NULL, "put it into the bucket, beside the others",
		NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static const struct usage usage = {
	"kvevict [options] STORE [NAME ...]",
	"Keeps a store within bounds: deletes chunks by size, age and quota, least valuable\n"
	"first, leaves before what they hang on, all ranks together; never what is young, pinned\n"
	"or leased. With names or a selection and no limit, deletes those. -n says beforehand\n"
	"what would go.",
	options,
	"  kvevict s3://bucket/kv --max-size 2TB --low-water 90% --ttl 7d -n\n"
	"  kvevict /nvme/kv --max-size 85% --policy auto --lock --metrics-file kv.prom\n"
	"  kvstat verify ./st --json > bad\n"
	"  kvevict ./st --corrupt-from bad --demote-to ./bad.d",
	"kvevict(1)",
};

static struct kvevict k = {
	.want = { .select = NULL, .max_bytes = UINT64_MAX, .max_chunks = UINT64_MAX,
		.max_delete = UINT64_MAX, .max_delete_share = 0.25, .min_age_s = 600 },
};

static int
is_percent(const char *text)
{
	size_t n = strlen(text);

	return n > 0 && text[n - 1] == '%';
}

static int
size_or_share(uint64_t *size, double *share, const char *what, struct err *e)
{
	int rc = is_percent(opts_arg) ? num_percent(share, opts_arg, what, e) :
		num_size(size, opts_arg, what, e);

	if (rc == 0 && is_percent(opts_arg) && (*share <= 0 || *share > 1))
		return err_set(e, ERR_USAGE, "%s '%.20s': above 0 and at most 100%%", what,
			opts_arg);
	return rc;
}

static int
max_delete(struct evict_want *w, struct err *e)
{
	k.all = 2;	/* an explicit guard holds for --all too */
	if (!is_percent(opts_arg))
		return num_u64(&w->max_delete, opts_arg, 0, UINT64_MAX - 1, "--max-delete", e);
	w->max_delete = UINT64_MAX;
	return num_percent(&w->max_delete_share, opts_arg, "--max-delete", e);
}

/* An option that says what should go. */
static int
limit_option(int c, struct evict_want *w, struct err *e)
{
	switch (c) {
	case MAX_SIZE: return size_or_share(&w->max_bytes, &w->max_share, "--max-size", e);
	case MAX_CHUNKS:
		return num_u64(&w->max_chunks, opts_arg, 0, UINT64_MAX - 1, "--max-chunks", e);
	case TTL: k.has_ttl = 1; return num_duration(&w->ttl_s, opts_arg, "--ttl", e);
	case QUOTA_FILE: w->quota_file = opts_arg; return 0;
	case INCOMPLETE: w->ask |= 1u << EVICT_INCOMPLETE; return 0;
	case UNREACHABLE: w->ask |= 1u << EVICT_UNREACHABLE; return 0;
	case CORRUPT_FROM: w->corrupt_file = opts_arg; return 0;
	case ALL: w->ask |= 1u << EVICT_ALL; return 0;
	case LITTER: k.litter = 1; return 0;
	case VERSIONS: k.versions = 1; return 0;
	}
	return 1;
}

static int
other_option(int c, struct evict_want *w, struct err *e)
{
	switch (c) {
	case LOW_WATER: return size_or_share(&w->low_bytes, &w->low_share, "--low-water", e);
	case POLICY:
		w->policy = policy_find(opts_arg, e);
		return w->policy ? 0 : -1;
	case COST_ALPHA: return num_double(&w->alpha, opts_arg, 0, 10, "--cost-alpha", e);
	case MIN_AGE: return num_duration(&w->min_age_s, opts_arg, "--min-age", e);
	case MIN_KEEP: return num_size(&w->min_keep, opts_arg, "--min-keep", e);
	case MAX_DELETE: return max_delete(w, e);
	case PIN_FILE: w->pin_file = opts_arg; break;
	case DEMOTE_TO: k.demote = opts_arg; break;
	case TRANSITION: w->class = opts_arg; break;
	case YES: k.yes = 1; break;
	case LOCK: k.lock = 1; break;
	case AUDIT_LOG: k.audit = opts_arg; break;
	case PRINT_RULE: k.rule = 'p'; break;
	case INSTALL_RULE: k.rule = 'i'; break;
	}
	return 0;
}

/* An unset variable of a script must not select everything. */
static void
check_empty(const char *what, const char *text)
{
	if (!text || *text)
		return;
	tool_warn("%s '': an empty selection is refused", what);
	exit(6);
}

static void
option(int c)
{
	struct err e;
	int rc;

	if (select_option(c, &k.select)) {
		check_empty("the argument of a selecting option", opts_arg);
		k.selects = 1;
		return;
	}
	rc = limit_option(c, &k.want, &e);
	if (rc == 0)
		k.limits = 1;
	if (rc > 0)
		rc = other_option(c, &k.want, &e);
	if (rc < 0)
		opts_die(&e);
}

/* ---- the run ---- */

/* An index that is there is used; one that is asked for must be there. */
static int
open_index(struct index **ix, const char *url, struct err *e)
{
	const char *where = conf_get(opts_conf, "index");
	char *full;
	int rc;

	*ix = NULL;
	if (where && !strcmp(where, "none"))
		return 0;
	full = conf_store_url(opts_conf, url, e);
	if (!full)
		return -1;
	rc = index_open(ix, where, full, INDEX_READ, opts_conf, e);
	if (rc == 0 && !opts_common.dry) {
		index_close(*ix, NULL);
		rc = index_open(ix, where, full, INDEX_WRITE, opts_conf, e);
	}
	free(full);
	if (rc == 0 || e->kind != ERR_ABSENT)
		return rc;
	e->kind = ERR_USAGE;
	return where && strcmp(where, "auto") != 0 ? -1 : 0;
}

/* Ask a person who can answer; refuse --all where nobody can. */
static int
confirm(const struct evict *ev, struct err *e)
{
	int all = (k.want.ask & 1u << EVICT_ALL) != 0;
	char size[NUM_TEXT], answer[16] = "";

	if (opts_common.dry || k.yes || !ev->plan.n)
		return 0;
	if (!isatty(STDIN_FILENO))
		return !all ? 0 : err_set(e, ERR_REFUSED, "--all: say --yes, too; nothing was "
			"deleted");
	if (!all && ev->plan.n <= ev->units.n / 10)
		return 0;
	fprintf(stderr, "%s: delete %zu of %" PRIu32 " chunks (%s) from %s? [y/N] ", tool_name,
		ev->plan.n, ev->units.n, num_size_text(size, ev->plan.bytes),
		store_url(ev->place->store));
	if (fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y'))
		return 0;
	return err_set(e, ERR_REFUSED, "not confirmed; nothing was deleted");
}

/* The same lines as the real run's: as if everything had gone well. */
static void
dry_run(struct evict_run *r)
{
	size_t i;

	for (i = 0; i < k.ev.plan.n; i++) {
		const struct plan_step *s = &k.ev.plan.steps[i];

		r->count[EVICT_GONE]++;
		r->bytes[EVICT_GONE] += k.ev.v[s->entry].bytes;
		report_step(&k, s, EVICT_GONE, NULL);
	}
}

static void
tell_doubts(const struct place *p, const struct evict *ev)
{
	if (ev->units.n && !ev->linked && !p->native)
		tool_note("objects of %s do not tell their parents: order by time alone",
			dialect_word(p->dialect));
	if (!k.want.policy && !strcmp(policy_name(ev->policy), "fifo"))
		tool_note("policy fifo: without an index this store does not tell uses");
	if (policy_needs(ev->policy) & POLICY_HITS && !ev->knows_hits)
		tool_note("use counts are not known without an index: what was used since it was "
			"written counts as used once");
}

static int
sweep_versions(struct evict *ev, struct err *e)
{
	struct versions_want w = { .min_age_s = k.want.min_age_s, .evicted = k.selects,
		.dry = opts_common.dry, .jobs = opts_common.jobs };

	return evict_versions(ev, &w, report_litter, &k, e);
}

/* Of the names on the command line, which come after those of lists: absent ones are told, and the
 * others go; one that could mean several ends the run. */
static int
check_names(const struct catalog *c, struct err *e)
{
	struct select s = { .n_prefixes = k.names };

	s.prefixes = k.select.prefixes + k.select.n_prefixes - k.names;
	if (select_unique(&s, c) < 0 && tool_mark(ERR_NONE) == ERR_USAGE)
		return err_set(e, ERR_USAGE, "nothing was deleted");
	return 0;
}

/* litter NULL: leave it. */
static int
evict(struct place *p, struct index *ix, struct litter *litter, struct store *demote,
	struct evict_run *r, struct err *e)
{
	struct evict *ev = &k.ev;

	if (evict_read(ev, p, ix, &k.want, e) < 0 || (k.names && check_names(&ev->cat, e) < 0))
		return -1;
	if (litter && litter_find(litter, ev, k.want.min_age_s, e) < 0)
		return -1;
	if (evict_mark(ev, &k.want, e) < 0 || evict_plan(ev, &k.want, e) < 0)
		return -1;
	tell_doubts(p, ev);
	if (confirm(ev, e) < 0)
		return -1;
	r->demote = demote;
	r->class = k.want.class;
	if (opts_common.dry)
		dry_run(r);
	else if (evict_run(ev, r, e) < 0)
		return -1;
	if (k.versions && !r->timed_out && sweep_versions(ev, e) < 0)
		return -1;
	return litter && !r->timed_out ?
		litter_remove(litter, ev, opts_common.dry, report_litter, &k, e) : 0;
}

static char *
identity(const char *url, struct err *e)
{
	char *full = conf_store_url(opts_conf, url, e);
	char *id = full ? index_identity(full, opts_conf, e) : NULL;

	free(full);
	return id;
}

/* A copy in the place it was made from would be deleted with the original. */
static int
is_elsewhere(const char *url, struct err *e)
{
	char *a = identity(url, e), *b = a ? identity(k.demote, e) : NULL;
	int rc = !b ? -1 : strcmp(a, b) != 0 ? 0 :
		err_set(e, ERR_USAGE, "--demote-to: that is the store itself");

	free(a);
	free(b);
	return rc;
}

static int
open_demote(struct store **out, const char *url, struct err *e)
{
	struct store_opts so = { .flags = STORE_WRITE | STORE_CREATE, .conf = opts_conf };
	char *full;
	int rc;

	*out = NULL;
	if (k.demote && is_elsewhere(url, e) < 0)
		return -1;
	if (!k.demote || opts_common.dry)
		return 0;
	full = conf_store_url(opts_conf, k.demote, e);
	rc = full ? store_open(out, full, &so, e) : -1;
	free(full);
	return rc;
}

/* What is selected, or moved, says nothing about litter. */
static int
sweeps(void)
{
	return k.litter || (!k.selects && !k.want.class);
}

static void
run(const char *url)
{
	struct evict_run r = { .mem = opts_common.mem, .bwlimit = opts_common.bwlimit,
		.jobs = opts_common.jobs, .told = report_step, .ctx = &k };
	struct store_opts so = { .conf = opts_conf };
	double start = clock_mono();
	struct store *demote = NULL;
	struct index *ix = NULL;
	struct place p = { 0 };
	struct litter litter = { .min_age_s = 0 };
	int locked = 0;
	struct err e;

	if (opts_common.max_duration > 0)
		r.until_mono = start + opts_common.max_duration;
	if (report_open(&k, &e) < 0 || pick_open(&p, url, &so, NULL, &e) < 0)
		goto fail;
	if ((k.versions || k.want.class) && strcmp(store_scheme(p.store), "s3") != 0) {
		err_set(&e, ERR_USAGE, "%s: only buckets have them", k.versions ? "--versions" :
			"--transition");
		goto fail;
	}
	if (k.lock && !opts_common.dry) {
		if (store_lock(p.store, "evict", &e) < 0)
			goto fail;
		locked = 1;
	}
	if (open_index(&ix, url, &e) < 0 || open_demote(&demote, url, &e) < 0 ||
	    evict(&p, ix, sweeps() ? &litter : NULL, demote, &r, &e) < 0)
		goto fail;
	if (r.timed_out || r.count[EVICT_FAILED])
		tool_mark(ERR_PARTIAL);
	goto done;
fail:
	report_alike();
	tool_fail(&e);
done:
	if (locked)
		store_unlock(p.store, "evict");
	k.seconds = clock_mono() - start;
	report_close(&k, &r);
	if (index_close(ix, &e) < 0)
		tool_fail(&e);
	litter_free(&litter);
	evict_free(&k.ev);
	store_close(demote);
	place_close(&p);
}

int
main(int argc, char **argv)
{
	char safe[256];
	int c;

	tool_start("kvevict");
	select_init(&k.select);
	while ((c = opts_next(argc, argv, &usage)) != -1)
		option(c);
	if (optind == argc)
		opts_bad("which store? kvevict STORE [NAME ...]");
	if (k.rule) {
		if (!k.has_ttl)
			opts_bad("after how long? give --ttl, like 7d (0 takes a rule away)");
		lifecycle(&k, argv[optind]);
		return tool_end();
	}
	k.names = (size_t)(argc - optind - 1);
	if (k.names)
		k.selects = 1;
	select_names(&k.select, argv + optind + 1, argc - optind - 1);
	if (k.selects)
		k.want.select = &k.select;
	if (k.want.class && (k.demote || k.versions || k.want.corrupt_file ||
	    k.want.ask & (1u << EVICT_INCOMPLETE | 1u << EVICT_UNREACHABLE)))
		opts_bad("--transition deletes nothing: not with --demote-to, --versions, "
			"--unreachable, --incomplete, --corrupt-from");
	if (!k.limits && !k.selects)
		opts_bad("what should go? say a limit (--max-size, --ttl ...), names, or --all");
	if (!k.limits)
		k.want.ask |= 1u << EVICT_NAMED;
	if (k.want.ask & 1u << EVICT_ALL && k.all != 2)
		k.want.max_delete_share = 1;
	k.want.jobs = opts_common.jobs;
	metrics_store(uri_safe(safe, argv[optind]));
	run(argv[optind]);
	return tool_end();
}
