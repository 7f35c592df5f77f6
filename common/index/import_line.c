#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/num.h"
#include "base/uri.h"
#include "index/import_line.h"

#define HASHES_MAX 100000	/* of one request */
#define HASH_MAX 128		/* digits */
#define LOOK_MAX 4096		/* bytes: what our tools ask for to see a header */

int
import_form(const char *word, enum import_form *out, struct err *e)
{
	static const char *const words[] = { "auto", "rgw", "s3", "lookup", "own" };
	int i;

	for (i = 0; i < 5; i++)
		if (!strcmp(word, words[i])) {
			*out = (enum import_form)i;
			return 0;
		}
	return err_set(e, ERR_USAGE, "log format '%s': not auto, rgw, s3, lookup or own", word);
}

int
import_tell(struct reading *r, struct import_event *ev, const char *key, struct err *e)
{
	size_t skip = r->w->prefix ? strlen(r->w->prefix) : 0;

	while (skip && r->w->prefix[skip - 1] == '/')
		skip--;
	if (skip && (strncmp(key, r->w->prefix, skip) != 0 || key[skip++] != '/'))
		return 0;
	key += skip;
	if (!*key)
		return 0;
	ev->name = key;
	return r->each(r->ctx, ev, e) < 0 ? -1 : 1;
}

static int
no_line(const char *why, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "log line: %s", why);
}

int
import_is_look(const struct import_event *ev, uint64_t sent)
{
	return ev->what == IMPORT_USE && sent && sent <= LOOK_MAX && ev->size > LOOK_MAX;
}

/* ---- JSON ---- */

/* What is wanted of a flat JSON object: texts of some members, by name. */
struct want {
	const char *name;
	const char *text;	/* out, or NULL: not there */
};

/* Strings and numbers of the wanted members; text holds them. */
static int
read_members(struct buf *text, const char *line, size_t n, struct want *v, size_t n_v,
	struct err *e)
{
	size_t at[16] = { 0 }, i;
	struct json j;
	int type;

	json_open(&j, line, n);
	if (json_next(&j, e) != JSON_OBJECT)
		return no_line("no JSON object", e);
	while ((type = json_next(&j, e)) == JSON_NAME) {
		for (i = 0; i < n_v && !json_is(&j, v[i].name); i++)
			;
		if (i == n_v) {
			if (json_skip(&j, e) < 0)
				return -1;
			continue;
		}
		type = json_next(&j, e);
		if (type == JSON_OBJECT || type == JSON_ARRAY) {
			if (json_skip(&j, e) < 0)
				return -1;
		} else if (type == JSON_STRING || type == JSON_NUMBER) {
			at[i] = text->len + 1;
			if (type == JSON_STRING ? json_unescape(&j, text, e) < 0 :
			    buf_add(text, j.text, j.len) < 0)
				return -1;
			buf_chr(text, 0);
		} else if (type < 0) {
			return -1;
		}
	}
	if (type < 0)
		return -1;
	if (json_next(&j, e) != JSON_END)
		return no_line("more than one object", e);
	if (text->fail)
		return err_set(e, ERR_FAILED, "log: out of memory");
	for (i = 0; i < n_v; i++)
		v[i].text = at[i] ? text->p + at[i] - 1 : NULL;
	return 0;
}

static uint64_t
number(const char *text)
{
	uint64_t v;

	return text && num_u64(&v, text, 0, INT64_MAX, "number", NULL) == 0 ? v : 0;
}

/* "2026-11-21T02:16:00.123Z", and with a space, as older radosgw writes it. */
static int
read_time(const char *text, int64_t *t, struct err *e)
{
	char fixed[40];
	size_t n = text ? strlen(text) : 0;

	if (n < 20 || n >= sizeof(fixed))
		return no_line("no time", e);
	memcpy(fixed, text, n + 1);
	if (fixed[10] == ' ')
		fixed[10] = 'T';
	return clock_read(t, fixed, e);
}

/* ---- radosgw ---- */

/* The key in "GET /bucket/key?query HTTP/1.1", decoded at the end of text; NULL: none. */
static const char *
key_of_uri(struct reading *r, const char *uri, const char *bucket)
{
	size_t method = strcspn(uri, " "), n, at = r->text.len, len = strlen(bucket);
	const char *path = uri + method + (uri[method] == ' '), *key;

	if (*path != '/')
		return NULL;
	n = strcspn(path, "? ");
	if (uri_decode(&r->text, path + 1, n - 1) < 0 || !buf_text(&r->text))
		return NULL;
	buf_chr(&r->text, 0);
	key = r->text.p + at;
	if (!strncmp(key, bucket, len) && key[len] == '/')
		key += len + 1;		/* else the bucket was in the host's name */
	return key;
}

