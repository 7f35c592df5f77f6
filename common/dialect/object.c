#include <stdio.h>
#include <string.h>

#include "dialect/row.h"

/* Names of LMCache's multiprocess line (ObjectKey, lmcache/v1/distributed/api.py @000e8777;
 * files: fs_key_codec.py @3e145cb2). Generation 3 is model@RRRRRRRR@G@hash[@salt], R the
 * rank word in hex, "0x" before it in file names; generations 1 and 2 lack the group. */

static int
is_hex(const char *s, size_t n)
{
	return n && strspn(s, "0123456789abcdef") == n;
}

/* world<<24 | rank<<16 | local world<<8 | local rank */
static int
rank_read(struct key *k, const char *s, int prefixed)
{
	uint8_t b[4];

	if (prefixed && strncmp(s, "0x", 2))
		return -1;
	s += prefixed ? 2 : 0;
	if (strlen(s) != 8 || !is_hex(s, 8) || hex_read(b, s, 4) < 0)
		return -1;
	k->tp = b[0];
	k->rank = b[1];
	return k->tp > 0 && k->rank < k->tp ? 0 : -1;
}

static int
group_read(struct key *k, const char *s)
{
	size_t n = strlen(s);
	uint8_t b[4];
	char full[9] = "00000000";

	if (n > 8 || !is_hex(s, n) || (*s == '0' && n > 1))
		return -1;
	memcpy(full + 8 - n, s, n);
	if (hex_read(b, full, 4) < 0)
		return -1;
	k->group = get_be32(b);
	return 0;
}

static int
hash_read(struct key_hash *h, const char *s)
{
	size_t n = strlen(s);

	if (n < 2 * KEY_HASH_MIN || n > 2 * KEY_HASH_MAX || n % 2 || !is_hex(s, n))
		return -1;
	h->len = (uint8_t)(n / 2);
	return hex_read(h->b, s, n / 2);
}

static int
model_read(const struct dialect *d, struct dialect_name *n, char *text)
{
	size_t k = strlen(d->slash);
	char *in = text, *out = text;

	if (!*text || strlen(text) >= sizeof(n->key.model)
		|| (*d->slash != '/' && strchr(text, '/')))
		return -1;
	if (*d->slash == '/' && strchr(text, '_') && !strchr(text, '/'))
		return -1;	/* the form of S3 */
	n->lossy = k == 1 && *d->slash == '_' && strchr(text, '_');
	while (k > 1 && *in) {
		if (!strncmp(in, d->slash, k)) {
			*out++ = '/';
			in += k;
		} else {
			*out++ = *in++;
		}
	}
	if (k > 1)
		*out = '\0';
	strcpy(n->key.model, text);
	return *text ? 0 : -1;
}

int
names_object_parse(const struct dialect *d, const char *name, struct dialect_name *n)
{
	size_t len = strlen(name), k = strlen(d->suffix), i;
	int file = *d->suffix == '.', fields = 1, grouped;
	char text[1100], *f[6] = { text }, *p;

	n->what = DIALECT_CHUNK;
	if (file && len > 4 && !strcmp(name + len - 4, ".tmp")) {
		n->what = DIALECT_LITTER;
		k = 4;
	} else if (len <= k || strcmp(name + len - k, d->suffix)) {
		return -1;
	}
	if (len - k >= sizeof(text))
		return -1;
	memcpy(text, name, len - k);
	text[len - k] = '\0';
	for (p = text; (p = strchr(p, '@')); f[fields++] = p) {
		if (fields == 5)
			return -1;
		*p++ = '\0';
	}
	if (fields < 3 || rank_read(&n->key, f[1], file) < 0 || model_read(d, n, f[0]) < 0)
		return -1;
	/* four fields: a long third one is a hash with a salt behind it */
	grouped = fields == 5 || (fields == 4 && strlen(f[2]) < 2 * KEY_HASH_MIN);
	if (grouped != (d->names == NAMES_OBJECT))
		return -1;
	i = grouped ? 3 : 2;
	if ((grouped && group_read(&n->key, f[2]) < 0) || hash_read(&n->key.hash, f[i]) < 0)
		return -1;
	if (++i < (size_t)fields) {
		if (!*f[i] || strlen(f[i]) >= sizeof(n->key.salt))
			return -1;
		strcpy(n->key.salt, f[i]);
	}
	n->layer = -1;
	snprintf(n->algo, sizeof(n->algo), "opaque:lmcache-mp");
	return 0;
}

int
names_object_format(const struct dialect *d, const struct chunk_head *h, struct buf *out,
	struct err *e)
{
	const struct key *k = &h->key;
	char model[256], hash[KEY_HEX];

	if (names_model(d, k->model, model) < 0)
		return err_set(e, ERR_USAGE, "%s: model '%s' cannot stand in a name", d->word,
			k->model);
	buf_printf(out, "%s@%s%02x%02x%02x%02x@", model, *d->suffix ? "0x" : "", k->tp, k->rank,
		k->tp, k->rank);
	if (d->names == NAMES_OBJECT)
		buf_printf(out, "%x@", k->group);
	buf_str(out, key_hash_hex(hash, &k->hash));
	if (*k->salt)
		buf_printf(out, "@%s", k->salt);
	return buf_str(out, d->suffix) < 0 ? err_sys(e, "%s name", d->word) : 0;
}
