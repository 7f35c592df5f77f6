#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "kvstat/sim.h"

#define SMALL (1u << 22)	/* names below it need no hashing; untouched room costs nothing */

int
sim_trace_open(struct sim_trace *t, struct err *e)
{
	memset(t, 0, sizeof(*t));
	t->first = calloc(1, sizeof(*t->first));
	t->small = calloc(SMALL, sizeof(*t->small));
	if (!t->first || !t->small || map_open(&t->ids, 0) < 0)
		return err_sys(e, "trace");
	return 0;
}

void
sim_trace_close(struct sim_trace *t)
{
	free(t->keys);
	free(t->first);
	free(t->time_s);
	free(t->tokens);
	free(t->small);
	map_close(&t->ids);
}

int
sim_trace_key(struct sim_trace *t, uint64_t name, struct err *e)
{
	uint32_t id = name < SMALL ? t->small[name] - 1 : map_get(&t->ids, name);

	if (id == MAP_NONE) {
		if (t->distinct >= MAP_NONE - 1)
			return err_set(e, ERR_USAGE, "trace: more than 4 billion blocks");
		id = (uint32_t)t->distinct++;
		if (name < SMALL)
			t->small[name] = id + 1;
		else if (map_put(&t->ids, name, id) < 0)
			return err_sys(e, "trace");
	}
	if (t->n_refs == t->room_refs) {
		size_t room = t->room_refs ? t->room_refs * 2 : 4096;
		uint64_t *more = realloc(t->keys, room * sizeof(*more));

		if (!more)
			return err_sys(e, "trace");
		t->keys = more;
		t->room_refs = room;
	}
	t->keys[t->n_refs++] = id;
	return 0;
}

static int
grow(struct sim_trace *t, struct err *e)
{
	size_t room = t->room ? t->room * 2 : 1024;
	size_t *first = realloc(t->first, (room + 1) * sizeof(*first));
	double *time_s;
	uint64_t *tokens;

	if (first)
		t->first = first;
	time_s = realloc(t->time_s, room * sizeof(*time_s));
	if (time_s)
		t->time_s = time_s;
	tokens = realloc(t->tokens, room * sizeof(*tokens));
	if (tokens)
		t->tokens = tokens;
	if (!first || !time_s || !tokens)
		return err_sys(e, "trace");
	t->room = room;
	return 0;
}

int
sim_trace_end(struct sim_trace *t, double time_s, uint64_t tokens, struct err *e)
{
	size_t blocks = t->n_refs - t->first[t->n];

	if (t->n == t->room && grow(t, e) < 0)
		return -1;
	if (!tokens)
		tokens = blocks * t->block_tokens;
	t->time_s[t->n] = time_s;
	t->tokens[t->n] = tokens;
	t->total_tokens += tokens;
	t->first[++t->n] = t->n_refs;
	return 0;
}

uint64_t
sim_trace_prefix(const struct sim_trace *t, size_t request, uint64_t n)
{
	uint64_t tokens = n * t->block_tokens;

	return tokens < t->tokens[request] ? tokens : t->tokens[request];
}

struct arrival {
	double time_s;
	size_t request;
};

static int
arrival_cmp(const void *pa, const void *pb)
{
	const struct arrival *a = pa, *b = pb;

	if (a->time_s != b->time_s)
		return a->time_s < b->time_s ? -1 : 1;
	return a->request < b->request ? -1 : a->request > b->request;
}

static void
copy_in_order(struct sim_trace *to, const struct sim_trace *from, const struct arrival *order)
{
	for (size_t i = 0; i < from->n; i++) {
		size_t r = order[i].request, n = from->first[r + 1] - from->first[r];

		memcpy(to->keys + to->n_refs, from->keys + from->first[r], n * sizeof(*to->keys));
		to->n_refs += n;
		to->time_s[i] = from->time_s[r];
		to->tokens[i] = from->tokens[r];
		to->first[i + 1] = to->n_refs;
	}
}

int
sim_trace_sort(struct sim_trace *t, struct err *e)
{
	struct arrival *order = malloc((t->n + 1) * sizeof(*order));
	struct sim_trace s = *t;
	int r = -1;

	s.n_refs = 0;
	s.keys = malloc((t->n_refs + 1) * sizeof(*s.keys));
	s.first = calloc(t->room + 1, sizeof(*s.first));
	s.time_s = malloc((t->room + 1) * sizeof(*s.time_s));
	s.tokens = malloc((t->room + 1) * sizeof(*s.tokens));
	if (order && s.keys && s.first && s.time_s && s.tokens) {
		for (size_t i = 0; i < t->n; i++)
			order[i] = (struct arrival){ t->time_s[i], i };
		qsort(order, t->n, sizeof(*order), arrival_cmp);
		copy_in_order(&s, t, order);
		s.room_refs = t->n_refs + 1;
		r = 0;
	}
	free(order);
	if (r == 0) {
		struct sim_trace old = *t;

		*t = s;
		s = old;
	}
	free(s.keys);
	free(s.first);
	free(s.time_s);
	free(s.tokens);
	return r < 0 ? err_sys(e, "trace") : 0;
}