static int
rgw_what(const char *operation, const char *uri, enum import_what *what)
{
	if (!strcmp(operation, "get_obj") && !strncmp(uri, "GET ", 4))
		*what = IMPORT_USE;
	else if (!strcmp(operation, "put_obj") || !strcmp(operation, "complete_multipart"))
		*what = IMPORT_PUT;
	else if (!strcmp(operation, "delete_obj"))
		*what = IMPORT_DELETE;
	else
		return -1;
	return 0;
}

static int
rgw_line(struct reading *r, const char *line, size_t n, struct err *e)
{
	struct want v[] = { { "bucket", 0 }, { "time", 0 }, { "operation", 0 }, { "uri", 0 },
		{ "http_status", 0 }, { "object_size", 0 }, { "bytes_sent", 0 } };
	struct import_event ev = { .n = 1 };
	char bucket[300], uri[4200];
	const char *slash, *key;

	if (read_members(&r->text, line, n, v, 7, e) < 0)
		return -1;
	if (!v[0].text || !v[2].text || !v[3].text || !v[4].text)
		return no_line("not of radosgw's operations log", e);
	if (read_time(v[1].text, &ev.at_s, e) < 0)
		return -1;
	slash = strrchr(v[0].text, '/');	/* "tenant/bucket" */
	if (strlen(v[0].text) >= sizeof(bucket) || strlen(v[3].text) >= sizeof(uri))
		return no_line("too long", e);
	strcpy(bucket, slash ? slash + 1 : v[0].text);
	if ((r->w->bucket && strcmp(bucket, r->w->bucket) != 0) || *v[4].text != '2' ||
	    rgw_what(v[2].text, v[3].text, &ev.what) < 0)
		return 0;
	ev.size = number(v[5].text);
	if (import_is_look(&ev, number(v[6].text)))
		return 0;
	strcpy(uri, v[3].text);		/* the buffer moves when the key is added */
	key = key_of_uri(r, uri, bucket);
	return key ? import_tell(r, &ev, key, e) : no_line("no object in its uri", e);
}

/* ---- requests: LMCache's lookups, and ours ---- */

/* "0xab12" or plain: lower-case digits without leading zeros. "-0x1f", a signed hash of 64
 * bits, becomes its two's complement, as names of our keys have it. */
