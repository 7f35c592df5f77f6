#include <string.h>

#include "base/near.h"

#define LONGEST 32

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Letters put in, left out, changed, or exchanged with their neighbours. */
static unsigned
changes(const char *a, size_t n, const char *b, size_t m)
{
	unsigned d[LONGEST + 1][LONGEST + 1];
	size_t i, k;

	for (i = 0; i <= n; i++)
		d[i][0] = (unsigned)i;
	for (k = 0; k <= m; k++)
		d[0][k] = (unsigned)k;
	for (i = 1; i <= n; i++)
		for (k = 1; k <= m; k++) {
			d[i][k] = least(least(d[i - 1][k], d[i][k - 1]) + 1,
				d[i - 1][k - 1] + (a[i - 1] != b[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
				d[i][k] = least(d[i][k], d[i - 2][k - 2] + 1);
		}
	return d[n][m];
}

void
near_offer(struct near *n, const char *known)
{
	size_t len = strlen(n->word), m = strlen(known);
	unsigned c;

	if (len < 2 || len > LONGEST || m > LONGEST)
		return;
	c = changes(n->word, len, known, m);
	/* most letters must be right */
	if (c > 2 || c * 2 > len || (n->best && c >= n->changes))
		return;
	n->best = known;
	n->changes = c;
}
