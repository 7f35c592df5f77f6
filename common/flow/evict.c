#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "flow/evict.h"
#include "flow/evict_lists.h"

/* ---- what is selected ---- */

/* A unit is selected when all of its objects are; its rank, when it has one of that rank. */
static int
unit_selected(const struct evict *ev, const struct select *s, uint32_t unit, struct buf *name)
{
	const struct units *u = &ev->units;
	struct select rest = *s;
	int rank = s->rank < 0;
	uint32_t k;

	rest.rank = -1;
	for (k = u->start[unit]; k < u->start[unit + 1]; k++) {
		const struct cat_row *r = units_row(u, k);
		struct key key;

		catalog_key(&ev->cat, r, &key);
		name->len = 0;
		if (s->include || s->exclude) {
			catalog_name(&ev->cat, r, name);
			buf_text(name);
		}
		if (!select_match(&rest, &key, name->len ? name->p : NULL, r->size, r->mtime_s))
			return 0;
		rank |= s->rank == (int64_t)r->rank;
	}
	return rank;
}

/* ---- what must stay ---- */

static int
mark_young(struct evict *ev, double min_age_s, struct err *e)
{
	uint32_t i;

	for (i = 0; min_age_s > 0 && i < ev->units.n; i++) {
		const struct plan_entry *v = &ev->v[i];
		/* where only uses are told (Redis), it is at least as old as its last one */
		double since = v->created_s > 0 ? v->created_s : v->accessed_s;

		if (since == 0)
			return err_set(e, ERR_USAGE, "%s does not tell how old objects are; say "
				"--min-age 0, or make an index (kvstat index rebuild)",
				store_url(ev->place->store));
		if (since > ev->now_s - min_age_s)
			ev->flags[i] |= EVICT_YOUNG;
	}
	return 0;
}

/* ---- what is asked for ---- */

/* Of the group of layers that has fewest: its ranks. All layer objects; any rank but 0? */
static void
count_parts(const struct units *u, uint32_t unit, unsigned *ranks, int32_t *layers, int *others)
{
	const struct cat_row *before = NULL;
	unsigned here = 0;
	uint32_t k;

	*ranks = UINT_MAX;
	*layers = 0;
	*others = 0;
	for (k = u->start[unit]; k < u->start[unit + 1]; k++) {
		const struct cat_row *r = units_row(u, k);

		if (before && before->group != r->group) {
			*ranks = here < *ranks ? here : *ranks;
			here = 0;
			before = NULL;
		}
		here += !before || before->rank != r->rank;
		*others |= r->rank != 0;
		*layers += r->layer >= 0;
		before = r;
	}
	*ranks = here < *ranks ? here : *ranks;
}

/* Ranks that a unit must have: all of its class, unless only rank 0 is ever stored there (one
 * copy for all, as with MLA). Layers: as many as the others have. */
static void
ask_incomplete(struct evict *ev)
{
	const struct units *u = &ev->units;
	uint32_t i, k, end;
	unsigned ranks, want;
	int32_t layers, most;
	int others, any;

	for (i = 0; i < u->n; i = end) {
		any = 0;
		most = 0;
		for (end = i; end < u->n && units_class(u, end) == units_class(u, i); end++) {
			count_parts(u, end, &ranks, &layers, &others);
			any |= others;
			most = layers > most ? layers : most;
		}
		want = any ? ev->cat.groups[u->groups[units_class(u, i)]].tp : 1;
		for (k = i; k < end; k++) {
			count_parts(u, k, &ranks, &layers, &others);
			if (ranks < want || layers < most)
				ev->why[k] = EVICT_INCOMPLETE;
		}
	}
}

/* Units whose chain is broken above them. state: 1 leads to a root, 2 does not. A circle of
 * links ends the climb; the plan counts it. */
