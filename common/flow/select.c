#include <fnmatch.h>
#include <string.h>

#include "base/clock.h"
#include "flow/catalog.h"

void
select_init(struct select *s)
{
	memset(s, 0, sizeof(*s));
	s->tp = s->rank = -1;
}

/* A pattern fits the model as it is spelled, or as stores spell it that cannot keep '/'. */
static int
model_fits(const char *pattern, const char *model)
{
	char flat[256], want[256];
	const char *slash = strrchr(model, '/');
	size_t i;

	if (fnmatch(pattern, model, 0) == 0 || (slash && fnmatch(pattern, slash + 1, 0) == 0))
		return 1;
	if (strlen(pattern) >= sizeof(want))
		return 0;
	for (i = 0; pattern[i]; i++)
		want[i] = pattern[i] == '/' || pattern[i] == '-' ? '_' : pattern[i];
	want[i] = 0;
	for (i = 0; model[i]; i++)
		flat[i] = model[i] == '/' || model[i] == '-' ? '_' : model[i];
	flat[i] = 0;
	return fnmatch(want, flat, 0) == 0;
}

int
select_group(const struct select *s, const struct key *k)
{
	return (!s->model || model_fits(s->model, k->model)) &&
		(!s->dtype || !*k->dtype || !strcmp(s->dtype, k->dtype)) &&
		(s->tp < 0 || s->tp == (int64_t)k->tp) &&
		(!s->tenant || !strcmp(s->tenant, k->salt));
}

static int
in_patterns(const char *const *v, const char *name)
{
	for (; *v; v++)
		if (fnmatch(*v, name, 0) == 0)
			return 1;
	return 0;
}

int
select_match(const struct select *s, const struct key *k, const char *name, uint64_t size,
	int64_t mtime_s)
{
	double age = (double)(clock_now() - mtime_s);
	size_t i;

	if (!select_group(s, k) || (s->rank >= 0 && s->rank != (int64_t)k->rank))
		return 0;
	if ((s->larger && size <= s->larger) || (s->smaller && size >= s->smaller))
		return 0;
	if ((s->older_s > 0 && age < s->older_s) || (s->newer_s > 0 && age > s->newer_s))
		return 0;
	if (name && s->include && !in_patterns(s->include, name))
		return 0;
	if (name && s->exclude && in_patterns(s->exclude, name))
		return 0;
	if (!s->n_prefixes)
		return 1;
	for (i = 0; i < s->n_prefixes; i++)
		if (key_hash_match(&k->hash, s->prefixes[i]))
			return 1;
	return 0;
}
