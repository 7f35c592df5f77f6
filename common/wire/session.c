#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "wire/session.h"

#define LANES_PATIENCE 4	/* times connect_s: a transport may take its time to fail */

void
wire_note(const struct wire_opts *o, const char *fmt, ...)
{
	char text[500];
	va_list ap;

	if (!o->note)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	o->note(o->note_ctx, text);
}

/* What comes after rdma. */
static const char *
next_word(unsigned set)
{
	return transport_word(set & 1u << TRANSPORT_SHM ? TRANSPORT_SHM : TRANSPORT_TCP);
}

/* The transports that this end could use. That a host has no RDMA is worth no word unless one
 * asked for it; that what it has cannot be used is. */
static unsigned
usable(struct wire_link *l, const struct wire_opts *o)
{
	unsigned set = o->transports & (transport_built() | o->wanted);
	unsigned rdma = 1u << TRANSPORT_VERBS;
	struct err e;

	if (conn_is_unix(l->c))
		return set & (1u << TRANSPORT_SHM);
	if (!conn_same_host(l->c))
		set &= ~(1u << TRANSPORT_SHM);
	if (!(set & rdma) || fabric_probe(TRANSPORT_VERBS, &l->fo, NULL, &e) == 0)
		return set;
	set &= ~rdma;
	if (set && (o->wanted & rdma || e.kind != ERR_TEMP)) {
		wire_note(o, "rdma: %s, falling back to %s", e.text, next_word(set));
		l->fallbacks++;
	}
	return set;
}

static int
none_usable(const struct wire_opts *o, const struct conn *c, const struct fabric_opts *fo,
	struct err *e)
{
	if (conn_is_unix(c))
		return err_set(e, ERR_USAGE, "'%s': a unix socket serves shared memory alone, "
		    "which is not among the transports allowed", conn_name(c));
	if (o->transports & 1u << TRANSPORT_VERBS) {
		if (fabric_probe(TRANSPORT_VERBS, fo, NULL, e) < 0)
			return err_in(e, "rdma");
		return err_set(e, ERR_TEMP, "rdma: the peer has none");
	}
	return err_set(e, ERR_USAGE, "'%s': none of the transports allowed will do",
	    conn_name(c));
}

static void
refuse(struct conn *c, const char *magic, const struct err *why)
{
	struct wire_verdict v;
	struct buf b = { 0 };

	buf_str(&b, magic);
	wire_verdict_of(&v, 0, WIRE_ABORTED, why);
	wire_put_verdict(&b, WIRE_REFUSE, &v);
	(void)wire_send(c, &b, NULL);
	buf_free(&b);
}

void
wire_refuse(struct conn *c, const struct err *why)
{
	refuse(c, "", why);
}

void
wire_turn_away(struct conn *c, const struct err *why)
{
	refuse(c, WIRE_MAGIC, why);
}

static int
send_hello(struct conn *c, const struct wire_hello *mine, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	buf_add(&b, WIRE_MAGIC, 8);
	wire_put_hello(&b, mine);
	rc = wire_send(c, &b, e);
	buf_free(&b);
	return rc;
}

/* Something other than what was due. */
static int
unexpected(const struct wire_link *l, const struct wire_msg *m, struct err *e)
{
	struct wire_verdict v;

	if (m->type == WIRE_REFUSE && wire_get_verdict(&v, m, e) == 0) {
		wire_verdict_err(&v, e);
		return err_in(e, "refused by '%s'", conn_name(l->c));
	}
	return err_set(e, ERR_CORRUPT, "'%s': message %u out of turn", conn_name(l->c), m->type);
}

static int
expect(struct wire_link *l, struct wire_msg *m, enum wire_type t, struct err *e)
{
	int rc = wire_recv(l->c, m, WIRE_HELLO_MAX, 1, e);

	if (rc == 0)
		return err_set(e, ERR_TEMP, "'%s' closed the connection", conn_name(l->c));
	return rc < 0 || m->type == t ? rc : unexpected(l, m, e);
}

