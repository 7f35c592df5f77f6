#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "transport/nic.h"

/* A tree like sysfs: two sockets; a GPU and mlx5_0 behind one switch of node 0, mlx5_1 behind
 * another port of that node, mlx5_2 at node 1, mlx5_3 with its link down. */
static char sys[64];

static void
put(const char *path, const char *text)
{
	char whole[PATH_MAX], *slash;

	snprintf(whole, sizeof(whole), "%s/%s", sys, path);
	slash = strrchr(whole, '/');
	*slash = '\0';
	assert_int_equal(io_mkdirs(whole, 0777, NULL), 0);
	*slash = '/';
	assert_int_equal(io_replace(whole, text, strlen(text), 0666, NULL), 0);
}

static void
device(const char *dev, const char *pci, const char *numa, const char *state)
{
	char path[PATH_MAX], link[PATH_MAX], text[128];

	snprintf(path, sizeof(path), "devices/%s/numa_node", pci);
	put(path, numa);
	snprintf(path, sizeof(path), "class/infiniband/%s/ports/1/state", dev);
	put(path, state);
	snprintf(path, sizeof(path), "class/infiniband/%s/ports/1/rate", dev);
	put(path, "100 Gb/sec (4X EDR)\n");
	snprintf(path, sizeof(path), "class/infiniband/%s/ports/1/gids/0", dev);
	put(path, "fe80:0000:0000:0000:0202:03ff:fe04:0506\n");
	snprintf(path, sizeof(path), "class/infiniband/%s/ports/1/gids/1", dev);
	put(path, "0000:0000:0000:0000:0000:ffff:0a4d:0001\n");
	snprintf(path, sizeof(path), "class/infiniband/%s/ports/1/gid_attrs/types/1", dev);
	put(path, "IB/RoCE v1\n");
	snprintf(path, sizeof(path), "class/infiniband/%s/ports/1/gids/2", dev);
	put(path, "0000:0000:0000:0000:0000:ffff:0a4d:0001\n");
	snprintf(path, sizeof(path), "class/infiniband/%s/ports/1/gid_attrs/types/2", dev);
	put(path, "RoCE v2\n");
	snprintf(link, sizeof(link), "%s/class/infiniband/%s/device", sys, dev);
	snprintf(text, sizeof(text), "../../../devices/%s", pci);
	assert_int_equal(symlink(text, link), 0);
}

static int
set_up(void **state)
{
	(void)state;
	strcpy(sys, "/tmp/kvtools-nic.XXXXXX");
	if (!mkdtemp(sys))
		return -1;
	device("mlx5_0", "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:01.0/0000:03:00.0", "0\n",
		"4: ACTIVE\n");
	device("mlx5_1", "pci0000:00/0000:00:02.0/0000:08:00.0", "0\n", "4: ACTIVE\n");
	device("mlx5_2", "pci0000:80/0000:80:01.0/0000:81:00.0", "1\n", "4: ACTIVE\n");
	device("mlx5_3", "pci0000:80/0000:80:02.0/0000:82:00.0", "1\n", "1: DOWN\n");
	return 0;
}

static int
tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", sys);
	return system(command);
}

static struct nic
port(const char *dev, const char *ip)
{
	struct nic n = { .port = 1, .gid_index = -1, .numa = -1, .prefix = 24 };
	struct sockaddr_in *a = (void *)&n.addr;

	snprintf(n.dev, sizeof(n.dev), "%s", dev);
	snprintf(n.netdev, sizeof(n.netdev), "e%s", dev + 4);
	a->sin_family = AF_INET;
	inet_pton(AF_INET, ip, &a->sin_addr);
	n.gid[10] = n.gid[11] = 0xff;
	memcpy(n.gid + 12, &a->sin_addr, 4);
	return n;
}

