#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/num.h"
#include "transport/nic.h"

#define GIDS 256	/* entries of a port's table that are looked at */

/* First line of a small file of sysfs, "" if there is none. */
static void
line_of(char *out, size_t size, const char *path)
{
	struct buf b = {0};

	out[0] = '\0';
	if (io_slurp(path, &b, 4096, NULL) == 0 && buf_text(&b)) {
		b.p[strcspn(b.p, "\n")] = '\0';
		snprintf(out, size, "%s", b.p);
	}
	buf_free(&b);
}

static void
port_file(char *out, size_t size, const struct nic *n, const char *sys, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/class/infiniband/%s/ports/%u/%s", sys, n->dev, n->port,
		name);
	line_of(out, size, path);
}

/* "fe80:0000:...:0001", always eight groups of four digits. */
static int
gid_read(unsigned char out[16], const char *text)
{
	struct in6_addr a;

	if (inet_pton(AF_INET6, text, &a) != 1)
		return -1;
	memcpy(out, &a, 16);
	return 0;
}

/* Where the GID stands in the port's table; an entry of RoCE version 2 is better than one
 * of version 1 with the same GID. */
static void
gid_find(struct nic *n, const char *sys)
{
	static const unsigned char none[16];
	unsigned char gid[16];
	char name[64], text[64];
	int i;

	n->gid_index = -1;
	n->roce_v2 = 0;
	for (i = 0; i < GIDS && memcmp(n->gid, none, 16); i++) {
		snprintf(name, sizeof(name), "gids/%d", i);
		port_file(text, sizeof(text), n, sys, name);
		if (!text[0])
			break;
		if (gid_read(gid, text) < 0 || memcmp(gid, n->gid, 16))
			continue;
		snprintf(name, sizeof(name), "gid_attrs/types/%d", i);
		port_file(text, sizeof(text), n, sys, name);
		n->gid_index = i;
		n->roce_v2 = strstr(text, "v2") != NULL;
		if (n->roce_v2)
			break;
	}
}

/* "100 Gb/sec (4X EDR)", "2.5 Gb/sec (1X SDR)" */
static uint64_t
line_read(char *text)
{
	double gbit;

	text[strcspn(text, " ")] = '\0';
	if (num_double(&gbit, text, 0, 1e5, "rate", NULL) < 0)
		return 0;
	return (uint64_t)(gbit * 1e9);
}

int
nic_look(struct nic *n, const char *sys, struct err *e)
{
	char path[PATH_MAX], real[PATH_MAX], text[64];
	int64_t node;
	size_t skip;

	port_file(text, sizeof(text), n, sys, "state");
	if (strncmp(text, "4:", 2))
		return err_set(e, ERR_TEMP, "port '%s:%u': %s", n->dev, n->port,
			text[0] ? text : "not there");
	port_file(text, sizeof(text), n, sys, "rate");
	n->line = line_read(text);
	snprintf(path, sizeof(path), "%s/class/infiniband/%s/device/numa_node", sys, n->dev);
	line_of(text, sizeof(text), path);
	n->numa = num_i64(&node, text, -1, 4096, "node", NULL) < 0 ? -1 : (int)node;
	snprintf(path, sizeof(path), "%s/class/infiniband/%s/device", sys, n->dev);
	n->pci[0] = '\0';
	skip = strlen(sys);
	if (realpath(path, real) && !strncmp(real, sys, skip) &&
		strlen(real + skip) < sizeof(n->pci))
		strcpy(n->pci, real + skip);
	gid_find(n, sys);
	return 0;
}

