#ifdef WITH_RDMA
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "transport/verbs.h"

/*
 * The listener's ticket: u8 ports, u8 how many of them are preferred, then each as u8 family
 * (4 or 6), u8 port, be16 port of the service, 16 bytes of address, u8 length of the device's
 * name, the name.
 */
#define NAME_MAX_SENT 24

static const char *
socket_bytes(struct sockaddr_storage *a, unsigned char **p, size_t *n, in_port_t **port)
{
	struct sockaddr_in *four = (void *)a;
	struct sockaddr_in6 *six = (void *)a;

	if (a->ss_family == AF_INET) {
		*p = (void *)&four->sin_addr;
		*n = 4;
		*port = &four->sin_port;
	} else {
		*p = (void *)&six->sin6_addr;
		*n = 16;
		*port = &six->sin6_port;
	}
	return a->ss_family == AF_INET ? "\004" : "\006";
}

static int
ticket_write(struct verbs *v, struct buf *out)
{
	int i;

	buf_chr(out, (char)v->ports);
	buf_chr(out, (char)v->near);
	for (i = 0; i < v->ports; i++) {
		struct nic *n = &v->port[i].nic;
		unsigned char *p, head[20] = {0};
		in_port_t *port;
		size_t len, name = strnlen(n->dev, NAME_MAX_SENT);

		head[0] = (unsigned char)*socket_bytes(&n->addr, &p, &len, &port);
		head[1] = (unsigned char)n->port;
		put_be16(head + 2, ntohs(rdma_get_src_port(v->port[i].listener)));
		memcpy(head + 4, p, len);
		buf_add(out, head, sizeof(head));
		buf_chr(out, (char)name);
		buf_add(out, n->dev, name);
	}
	return out->fail ? -1 : 0;
}

static int
ticket_read(struct verbs *v, const unsigned char *p, size_t n)
{
	const unsigned char *end = p + n;
	int i;

	if (n < 2 || p[0] == 0 || p[0] > NIC_MAX || p[1] == 0 || p[1] > p[0])
		return -1;
	v->peers = p[0];
	v->peers_near = p[1];
	p += 2;
	for (i = 0; i < v->peers; i++) {
		struct nic *to = &v->peer[i];
		unsigned char *addr;
		in_port_t *port;
		size_t len;

		if (end - p < 21 || (p[0] != 4 && p[0] != 6) || p[20] > NAME_MAX_SENT ||
			end - p < 21 + p[20])
			return -1;
		to->addr.ss_family = p[0] == 4 ? AF_INET : AF_INET6;
		(void)socket_bytes(&to->addr, &addr, &len, &port);
		memcpy(addr, p + 4, len);
		*port = htons(get_be16(p + 2));
		to->port = p[1];
		memcpy(to->dev, p + 21, p[20]);
		p += 21 + p[20];
	}
	return p == end ? 0 : -1;
}

static void
verbs_close(struct fabric *f)
{
	struct verbs *v = (struct verbs *)f;
	unsigned i;

	for (i = 0; i < FABRIC_LANES; i++)
		verbs_lane_close(&v->lane[i]);
	verbs_memory_close(v);
	verbs_ports_close(v->port, v->ports);
	if (v->events)
		rdma_destroy_event_channel(v->events);
	if (v->wake >= 0)
		close(v->wake);
	free(v);
}

static struct verbs *
verbs_open(const struct fabric_opts *o, struct err *e)
{
	struct verbs *v;

	if (verbs_here(e) < 0)
		return NULL;
	v = calloc(1, sizeof(*v));
	if (!v) {
		err_sys(e, "rdma");
		return NULL;
	}
	v->base.opts = *o;
	v->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->events = rdma_create_event_channel();
	if (v->wake < 0 || !v->events)
		err_sys(e, "rdma: event channel");
	else if (verbs_memory_open(v, e) == 0 &&
		verbs_ports(v, e) == 0)
		return v;
	verbs_close(&v->base);
	return NULL;
}

