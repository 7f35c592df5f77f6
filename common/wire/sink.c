#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "key/key.h"
#include "wire/sink.h"

struct xfer *
in_xfer(struct in *s, uint32_t id)
{
	struct xfer *x = &s->x[id % WIRE_WINDOW];

	return id - s->base < s->next - s->base && x->state != XFER_FREE ? x : NULL;
}

/* Waking the planner for each chunk costs more than a small one does. */
static void
call_planner(struct in *s)
{
	if ((s->low && s->due <= s->low) || (s->ended && s->base == s->next))
		fate_wake(&s->fate, FATE_TALK);
}

void
in_release(struct in *s, uint32_t id)
{
	struct xfer *x = &s->x[id % WIRE_WINDOW];

	if (x->mem.p)
		s->granted -= x->offer->size;
	if (x->state == XFER_GRANTED)
		s->due -= x->offer->size;
	pool_put(s->opts->pool, &x->mem);
	digest_xxh3_free(x->sum);
	free(x->offer);
	memset(x, 0, sizeof(*x));
	s->open--;
	while (s->base != s->next && s->x[s->base % WIRE_WINDOW].state == XFER_FREE)
		s->base++;
	s->last_move = clock_mono();
	call_planner(s);
	if (s->k->ordered)
		fate_wake(&s->fate, FATE_LANES);
}

void
in_moved(struct in *s)
{
	s->last_data = s->last_move = clock_mono();
	if (s->first_data <= 0)
		s->first_data = s->last_data;
}

void
in_complete(struct in *s, struct xfer *x)
{
	double took = x->asked > 0 ? s->last_data - x->asked : 0;
	uint64_t size = x->offer->size;

	x->state = XFER_COMPLETE;
	s->due -= size;
	s->came += size;
	if (took > 0 && (double)(s->came - x->came) / took > s->rate)
		s->rate = (double)(s->came - x->came) / took;
	call_planner(s);
}

/* Numbers and names from a stranger: what cannot be a chunk is not even considered. */
static int
check_offer(const struct in *s, const struct wire_offer *o, struct err *e)
{
	char size[NUM_TEXT], limit[NUM_TEXT];
	struct key k;

	if (o->region < CHUNK_ALIGN || o->region % CHUNK_ALIGN || o->region > CHUNK_HEADER_MAX ||
	    o->size < o->region || o->size - o->region > CHUNK_PAYLOAD_MAX)
		return err_set(e, ERR_CORRUPT, "offer of %llu bytes with a header of %u",
		    (unsigned long long)o->size, o->region);
	if (o->size > s->opts->chunk_max)
		return err_set(e, ERR_REFUSED, "offer of a chunk of %s: the limit is %s "
		    "(--chunk-max, --mem)", num_size_text(size, o->size),
		    num_size_text(limit, s->opts->chunk_max));
	return key_parse_name(&k, o->name, e) < 0 ? err_in(e, "offer") : 0;
}

static int
take_offer(void *ctx, uint32_t id, const struct wire_offer *o, struct err *e)
{
	struct in *s = ctx;
	struct xfer *x;

	if (id != s->next || s->ended || s->next - s->base >= WIRE_WINDOW)
		return err_set(e, ERR_CORRUPT, "offer %u out of turn", id);
	if (check_offer(s, o, e) < 0)
		return -1;
	x = &s->x[id % WIRE_WINDOW];
	x->offer = malloc(sizeof(*o));
	if (!x->offer)
		return err_sys(e, "offer");
	*x->offer = *o;
	x->state = XFER_OFFERED;
	s->next++;
	s->open++;
	return 0;
}

/* A small chunk that came with its offer. Only while nothing else is open: so it is one at a
 * time, whose memory nobody has to wait for. */
static int
take_chunk(struct in *s, const struct wire_msg *m, struct err *e)
{
	const unsigned char *bytes;
	struct wire_offer o;
	struct xfer *x;
	uint32_t id;

	if (wire_get_chunk(&id, &o, &bytes, m, e) < 0)
		return -1;
	if (s->open != s->leaving)
		return err_set(e, ERR_CORRUPT, "chunk %u out of turn", id);
	if (take_offer(s, id, &o, e) < 0)
		return -1;
	x = &s->x[id % WIRE_WINDOW];
	x->sum = digest_xxh3_new(e);
	if (!x->sum || pool_extra(s->opts->pool, (size_t)o.size, &x->mem, e) < 0)
		return -1;
	s->granted += o.size;
	x->mem.len = (size_t)o.size;
	x->placed = x->got = x->summed = o.size;
	x->along = 1;
	memcpy(x->mem.p, bytes, (size_t)o.size);
	digest_xxh3_add(x->sum, bytes + o.region, (size_t)o.size - o.region);
	in_moved(s);
	return 0;
}

/* The source cannot deliver after all. */
static int
hear_give_up(struct in *s, const struct wire_msg *m, struct err *e)
{
	struct wire_verdict v;
	struct xfer *x;

	if (wire_get_verdict(&v, m, e) < 0)
		return -1;
	x = in_xfer(s, v.id);
	if (!x || x->state != XFER_GRANTED || x->placed != x->got)
		return err_set(e, ERR_CORRUPT, "chunk %u given up out of turn", v.id);
	s->run->totals.offered++;
	s->run->totals.offered_bytes += x->offer->size;
	s->run->totals.failed++;
	if (v.kind != ERR_PARTIAL)	/* of a time limit: all the rest */
		wire_note(s->opts, "%s: not sent: %s", x->offer->name, v.text);
	in_release(s, v.id);
	return 0;
}

