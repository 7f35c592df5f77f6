/*
 * Stand-ins for the drivers of accelerators, for tests/unit/device.c: the entry points that
 * common/device uses, on host memory. Their addresses are not pointers (bit 46 is flipped),
 * so that code which follows one crashes. One device each, number 0.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FLIP ((uint64_t)1 << 46)
#define EXPORT __attribute__((visibility("default")))

typedef struct {
	char raw[64];
} handle;

static struct {
	uint64_t addr;
	size_t n;
} piece[16];
static int entered, mapped;
static void *bounce;

static int
add(uint64_t *addr, size_t n)
{
	int i;

	if (n > (size_t)1 << 32)
		return 2;
	for (i = 0; piece[i].addr; i++)
		;
	piece[i].n = n;
	*addr = piece[i].addr = (uintptr_t)malloc(n) ^ FLIP;
	return 0;
}

static int
drop(uint64_t addr)
{
	int i;

	for (i = 0; i < 16; i++)
		if (addr && piece[i].addr == addr) {
			free((void *)(uintptr_t)(addr ^ FLIP));
			piece[i].addr = 0;
			return 0;
		}
	return 1;
}

static int
range(uint64_t *base, size_t *n, uint64_t addr)
{
	int i;

	for (i = 0; i < 16; i++)
		if (piece[i].addr && addr - piece[i].addr < piece[i].n) {
			*base = piece[i].addr;
			*n = piece[i].n;
			return 0;
		}
	return 1;
}

static void *
at(uint64_t addr)
{
	return (void *)(uintptr_t)(addr ^ FLIP);
}

/* CUDA: every call but the first few needs a current context. */
EXPORT int cuInit(unsigned flags) { return (int)flags; }
EXPORT int cuDeviceGet(int *d, int i) { *d = 7; return i ? 101 : 0; }
EXPORT int cuDevicePrimaryCtxRetain(void **c, int d) { *c = &entered; return d != 7; }
EXPORT int cuDevicePrimaryCtxRelease_v2(int d) { entered = 0; return d != 7; }
EXPORT int cuCtxSetCurrent(void *c) { entered = c == &entered; return !entered; }
EXPORT int cuMemAlloc_v2(uint64_t *p, size_t n) { return entered ? add(p, n) : 201; }
EXPORT int cuMemFree_v2(uint64_t p) { return entered ? drop(p) : 201; }

EXPORT int
cuMemGetAddressRange_v2(uint64_t *b, size_t *n, uint64_t p)
{
	return range(b, n, p);
}

EXPORT int
cuDeviceGetPCIBusId(char *s, int n, int d)
{
	(void)d;
	(void)n;
	strcpy(s, "0000:AA:00.0");
	return 0;
}

EXPORT int
cuGetErrorName(int rc, const char **s)
{
	*s = rc == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : NULL;
	return 0;
}

EXPORT int cuIpcCloseMemHandle(uint64_t p) { return mapped-- != 1 || !p; }

EXPORT int
cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t n)
{
	memcpy(at(to), from, n);
	return entered ? 0 : 201;
}

EXPORT int
cuMemcpyDtoH_v2(void *to, uint64_t from, size_t n)
{
	memcpy(to, at(from), n);
	return entered ? 0 : 201;
}

EXPORT int
cuIpcGetMemHandle(handle *h, uint64_t p)
{
	memset(h, 0x5a, sizeof(*h));
	memcpy(h->raw + 56, &p, 8);
	return 0;
}

EXPORT int
cuIpcOpenMemHandle_v2(uint64_t *p, handle h, unsigned flags)
{
	memcpy(p, h.raw + 56, 8);
	mapped++;
	return flags != 1 || h.raw[0] != 0x5a;
}

/* The dma-buf is a file of memory that tells its range. */
static int
dmabuf(void *fd, uint64_t p, size_t n, int type, unsigned long long flags)
{
	uint64_t words[2] = { p, n };
	int f = memfd_create("dmabuf", MFD_CLOEXEC);

	if (type != 1 || flags || p % 4096 || n % 4096 || write(f, words, 16) != 16)
		return 1;
	memcpy(fd, &f, sizeof(f));
	return 0;
}