static int
verbs_probe(const struct fabric_opts *o, uint64_t *line, struct err *e)
{
	struct verbs *v = verbs_open(o, e);
	int i;

	if (!v)
		return -1;
	if (line)
		for (*line = 0, i = 0; i < v->near; i++)
			*line += v->port[i].nic.line;
	verbs_close(&v->base);
	return 0;
}

static int
verbs_listen(struct fabric **out, const struct fabric_opts *o, struct conn *control,
	struct buf *ticket, struct err *e)
{
	struct verbs *v = verbs_open(o, e);
	int i;

	(void)control;
	*out = NULL;
	if (!v)
		return -1;
	for (i = 0; i < v->ports; i++)
		if (rdma_listen(v->port[i].listener, FABRIC_LANES) < 0) {
			err_sys(e, "rdma: listen at '%s:%u'", v->port[i].nic.dev,
				v->port[i].nic.port);
			goto close_v;
		}
	if (ticket_write(v, ticket) < 0) {
		err_set(e, ERR_FAILED, "rdma: out of memory");
		goto close_v;
	}
	*out = &v->base;
	return 0;
close_v:
	verbs_close(&v->base);
	return -1;
}

static double
connect_deadline(const struct verbs *v)
{
	const struct conn_opts *c = v->base.opts.conn;

	return clock_mono() + (c && c->connect_s > 0 ? c->connect_s : 10);
}

static int
verbs_accept(struct fabric *f, const unsigned char token[FABRIC_TOKEN], struct err *e)
{
	struct verbs *v = (struct verbs *)f;
	double deadline = connect_deadline(v);
	unsigned i;
	int rc;

	/* A lane whose set-up failed half-way is asked for again by the dialler. */
	for (i = 0; i < f->opts.lanes; i += rc)
		if ((rc = verbs_take(v, token, deadline, e)) < 0)
			return -1;
	for (i = 0; i < f->opts.lanes; i++)
		v->lane[i].base.index = i;
	return 0;
}

/* Cost of joining lane by this pair: lanes go round the preferred ports of both ends; same
 * network, then same name (a rail has one name everywhere), then turn by turn. */
static int
pair_cost(const struct verbs *v, unsigned lane, int local, int remote)
{
	const struct nic *a = &v->port[local].nic, *b = &v->peer[remote];

	return 32 * (local >= v->near) + 32 * (remote >= v->peers_near) +
		16 * (local != (int)(lane % (unsigned)v->near)) +
		8 * !nic_same_net(a, &b->addr) + 2 * (strcmp(a->dev, b->dev) != 0) +
		(remote != (int)(lane % (unsigned)v->peers_near));
}

/* The best pair that has not failed: 0; -1 none is left. */
static int
pair_choose(const struct verbs *v, unsigned lane, struct verbs_join *j)
{
	int local, remote, best = -1, cost;

	for (local = 0; local < v->ports; local++)
		for (remote = 0; remote < v->peers; remote++) {
			cost = pair_cost(v, lane, local, remote);
			if (v->dead >> (local * NIC_MAX + remote) & 1)
				continue;
			if (best >= 0 && cost >= best)
				continue;
			best = cost;
			j->local = (unsigned)local;
			j->remote = (unsigned)remote;
		}
	return best < 0 ? -1 : 0;
}

static int
join_lanes(struct verbs *v, struct verbs_join *j, struct err *e)
{
	double deadline = connect_deadline(v);

	for (j->lane = 0; j->lane < v->base.opts.lanes; j->lane++)
		for (;;) {
			if (pair_choose(v, j->lane, j) < 0)
				return -1;	/* e has the last pair's reason */
			if (verbs_dial(v, &v->lane[j->lane], j, deadline, e) == 0)
				break;
			if (e->kind != ERR_TEMP || clock_mono() >= deadline)
				return -1;
			v->dead |= (uint64_t)1 << (j->local * NIC_MAX + j->remote);
		}
	return 0;
}

