#include <math.h>
#include <string.h>

#include "policy/auto.h"

#define CELLS (HAZARD_KINDS * HAZARD_AGES)
#define STEP 1.1
#define BURST 1.5		/* what was used just now, against what its kind's rate says */
#define LATER 3			/* times the worth, at some later age, that a block waits for */

static struct queue *
cell_of(struct learner *l, uint32_t at)
{
	const struct mark *m = &l->marks[at];

	return &l->cells[l->p.nodes[at].ghost][m->kind][m->age];
}

static void
set_busy(struct learner *l, int cell, int on)
{
	int i = l->place[cell];

	if (on)
		l->busy[i / 64] |= 1ull << (i % 64);
	else
		l->busy[i / 64] &= ~(1ull << (i % 64));
}

void
cells_open(struct learner *l)
{
	for (int k = 0; k < HAZARD_KINDS; k++)
		for (int a = 0; a < HAZARD_AGES; a++) {
			node_queue(&l->cells[0][k][a]);
			node_queue(&l->cells[1][k][a]);
		}
	hazard_open(&l->h);
	cells_learn(l);
}

void
cells_enter(struct learner *l, uint32_t at)
{
	const struct mark *m = &l->marks[at];

	hazard_enter(&l->h, m->kind, m->age, m->blocks, m->since);
	if (m->tip_blocks)
		hazard_enter(&l->h, m->tip_kind, m->age, m->tip_blocks, m->since);
	node_push(&l->p, cell_of(l, at), at);
	if (l->p.nodes[at].ghost)
		l->ghosts_at[m->age]++;
	else
		set_busy(l, m->kind * HAZARD_AGES + m->age, 1);
}

void
cells_leave(struct learner *l, uint32_t at, uint64_t when)
{
	struct mark *m = &l->marks[at];
	struct queue *q = cell_of(l, at);

	hazard_leave(&l->h, m->kind, m->age, m->blocks, m->since, when);
	if (m->tip_blocks)
		hazard_leave(&l->h, m->tip_kind, m->age, m->tip_blocks, m->since, when);
	m->since = when;
	node_unlink(&l->p, q, at);
	if (l->p.nodes[at].ghost)
		l->ghosts_at[m->age]--;
	else if (!q->n)
		set_busy(l, m->kind * HAZARD_AGES + m->age, 0);
}

/* On to the next age class. It may have been made a ghost, or left behind, after its time. */
static void
grow_older(struct learner *l, uint32_t at)
{
	struct mark *m = &l->marks[at];
	uint64_t when = m->last + l->h.limit[m->age + 1];

	cells_leave(l, at, when > m->since ? when : m->since);
	m->age++;
	cells_enter(l, at);
}

void
cells_age_one(struct learner *l, uint32_t at, uint64_t now)
{
	const struct mark *m = &l->marks[at];

	while (m->age < HAZARD_AGES - 1 && now - m->last >= l->h.limit[m->age + 1])
		grow_older(l, at);
}

static void
age_cell(struct learner *l, const struct queue *q, int age, uint64_t now)
{
	uint64_t limit = l->h.limit[age + 1];
	uint32_t at;

	while ((at = q->tail) != NODE_NONE && l->marks[at].asked != l->now + 1 &&
	    now - l->marks[at].last >= limit)
		grow_older(l, at);
}

/* Wide classes are looked at less often: an eighth of the width late is soon enough. */
void
cells_age(struct learner *l, uint64_t now)
{
	for (int a = HAZARD_AGES - 2; a >= 0; a--) {
		if (now < l->look_at[a])
			continue;
		l->look_at[a] = now + (l->h.limit[a + 1] - l->h.limit[a]) / 8;
		for (int k = 0; k < HAZARD_KINDS; k++) {
			age_cell(l, &l->cells[0][k][a], a, now);
			age_cell(l, &l->cells[1][k][a], a, now);
		}
	}
}

/* Differences smaller than a tenth are noise: within such a step the longest
 * idle leaves first, as LRU would have it, but for those that wait. */
static void
set_steps(struct learner *l)
{
	const double *index = &l->h.index[0][0];

	for (int c = 0; c < CELLS; c++)
		l->step[c] = (int16_t)floor(log(index[c] + 1e-300) / log(STEP));
}

