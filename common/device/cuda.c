#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/ops.h"
#include "lib/lib.h"

/* Names, versions and constants: CUDA driver API, cuda.h of version 12. Names without suffix
 * are first versions of those functions, with 32-bit sizes. */
typedef struct {
	char raw[64];
} handle;

struct driver {
	int (*init)(unsigned);
	int (*get)(int *, int);
	int (*retain)(void **, int);
	int (*release)(int);
	int (*set_current)(void *);
	int (*alloc)(uint64_t *, size_t);
	int (*free)(uint64_t);
	int (*range)(uint64_t *, size_t *, uint64_t);
	int (*in)(uint64_t, const void *, size_t);
	int (*out)(void *, uint64_t, size_t);
	int (*ipc_get)(handle *, uint64_t);
	int (*ipc_open)(uint64_t *, handle, unsigned);
	int (*ipc_close)(uint64_t);
	int (*error)(int, const char **);
	int (*pci)(char *, int, int);
	int (*entry)(const char *, void **, int, uint64_t);
};

static const struct lib_symbol symbols[] = {
	LIB_SYMBOL(driver, init, "cuInit"),
	LIB_SYMBOL(driver, get, "cuDeviceGet"),
	LIB_SYMBOL(driver, retain, "cuDevicePrimaryCtxRetain"),
	LIB_SYMBOL(driver, release, "cuDevicePrimaryCtxRelease_v2"),
	LIB_SYMBOL(driver, set_current, "cuCtxSetCurrent"),
	LIB_SYMBOL(driver, alloc, "cuMemAlloc_v2"),
	LIB_SYMBOL(driver, free, "cuMemFree_v2"),
	LIB_SYMBOL(driver, range, "cuMemGetAddressRange_v2"),
	LIB_SYMBOL(driver, in, "cuMemcpyHtoD_v2"),
	LIB_SYMBOL(driver, out, "cuMemcpyDtoH_v2"),
	LIB_SYMBOL(driver, ipc_get, "cuIpcGetMemHandle"),
	LIB_SYMBOL(driver, ipc_open, "cuIpcOpenMemHandle_v2"),
	LIB_SYMBOL(driver, ipc_close, "cuIpcCloseMemHandle"),
	LIB_SYMBOL(driver, error, "cuGetErrorName"),
	LIB_SYMBOL(driver, pci, "cuDeviceGetPCIBusId"),
	LIB_SYMBOL(driver, entry, "cuGetProcAddress"),
};

#define OUT_OF_MEMORY 2
#define LAZY_PEER_ACCESS 1
#define RANGE_DMABUF 1		/* kind of handle of an address range */
#define RANGE_SINCE 11070	/* the version that brought it */

typedef int range_handle(void *, uint64_t, size_t, int, unsigned long long);

struct cuda {
	struct device base;
	struct driver f;
	int device;
	void *context;
};

static int
check(const struct driver *f, int rc, const char *what, struct err *e)
{
	const char *name = NULL;

	if (rc == 0)
		return 0;
	if (f->error(rc, &name) || !name)
		name = "unknown error";
	return err_set(e, rc == OUT_OF_MEMORY ? ERR_FAILED : ERR_TEMP, "%s: %s (%d)", what, name,
		rc);
}

/* Contexts belong to threads; ours is made the caller's each time. */
static int
enter(struct cuda *c, struct err *e)
{
	return check(&c->f, c->f.set_current(c->context), "cuCtxSetCurrent", e);
}

static int
cuda_open(struct device **out, unsigned index, struct err *e)
{
	static const char *const names[] = { "libcuda.so.1", NULL };
	struct cuda *c = calloc(1, sizeof(*c));

	if (!c)
		return err_sys(e, "calloc");
	if (lib_open(names, symbols, sizeof(symbols) / sizeof(symbols[0]), &c->f, e) < 0)
		goto free_c;
	if (c->f.init(0) || c->f.get(&c->device, (int)index)) {
		err_set(e, ERR_USAGE, "no such device");
		goto free_c;
	}
	if (check(&c->f, c->f.retain(&c->context, c->device), "context", e) < 0)
		goto free_c;
	*out = &c->base;
	return 0;
free_c:
	free(c);
	return -1;
}

