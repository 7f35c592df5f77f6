#include <string.h>

#include "wire/proto.h"

static void
put_u8(struct buf *b, uint8_t v)
{
	buf_add(b, &v, 1);
}

static void
put_u16(struct buf *b, uint16_t v)
{
	unsigned char x[2];

	put_le16(x, v);
	buf_add(b, x, 2);
}

static void
put_u32(struct buf *b, uint32_t v)
{
	unsigned char x[4];

	put_le32(x, v);
	buf_add(b, x, 4);
}

static void
put_u64(struct buf *b, uint64_t v)
{
	unsigned char x[8];

	put_le64(x, v);
	buf_add(b, x, 8);
}

static void
put_text(struct buf *b, const char *s)
{
	size_t n = strlen(s);

	put_u16(b, (uint16_t)n);
	buf_add(b, s, n);
}

/* A message's head with its length still open; returns where it is. */
static size_t
begin(struct buf *b, enum wire_type t)
{
	size_t at = b->len;

	put_u32(b, t);
	put_u32(b, 0);
	return at;
}

static void
end(struct buf *b, size_t at)
{
	if (!b->fail)
		put_le32(b->p + at + 4, (uint32_t)(b->len - at - WIRE_HEAD));
}

void
wire_put_hello(struct buf *b, const struct wire_hello *h)
{
	size_t at = begin(b, WIRE_HELLO);

	put_u32(b, h->flags);
	put_u32(b, h->transports);
	put_u32(b, h->lanes);
	put_u32(b, h->window);
	put_u64(b, h->chunk_max);
	buf_add(b, h->run, sizeof(h->run));
	put_text(b, h->host);
	end(b, at);
}

void
wire_put_verdict(struct buf *b, enum wire_type t, const struct wire_verdict *v)
{
	size_t at = begin(b, t);

	put_u32(b, v->id);
	put_u8(b, v->state);
	put_u8(b, v->kind);
	put_text(b, v->text);
	end(b, at);
}

void
wire_put_try(struct buf *b, enum transport t, unsigned lanes)
{
	size_t at = begin(b, WIRE_TRY);

	put_u32(b, (uint32_t)t);
	put_u32(b, lanes);
	end(b, at);
}

void
wire_put_ticket(struct buf *b, const unsigned char token[FABRIC_TOKEN], const void *ticket,
	size_t n)
{
	size_t at = begin(b, WIRE_TICKET);

	buf_add(b, token, FABRIC_TOKEN);
	buf_add(b, ticket, n);
	end(b, at);
}

void
wire_add_offer(struct buf *b, const struct wire_offer *o)
{
	put_u64(b, o->size);
	put_u32(b, o->region);
	buf_add(b, o->digest.b, sizeof(o->digest.b));
	buf_add(b, o->seal.b, sizeof(o->seal.b));
	put_text(b, o->name);
}

size_t
wire_begin_offers(struct buf *b, uint32_t first)
{
	size_t at = begin(b, WIRE_OFFERS);

	put_u32(b, first);
	put_u32(b, 0);
	return at;
}

void
wire_end_offers(struct buf *b, size_t at, uint32_t n)
{
	if (!b->fail)
		put_le32(b->p + at + WIRE_HEAD + 4, n);
	end(b, at);
}

void
wire_put_chunk(struct buf *b, uint32_t id, const struct wire_offer *o)
{
	size_t at = begin(b, WIRE_CHUNK);

	put_u32(b, id);
	wire_add_offer(b, o);
	if (!b->fail)
		put_le32(b->p + at + 4, (uint32_t)(b->len - at - WIRE_HEAD + o->size));
}

void
wire_put_answers(struct buf *b, uint32_t first, uint32_t n, const unsigned char *want)
{
	unsigned char bits[WIRE_OFFERS_MAX / 8] = { 0 };
	size_t at = begin(b, WIRE_ANSWERS);
	uint32_t i;

	for (i = 0; i < n; i++)
		if (want[i])
			bits[i / 8] |= (unsigned char)(1u << i % 8);
	put_u32(b, first);
	put_u32(b, n);
	buf_add(b, bits, (n + 7) / 8);
	end(b, at);
}

void
wire_put_grant(struct buf *b, uint32_t id, const void *grant, size_t n)
{
	size_t at = begin(b, WIRE_GRANT);

	put_u32(b, id);
	buf_add(b, grant, n);
	end(b, at);
}

void
wire_put_totals(struct buf *b, const struct wire_totals *t)
{
	const uint64_t all[] = { t->offered, t->offered_bytes, t->had, t->had_bytes, t->sent,
	    t->sent_bytes, t->failed, t->again, t->reconnects, t->fallbacks, t->prepare_us,
	    t->wire_us, t->settle_us };
	size_t i, at = begin(b, WIRE_TOTALS);

	for (i = 0; i < sizeof(all) / sizeof(*all); i++)
		put_u64(b, all[i]);
	end(b, at);
}

