#ifndef TRANSPORT_NIC_H
#define TRANSPORT_NIC_H

#include <net/if.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

/*
 * Ports of RDMA devices, as sysfs tells of them, and the choice among them. No device is
 * touched. sys is the root of sysfs ("/sys"), so that tests may bring their own.
 */
#define NIC_MAX 8		/* ports that one fabric uses */

struct nic {
	char dev[64];			/* "mlx5_0" */
	unsigned port;			/* from 1 */
	char netdev[IFNAMSIZ];		/* "ens1f0": has addr */
	struct sockaddr_storage addr;	/* what to bind to and to be reached by */
	unsigned prefix;		/* bits of addr that name its network */
	unsigned char gid[16];		/* of addr on this port; zero: iWARP */
	int gid_index;			/* in the port's table, -1 unknown */
	int roce_v2;			/* the kind of that entry */
	uint64_t line;			/* bits a second, 0 unknown */
	int numa;			/* node, -1 unknown */
	char pci[256];			/* resolved path of the device below sys, "" none */
	int far;			/* 0: preferred; see nic_rank() */
};

/* Fill in line, numa, pci, gid_index and roce_v2 of n (dev, port and gid are set). 0, or -1 with
 * ERR_TEMP: the port is not active. */
int nic_look(struct nic *n, const char *sys, struct err *e);

/* May this port be used under a list in UCX_NET_DEVICES syntax: "mlx5_0:1,mlx5_1:1", "all",
 * "^mlx5_2:1"; names of network interfaces count too, and a device without a port means all
 * of its ports. Ours on top: "mlx5_0:1@3" insists on entry 3 of the GID table. NULL: all. */
int nic_permitted(const struct nic *n, const char *list);

/* Components of two device paths behind what they share: the switches and bridges between
 * two PCI devices. 0: the same. */
int nic_distance(const char *a, const char *b);

/* Best first, and their number that are preferred (far 0), at least 1 if n is. Memory on
 * node numa (-1: unknown) prefers the ports of that node; if pci, a device's path, is not
 * NULL, memory of that device prefers the nearest by nic_distance(). Of two addresses on one
 * port one stays: RoCE version 2, then IPv4, comes first. *n shrinks accordingly. */
int nic_rank(struct nic *list, int *n, int numa, const char *pci);

/* NUMA node of the calling thread, -1 unknown. */
int nic_here(void);

/* Do a and b, with a's prefix, lie in one network? */
int nic_same_net(const struct nic *a, const struct sockaddr_storage *b);

#endif
