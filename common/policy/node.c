#include <stdlib.h>

#include "policy/node.h"

#define NODE_FIRST 1024

static int
grow(struct policy *p, struct err *e)
{
	uint64_t room = p->room ? (uint64_t)p->room * 2 : NODE_FIRST;
	struct node *bigger;

	if (room >= NODE_NONE)
		return err_set(e, ERR_FAILED, "policy: more than 4 billion records");
	bigger = realloc(p->nodes, room * sizeof(*bigger));
	if (!bigger)
		return err_sys(e, "realloc");
	p->nodes = bigger;
	p->room = (uint32_t)room;
	return 0;
}

uint32_t
node_new(struct policy *p, uint32_t i, struct err *e)
{
	uint32_t at = p->free;

	if (at != NODE_NONE) {
		p->free = p->nodes[at].next;
	} else {
		if (p->fresh == p->room && grow(p, e) < 0)
			return NODE_NONE;
		at = p->fresh++;
	}
	if (map_put(&p->map, p->req->keys[i], at) < 0) {
		err_set(e, ERR_FAILED, "policy: no memory, or a dense key too large");
		return NODE_NONE;
	}
	p->nodes[at] = (struct node){ .key = p->req->keys[i], .bytes = node_bytes(p, i),
		.prev = NODE_NONE, .next = NODE_NONE };
	p->used += p->nodes[at].bytes;
	p->count++;
	return at;
}

void
node_evict(struct policy *p, uint32_t at)
{
	struct node *n = &p->nodes[at];

	n->ghost = 1;
	p->used -= n->bytes;
	p->count--;
	if (p->o.evicted)
		p->o.evicted(p->o.ctx, n->key, n->bytes);
}

void
node_revive(struct policy *p, uint32_t at, uint32_t i)
{
	struct node *n = &p->nodes[at];

	n->ghost = 0;
	n->bytes = node_bytes(p, i);
	p->used += n->bytes;
	p->count++;
}

void
node_forget(struct policy *p, uint32_t at)
{
	map_del(&p->map, p->nodes[at].key);
	p->nodes[at].next = p->free;
	p->free = at;
}

void
node_drop(struct policy *p, uint32_t at)
{
	node_evict(p, at);
	node_forget(p, at);
}

const struct policy_attr *
node_attr(const struct policy *p, uint32_t i)
{
	static const struct policy_attr none;

	return p->req->attr ? &p->req->attr[i] : &none;
}

int
node_too_big(struct policy *p, uint32_t i)
{
	uint64_t bytes = node_bytes(p, i);

	if (bytes <= p->o.capacity)
		return 0;
	if (p->o.evicted)
		p->o.evicted(p->o.ctx, p->req->keys[i], bytes);
	return 1;
}

void
node_queue(struct queue *q)
{
	*q = (struct queue){ .head = NODE_NONE, .tail = NODE_NONE };
}

void
node_push(struct policy *p, struct queue *q, uint32_t at)
{
	struct node *n = &p->nodes[at];

	n->prev = NODE_NONE;
	n->next = q->head;
	if (q->head != NODE_NONE)
		p->nodes[q->head].prev = at;
	else
		q->tail = at;
	q->head = at;
	q->bytes += n->bytes;
	q->n++;
}

void
node_unlink(struct policy *p, struct queue *q, uint32_t at)
{
	struct node *n = &p->nodes[at];

	if (n->prev != NODE_NONE)
		p->nodes[n->prev].next = n->next;
	else
		q->head = n->next;
	if (n->next != NODE_NONE)
		p->nodes[n->next].prev = n->prev;
	else
		q->tail = n->prev;
	q->bytes -= n->bytes;
	q->n--;
}

uint32_t
node_pop(struct policy *p, struct queue *q)
{
	uint32_t at = q->tail;

	if (at != NODE_NONE)
		node_unlink(p, q, at);
	return at;
}

void
node_behind(struct policy *p, struct queue *q, uint32_t at, uint32_t up)
{
	struct node *n = &p->nodes[at];

	node_unlink(p, q, at);
	n->prev = up;
	n->next = p->nodes[up].next;
	p->nodes[up].next = at;
	if (n->next != NODE_NONE)
		p->nodes[n->next].prev = at;
	else
		q->tail = at;
	q->bytes += n->bytes;
	q->n++;
}

void
node_renew(struct policy *p, struct queue *q, uint32_t at)
{
	if (q->head == at)
		return;
	node_unlink(p, q, at);
	node_push(p, q, at);
}
