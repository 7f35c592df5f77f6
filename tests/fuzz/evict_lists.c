#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flow/evict_lists.h"

/* Pins, quotas and reports of damage, over a store of three chunks. */
static struct evict ev;
static struct place place;

static void
make_store(void)
{
	static const char *const names[] = {
		"m/bf16-tp1-r0/00/0011223344556677889900112233445566778899001122334455667788990011"
			".kv.safetensors",
		"m/bf16-tp1-r0/00/0011223344556677889900112233445566778899001122334455667788990012"
			".kv.safetensors",
		"m/bf16-tp1-r0-t/ab/ab11223344556677889900112233445566778899001122334455667788990011"
			".kv.safetensors",
	};
	struct store_opts o = { .flags = STORE_WRITE };
	struct evict_want none = { .jobs = 1 };
	char byte = 0;
	struct iovec one = { &byte, 1 };
	size_t i;

	if (place_open(&place, "mem:", &o, NULL, NULL) < 0)
		abort();
	for (i = 0; i < 3; i++)
		if (store_put(place.store, names[i], &one, 1, NULL, NULL) < 0)
			abort();
	if (evict_read(&ev, &place, NULL, &none, NULL) < 0 || ev.units.n != 3)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char file[40];
	struct err e;
	size_t i;
	int fd;

	if (!place.store)
		make_store();
	if (n < 1)
		return 0;
	fd = memfd_create("lists", 0);
	if (fd < 0 || write(fd, p + 1, n - 1) != (ssize_t)n - 1)
		abort();
	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	if (*p % 3 == 0)
		evict_read_pins(&ev, file, &e);
	else if (*p % 3 == 1)
		evict_read_report(&ev, file, &e);
	else if (evict_read_quotas(&ev, file, &e) == 0)
		for (i = 0; i < ev.units.n; i++)
			if (ev.v[i].tenant != PLAN_NONE && ev.v[i].tenant >= ev.n_quotas)
				abort();
	free(ev.quotas);
	ev.quotas = NULL;
	ev.n_quotas = 0;
	for (i = 0; i < ev.units.n; i++)
		ev.v[i].priority = 0;
	close(fd);
	return 0;
}
