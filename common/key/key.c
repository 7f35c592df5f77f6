#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "base/uri.h"
#include "key/key.h"

#define SUFFIX ".kv.safetensors"
#define SEGMENT_MAX 255		/* NAME_MAX of every file system we met */

int
key_hash_cmp(const struct key_hash *a, const struct key_hash *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	int c = memcmp(a->b, b->b, n);

	return c ? c : (int)a->len - (int)b->len;
}

char *
key_hash_hex(char out[KEY_HEX], const struct key_hash *h)
{
	if (h->len)
		hex_write(out, h->b, h->len);
	else
		strcpy(out, "-");
	return out;
}

char *
key_hash_short(char out[KEY_SHORT], const struct key_hash *h)
{
	if (h->len)
		hex_write(out, h->b, (KEY_SHORT - 1) / 2);
	else
		strcpy(out, "-");
	return out;
}

int
key_hash_read(struct key_hash *h, const char *hex, size_t n, struct err *e)
{
	memset(h, 0, sizeof(*h));
	if (n % 2 || n < 2 * KEY_HASH_MIN || n > 2 * KEY_HASH_MAX)
		return err_set(e, ERR_USAGE, "hash: %zu digits, not 16 to 64 and even", n);
	if (hex_read(h->b, hex, n / 2) < 0) {
		memset(h, 0, sizeof(*h));
		return err_set(e, ERR_USAGE, "hash: not hexadecimal");
	}
	h->len = (uint8_t)(n / 2);
	return 0;
}

int
key_prefix_check(const char *hex, struct err *e)
{
	size_t n = strspn(hex, "0123456789abcdefABCDEF");

	if (hex[n] || n < KEY_PREFIX_MIN || n > 2 * KEY_HASH_MAX)
		return err_set(e, ERR_USAGE, "name '%.80s': not %d to %d hex digits", hex,
			KEY_PREFIX_MIN, 2 * KEY_HASH_MAX);
	return 0;
}

int
key_hash_match(const struct key_hash *h, const char *hex)
{
	char own[KEY_HEX];

	return h->len && strncasecmp(key_hash_hex(own, h), hex, strlen(hex)) == 0;
}

/* One character that may stand in names and messages: its length, or 0. */
static size_t
printable(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t len = utf8_len(s, n);

	if (u[0] < 0x20 || u[0] == 0x7f || (u[0] == 0xc2 && n > 1 && u[1] < 0xa0))
		return 0;
	return len;
}

static int
check_text(const char *what, const char *s, size_t cap, const char *not, struct err *e)
{
	size_t n = strnlen(s, cap), i, len;

	if (n == cap)
		return err_set(e, ERR_CORRUPT, "key: %s over %zu bytes", what, cap - 1);
	for (i = 0; i < n; i += len) {
		len = printable(s + i, n - i);
		if (!len)
			return err_set(e, ERR_CORRUPT,
				"key: %s has a control character or is not UTF-8", what);
		if (strchr(not, s[i]))
			return err_set(e, ERR_CORRUPT, "key: %s has a '%c'", what, s[i]);
	}
	return 0;
}

/* Bytes that uri_encode() makes of s. */
static size_t
encoded_len(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') ||
			(*s >= 'a' && *s <= 'z') || strchr("-._~", *s) ? 1 : 3;
	return n;
}

static int
check_place(const struct key *k, struct err *e)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	size_t n = strnlen(k->dtype, sizeof(k->dtype));

	if (n == 0 || n == sizeof(k->dtype) || strspn(k->dtype, letters) != n)
		return err_set(e, ERR_CORRUPT, "key: dtype is not a word of a-z, 0-9 and '_'");
	if (k->tp < 1 || k->tp > KEY_TP_MAX || k->rank >= k->tp)
		return err_set(e, ERR_CORRUPT, "key: rank %u of %u", k->rank, k->tp);
	return 0;
}

