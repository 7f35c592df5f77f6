#include <stdint.h>
#include <string.h>

#include "base/json.h"

enum { VALUE, FIRST_NAME, NAME, FIRST_VALUE, COMMA, DONE };

void
json_open(struct json *j, const void *p, size_t n)
{
	memset(j, 0, sizeof(*j));
	j->begin = j->p = p;
	j->end = j->p + n;
	j->state = VALUE;
}

static int
bad(const struct json *j, const char *why, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "json: %s at byte %zu", why, (size_t)(j->p - j->begin));
}

static void
pass_blanks(struct json *j)
{
	static const char spaces[] __attribute__((aligned(64))) =
		"                                                                ";

	/* headers are padded with thousands of them */
	while (j->end - j->p >= 64 && !memcmp(j->p, spaces, 64))
		j->p += 64;
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
		j->p++;
}

static inline void
blanks(struct json *j)
{
	if (j->p < j->end && (unsigned char)*j->p <= ' ')
		pass_blanks(j);
}

/* Where the first '"', '\\', control character or byte over 0x7f stands, or less than eight bytes
 * before end: eight at a time, by what borrows into their high bits. */
static const char *
plain(const char *p, const char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;

	for (; end - p >= 8; p += 8) {
		uint64_t x = get_le64(p), quote = x ^ '"' * ones, slash = x ^ '\\' * ones;
		uint64_t stop = ((x - ' ' * ones) | x | (quote - ones) | (slash - ones)) & high;

		if (stop)
			return p + __builtin_ctzll(stop) / 8;
	}
	return p;
}

/* At the opening quote; leaves text, len, escaped, and p behind the closing one. */
static int
string(struct json *j, struct err *e)
{
	const char *s = ++j->p;
	unsigned char hex[2];
	size_t n;

	j->text = s;
	j->escaped = 0;
	while ((j->p = plain(j->p, j->end)) < j->end) {
		unsigned char c = (unsigned char)*j->p;

		if (c == '"') {
			j->len = (size_t)(j->p++ - s);
			return 0;
		}
		if (c < 0x20)
			return bad(j, "control character in a string", e);
		if (c >= 0x80) {
			n = utf8_len(j->p, (size_t)(j->end - j->p));
			if (!n)
				return bad(j, "not UTF-8", e);
			j->p += n;
			continue;
		}
		if (c != '\\') {
			j->p++;
			continue;
		}
		j->escaped = 1;
		if (j->end - j->p < 2 || !strchr("\"\\/bfnrtu", j->p[1]) || !j->p[1])
			return bad(j, "bad escape", e);
		n = j->p[1] == 'u' ? 6 : 2;
		if ((size_t)(j->end - j->p) < n || (n == 6 && hex_read(hex, j->p + 2, 2) < 0))
			return bad(j, "bad escape", e);
		j->p += n;
	}
	return bad(j, "string without end", e);
}

static size_t
digits(struct json *j)
{
	const char *s = j->p;

	while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
		j->p++;
	return (size_t)(j->p - s);
}

static int
number(struct json *j, struct err *e)
{
	const char *s = j->p;

	if (*j->p == '-')
		j->p++;
	if (j->p < j->end && *j->p == '0')
		j->p++;
	else if (!digits(j))
		return bad(j, "unexpected character", e);
	if (j->p < j->end && *j->p == '.') {
		j->p++;
		if (!digits(j))
			return bad(j, "bad number", e);
	}
	if (j->p < j->end && (*j->p == 'e' || *j->p == 'E')) {
		j->p++;
		if (j->p < j->end && (*j->p == '+' || *j->p == '-'))
			j->p++;
		if (!digits(j))
			return bad(j, "bad number", e);
	}
	j->text = s;
	j->len = (size_t)(j->p - s);
	return JSON_NUMBER;
}

static int
word(struct json *j, const char *w, int type, struct err *e)
{
	size_t n = strlen(w);

	if ((size_t)(j->end - j->p) < n || memcmp(j->p, w, n) != 0)
		return bad(j, "unexpected character", e);
	j->p += n;
	return type;
}

static int
push(struct json *j, char what, struct err *e)
{
	if (j->depth == sizeof(j->stack))
		return bad(j, "nested too deep", e);
	j->stack[j->depth++] = (unsigned char)what;
	j->p++;
	j->state = what == '{' ? FIRST_NAME : FIRST_VALUE;
	return what == '{' ? JSON_OBJECT : JSON_ARRAY;
}

static int
pop(struct json *j)
{
	int type = j->stack[--j->depth] == '{' ? JSON_OBJECT_END : JSON_ARRAY_END;

	j->p++;
	j->state = j->depth ? COMMA : DONE;
	return type;
}