static int
verbs_connect(struct fabric **out, const struct fabric_opts *o, struct conn *control,
	const struct fabric_hail *hail, struct err *e)
{
	struct verbs_join j = { .source = o->source };
	struct verbs *v = verbs_open(o, e);
	struct err why = {0};
	unsigned i;

	(void)control;
	*out = NULL;
	if (!v)
		return -1;
	memcpy(j.token, hail->token, FABRIC_TOKEN);
	if (ticket_read(v, hail->ticket, hail->n_ticket) < 0) {
		err_set(&why, ERR_CORRUPT, "rdma: ticket of %zu bytes", hail->n_ticket);
		goto fail;
	}
	if (join_lanes(v, &j, &why) < 0)
		goto fail;
	for (i = 0; i < o->lanes; i++)
		v->lane[i].base.index = i;
	*out = &v->base;
	return 0;
fail:
	if (e)
		*e = why;
	verbs_close(&v->base);
	return -1;
}

static struct lane *
verbs_lane(struct fabric *f, unsigned i)
{
	return &((struct verbs *)f)->lane[i].base;
}

static const char *
verbs_describe(const struct fabric *f, char out[160])
{
	const struct verbs *v = (const struct verbs *)f;
	char count[NUM_TEXT];
	struct buf b = {0};
	uint64_t seen = 0, bit;
	unsigned i;

	for (i = 0; i < f->opts.lanes; i++) {
		const struct verbs_lane *l = &v->lane[i];

		bit = (uint64_t)1 << (l->local * NIC_MAX + l->remote);
		if (!l->id || (seen & bit))
			continue;
		seen |= bit;
		buf_printf(&b, "%s:%u", v->port[l->local].nic.dev, v->port[l->local].nic.port);
		if (v->peers)
			buf_printf(&b, " -> %s:%u", v->peer[l->remote].dev,
				v->peer[l->remote].port);
		buf_str(&b, ", ");
	}
	snprintf(out, 160, "%s%s", buf_text(&b) ? b.p : "",
		num_count_text(count, f->opts.lanes, "queue pair"));
	buf_free(&b);
	return out;
}

static uint64_t
verbs_line(const struct fabric *f)
{
	const struct verbs *v = (const struct verbs *)f;
	uint64_t line = 0;
	int i;

	for (i = 0; i < v->ports; i++)
		if (v->port[i].pd)
			line += v->port[i].nic.line;
	return line;
}

/* u64 address, u64 length, u32 ports of the sink, u32 key for each. */
static int
verbs_grant(struct fabric *f, uint32_t id, const struct block *b, size_t len, struct buf *out,
	struct err *e)
{
	struct verbs *v = (struct verbs *)f;
	unsigned char grant[20 + 4 * NIC_MAX] = {0};
	struct verbs_region r;
	int i;

	(void)id;
	if (verbs_region(v, b, &r, e) < 0)
		return -1;
	put_le64(grant, (uintptr_t)b->p);
	put_le64(grant + 8, len);
	put_le32(grant + 16, (uint32_t)v->ports);
	for (i = 0; i < v->ports; i++)
		put_le32(grant + 20 + 4 * i, r.mr[i] ? r.mr[i]->rkey : 0);
	if (buf_add(out, grant, 20 + 4 * (size_t)v->ports) < 0)
		return err_set(e, ERR_FAILED, "rdma: out of memory");
	return 0;
}

static void
verbs_cut(struct lane *l)
{
	atomic_store(&((struct verbs_lane *)l)->cut, 1);
}

static void
verbs_shut(struct fabric *f)
{
	uint64_t one = 1;

	(void)!write(((struct verbs *)f)->wake, &one, sizeof(one));
}

const struct fabric_ops fabric_verbs = {
	.probe = verbs_probe,
	.listen = verbs_listen,
	.accept = verbs_accept,
	.connect = verbs_connect,
	.lane = verbs_lane,
	.describe = verbs_describe,
	.line = verbs_line,
	.grant = verbs_grant,
	.send = verbs_send,
	.flush = verbs_flush,
	.finish = verbs_finish,
	.recv = verbs_recv,
	.check = verbs_check,
	.cut = verbs_cut,
	.drop = verbs_drop,
	.shut = verbs_shut,
	.close = verbs_close,
};
#endif
