#include <stdlib.h>
#include <string.h>

#include "base/huge.h"
#include "trace/trace.h"

#define FIRST_REFS (1u << 19)	/* a huge page; untouched room costs nothing */

int
trace_open(struct trace *t, struct err *e)
{
	memset(t, 0, sizeof(*t));
	t->requests = calloc(1, sizeof(*t->requests));
	t->small = huge_alloc(TRACE_SMALL * sizeof(*t->small));
	if (!t->requests || !t->small || map_open(&t->names, 0) < 0)
		return err_sys(e, "trace");
	return 0;
}

void
trace_close(struct trace *t)
{
	huge_free(t->ids, t->room_refs * sizeof(*t->ids));
	huge_free(t->small, TRACE_SMALL * sizeof(*t->small));
	free(t->requests);
	map_close(&t->names);
}

uint32_t
trace_new_name(struct trace *t, uint64_t name, struct err *e)
{
	uint32_t id = (uint32_t)t->distinct;

	if (t->distinct >= MAP_NONE - 1) {
		err_set(e, ERR_USAGE, "trace: more than 4 billion blocks");
		return MAP_NONE;
	}
	if (name < TRACE_SMALL) {
		t->small[name] = id + 1;
	} else if (map_put(&t->names, name, id) < 0) {
		err_sys(e, "trace");
		return MAP_NONE;
	}
	t->distinct++;
	return id;
}

int
trace_room(struct trace *t, size_t refs, struct err *e)
{
	size_t room = t->room_refs ? t->room_refs : FIRST_REFS;
	uint32_t *more;

	if (t->n_refs + refs <= t->room_refs)
		return 0;
	if (t->n_refs + refs >= UINT32_MAX)
		return err_set(e, ERR_USAGE, "trace: more than 4 billion references");
	while (room < t->n_refs + refs)
		room *= 2;
	more = huge_grow(t->ids, t->room_refs * sizeof(*more), room * sizeof(*more));
	if (!more)
		return err_sys(e, "trace");
	t->ids = more;
	t->room_refs = room;
	return 0;
}

int
trace_add(struct trace *t, uint64_t name, struct err *e)
{
	uint32_t id;

	if (trace_room(t, 1, e) < 0)
		return -1;
	id = trace_number(t, name, e);
	if (id == MAP_NONE)
		return -1;
	t->ids[t->n_refs++] = id;
	return 0;
}

static int
grow(struct trace *t, struct err *e)
{
	size_t room = t->room ? t->room * 2 : 1024;
	struct trace_request *more = realloc(t->requests, (room + 1) * sizeof(*more));

	if (!more)
		return err_sys(e, "trace");
	t->requests = more;
	t->room = room;
	return 0;
}

int
trace_end(struct trace *t, double time_s, uint64_t tokens, struct err *e)
{
	struct trace_request *r;

	if (t->n == t->room && grow(t, e) < 0)
		return -1;
	r = &t->requests[t->n];
	if (!tokens)
		tokens = (t->n_refs - r->first) * t->block_tokens;
	if (tokens > UINT32_MAX)
		return err_set(e, ERR_CORRUPT, "a prompt of more than 4 billion tokens");
	r->time_s = time_s;
	r->tokens = (uint32_t)tokens;
	t->total_tokens += tokens;
	t->n++;
	r[1] = (struct trace_request){ .first = (uint32_t)t->n_refs };
	return 0;
}

uint64_t
trace_prefix(const struct trace *t, size_t request, uint64_t n)
{
	uint64_t tokens = n * t->block_tokens;

	return tokens < t->requests[request].tokens ? tokens : t->requests[request].tokens;
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
copy_in_order(struct trace *to, const struct trace *from, const struct arrival *order)
{
	to->n_refs = 0;
	for (size_t i = 0; i < from->n; i++) {
		const struct trace_request *r = &from->requests[order[i].request];
		uint32_t n = r[1].first - r->first;

		memcpy(to->ids + to->n_refs, from->ids + r->first, n * sizeof(*to->ids));
		to->requests[i] = *r;
		to->requests[i].first = (uint32_t)to->n_refs;
		to->n_refs += n;
	}
	to->requests[from->n].first = (uint32_t)to->n_refs;
}

int
trace_sort(struct trace *t, struct err *e)
{
	struct arrival *order;
	struct trace s = *t;
	int r = -1;

	if (!t->n_refs)
		return 0;
	order = malloc((t->n + 1) * sizeof(*order));
	s.ids = huge_alloc(t->room_refs * sizeof(*s.ids));
	s.requests = calloc(t->room + 1, sizeof(*s.requests));
	if (order && s.ids && s.requests) {
		for (size_t i = 0; i < t->n; i++)
			order[i] = (struct arrival){ t->requests[i].time_s, i };
		qsort(order, t->n, sizeof(*order), arrival_cmp);
		copy_in_order(&s, t, order);
		r = 0;
	}
	free(order);
	if (r == 0) {
		struct trace old = *t;

		*t = s;
		s = old;
	}
	huge_free(s.ids, t->room_refs * sizeof(*s.ids));
	free(s.requests);
	return r < 0 ? err_sys(e, "trace") : 0;
}
