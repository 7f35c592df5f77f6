#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/buf.h"
#include "base/io.h"
#include "device/ops.h"
#include "lib/lib.h"

/* Names and constants: ROCm 6 and 7, hip_runtime_api.h and hsa_ext_amd.h. */
typedef struct {
	char raw[64];
} handle;

struct driver {
	int (*init)(unsigned);
	int (*count)(int *);
	int (*set)(int);
	int (*alloc)(void **, size_t);
	int (*free)(void *);
	int (*copy)(void *, const void *, size_t, int);
	int (*range)(void **, size_t *, void *);
	int (*ipc_get)(handle *, void *);
	int (*ipc_open)(void **, handle, unsigned);
	int (*ipc_close)(void *);
	const char *(*error)(int);
	int (*pci)(char *, int, int);
};

static const struct lib_symbol symbols[] = {
	LIB_SYMBOL(driver, init, "hipInit"),
	LIB_SYMBOL(driver, count, "hipGetDeviceCount"),
	LIB_SYMBOL(driver, set, "hipSetDevice"),
	LIB_SYMBOL(driver, alloc, "hipMalloc"),
	LIB_SYMBOL(driver, free, "hipFree"),
	LIB_SYMBOL(driver, copy, "hipMemcpy"),
	LIB_SYMBOL(driver, range, "hipMemGetAddressRange"),
	LIB_SYMBOL(driver, ipc_get, "hipIpcGetMemHandle"),
	LIB_SYMBOL(driver, ipc_open, "hipIpcOpenMemHandle"),
	LIB_SYMBOL(driver, ipc_close, "hipIpcCloseMemHandle"),
	LIB_SYMBOL(driver, error, "hipGetErrorName"),
	LIB_SYMBOL(driver, pci, "hipDeviceGetPCIBusId"),
};

struct runtime {
	int (*dmabuf)(const void *, size_t, int *, uint64_t *);
};

static const struct lib_symbol runtime_symbols[] = {
	LIB_SYMBOL(runtime, dmabuf, "hsa_amd_portable_export_dmabuf"),
};

#define OUT_OF_MEMORY 2
#define HOST_TO_DEVICE 1
#define DEVICE_TO_HOST 2
#define LAZY_PEER_ACCESS 1

struct hip {
	struct device base;
	struct driver f;
	int device;
};