static int
hear_end(struct in *s, const struct wire_msg *m, struct err *e)
{
	struct wire_verdict v;

	if (wire_get_verdict(&v, m, e) < 0)
		return -1;
	if (s->ended || v.id != s->next)
		return err_set(e, ERR_CORRUPT, "end out of turn");
	s->ended = 1;
	if (v.state == WIRE_ABORTED)
		wire_verdict_err(&v, &s->ended_why);
	return 0;
}

/* One message, lock held: 1 go on, 0 the source took leave, -1. */
static int
hear(struct in *s, const struct wire_msg *m, struct err *e)
{
	struct wire_verdict v;
	uint32_t first, n;
	int rc = 0;

	switch (m->type) {
	case WIRE_OFFERS:
		rc = wire_get_offers(m, &first, &n, take_offer, s, e);
		break;
	case WIRE_CHUNK:
		rc = take_chunk(s, m, e);
		break;
	case WIRE_GIVE_UP:
		rc = hear_give_up(s, m, e);
		break;
	case WIRE_END:
		rc = hear_end(s, m, e);
		break;
	case WIRE_LOST:
		rc = in_hear_lost(s, m, e);
		break;
	case WIRE_PING:
		rc = wire_get_empty(m, e);
		break;
	case WIRE_REFUSE:
		if (wire_get_verdict(&v, m, e) == 0)
			wire_verdict_err(&v, e);
		return err_in(e, "peer '%.64s'", s->link.peer.host);
	case WIRE_BYE:
		if (!s->told)
			return err_set(e, ERR_CORRUPT, "farewell before the totals");
		if (wire_get_verdict(&v, m, e) < 0)
			return -1;
		if (*v.text)
			wire_note(s->opts, "%s", v.text);
		return 0;
	default:
		return err_set(e, ERR_CORRUPT, "message %u out of turn", m->type);
	}
	fate_wake(&s->fate, FATE_TALK);
	return rc < 0 ? -1 : 1;
}

static int
listen_to(struct in *s, struct err *e)
{
	struct wire_msg m = { 0 };
	int rc;

	do {
		rc = wire_recv(s->link.c, &m, WIRE_BODY_MAX, 1, e);
		if (rc == 0)
			rc = err_set(e, ERR_TEMP, "'%s' closed the connection",
			    conn_name(s->link.c));
		pthread_mutex_lock(&s->fate.lock);
		if (rc > 0)
			rc = hear(s, &m, e);
		if (rc < 0)
			fate_fail_locked(&s->fate, e);
		if (s->fate.failed) {
			*e = s->fate.why;
			rc = -1;
		}
		if (rc <= 0)
			s->over = 1;
		if (rc <= 0)
			fate_wake_all(&s->fate);
		pthread_mutex_unlock(&s->fate.lock);
	} while (rc > 0);
	buf_free(&m.body);
	return rc;
}

static int
run_session(struct in *s, struct err *e)
{
	int rc;

	if (fate_open(&s->fate, &s->link, e) < 0)
		return -1;
	s->began = s->last_move = clock_mono();
	rc = in_start(s, e);
	if (rc < 0)
		fate_fail(&s->fate, e);
	rc = listen_to(s, e);
	in_join(s);
	fate_over(&s->fate);
	fate_close(&s->fate);
	return rc;
}

/* What a bench measures is the way here: all is wanted, nothing is kept. */
static int
want_all(void *ctx, const struct wire_offer *const *o, size_t n, unsigned char *want,
	struct err *e)
{
	(void)ctx, (void)o, (void)e;
	memset(want, 1, n);
	return 0;
}

static int
drop(void *ctx, struct chunk *c, struct err *e)
{
	(void)e;
	chunk_free(c, ctx);
	return 0;
}

/* A run that was cut goes on; another one starts at zero. */
static void
enter_run(struct in *s)
{
	struct wire_run *r = s->run;
	static const unsigned char none[sizeof(r->run)];

	if (memcmp(r->run, s->link.peer.run, sizeof(r->run)) == 0 &&
	    memcmp(r->run, none, sizeof(none)) != 0)
		r->totals.reconnects++;
	else
		memset(r, 0, sizeof(*r));
	memcpy(r->run, s->link.peer.run, sizeof(r->run));
	strcpy(r->transport, s->link.transport);
	snprintf(r->peer, sizeof(r->peer), "%.60s (%.90s)", s->link.peer.host,
	    conn_name(s->link.c));
	r->line = s->link.line;
	r->totals.fallbacks += s->link.fallbacks;
	r->retries = (s->link.peer.flags & WIRE_RETRIES) != 0;
}

int
wire_sink_run(const struct wire_sink *k, const struct wire_opts *o, struct conn *c,
	struct wire_door *door, struct wire_run *r, struct err *e)
{
	struct wire_hello hello = { .flags = WIRE_TAKES | WIRE_MOVES, .window = WIRE_WINDOW,
	    .chunk_max = o->chunk_max };
	const struct wire_sink bench = { .ctx = o->pool, .choose = want_all, .put = drop };
	struct in *s = calloc(1, sizeof(*s));
	int rc = -1;

	if (!s)
		return err_sys(e, "session");
	s->k = k;
	s->opts = o;
	s->run = r;
	if (o->reconnect)
		hello.flags |= WIRE_RETRIES;
	if (wire_meet(&s->link, c, &hello, o, door, e) == 0) {
		enter_run(s);
		if (s->link.peer.flags & WIRE_BENCH)
			s->k = &bench;
		rc = run_session(s, e);
		wire_part(&s->link);
	}
	if (rc == 0 && s->ended_why.kind) {
		*e = s->ended_why;
		rc = err_in(e, "peer '%.64s'", s->link.peer.host);
	}
	r->ended = s->told;
	free(s);
	return rc;
}
