#include <stdlib.h>

#include "policy/auto.h"
#include "policy/policies.h"

#define GHOSTS 2		/* for each resident */
#define GHOSTS_MIN 64
#define RUN_MAX 32		/* blocks that one ghost speaks for */
#define TIPS_FEW 8		/* that must be seen */
#define TIPS_MEMORY 1024	/* after which what was learned of them counts half */
#define SHARED 8		/* uses from which a prefix is no single conversation's */

int
auto_kind(uint32_t uses, enum auto_from from, int tip)
{
	static const uint32_t upto[] = { 2, 4, 8, 16, 64 };
	int kind = FROM_TURNS + 1;

	if (uses <= 1)
		kind = (int)from;
	else
		for (size_t i = 0; i < sizeof(upto) / sizeof(upto[0]) && uses > upto[i]; i++)
			kind++;
	return tip ? AUTO_BODIES + kind : kind;
}

/* ---- ghosts ---- */

static void
forget(struct learner *l, uint32_t ghost)
{
	cells_leave(l, ghost, l->end);
	node_forget(&l->p, ghost);
	l->ghosts--;
}

/* The neighbour of that key, if the same request used both last. */
static uint32_t
neighbour(const struct learner *l, const struct mark *m, int has, uint64_t key)
{
	uint32_t at = has ? map_get(&l->p.map, key) : NODE_NONE;

	return at != NODE_NONE && l->marks[at].last == m->last ? at : NODE_NONE;
}

/* The ghost of a run is known by its deepest block: tell the block above it. */
static void
tell_parent(struct learner *l, uint32_t ghost)
{
	const struct mark *m = &l->marks[ghost];
	uint32_t up = neighbour(l, m, m->has_parent, m->parent);

	if (up == NODE_NONE)
		l->untold = l->p.nodes[ghost].key;
	if (up == NODE_NONE || l->p.nodes[up].ghost)
		return;
	l->marks[up].child = l->p.nodes[ghost].key;
	l->marks[up].has_child = 1;
}

/* The run below is of the same kind: its ghost speaks for this block too. */
static void
join_run(struct learner *l, uint32_t at, uint32_t ghost)
{
	struct mark *m = &l->marks[at], *run = &l->marks[ghost];

	hazard_enter(&l->h, run->kind, run->age, m->blocks, l->end);
	hazard_leave(&l->h, run->kind, run->age, run->blocks, run->since, l->end);
	hazard_enter(&l->h, run->kind, run->age, run->blocks, l->end);
	if (run->tip_blocks) {
		hazard_leave(&l->h, run->tip_kind, run->age, run->tip_blocks, run->since, l->end);
		hazard_enter(&l->h, run->tip_kind, run->age, run->tip_blocks, l->end);
	}
	run->since = l->end;
	run->blocks += m->blocks;
	run->has_parent = m->has_parent;
	run->parent = m->parent;
	node_drop(&l->p, at);
	tell_parent(l, ghost);
}

/* A run of which only the beginning comes back is not found, so runs do not grow for ever. */
static int
may_join(const struct learner *l, uint32_t at, uint32_t ghost)
{
	const struct mark *m = &l->marks[at], *run = &l->marks[ghost];

	return run->kind == m->kind && run->age == m->age &&
		l->p.nodes[ghost].count == l->p.nodes[at].count &&
		run->blocks < RUN_MAX;
}

static int
is_tip(const struct mark *m)
{
	return m->kind >= AUTO_BODIES && m->kind < AUTO_LEFT;
}

static void
evict(struct learner *l)
{
	uint32_t at = cells_worst(l);
	struct mark *m = &l->marks[at];
	uint32_t below = neighbour(l, m, m->has_child, m->child);

	cells_leave(l, at, l->end);
	if (below != NODE_NONE && l->p.nodes[below].ghost) {
		struct mark *run = &l->marks[below];

		if (may_join(l, at, below)) {
			join_run(l, at, below);
			return;
		}
		if (is_tip(run) && !is_tip(m)) {
			m->tip_blocks = run->blocks;
			m->tip = l->p.nodes[below].key;
			m->tip_kind = run->kind;
			forget(l, below);
		}
	}
	node_evict(&l->p, at);
	l->ghosts++;
	cells_enter(l, at);
	tell_parent(l, at);
}

/* ---- a request arrives ---- */

static void
used_again(struct learner *l, uint32_t at)
{
	const struct mark *m = &l->marks[at];
	int hit = !l->p.nodes[at].ghost;

	if (m->asked == l->now + 1)
		hazard_use(&l->h, m->asked_kind, m->asked_age, m->blocks, l->now, hit);
	else
		hazard_use(&l->h, m->kind, m->age, m->blocks, l->now, hit);
}

