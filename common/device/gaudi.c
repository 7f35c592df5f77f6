#include <stdlib.h>
#include <string.h>

#include "device/ops.h"
#include "lib/lib.h"

/*
 * Names and constants: Synapse, synapse_api.h of version 1.18. The device is one process's
 * alone, and its memory has neither a host pointer nor a handle for others. A dma-buf would
 * be over the whole of the memory pool, whose base only structures of the vendor's headers
 * tell, so none is exported. Copies need host memory that is mapped for the device: a bounce
 * buffer, since mapping costs more than copying through it.
 */
#define BOUNCE ((size_t)8 << 20)
#define HOST_TO_DRAM 0
#define DRAM_TO_HOST 1

struct driver {
	int (*init)(void);
	int (*destroy)(void);
	int (*acquire)(uint32_t *, uint32_t);
	int (*release)(uint32_t);
	int (*alloc)(uint32_t, uint64_t, uint64_t, uint32_t, uint64_t *);
	int (*free)(uint32_t, uint64_t, uint32_t);
	int (*host_alloc)(uint32_t, uint64_t, uint32_t, void **);
	int (*host_free)(uint32_t, const void *, uint32_t);
	int (*stream)(void **, uint32_t, uint32_t);
	int (*stream_free)(void *);
	int (*copy)(void *, uint64_t, uint64_t, uint64_t, int);
	int (*wait)(void *);
};

static const struct lib_symbol symbols[] = {
	LIB_SYMBOL(driver, init, "synInitialize"),
	LIB_SYMBOL(driver, destroy, "synDestroy"),
	LIB_SYMBOL(driver, acquire, "synDeviceAcquireByModuleId"),
	LIB_SYMBOL(driver, release, "synDeviceRelease"),
	LIB_SYMBOL(driver, alloc, "synDeviceMalloc"),
	LIB_SYMBOL(driver, free, "synDeviceFree"),
	LIB_SYMBOL(driver, host_alloc, "synHostMalloc"),
	LIB_SYMBOL(driver, host_free, "synHostFree"),
	LIB_SYMBOL(driver, stream, "synStreamCreateGeneric"),
	LIB_SYMBOL(driver, stream_free, "synStreamDestroy"),
	LIB_SYMBOL(driver, copy, "synMemCopyAsync"),
	LIB_SYMBOL(driver, wait, "synStreamSynchronize"),
};

struct gaudi {
	struct device base;
	struct driver f;
	uint32_t id;
	void *stream;
	void *bounce;
};

static int
check(int rc, const char *what, struct err *e)
{
	return rc ? err_set(e, ERR_TEMP, "%s: Synapse error %d", what, rc) : 0;
}

static int
gaudi_open(struct device **out, unsigned index, struct err *e)
{
	static const char *const names[] = { "libSynapse.so", NULL };
	struct gaudi *g = calloc(1, sizeof(*g));

	if (!g)
		return err_sys(e, "calloc");
	if (lib_open(names, symbols, sizeof(symbols) / sizeof(symbols[0]), &g->f, e) < 0)
		goto free_g;
	if (check(g->f.init(), "start", e) < 0)
		goto free_g;
	if (check(g->f.acquire(&g->id, index), "absent, or another process has it", e) < 0)
		goto destroy;
	if (check(g->f.stream(&g->stream, g->id, 0), "stream", e) < 0)
		goto release;
	if (check(g->f.host_alloc(g->id, BOUNCE, 0, &g->bounce), "host memory", e) < 0)
		goto stream_free;
	*out = &g->base;
	return 0;
stream_free:
	(void)g->f.stream_free(g->stream);
release:
	(void)g->f.release(g->id);
destroy:
	(void)g->f.destroy();
free_g:
	free(g);
	return -1;
}

static void
gaudi_close(struct device *d)
{
	struct gaudi *g = (struct gaudi *)d;

	(void)g->f.host_free(g->id, g->bounce, 0);
	(void)g->f.stream_free(g->stream);
	(void)g->f.release(g->id);
	(void)g->f.destroy();
	free(g);
}

static int
gaudi_alloc(struct device *d, size_t n, uint64_t *addr, struct err *e)
{
	struct gaudi *g = (struct gaudi *)d;
	int rc = g->f.alloc(g->id, n ? n : 1, 0, 0, addr);

	return rc ? err_set(e, ERR_FAILED, "allocate: Synapse error %d", rc) : 0;
}

static void
gaudi_free(struct device *d, uint64_t addr)
{
	struct gaudi *g = (struct gaudi *)d;

	(void)g->f.free(g->id, addr, 0);
}

static int
copy(struct gaudi *g, uint64_t from, uint64_t to, size_t n, int way, struct err *e)
{
	if (check(g->f.copy(g->stream, from, n, to, way), "copy", e) < 0)
		return -1;
	return check(g->f.wait(g->stream), "copy", e);
}

static int
gaudi_in(struct device *d, uint64_t to, const void *from, size_t n, struct err *e)
{
	struct gaudi *g = (struct gaudi *)d;
	size_t done, part;

	for (done = 0; done < n; done += part) {
		part = n - done < BOUNCE ? n - done : BOUNCE;
		memcpy(g->bounce, (const char *)from + done, part);
		if (copy(g, (uintptr_t)g->bounce, to + done, part, HOST_TO_DRAM, e) < 0)
			return -1;
	}
	return 0;
}

static int
gaudi_out(struct device *d, void *to, uint64_t from, size_t n, struct err *e)
{
	struct gaudi *g = (struct gaudi *)d;
	size_t done, part;

	for (done = 0; done < n; done += part) {
		part = n - done < BOUNCE ? n - done : BOUNCE;
		if (copy(g, from + done, (uintptr_t)g->bounce, part, DRAM_TO_HOST, e) < 0)
			return -1;
		memcpy((char *)to + done, g->bounce, part);
	}
	return 0;
}

const struct device_ops device_gaudi = {
	.kind = "gaudi", .open = gaudi_open, .close = gaudi_close, .alloc = gaudi_alloc,
	.free = gaudi_free, .in = gaudi_in, .out = gaudi_out,
};
