#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/num.h"
#include "flow/evict_lists.h"

#define FILE_MAX (256u << 20)

/* Each line of a file, without newline, comment and white space around it. */
struct lines {
	struct evict *ev;
	const char *file;
	int (*line)(struct lines *l, char *text, struct err *e);
	int comments;
	size_t number;
	void *ctx;
};

static int
each_line(struct lines *l, struct err *e)
{
	struct buf b = { 0 };
	char *p, *next;
	size_t n;
	int rc = 0;

	if (io_slurp(l->file, &b, FILE_MAX, e) < 0)
		return err_named(e);
	if (!buf_text(&b)) {
		buf_free(&b);
		return err_set(e, ERR_FAILED, "'%s': out of memory", l->file);
	}
	for (p = b.p; rc == 0 && *p; p = next) {
		next = p + strcspn(p, "\n");
		next += *next == '\n';
		p[strcspn(p, l->comments ? "#\r\n" : "\r\n")] = 0;
		p += strspn(p, " \t");
		for (n = strlen(p); n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'); n--)
			p[n - 1] = 0;
		l->number++;
		if (*p && l->line(l, p, e) < 0)
			rc = err_in(e, "%s:%zu", l->file, l->number);
	}
	buf_free(&b);
	return rc;
}

/* ---- units by prefix of their hash ---- */

struct matching {
	struct evict *ev;
	void (*found)(struct evict *ev, uint32_t unit);
};

/* In each class the units are sorted by hash: find the first, go on while it fits. */
static size_t
by_prefix(const struct matching *m, const char *hex)
{
	const struct units *u = &m->ev->units;
	struct key_hash low = { 0 };
	uint32_t lo, hi, mid, i = 0, c;
	size_t n = 0, k;
	char pair[3] = "0";

	for (k = 0; hex[k] && low.len < KEY_HASH_MAX; k += 2) {
		pair[0] = hex[k];
		pair[1] = hex[k + 1] ? hex[k + 1] : '0';
		low.b[low.len++] = (uint8_t)strtoul(pair, NULL, 16);
		if (!hex[k + 1])
			break;
	}
	for (; i < u->n; i = lo) {
		c = units_class(u, i);
		for (lo = i, hi = u->n; lo < hi;) {
			mid = lo + (hi - lo) / 2;
			if (units_class(u, mid) == c && memcmp(units_hash(u, mid)->b, low.b,
			    KEY_HASH_MAX) < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
		for (; lo < u->n && units_class(u, lo) == c &&
		     key_hash_match(units_hash(u, lo), hex); lo++, n++)
			m->found(m->ev, lo);
		/* to the first of the next class */
		for (hi = u->n; lo < hi;) {
			mid = lo + (hi - lo) / 2;
			if (units_class(u, mid) == c)
				lo = mid + 1;
			else
				hi = mid;
		}
	}
	return n;
}

/* ---- pins ---- */

static void
pin(struct evict *ev, uint32_t unit)
{
	ev->flags[unit] |= EVICT_PINNED;
}

static int
pin_pattern(struct evict *ev, const char *pattern, struct err *e)
{
	const struct units *u = &ev->units;
	struct buf name = { 0 };
	uint32_t i, k;

	for (i = 0; i < u->n; i++) {
		for (k = u->start[i]; k < u->start[i + 1]; k++) {
			name.len = 0;
			if (catalog_name(u->cat, units_row(u, k), &name) < 0 || !buf_text(&name)) {
				buf_free(&name);
				return err_set(e, ERR_FAILED, "out of memory");
			}
			if (fnmatch(pattern, name.p, 0) == 0)
				pin(ev, i);
		}
	}
	buf_free(&name);
	return 0;
}

static int
pin_line(struct lines *l, char *text, struct err *e)
{
	struct matching m = { l->ev, pin };

	if (strspn(text, "0123456789abcdefABCDEF") != strlen(text))
		return pin_pattern(l->ev, text, e);
	if (key_prefix_check(text, e) < 0)
		return -1;
	by_prefix(&m, text);
	return 0;
}

int
evict_read_pins(struct evict *ev, const char *file, struct err *e)
{
	struct lines l = { .ev = ev, .file = file, .line = pin_line, .comments = 1 };

	return each_line(&l, e);
}

/* ---- reports of damage ---- */

static void
corrupt(struct evict *ev, uint32_t unit)
{
	ev->why[unit] = EVICT_CORRUPT;
}

/* Value of a member that is a plain text; "" otherwise. */
static int
json_text(struct json *j, char *out, size_t size, struct err *e)
{
	int t = json_next(j, e);

	*out = 0;
	if (t == JSON_STRING && !j->escaped && j->len < size) {
		memcpy(out, j->text, j->len);
		out[j->len] = 0;
		return 0;
	}
	return t == JSON_OBJECT || t == JSON_ARRAY ? json_skip(j, e) : t;
}

static int
report_line(struct lines *l, char *text, struct err *e)
{
	struct matching m = { l->ev, corrupt };
	char state[32] = "", hash[1100] = "", name[1100] = "", object[1100] = "";
	struct json j;
	uint32_t unit;
	int t;

	json_open(&j, text, strlen(text));
	if (json_next(&j, e) != JSON_OBJECT)
		return err_set(e, ERR_USAGE, "not a line of a verification (NDJSON)");
	while ((t = json_next(&j, e)) == JSON_NAME) {
		int rc = json_is(&j, "state") ? json_text(&j, state, sizeof(state), e) :
			json_is(&j, "hash") ? json_text(&j, hash, sizeof(hash), e) :
			json_is(&j, "name") ? json_text(&j, name, sizeof(name), e) :
			json_is(&j, "object") ? json_text(&j, object, sizeof(object), e) :
			json_skip(&j, e);

		if (rc < 0)
			return -1;
	}
	if (t < 0)
		return -1;
	if (!*state || !strcmp(state, "ok"))
		return 0;	/* a good one, or a summary */
	unit = units_of_name(&l->ev->units, l->ev->place, *object ? object : name);
	if (unit != UNIT_NONE)
		corrupt(l->ev, unit);
	else if (key_prefix_check(*hash ? hash : name, NULL) == 0)
		by_prefix(&m, *hash ? hash : name);
	return 0;
}

int
evict_read_report(struct evict *ev, const char *file, struct err *e)
{
	struct lines l = { .ev = ev, .file = file, .line = report_line };

	return each_line(&l, e);
}

/* ---- quotas ---- */

#define FIELDS 5

static int
quota_fields(struct evict_quota *q, char *field[FIELDS], int n, struct err *e)
{
	int64_t priority = 0;

	if (n < 2)
		return err_set(e, ERR_USAGE, "not TENANT MAX-SIZE TTL PRIORITY");
	if (strlen(field[0]) >= sizeof(q->tenant))
		return err_set(e, ERR_USAGE, "tenant of more than 128 bytes");
	strcpy(q->tenant, field[0]);
	if (strcmp(field[1], "-") && num_size(&q->limit.max_bytes, field[1], "max-size", e) < 0)
		return -1;
	if (strcmp(field[1], "-") && q->limit.max_bytes == 0)
		return err_set(e, ERR_USAGE, "max-size 0: use - for none, or --tenant and --all");
	if (n > 2 && strcmp(field[2], "-") &&
	    num_duration(&q->limit.ttl_s, field[2], "ttl", e) < 0)
		return -1;
	if (n > 3 && strcmp(field[3], "-") &&
	    num_i64(&priority, field[3], -10000, 10000, "priority", e) < 0)
		return -1;
	q->priority = (int16_t)priority;
	return n > 4 && strcmp(field[4], "-") ?
		num_u64(&q->limit.max_chunks, field[4], 1, UINT64_MAX, "max-chunks", e) : 0;
}

static int
quota_line(struct lines *l, char *text, struct err *e)
{
	struct evict_quota *v, q = { .tenant = "" };
	struct evict *ev = l->ev;
	char *field[FIELDS], *save = NULL, *p;
	size_t i;
	int n = 0;

	for (p = strtok_r(text, " \t", &save); p; p = strtok_r(NULL, " \t", &save)) {
		if (n == FIELDS)
			return err_set(e, ERR_USAGE, "more than five fields");
		field[n++] = p;
	}
	if (quota_fields(&q, field, n, e) < 0)
		return -1;
	for (i = 0; i < ev->n_quotas; i++)
		if (!strcmp(ev->quotas[i].tenant, q.tenant))
			return err_set(e, ERR_USAGE, "tenant '%s' has a line already", q.tenant);
	v = realloc(ev->quotas, (ev->n_quotas + 1) * sizeof(*v));
	if (!v)
		return err_set(e, ERR_FAILED, "out of memory");
	v[ev->n_quotas++] = q;
	ev->quotas = v;
	return 0;
}

/* The quota of a tenant; made out of the "*" line at first sight. PLAN_NONE: none. */
static uint32_t
quota_of(struct evict *ev, const char *tenant, struct err *e)
{
	struct evict_quota *v;
	size_t i, star = SIZE_MAX;

	for (i = 0; i < ev->n_quotas; i++) {
		if (!strcmp(ev->quotas[i].tenant, tenant))
			return (uint32_t)i;
		if (!strcmp(ev->quotas[i].tenant, "*"))
			star = i;
	}
	if (star == SIZE_MAX)
		return PLAN_NONE;
	v = realloc(ev->quotas, (ev->n_quotas + 1) * sizeof(*v));
	if (!v) {
		err_set(e, ERR_FAILED, "out of memory");
		return PLAN_NONE - 1;
	}
	ev->quotas = v;
	v[i] = v[star];
	strcpy(v[i].tenant, tenant);
	ev->n_quotas++;
	return (uint32_t)i;
}

int
evict_read_quotas(struct evict *ev, const char *file, struct err *e)
{
	struct lines l = { .ev = ev, .file = file, .line = quota_line, .comments = 1 };
	const struct units *u = &ev->units;
	uint32_t i, class = 0, at = PLAN_NONE;

	if (each_line(&l, e) < 0)
		return -1;
	for (i = 0; i < u->n; i++) {
		if (i == 0 || units_class(u, i) != class) {
			class = units_class(u, i);
			at = quota_of(ev, u->cat->groups[u->groups[class]].salt, e);
		}
		if (at == PLAN_NONE - 1)
			return -1;
		ev->v[i].tenant = at;
		if (at != PLAN_NONE)
			ev->v[i].priority = (int16_t)(ev->v[i].priority +
				ev->quotas[at].priority);
	}
	return 0;
}

/* ---- one tenant ---- */

static int
tenant_room(struct place_put *how, struct evict *ev, const char *tenant, struct err *e)
{
	struct plan_quota used = { 0 };
	char has[NUM_TEXT], may[NUM_TEXT];
	uint32_t at = quota_of(ev, tenant, e), i;
	const struct plan_quota *q;

	if (at == PLAN_NONE - 1)
		return -1;
	how->room = how->room_chunks = UINT64_MAX;
	if (at == PLAN_NONE)
		return 0;
	q = &ev->quotas[at].limit;
	for (i = 0; i < ev->units.n; i++) {
		used.max_bytes += ev->v[i].tenant == at ? ev->v[i].bytes : 0;
		used.max_chunks += ev->v[i].tenant == at;
	}
	if (q->max_bytes && used.max_bytes >= q->max_bytes)
		return err_set(e, ERR_REFUSED, "tenant '%s' is over quota (%s of %s)", tenant,
			num_size_text(has, used.max_bytes), num_size_text(may, q->max_bytes));
	if (q->max_chunks && used.max_chunks >= q->max_chunks)
		return err_set(e, ERR_REFUSED, "tenant '%s' is over quota (%llu of %llu chunks)",
			tenant, (unsigned long long)used.max_chunks,
			(unsigned long long)q->max_chunks);
	if (q->max_bytes)
		how->room = q->max_bytes - used.max_bytes;
	if (q->max_chunks)
		how->room_chunks = q->max_chunks - used.max_chunks;
	return 0;
}

int
evict_tenant_room(struct place_put *how, struct place *p, const char *file,
	const char *tenant, struct err *e)
{
	struct evict_want none = { .jobs = 0 };
	struct evict ev;
	int rc = evict_read(&ev, p, NULL, &none, e);

	if (rc == 0)
		rc = evict_read_quotas(&ev, file, e);
	if (rc == 0)
		rc = tenant_room(how, &ev, tenant, e);
	evict_free(&ev);
	return rc;
}