/* Block i is a ghost: its run comes back, perhaps with its tip. */
static void
come_back(struct learner *l, uint32_t ghost, uint32_t i)
{
	const struct policy_request *r = l->p.req;
	const struct mark *m = &l->marks[ghost];
	uint32_t end = i + m->tip_blocks, k;

	used_again(l, ghost);
	if (m->tip_blocks && end < r->n && r->keys[end] == m->tip) {
		hazard_use(&l->h, m->tip_kind, m->age, m->tip_blocks, l->now, 0);
		if (l->depth <= end) {
			l->depth = end + 1;
			for (k = i + 1; k <= end; k++)
				l->before[k] = 1;
		}
	}
	forget(l, ghost);
}

/* The request leaves the known path at block at: what hung on it is left behind. */
static void
leave_behind(struct learner *l, uint32_t at)
{
	const struct mark *m = &l->marks[at];
	uint32_t c;

	while ((c = neighbour(l, m, m->has_child, m->child)) != NODE_NONE) {
		struct mark *left = &l->marks[c];

		if (left->kind == AUTO_LEFT)
			return;
		cells_leave(l, c, l->now);
		left->kind = AUTO_LEFT;
		if (left->tip_blocks)
			left->tip_kind = AUTO_LEFT;
		cells_enter(l, c);
		m = left;
	}
}

static int
turns_off(const struct learner *l, uint32_t at, uint32_t i)
{
	const struct policy_request *r = l->p.req;
	const struct mark *m = &l->marks[at];

	return i > 0 && i + 1 < r->n && !l->p.nodes[at].ghost && l->p.nodes[at].count < SHARED &&
		!(m->has_child && m->child == r->keys[i + 1]);
}

/* What its last request had below block i, where this one goes another way, was its tip. */
static void
measure_tip(struct learner *l, const struct mark *m, uint32_t i)
{
	const struct policy_request *r = l->p.req;

	if (i + 1 == r->n || m->below > AUTO_TIP_MAX ||
	    (m->has_child && m->child == r->keys[i + 1]))
		return;
	l->left[m->below]++;
	l->lefts++;
}

/* The length that is seen twice as often as any other; one block if none is. */
static void
learn_tip(struct learner *l)
{
	uint32_t most = 0, next = 0, k;

	for (k = 0; k <= AUTO_TIP_MAX; k++) {
		if (l->left[k] > most) {
			next = most;
			most = l->left[k];
			l->tip = k > 1 ? k : 1;
		} else if (l->left[k] > next) {
			next = l->left[k];
		}
	}
	if (most < TIPS_FEW + 2 * next)
		l->tip = 1;
	if (l->lefts < TIPS_MEMORY)
		return;
	l->lefts /= 2;
	for (k = 0; k <= AUTO_TIP_MAX; k++)
		l->left[k] /= 2;
}

/* Resident, and about to be used: it is filed as if it had been, so that what the
 * same request brings in does not push it out before its turn comes. */
static void
ask_for(struct learner *l, uint32_t at, uint32_t i)
{
	struct mark *m = &l->marks[at];

	m->asked = l->now + 1;
	m->asked_kind = m->kind;
	m->asked_age = m->age;
	cells_leave(l, at, l->now);
	m->kind = (uint8_t)auto_kind(l->before[i] + 1, l->from, i + l->tip >= l->p.req->n);
	m->age = 0;
	cells_enter(l, at);
}

/* Block i is the deepest that is known. */
static void
go_on_from(struct learner *l, uint32_t at, uint32_t i)
{
	uint32_t uses = l->p.nodes[at].count;

	l->depth = i + 1;
	if (uses < SHARED) {
		l->from = uses > 2 ? FROM_TURNS : FROM_TURN;
		measure_tip(l, &l->marks[at], i);
	} else if (l->depth > l->p.req->n / 2) {
		l->from = FROM_MANY;
	}
}

/* Is block i reached as its last request reached it? In a chain always. If not, keys name texts
 * wherever they stand, and each is used for its own sake. */
static int
same_path(const struct learner *l, uint32_t at, uint32_t i)
{
	const struct mark *m = &l->marks[at];

	if (i < m->blocks)
		return i + 1 == m->blocks && !m->has_parent;
	return m->has_parent && m->parent == l->p.req->keys[i - m->blocks];
}

/* From the deepest block up, so that each is known at least as well as those below it. */
static void
look_up(struct learner *l)
{
	const struct policy_request *r = l->p.req;
	uint32_t uses = 0;

	l->depth = 0;
	l->from = FROM_NOTHING;
	for (uint32_t i = r->n; i-- > 0;) {
		uint32_t at = map_get(&l->p.map, r->keys[i]);

		if (at != NODE_NONE && l->p.nodes[at].count > uses)
			uses = l->p.nodes[at].count;
		l->before[i] = uses;
		if (at == NODE_NONE)
			continue;
		if (!l->depth && turns_off(l, at, i))
			leave_behind(l, at);
		if (!l->depth)
			go_on_from(l, at, i);
		if (!same_path(l, at, i))
			uses = 0;
		if (l->marks[at].asked == l->now + 1)
			continue;	/* named twice */
		cells_age_one(l, at, l->now);
		if (l->p.nodes[at].ghost)
			come_back(l, at, i);
		else
			ask_for(l, at, i);
	}
}

