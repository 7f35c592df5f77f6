#ifdef WITH_RDMA
#include <rdma/rdma_cma.h>

#include "lib/functions.h"

#undef ibv_query_port		/* verbs.h has it as a macro, which calls the function */

#define FUNCTIONS(F) \
	F(void, ibv_ack_async_event, (struct ibv_async_event *ev), (ev)) \
	F(void, ibv_ack_cq_events, (struct ibv_cq *q, unsigned n), (q, n)) \
	F(int, ibv_close_device, (struct ibv_context *c), (c)) \
	F(struct ibv_comp_channel *, ibv_create_comp_channel, (struct ibv_context *c), (c)) \
	F(struct ibv_cq *, ibv_create_cq, (struct ibv_context *c, int n, void *ctx, \
		struct ibv_comp_channel *ch, int vector), (c, n, ctx, ch, vector)) \
	F(int, ibv_dereg_mr, (struct ibv_mr *mr), (mr)) \
	F(int, ibv_destroy_comp_channel, (struct ibv_comp_channel *ch), (ch)) \
	F(int, ibv_destroy_cq, (struct ibv_cq *q), (q)) \
	F(int, ibv_get_async_event, (struct ibv_context *c, struct ibv_async_event *ev), (c, ev)) \
	F(int, ibv_get_cq_event, (struct ibv_comp_channel *ch, struct ibv_cq **q, void **ctx), \
		(ch, q, ctx)) \
	F(const char *, ibv_get_device_name, (struct ibv_device *d), (d)) \
	F(struct ibv_context *, ibv_open_device, (struct ibv_device *d), (d)) \
	F(int, ibv_query_port, (struct ibv_context *c, uint8_t port, \
		struct _compat_ibv_port_attr *a), (c, port, a)) \
	F(struct ibv_mr *, ibv_reg_mr_iova2, (struct ibv_pd *pd, void *p, size_t n, uint64_t at, \
		unsigned access), (pd, p, n, at, access)) \
	F(const char *, ibv_wc_status_str, (enum ibv_wc_status s), (s)) \
	F(int, rdma_accept, (struct rdma_cm_id *id, struct rdma_conn_param *p), (id, p)) \
	F(int, rdma_ack_cm_event, (struct rdma_cm_event *ev), (ev)) \
	F(int, rdma_bind_addr, (struct rdma_cm_id *id, struct sockaddr *a), (id, a)) \
	F(int, rdma_connect, (struct rdma_cm_id *id, struct rdma_conn_param *p), (id, p)) \
	F(struct rdma_event_channel *, rdma_create_event_channel, (void), ()) \
	F(int, rdma_create_id, (struct rdma_event_channel *ch, struct rdma_cm_id **id, void *ctx, \
		enum rdma_port_space ps), (ch, id, ctx, ps)) \
	F(int, rdma_create_qp, (struct rdma_cm_id *id, struct ibv_pd *pd, \
		struct ibv_qp_init_attr *a), (id, pd, a)) \
	F(void, rdma_destroy_event_channel, (struct rdma_event_channel *ch), (ch)) \
	F(int, rdma_destroy_id, (struct rdma_cm_id *id), (id)) \
	F(void, rdma_destroy_qp, (struct rdma_cm_id *id), (id)) \
	F(int, rdma_disconnect, (struct rdma_cm_id *id), (id)) \
	F(const char *, rdma_event_str, (enum rdma_cm_event_type t), (t)) \
	F(int, rdma_get_cm_event, (struct rdma_event_channel *ch, struct rdma_cm_event **ev), \
		(ch, ev)) \
	F(__be16, rdma_get_src_port, (struct rdma_cm_id *id), (id)) \
	F(int, rdma_listen, (struct rdma_cm_id *id, int backlog), (id, backlog)) \
	F(int, rdma_migrate_id, (struct rdma_cm_id *id, struct rdma_event_channel *ch), (id, ch)) \
	F(int, rdma_reject, (struct rdma_cm_id *id, const void *p, uint8_t n), (id, p, n)) \
	F(int, rdma_resolve_addr, (struct rdma_cm_id *id, struct sockaddr *from, \
		struct sockaddr *to, int ms), (id, from, to, ms)) \
	F(int, rdma_resolve_route, (struct rdma_cm_id *id, int ms), (id, ms)) \
	F(int, rdma_set_option, (struct rdma_cm_id *id, int level, int name, void *p, size_t n), \
		(id, level, name, p, n))

/* It brings libibverbs along. */
LIB(lib_rdma, "librdmacm.so.1", FUNCTIONS)
FUNCTIONS(LIB_JUMP)
#endif
