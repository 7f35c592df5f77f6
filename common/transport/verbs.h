#ifndef TRANSPORT_VERBS_H
#define TRANSPORT_VERBS_H

#include <pthread.h>
#include <rdma/rdma_cma.h>
#include <stdatomic.h>

#include "transport/nic.h"
#include "transport/ops.h"

/*
 * RDMA: reliable queue pairs set up by rdma_cm, one a lane. For the files verbs*.c alone.
 *
 * The sink registers blocks and grants their address and keys; the source writes into them.
 * A message is an RDMA write of at most 1 MiB that carries the transfer's number as immediate
 * data, or, where the device has none (iWARP), a plain write and a small send behind it.
 * Either uses up one receive of the sink, which is what credits count: the sink gives as
 * many back as it has posted anew, so that no message ever meets an empty queue.
 *
 * Small messages are 32 bytes, little-endian: u32 kind, u32 id, u64 off, u64 len, rest zero.
 */
#define VERBS_RECEIVES 128		/* credits that a sink begins with */
#define VERBS_SENDS 64			/* messages that a source has on their way */
#define VERBS_BATCH 8			/* one completion is asked for in so many messages */
#define VERBS_MESSAGE ((size_t)1 << 20)
#define VERBS_NOTE 32

enum verbs_note {
	VERBS_HELLO = 1,		/* first, from the dialler: the path works */
	VERBS_ARRIVED,			/* a write of len bytes at off of transfer id */
	VERBS_CREDIT,			/* len more receives are posted */
	VERBS_FINISH,			/* the last; the sink answers with the same */
};

/* A port that this end uses. */
struct verbs_port {
	struct nic nic;
	struct rdma_cm_id *listener;	/* or, at the dialling end, the one that found it */
	struct ibv_pd *pd;
	struct ibv_context *watch;	/* the device, opened once more: who takes one of its events
					 * takes it from no other session */
	atomic_int down;
};

/* Memory of the pool, registered with every port. */
struct verbs_region {
	unsigned char *base;
	struct ibv_mr *mr[NIC_MAX];
};

struct verbs_memory {
	struct pool_watch watch;	/* first: gone() finds the rest by it */
	pthread_mutex_t lock;
	struct verbs_region *list;
	size_t n, cap;
};

struct verbs_lane {
	struct lane base;
	struct rdma_event_channel *events;
	struct rdma_cm_id *id;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	unsigned char *notes;		/* RECEIVES + 1 to receive into, then SENDS to send from */
	struct ibv_mr *notes_mr;
	int local, remote;		/* port of this end, of the other */
	int immediate;			/* both ends have writes with immediate data */
	int inlined;			/* notes go with the request */
	unsigned events_unacked;
	int armed;			/* the queue will wake us */
	int gone;			/* the peer has disconnected */
	atomic_int cut, dropped;	/* see lane_cut(), lane_drop() */
	size_t message;			/* longest write */

	/* Counts of messages. At the source: posted, and completed as far as is known. */
	uint64_t posted, completed;
	unsigned credits;		/* source: receives that the sink has for us */
	unsigned owed;			/* sink: receives posted since the last credit note */
	int held;			/* one message waits, so that the last can be signalled */
	struct ibv_send_wr write, note;
	struct ibv_sge write_at, note_at;
};

/* A lane's two ends agree on this in the private data of connection set-up. */
struct verbs_join {
	unsigned char token[FABRIC_TOKEN];
	unsigned lane, local, remote;	/* ports as the dialler counts them */
	int source;			/* the dialler sends */
	int immediate;
};

struct verbs {
	struct fabric base;
	struct verbs_port port[NIC_MAX];
	int ports, near;		/* near: how many are preferred */
	struct nic peer[NIC_MAX];	/* dev, port, addr of the other end */
	int peers, peers_near;
	uint64_t dead;			/* pairs that did not connect: local * 8 + remote */
	struct rdma_event_channel *events;
	int wake;			/* eventfd: readable once shut */
	struct verbs_memory memory;
	struct verbs_lane lane[FABRIC_LANES];
};

/* verbs_port.c: the ports of this host that its options permit into v, best first, and with
 * each an id bound to its address. ERR_TEMP: none. */
int verbs_ports(struct verbs *v, struct err *e);
/* ERR_TEMP: this host has no RDMA at all; ERR_REFUSED: too little memory may be locked. */
int verbs_here(struct err *e);
void verbs_ports_close(struct verbs_port *p, int n);
/* A lane uses the port: from now on we hear if it goes down, unless the device allows no second
 * opening. */
void verbs_port_use(struct verbs_port *p, struct ibv_pd *pd);
/* What its device has to say, without waiting. */
void verbs_port_hear(struct verbs_port *p);

/* verbs_memory.c: keys of the block that b is, or of the memory at p alone. ERR_REFUSED. */
int verbs_memory_open(struct verbs *v, struct err *e);
void verbs_memory_close(struct verbs *v);
int verbs_region(struct verbs *v, const struct block *b, struct verbs_region *out, struct err *e);
struct ibv_mr *verbs_register(struct ibv_pd *pd, const void *p, size_t len, int access,
	struct err *e);

/* verbs_join.c: one lane connected, from either end; within deadline (clock_mono). */
int verbs_dial(struct verbs *v, struct verbs_lane *l, const struct verbs_join *j, double deadline,
	struct err *e);
/* Next request with the right token: connects the lane that it names: 1; 0: it came to nothing
 * (e says why); -1: no request before the deadline. */
int verbs_take(struct verbs *v, const unsigned char token[FABRIC_TOKEN], double deadline,
	struct err *e);

/* verbs_lane.c. A lane's queue pair; l->id has its device. */
int verbs_lane_open(struct verbs *v, struct verbs_lane *l, struct err *e);
void verbs_lane_close(struct verbs_lane *l);
/* The dialler says hello, the other end waits for it. */
int verbs_hello(struct verbs_lane *l, int say, double deadline, struct err *e);
int verbs_send(struct lane *l, const struct lane_piece *p, struct err *e);
int verbs_flush(struct lane *l, struct err *e);
int verbs_finish(struct lane *l, struct err *e);
int verbs_recv(struct lane *l, const struct lane_in *in, struct err *e);
void verbs_drop(struct lane *l);

/* verbs_wait.c. Up to n completions, at least one. -1: an error completion, the peer is gone,
 * shut, stopped, or nothing until deadline (0: none). */
int verbs_reap(struct verbs_lane *l, struct ibv_wc *wc, int n, double deadline, struct err *e);
int verbs_check(struct lane *l, struct err *e);
/* The next event of a channel, to be acknowledged, or -1; ERR_TEMP after deadline. */
int verbs_event(struct verbs *v, struct rdma_event_channel *c, struct rdma_cm_event **out,
	double deadline, struct err *e);
/* Register or queue pair went wrong: text from errno, with the limit if that was it. */
int verbs_refused(struct err *e, const char *what);

#endif