void
wire_put_lost(struct buf *b, uint32_t lane, const uint32_t *ids, uint32_t n)
{
	size_t at = begin(b, WIRE_LOST);
	uint32_t i;

	put_u32(b, lane);
	put_u32(b, n);
	for (i = 0; i < n; i++)
		put_u32(b, ids[i]);
	end(b, at);
}

void
wire_put_empty(struct buf *b, enum wire_type t)
{
	end(b, begin(b, t));
}

/* What is left of a body; a read past the end is sticky, as in base/buf. */
struct cut {
	const unsigned char *p;
	size_t n;
	int fail;
};

static const unsigned char *
take(struct cut *c, size_t n)
{
	const unsigned char *p = c->p;

	if (c->fail || c->n < n) {
		c->fail = 1;
		return NULL;
	}
	c->p += n;
	c->n -= n;
	return p;
}

static uint32_t
take_u32(struct cut *c)
{
	const unsigned char *p = take(c, 4);

	return p ? get_le32(p) : 0;
}

static uint64_t
take_u64(struct cut *c)
{
	const unsigned char *p = take(c, 8);

	return p ? get_le64(p) : 0;
}

static uint8_t
take_u8(struct cut *c)
{
	const unsigned char *p = take(c, 1);

	return p ? *p : 0;
}

static void
take_bytes(struct cut *c, void *out, size_t n)
{
	const unsigned char *p = take(c, n);

	if (p)
		memcpy(out, p, n);
}

/* A text of less than cap bytes without control characters. */
static void
take_text(struct cut *c, char *out, size_t cap)
{
	const unsigned char *p = take(c, 2);
	size_t i, n = p ? get_le16(p) : 0;

	*out = '\0';
	p = take(c, n);
	if (!p || n >= cap) {
		c->fail = 1;
		return;
	}
	for (i = 0; i < n; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f)
			c->fail = 1;
		out[i] = (char)p[i];
	}
	out[n] = '\0';
}

static struct cut
body(const struct wire_msg *m)
{
	return (struct cut){ (const unsigned char *)m->body.p, m->len, 0 };
}

static int
whole(const struct cut *c, const char *what, struct err *e)
{
	if (c->fail)
		return err_set(e, ERR_CORRUPT, "%s message: too short or malformed", what);
	if (c->n)
		return err_set(e, ERR_CORRUPT, "%s message: %zu bytes too long", what, c->n);
	return 0;
}

int
wire_get_head(struct wire_msg *m, const unsigned char head[WIRE_HEAD], size_t max,
	struct err *e)
{
	uint32_t type = get_le32(head);

	m->len = get_le32(head + 4);
	if (type < WIRE_HELLO || type >= WIRE_TYPES)
		return err_set(e, ERR_CORRUPT, "message of unknown type %u", type);
	if (m->len > max)
		return err_set(e, ERR_CORRUPT, "message of %u bytes: the limit is %zu", m->len,
		    max);
	m->type = (uint8_t)type;
	return 0;
}

int
wire_get_hello(struct wire_hello *h, const struct wire_msg *m, struct err *e)
{
	struct cut c = body(m);

	memset(h, 0, sizeof(*h));
	h->flags = take_u32(&c);
	h->transports = take_u32(&c);
	h->lanes = take_u32(&c);
	h->window = take_u32(&c);
	h->chunk_max = take_u64(&c);
	take_bytes(&c, h->run, sizeof(h->run));
	take_text(&c, h->host, sizeof(h->host));
	if (whole(&c, "hello", e) < 0)
		return -1;
	if (h->lanes < 1 || h->lanes > FABRIC_LANES || h->window < 1)
		return err_set(e, ERR_CORRUPT, "hello message: %u lanes, %u offers", h->lanes,
		    h->window);
	if (h->window > WIRE_WINDOW)
		h->window = WIRE_WINDOW;
	return 0;
}

int
wire_get_verdict(struct wire_verdict *v, const struct wire_msg *m, struct err *e)
{
	struct cut c = body(m);

	memset(v, 0, sizeof(*v));
	v->id = take_u32(&c);
	v->state = take_u8(&c);
	v->kind = take_u8(&c);
	take_text(&c, v->text, sizeof(v->text));
	if (v->kind >= ERR_KINDS || v->state > WIRE_ABORTED)
		c.fail = 1;
	return whole(&c, "verdict", e);
}

