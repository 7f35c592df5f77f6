#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/proto.h"

/* Every message of kvwire(5), both ways: head and body from a stranger. What decodes encodes
 * to the same bytes again. */

static int
each_offer(void *ctx, uint32_t id, const struct wire_offer *o, struct err *e)
{
	(void)id;
	(void)e;
	wire_add_offer(ctx, o);
	return 0;
}

static void
same(const struct buf *again, const struct wire_msg *m)
{
	if (!again->fail && (again->len != m->len + WIRE_HEAD ||
	    memcmp(again->p + WIRE_HEAD, m->body.p, m->len) != 0))
		abort();
}

static void
decode_more(struct wire_msg *m, struct buf *b)
{
	unsigned char token[FABRIC_TOKEN];
	const unsigned char *bits, *grant;
	struct wire_totals totals;
	uint32_t ids[WIRE_WINDOW];
	struct wire_offer offer;
	const void *ticket;
	uint32_t first, n;
	struct err e;
	size_t at, len;

	switch (m->type) {
	case WIRE_TICKET:
		if (wire_get_ticket(token, &ticket, &len, m, &e) == 0) {
			wire_put_ticket(b, token, ticket, len);
			same(b, m);
		}
		break;
	case WIRE_OFFERS:
		at = wire_begin_offers(b, m->len >= 4 ? get_le32(m->body.p) : 0);
		if (wire_get_offers(m, &first, &n, each_offer, b, &e) == 0) {
			wire_end_offers(b, at, n);
			same(b, m);
		}
		break;
	case WIRE_CHUNK:
		if (wire_get_chunk(&first, &offer, &bits, m, &e) == 0) {
			wire_put_chunk(b, first, &offer);
			buf_add(b, bits, (size_t)offer.size);
			same(b, m);
		}
		break;
	case WIRE_ANSWERS:
		if (wire_get_answers(&first, &n, &bits, m, &e) == 0 && (size_t)(n + 7) / 8 != m->len - 8)
			abort();
		break;
	case WIRE_GRANT:
		if (wire_get_grant(&first, &grant, &len, m, &e) == 0) {
			wire_put_grant(b, first, grant, len);
			same(b, m);
		}
		break;
	case WIRE_LOST:
		if (wire_get_lost(&first, ids, &n, m, &e) == 0) {
			wire_put_lost(b, first, ids, n);
			same(b, m);
		}
		break;
	case WIRE_TOTALS:
		if (wire_get_totals(&totals, m, &e) == 0) {
			wire_put_totals(b, &totals);
			same(b, m);
		}
		break;
	}
}

static void
decode(struct wire_msg *m, struct buf *b)
{
	struct wire_verdict verdict;
	struct wire_hello hello;
	enum transport t;
	unsigned lanes;
	struct err e;

	switch (m->type) {
	case WIRE_HELLO:
		if (wire_get_hello(&hello, m, &e) == 0 && get_le32(m->body.p + 12) <= WIRE_WINDOW) {
			wire_put_hello(b, &hello);
			same(b, m);
		}
		break;
	case WIRE_TRY:
		if (wire_get_try(&t, &lanes, m, &e) == 0) {
			wire_put_try(b, t, lanes);
			same(b, m);
		}
		break;
	case WIRE_REFUSE:
	case WIRE_LANES:
	case WIRE_DONE:
	case WIRE_GIVE_UP:
	case WIRE_END:
	case WIRE_BYE:
		if (wire_get_verdict(&verdict, m, &e) == 0) {
			wire_put_verdict(b, (enum wire_type)m->type, &verdict);
			same(b, m);
		}
		break;
	default:
		decode_more(m, b);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct wire_msg m = { 0 };
	struct buf b = { 0 };
	struct err e;

	if (n < WIRE_HEAD || wire_get_head(&m, p, WIRE_BODY_MAX, &e) < 0)
		return 0;
	m.len = (uint32_t)(n - WIRE_HEAD);
	/* a block of its own: reading past it is seen */
	m.body.p = malloc(m.len ? m.len : 1);
	if (!m.body.p)
		return 0;
	memcpy(m.body.p, p + WIRE_HEAD, m.len);
	decode(&m, &b);
	free(m.body.p);
	buf_free(&b);
	return 0;
}
