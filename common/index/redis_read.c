#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "index/redis.h"

const char *
redis_index_key(const struct redis_index *x, const char *name, struct buf *key)
{
	key->len = 0;
	buf_str(key, x->entry);
	buf_str(key, name);
	return buf_text(key) ? key->p : "";
}

/* ---- one entry ---- */

enum form { TEXT, I64, U64, U32, I32, REAL, FLAG };

static const struct field {
	const char *name;
	enum form form;
	size_t at;
} fields[] = {
	{ "size", U64, offsetof(struct index_entry, size) },
	{ "created", I64, offsetof(struct index_entry, created_s) },
	{ "expires", I64, offsetof(struct index_entry, expires_s) },
	{ "hash", TEXT, offsetof(struct index_entry, hash) },
	{ "parent", TEXT, offsetof(struct index_entry, parent) },
	{ "depth", U32, offsetof(struct index_entry, depth) },
	{ "priority", I32, offsetof(struct index_entry, priority) },
	{ "tenant", TEXT, offsetof(struct index_entry, tenant) },
	{ "cost", REAL, offsetof(struct index_entry, cost) },
	{ "labels", TEXT, offsetof(struct index_entry, labels) },
	{ "pinned", FLAG, offsetof(struct index_entry, pinned) },
	{ "leased", I64, offsetof(struct index_entry, leased_s) },
};
#define N_FIELDS (sizeof(fields) / sizeof(*fields))
#define N_TEXTS (N_FIELDS + 1)	/* and "seen" */

/* Others may have written here: what is no number is not known. */
static void
set_field(struct index_entry *x, const struct field *f, char *text)
{
	void *to = (char *)x + f->at;
	uint64_t u = 0;
	int64_t i = 0;

	switch (f->form) {
	case TEXT:
		*(const char **)to = text;
		break;
	case U64:
		num_u64(to, text, 0, INT64_MAX, f->name, NULL);
		break;
	case U32:
		if (num_u64(&u, text, 0, UINT32_MAX, f->name, NULL) == 0)
			*(uint32_t *)to = (uint32_t)u;
		break;
	case I64:
		num_i64(to, text, INT64_MIN, INT64_MAX, f->name, NULL);
		break;
	case I32:
		if (num_i64(&i, text, INT32_MIN, INT32_MAX, f->name, NULL) == 0)
			*(int32_t *)to = (int32_t)i;
		break;
	case REAL:
		num_double(to, text, 0, 1e15, f->name, NULL);
		break;
	case FLAG:
		*(int *)to = !strcmp(text, "1");
		break;
	}
}

static void
ask_entry(const struct redis_index *x, struct resp *r, const char *name, struct buf *key)
{
	size_t i;

	resp_begin(r, 2 + N_TEXTS);
	resp_text(r, "HMGET");
	resp_text(r, redis_index_key(x, name, key));
	for (i = 0; i < N_FIELDS; i++)
		resp_text(r, fields[i].name);
	resp_text(r, "seen");
}

/* A text of any length up to REDIS_INDEX_TEXT, malloc'ed; *out NULL: nil. */
static int
take_text(struct resp *r, char **out, struct err *e)
{
	struct resp_item it;

	*out = NULL;
	if (resp_next(r, &it, e) < 0)
		return -1;
	if (it.type == RESP_NIL)
		return 0;
	if (it.type == RESP_ERROR)
		return resp_error(it.text, e);
	if (it.type != RESP_BULK || it.n > REDIS_INDEX_TEXT)
		return err_set(e, ERR_CORRUPT, "reply: no text of an index");
	*out = malloc((size_t)it.n + 1);
	if (!*out)
		return err_sys(e, "read");
	(*out)[it.n] = 0;
	if (resp_body(r, *out, (size_t)it.n, e) == 0)
		return 0;
	free(*out);
	*out = NULL;
	return -1;
}