EXPORT int
cuGetProcAddress(const char *name, void **f, int version, uint64_t flags)
{
	int (*found)(void *, uint64_t, size_t, int, unsigned long long) = dmabuf;

	if (strcmp(name, "cuMemGetHandleForAddressRange") || version < 11070 || flags)
		return 500;
	memcpy(f, &found, sizeof(found));
	return 0;
}

/* HIP */
static uint64_t num(const void *p) { return (uintptr_t)p; }
EXPORT int hipInit(unsigned flags) { return (int)flags; }
EXPORT int hipGetDeviceCount(int *n) { *n = 1; return 0; }
EXPORT int hipSetDevice(int d) { entered = d == 0; return !entered; }
EXPORT int hipMalloc(void **p, size_t n) { return add((uint64_t *)p, n); }
EXPORT int hipFree(void *p) { return drop(num(p)); }

EXPORT const char *
hipGetErrorName(int rc)
{
	return rc == 2 ? "hipErrorOutOfMemory" : "hipErrorUnknown";
}

EXPORT int hipDeviceGetPCIBusId(char *s, int n, int d) { return cuDeviceGetPCIBusId(s, n, d); }

EXPORT int
hipMemGetAddressRange(void **b, size_t *n, void *p)
{
	return range((uint64_t *)b, n, num(p));
}

EXPORT int hipIpcGetMemHandle(handle *h, void *p) { return cuIpcGetMemHandle(h, num(p)); }

EXPORT int
hipIpcOpenMemHandle(void **p, handle h, unsigned f)
{
	return cuIpcOpenMemHandle_v2((uint64_t *)p, h, f);
}

EXPORT int hipIpcCloseMemHandle(void *p) { return cuIpcCloseMemHandle(num(p)); }

EXPORT int
hipMemcpy(void *to, const void *from, size_t n, int kind)
{
	if (kind == 1)
		return cuMemcpyHtoD_v2(num(to), from, n);
	return kind == 2 ? cuMemcpyDtoH_v2(to, num(from), n) : 1;
}

EXPORT int
hsa_amd_portable_export_dmabuf(const void *p, size_t n, int *fd, uint64_t *off)
{
	*off = num(p) % 4096;
	return dmabuf(fd, num(p) - *off, (n + *off + 4095) & ~(size_t)4095, 1, 0);
}

/* Synapse: copies only from and to the memory that it gave. */
EXPORT int synInitialize(void) { return 0; }
EXPORT int synDestroy(void) { return 0; }

EXPORT int
synDeviceAcquireByModuleId(uint32_t *id, uint32_t module)
{
	*id = 3;
	return module ? 26 : 0;
}

EXPORT int synDeviceRelease(uint32_t id) { return id != 3; }

EXPORT int
synDeviceMalloc(uint32_t id, uint64_t n, uint64_t at_, uint32_t f, uint64_t *p)
{
	return id != 3 || at_ || f || add(p, n);
}

EXPORT int
synDeviceFree(uint32_t id, uint64_t p, uint32_t f)
{
	return id != 3 || f || drop(p);
}

EXPORT int
synHostMalloc(uint32_t id, uint64_t n, uint32_t f, void **p)
{
	*p = bounce = malloc(n);
	return id != 3 || f;
}

EXPORT int
synHostFree(uint32_t id, const void *p, uint32_t f)
{
	free(bounce);
	return id != 3 || f || p != bounce;
}

EXPORT int
synStreamCreateGeneric(void **s, uint32_t id, uint32_t f)
{
	*s = &mapped;
	return id != 3 || f;
}

EXPORT int synStreamDestroy(void *s) { return s != &mapped; }
EXPORT int synStreamSynchronize(void *s) { return s != &mapped; }

EXPORT int
synMemCopyAsync(void *s, uint64_t from, uint64_t n, uint64_t to, int way)
{
	if (s != &mapped || num(bounce) != (way == 0 ? from : to))
		return 1;
	if (way == 0)
		memcpy(at(to), bounce, n);
	else
		memcpy(bounce, at(from), n);
	return way > 1;
}
