#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "device/ops.h"

/*
 * Host memory, in files of memory, so that it can be shared: a token is the owner's process
 * id (u32), its descriptor (u32), and device and inode (u64 each) of the file, since numbers
 * of processes are used again.
 */
struct piece {
	struct piece *next;
	unsigned char *p;
	size_t n;
	int fd;			/* -1: attached */
};

struct host {
	struct device base;
	struct piece *pieces;
};

static int
host_open(struct device **out, unsigned index, struct err *e)
{
	struct host *h;

	if (index)
		return err_set(e, ERR_USAGE, "the host is one");
	h = calloc(1, sizeof(*h));
	if (!h)
		return err_sys(e, "calloc");
	*out = &h->base;
	return 0;
}

static void
piece_free(struct piece **at)
{
	struct piece *x = *at;

	*at = x->next;
	munmap(x->p, x->n);
	if (x->fd >= 0)
		close(x->fd);
	free(x);
}

static void
host_close(struct device *d)
{
	struct host *h = (struct host *)d;

	while (h->pieces)
		piece_free(&h->pieces);
	free(h);
}

/* The piece that addr lies in, or the end. */
static struct piece **
find(struct host *h, uint64_t addr)
{
	struct piece **at;

	for (at = &h->pieces; *at; at = &(*at)->next)
		if (addr - (uintptr_t)(*at)->p < (*at)->n)
			break;
	return at;
}

/* Map a file of memory and remember it. Takes fd on success; keep: it stays open. */
static int
map(struct host *h, int fd, size_t n, int keep, uint64_t *addr, struct err *e)
{
	struct piece *x = malloc(sizeof(*x));

	if (!x)
		return err_sys(e, "malloc");
	x->p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (x->p == MAP_FAILED) {
		free(x);
		return err_sys(e, "map %zu bytes", n);
	}
	x->n = n;
	x->fd = keep ? fd : -1;
	x->next = h->pieces;
	h->pieces = x;
	if (!keep)
		close(fd);
	*addr = (uintptr_t)x->p;
	return 0;
}

static int
host_alloc(struct device *d, size_t n, uint64_t *addr, struct err *e)
{
	int fd = memfd_create("kvtools", MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "memfd_create");
	if (ftruncate(fd, (off_t)(n ? n : 1)) < 0)
		err_sys(e, "allocate %zu bytes", n);
	else if (map((struct host *)d, fd, n ? n : 1, 1, addr, e) == 0)
		return 0;
	close(fd);
	return -1;
}

static void
host_free(struct device *d, uint64_t addr)
{
	struct piece **at = find((struct host *)d, addr);

	if (*at)
		piece_free(at);
}

static int
host_in(struct device *d, uint64_t to, const void *from, size_t n, struct err *e)
{
	(void)d;
	(void)e;
	memcpy((void *)(uintptr_t)to, from, n);
	return 0;
}

static int
host_out(struct device *d, void *to, uint64_t from, size_t n, struct err *e)
{
	(void)d;
	(void)e;
	memcpy(to, (const void *)(uintptr_t)from, n);
	return 0;
}

static int
host_share(struct device *d, uint64_t addr, struct device_token *t, struct err *e)
{
	struct piece *x = *find((struct host *)d, addr);
	struct stat st;

	if (!x || x->fd < 0 || t->len > x->n - (addr - (uintptr_t)x->p))
		return err_set(e, ERR_USAGE, "not memory allocated here");
	if (fstat(x->fd, &st) < 0)
		return err_sys(e, "memory");
	put_le32(t->raw, (uint32_t)getpid());
	put_le32(t->raw + 4, (uint32_t)x->fd);
	put_le64(t->raw + 8, st.st_dev);
	put_le64(t->raw + 16, st.st_ino);
	t->off = addr - (uintptr_t)x->p;
	return 0;
}

static int
host_attach(struct device *d, const struct device_token *t, uint64_t *base, struct err *e)
{
	char path[64];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/fd/%u", get_le32(t->raw), get_le32(t->raw + 4));
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return err_set(e, ERR_TEMP, "the owner of the memory has gone");
	if (fd < 0)
		return err_sys(e, "memory of process %u", get_le32(t->raw));
	if (fstat(fd, &st) < 0 || st.st_dev != get_le64(t->raw + 8) ||
		st.st_ino != get_le64(t->raw + 16))
		err_set(e, ERR_TEMP, "the owner of the memory has gone");
	else if (t->off > (uint64_t)st.st_size || t->len > (uint64_t)st.st_size - t->off)
		err_set(e, ERR_CORRUPT, "the token goes beyond its memory");
	else if (map((struct host *)d, fd, (size_t)st.st_size, 0, base, e) == 0)
		return 0;
	close(fd);
	return -1;
}

const struct device_ops device_host = {
	.kind = "host", .open = host_open, .close = host_close, .alloc = host_alloc,
	.free = host_free, .in = host_in, .out = host_out, .share = host_share,
	.attach = host_attach, .detach = host_free,
};
