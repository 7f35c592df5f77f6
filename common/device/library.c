#include <dlfcn.h>
#include <string.h>

#include "device/ops.h"

int
library_open(const char *const *names, const struct symbol *s, size_t n, void *table,
	struct err *e)
{
	const char *first = names[0];
	void *lib = NULL, *f;
	size_t i;

	for (; *names && !lib; names++)
		lib = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return err_set(e, ERR_USAGE, "%s is not on this host", first);
	for (i = 0; i < n; i++) {
		f = dlsym(lib, s[i].name);
		if (!f) {
			dlclose(lib);
			return err_set(e, ERR_USAGE, "%s has no %s", names[-1], s[i].name);
		}
		memcpy((char *)table + s[i].at, &f, sizeof(f));
	}
	return 0;
}
