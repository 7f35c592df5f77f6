#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "lib/functions.h"

int
lib_open(const char *const *names, const struct lib_symbol *s, size_t n, void *table,
	struct err *e)
{
	void *lib = NULL, *f;
	size_t i;

	for (; *names && !lib; names++)
		lib = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return err_set(e, ERR_USAGE, "%s", dlerror());
	for (i = 0; i < n; i++) {
		f = dlsym(lib, s[i].name);
		if (!f) {
			err_set(e, ERR_USAGE, "%s has no %s", names[-1], s[i].name);
			goto empty_table;
		}
		memcpy((char *)table + s[i].at, &f, sizeof(f));
	}
	return 0;
empty_table:
	while (i-- > 0)
		memset((char *)table + s[i].at, 0, sizeof(f));
	dlclose(lib);
	return -1;
}

int
lib_need(struct lib *l, struct err *e)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	const char *const names[] = { l->name, NULL };
	int rc = 0;

	if (__atomic_load_n(&l->open, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&lock);
	if (!l->open) {
		rc = lib_open(names, l->symbols, l->n, l->table, e);
		__atomic_store_n(&l->open, rc == 0, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}