/* Into out, by copy. 1: there is no such entry. Any failure leaves answers unread. */
static int
take_entry(struct resp *r, const struct index_use *u, struct index_entry *out, struct err *e)
{
	struct index_entry x = { .name = u->name, .accessed_s = u->at_s, .hits = u->n,
		.hash = "", .parent = "", .tenant = "", .labels = "" };
	char *text[N_TEXTS] = { 0 };
	size_t i, n, known = u->n || u->at_s;
	int rc = -1;

	if (resp_get_array(r, &n, e) < 0)
		return -1;
	if (n != N_TEXTS)
		return err_set(e, ERR_CORRUPT, "reply: no entry of an index");
	for (i = 0; i < N_TEXTS; i++) {
		if (take_text(r, &text[i], e) < 0)
			goto free_text;
		known += text[i] != NULL;
		if (i < N_FIELDS && text[i])
			set_field(&x, &fields[i], text[i]);
	}
	rc = known ? index_entry_copy(out, &x, e) : 1;
free_text:
	for (i = 0; i < N_TEXTS; i++)
		free(text[i]);
	return rc;
}

struct getting {
	const struct redis_index *x;
	const char *name;
	struct index_entry *out;
};

static int
get(void *ctx, struct resp *r, struct err *e)
{
	struct getting *g = ctx;
	struct index_use u = { .name = g->name };
	struct buf key = { 0 };
	int rc;

	if (redis_index_uses(g->x, r, &u, 1, e) < 0)
		return -1;
	ask_entry(g->x, r, g->name, &key);
	rc = key.fail ? err_set(e, ERR_FAILED, "out of memory") : resp_flush(r, e);
	buf_free(&key);
	if (rc == 0)
		rc = take_entry(r, &u, g->out, e);
	return rc > 0 ? err_set(e, ERR_ABSENT, "'%.200s': no such entry", g->name) : rc;
}

int
redis_index_get(struct index *ix, const char *name, struct index_entry *out, struct err *e)
{
	struct redis_index *x = (struct redis_index *)ix;
	struct getting g = { x, name, out };

	return redis_net_run(x->net, x->meta, get, &g, e);
}

/* ---- pages ---- */

struct paging {
	const struct redis_index *x;
	struct index_page *pg;
	char *names[INDEX_PAGE];	/* of one answer */
	struct index_use uses[INDEX_PAGE];	/* of them */
	int64_t at_s[INDEX_PAGE];	/* by access: what they are sorted by */
	size_t n;
	char *after;			/* name after which to go on; NULL at the beginning */
	int64_t rank;			/* by access: where to go on */
	struct buf key;
};

static void
free_names(struct paging *p)
{
	while (p->n > 0)
		free(p->names[--p->n]);
}

/* Of a sorted set; with its score after it, if so asked. */
static int
take_name(struct paging *p, struct resp *r, int scored, struct err *e)
{
	char score[40];
	double at = 0;

	if (take_text(r, &p->names[p->n], e) < 0)
		return -1;
	if (!p->names[p->n])
		return 0;
	p->n++;
	if (!scored)
		return 0;
	if (resp_get_text(r, score, sizeof(score), e) < 0)
		return -1;
	num_double(&at, score, -1e15, 1e15, "score", NULL);
	p->at_s[p->n - 1] = (int64_t)at;
	return 0;
}

static int
take_names(struct paging *p, struct resp *r, int scored, struct err *e)
{
	size_t n;

	free_names(p);
	if (resp_get_array(r, &n, e) < 0)
		return -1;
	n /= scored ? 2 : 1;
	if (n > INDEX_PAGE - p->pg->n)
		return err_set(e, ERR_CORRUPT, "reply: more than asked for");
	for (; n > 0; n--)
		if (take_name(p, r, scored, e) < 0)
			return -1;
	return 0;
}

static void
say_bound(struct paging *p, struct resp *r, char mark, const char *name, const char *end)
{
	p->key.len = 0;
	buf_chr(&p->key, mark);
	buf_str(&p->key, name);
	buf_str(&p->key, end);
	resp_word(r, p->key.p ? p->key.p : "", p->key.len);
}

/* The next names in the order of names: between the last one, or the prefix, and the
 * prefix's end; no UTF-8 text holds a byte 0xff. */