static void
cuda_close(struct device *d)
{
	struct cuda *c = (struct cuda *)d;

	(void)c->f.release(c->device);
	free(c);
}

static int
cuda_alloc(struct device *d, size_t n, uint64_t *addr, struct err *e)
{
	struct cuda *c = (struct cuda *)d;

	if (enter(c, e) < 0)
		return -1;
	return check(&c->f, c->f.alloc(addr, n ? n : 1), "allocate", e);
}

static void
cuda_free(struct device *d, uint64_t addr)
{
	struct cuda *c = (struct cuda *)d;

	if (enter(c, NULL) == 0)
		(void)c->f.free(addr);
}

static int
cuda_in(struct device *d, uint64_t to, const void *from, size_t n, struct err *e)
{
	struct cuda *c = (struct cuda *)d;

	if (enter(c, e) < 0)
		return -1;
	return check(&c->f, c->f.in(to, from, n), "copy in", e);
}

static int
cuda_out(struct device *d, void *to, uint64_t from, size_t n, struct err *e)
{
	struct cuda *c = (struct cuda *)d;

	if (enter(c, e) < 0)
		return -1;
	return check(&c->f, c->f.out(to, from, n), "copy out", e);
}

static int
cuda_share(struct device *d, uint64_t addr, struct device_token *t, struct err *e)
{
	struct cuda *c = (struct cuda *)d;
	uint64_t base;
	size_t n;
	handle h;

	if (enter(c, e) < 0 ||
		check(&c->f, c->f.range(&base, &n, addr), "address range", e) < 0)
		return -1;
	if (t->len > n - (addr - base))
		return err_set(e, ERR_USAGE, "not within one allocation");
	/* a handle stands for the whole allocation, whatever address it was asked for */
	if (check(&c->f, c->f.ipc_get(&h, base), "memory handle", e) < 0)
		return -1;
	memcpy(t->raw, &h, sizeof(h));
	t->off = addr - base;
	return 0;
}

static int
cuda_attach(struct device *d, const struct device_token *t, uint64_t *base, struct err *e)
{
	struct cuda *c = (struct cuda *)d;
	handle h;

	memcpy(&h, t->raw, sizeof(h));
	if (enter(c, e) < 0)
		return -1;
	return check(&c->f, c->f.ipc_open(base, h, LAZY_PEER_ACCESS), "open memory handle", e);
}

static void
cuda_detach(struct device *d, uint64_t addr)
{
	struct cuda *c = (struct cuda *)d;
	uint64_t base = addr;
	size_t n;

	if (enter(c, NULL) < 0)
		return;
	(void)c->f.range(&base, &n, addr);
	(void)c->f.ipc_close(base);
}

static int
cuda_dmabuf(struct device *d, uint64_t addr, size_t n, int *fd, uint64_t *off, struct err *e)
{
	struct cuda *c = (struct cuda *)d;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), first = addr & ~(page - 1);
	size_t len = (size_t)((addr + n - first + page - 1) & ~(page - 1));
	range_handle *get = NULL;
	void *found = NULL;

	if (c->f.entry("cuMemGetHandleForAddressRange", &found, RANGE_SINCE, 0) || !found)
		return err_set(e, ERR_USAGE, "its driver has no dma-bufs");
	memcpy(&get, &found, sizeof(get));
	if (enter(c, e) < 0 || check(&c->f, get(fd, first, len, RANGE_DMABUF, 0), "dma-buf", e) < 0)
		return -1;
	*off = addr - first;
	return 0;
}

static int
cuda_pci(struct device *d, char *out, int size)
{
	struct cuda *c = (struct cuda *)d;

	return c->f.pci(out, size, c->device) ? -1 : 0;
}

const struct device_ops device_cuda = {
	.kind = "cuda", .open = cuda_open, .close = cuda_close, .alloc = cuda_alloc,
	.free = cuda_free, .in = cuda_in, .out = cuda_out, .share = cuda_share,
	.attach = cuda_attach, .detach = cuda_detach, .dmabuf = cuda_dmabuf, .pci = cuda_pci,
};
