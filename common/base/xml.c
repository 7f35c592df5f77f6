#include <stddef.h>
#include <string.h>

#include "base/xml.h"

#define PATH_LEN 512
#define SPACE " \t\r\n"

struct xml {
	char *start, *p, *end;
	char path[PATH_LEN];
	size_t cut[XML_DEPTH];		/* length of path without its last name */
	unsigned depth;
	int done;			/* the root element has ended */
	char *text;			/* after a start tag: what follows it */
};

static int
bad(const struct xml *x, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "xml: %s at byte %zu", what, (size_t)(x->p - x->start));
}

static size_t
put_utf8(char *to, unsigned c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* The character of "&name;" whose name is n bytes; 0 if there is none such. */
static unsigned
entity(const char *name, size_t n)
{
	static const struct { char name[5]; char c; } known[] = {
		{ "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' },
	};
	unsigned c = 0, base = 10, digit;
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strlen(known[i].name) == n && !memcmp(known[i].name, name, n))
			return (unsigned char)known[i].c;
	if (n < 2 || name[0] != '#')
		return 0;
	i = 1;
	if (name[1] == 'x') {
		base = 16;
		i++;
	}
	if (i == n || n > 8)
		return 0;
	for (; i < n; i++) {
		char d = name[i];

		digit = d >= '0' && d <= '9' ? (unsigned)(d - '0') :
			d >= 'a' && d <= 'f' ? (unsigned)(d - 'a' + 10) :
			d >= 'A' && d <= 'F' ? (unsigned)(d - 'A' + 10) : 16;
		if (digit >= base)
			return 0;
		c = c * base + digit;
	}
	return c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? c : 0;
}

/* Text is never longer decoded than coded, so it stays where it is. */
static int
decode(struct xml *x, char *text, size_t n, struct err *e)
{
	char *to = memchr(text, '&', n), *from = to, *end = text + n;

	if (!to) {
		*end = 0;
		return 0;
	}
	while (from < end) {
		size_t left = (size_t)(end - from);
		char *semi;
		unsigned c;

		if (*from != '&') {
			*to++ = *from++;
			continue;
		}
		semi = memchr(from, ';', left < 12 ? left : 12);
		c = semi ? entity(from + 1, (size_t)(semi - from - 1)) : 0;
		if (!c)
			return bad(x, "unknown entity", e);
		to += put_utf8(to, c);
		from = semi + 1;
	}
	*to = 0;
	return 0;
}

/* Past the '>' that ends a tag, quotes respected; its last character is at p[-2]. */
static int
tag_end(struct xml *x)
{
	char quote = 0;

	for (; x->p < x->end; x->p++) {
		if (quote) {
			if (*x->p == quote)
				quote = 0;
		} else if (*x->p == '"' || *x->p == '\'') {
			quote = *x->p;
		} else if (*x->p == '<') {
			return -1;
		} else if (*x->p == '>') {
			x->p++;
			return 0;
		}
	}
	return -1;
}

/* Length of the name at p, whose prefix is then passed over; 0: none. */
static size_t
name_at(struct xml *x)
{
	size_t n = 0, left = (size_t)(x->end - x->p);

	while (n < left && !strchr(SPACE "/><=&\"'", x->p[n])) {
		if (x->p[n] == ':') {
			x->p += n + 1;
			left -= n + 1;
			n = 0;
			continue;
		}
		n++;
	}
	return n;
}

static int
element_end(struct xml *x, const char *text, xml_element *each, void *ctx, struct err *e)
{
	if (each(ctx, x->path, text, e) < 0)
		return -1;
	x->depth--;
	x->path[x->cut[x->depth]] = 0;
	x->done = x->depth == 0;
	x->text = NULL;
	return 0;
}

static int
start_tag(struct xml *x, xml_element *each, void *ctx, struct err *e)
{
	size_t len = strlen(x->path), before = x->text ? (size_t)(x->p - 1 - x->text) : 0, n;

	if (before && strspn(x->text, SPACE) < before)
		return bad(x, "text beside an element", e);
	n = name_at(x);
	if (n == 0 || x->done || x->depth == XML_DEPTH || len + n + 2 > PATH_LEN)
		return bad(x, "unexpected element", e);
	x->cut[x->depth++] = len;
	if (len)
		x->path[len++] = '/';
	memcpy(x->path + len, x->p, n);
	x->path[len + n] = 0;
	x->p += n;
	if (tag_end(x) < 0)
		return bad(x, "tag without end", e);
	x->text = x->p;
	return x->p[-2] == '/' ? element_end(x, "", each, ctx, e) : 0;
}

static int
end_tag(struct xml *x, char *lt, xml_element *each, void *ctx, struct err *e)
{
	const char *open = x->depth ? x->path + x->cut[x->depth - 1] : "";
	size_t n = name_at(x);
	char none[1] = "", *text = x->text ? x->text : none;

	if (*open == '/')
		open++;
	if (n == 0 || n != strlen(open) || memcmp(x->p, open, n) != 0)
		return bad(x, "end tag that does not match", e);
	x->p += n;
	while (x->p < x->end && strchr(SPACE, *x->p))
		x->p++;
	if (x->p == x->end || *x->p != '>')
		return bad(x, "tag without end", e);
	x->p++;
	if (x->text && decode(x, x->text, (size_t)(lt - x->text), e) < 0)
		return -1;
	return element_end(x, text, each, ctx, e);
}

/* <?...?> and <!-- -->; p is behind the '<'. */
static int
passed_over(struct xml *x, struct err *e)
{
	const char *stop = *x->p == '?' ? "?>" : "-->", *end;

	if (*x->p == '!' && (x->end - x->p < 3 || memcmp(x->p, "!--", 3) != 0))
		return bad(x, "markup that is not accepted", e);
	if (x->text)
		return bad(x, "comment within text", e);
	end = memmem(x->p, (size_t)(x->end - x->p), stop, strlen(stop));
	if (!end)
		return bad(x, "comment without end", e);
	x->p += end - x->p + (ptrdiff_t)strlen(stop);
	return 0;
}

static int
markup(struct xml *x, char *lt, xml_element *each, void *ctx, struct err *e)
{
	if (x->p == x->end)
		return bad(x, "tag without end", e);
	if (*x->p == '?' || *x->p == '!')
		return passed_over(x, e);
	if (*x->p != '/')
		return start_tag(x, each, ctx, e);
	x->p++;
	return end_tag(x, lt, each, ctx, e);
}

int
xml_scan(char *text, size_t n, xml_element *each, void *ctx, struct err *e)
{
	struct xml x = { .start = text, .p = text, .end = text + n };

	if (memchr(text, 0, n))
		return err_set(e, ERR_CORRUPT, "xml: a NUL byte");
	text[n] = 0;
	if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		x.p += 3;
	while (x.p < x.end) {
		char *lt = memchr(x.p, '<', (size_t)(x.end - x.p));
		size_t before = (size_t)((lt ? lt : x.end) - x.p);

		/* Between elements only white space may stand. */
		if (!x.text && strspn(x.p, SPACE) < before)
			return bad(&x, "text outside an element", e);
		if (!lt)
			break;
		x.p = lt + 1;
		if (markup(&x, lt, each, ctx, e) < 0)
			return -1;
	}
	return x.done ? 0 : bad(&x, "the end is missing", e);
}