/* One entry of the list, of length len: does it name this port? */
static int
entry_names(const struct nic *n, const char *entry, size_t len)
{
	const char *at = memchr(entry, '@', len);
	char name[96], text[128];
	uint64_t index;

	if (at) {
		snprintf(text, sizeof(text), "%.*s", (int)(entry + len - at - 1), at + 1);
		if (num_u64(&index, text, 0, GIDS, "GID", NULL) < 0 ||
			(int)index != n->gid_index)
			return 0;
		len = (size_t)(at - entry);
	}
	snprintf(text, sizeof(text), "%.*s", (int)len, entry);
	snprintf(name, sizeof(name), "%s:%u", n->dev, n->port);
	return !strcmp(text, name) || !strcmp(text, n->dev) || !strcmp(text, "all") ||
		(n->netdev[0] && !strcmp(text, n->netdev));
}

int
nic_permitted(const struct nic *n, const char *list)
{
	int negated, named = 0;
	size_t len;

	if (!list || !list[0])
		return 1;
	negated = list[0] == '^';
	for (list += negated; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		named |= entry_names(n, list, len);
	}
	return named != negated;
}

int
nic_distance(const char *a, const char *b)
{
	size_t i, shared = 0;
	int n = 0;

	for (i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] == '/')
			shared = i;
	if (a[i] == b[i])
		return 0;
	if ((!a[i] && b[i] == '/') || (!b[i] && a[i] == '/'))
		shared = i;
	for (i = shared; a[i]; i++)
		n += a[i] == '/';
	for (i = shared; b[i]; i++)
		n += b[i] == '/';
	return n;
}

static int
by_rank(const void *a, const void *b)
{
	const struct nic *x = a, *y = b;

	if (x->far != y->far)
		return x->far < y->far ? -1 : 1;
	if (strcmp(x->dev, y->dev))
		return strcmp(x->dev, y->dev);
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->roce_v2 != y->roce_v2)
		return x->roce_v2 ? -1 : 1;
	if (x->addr.ss_family != y->addr.ss_family)
		return x->addr.ss_family == AF_INET ? -1 : 1;
	return x->gid_index < y->gid_index ? -1 : x->gid_index > y->gid_index;
}

int
nic_rank(struct nic *list, int *n, int numa, const char *pci)
{
	int i, kept = 0, near, best = INT_MAX;

	for (i = 0; i < *n; i++) {
		if (pci)
			list[i].far = list[i].pci[0] ? nic_distance(list[i].pci, pci) : INT_MAX;
		else
			list[i].far = numa >= 0 && list[i].numa >= 0 && list[i].numa != numa;
		if (list[i].far < best)
			best = list[i].far;
	}
	for (i = 0; i < *n; i++)
		list[i].far -= best;
	qsort(list, (size_t)*n, sizeof(*list), by_rank);
	for (i = 0; i < *n; i++)
		if (kept == 0 || strcmp(list[kept - 1].dev, list[i].dev) ||
			list[kept - 1].port != list[i].port)
			list[kept++] = list[i];
	*n = kept;
	for (near = 0; near < kept && list[near].far == 0; near++)
		;
	return near;
}

int
nic_here(void)
{
	unsigned cpu, node;

	return getcpu(&cpu, &node) < 0 ? -1 : (int)node;
}

/* The bytes of an address, and how many. */
static const unsigned char *
bytes_of(const struct sockaddr_storage *a, unsigned *n)
{
	if (a->ss_family == AF_INET) {
		*n = 4;
		return (const unsigned char *)&((const struct sockaddr_in *)a)->sin_addr;
	}
	*n = a->ss_family == AF_INET6 ? 16 : 0;
	return (const unsigned char *)&((const struct sockaddr_in6 *)a)->sin6_addr;
}

int
nic_same_net(const struct nic *a, const struct sockaddr_storage *b)
{
	unsigned n, i, rest = a->prefix;
	const unsigned char *x = bytes_of(&a->addr, &n), *y = bytes_of(b, &n);

	if (a->addr.ss_family != b->ss_family || n == 0)
		return 0;
	for (i = 0; i < n && rest >= 8; i++, rest -= 8)
		if (x[i] != y[i])
			return 0;
	return i == n || ((x[i] ^ y[i]) >> (8 - rest)) == 0;
}