static int
names_by_name(struct paging *p, struct resp *r, struct err *e)
{
	resp_begin(r, 7);
	resp_text(r, "ZRANGEBYLEX");
	resp_text(r, p->x->names);
	if (p->after)
		say_bound(p, r, '(', p->after, "");
	else
		say_bound(p, r, '[', p->pg->prefix, "");
	say_bound(p, r, '(', p->pg->prefix, "\xff");
	resp_text(r, "LIMIT");
	resp_number(r, 0);
	resp_number(r, (int64_t)(INDEX_PAGE - p->pg->n));
	return resp_flush(r, e) < 0 ? -1 : take_names(p, r, 0, e);
}

/* Where to go on by access: behind the last one if it is still where it was, else behind
 * all that were used before it. */
static int
find_rank(struct paging *p, struct resp *r, struct err *e)
{
	const struct index_entry *last = &p->pg->last;
	char score[40];
	int64_t rank, before;
	double now;

	resp_begin(r, 3);
	resp_text(r, "ZSCORE");
	resp_text(r, p->x->used);
	resp_text(r, last->name);
	resp_begin(r, 3);
	resp_text(r, "ZRANK");
	resp_text(r, p->x->used);
	resp_text(r, last->name);
	resp_begin(r, 4);
	resp_text(r, "ZCOUNT");
	resp_text(r, p->x->used);
	resp_text(r, "-inf");
	p->key.len = 0;
	buf_printf(&p->key, "(%lld", (long long)last->accessed_s);
	resp_word(r, p->key.p ? p->key.p : "", p->key.len);
	if (resp_flush(r, e) < 0 || resp_get_text(r, score, sizeof(score), e) < 0 ||
	    resp_get_number(r, &rank, e) < 0 || resp_get_number(r, &before, e) < 0)
		return -1;
	if (rank >= 0 && num_double(&now, score, -1e15, 1e15, "score", NULL) == 0 &&
	    (int64_t)now == last->accessed_s)
		p->rank = rank + 1;
	else
		p->rank = before;
	return 0;
}

static int
names_by_access(struct paging *p, struct resp *r, struct err *e)
{
	if (p->rank < 0 && !p->pg->last.name) {
		if (redis_index_sort(p->x, r, e) < 0)
			return -1;
		p->rank = 0;
	} else if (p->rank < 0 && find_rank(p, r, e) < 0) {
		return -1;
	}
	resp_begin(r, 5);
	resp_text(r, "ZRANGE");
	resp_text(r, p->x->used);
	resp_number(r, p->rank);
	resp_number(r, p->rank + INDEX_PAGE - 1 - (int64_t)p->pg->n);
	resp_text(r, "WITHSCORES");
	if (resp_flush(r, e) < 0 || take_names(p, r, 1, e) < 0)
		return -1;
	p->rank += (int64_t)p->n;
	return 0;
}

static int
is_wanted(const struct index_page *pg, const struct index_entry *x)
{
	if (strncmp(x->name, pg->prefix, strlen(pg->prefix)) != 0)
		return 0;
	return pg->order == INDEX_BY_NAME || !pg->last.name ||
		x->accessed_s != pg->last.accessed_s || strcmp(x->name, pg->last.name) > 0;
}

/* The entries of the names; those that vanished or are not wanted are left out. */
static int
take_entries(struct paging *p, struct resp *r, struct err *e)
{
	struct index_page *pg = p->pg;
	size_t i;
	int rc;

	for (i = 0; i < p->n; i++)
		p->uses[i] = (struct index_use){ .name = p->names[i] };
	if (p->n && redis_index_uses(p->x, r, p->uses, p->n, e) < 0)
		return -1;
	for (i = 0; i < p->n; i++)
		ask_entry(p->x, r, p->names[i], &p->key);
	if (p->key.fail)
		return err_set(e, ERR_FAILED, "out of memory");
	if (resp_flush(r, e) < 0)
		return -1;
	for (i = 0; i < p->n; i++) {
		rc = take_entry(r, &p->uses[i], &pg->v[pg->n], e);
		if (rc < 0)
			return -1;
		if (pg->order == INDEX_BY_ACCESS)
			pg->v[pg->n].accessed_s = p->at_s[i];
		if (rc == 0 && is_wanted(pg, &pg->v[pg->n]))
			pg->n++;
		else if (rc == 0)
			index_entry_free(&pg->v[pg->n]);
	}
	return 0;
}

