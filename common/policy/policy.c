#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "policy/node.h"
#include "policy/policies.h"

/* The whole registry. */
static const struct policy_ops *const policies[] = {
	&policy_auto, &policy_lru, &policy_fifo, &policy_lfu, &policy_s3fifo, &policy_sieve,
	&policy_lru2, &policy_arc, &policy_2q, &policy_w_tinylfu, &policy_gdsf, &policy_cost,
	&policy_length_aware, &policy_priority, &policy_size, &policy_ttl,
	&policy_quota,
};

#define POLICIES (sizeof(policies) / sizeof(policies[0]))

const struct policy_ops *
policy_at(size_t i)
{
	return i < POLICIES ? policies[i] : NULL;
}

const struct policy_ops *
policy_find(const char *name, struct err *e)
{
	struct buf names = { 0 };

	for (size_t i = 0; i < POLICIES; i++)
		if (!strcmp(policies[i]->name, name))
			return policies[i];
	for (size_t i = 0; i < POLICIES; i++)
		buf_printf(&names, "%s%s", i ? " " : "", policies[i]->name);
	err_set(e, ERR_USAGE, "policy '%s': not one of %s", name,
		names.fail ? "ours" : buf_text(&names));
	buf_free(&names);
	return NULL;
}

const char *
policy_name(const struct policy_ops *ops)
{
	return ops->name;
}

const char *
policy_about(const struct policy_ops *ops)
{
	return ops->about;
}

unsigned
policy_needs(const struct policy_ops *ops)
{
	return ops->needs;
}

int
policy_tail_first(const struct policy_ops *ops)
{
	return ops->tail_first;
}

int
policy_open(struct policy **out, const struct policy_ops *ops,
	const struct policy_options *o, struct err *e)
{
	struct policy *p;

	*out = NULL;
	if (!o->capacity)
		return err_set(e, ERR_USAGE, "policy '%s': a capacity of 0", ops->name);
	p = calloc(1, ops->state);
	if (!p)
		return err_sys(e, "calloc");
	p->ops = ops;
	p->o = *o;
	p->free = NODE_NONE;
	if (!ops->own_records && map_open(&p->map, o->dense) < 0) {
		err_sys(e, "policy '%s'", ops->name);
		goto fail;
	}
	if (ops->open && ops->open(p, e) < 0)
		goto fail;
	*out = p;
	return 0;
fail:
	policy_close(p);
	return -1;
}

void
policy_close(struct policy *p)
{
	if (!p)
		return;
	if (p->ops->close)
		p->ops->close(p);
	map_close(&p->map);
	free(p->nodes);
	free(p);
}

int
policy_begin(struct policy *p, const struct policy_request *r, struct err *e)
{
	p->req = r;
	return p->ops->begin ? p->ops->begin(p, e) : 0;
}

int
policy_access(struct policy *p, uint32_t i, struct err *e)
{
	p->tick++;
	return p->ops->access(p, i, map_get(&p->map, p->req->keys[i]), e);
}

int
policy_replay(struct policy *p, const struct policy_request *r, int tail,
	struct policy_found *f, struct err *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n; i++)
		map_soon(&p->map, r->keys[i]);
	if (p->ops->replay) {
		p->req = r;
		return p->ops->replay(p, tail, f, e);
	}
	while (n < r->n && policy_has(p, r->keys[n]))
		n++;
	f->prefix += n;
	if (policy_begin(p, r, e) < 0)
		return -1;
	for (uint32_t i = 0; i < r->n; i++) {
		int hit = policy_access(p, tail ? r->n - 1 - i : i, e);

		if (hit < 0)
			return -1;
		f->hits += (unsigned)hit;
	}
	return 0;
}

int
policy_has(const struct policy *p, uint64_t key)
{
	uint32_t at;

	if (p->ops->has)
		return p->ops->has(p, key);
	at = map_get(&p->map, key);
	return at != MAP_NONE && !p->nodes[at].ghost;
}

uint64_t
policy_used(const struct policy *p)
{
	return p->used;
}

uint64_t
policy_count(const struct policy *p)
{
	return p->count;
}

uint64_t
policy_records(const struct policy *p)
{
	return p->ops->own_records ? p->count : p->map.n;
}
