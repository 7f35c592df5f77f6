#ifndef LIB_FUNCTIONS_H
#define LIB_FUNCTIONS_H

#include "lib/lib.h"

/*
 * For the files of this room, one a library. FUNCTIONS(F) lists what we use of it, each as
 * F(type, name, parameters, arguments). LIB() makes a table of pointers of it,
 * FUNCTIONS(LIB_JUMP) the functions themselves, which jump to where the table says. Other
 * libraries, which call the same functions, must not find ours: they are hidden, even where a
 * program's symbols are exported.
 */
#define LIB_HIDDEN __attribute__((visibility("hidden")))
#define LIB_POINTER(type, name, params, args) __typeof__(name) *name;
#define LIB_NAME(type, name, params, args) LIB_SYMBOL(api, name, #name),
#define LIB_JUMP(type, name, params, args) \
	LIB_HIDDEN type name params { return api.name ? api.name args : (type)0; }

struct lib {
	const char *name;
	const struct lib_symbol *symbols;
	size_t n;
	void *table;
	int open;
};

/* lib_open(), once. */
int lib_need(struct lib *l, struct err *e);

/* The table, and need(), which opens the library of this soname. */
#define LIB(need, soname, FUNCTIONS) \
	static struct api { FUNCTIONS(LIB_POINTER) } api; \
	int \
	need(struct err *e) \
	{ \
		static const struct lib_symbol symbols[] = { FUNCTIONS(LIB_NAME) }; \
		static struct lib lib = { \
			soname, symbols, sizeof(symbols) / sizeof(*symbols), &api, 0, \
		}; \
		return lib_need(&lib, e); \
	}

#endif