/* Behind the page before; what a broken connection left of this one is let go. */
static int
begin(struct paging *p, struct err *e)
{
	struct index_page *pg = p->pg;

	while (pg->n > 0)
		index_entry_free(&pg->v[--pg->n]);
	p->rank = -1;
	free(p->after);
	p->after = pg->last.name ? strdup(pg->last.name) : NULL;
	return pg->last.name && !p->after ? err_sys(e, "read") : 0;
}

static int
page(void *ctx, struct resp *r, struct err *e)
{
	struct paging *p = ctx;
	struct index_page *pg = p->pg;
	size_t asked;

	if (begin(p, e) < 0)
		return -1;
	do {
		asked = INDEX_PAGE - pg->n;
		if ((pg->order == INDEX_BY_NAME ? names_by_name(p, r, e) :
		    names_by_access(p, r, e)) < 0 || take_entries(p, r, e) < 0)
			return -1;
		if (p->n == 0)
			break;
		if (pg->order == INDEX_BY_NAME && p->after &&
		    strcmp(p->names[p->n - 1], p->after) <= 0)
			return err_set(e, ERR_CORRUPT, "reply: names out of order");
		free(p->after);
		p->after = strdup(p->names[p->n - 1]);
		if (!p->after)
			return err_sys(e, "read");
	} while (p->n == asked && pg->n < INDEX_PAGE);
	return 0;
}

int
redis_index_page(struct index *ix, struct index_page *pg, struct err *e)
{
	struct redis_index *x = (struct redis_index *)ix;
	struct paging *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_sys(e, "read");
	p->x = x;
	p->pg = pg;
	rc = redis_net_run(x->net, x->meta, page, p, e);
	free_names(p);
	buf_free(&p->key);
	free(p->after);
	free(p);
	return rc;
}

/* ---- the whole ---- */

int
redis_index_number(const struct redis_index *x, struct resp *r, const char *field,
	int64_t *out, struct err *e)
{
	char text[24];

	resp_begin(r, 3);
	resp_text(r, "HGET");
	resp_text(r, x->meta);
	resp_text(r, field);
	if (resp_flush(r, e) < 0 || resp_get_text(r, text, sizeof(text), e) < 0)
		return -1;
	if (num_i64(out, text, INT64_MIN, INT64_MAX, field, NULL) < 0)
		*out = 0;
	return 0;
}

struct informing {
	const struct redis_index *x;
	struct index_info *out;
};

static int
info(void *ctx, struct resp *r, struct err *e)
{
	struct informing *w = ctx;
	int64_t names, bytes, version;

	resp_begin(r, 2);
	resp_text(r, "ZCARD");
	resp_text(r, w->x->names);
	if (resp_flush(r, e) < 0 || resp_get_number(r, &names, e) < 0 ||
	    redis_index_number(w->x, r, "bytes", &bytes, e) < 0 ||
	    redis_index_number(w->x, r, "made", &w->out->made_s, e) < 0 ||
	    redis_index_number(w->x, r, "rebuilt", &w->out->rebuilt_s, e) < 0 ||
	    redis_index_number(w->x, r, "version", &version, e) < 0)
		return -1;
	w->out->entries = (uint64_t)names;
	w->out->bytes = bytes > 0 ? (uint64_t)bytes : 0;
	w->out->version = (unsigned)version;
	return 0;
}

int
redis_index_info(struct index *ix, struct index_info *out, struct err *e)
{
	struct redis_index *x = (struct redis_index *)ix;
	struct informing w = { x, out };

	return redis_net_run(x->net, x->meta, info, &w, e);
}
