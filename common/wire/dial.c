#include <string.h>

#include "base/clock.h"
#include "wire/session.h"

#define WAIT_FIRST_S 0.2
#define WAIT_MOST_S 5.0

static int
once(const struct wire_dial *d, struct err *e)
{
	struct conn *c;
	int rc;

	if (conn_dial(&c, d->addr, d->opts->conn, e) < 0)
		return -1;
	conn_deadline(c, d->opts->conn->connect_s);
	rc = conn_secure(c, e);
	if (rc == 0)
		rc = d->run(d->ctx, c, e);
	conn_close(c);
	return rc;
}

/* A transport that broke twice while others are left is not tried a third time. */
static void
step_down(const struct wire_dial *d, unsigned *broken)
{
	enum transport t = d->transport(d->ctx);
	unsigned set = d->opts->transports;

	if (t == TRANSPORT_COUNT || ++broken[t] < 2 || !(set & ~(1u << t)) || t == TRANSPORT_TCP)
		return;
	d->opts->transports = set & ~(1u << t);
	wire_note(d->opts, "%s broke twice, going on without it", transport_word(t));
}

int
wire_dial(const struct wire_dial *d, struct err *e)
{
	unsigned broken[TRANSPORT_COUNT] = { 0 }, tries = 0;
	uint64_t before = d->progress(d->ctx), now;
	double wait = WAIT_FIRST_S;
	int rc;

	for (;;) {
		rc = once(d, e);
		if (rc == 0 || !d->opts->reconnect || e->kind != ERR_TEMP)
			return rc;
		now = d->progress(d->ctx);
		if (now > before) {
			tries = 0;
			wait = WAIT_FIRST_S;
		}
		before = now;
		if (++tries > d->opts->retries)
			return err_in(e, "given up after %u tries", tries);
		step_down(d, broken);
		wire_note(d->opts, "%s, connecting again", e->text);
		if (clock_sleep(wait, e) < 0)
			return -1;
		wait = wait * 2 < WAIT_MOST_S ? wait * 2 : WAIT_MOST_S;
	}
}
