#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/held.h"
#include "store/store.h"

static char dir[] = "/tmp/kvtools-store.XXXXXX";

static struct store *
open_store(const char *url)
{
	struct store_opts o = { .flags = STORE_WRITE | STORE_CREATE };
	struct store *s;
	struct err e;

	if (store_open(&s, url, &o, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static int
put(struct store *s, const char *name, const char *text, int excl)
{
	struct iovec v[2] = { { (void *)text, 1 }, { (void *)(text + 1), strlen(text) - 1 } };
	struct store_put how = { excl, 0 };
	struct err e;

	return store_put(s, name, v, 2, &how, &e);
}

static const char *
get(struct store *s, const char *name, uint64_t off, uint64_t len)
{
	static char text[100];
	struct block b = { (unsigned char *)text, 0, sizeof(text) - 1 };
	struct store_get g = { .out = &b };
	struct err e;

	if (store_get(s, name, off, len, &g, &e) < 0)
		return err_word(e.kind);
	text[b.len] = 0;
	return text;
}

static int
add_name(void *ctx, const struct store_item *it, struct err *e)
{
	(void)e;
	strcat(ctx, it->name);
	strcat(ctx, ";");
	return 0;
}

static size_t
count(struct store *s, const char *prefix, unsigned flags)
{
	char names[4096] = "";
	struct err e;
	size_t n = 0;
	char *p;

	if (store_list(s, prefix, flags, add_name, names, &e) < 0)
		fail_msg("%s", e.text);
	for (p = names; (p = strchr(p, ';')); p++)
		n++;
	return n;
}

static void
contract(struct store *s)
{
	const char *names[] = { "a/b/one", "nothing/here" };
	signed char states[2];
	struct store_item it;
	struct err e;

	assert_int_equal(put(s, "a/b/one", "hello", 1), 0);
	assert_int_equal(put(s, "a/b/one", "other", 1), 1);
	assert_string_equal(get(s, "a/b/one", 0, UINT64_MAX), "hello");
	assert_int_equal(put(s, "a/b/one", "world", 0), 0);
	assert_string_equal(get(s, "a/b/one", 0, 50), "world");
	assert_string_equal(get(s, "a/b/one", 1, 3), "orl");
	assert_string_equal(get(s, "a/b/one", 4, 90), "d");
	assert_string_equal(get(s, "a/b/one", 90, 9), "");
	assert_string_equal(get(s, "a/b/two", 0, 9), "no");
	assert_string_equal(get(s, "a/b", 0, 9), "no");
	assert_int_equal(store_stat(s, "a/b/one", &it, &e), 0);
	assert_int_equal(it.size, 5);
	assert_true(it.mtime_ns > 0);
	assert_int_equal(put(s, "a/bb/two", "x2", 1), 0);
	assert_int_equal(put(s, "c", "x3", 1), 0);
	assert_int_equal(count(s, "", 0), 3);
	assert_int_equal(count(s, "a/b", 0), 2);
	assert_int_equal(count(s, "a/b/", 0), 1);
	assert_int_equal(count(s, "a/b/on", STORE_LIST_FAST), 1);
	assert_int_equal(count(s, "zz/", 0), 0);
	assert_int_equal(store_delete(s, names, 2, states, &e), 0);
	assert_int_equal(states[0], 0);
	assert_int_equal(states[1], 1);
	assert_string_equal(get(s, "a/b/one", 0, 9), "no");
}

static void
directory(void **state)
{
	struct store *s = open_store(dir);
	char path[100], text[200];
	struct err e;

	(void)state;
	contract(s);
	assert_int_equal(count(s, "", STORE_LIST_DIRS), 2);	/* "a/" and "c" */
	/* temporaries are not seen, and swept by age */
	snprintf(path, sizeof(path), "%s/a/.x.host.1.2.tmp", dir);
	snprintf(text, sizeof(text), "echo >%s && echo >%s/a/other.tmp", path, dir);
	assert_int_equal(system(text), 0);
	assert_int_equal(count(s, "", 0), 2);
	text[0] = 0;
	assert_int_equal(store_sweep(s, 3600, 0, add_name, text, &e), 0);
	assert_string_equal(text, "");
	assert_int_equal(store_sweep(s, 0, 1, NULL, NULL, &e), 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(store_sweep(s, 0, 0, add_name, text, &e), 0);
	assert_non_null(strstr(text, "other.tmp"));
	assert_int_equal(access(path, F_OK), -1);
	store_close(s);
}

/* Temporaries that are held: by the lock, not by age. */
static void
held(void **state)
{
	struct store *s = open_store(dir);
	char path[100], text[200] = "";
	struct stat st;
	struct err e;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/.x.host.1.2.held.tmp", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	if (!held_here(fd)) {
		close(fd);
		store_close(s);
		skip();
	}
	assert_int_equal(held_take(fd, AT_FDCWD, path), 1);
	assert_int_equal(store_sweep(s, -10, 0, add_name, text, &e), 0);
	assert_string_equal(text, "");
	close(fd);
	assert_int_equal(store_sweep(s, 3600, 1, add_name, text, &e), 0);
	assert_string_equal(text, ".x.host.1.2.held.tmp;");
	/* a sweeper that came between creating and holding */
	fd = open(path, O_WRONLY);
	assert_int_equal(store_sweep(s, 3600, 0, NULL, NULL, &e), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(held_take(fd, AT_FDCWD, path), 0);
	close(fd);
	/* neither a link nor a pipe is followed or waited for */
	assert_int_equal(put(s, "kept", "text", 0), 0);
	snprintf(text, sizeof(text), "cd %s && ln -s kept .l.held.tmp && mkfifo .p.held.tmp", dir);
	assert_int_equal(system(text), 0);
	assert_int_equal(store_sweep(s, 3600, 0, NULL, NULL, &e), 0);
	snprintf(path, sizeof(path), "%s/.l.held.tmp", dir);
	assert_int_equal(lstat(path, &st), 0);
	assert_string_equal(get(s, "kept", 0, 9), "text");
	store_close(s);
}

static void
descriptors(void **state)
{
	struct store *s = open_store(dir), *m = open_store("mem:");
	struct err e;
	char text[9], path[100];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/d/pipe", dir);
	assert_int_equal(put(s, "d/file", "hello", 0), 0);
	fd = store_fd(s, "d/file", &e);
	assert_true(fd >= 0);
	assert_int_equal(put(s, "d/file", "other", 0), 0);	/* another file */
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_memory_equal(text, "hello", 5);
	close(fd);
	assert_int_equal(store_fd(s, "d/none", &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	assert_int_equal(store_fd(s, "d", &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	assert_int_equal(mkfifo(path, 0600), 0);	/* not waited for */
	assert_int_equal(store_fd(s, "d/pipe", &e), -1);
	assert_int_equal(e.kind, ERR_ABSENT);
	assert_string_equal(get(s, "d/pipe", 0, UINT64_MAX), "no");
	assert_int_equal(put(s, "d/pipe", "hello", 1), 0);
	assert_int_equal(store_fd(s, "../x", &e), -1);
	assert_int_equal(e.kind, ERR_REFUSED);
	assert_int_equal(put(m, "a", "hello", 0), 0);
	assert_int_equal(store_fd(m, "a", &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	store_close(m);
	store_close(s);
}

static void
locks(void **state)
{
	struct store *s = open_store(dir);
	char text[200];
	struct err e;

	(void)state;
	assert_int_equal(store_lock(s, "evict", &e), 0);
	assert_int_equal(store_lock(s, "evict", &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_int_equal(count(s, ".", 0), 0);
	store_unlock(s, "evict");
	/* the lock of a process that is dead */
	gethostname(text, 60);
	snprintf(text + strlen(text), 100, " 999999999 2026-01-01T00:00:00Z");
	{
		char cmd[400];

		snprintf(cmd, sizeof(cmd), "echo '%s' >%s/.kvtools-evict.lock", text, dir);
		assert_int_equal(system(cmd), 0);
	}
	assert_int_equal(store_lock(s, "evict", &e), 0);
	store_unlock(s, "evict");
	store_close(s);
}

static void
memory(void **state)
{
	struct store *s = open_store("mem:");

	(void)state;
	contract(s);
	store_close(s);
	s = open_store("null:");
	assert_int_equal(put(s, "x", "yy", 1), 0);
	assert_int_equal(count(s, "", 0), 0);
	store_close(s);
}

static void
names(void **state)
{
	static const char *const bad[] = { "", "/a", "a/", "a//b", "..", "a/../b", ".", "a/.", "a\nb" };
	struct store *s = open_store(dir);
	struct err e;
	size_t i;

	(void)state;
	assert_int_equal(store_name_check("a/b.c/..d", &e), 0);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(store_name_check(bad[i], &e), -1);
		assert_int_equal(put(s, bad[i], "xx", 0), -1);
		assert_string_equal(get(s, bad[i], 0, 1), "refused");
	}
	store_close(s);
	assert_int_equal(store_open(&s, "/no/such/dir", NULL, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_int_equal(store_open(&s, "floppy:x", NULL, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
}

static int
clean(void **state)
{
	char cmd[100];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directory), cmocka_unit_test(held), cmocka_unit_test(descriptors),
		cmocka_unit_test(locks), cmocka_unit_test(memory), cmocka_unit_test(names),
	};

	if (!mkdtemp(dir))
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, clean);
}
