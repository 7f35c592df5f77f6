#ifndef DEVICE_OPS_H
#define DEVICE_OPS_H

#include "device/device.h"

/* For the kinds of devices alone. State begins with struct device. */
struct device {
	const struct device_ops *ops;
	unsigned index;
	char name[32];
};

/* Contracts: device.h, functions of these names. What a kind lacks is NULL. */
struct device_ops {
	const char *kind;
	int (*open)(struct device **out, unsigned index, struct err *e);
	void (*close)(struct device *d);
	int (*alloc)(struct device *d, size_t n, uint64_t *addr, struct err *e);
	void (*free)(struct device *d, uint64_t addr);
	int (*in)(struct device *d, uint64_t to, const void *from, size_t n, struct err *e);
	int (*out)(struct device *d, void *to, uint64_t from, size_t n, struct err *e);
	int (*share)(struct device *d, uint64_t addr, struct device_token *t, struct err *e);
	int (*attach)(struct device *d, const struct device_token *t, uint64_t *base,
		struct err *e);
	void (*detach)(struct device *d, uint64_t base);
	int (*dmabuf)(struct device *d, uint64_t addr, size_t n, int *fd, uint64_t *off,
		struct err *e);
	int (*pci)(struct device *d, char *out, int size);	/* "0000:03:00.0" */
};

extern const struct device_ops device_host, device_cuda, device_rocm, device_gaudi;

#endif