static void
look(void **state)
{
	struct nic n = port("mlx5_0", "10.77.0.1");
	struct err e;

	(void)state;
	assert_int_equal(nic_look(&n, sys, &e), 0);
	assert_int_equal(n.line, 100000000000);
	assert_int_equal(n.numa, 0);
	assert_int_equal(n.gid_index, 2);	/* 1 is the same address in version 1 */
	assert_true(n.roce_v2);
	assert_string_equal(n.pci,
		"/devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:01.0/0000:03:00.0");
	n = port("mlx5_0", "10.77.0.9");
	assert_int_equal(nic_look(&n, sys, &e), 0);
	assert_int_equal(n.gid_index, -1);
	n = port("mlx5_3", "10.77.0.1");
	assert_int_equal(nic_look(&n, sys, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_string_equal(e.text, "port 'mlx5_3:1': 1: DOWN");
	n = port("mlx5_9", "10.77.0.1");
	assert_int_equal(nic_look(&n, sys, &e), -1);
}

static void
permitted(void **state)
{
	struct nic n = port("mlx5_1", "10.77.0.1");
	struct err e;

	(void)state;
	assert_int_equal(nic_look(&n, sys, &e), 0);
	assert_true(nic_permitted(&n, NULL));
	assert_true(nic_permitted(&n, ""));
	assert_true(nic_permitted(&n, "all"));
	assert_true(nic_permitted(&n, "mlx5_1:1"));
	assert_true(nic_permitted(&n, "mlx5_0:1,mlx5_1"));
	assert_true(nic_permitted(&n, "eth0,e_1"));
	assert_true(nic_permitted(&n, "mlx5_1:1@2"));
	assert_true(nic_permitted(&n, "^mlx5_0:1"));
	assert_true(nic_permitted(&n, "^mlx5_1:2,mlx5_11"));
	assert_false(nic_permitted(&n, "mlx5_1:1@1"));
	assert_false(nic_permitted(&n, "mlx5_1:1@"));
	assert_false(nic_permitted(&n, "mlx5_1:1@99999999999"));
	assert_false(nic_permitted(&n, "mlx5_1:2"));
	assert_false(nic_permitted(&n, "mlx5_11,mlx5"));
	assert_false(nic_permitted(&n, "^mlx5_1"));
	assert_false(nic_permitted(&n, "^all"));
	assert_false(nic_permitted(&n, ","));
}

static void
distance(void **state)
{
	(void)state;
	assert_int_equal(nic_distance("/a/b/c", "/a/b/c"), 0);
	assert_int_equal(nic_distance("/a/b/c", "/a/b/d"), 2);
	assert_int_equal(nic_distance("/a/b/c", "/a/b/cd"), 2);
	assert_int_equal(nic_distance("/a/b", "/a/b/c"), 1);
	assert_int_equal(nic_distance("/a/b/c", "/x/y"), 5);
	assert_int_equal(nic_distance("", ""), 0);
}

static void
rank(void **state)
{
	static const char gpu[] =
		"/devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:02.0/0000:04:00.0";
	struct nic list[4];
	int n = 3, i;

	(void)state;
	for (i = 0; i < 3; i++) {
		char dev[16];

		snprintf(dev, sizeof(dev), "mlx5_%d", 2 - i);
		list[i] = port(dev, "10.77.0.1");
		assert_int_equal(nic_look(&list[i], sys, NULL), 0);
	}
	assert_int_equal(nic_rank(list, &n, 0, NULL), 2);
	assert_string_equal(list[0].dev, "mlx5_0");
	assert_string_equal(list[1].dev, "mlx5_1");
	assert_int_equal(nic_rank(list, &n, 1, NULL), 1);
	assert_string_equal(list[0].dev, "mlx5_2");
	assert_int_equal(nic_rank(list, &n, -1, NULL), 3);
	assert_int_equal(nic_rank(list, &n, 0, gpu), 1);
	assert_string_equal(list[0].dev, "mlx5_0");
	assert_string_equal(list[1].dev, "mlx5_1");
	assert_string_equal(list[2].dev, "mlx5_2");
	/* of two addresses of one port the better stays */
	list[3] = list[0];
	list[0].addr.ss_family = AF_INET6;
	n = 4;
	assert_int_equal(nic_rank(list, &n, -1, NULL), 3);
	assert_int_equal(n, 3);
	assert_int_equal(list[0].addr.ss_family, AF_INET);
	n = 0;
	assert_int_equal(nic_rank(list, &n, 0, NULL), 0);
}

static void
same_net(void **state)
{
	struct nic a = port("mlx5_0", "10.77.0.1");
	struct nic b = port("mlx5_0", "10.77.0.200"), c = port("mlx5_0", "10.77.1.1");

	(void)state;
	assert_true(nic_same_net(&a, &b.addr));
	assert_false(nic_same_net(&a, &c.addr));
	a.prefix = 23;
	assert_true(nic_same_net(&a, &c.addr));
	a.prefix = 32;
	assert_false(nic_same_net(&a, &b.addr));
	assert_true(nic_same_net(&a, &a.addr));
	a.prefix = 0;
	assert_true(nic_same_net(&a, &c.addr));
	c.addr.ss_family = AF_INET6;
	assert_false(nic_same_net(&a, &c.addr));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(look), cmocka_unit_test(permitted), cmocka_unit_test(distance),
		cmocka_unit_test(rank), cmocka_unit_test(same_net),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