static int
ask_unreachable(struct evict *ev, struct err *e)
{
	unsigned char *state = calloc((size_t)ev->units.n + 1, 1);
	uint32_t i, at, steps;

	if (!state)
		return err_set(e, ERR_FAILED, "out of memory");
	for (i = 0; i < ev->units.n; i++) {
		unsigned char found = 1;

		for (at = i, steps = 0; at != PLAN_NONE && steps <= ev->units.n; steps++) {
			if (state[at] || ev->flags[at] & EVICT_ORPHAN) {
				found = state[at] ? state[at] : 2;
				break;
			}
			at = ev->v[at].parent;
		}
		for (at = i; at != PLAN_NONE && !state[at]; at = ev->v[at].parent)
			state[at] = found;
		if (found == 2)
			ev->why[i] = EVICT_UNREACHABLE;
	}
	free(state);
	return 0;
}

static int
ask(struct evict *ev, const struct evict_want *w, struct err *e)
{
	uint32_t i;

	for (i = 0; i < ev->units.n; i++) {
		if (w->ask & (1u << EVICT_ALL | 1u << EVICT_NAMED))
			ev->why[i] = w->ask & 1u << EVICT_ALL ? EVICT_ALL : EVICT_NAMED;
	}
	if (w->ask & 1u << EVICT_UNREACHABLE) {
		if (ev->units.n && !ev->linked && !ev->place->native)
			return err_set(e, ERR_USAGE, "--unreachable: objects of %s do not tell "
				"their parents, and no index does",
				dialect_word(ev->place->dialect));
		if (ask_unreachable(ev, e) < 0)
			return -1;
	}
	if (w->ask & 1u << EVICT_INCOMPLETE)
		ask_incomplete(ev);
	return w->corrupt_file ? evict_read_report(ev, w->corrupt_file, e) : 0;
}

static void
count_marks(struct evict *ev)
{
	uint32_t i;

	for (i = 0; i < ev->units.n; i++) {
		struct plan_entry *v = &ev->v[i];

		if (ev->flags[i] & EVICT_OUTSIDE) {
			ev->outside++;
			ev->outside_bytes += v->bytes;
		} else {
			ev->young += (ev->flags[i] & EVICT_YOUNG) != 0;
			ev->pinned += (ev->flags[i] & EVICT_PINNED) != 0;
			ev->leased += (ev->flags[i] & EVICT_LEASED) != 0;
		}
		if (ev->flags[i] & (EVICT_OUTSIDE | EVICT_YOUNG | EVICT_PINNED | EVICT_LEASED))
			v->flags |= PLAN_KEEP;
		else if (ev->why[i])
			v->flags |= PLAN_EVICT;
		if (!(ev->flags[i] & EVICT_OUTSIDE))
			ev->asked[ev->why[i]]++;
	}
}

/* Damaged chunks go although others hang on them: those are useless already. */
static void
cut_corrupt(struct evict *ev)
{
	uint32_t i, up;

	for (i = 0; i < ev->units.n; i++) {
		up = ev->v[i].parent;
		if (up == PLAN_NONE || ev->why[up] != EVICT_CORRUPT ||
		    !(ev->v[up].flags & PLAN_EVICT))
			continue;
		ev->v[i].parent = PLAN_NONE;
		ev->cut_off += !ev->why[i];
	}
}

/* Everything is to go and nothing may stay: then the order is no matter, and no header needs
 * to be read. */
static int
clears_out(const struct evict *ev, const struct evict_want *w)
{
	uint32_t i;

	if (!(w->ask & 1u << EVICT_ALL) || w->select || w->pin_file)
		return 0;
	for (i = 0; i < ev->units.n; i++)
		if (ev->flags[i] & (EVICT_YOUNG | EVICT_PINNED | EVICT_LEASED))
			return 0;
	return 1;
}