static void
find_waiting(struct learner *l)
{
	for (int k = 0; k < HAZARD_KINDS; k++) {
		double most = 0;

		for (int a = HAZARD_AGES - 1; a >= 0; a--) {
			l->waits[k * HAZARD_AGES + a] = most > LATER * l->h.index[k][a];
			if (l->h.index[k][a] > most)
				most = l->h.index[k][a];
		}
	}
}

/* Of a tie those that wait leave first, the newest of them first; of the others the oldest. */
static int
after(const struct learner *l, int x, int y)
{
	int ages = y % HAZARD_AGES - x % HAZARD_AGES;

	if (l->step[x] != l->step[y])
		return l->step[x] > l->step[y];
	if (l->waits[x] != l->waits[y])
		return l->waits[y];
	if (!ages)
		return x > y;
	return l->waits[x] ? ages < 0 : ages > 0;
}

/* Shell sort: the order changes little from one time to the next. */
static void
sort_order(struct learner *l)
{
	set_steps(l);
	for (int gap = CELLS / 2; gap; gap /= 2)
		for (int i = gap; i < CELLS; i++) {
			uint16_t c = l->order[i];
			int j = i;

			for (; j >= gap && after(l, l->order[j - gap], c); j -= gap)
				l->order[j] = l->order[j - gap];
			l->order[j] = c;
		}
}

void
cells_learn(struct learner *l)
{
	hazard_learn(&l->h, l->now);
	find_waiting(l);
	for (int k = 0; k < HAZARD_KINDS; k++)
		l->h.index[k][0] *= BURST;
	if (!l->learn_at)
		for (int i = 0; i < CELLS; i++)
			l->order[i] = (uint16_t)i;
	sort_order(l);
	memset(l->busy, 0, sizeof(l->busy));
	for (int i = 0; i < CELLS; i++)
		l->place[l->order[i]] = (uint16_t)i;
	for (int c = 0; c < CELLS; c++)
		if (l->cells[0][c / HAZARD_AGES][c % HAZARD_AGES].n)
			set_busy(l, c, 1);
}

/* What the present request names counts as used by it from its beginning. */
static uint64_t
last_use(const struct learner *l, uint32_t at)
{
	return l->marks[at].asked == l->now + 1 ? l->end : l->marks[at].last;
}

/* Does x leave before y? Both are the next of their cells, which are a tie. Of one request's
 * blocks those that fewer share are deeper. */
static int
sooner(const struct learner *l, uint32_t x, uint32_t y)
{
	uint64_t used_x = last_use(l, x), used_y = last_use(l, y);

	if (used_x != used_y)
		return used_x < used_y;
	return l->p.nodes[x].count < l->p.nodes[y].count;
}

/* Cells that are a tie and do not wait follow each other, old ages first. Blocks may be moved on a
 * little late, so the next age class is looked at too. */
uint32_t
cells_worst(const struct learner *l)
{
	uint32_t worst = NODE_NONE;
	int step = 0, age = 0;

	for (int w = 0; w * 64 < CELLS; w++)
		for (uint64_t bits = l->busy[w]; bits; bits &= bits - 1) {
			int cell = l->order[w * 64 + __builtin_ctzll(bits)];
			int a = cell % HAZARD_AGES;
			uint32_t at = l->cells[0][cell / HAZARD_AGES][a].tail;

			if (worst == NODE_NONE) {
				if (l->waits[cell] && l->marks[at].asked != l->now + 1)
					return at;
				step = l->step[cell];
				age = a;
			} else if (l->step[cell] != step || a < age - 1) {
				return worst;
			}
			if (worst == NODE_NONE || sooner(l, at, worst))
				worst = at;
		}
	return worst;
}

uint32_t
cells_oldest_ghost(const struct learner *l)
{
	uint32_t oldest = NODE_NONE;
	int a = HAZARD_AGES - 1;

	while (a > 0 && !l->ghosts_at[a])
		a--;
	for (int k = 0; k < HAZARD_KINDS; k++) {
		uint32_t at = l->cells[1][k][a].tail;

		if (at != NODE_NONE && (oldest == NODE_NONE ||
		    l->marks[at].last < l->marks[oldest].last))
			oldest = at;
	}
	return oldest;
}
