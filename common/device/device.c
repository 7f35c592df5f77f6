#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "device/ops.h"

static const struct device_ops *const kinds[] = {
	&device_host, &device_cuda, &device_rocm, &device_gaudi,
};

int
device_open(struct device **out, const char *name, struct err *e)
{
	size_t i, len = strcspn(name, ":");
	uint64_t index = 0;

	*out = NULL;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strncmp(name, kinds[i]->kind, len) && !kinds[i]->kind[len])
			break;
	if (i == sizeof(kinds) / sizeof(kinds[0]))
		return err_set(e, ERR_USAGE,
			"device '%s': not host, cuda:N, rocm:N or gaudi:N", name);
	if (name[len] && num_u64(&index, name + len + 1, 0, 255, "device", e) < 0)
		return -1;
	if (kinds[i]->open(out, (unsigned)index, e) < 0)
		return err_in(e, "device '%s'", name);
	(*out)->ops = kinds[i];
	(*out)->index = (unsigned)index;
	snprintf((*out)->name, sizeof((*out)->name), "%s", name);
	return 0;
}

void
device_close(struct device *d)
{
	if (d)
		d->ops->close(d);
}

const char *
device_name(const struct device *d)
{
	return d->name;
}

static int
named(struct device *d, int rc, struct err *e)
{
	return rc < 0 ? err_in(e, "device '%s'", d->name) : 0;
}

static int
lacks(struct device *d, const char *what, struct err *e)
{
	return err_set(e, ERR_USAGE, "device '%s': %s", d->name, what);
}

int
device_alloc(struct device *d, size_t n, uint64_t *addr, struct err *e)
{
	return named(d, d->ops->alloc(d, n, addr, e), e);
}

void
device_free(struct device *d, uint64_t addr)
{
	if (addr)
		d->ops->free(d, addr);
}

int
device_in(struct device *d, uint64_t to, const void *from, size_t n, struct err *e)
{
	return named(d, n ? d->ops->in(d, to, from, n, e) : 0, e);
}

int
device_out(struct device *d, void *to, uint64_t from, size_t n, struct err *e)
{
	return named(d, n ? d->ops->out(d, to, from, n, e) : 0, e);
}

int
device_share(struct device *d, uint64_t addr, size_t n, struct device_token *t, struct err *e)
{
	memset(t, 0, sizeof(*t));
	if (!d->ops->share)
		return lacks(d, "no other process can read its memory", e);
	t->len = n;
	return named(d, d->ops->share(d, addr, t, e), e);
}

int
device_attach(struct device *d, const struct device_token *t, uint64_t *addr, struct err *e)
{
	uint64_t base;

	*addr = 0;
	if (!d->ops->attach)
		return lacks(d, "no other process can read its memory", e);
	if (d->ops->attach(d, t, &base, e) < 0)
		return named(d, -1, e);
	*addr = base + t->off;
	return 0;
}

void
device_detach(struct device *d, uint64_t addr)
{
	if (addr)
		d->ops->detach(d, addr);
}

int
device_dmabuf(struct device *d, uint64_t addr, size_t n, int *fd, uint64_t *off, struct err *e)
{
	*fd = -1;
	if (!d->ops->dmabuf)
		return lacks(d, "its memory cannot be exported as a dma-buf", e);
	return named(d, d->ops->dmabuf(d, addr, n, fd, off, e), e);
}

int
device_path(struct device *d, char *out, size_t size, struct err *e)
{
	char pci[32] = "", path[96], real[PATH_MAX], *p;

	if (!d->ops->pci || d->ops->pci(d, pci, sizeof(pci)) < 0)
		return lacks(d, "its place on the bus is not known", e);
	for (p = pci; *p; p++)	/* drivers write 0000:0A:00.0, sysfs 0000:0a:00.0 */
		*p = *p >= 'A' && *p <= 'F' ? (char)(*p - 'A' + 'a') : *p;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", pci);
	if (!realpath(path, real) || strncmp(real, "/sys/", 5) || strlen(real + 4) >= size)
		return lacks(d, "its place on the bus is not known", e);
	strcpy(out, real + 4);
	return 0;
}
