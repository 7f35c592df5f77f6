#include <string.h>

#include "transport/transport.h"

/*
 * UCX_TLS lists, read as UCX reads them (1.17, src/ucp/core/ucp_context.c: aliases and
 * their members; docs/source/faq.md: '^' negates the whole list, '\' takes a name as it
 * is), and mapped to what we have: verbs, tcp and shared memory. Names that concern
 * devices or nothing of ours permit nothing here.
 */
#define T(t) (1u << TRANSPORT_##t)

static const struct { const char *name; unsigned set, alias; } names[] = {
	{ "all", TRANSPORT_ALL, TRANSPORT_ALL },
	{ "tcp", T(TCP), T(TCP) },
	{ "sm", 0, T(SHM) }, { "shm", 0, T(SHM) }, { "mm", 0, T(SHM) },
	{ "posix", T(SHM), T(SHM) }, { "sysv", T(SHM), T(SHM) }, { "xpmem", T(SHM), T(SHM) },
	{ "knem", T(SHM), T(SHM) }, { "cma", T(SHM), T(SHM) },
	{ "ib", 0, T(VERBS) }, { "rc", 0, T(VERBS) }, { "rc_v", 0, T(VERBS) },
	{ "rc_x", 0, T(VERBS) }, { "ud", 0, T(VERBS) }, { "ud_v", 0, T(VERBS) },
	{ "ud_x", 0, T(VERBS) }, { "dc", 0, T(VERBS) }, { "dc_x", 0, T(VERBS) },
	{ "srd", T(VERBS), T(VERBS) }, { "rdma", 0, T(VERBS) },
	{ "rc_verbs", T(VERBS), T(VERBS) }, { "ud_verbs", T(VERBS), T(VERBS) },
	{ "rc_mlx5", T(VERBS), T(VERBS) }, { "ud_mlx5", T(VERBS), T(VERBS) },
	{ "dc_mlx5", T(VERBS), T(VERBS) }, { "gga_mlx5", T(VERBS), T(VERBS) },
	{ "rc_gda", T(VERBS), T(VERBS) },
	{ "self", 0, 0 }, { "cuda", 0, 0 }, { "cuda_copy", 0, 0 }, { "cuda_ipc", 0, 0 },
	{ "gdr_copy", 0, 0 }, { "rocm", 0, 0 }, { "rocm_copy", 0, 0 }, { "rocm_ipc", 0, 0 },
	{ "rocm_gdr", 0, 0 }, { "ze", 0, 0 }, { "ze_copy", 0, 0 }, { "ze_ipc", 0, 0 },
	{ "ze_gdr", 0, 0 }, { "gaudi", 0, 0 }, { "gaudi_gdr", 0, 0 },
};

/* What one name of a list permits; known tells that UCX has such a name. */
static unsigned
name_set(const char *s, size_t n, int *known)
{
	int exact = n > 0 && *s == '\\';
	size_t i;

	s += exact;
	n -= (size_t)exact;
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strlen(names[i].name) == n && memcmp(names[i].name, s, n) == 0) {
			*known = 1;
			return exact ? names[i].set : names[i].alias;
		}
	return 0;
}

int
transport_ucx(unsigned *set, const char *list, struct err *e)
{
	const char *s = list + (*list == '^');
	int known = 0, all = 0, n_names = 0;
	unsigned got = 0;

	while (*s) {
		size_t n = strcspn(s, ",");

		got |= name_set(s, n, &known);
		all |= n == 3 && memcmp(s, "all", 3) == 0;
		n_names++;
		s += n + (s[n] == ',');
	}
	if (!known)
		return err_set(e, ERR_USAGE, "transports '%s': no known name", list);
	if (all && (n_names > 1 || *list == '^'))
		return err_set(e, ERR_USAGE, "transports '%s': 'all' stands alone", list);
	*set = *list == '^' ? TRANSPORT_ALL & ~got : got;
	return 0;
}