int
evict_mark(struct evict *ev, const struct evict_want *w, struct err *e)
{
	struct buf name = { 0 };
	uint32_t i;

	if (mark_young(ev, w->min_age_s, e) < 0 ||
	    (!clears_out(ev, w) && evict_link(ev, w->jobs, e) < 0))
		return -1;
	for (i = 0; w->select && i < ev->units.n; i++)
		if (!unit_selected(ev, w->select, i, &name))
			ev->flags[i] |= EVICT_OUTSIDE;
	buf_free(&name);
	if (ask(ev, w, e) < 0)
		return -1;
	if (w->pin_file && evict_read_pins(ev, w->pin_file, e) < 0)
		return -1;
	if (w->quota_file && evict_read_quotas(ev, w->quota_file, e) < 0)
		return -1;
	count_marks(ev);
	cut_corrupt(ev);
	return 0;
}

/* ---- the plan ---- */

#define SAMPLE 64
#define REMEDY "; make an index (kvstat index rebuild; --index), or say --policy fifo"

static int
choose_policy(struct evict *ev, const struct evict_want *w, struct err *e)
{
	/* what an empty store would tell */
	int knows = ev->knows_use || (!ev->units.n && strcmp(store_scheme(ev->place->store), "s3"));
	unsigned needs;

	ev->policy = w->policy ? w->policy :
		policy_find(knows ? "lru" : ev->knows_hits ? "lfu" : "fifo", e);
	if (!ev->policy)
		return -1;
	if (!strcmp(policy_name(ev->policy), "quota") && !ev->n_quotas)
		return err_set(e, ERR_USAGE, "policy quota: whose? say --quota-file");
	needs = policy_needs(ev->policy);
	if (needs & POLICY_ACCESSED && !knows)
		return err_set(e, ERR_USAGE, "policy %s: %s does not tell when objects were last "
			"used" REMEDY, policy_name(ev->policy), store_url(ev->place->store));
	if (needs & POLICY_HITS && !knows && !ev->knows_hits)
		return err_set(e, ERR_USAGE, "policy %s: %s does not tell how often objects are "
			"used" REMEDY, policy_name(ev->policy), store_url(ev->place->store));
	return 0;
}

/* Without counts, one that was used since it was written counts as used once. */
static void
guess_hits(struct evict *ev)
{
	uint32_t i;

	for (i = 0; !ev->knows_hits && i < ev->units.n; i++)
		ev->v[i].hits = ev->v[i].accessed_s > ev->v[i].created_s;
}

/* So much of the capacity may be in use, by whatever else lies there too. */
static int
limit_share(struct evict *ev, const struct evict_want *w, struct plan_want *p, struct err *e)
{
	uint64_t total, left, over;
	double used, limit, low;

	if (store_space(ev->place->store, &total, &left, e) < 0)
		return -1;
	if (!total)
		return err_set(e, ERR_USAGE, "--max-size in %%: the capacity of %s is not known",
			store_url(ev->place->store));
	used = (double)(total - left);
	limit = w->max_share * (double)total;
	low = w->low_share > 0 ? w->low_share * limit : limit;
	if (used <= limit)
		return 0;
	over = (uint64_t)(used - limit);
	p->max_bytes = ev->cat.bytes > over ? ev->cat.bytes - over : 0;
	over = (uint64_t)(used - low);
	p->low_bytes = ev->cat.bytes > over ? ev->cat.bytes - over : 0;
	return 0;
}

static int
set_limits(struct evict *ev, const struct evict_want *w, struct plan_want *p, struct err *e)
{
	p->max_bytes = p->low_bytes = p->max_chunks = p->low_chunks = UINT64_MAX;
	if (w->max_bytes != UINT64_MAX) {
		p->max_bytes = w->max_bytes;
		p->low_bytes = w->low_share > 0 ? (uint64_t)((double)w->max_bytes * w->low_share) :
			w->low_bytes && w->low_bytes < w->max_bytes ? w->low_bytes : w->max_bytes;
	} else if (w->max_share > 0 && limit_share(ev, w, p, e) < 0) {
		return -1;
	}
	if (w->max_chunks != UINT64_MAX) {
		p->max_chunks = w->max_chunks;
		p->low_chunks = w->low_share > 0 ?
			(uint64_t)((double)w->max_chunks * w->low_share) : w->max_chunks;
	}
	ev->max_bytes = p->max_bytes;
	ev->low_bytes = p->low_bytes;
	/* limits are of what is selected; the plan counts all */
	if (p->max_bytes != UINT64_MAX && w->max_share == 0) {
		p->max_bytes += ev->outside_bytes;
		p->low_bytes += ev->outside_bytes;
	}
	if (p->max_chunks != UINT64_MAX) {
		p->max_chunks += ev->outside;
		p->low_chunks += ev->outside;
	}
	return 0;
}

