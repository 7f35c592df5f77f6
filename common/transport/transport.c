#include <string.h>

#include "transport/ops.h"

static const char *const words[TRANSPORT_COUNT] = { "tcp", "shm", "rdma" };

static const struct fabric_ops *const fabrics[TRANSPORT_COUNT] = {
	[TRANSPORT_TCP] = &fabric_socket,
	[TRANSPORT_SHM] = &fabric_shm,
#ifdef WITH_RDMA
	[TRANSPORT_VERBS] = &fabric_verbs,
#endif
};

const char *
transport_word(enum transport t)
{
	return words[t];
}

int
transport_parse(enum transport *t, const char *word, struct err *e)
{
	int i;

	for (i = 0; i < TRANSPORT_COUNT; i++)
		if (strcmp(word, words[i]) == 0) {
			*t = (enum transport)i;
			return 0;
		}
	return err_set(e, ERR_USAGE, "transport '%s': not one of tcp, shm, rdma", word);
}

unsigned
transport_built(void)
{
	unsigned t, set = 0;

	for (t = 0; t < TRANSPORT_COUNT; t++)
		set |= (unsigned)(fabrics[t] != NULL) << t;
	return set;
}

/* The back end, or NULL and e. */
static const struct fabric_ops *
built(enum transport t, struct err *e)
{
	if (!fabrics[t])
		err_set(e, ERR_USAGE, "%s: not built in", words[t]);
	return fabrics[t];
}

int
fabric_probe(enum transport t, const struct fabric_opts *o, uint64_t *line, struct err *e)
{
	const struct fabric_ops *ops = built(t, e);
	uint64_t unknown;

	return ops ? ops->probe(o, line ? line : &unknown, e) : -1;
}

int
fabric_listen(struct fabric **out, enum transport t, const struct fabric_opts *o,
	struct conn *control, struct buf *ticket, struct err *e)
{
	const struct fabric_ops *ops = built(t, e);

	*out = NULL;
	if (!ops || ops->listen(out, o, control, ticket, e) < 0)
		return -1;
	(*out)->ops = ops;
	(*out)->opts = *o;
	(*out)->transport = t;
	return 0;
}

int
fabric_accept(struct fabric *f, const unsigned char token[FABRIC_TOKEN], struct err *e)
{
	return f->ops->accept(f, token, e);
}

int
fabric_hand(struct fabric *f, struct conn *c, unsigned index, struct err *e)
{
	if (f->ops->hand)
		return f->ops->hand(f, c, index, e);
	conn_close(c);
	return err_set(e, ERR_REFUSED, "a lane over a connection, for %s", words[f->transport]);
}

int
fabric_connect(struct fabric **out, enum transport t, const struct fabric_opts *o,
	struct conn *control, const struct fabric_hail *hail, struct err *e)
{
	const struct fabric_ops *ops = built(t, e);

	*out = NULL;
	if (!ops || ops->connect(out, o, control, hail, e) < 0)
		return -1;
	(*out)->ops = ops;
	(*out)->opts = *o;
	(*out)->transport = t;
	return 0;
}

enum transport
fabric_transport(const struct fabric *f)
{
	return f->transport;
}

unsigned
fabric_lanes(const struct fabric *f)
{
	return f->opts.lanes;
}

struct lane *
fabric_lane(struct fabric *f, unsigned i)
{
	return f->ops->lane(f, i);
}

int
fabric_files(const struct fabric *f)
{
	return f->ops->files && f->ops->files(f);
}

const char *
fabric_describe(const struct fabric *f, char out[160])
{
	return f->ops->describe(f, out);
}

uint64_t
fabric_line(const struct fabric *f)
{
	return f->ops->line ? f->ops->line(f) : 0;
}

int
fabric_grant(struct fabric *f, uint32_t id, const struct block *b, size_t len,
	struct buf *out, struct err *e)
{
	return f->ops->grant ? f->ops->grant(f, id, b, len, out, e) : 0;
}

int
lane_send(struct lane *l, const struct lane_piece *p, struct err *e)
{
	return l->fabric->ops->send(l, p, e);
}

int
lane_flush(struct lane *l, struct err *e)
{
	return l->fabric->ops->flush ? l->fabric->ops->flush(l, e) : 0;
}

int
lane_finish(struct lane *l, struct err *e)
{
	return l->fabric->ops->finish(l, e);
}

int
lane_recv(struct lane *l, const struct lane_in *in, struct err *e)
{
	return l->fabric->ops->recv(l, in, e);
}

int
lane_check(struct lane *l, struct err *e)
{
	return l->fabric->ops->check(l, e);
}

void
lane_cut(struct lane *l)
{
	l->fabric->ops->cut(l);
}

void
lane_drop(struct lane *l)
{
	const struct fabric_ops *ops = l->fabric->ops;

	if (ops->drop)
		ops->drop(l);
	else
		ops->cut(l);
}

void
fabric_shut(struct fabric *f)
{
	if (f)
		f->ops->shut(f);
}

void
fabric_close(struct fabric *f)
{
	if (f)
		f->ops->close(f);
}