int
wire_get_try(enum transport *t, unsigned *lanes, const struct wire_msg *m, struct err *e)
{
	struct cut c = body(m);
	uint32_t which = take_u32(&c);

	*lanes = take_u32(&c);
	*t = (enum transport)which;
	if (which >= TRANSPORT_COUNT || *lanes < 1 || *lanes > FABRIC_LANES)
		c.fail = 1;
	return whole(&c, "transport", e);
}

int
wire_get_ticket(unsigned char token[FABRIC_TOKEN], const void **ticket, size_t *n,
	const struct wire_msg *m, struct err *e)
{
	struct cut c = body(m);

	take_bytes(&c, token, FABRIC_TOKEN);
	*n = c.n;
	if (c.n > FABRIC_TICKET)
		c.fail = 1;
	*ticket = take(&c, c.n);
	return whole(&c, "ticket", e);
}

static void
take_offer(struct cut *c, struct wire_offer *o)
{
	memset(o, 0, sizeof(*o));
	o->size = take_u64(c);
	o->region = take_u32(c);
	take_bytes(c, o->digest.b, sizeof(o->digest.b));
	take_bytes(c, o->seal.b, sizeof(o->seal.b));
	take_text(c, o->name, sizeof(o->name));
}

int
wire_get_offers(const struct wire_msg *m, uint32_t *first, uint32_t *n,
	int (*each)(void *ctx, uint32_t id, const struct wire_offer *o, struct err *e),
	void *ctx, struct err *e)
{
	struct cut c = body(m);
	struct wire_offer o;
	uint32_t i;

	*first = take_u32(&c);
	*n = take_u32(&c);
	if (c.fail || *n < 1 || *n > WIRE_OFFERS_MAX)
		return err_set(e, ERR_CORRUPT, "offers message: %u offers", *n);
	for (i = 0; i < *n; i++) {
		take_offer(&c, &o);
		if (c.fail)
			break;
		if (each(ctx, *first + i, &o, e) < 0)
			return -1;
	}
	return whole(&c, "offers", e);
}

int
wire_get_chunk(uint32_t *id, struct wire_offer *o, const unsigned char **bytes,
	const struct wire_msg *m, struct err *e)
{
	struct cut c = body(m);

	*id = take_u32(&c);
	take_offer(&c, o);
	if (o->size > WIRE_CHUNK_MAX || o->region > o->size)
		c.fail = 1;
	*bytes = take(&c, (size_t)o->size);
	return whole(&c, "chunk", e);
}

int
wire_get_answers(uint32_t *first, uint32_t *n, const unsigned char **bits,
	const struct wire_msg *m, struct err *e)
{
	struct cut c = body(m);

	*first = take_u32(&c);
	*n = take_u32(&c);
	if (*n < 1 || *n > WIRE_OFFERS_MAX)
		c.fail = 1;
	*bits = take(&c, ((size_t)*n + 7) / 8);
	return whole(&c, "answers", e);
}

int
wire_get_grant(uint32_t *id, const unsigned char **grant, size_t *n, const struct wire_msg *m,
	struct err *e)
{
	struct cut c = body(m);

	*id = take_u32(&c);
	*n = c.n;
	if (c.n > FABRIC_GRANT)
		c.fail = 1;
	*grant = take(&c, c.n);
	return whole(&c, "grant", e);
}

int
wire_get_totals(struct wire_totals *t, const struct wire_msg *m, struct err *e)
{
	struct cut c = body(m);

	t->offered = take_u64(&c);
	t->offered_bytes = take_u64(&c);
	t->had = take_u64(&c);
	t->had_bytes = take_u64(&c);
	t->sent = take_u64(&c);
	t->sent_bytes = take_u64(&c);
	t->failed = take_u64(&c);
	t->again = take_u64(&c);
	t->reconnects = take_u64(&c);
	t->fallbacks = take_u64(&c);
	t->prepare_us = take_u64(&c);
	t->wire_us = take_u64(&c);
	t->settle_us = take_u64(&c);
	return whole(&c, "totals", e);
}

int
wire_get_empty(const struct wire_msg *m, struct err *e)
{
	return m->body.len ? err_set(e, ERR_CORRUPT, "ping of %zu bytes", m->body.len) : 0;
}

int
wire_get_lost(uint32_t *lane, uint32_t ids[WIRE_WINDOW], uint32_t *n, const struct wire_msg *m,
	struct err *e)
{
	struct cut c = body(m);
	uint32_t i;

	*lane = take_u32(&c);
	*n = take_u32(&c);
	if (*lane >= FABRIC_LANES || *n > WIRE_WINDOW)
		c.fail = 1;
	for (i = 0; !c.fail && i < *n; i++)
		ids[i] = take_u32(&c);
	return whole(&c, "lost lane", e);
}