static int
auto_begin(struct policy *p, struct err *e)
{
	struct learner *l = (struct learner *)p;
	uint64_t pause, most = p->o.capacity / 2;

	if (p->req->n > l->before_room) {
		uint32_t *more = realloc(l->before, p->req->n * sizeof(*more));

		if (!more)
			return err_sys(e, "realloc");
		l->before = more;
		l->before_room = p->req->n;
	}
	l->now = l->end;
	cells_age(l, l->now);
	if (l->refs >= l->learn_at) {
		cells_learn(l);
		learn_tip(l);
		pause = l->refs / 16;
		l->learn_at = l->refs + GHOSTS_MIN + (pause < most ? pause : most);
	}
	while (l->ghosts > GHOSTS * p->count + GHOSTS_MIN)
		forget(l, cells_oldest_ghost(l));
	look_up(l);
	l->end++;
	l->refs += p->req->n;
	cells_age(l, l->end);	/* what it does not name waits for the next at least */
	return 0;
}

/* ---- its blocks are referenced ---- */

static uint32_t
enter(struct learner *l, uint32_t i, struct err *e)
{
	uint32_t at = node_new(&l->p, i, e);

	if (at == NODE_NONE || at < l->marks_room)
		return at;
	struct mark *more = realloc(l->marks, l->p.room * sizeof(*more));
	if (!more) {
		err_sys(e, "realloc");
		return NODE_NONE;
	}
	l->marks = more;
	l->marks_room = l->p.room;
	return at;
}

/* Replayed head first, a block comes in after its parent, and is to leave before it. */
static void
file(struct learner *l, uint32_t at)
{
	const struct mark *m = &l->marks[at];
	uint32_t up = neighbour(l, m, m->has_parent, m->parent);

	cells_enter(l, at);
	if (up != NODE_NONE && up != at && !l->p.nodes[up].ghost &&
	    l->marks[up].kind == m->kind && l->marks[up].age == m->age)
		node_behind(&l->p, &l->cells[0][m->kind][m->age], at, up);
}

/* What is known to lie below block i, which comes in: the next of the request, or the run that
 * this one has joined if it came in and left just before. */
static uint64_t
child_of(const struct learner *l, uint32_t i)
{
	const struct policy_request *r = l->p.req;
	uint32_t at = map_get(&l->p.map, l->untold);
	const struct mark *m = at == NODE_NONE ? NULL : &l->marks[at];

	if (m && l->p.nodes[at].ghost && m->last == l->end && m->has_parent &&
	    m->parent == r->keys[i])
		return l->untold;
	return i + 1 < r->n ? r->keys[i + 1] : 0;
}

static int
auto_access(struct policy *p, uint32_t i, uint32_t at, struct err *e)
{
	struct learner *l = (struct learner *)p;
	const struct policy_request *r = p->req;
	int hit = at != NODE_NONE && !p->nodes[at].ghost, last = i + 1 == r->n;

	if (!hit && node_too_big(p, i))
		return 0;
	if (hit && l->marks[at].last == l->end)
		return 1;		/* named twice: one use */
	if (hit) {
		used_again(l, at);
		cells_leave(l, at, l->now);
	} else if (at != NODE_NONE) {	/* it left after this request began */
		used_again(l, at);
		forget(l, at);
	}
	if (!hit && (at = enter(l, i, e)) == NODE_NONE)
		return -1;
	p->nodes[at].count = l->before[i] + 1;
	l->marks[at] = (struct mark){
		.last = l->end, .since = l->end, .blocks = 1,
		.kind = (uint8_t)auto_kind(l->before[i] + 1, l->from, i + l->tip >= r->n),
		.has_parent = i > 0, .parent = i ? r->keys[i - 1] : 0,
		.below = r->n - 1 - i, .has_child = !last, .child = child_of(l, i),
	};
	file(l, at);
	while (p->used > p->o.capacity)
		evict(l);
	return hit;
}

static int
auto_open(struct policy *p, struct err *e)
{
	(void)e;
	((struct learner *)p)->tip = 1;
	cells_open((struct learner *)p);
	return 0;
}

static void
auto_close(struct policy *p)
{
	free(((struct learner *)p)->before);
	free(((struct learner *)p)->marks);
}

const struct policy_ops policy_auto = {
	.name = "auto", .about = "least worth of its room first, learned while running",
	.needs = POLICY_ACCESSED | POLICY_HITS, .tail_first = 1, .state = sizeof(struct learner),
	.open = auto_open, .close = auto_close, .begin = auto_begin, .access = auto_access,
	.scores = auto_scores,
};
