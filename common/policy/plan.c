#include <stdlib.h>
#include <string.h>

#include "policy/node.h"

/* What is worked out about an entry, besides what the caller knows. */
struct work {
	double *score;		/* keep value, raised to that of the best descendant */
	uint32_t *kids;		/* children that are still there */
	uint32_t *order;	/* lowest value first, children before parents */
	uint8_t *stay;		/* kept, or an ancestor of a kept one, or in a circle */
};

struct rated {			/* what the sort moves */
	double score, used_s;
	uint32_t rank;		/* place in an order of children before parents */
	uint32_t entry;
};

static int
check(const struct plan_entry *v, size_t n, const struct plan_want *w, struct err *e)
{
	if (n >= PLAN_NONE)
		return err_set(e, ERR_USAGE, "plan: more than 4 billion entries");
	if (!w->policy)
		return err_set(e, ERR_USAGE, "plan: no policy");
	if (w->low_bytes > w->max_bytes || w->low_chunks > w->max_chunks)
		return err_set(e, ERR_USAGE, "plan: low water above the limit");
	for (size_t i = 0; i < n; i++) {
		if (v[i].parent != PLAN_NONE && (v[i].parent >= n || v[i].parent == i))
			return err_set(e, ERR_USAGE, "plan: parent of entry %zu out of range", i);
		if (v[i].tenant != PLAN_NONE && v[i].tenant >= w->nquotas)
			return err_set(e, ERR_USAGE, "plan: tenant of entry %zu out of range", i);
	}
	return 0;
}

int
plan_scores(double *score, const struct plan_entry *v, size_t n,
	const struct plan_want *want, struct err *e)
{
	const struct policy_ops *ops = want->policy;

	if (ops->scores)
		return ops->scores(score, v, n, want, e);
	for (size_t i = 0; i < n; i++)
		score[i] = ops->score(&v[i], want);
	return 0;
}

static void
work_free(struct work *k)
{
	free(k->score);
	free(k->kids);
	free(k->order);
	free(k->stay);
}

static int
work_alloc(struct work *k, size_t n, struct err *e)
{
	*k = (struct work){ malloc((n + 1) * sizeof(double)), calloc(n + 1, sizeof(uint32_t)),
		malloc((n + 1) * sizeof(uint32_t)), calloc(n + 1, 1) };
	if (k->score && k->kids && k->order && k->stay)
		return 0;
	work_free(k);
	return err_sys(e, "plan: %zu entries", n);
}

/* Walk from the leaves to the roots, each entry after all its children: raise the
 * parents' values and keep the ancestors of what is kept. What is never reached hangs on
 * a circle of links. Leaves order[] so sorted; kids[] is counted down and up again. */
static uint64_t
climb(struct work *k, const struct plan_entry *v, size_t n)
{
	size_t done = 0, known = 0;

	for (size_t i = 0; i < n; i++)
		if (v[i].parent != PLAN_NONE)
			k->kids[v[i].parent]++;
	for (size_t i = 0; i < n; i++) {
		k->stay[i] = v[i].flags & PLAN_KEEP ? 1 : 0;
		if (!k->kids[i])
			k->order[known++] = (uint32_t)i;
	}
	while (done < known) {
		uint32_t i = k->order[done++], up = v[i].parent;

		if (up == PLAN_NONE)
			continue;
		k->stay[up] |= k->stay[i];
		if (k->score[i] > k->score[up])
			k->score[up] = k->score[i];
		if (!--k->kids[up])
			k->order[known++] = up;
	}
	for (size_t i = 0; i < n && known < n; i++)
		if (k->kids[i])
			k->stay[i] = 1;
	memset(k->kids, 0, n * sizeof(*k->kids));
	for (size_t i = 0; i < n; i++)
		if (v[i].parent != PLAN_NONE)
			k->kids[v[i].parent]++;
	return n - known;
}