static int
value(struct json *j, struct err *e)
{
	char c = *j->p;

	if (c == '{' || c == '[')
		return push(j, c, e);
	j->state = j->depth ? COMMA : DONE;
	if (c == '"')
		return string(j, e) < 0 ? -1 : JSON_STRING;
	if (c == 't')
		return word(j, "true", JSON_TRUE, e);
	if (c == 'f')
		return word(j, "false", JSON_FALSE, e);
	if (c == 'n')
		return word(j, "null", JSON_NULL, e);
	return number(j, e);
}

static int
name(struct json *j, struct err *e)
{
	if (*j->p != '"')
		return bad(j, "a name was expected", e);
	if (string(j, e) < 0)
		return -1;
	blanks(j);
	if (j->p == j->end || *j->p != ':')
		return bad(j, "':' was expected", e);
	j->p++;
	j->state = VALUE;
	return JSON_NAME;
}

int
json_plain_pair(struct json *j, const char **name, size_t *len)
{
	const char *end, *p, *q;

	if (j->state != COMMA || j->stack[j->depth - 1] != '{' || j->end - j->p < 8 ||
	    j->p[0] != ',' || j->p[1] != '"')
		return 0;
	end = j->end - 3;	/* room for '":"' */
	p = plain(j->p + 2, end);
	if (p >= end || p[0] != '"' || p[1] != ':' || p[2] != '"')
		return 0;
	q = plain(p + 3, end);
	if (q >= end || *q != '"')
		return 0;
	*name = j->p + 2;
	*len = (size_t)(p - *name);
	j->text = p + 3;
	j->len = (size_t)(q - j->text);
	j->escaped = 0;
	j->p = q + 1;
	return 1;
}

int
json_next(struct json *j, struct err *e)
{
	blanks(j);
	if (j->state == DONE)
		return j->p == j->end ? JSON_END : bad(j, "text after the value", e);
	if (j->p == j->end)
		return bad(j, "unexpected end", e);
	if (j->state == COMMA) {
		if (*j->p == (j->stack[j->depth - 1] == '{' ? '}' : ']'))
			return pop(j);
		if (*j->p != ',')
			return bad(j, "',' was expected", e);
		j->p++;
		j->state = j->stack[j->depth - 1] == '{' ? NAME : VALUE;
		blanks(j);
		if (j->p == j->end)
			return bad(j, "unexpected end", e);
	}
	if (j->state == FIRST_NAME && *j->p == '}')
		return pop(j);
	if (j->state == FIRST_VALUE && *j->p == ']')
		return pop(j);
	return j->state == FIRST_NAME || j->state == NAME ? name(j, e) : value(j, e);
}

int
json_skip(struct json *j, struct err *e)
{
	unsigned depth = j->depth;
	int t;

	if (j->state == VALUE) {	/* after a name: its value first */
		t = json_next(j, e);
		if (t < 0)
			return -1;
		if (t != JSON_OBJECT && t != JSON_ARRAY)
			return 0;
		depth = j->depth;
	}
	while (j->depth >= depth && depth)
		if (json_next(j, e) < 0)
			return -1;
	return 0;
}

static void
put_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_chr(out, (char)c);
		return;
	}
	if (c < 0x800) {
		buf_chr(out, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			buf_chr(out, (char)(0xe0 | c >> 12));
		} else {
			buf_chr(out, (char)(0xf0 | c >> 18));
			buf_chr(out, (char)(0x80 | (c >> 12 & 63)));
		}
		buf_chr(out, (char)(0x80 | (c >> 6 & 63)));
	}
	buf_chr(out, (char)(0x80 | (c & 63)));
}

/* The code point of the \u escape at s, moved behind it; 0 if it is none to accept. */
static uint32_t
escaped_point(const char **s, const char *end)
{
	unsigned char h[2];
	uint32_t c, low;

	hex_read(h, *s + 2, 2);
	*s += 6;
	c = get_be16(h);
	if (c < 0xd800 || c > 0xdfff)
		return c;
	if (c > 0xdbff || end - *s < 6 || (*s)[0] != '\\' || (*s)[1] != 'u')
		return 0;
	hex_read(h, *s + 2, 2);
	*s += 6;
	low = get_be16(h);
	return low < 0xdc00 || low > 0xdfff ? 0 : 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

int
json_unescape(const struct json *j, struct buf *out, struct err *e)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *s = j->text, *end = s + j->len;

	if (!j->escaped)
		return buf_add(out, s, j->len);
	while (s < end) {
		if (*s != '\\') {
			buf_chr(out, *s++);
		} else if (s[1] != 'u') {
			buf_chr(out, to[strchr(from, s[1]) - from]);
			s += 2;
		} else {
			uint32_t c = escaped_point(&s, end);

			if (!c)
				return err_set(e, ERR_CORRUPT, "json: bad escape at byte %zu",
					(size_t)(s - j->begin));
			put_utf8(out, c);
		}
	}
	return out->fail ? -1 : 0;
}

int
json_is(const struct json *j, const char *text)
{
	return !j->escaped && strlen(text) == j->len && !memcmp(text, j->text, j->len);
}