int
wire_magic(struct conn *c, unsigned char magic[8], struct err *e)
{
	int rc = conn_read(c, magic, 8, 1, e), tls;

	if (rc == 0)
		return err_set(e, ERR_TEMP, "'%s' closed the connection", conn_name(c));
	if (rc < 0)
		return -1;
	if (memcmp(magic, LANE_MAGIC, 8) == 0)
		return 0;
	tls = magic[0] == 0x16 || magic[0] == 0x15;	/* RFC 8446, 5.1: handshake, alert */
	if (memcmp(magic, WIRE_MAGIC, 6) != 0)
		return err_set(e, tls ? ERR_REFUSED : ERR_CORRUPT, "'%s' does not speak kvwire%s",
		    conn_name(c), tls ? " but TLS, which is not set up here" : "");
	if (magic[6] != WIRE_MAJOR)
		return err_set(e, ERR_CORRUPT, "'%s' speaks version %u of kvwire, this is version "
		    "%u", conn_name(c), magic[6], WIRE_MAJOR);
	return 0;
}

static int
recv_hello(struct wire_link *l, int source, struct wire_msg *m, struct err *e)
{
	if (expect(l, m, WIRE_HELLO, e) < 0 || wire_get_hello(&l->peer, m, e) < 0)
		return -1;
	if (!(l->peer.flags & WIRE_SOURCE) == !source)
		return err_set(e, ERR_USAGE, "'%s' %s as well", conn_name(l->c),
		    source ? "sends" : "receives");
	return 0;
}

static int
tell_lanes(struct wire_link *l, const struct err *why, struct err *e)
{
	struct wire_verdict v;
	struct buf b = { 0 };
	int rc;

	wire_verdict_of(&v, 0, why ? 0 : 1, why);
	wire_put_verdict(&b, WIRE_LANES, &v);
	rc = wire_send(l->c, &b, e);
	buf_free(&b);
	return rc;
}

/* The peer's word about the lanes: 1 up, 0 not (why), -1 the session is over. */
static int
hear_lanes(struct wire_link *l, struct wire_msg *m, struct err *why, struct err *e)
{
	struct wire_verdict v;

	if (expect(l, m, WIRE_LANES, e) < 0 || wire_get_verdict(&v, m, e) < 0)
		return -1;
	if (v.state == 1)
		return 1;
	wire_verdict_err(&v, why);
	return 0;
}

/* Dialler: one transport. 1 up, 0 not (why), -1. */
static int
try_one(struct wire_link *l, enum transport t, struct wire_msg *m, struct err *why,
	struct err *e)
{
	unsigned char token[FABRIC_TOKEN];
	struct fabric_hail hail = { .token = token };
	struct wire_verdict v;
	struct buf b = { 0 };
	int rc;

	wire_put_try(&b, t, l->fo.lanes);
	rc = wire_send(l->c, &b, e);
	buf_free(&b);
	if (rc < 0 || wire_recv(l->c, m, WIRE_HELLO_MAX, 1, e) != 1)
		return rc < 0 ? -1 : err_set(e, ERR_TEMP, "'%s' closed the connection",
		    conn_name(l->c));
	if (m->type == WIRE_LANES && wire_get_verdict(&v, m, e) == 0) {
		wire_verdict_err(&v, why);
		return 0;
	}
	if (m->type != WIRE_TICKET)
		return unexpected(l, m, e);
	if (wire_get_ticket(token, &hail.ticket, &hail.n_ticket, m, e) < 0)
		return -1;
	if (fabric_connect(&l->f, t, &l->fo, l->c, &hail, why) < 0) {
		/* The listener answers with its own word, whatever it is. */
		return tell_lanes(l, why, e) < 0 || hear_lanes(l, m, &(struct err){ 0 }, e) < 0 ?
		    -1 : 0;
	}
	if (tell_lanes(l, NULL, e) < 0)
		return -1;
	rc = hear_lanes(l, m, why, e);
	if (rc != 1) {
		fabric_close(l->f);
		l->f = NULL;
	}
	return rc;
}

/* That a TCP peer on this host shares no memory with us, as containers do not, or turns out to be
 * elsewhere, is no failure. */
