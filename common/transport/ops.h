#ifndef TRANSPORT_OPS_H
#define TRANSPORT_OPS_H

#include "transport/transport.h"

/* For transports alone. State begins with struct fabric; struct lane is the transport's own
 * and begins with struct lane. Contracts: transport.h, functions of these names. */
struct fabric {
	const struct fabric_ops *ops;
	struct fabric_opts opts;	/* copied; nic and conn are the caller's and outlive it */
	enum transport transport;
};

struct lane {
	struct fabric *fabric;
	unsigned index;
};

/* listen() and connect() return a fabric whose ops, opts and transport the front fills in. */
struct fabric_ops {
	int (*probe)(const struct fabric_opts *o, uint64_t *line, struct err *e);
	int (*listen)(struct fabric **out, const struct fabric_opts *o, struct conn *control,
		struct buf *ticket, struct err *e);
	int (*accept)(struct fabric *f, const unsigned char token[FABRIC_TOKEN],
		struct err *e);			/* NULL: lanes come by hand() alone */
	int (*hand)(struct fabric *f, struct conn *c, unsigned index, struct err *e);
	int (*connect)(struct fabric **out, const struct fabric_opts *o, struct conn *control,
		const struct fabric_hail *hail, struct err *e);
	struct lane *(*lane)(struct fabric *f, unsigned i);
	int (*files)(const struct fabric *f);		/* NULL: no */
	const char *(*describe)(const struct fabric *f, char out[160]);
	uint64_t (*line)(const struct fabric *f);	/* NULL: not known */
	int (*grant)(struct fabric *f, uint32_t id, const struct block *b, size_t len,
		struct buf *out, struct err *e);	/* NULL: empty grants */
	int (*send)(struct lane *l, const struct lane_piece *p, struct err *e);
	int (*flush)(struct lane *l, struct err *e);
	int (*finish)(struct lane *l, struct err *e);
	int (*recv)(struct lane *l, const struct lane_in *in, struct err *e);
	int (*check)(struct lane *l, struct err *e);
	void (*cut)(struct lane *l);
	void (*drop)(struct lane *l);			/* NULL: nothing moves once it is cut */
	void (*shut)(struct fabric *f);
	void (*close)(struct fabric *f);
};

extern const struct fabric_ops fabric_socket, fabric_shm;	/* lanes are connections */
#ifdef WITH_RDMA
extern const struct fabric_ops fabric_verbs;
#endif

#endif