static int
read_hash(const struct json *j, char out[HASH_MAX + 1], struct err *e)
{
	const char *p = j->text, *end = p + j->len;
	int negative = p < end && *p == '-';
	uint64_t v = 0;
	size_t n = 0;

	p += negative;
	if (end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
		p += 2;
	while (end - p > 1 && *p == '0')
		p++;
	if (p == end || end - p > (negative ? 16 : HASH_MAX))
		return no_line("bad hash", e);
	for (; p < end; p++) {
		int c = *p >= 'A' && *p <= 'F' ? *p + 32 : *p;

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return no_line("bad hash", e);
		out[n++] = (char)c;
		v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	out[n] = 0;
	if (negative)
		snprintf(out, HASH_MAX + 1, "%llx", (unsigned long long)-v);
	return 0;
}

/* To the first value in the list of this name: 1, 0 if there is none of that name, or -1. */
static int
to_list(struct json *j, const char *line, size_t n, const char *name, struct err *e)
{
	int type;

	json_open(j, line, n);
	json_next(j, NULL);
	while ((type = json_next(j, e)) == JSON_NAME) {
		if (json_is(j, name))
			return json_next(j, e) == JSON_ARRAY ? 1 : no_line("no list", e);
		if (json_skip(j, e) < 0)
			return -1;
	}
	return type < 0 ? -1 : 0;
}

/* The hashes in the list called keys, those alone that were found if a list says so. */
static int
hashes(struct reading *r, const char *line, size_t n, const char *keys, int64_t at_s,
	struct err *e)
{
	char hash[2][HASH_MAX + 1] = { "-", "" };
	struct import_event ev = { .what = IMPORT_USE, .n = 1, .at_s = at_s };
	struct json j, found;
	int told = to_list(&found, line, n, "found", e), type, used = 0, is_use = 1;

	if (told < 0)
		return -1;
	if (to_list(&j, line, n, keys, e) != 1)
		return no_line("no list of hashes", e);
	while ((type = json_next(&j, e)) == JSON_STRING) {
		char *now = hash[(ev.depth + 1) % 2];

		if (read_hash(&j, now, e) < 0)
			return -1;
		ev.hash = now;
		ev.parent = hash[ev.depth % 2];
		if (told && json_next(&found, e) != JSON_NUMBER)
			return no_line("fewer found than keys", e);
		if (told)
			is_use = !(found.len == 1 && *found.text == '0');
		if (is_use && r->each(r->ctx, &ev, e) < 0)
			return -1;
		used |= is_use;
		if (++ev.depth > HASHES_MAX)
			return no_line("too many hashes", e);
	}
	return type == JSON_ARRAY_END ? used : no_line("bad list of hashes", e);
}

static int
read_seconds(const char *text, int64_t *t, struct err *e)
{
	double at;

	if (!text || num_double(&at, text, 0, 1e11, "time", NULL) < 0)
		return no_line("no time in seconds", e);
	*t = (int64_t)at;
	return 0;
}

/* The time is read first: the list may stand before it. */
static int
lookup_line(struct reading *r, const char *line, size_t n, struct err *e)
{
	struct want v[] = { { "timestamp", 0 } };
	int64_t at_s;

	if (read_members(&r->text, line, n, v, 1, e) < 0 || read_seconds(v[0].text, &at_s, e) < 0)
		return -1;
	return hashes(r, line, n, "chunk_hashes", at_s, e);
}

/* ---- our own ---- */

static int
entry_line(struct reading *r, const char *line, size_t n, struct err *e)
{
	struct index_entry x;
	struct import_event ev = { .what = IMPORT_PUT, .n = 1, .entry = &x };

	r->text.len = 0;
	if (index_entry_read(&x, &r->text, line, n, e) < 0)
		return -1;
	ev.name = x.name;
	ev.size = x.size;
	ev.at_s = x.created_s;
	return r->each(r->ctx, &ev, e) < 0 ? -1 : 1;
}

/* The objects of a chunk that was deleted. */
static int
gone(struct reading *r, const char *line, size_t n, int64_t at_s, struct err *e)
{
	struct import_event ev = { .what = IMPORT_DELETE, .n = 1, .at_s = at_s };
	struct json j;
	int type;

	if (to_list(&j, line, n, "objects", e) != 1)
		return no_line("no list of objects", e);
	while ((type = json_next(&j, e)) == JSON_STRING) {
		r->text.len = 0;
		if (json_unescape(&j, &r->text, e) < 0)
			return -1;
		ev.name = buf_text(&r->text);
		if (!ev.name)
			return err_set(e, ERR_FAILED, "log: out of memory");
		if (*ev.name && r->each(r->ctx, &ev, e) < 0)
			return -1;
	}
	return type == JSON_ARRAY_END ? 1 : no_line("bad list of objects", e);
}

/* kv.access/1: time, keys, found; kv.audit/1: time, action "delete" and others, objects. */
static int
own_line(struct reading *r, const char *line, size_t n, struct err *e)
{
	struct want v[] = { { "schema", 0 }, { "time", 0 }, { "action", 0 } };
	int64_t at_s;

	if (read_members(&r->text, line, n, v, 3, e) < 0)
		return -1;
	if (!v[0].text)
		return no_line("no schema", e);
	if (!strcmp(v[0].text, "kv.index/1"))
		return entry_line(r, line, n, e);
	if (!strcmp(v[0].text, "kv.access/1"))
		return read_seconds(v[1].text, &at_s, e) < 0 ? -1 :
			hashes(r, line, n, "keys", at_s, e);
	if (strcmp(v[0].text, "kv.audit/1") != 0)
		return 0;
	if (read_time(v[1].text, &at_s, e) < 0)
		return -1;
	if (!v[2].text || (strcmp(v[2].text, "delete") != 0 && strcmp(v[2].text, "demote") != 0))
		return 0;
	return gone(r, line, n, at_s, e);
}

static int
has(const char *line, size_t n, const char *what)
{
	return memmem(line, n, what, strlen(what)) != NULL;
}

int
import_line(const struct import_where *w, const char *line, size_t n, import_fn *each,
	void *ctx, struct err *e)
{
	struct reading r = { .w = w, .each = each, .ctx = ctx };
	enum import_form form = w->form;
	int rc;

	/* an array's brackets and commas between its objects */
	while (n && strchr(" \t\r\n", line[n - 1]))
		n--;
	while (n && strchr("[, \t", *line) && memchr(line, '{', n))
		line++, n--;
	while (n && *line == '{' && strchr(",] \t", line[n - 1]))
		n--;
	if (n == 0 || (n == 1 && strchr("[],", *line)))
		return 0;
	if (form == IMPORT_AUTO)
		form = *line != '{' ? IMPORT_S3 : has(line, n, "\"chunk_hashes\"") ? IMPORT_LOOKUP :
			has(line, n, "\"schema\"") ? IMPORT_OWN : IMPORT_RGW;
	switch (form) {
	case IMPORT_RGW:
		rc = rgw_line(&r, line, n, e);
		break;
	case IMPORT_LOOKUP:
		rc = lookup_line(&r, line, n, e);
		break;
	case IMPORT_OWN:
		rc = own_line(&r, line, n, e);
		break;
	default:
		rc = import_s3_line(&r, line, n, e);
		break;
	}
	buf_free(&r.text);
	return rc;
}