/* Everything but the hash. */
static int
check_home(const struct key *k, struct err *e)
{
	if (check_text("model", k->model, sizeof(k->model), "", e) < 0 ||
	    check_text("salt", k->salt, sizeof(k->salt), "@/\\", e) < 0 ||
	    check_place(k, e) < 0)
		return -1;
	if (!strcmp(k->model, "") || !strcmp(k->model, ".") || !strcmp(k->model, ".."))
		return err_set(e, ERR_CORRUPT, "key: '%s' is no model name", k->model);
	/* 2: a first '.'; 40: dtype, tp, rank and group. */
	if (encoded_len(k->model) + 2 > SEGMENT_MAX || encoded_len(k->salt) + 40 > SEGMENT_MAX)
		return err_set(e, ERR_CORRUPT, "key: model or salt too long for a file name");
	return 0;
}

int
key_check(const struct key *k, struct err *e)
{
	if (k->hash.len < KEY_HASH_MIN || k->hash.len > KEY_HASH_MAX)
		return err_set(e, ERR_CORRUPT, "key: a hash of %u bytes", k->hash.len);
	return check_home(k, e);
}

static int
order(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

int
key_cmp(const struct key *a, const struct key *b)
{
	int c = strcmp(a->model, b->model);

	if (!c)
		c = strcmp(a->dtype, b->dtype);
	if (!c)
		c = order(a->tp, b->tp);
	if (!c)
		c = order(a->rank, b->rank);
	if (!c)
		c = order(a->group, b->group);
	if (!c)
		c = strcmp(a->salt, b->salt);
	return c ? c : key_hash_cmp(&a->hash, &b->hash);
}

/* s at out + at, what cannot be printed as '?'; returns the new end, below cap. */
static size_t
add_safe(char *out, size_t at, size_t cap, const char *s, size_t max)
{
	size_t n = strnlen(s, max), i, len;

	for (i = 0; i < n; i += len ? len : 1) {
		len = printable(s + i, n - i);
		if (at + (len ? len : 1) >= cap)
			break;
		if (len)
			memcpy(out + at, s + i, len);
		else
			out[at] = '?';
		at += len ? len : 1;
	}
	out[at] = 0;
	return at;
}

char *
key_text(char out[KEY_TEXT], const struct key *k)
{
	char part[96], hash[KEY_SHORT];
	size_t at;

	at = add_safe(out, 0, KEY_TEXT, k->model, sizeof(k->model));
	at = add_safe(out, at, KEY_TEXT, " ", 1);
	at = add_safe(out, at, KEY_TEXT, k->dtype, sizeof(k->dtype));
	snprintf(part, sizeof(part), " tp%u r%u %s", k->tp, k->rank,
		key_hash_short(hash, &k->hash));
	at = add_safe(out, at, KEY_TEXT, part, sizeof(part));
	if (k->group) {
		snprintf(part, sizeof(part), " g%u", k->group);
		at = add_safe(out, at, KEY_TEXT, part, sizeof(part));
	}
	if (k->salt[0]) {
		at = add_safe(out, at, KEY_TEXT, " tenant ", 8);
		add_safe(out, at, KEY_TEXT, k->salt, sizeof(k->salt));
	}
	return out;
}

static void
add_model(struct buf *out, const char *model)
{
	if (*model == '.') {
		buf_str(out, "%2E");
		model++;
	}
	uri_encode(out, model, strlen(model), "");
	buf_chr(out, '/');
}

static void
add_home(struct buf *out, const struct key *k)
{
	add_model(out, k->model);
	buf_printf(out, "%s-tp%u-r%u", k->dtype, k->tp, k->rank);
	if (k->group || k->salt[0] == 'g')
		buf_printf(out, "-g%u", k->group);
	if (k->salt[0]) {
		buf_chr(out, '-');
		uri_encode(out, k->salt, strlen(k->salt), "");
	}
	buf_chr(out, '/');
}

int
key_name(struct buf *out, const struct key *k, struct err *e)
{
	if (key_check(k, e) < 0)
		return -1;
	add_home(out, k);
	buf_hex(out, k->hash.b, 1);
	buf_chr(out, '/');
	buf_hex(out, k->hash.b, k->hash.len);
	buf_str(out, SUFFIX);
	return out->fail ? err_sys(e, "key") : 0;
}

int
key_name_prefix(struct buf *out, const struct key *k, struct err *e)
{
	if (k->model[0] && !k->dtype[0]) {
		add_model(out, k->model);
	} else if (k->model[0]) {
		if (check_home(k, e) < 0)
			return -1;
		add_home(out, k);
		if (k->hash.len) {
			buf_hex(out, k->hash.b, 1);
			buf_chr(out, '/');
		}
	}
	return out->fail ? err_sys(e, "key") : 0;
}

/* A number that ends at '-' or '/', moving *s behind it. */
static int
take_u32(uint32_t *v, const char **s)
{
	size_t n = strcspn(*s, "-/");
	char text[16];
	uint64_t x;

	if (n == 0 || n >= sizeof(text))
		return -1;
	memcpy(text, *s, n);
	text[n] = 0;
	if (num_u64(&x, text, 0, UINT32_MAX, "number", NULL) < 0)
		return -1;
	*v = (uint32_t)x;
	*s += n;
	return 0;
}

/* n encoded characters into a field of cap bytes. */
static int
take_text(char *field, size_t cap, const char *s, size_t n)
{
	struct buf b = { 0 };
	int rc = -1;

	if (uri_decode(&b, s, n) == 0 && b.len < cap) {
		if (b.len)
			memcpy(field, b.p, b.len);
		field[b.len] = 0;
		rc = 0;
	}
	buf_free(&b);
	return rc;
}

static int
skip(const char **s, const char *what)
{
	size_t n = strlen(what);

	if (strncmp(*s, what, n) != 0)
		return -1;
	*s += n;
	return 0;
}

/* Reads generously what key_name() writes: the caller compares. */
static int
scan_name(struct key *k, const char *s)
{
	size_t n = strcspn(s, "/");

	if (take_text(k->model, sizeof(k->model), s, n) < 0 || s[n] != '/')
		return -1;
	s += n + 1;
	n = strcspn(s, "-/");
	if (n >= sizeof(k->dtype))
		return -1;
	memcpy(k->dtype, s, n);
	s += n;
	if (skip(&s, "-tp") < 0 || take_u32(&k->tp, &s) < 0 || skip(&s, "-r") < 0 ||
	    take_u32(&k->rank, &s) < 0)
		return -1;
	if (s[0] == '-' && s[1] == 'g') {
		s += 2;
		if (take_u32(&k->group, &s) < 0)
			return -1;
	}
	n = strcspn(s, "/");
	if (n && (*s != '-' || take_text(k->salt, sizeof(k->salt), s + 1, n - 1) < 0))
		return -1;
	s += n;
	if (strlen(s) < 4)
		return -1;
	s += 4;		/* "/HH/" */
	return key_hash_read(&k->hash, s, strcspn(s, "."), NULL);
}

int
key_parse_name(struct key *k, const char *name, struct err *e)
{
	struct buf own = { 0 };
	int same;

	memset(k, 0, sizeof(*k));
	if (scan_name(k, name) < 0)
		return err_set(e, ERR_CORRUPT, "'%.200s': not a name of ours", name);
	if (key_name(&own, k, e) < 0) {
		buf_free(&own);
		return err_in(e, "'%.200s'", name);
	}
	same = own.len == strlen(name) && !memcmp(own.p, name, own.len);
	buf_free(&own);
	if (!same)
		return err_set(e, ERR_CORRUPT, "'%.200s': not a name of ours", name);
	return 0;
}

int
key_parse_next(struct key *k, const char *before, const char *name)
{
	size_t n = strlen(name), digits = 2 * (size_t)k->hash.len, tail = strlen(SUFFIX), at;
	struct key_hash h = { .len = k->hash.len };
	char lower[KEY_HEX];

	if (n != strlen(before) || n < digits + tail)
		return -1;
	at = n - tail - digits;
	if (memcmp(name, before, at + 2) != 0 || memcmp(name + n - tail, SUFFIX, tail) != 0 ||
	    hex_read(h.b, name + at, h.len) < 0)
		return -1;
	hex_write(lower, h.b, h.len);
	if (memcmp(name + at, lower, digits) != 0)
		return -1;
	k->hash = h;
	return 0;
}
