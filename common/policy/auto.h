#ifndef POLICY_AUTO_H
#define POLICY_AUTO_H

#include "policy/hazard.h"
#include "policy/node.h"

/*
 * "auto": evict the block whose room is worth least, worth being learned while
 * running. No parameter to set, nothing tuned to a size.
 *
 * What a cache of prompts sees. Three blocks in four are never used again, and whether a
 * block will be does not show in when it was used last: a conversation comes back after
 * minutes or never. But blocks differ in kind. The last block of a prompt
 * (its tip) is mostly half full and dies at once, for the next turn replaces it; where blocks
 * are small, or turns drop what was thought, the tip is as long as what conversations that went on
 * are seen to leave behind. Blocks used by several requests come back more surely. New blocks
 * of a request that goes on from a known one belong to a conversation that has proved
 * itself, those after a prefix of many do not. What
 * hung on a prefix that has since gone another way is left behind for good. And
 * inside each kind the chance depends on the idle time, not always falling: nobody
 * answers within a second, and a loop comes round after just its length.
 *
 * So each block has a kind (uses so far in octaves; new ones by what their request
 * goes on from; tips apart; left behind) and an age class (requests since last
 * use, two classes an octave: each request is one trial for every block, however long it is, and
 * while a block's own request lasts nothing else can use it). Per kind and age the rate
 * of use is estimated: uses seen / time spent at risk, which is right in spite of
 * blocks that are no longer watched (they are censored, not counted as dead).
 * Kinds with few data lean on the curve of all kinds: what one request uses again is one
 * observation, however many blocks it has, and classes with a few such say little. From the rates
 * follows, for each kind and age, the most uses per time its room can give (Gittins' index;
 * hazard.h). The block of the lowest index leaves; of those within a tenth of each other,
 * which no estimate tells apart, the one idle longest, the deepest first. But where a kind is worth
 * three times as much at a later age, its blocks wait for that, and the newest leaves first: in a
 * loop it is the farthest from its turn.
 * This is the optimal rule for renting out slots to independent blocks with these rates:
 * it turns into LRU where rates fall with age, into LFU where they depend on the count,
 * keeps a fixed part of a loop, and lets a scan pass by; what will not be used
 * soon is the next to leave from the start. Nothing has to choose among experts.
 * The idea of ranking by learned hits per space-time is LHD's (Beckmann, Chen,
 * Cidon, NSDI 2018); kinds from request structure, the index, chain
 * ghosts and exact victims instead of samples are ours.
 *
 * Where there is little to learn from, the rule must not be worse than LRU by its errors. Until
 * 32 requests have hit, or eight times as many found only what had left, it is LRU: what few
 * chance meetings decide is lost as often as won. (If LRU hits next to nothing, as in a loop, 32 of
 * the latter are enough.) What one age class has seen counts for its
 * neighbours too. Uses come in bursts that a kind's rate does not tell of: what the present
 * request uses is worth half as much again as it says.
 * And a request is shown whole before its blocks are referenced, so those that are there
 * are filed as used at once: replayed tail first, what it brings in would else push out
 * its own prefix, which in a small cache costs more than the choice of a policy does. All others
 * are as old as they will be after it, for nothing can use them before.
 *
 * Ghosts. The rates of old ages can be seen only in blocks that have left. A
 * block that is evicted stays known as a ghost; but the blocks of a request leave from its
 * tail upwards and come back together, so one ghost, the deepest, speaks for the
 * run above it, up to 32 blocks. Ghosts are at most twice the residents (and 64), the longest
 * idle go first; thanks to the runs they look back over ten to twenty times the
 * cache. What was learned counts half after so many requests, not blocks, for those of one request
 * tell one thing. A returning block is as old a friend as the deepest known block below it: in a
 * chain, ancestors have been used at least as often. (Where a block comes after another one than
 * last time keys name no prefixes, and it stands for itself.)
 *
 * Cost. Victims come from one queue per kind and age through a bit set in index order.
 * A block changes queue when it crosses an age boundary, at most 50 times in a life. The
 * index is worked out anew as references come in, at most every 64.
 */