static void *
pointer(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static int
check(const struct hip *h, int rc, const char *what, struct err *e)
{
	const char *name;

	if (rc == 0)
		return 0;
	name = h->f.error(rc);
	return err_set(e, rc == OUT_OF_MEMORY ? ERR_FAILED : ERR_TEMP, "%s: %s (%d)", what,
		name ? name : "unknown error", rc);
}

/* The current device belongs to the thread. */
static int
enter(struct hip *h, struct err *e)
{
	return check(h, h->f.set(h->device), "hipSetDevice", e);
}

static int
hip_open(struct device **out, unsigned index, struct err *e)
{
	static const char *const names[] = {
		"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so", NULL,
	};
	struct hip *h = calloc(1, sizeof(*h));
	int n = 0;

	if (!h)
		return err_sys(e, "calloc");
	if (lib_open(names, symbols, sizeof(symbols) / sizeof(symbols[0]), &h->f, e) < 0)
		goto free_h;
	if (h->f.init(0) || h->f.count(&n) || (int)index >= n) {
		err_set(e, ERR_USAGE, "no such device");
		goto free_h;
	}
	h->device = (int)index;
	*out = &h->base;
	return 0;
free_h:
	free(h);
	return -1;
}

static void
hip_close(struct device *d)
{
	free(d);
}

static int
hip_alloc(struct device *d, size_t n, uint64_t *addr, struct err *e)
{
	struct hip *h = (struct hip *)d;
	void *p = NULL;

	if (enter(h, e) < 0 || check(h, h->f.alloc(&p, n ? n : 1), "allocate", e) < 0)
		return -1;
	*addr = (uintptr_t)p;
	return 0;
}

static void
hip_free(struct device *d, uint64_t addr)
{
	struct hip *h = (struct hip *)d;

	if (enter(h, NULL) == 0)
		(void)h->f.free(pointer(addr));
}

static int
hip_in(struct device *d, uint64_t to, const void *from, size_t n, struct err *e)
{
	struct hip *h = (struct hip *)d;

	if (enter(h, e) < 0)
		return -1;
	return check(h, h->f.copy(pointer(to), from, n, HOST_TO_DEVICE), "copy in", e);
}

static int
hip_out(struct device *d, void *to, uint64_t from, size_t n, struct err *e)
{
	struct hip *h = (struct hip *)d;

	if (enter(h, e) < 0)
		return -1;
	return check(h, h->f.copy(to, pointer(from), n, DEVICE_TO_HOST), "copy out", e);
}

static int
hip_share(struct device *d, uint64_t addr, struct device_token *t, struct err *e)
{
	struct hip *h = (struct hip *)d;
	void *base;
	size_t n;
	handle x;

	if (enter(h, e) < 0 ||
		check(h, h->f.range(&base, &n, pointer(addr)), "address range", e) < 0)
		return -1;
	if (t->len > n - (addr - (uintptr_t)base))
		return err_set(e, ERR_USAGE, "not within one allocation");
	if (check(h, h->f.ipc_get(&x, base), "memory handle", e) < 0)
		return -1;
	memcpy(t->raw, &x, sizeof(x));
	t->off = addr - (uintptr_t)base;
	return 0;
}

static int
hip_attach(struct device *d, const struct device_token *t, uint64_t *base, struct err *e)
{
	struct hip *h = (struct hip *)d;
	void *p = NULL;
	handle x;

	memcpy(&x, t->raw, sizeof(x));
	if (enter(h, e) < 0 ||
		check(h, h->f.ipc_open(&p, x, LAZY_PEER_ACCESS), "open memory handle", e) < 0)
		return -1;
	*base = (uintptr_t)p;
	return 0;
}

static void
hip_detach(struct device *d, uint64_t addr)
{
	struct hip *h = (struct hip *)d;
	void *base = pointer(addr);
	size_t n;

	if (enter(h, NULL) < 0)
		return;
	(void)h->f.range(&base, &n, pointer(addr));
	(void)h->f.ipc_close(base);
}

/* Does the kernel lack what dma-bufs of a peer need? Only a configuration that can be read
 * and says so counts: without these two registration succeeds and transfers fail unseen. */
static int
kernel_lacks_peers(void)
{
	struct buf b = {0};
	struct utsname u;
	char path[256];
	int lacks = 0;

	if (uname(&u) < 0)
		return 0;
	snprintf(path, sizeof(path), "/boot/config-%s", u.release);
	if (io_slurp(path, &b, 4 << 20, NULL) == 0 && buf_text(&b))
		lacks = !strstr(b.p, "\nCONFIG_PCI_P2PDMA=y") ||
			!strstr(b.p, "\nCONFIG_DMABUF_MOVE_NOTIFY=y");
	buf_free(&b);
	return lacks;
}

static int
hip_dmabuf(struct device *d, uint64_t addr, size_t n, int *fd, uint64_t *off, struct err *e)
{
	static const char *const names[] = { "libhsa-runtime64.so.1", NULL };
	struct runtime r;
	int rc;

	(void)d;
	if (kernel_lacks_peers())
		return err_set(e, ERR_USAGE,
			"the kernel lacks PCI_P2PDMA or DMABUF_MOVE_NOTIFY");
	if (lib_open(names, runtime_symbols, 1, &r, e) < 0)
		return -1;
	rc = r.dmabuf(pointer(addr), n, fd, off);
	return rc ? err_set(e, ERR_USAGE, "dma-buf: error %d", rc) : 0;
}

static int
hip_pci(struct device *d, char *out, int size)
{
	struct hip *h = (struct hip *)d;

	return h->f.pci(out, size, h->device) ? -1 : 0;
}

const struct device_ops device_rocm = {
	.kind = "rocm", .open = hip_open, .close = hip_close, .alloc = hip_alloc,
	.free = hip_free, .in = hip_in, .out = hip_out, .share = hip_share,
	.attach = hip_attach, .detach = hip_detach, .dmabuf = hip_dmabuf, .pci = hip_pci,
};
