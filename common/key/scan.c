#include <string.h>

#include "key/scan.h"

#define DEPTH_MAX 64

int
scan_fail(const struct scan *s, const char *reason, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "%s: byte %zu: %s", s->what, (size_t)(s->p - s->start),
		reason);
}

void
scan_space(struct scan *s)
{
	while (s->p < s->end && strchr(" \t\r\n", *s->p) && *s->p)
		s->p++;
}

char
scan_peek(struct scan *s)
{
	scan_space(s);
	return s->p < s->end ? *s->p : 0;
}

int
scan_is(struct scan *s, char c)
{
	if (scan_peek(s) != c || s->p == s->end)
		return 0;
	s->p++;
	return 1;
}

int
scan_u32(struct scan *s, uint32_t *v, struct err *e)
{
	const char *digits;
	uint64_t x = 0;

	scan_space(s);
	if (s->p < s->end && *s->p == '-')
		return scan_fail(s, "a negative number", e);
	digits = s->p;
	for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++) {
		x = x * 10 + (uint64_t)(*s->p - '0');
		if (x > UINT32_MAX)
			return scan_fail(s, "a number over 4294967295", e);
	}
	if (s->p == digits)
		return scan_fail(s, "not a number", e);
	if (*digits == '0' && s->p > digits + 1)
		return scan_fail(s, "a number with leading zeros", e);
	if (s->p < s->end && (*s->p == '.' || *s->p == 'e' || *s->p == 'E'))
		return scan_fail(s, "not a whole number", e);
	*v = (uint32_t)x;
	return 0;
}

int
scan_string(struct scan *s, const char **text, size_t *n, struct err *e)
{
	if (!scan_is(s, '"'))
		return scan_fail(s, "not a string", e);
	*text = s->p;
	for (; s->p < s->end && *s->p != '"'; s->p++) {
		if ((unsigned char)*s->p < 0x20)
			return scan_fail(s, "a control character in a string", e);
		if (*s->p == '\\' && ++s->p == s->end)
			break;
	}
	if (s->p == s->end)
		return scan_fail(s, "a string without end", e);
	*n = (size_t)(s->p++ - *text);
	return 0;
}

/* Numbers and words; the characters are checked, not their order. */
static int
skip_atom(struct scan *s, struct err *e)
{
	static const char *const words[] = { "null", "true", "false" };
	const char *from = s->p;
	size_t i, n, left = (size_t)(s->end - s->p);

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		n = strlen(words[i]);
		if (left >= n && !memcmp(s->p, words[i], n)) {
			s->p += n;
			return 0;
		}
	}
	while (s->p < s->end && *s->p && strchr("0123456789+-.eE", *s->p))
		s->p++;
	return s->p > from ? 0 : scan_fail(s, "not a value", e);
}

int
scan_more(struct scan *s, char close, int first, struct err *e)
{
	if (scan_is(s, close))
		return 0;
	if (!first && !scan_is(s, ','))
		return scan_fail(s, s->p < s->end ? "no comma" : "ends too early", e);
	return 1;
}

static int
member_name(struct scan *s, const char **name, size_t *n, struct err *e)
{
	if (scan_string(s, name, n, e) < 0)
		return -1;
	return scan_is(s, ':') ? 0 : scan_fail(s, "no colon", e);
}

int
scan_skip(struct scan *s, struct err *e)
{
	char close[DEPTH_MAX];
	size_t depth = 0, n;
	const char *text;
	int first = 0, rc;

	do {
		char c = scan_peek(s);

		if (c == '[' || c == '{') {
			if (depth == DEPTH_MAX)
				return scan_fail(s, "nested too deeply", e);
			close[depth++] = c == '[' ? ']' : '}';
			s->p++;
			first = 1;
		} else if (c == '"' ? scan_string(s, &text, &n, e) : skip_atom(s, e)) {
			return -1;
		}
		/* Close what ends here, and stand before the next value. */
		while (depth) {
			rc = scan_more(s, close[depth - 1], first, e);
			if (rc < 0)
				return -1;
			first = 0;
			if (rc > 0)
				break;
			depth--;
		}
		if (depth && close[depth - 1] == '}' && member_name(s, &text, &n, e) < 0)
			return -1;
	} while (depth);
	return 0;
}

static int
among(const char *const *names, const char *s, size_t n)
{
	for (; *names; names++)
		if (strlen(*names) == n && !memcmp(*names, s, n))
			return 1;
	return 0;
}

int
scan_member(struct scan *s, const char *const *names, struct err *e)
{
	const char *name;
	int first, rc;
	size_t n;

	if (!scan_is(s, '{'))
		return scan_fail(s, "not an object", e);
	for (first = 1; (rc = scan_more(s, '}', first, e)) > 0; first = 0) {
		if (member_name(s, &name, &n, e) < 0)
			return -1;
		if (among(names, name, n))
			return 0;
		if (scan_skip(s, e) < 0)
			return -1;
	}
	return rc < 0 ? -1 : err_set(e, ERR_CORRUPT, "%s: no \"%s\" in it", s->what, *names);
}

int
scan_members_end(struct scan *s, const char *const *names, struct err *e)
{
	const char *name;
	size_t n;
	int rc;

	while ((rc = scan_more(s, '}', 0, e)) > 0) {
		if (member_name(s, &name, &n, e) < 0)
			return -1;
		if (among(names, name, n))
			return scan_fail(s, "a second list", e);
		if (scan_skip(s, e) < 0)
			return -1;
	}
	return rc;
}