static int
is_failure(const struct wire_link *l, enum transport t)
{
	return t != TRANSPORT_SHM || conn_is_unix(l->c);
}

static int
meet_dialler(struct wire_link *l, const struct wire_opts *o, unsigned set, struct wire_msg *m,
	struct err *e)
{
	static const enum transport order[] = { TRANSPORT_VERBS, TRANSPORT_SHM, TRANSPORT_TCP };
	struct err why = { 0 };
	unsigned lacks, lanes = l->fo.lanes;
	size_t i;
	int rc = 0;

	lacks = o->wanted & set & ~l->peer.transports;
	set &= l->peer.transports;
	if (!set)
		return none_usable(o, l->c, &l->fo, e);
	if (lacks & 1u << TRANSPORT_VERBS)
		wire_note(o, "rdma: the peer has none, falling back to %s", next_word(set));
	for (i = 0; rc == 0 && i < sizeof(order) / sizeof(*order); i++) {
		if (!(set & 1u << order[i]))
			continue;
		set &= ~(1u << order[i]);
		l->fo.lanes = order[i] == TRANSPORT_SHM && !o->lanes ? 1 : lanes;
		rc = try_one(l, order[i], m, &why, e);
		if (rc != 0)
			break;
		l->fallbacks += (unsigned)is_failure(l, order[i]);
		if (set && !is_failure(l, order[i]))
			continue;
		if (set)
			wire_note(o, "%s: %s, falling back to %s", transport_word(order[i]),
			    why.text, next_word(set));
		else
			err_in(&why, "%s", transport_word(order[i]));
	}
	if (rc == 0)
		*e = why;
	return rc == 1 ? 0 : -1;
}

struct accepting {
	struct fabric *f;
	const unsigned char *token;
	int rc;
	struct err e;
};

static void *
accept_lanes(void *arg)
{
	struct accepting *a = arg;

	a->rc = fabric_accept(a->f, a->token, &a->e);
	return NULL;
}

/* Listener: wait for the lanes and for the dialler's word at the same time. 1 up, 0, -1. */
static int
take_lanes(struct wire_link *l, const unsigned char *token, struct wire_msg *m, struct err *e)
{
	struct accepting a = { .f = l->f, .token = token };
	struct err why = { 0 };
	pthread_t thread;
	int rc;

	if (pthread_create(&thread, NULL, accept_lanes, &a) != 0)
		return err_set(e, ERR_FAILED, "no more threads");
	rc = hear_lanes(l, m, &why, e);
	if (rc != 1)
		fabric_shut(l->f);
	pthread_join(thread, NULL);
	if (rc < 0)
		return -1;
	if (rc == 1 && a.rc < 0)
		why = a.e;
	if (tell_lanes(l, rc == 1 && a.rc == 0 ? NULL : &why, e) < 0)
		return -1;
	return rc == 1 && a.rc == 0;
}

static int
open_lanes(struct wire_link *l, struct wire_door *door, enum transport t, int allowed,
	struct buf *ticket, struct err *why)
{
	unsigned char token[FABRIC_TOKEN];

	if (!allowed)
		return err_set(why, ERR_REFUSED, "%s is not to be had here", transport_word(t));
	if (getentropy(token, sizeof(token)) < 0)
		return err_set(why, ERR_FAILED, "no random bytes");
	buf_add(ticket, token, sizeof(token));
	if (fabric_listen(&l->f, t, &l->fo, l->c, ticket, why) < 0)
		return -1;
	return door_open(door, token, l->f, why);
}

/* Listener: the dialler's next try. 1 up, 0 not, -1. */
static int
serve_try(struct wire_link *l, struct wire_door *door, unsigned set, struct wire_msg *m,
	struct err *e)
{
	struct buf ticket = { 0 }, b = { 0 };
	struct err why = { 0 };
	enum transport t;
	int rc;

