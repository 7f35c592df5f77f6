#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Memory that KV cache lies in: of the host, or of an accelerator. Addresses of a device are
 * numbers: nobody but the driver may follow them. Vendors' libraries are opened at run time,
 * so that one binary serves all hosts; where a library or a device is missing, device_open()
 * says which. One thread at a time uses a device.
 */
struct device;

/* "host", "cuda:N" (NVIDIA), "rocm:N" (AMD), "gaudi:N" (Intel; N is the module). ERR_USAGE: no
 * such kind, or this host has no such device. ERR_TEMP: another process has it (a Gaudi is
 * one process's alone). */
int device_open(struct device **out, const char *name, struct err *e);
void device_close(struct device *d);		/* all is freed and detached before; safe on NULL */
const char *device_name(const struct device *d);	/* "cuda:0" */

/* n bytes, aligned for any use; contents are not known. ERR_FAILED: no memory. */
int device_alloc(struct device *d, size_t n, uint64_t *addr, struct err *e);
void device_free(struct device *d, uint64_t addr);

/* Copy from the host to the device, and back; done on return. */
int device_in(struct device *d, uint64_t to, const void *from, size_t n, struct err *e);
int device_out(struct device *d, void *to, uint64_t from, size_t n, struct err *e);

/* What another process needs to reach an allocation: kind and text of the driver, and where in
 * the shared piece the address lies. The allocation must stay until the other has detached. */
#define DEVICE_TOKEN 64
struct device_token {
	unsigned char raw[DEVICE_TOKEN];
	uint64_t off;		/* of the address in what raw stands for */
	uint64_t len;		/* that may be used from there */
};

/* addr lies in an allocation of this process, of n bytes from there. ERR_USAGE: this kind of
 * device cannot share (Gaudi: no other process can read its memory). */
int device_share(struct device *d, uint64_t addr, size_t n, struct device_token *t,
	struct err *e);
/* The same memory in this process. ERR_TEMP: its owner has gone. CUDA and ROCm refuse a token
 * of the process's own. */
int device_attach(struct device *d, const struct device_token *t, uint64_t *addr, struct err *e);
void device_detach(struct device *d, uint64_t addr);

/* A dma-buf over n bytes at addr, for ibv_reg_dmabuf_mr(): the caller closes *fd; the memory
 * begins *off bytes into it. ERR_USAGE: not to be had (host memory is registered as it is;
 * ROCm needs a kernel that can move peers' buffers, or transfers fail unseen). */
int device_dmabuf(struct device *d, uint64_t addr, size_t n, int *fd, uint64_t *off,
	struct err *e);

/* Path of the device below /sys, for choosing a port near it, into out; -1: none is known. */
int device_path(struct device *d, char *out, size_t size, struct err *e);

#endif