struct mark {			/* what is known of a record beside its struct node */
	uint64_t last;		/* time of its last use: when that request ended */
	uint64_t since;		/* when it entered its present account */
	uint64_t parent, child;	/* keys of its neighbours in the request that used it last */
	uint64_t tip;		/* ghost: key of the last of those */
	uint64_t asked;		/* resident: time of the request that names it, + 1 */
	uint32_t blocks;	/* what it stands for: a ghost for its run */
	uint32_t tip_blocks;	/* ghost: of the tip below its run, which is gone too */
	uint32_t below;		/* blocks of that request that come after it */
	uint8_t asked_kind, asked_age;	/* what it was before that */
	uint8_t kind, age, has_parent, has_child, tip_kind;
};

enum auto_from {		/* what a request goes on from */
	FROM_NOTHING,		/* or from little */
	FROM_MANY,		/* a prefix that many share and that is more than half of it */
	FROM_TURN,		/* a conversation's first or second request */
	FROM_TURNS		/* a later one */
};

#define AUTO_TIP_MAX 64	/* longer ones are not looked for */

struct learner {
	struct policy p;
	struct hazard h;
	struct mark *marks;		/* of each slot */
	uint32_t marks_room;
	uint32_t *before;		/* uses of the present request's blocks before it */
	uint32_t before_room;
	uint32_t depth;			/* blocks of the present request that were known */
	enum auto_from from;		/* the present request */
	uint32_t tip;			/* so many blocks at the end of a request are its tip */
	uint32_t left[AUTO_TIP_MAX + 1];	/* how often one that went on left behind so many */
	uint32_t lefts;			/* sum of those */
	uint64_t now;			/* requests before the present one */
	uint64_t end;			/* the same with it, from when it has been looked up */
	uint64_t refs, learn_at;	/* references so far; of which to learn again */
	uint64_t untold;		/* key of the ghost whose parent comes in after it left */
	uint64_t look_at[HAZARD_AGES];	/* when to look for blocks that outgrow the class */
	uint64_t ghosts, ghosts_at[HAZARD_AGES];
	struct queue cells[2][HAZARD_KINDS][HAZARD_AGES];	/* residents; ghosts */
	uint16_t order[HAZARD_KINDS * HAZARD_AGES];	/* resident cells, lowest index first */
	uint16_t place[HAZARD_KINDS * HAZARD_AGES];	/* of a cell in order[] */
	int16_t step[HAZARD_KINDS * HAZARD_AGES];	/* of each cell's index; equals are ties */
	uint8_t waits[HAZARD_KINDS * HAZARD_AGES];	/* of a cell: worth more later */
	uint64_t busy[HAZARD_KINDS * HAZARD_AGES / 64 + 1];	/* bit i: order[i] in use */
};

/* Into, out of and between the cells (auto_cells.c). */
void cells_open(struct learner *l);
void cells_enter(struct learner *l, uint32_t at);
void cells_leave(struct learner *l, uint32_t at, uint64_t when);
void cells_age(struct learner *l, uint64_t now);	/* blocks that outgrow it by now move on */
void cells_age_one(struct learner *l, uint32_t at, uint64_t now);	/* the same of one */
void cells_learn(struct learner *l);	/* new index, new order */
uint32_t cells_worst(const struct learner *l);	/* the resident to evict */
uint32_t cells_oldest_ghost(const struct learner *l);

/* Kind of a block with so many uses, the present one included. */
int auto_kind(uint32_t uses, enum auto_from from, int tip);
#define AUTO_BODIES 10			/* kinds of blocks that are no tips; then the tips */
#define AUTO_LEFT (2 * AUTO_BODIES)	/* left behind */

/* Batch (auto_plan.c). */
int auto_scores(double *score, const struct plan_entry *v, size_t n,
	const struct plan_want *w, struct err *e);

#endif