	if (expect(l, m, WIRE_TRY, e) < 0 || wire_get_try(&t, &l->fo.lanes, m, e) < 0)
		return -1;
	if (open_lanes(l, door, t, (set & 1u << t) != 0, &ticket, &why) < 0) {
		rc = tell_lanes(l, &why, e);
	} else {
		const unsigned char *token = (const unsigned char *)ticket.p;

		wire_put_ticket(&b, token, token + FABRIC_TOKEN, ticket.len - FABRIC_TOKEN);
		rc = wire_send(l->c, &b, e) < 0 ? -1 : take_lanes(l, token, m, e);
		door_close(door, l->f);
	}
	buf_free(&ticket);
	buf_free(&b);
	if (rc != 1) {
		l->fallbacks += (unsigned)is_failure(l, t);
		fabric_close(l->f);
		l->f = NULL;
	}
	return rc;
}

/* A listener that did not like our certificate may have closed by the time of our first word: the
 * reason is there to be read. */
static int
why_closed(struct conn *c, struct err *e)
{
	unsigned char magic[8];
	struct err why;

	if (e->kind == ERR_TEMP && wire_magic(c, magic, &why) < 0 && why.kind == ERR_REFUSED)
		*e = why;
	return -1;
}

static int
meet(struct wire_link *l, const struct wire_hello *mine, const struct wire_opts *o,
	struct wire_door *door, struct wire_msg *m, struct err *e)
{
	int rc = 0;

	if (conn_dialled(l->c)) {
		unsigned char magic[8];

		if (send_hello(l->c, mine, e) < 0)
			return why_closed(l->c, e);
		if (wire_magic(l->c, magic, e) < 0 || recv_hello(l, l->fo.source, m, e) < 0)
			return -1;
		conn_deadline(l->c, LANES_PATIENCE * o->conn->connect_s);
		if (l->peer.lanes < l->fo.lanes)
			l->fo.lanes = l->peer.lanes;
		return meet_dialler(l, o, mine->transports, m, e);
	}
	if (recv_hello(l, l->fo.source, m, e) < 0) {
		(void)send_hello(l->c, mine, NULL);	/* a refusal comes after it */
		return -1;
	}
	if (send_hello(l->c, mine, e) < 0)
		return -1;
	conn_deadline(l->c, LANES_PATIENCE * o->conn->connect_s);
	while (rc == 0)
		rc = serve_try(l, door, mine->transports, m, e);
	return rc == 1 ? 0 : -1;
}

static unsigned
default_lanes(const struct conn *c)
{
	/* Copying and summing of two share two cores; one ring of shared memory is enough. */
	return conn_is_unix(c) ? 1 : 2;
}

int
wire_meet(struct wire_link *l, struct conn *c, struct wire_hello *mine,
	const struct wire_opts *o, struct wire_door *door, struct err *e)
{
	struct wire_msg m = { 0 };
	char text[160];
	int rc;

	memset(l, 0, sizeof(*l));
	l->c = c;
	l->fo = (struct fabric_opts){ .conn = o->conn, .pool = o->pool, .nic = o->nic,
	    .lanes = o->lanes ? o->lanes : default_lanes(c), .timeout_s = o->conn->timeout_s,
	    .source = (mine->flags & WIRE_SOURCE) != 0 };
	mine->transports = usable(l, o);
	if (!mine->transports) {
		none_usable(o, c, &l->fo, e);
		wire_turn_away(c, e);
		conn_drain(c);	/* a hello that is unread would undo what was said */
		return -1;
	}
	mine->lanes = l->fo.lanes;
	if (gethostname(mine->host, sizeof(mine->host) - 1) < 0)
		strcpy(mine->host, "unknown");
	rc = meet(l, mine, o, door, &m, e);
	buf_free(&m.body);
	if (rc < 0) {
		wire_refuse(c, e);
		return -1;
	}
	conn_deadline(c, 0);
	snprintf(l->transport, sizeof(l->transport), "%s, %s",
	    transport_word(fabric_transport(l->f)), fabric_describe(l->f, text));
	l->line = fabric_line(l->f);
	return 0;
}

void
wire_part(struct wire_link *l)
{
	fabric_close(l->f);
	l->f = NULL;
}