static int
check_guards(struct evict *ev, const struct evict_want *w, struct err *e)
{
	const struct plan *p = &ev->plan;
	char left[NUM_TEXT], keep[NUM_TEXT];

	/* a share that is exact on paper is so here: 25 % of 27540 is 6885 */
	ev->allowed = w->max_delete != UINT64_MAX ? w->max_delete :
		(uint64_t)(w->max_delete_share * (double)ev->units.n + 1e-6);
	if (p->n > ev->allowed)
		return err_set(e, ERR_REFUSED, "would delete %zu of %" PRIu32 " chunks, and "
			"--max-delete allows %" PRIu64 "; nothing was deleted", p->n, ev->units.n,
			ev->allowed);
	if (p->n && w->min_keep && p->left_bytes - ev->outside_bytes < w->min_keep)
		return err_set(e, ERR_REFUSED, "would leave %s, and --min-keep is %s; nothing was "
			"deleted", num_size_text(left, p->left_bytes - ev->outside_bytes),
			num_size_text(keep, w->min_keep));
	return 0;
}

/* Would a later run give the same values? Seen from some entries. */
static int
is_steady(const struct evict *ev, const struct plan_want *p)
{
	size_t n = ev->units.n < SAMPLE ? ev->units.n : SAMPLE, i;
	double now[SAMPLE], later[SAMPLE];
	struct plan_want w = *p;

	w.now_s += 5000;
	if (plan_scores(now, ev->v, n, p, NULL) < 0 || plan_scores(later, ev->v, n, &w, NULL) < 0)
		return 0;
	for (i = 0; i < n; i++)
		if (now[i] < later[i] || now[i] > later[i])
			return 0;
	return 1;
}

int
evict_plan(struct evict *ev, const struct evict_want *w, struct err *e)
{
	struct plan_want p = { .now_s = ev->now_s, .ttl_s = w->ttl_s, .alpha = w->alpha };
	struct plan_quota *quotas = calloc(ev->n_quotas + 1, sizeof(*quotas));
	size_t i;
	int rc = -1;

	if (!quotas)
		return err_set(e, ERR_FAILED, "out of memory");
	for (i = 0; i < ev->n_quotas; i++)
		quotas[i] = ev->quotas[i].limit;
	p.quotas = quotas;
	p.nquotas = ev->n_quotas;
	if (choose_policy(ev, w, e) < 0 || set_limits(ev, w, &p, e) < 0)
		goto free_quotas;
	p.policy = ev->policy;
	guess_hits(ev);
	ev->steady = is_steady(ev, &p);
	if (plan_make(&ev->plan, ev->v, ev->units.n, &p, e) == 0)
		rc = check_guards(ev, w, e);
free_quotas:
	free(quotas);
	return rc;
}

const char *
evict_reason(const struct evict *ev, const struct plan_step *s)
{
	static const char *const words[EVICT_WHYS] = { "asked", "all", "named", "corrupt",
		"incomplete", "unreachable", "half", "dead" };

	if (s->reason == PLAN_ASKED)
		return words[ev->why[s->entry]];
	if (s->reason == PLAN_SIZE || s->reason == PLAN_CHUNKS)
		return policy_name(ev->policy);
	return plan_reason((enum plan_reason)s->reason);
}
