#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device/device.h"

#define SIZE ((size_t)9 << 20)	/* more than Gaudi's bounce buffer, and then some */

static void
absent(void **state)
{
	static const char *const names[] = { "cuda:0", "rocm:0", "gaudi:0" };
	struct device *d;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		if (device_open(&d, names[i], &e) == 0) {
			device_close(d);	/* this host has one */
			continue;
		}
		assert_null(d);
		assert_true(e.kind == ERR_USAGE || e.kind == ERR_TEMP);
		assert_non_null(strstr(e.text, names[i]));
	}
	assert_int_equal(device_open(&d, "tpu:0", &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_int_equal(device_open(&d, "cuda:x", &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_int_equal(device_open(&d, "host:1", &e), -1);
	assert_int_equal(device_open(&d, "", &e), -1);
	device_close(NULL);
}

static void
fill(unsigned char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (unsigned char)(i * 7 ^ i >> 8);
}

/* In and out again, at an offset, in a size that no block divides. */
static void
there_and_back(struct device *d)
{
	unsigned char *a = malloc(SIZE), *b = calloc(1, SIZE);
	uint64_t addr;
	struct err e;

	fill(a, SIZE);
	assert_int_equal(device_alloc(d, SIZE + 4096, &addr, &e), 0);
	assert_int_equal(device_in(d, addr + 100, a, SIZE - 3, &e), 0);
	assert_int_equal(device_out(d, b, addr + 100, SIZE - 3, &e), 0);
	assert_memory_equal(a, b, SIZE - 3);
	assert_int_equal(device_out(d, b, addr + 300, 50, &e), 0);
	assert_memory_equal(a + 200, b, 50);
	assert_int_equal(device_in(d, addr, NULL, 0, &e), 0);
	device_free(d, addr);
	free(a);
	free(b);
}

/* The child finds the memory by the token alone and leaves its mark. */
static int
child(const struct device_token *t)
{
	struct device *d;
	char text[6];
	uint64_t addr;

	if (device_open(&d, "host", NULL) < 0 || device_attach(d, t, &addr, NULL) < 0 ||
		device_out(d, text, addr, 6, NULL) < 0 || memcmp(text, "hello", 6))
		return 1;
	if (device_in(d, addr + 6, "world", 6, NULL) < 0)
		return 2;
	device_detach(d, addr);
	device_close(d);
	return 0;
}

static void
host(void **state)
{
	struct device_token t, bad;
	struct device *d;
	uint64_t addr, other;
	char text[6];
	struct err e;
	int fd, status;
	pid_t pid;

	(void)state;
	assert_int_equal(device_open(&d, "host", &e), 0);
	assert_string_equal(device_name(d), "host");
	there_and_back(d);
	assert_int_equal(device_alloc(d, 8192, &addr, &e), 0);
	assert_int_equal(device_in(d, addr + 4000, "hello", 6, &e), 0);
	assert_int_equal(device_share(d, addr + 4000, 100, &t, &e), 0);
	assert_int_equal(device_share(d, addr + 4000, 5000, &bad, &e), -1);
	assert_int_equal(device_share(d, 4096, 1, &bad, &e), -1);
	pid = fork();
	if (pid == 0)
		_exit(child(&t));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(device_out(d, text, addr + 4006, 6, &e), 0);
	assert_string_equal(text, "world");
	bad = t;
	bad.off = 8000;
	bad.len = 193;
	assert_int_equal(device_attach(d, &bad, &other, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	bad = t;
	bad.raw[16] ^= 1;
	assert_int_equal(device_attach(d, &bad, &other, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	device_free(d, addr);
	assert_int_equal(device_attach(d, &t, &other, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_int_equal(device_dmabuf(d, addr, 4096, &fd, &other, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	device_close(d);
}

/* Load the stand-ins under a library's name: a later dlopen() of that name finds them. */
static void
stand_in(const char *name)
{
	char dir[] = "/tmp/kvtools-device.XXXXXX", command[512], path[128];

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/lib.so", dir);
	snprintf(command, sizeof(command), "${CC:-cc} -D_GNU_SOURCE -shared -fPIC -Wl,-soname,%s "
		"-o %s tests/server/accelerators.c", name, path);
	assert_int_equal(system(command), 0);
	assert_non_null(dlopen(path, RTLD_NOW | RTLD_LOCAL));
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* What CUDA and ROCm have alike. */
static void
shares(struct device *d)
{
	struct device_token t;
	uint64_t addr, again, off, words[2];
	unsigned char text[4];
	struct err e;
	int fd;

	there_and_back(d);
	assert_int_equal(device_alloc(d, (size_t)1 << 40, &addr, &e), -1);
	assert_int_equal(e.kind, ERR_FAILED);
	assert_int_equal(device_alloc(d, 65536, &addr, &e), 0);
	assert_int_equal(device_in(d, addr + 5000, "abc", 4, &e), 0);
	assert_int_equal(device_share(d, addr + 5000, 60536, &t, &e), 0);
	assert_int_equal(t.off, 5000);
	assert_int_equal(device_attach(d, &t, &again, &e), 0);
	assert_int_equal(device_out(d, text, again, 4, &e), 0);
	assert_memory_equal(text, "abc", 4);
	device_detach(d, again);
	assert_int_equal(device_share(d, addr + 5000, 60537, &t, &e), -1);
	if (device_dmabuf(d, addr + 5000, 100, &fd, &off, &e) == 0) {
		assert_int_equal(pread(fd, words, 16, 0), 16);
		assert_int_equal(words[0] + off, addr + 5000);
		assert_true(words[0] + words[1] >= addr + 5100);
		close(fd);
	} else {
		assert_non_null(strstr(e.text, "kernel lacks"));
	}
	assert_int_equal(device_path(d, (char[64]){0}, 64, &e), -1);
	device_free(d, addr);
}

static void
cuda(void **state)
{
	struct device *d;
	struct err e;

	(void)state;
	stand_in("libcuda.so.1");
	assert_int_equal(device_open(&d, "cuda:1", &e), -1);
	assert_string_equal(e.text, "device 'cuda:1': no such device");
	assert_int_equal(device_open(&d, "cuda:0", &e), 0);
	shares(d);
	device_close(d);
}

static void
rocm(void **state)
{
	struct device *d;
	struct err e;

	(void)state;
	stand_in("libamdhip64.so.6");
	stand_in("libhsa-runtime64.so.1");
	assert_int_equal(device_open(&d, "rocm:1", &e), -1);
	assert_int_equal(device_open(&d, "rocm:0", &e), 0);
	shares(d);
	device_close(d);
}

static void
gaudi(void **state)
{
	struct device_token t = {0};
	struct device *d;
	uint64_t addr, off;
	struct err e;
	int fd;

	(void)state;
	stand_in("libSynapse.so");
	assert_int_equal(device_open(&d, "gaudi:1", &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_int_equal(device_open(&d, "gaudi:0", &e), 0);
	there_and_back(d);
	assert_int_equal(device_share(d, 1, 1, &t, &e), -1);
	assert_int_equal(device_attach(d, &t, &addr, &e), -1);
	assert_int_equal(device_dmabuf(d, 1, 1, &fd, &off, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	device_close(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent), cmocka_unit_test(host), cmocka_unit_test(cuda),
		cmocka_unit_test(rocm), cmocka_unit_test(gaudi),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
