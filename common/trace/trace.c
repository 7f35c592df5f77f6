#include <stdlib.h>
#include <string.h>

#include "base/huge.h"
#include "trace/trace.h"

#define FIRST_REFS (1u << 19)	/* a huge page; untouched room costs nothing */
#define FIRST_REQUESTS (1u << 14)

int
trace_open(struct trace *t, struct err *e)
{
	memset(t, 0, sizeof(*t));
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->more, NULL);
	t->requests = calloc(1, sizeof(*t->requests));
	t->small = huge_alloc(TRACE_SMALL * sizeof(*t->small));
	t->ids = huge_alloc(FIRST_REFS * sizeof(*t->ids));
	t->room_refs = FIRST_REFS;
	if (!t->requests || !t->small || !t->ids || map_open(&t->names, 0) < 0)
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
	pthread_cond_destroy(&t->more);
	pthread_mutex_destroy(&t->lock);
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
	size_t room = t->room_refs;
	uint32_t *more;

	if (t->n_refs + refs <= t->room_refs)
		return 0;
	if (t->n_refs + refs >= UINT32_MAX)
		return err_set(e, ERR_USAGE, "trace: more than 4 billion references");
	while (room < t->n_refs + refs)
		room *= 2;
	pthread_mutex_lock(&t->lock);
	more = huge_grow(t->ids, t->room_refs * sizeof(*more), room * sizeof(*more));
	if (more) {
		t->ids = more;
		t->room_refs = room;
	}
	pthread_mutex_unlock(&t->lock);
	return more ? 0 : err_sys(e, "trace");
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
	size_t room = t->room ? t->room * 2 : FIRST_REQUESTS;
	struct trace_request *more;

	pthread_mutex_lock(&t->lock);
	more = realloc(t->requests, (room + 1) * sizeof(*more));
	if (more) {
		t->requests = more;
		t->room = room;
	}
	pthread_mutex_unlock(&t->lock);
	return more ? 0 : err_sys(e, "trace");
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
put_in_order(struct trace *t, const struct arrival *order, uint32_t *ids,
	struct trace_request *requests)
{
	uint32_t at = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct trace_request *r = &t->requests[order[i].request];

		memcpy(ids + at, t->ids + r->first, trace_blocks(r) * sizeof(*ids));
		requests[i] = *r;
		requests[i].first = at;
		at += trace_blocks(r);
	}
	requests[t->n] = (struct trace_request){ .first = at };
	memcpy(t->ids, ids, at * sizeof(*ids));
	memcpy(t->requests, requests, (t->n + 1) * sizeof(*requests));
	t->n_refs = at;
}

int
trace_sort(struct trace *t, struct err *e)
{
	struct arrival *order = malloc((t->n + 1) * sizeof(*order));
	uint32_t *ids = huge_malloc((t->n_refs + 1) * sizeof(*ids));
	struct trace_request *requests = malloc((t->n + 1) * sizeof(*requests));
	int ok = order && ids && requests;

	if (ok && t->n_refs) {
		for (size_t i = 0; i < t->n; i++)
			order[i] = (struct arrival){ t->requests[i].time_s, i };
		qsort(order, t->n, sizeof(*order), arrival_cmp);
		put_in_order(t, order, ids, requests);
	}
	free(order);
	free(ids);
	free(requests);
	return ok ? 0 : err_sys(e, "trace");
}
