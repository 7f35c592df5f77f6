#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/huge.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define WORTH_ONE (HUGE_PAGE / 4)	/* below this, small pages are cheaper than to zero one */

static size_t
rounded(size_t n)
{
	size_t page = n < WORTH_ONE ? 4096 : HUGE_PAGE;

	return n > SIZE_MAX - 2 * HUGE_PAGE ? 0 : n ? (n + page - 1) / page * page : page;
}

/* Mapped with room to spare, which is cut off again, so that it begins at a huge page. */
void *
huge_alloc(size_t n)
{
	size_t len = rounded(n), spare = len % HUGE_PAGE ? 0 : HUGE_PAGE;
	size_t before;
	char *p;

	if (!len)
		return NULL;
	p = mmap(NULL, len + spare, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (!spare)
		return p;
	before = -(uintptr_t)p % HUGE_PAGE;
	if (before)
		munmap(p, before);
	if (spare > before)
		munmap(p + before + len, spare - before);
	madvise(p + before, len, MADV_HUGEPAGE);
	return p + before;
}

void
huge_free(void *p, size_t n)
{
	if (p)
		munmap(p, rounded(n));
}

void *
huge_grow(void *p, size_t n, size_t more)
{
	void *bigger = huge_alloc(more);

	if (bigger && p) {
		memcpy(bigger, p, n);
		huge_free(p, n);
	}
	return bigger;
}

void *
huge_malloc(size_t n)
{
	void *p;

	if (n < WORTH_ONE)
		return malloc(n);
	if (posix_memalign(&p, HUGE_PAGE, n) != 0)
		return NULL;
	(void)madvise(p, n / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);	/* as it likes */
	return p;
}