static int
rated_cmp(const void *pa, const void *pb)
{
	const struct rated *a = pa, *b = pb;

	if (a->score != b->score)
		return a->score < b->score ? -1 : 1;
	if (a->used_s != b->used_s)
		return a->used_s < b->used_s ? -1 : 1;
	return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* Sort order[] (children before parents) by value, so that they still are: the last
 * use of a parent counts as no earlier than its children's. Circles are not among the
 * known. */
static int
sort(struct work *k, const struct plan_entry *v, size_t n, size_t known, struct err *e)
{
	struct rated *r = malloc((known + 1) * sizeof(*r));
	double *used = malloc((n + 1) * sizeof(*used));

	if (!r || !used) {
		free(r);
		free(used);
		return err_sys(e, "plan: %zu entries", n);
	}
	for (size_t i = 0; i < n; i++)
		used[i] = plan_used_s(&v[i]);
	for (size_t i = 0; i < known; i++) {
		uint32_t at = k->order[i], up = v[at].parent;

		r[i] = (struct rated){ k->score[at], used[at], (uint32_t)i, at };
		if (up != PLAN_NONE && k->score[up] == k->score[at] && used[up] < used[at])
			used[up] = used[at];
	}
	qsort(r, known, sizeof(*r), rated_cmp);
	for (size_t i = 0; i < known; i++)
		k->order[i] = r[i].entry;
	free(r);
	free(used);
	return 0;
}

struct making {
	struct plan *plan;
	struct work k;
	const struct plan_entry *v;
	const struct plan_want *w;
	size_t n;			/* entries in k.order */
	struct plan_quota *held;	/* what each tenant holds now, in max_bytes, max_chunks */
};

static int
over_size(const struct making *m, uint32_t i)
{
	(void)i;
	return m->plan->left_bytes > m->w->low_bytes;
}

static int
over_chunks(const struct making *m, uint32_t i)
{
	(void)i;
	return m->plan->left_chunks > m->w->low_chunks;
}

static int
asked(const struct making *m, uint32_t i)
{
	return (m->v[i].flags & PLAN_EVICT) != 0;
}

static int
expired(const struct making *m, uint32_t i)
{
	return m->v[i].expires_s > 0 && m->v[i].expires_s <= m->w->now_s;
}

static int
idle(const struct making *m, uint32_t i)
{
	double ttl_s = m->w->ttl_s, used_s = plan_used_s(&m->v[i]);
	uint32_t t = m->v[i].tenant;

	if (t != PLAN_NONE && m->w->quotas[t].ttl_s > 0)
		ttl_s = m->w->quotas[t].ttl_s;
	return ttl_s > 0 && used_s > 0 && used_s + ttl_s <= m->w->now_s;
}

static int
over_quota(const struct making *m, uint32_t i)
{
	uint32_t t = m->v[i].tenant;

	if (t == PLAN_NONE)
		return 0;
	const struct plan_quota *q = &m->w->quotas[t], *held = &m->held[t];
	return (q->max_bytes && held->max_bytes > q->max_bytes) ||
		(q->max_chunks && held->max_chunks > q->max_chunks);
}

/* One pass in order: what wants to go and has no child left goes. In this order a
 * child that goes has gone before its parent is looked at. */
static void
pass(struct making *m, enum plan_reason why, int (*wanted)(const struct making *, uint32_t))
{
	struct plan *p = m->plan;

	for (size_t j = 0; j < m->n; j++) {
		uint32_t i = m->k.order[j];

		if (m->k.stay[i] || m->k.kids[i] || !wanted(m, i))
			continue;
		p->steps[p->n++] = (struct plan_step){ i, why, m->k.score[i] };
		p->bytes += m->v[i].bytes;
		p->by_reason[why] += m->v[i].bytes;
		p->left_bytes -= m->v[i].bytes;
		p->left_chunks--;
		m->k.stay[i] = 1;	/* gone: not twice */
		if (m->v[i].parent != PLAN_NONE)
			m->k.kids[m->v[i].parent]--;
		if (m->v[i].tenant != PLAN_NONE) {
			m->held[m->v[i].tenant].max_bytes -= m->v[i].bytes;
			m->held[m->v[i].tenant].max_chunks--;
		}
	}
}

static void
passes(struct making *m)
{
	const struct plan_want *w = m->w;
	struct plan *p = m->plan;

	pass(m, PLAN_ASKED, asked);
	pass(m, PLAN_EXPIRED, expired);
	pass(m, PLAN_TTL, idle);
	pass(m, PLAN_QUOTA, over_quota);
	if (p->left_bytes > w->max_bytes)
		pass(m, PLAN_SIZE, over_size);
	if (p->left_chunks > w->max_chunks)
		pass(m, PLAN_CHUNKS, over_chunks);
	/* what had to go and could not, because something hung on it that is gone now: or the
	 * next run would find it */
	pass(m, PLAN_ASKED, asked);
	pass(m, PLAN_EXPIRED, expired);
	pass(m, PLAN_TTL, idle);
	p->short_of = p->left_bytes > w->max_bytes || p->left_chunks > w->max_chunks;
	for (size_t t = 0; t < w->nquotas; t++) {
		const struct plan_quota *q = &w->quotas[t], *held = &m->held[t];

		if ((q->max_bytes && held->max_bytes > q->max_bytes) ||
		    (q->max_chunks && held->max_chunks > q->max_chunks))
			p->short_of = 1;
	}
}

static void
take_stock(struct making *m, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		m->plan->left_bytes += m->v[i].bytes;
		if (m->v[i].tenant == PLAN_NONE)
			continue;
		m->held[m->v[i].tenant].max_bytes += m->v[i].bytes;
		m->held[m->v[i].tenant].max_chunks++;
	}
	m->plan->left_chunks = n;
}

int
plan_make(struct plan *out, const struct plan_entry *v, size_t n,
	const struct plan_want *want, struct err *e)
{
	struct making m = { .plan = out, .v = v, .w = want };

	*out = (struct plan){ 0 };
	if (check(v, n, want, e) < 0 || work_alloc(&m.k, n, e) < 0)
		return -1;
	m.held = calloc(want->nquotas + 1, sizeof(*m.held));
	if (!m.held) {
		err_sys(e, "calloc");
		goto fail;
	}
	if (plan_scores(m.k.score, v, n, want, e) < 0)
		goto fail;
	out->cyclic = climb(&m.k, v, n);
	m.n = n - out->cyclic;
	if (sort(&m.k, v, n, m.n, e) < 0)
		goto fail;
	out->steps = malloc((m.n + 1) * sizeof(*out->steps));
	if (!out->steps) {
		err_sys(e, "plan: %zu entries", n);
		goto fail;
	}
	take_stock(&m, n);
	passes(&m);
	work_free(&m.k);
	free(m.held);
	return 0;
fail:
	work_free(&m.k);
	free(m.held);
	plan_free(out);
	return -1;
}

void
plan_free(struct plan *p)
{
	free(p->steps);
	*p = (struct plan){ 0 };
}

const char *
plan_reason(enum plan_reason r)
{
	static const char *const names[PLAN_REASONS] = {
		"asked", "expired", "ttl", "quota", "size", "chunks" };

	return (size_t)r < PLAN_REASONS ? names[r] : "unknown";
}
