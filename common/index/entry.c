#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/num.h"
#include "index/ops.h"

static const char schema[] = "kv.index/1";

/* The texts of an entry, in the order of their place in one allocation. */
static const size_t texts[] = {
	offsetof(struct index_entry, name), offsetof(struct index_entry, hash),
	offsetof(struct index_entry, parent), offsetof(struct index_entry, tenant),
	offsetof(struct index_entry, labels),
};
#define N_TEXTS (sizeof(texts) / sizeof(*texts))

static const char **
text_of(const struct index_entry *x, size_t i)
{
	return (const char **)((char *)x + texts[i]);
}

int
index_entry_copy(struct index_entry *to, const struct index_entry *from, struct err *e)
{
	size_t i, len[N_TEXTS], sum = 0;
	char *p;

	for (i = 0; i < N_TEXTS; i++) {
		const char *s = *text_of(from, i);

		len[i] = (s ? strlen(s) : 0) + 1;
		sum += len[i];
	}
	p = malloc(sum);
	if (!p)
		return err_sys(e, "index");
	*to = *from;
	for (i = 0; i < N_TEXTS; i++) {
		const char *s = *text_of(from, i);

		memcpy(p, s ? s : "", len[i]);
		*text_of(to, i) = p;
		p += len[i];
	}
	return 0;
}

void
index_entry_free(struct index_entry *x)
{
	free((char *)x->name);	/* the first of the allocation */
	memset(x, 0, sizeof(*x));
}

static void
json_text(struct buf *out, const char *name, const char *s)
{
	if (!s || !*s)
		return;
	buf_printf(out, ",\"%s\":", name);
	buf_json(out, s, strlen(s));
}

static void
json_time(struct buf *out, const char *name, int64_t t)
{
	char text[32];

	if (t)
		buf_printf(out, ",\"%s\":\"%s\"", name, clock_text(text, t));
}

int
index_entry_json(struct buf *out, const struct index_entry *x)
{
	buf_printf(out, "{\"schema\":\"%s\"", schema);
	json_text(out, "name", x->name);
	buf_printf(out, ",\"size\":%llu", (unsigned long long)x->size);
	json_time(out, "created", x->created_s);
	json_time(out, "accessed", x->accessed_s);
	json_time(out, "expires", x->expires_s);
	buf_printf(out, ",\"hits\":%llu", (unsigned long long)x->hits);
	json_text(out, "hash", x->hash);
	json_text(out, "parent", x->parent);
	if (x->depth)
		buf_printf(out, ",\"depth\":%u", x->depth);
	if (x->priority)
		buf_printf(out, ",\"priority\":%d", x->priority);
	json_text(out, "tenant", x->tenant);
	if (x->cost > 0)
		buf_printf(out, ",\"cost\":%.9g", x->cost);
	json_text(out, "labels", x->labels);
	if (x->pinned)
		buf_str(out, ",\"pinned\":true");
	json_time(out, "leased_until", x->leased_s);
	buf_chr(out, '}');
	return out->fail ? -1 : 0;
}

/* A line being read. Texts go into keep, which may move while it grows: their places are
 * noted and made pointers at the end. */
struct reading {
	struct index_entry *x;
	struct buf *keep;
	size_t at[N_TEXTS];	/* offset in keep plus 1; 0: not there */
	int known;		/* the schema was seen, and is ours */
};

enum form { TEXT, TIME, U64, U32, I32, REAL, FLAG, SCHEMA };

static const struct field {
	const char *name;
	enum form form;
	size_t at;	/* in the entry; TEXT: which of texts[] */
} fields[] = {
	{ "schema", SCHEMA, 0 },
	{ "name", TEXT, 0 }, { "hash", TEXT, 1 }, { "parent", TEXT, 2 },
	{ "tenant", TEXT, 3 }, { "labels", TEXT, 4 },
	{ "size", U64, offsetof(struct index_entry, size) },
	{ "hits", U64, offsetof(struct index_entry, hits) },
	{ "created", TIME, offsetof(struct index_entry, created_s) },
	{ "accessed", TIME, offsetof(struct index_entry, accessed_s) },
	{ "expires", TIME, offsetof(struct index_entry, expires_s) },
	{ "leased_until", TIME, offsetof(struct index_entry, leased_s) },
	{ "depth", U32, offsetof(struct index_entry, depth) },
	{ "priority", I32, offsetof(struct index_entry, priority) },
	{ "cost", REAL, offsetof(struct index_entry, cost) },
	{ "pinned", FLAG, offsetof(struct index_entry, pinned) },
};

