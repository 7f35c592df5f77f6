#ifdef WITH_RDMA
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/io.h"
#include "base/num.h"
#include "lib/lib.h"
#include "transport/verbs.h"

#define SYS "/sys"
#define LOCKED_MIN ((rlim_t)64 << 20)	/* with less no pool of chunks can be registered */
#define FOUND_MAX 64

/* May this process lock memory beyond its limit? Bit 14 of the effective set is IPC_LOCK. */
static int
unlimited(void)
{
	struct buf b = {0};
	uint64_t set = 0;
	unsigned char raw[8];
	const char *at;

	if (io_slurp("/proc/self/status", &b, 65536, NULL) == 0 && buf_text(&b) &&
		(at = strstr(b.p, "\nCapEff:\t")) && hex_read(raw, at + 9, 8) == 0)
		set = get_be64(raw);
	buf_free(&b);
	return set >> 14 & 1;
}

int
verbs_here(struct err *e)
{
	char text[NUM_TEXT];
	struct rlimit r;

	if (access(SYS "/class/infiniband", F_OK) < 0)
		return err_set(e, ERR_TEMP, "no RDMA device");
	if (access("/dev/infiniband/rdma_cm", R_OK | W_OK) < 0)
		return err_set(e, ERR_TEMP, "/dev/infiniband/rdma_cm: %s", strerror(errno));
	if (getrlimit(RLIMIT_MEMLOCK, &r) == 0 && r.rlim_cur < LOCKED_MIN && !unlimited())
		return err_set(e, ERR_REFUSED, "only %s may be locked in memory (ulimit -l)",
			num_size_text(text, r.rlim_cur));
	return lib_rdma(e);
}

void
verbs_ports_close(struct verbs_port *p, int n)
{
	while (n-- > 0) {
		if (p[n].listener)
			rdma_destroy_id(p[n].listener);
		if (p[n].watch)
			ibv_close_device(p[n].watch);
	}
}

void
verbs_port_use(struct verbs_port *p, struct ibv_pd *pd)
{
	p->pd = pd;
	if (p->watch)
		return;
	p->watch = ibv_open_device(pd->context->device);
	if (p->watch && fcntl(p->watch->async_fd, F_SETFL, O_NONBLOCK) < 0) {
		ibv_close_device(p->watch);
		p->watch = NULL;
	}
}

void
verbs_port_hear(struct verbs_port *p)
{
	struct ibv_async_event ev;

	while (ibv_get_async_event(p->watch, &ev) == 0) {
		if (ev.event_type == IBV_EVENT_DEVICE_FATAL ||
			(ev.event_type == IBV_EVENT_PORT_ERR &&
			(unsigned)ev.element.port_num == p->nic.port))
			atomic_store(&p->down, 1);
		ibv_ack_async_event(&ev);
	}
	if (errno != EAGAIN && errno != EINTR)
		atomic_store(&p->down, 1);	/* the device is gone */
}

/* An address that others can reach us by. */
static int
usable(const struct ifaddrs *a)
{
	const struct sockaddr_in6 *six = (const void *)a->ifa_addr;

	if (!a->ifa_addr || !(a->ifa_flags & IFF_UP) || (a->ifa_flags & IFF_LOOPBACK))
		return 0;
	return a->ifa_addr->sa_family == AF_INET || (a->ifa_addr->sa_family == AF_INET6 &&
		!IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr));
}

static unsigned
prefix_of(const struct sockaddr *mask)
{
	const unsigned char *p = (const void *)&((const struct sockaddr_in *)mask)->sin_addr;
	size_t i, n = 4;
	unsigned bits = 0;

	if (mask->sa_family == AF_INET6) {
		p = (const void *)&((const struct sockaddr_in6 *)mask)->sin6_addr;
		n = 16;
	}
	for (i = 0; i < n; i++)
		bits += (unsigned)__builtin_popcount(p[i]);
	return bits;
}

/* What rdma_cm makes of an address: 0 if it belongs to a port that is up and permitted. */
static int
look(struct nic *n, const struct ifaddrs *a, struct rdma_event_channel *events, const char *list)
{
	size_t len = a->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) :
		sizeof(struct sockaddr_in6);
	struct rdma_cm_id *id;
	int rc = -1;

	memset(n, 0, sizeof(*n));
	if (rdma_create_id(events, &id, NULL, RDMA_PS_TCP) < 0)
		return -1;
	if (rdma_bind_addr(id, a->ifa_addr) == 0 && id->verbs) {
		snprintf(n->dev, sizeof(n->dev), "%s", ibv_get_device_name(id->verbs->device));
		snprintf(n->netdev, sizeof(n->netdev), "%s", a->ifa_name);
		n->port = id->port_num;
		memcpy(&n->addr, a->ifa_addr, len);
		if (a->ifa_netmask)
			n->prefix = prefix_of(a->ifa_netmask);
		if (id->verbs->device->transport_type == IBV_TRANSPORT_IB)
			memcpy(n->gid, &id->route.addr.addr.ibaddr.sgid, 16);
		rc = nic_look(n, SYS, NULL) < 0 || !nic_permitted(n, list) ? -1 : 0;
	}
	rdma_destroy_id(id);
	return rc;
}

int
verbs_ports(struct verbs *v, struct err *e)
{
	const char *list = v->base.opts.nic;
	struct nic found[FOUND_MAX];
	struct ifaddrs *all, *a;
	struct verbs_port *p;
	int i, count = 0;

	if (getifaddrs(&all) < 0)
		return err_sys(e, "addresses of this host");
	for (a = all; a && count < FOUND_MAX; a = a->ifa_next)
		if (usable(a) && look(&found[count], a, v->events, list) == 0)
			count++;
	freeifaddrs(all);
	if (count == 0)
		return err_set(e, ERR_TEMP, "no active RDMA port with an address%s%s",
			list ? " among " : "", list ? list : "");
	v->near = nic_rank(found, &count, nic_here(), v->base.opts.near);
	for (i = 0; i < count && i < NIC_MAX; i++) {
		p = &v->port[v->ports++];
		p->nic = found[i];
		if (rdma_create_id(v->events, &p->listener, NULL, RDMA_PS_TCP) < 0 ||
			rdma_bind_addr(p->listener, (struct sockaddr *)&p->nic.addr) < 0)
			return err_sys(e, "bind '%s:%u'", p->nic.dev, p->nic.port);
	}
	if (v->near > v->ports)
		v->near = v->ports;
	return 0;
}
#endif