static int
read_text(struct reading *r, const struct json *j, const struct field *f, struct err *e)
{
	size_t at = r->keep->len;
	const char *text;
	int64_t t;

	if (json_unescape(j, r->keep, e) < 0 || buf_chr(r->keep, 0) < 0)
		return -1;
	text = r->keep->p + at;
	if (f->form == TEXT) {
		r->at[f->at] = at + 1;
		return 0;
	}
	if (f->form == SCHEMA) {
		r->known = !strcmp(text, schema);
		return 0;
	}
	if (clock_read(&t, text, e) < 0)
		return -1;
	*(int64_t *)((char *)r->x + f->at) = t;
	return 0;
}

static int
read_number(struct reading *r, const struct json *j, const struct field *f, struct err *e)
{
	char text[40], *to = (char *)r->x + f->at;
	uint64_t u;
	int64_t i;

	if (j->len >= sizeof(text))
		return err_set(e, ERR_CORRUPT, "%s: number too long", f->name);
	memcpy(text, j->text, j->len);
	text[j->len] = 0;
	switch (f->form) {
	case U64:
		return num_u64((uint64_t *)to, text, 0, INT64_MAX, f->name, e);
	case U32:
		if (num_u64(&u, text, 0, UINT32_MAX, f->name, e) < 0)
			return -1;
		*(uint32_t *)to = (uint32_t)u;
		return 0;
	case I32:
		if (num_i64(&i, text, INT32_MIN, INT32_MAX, f->name, e) < 0)
			return -1;
		*(int32_t *)to = (int32_t)i;
		return 0;
	default:
		return num_double((double *)to, text, 0, 1e15, f->name, e);
	}
}

static int
read_value(struct reading *r, struct json *j, const struct field *f, struct err *e)
{
	int type = json_next(j, e);
	int text = f->form == TEXT || f->form == TIME || f->form == SCHEMA;

	if (type < 0)
		return -1;
	if (text && type == JSON_STRING)
		return read_text(r, j, f, e);
	if (f->form == FLAG && (type == JSON_TRUE || type == JSON_FALSE)) {
		*(int *)((char *)r->x + f->at) = type == JSON_TRUE;
		return 0;
	}
	if (!text && f->form != FLAG && type == JSON_NUMBER)
		return read_number(r, j, f, e);
	return err_set(e, ERR_CORRUPT, "%s: not of the right type", f->name);
}

static int
read_members(struct reading *r, struct json *j, struct err *e)
{
	size_t i, n = sizeof(fields) / sizeof(*fields);
	int type;

	while ((type = json_next(j, e)) == JSON_NAME) {
		for (i = 0; i < n && !json_is(j, fields[i].name); i++)
			;
		if ((i < n ? read_value(r, j, &fields[i], e) : json_skip(j, e)) < 0)
			return -1;
	}
	if (type < 0)
		return -1;
	return json_next(j, e) == JSON_END ? 0 :
		err_set(e, ERR_CORRUPT, "text after the object");
}

int
index_entry_read(struct index_entry *x, struct buf *keep, const char *line, size_t n,
	struct err *e)
{
	struct reading r = { .x = x, .keep = keep };
	struct json j;
	size_t i;

	memset(x, 0, sizeof(*x));
	json_open(&j, line, n);
	if (json_next(&j, e) != JSON_OBJECT)
		return err_set(e, ERR_CORRUPT, "index entry: not a JSON object");
	if (read_members(&r, &j, e) < 0) {
		if (e)
			e->kind = ERR_CORRUPT;
		return err_in(e, "index entry");
	}
	if (!r.known || !r.at[0] || !keep->p[r.at[0] - 1])
		return err_set(e, ERR_CORRUPT, "index entry: %s",
			r.known ? "no name" : "no schema kv.index/1");
	for (i = 0; i < N_TEXTS; i++)
		*text_of(x, i) = r.at[i] ? keep->p + r.at[i] - 1 : "";
	return 0;
}
