#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/par.h"
#include "opts.h"
#include "out.h"
#include "tool.h"

enum form { TABLE, WIDE, TSV, NAME, JSON };

struct out {
	const char *schema;
	const struct out_col *cols;
	int n_cols, name_col;
	enum form form;
	struct buf cells;	/* NUL-terminated texts, rows of n_cols, while held back */
	struct buf text;	/* lines that go out next */
	int hold;		/* somebody else writes them */
	size_t rows;
	int *width;
};

static enum form
choose(void)
{
	const char *f = opts_common.form;

	if (opts_common.json)
		return JSON;
	if (f && !strcmp(f, "name"))
		return NAME;
	if (f && !strcmp(f, "wide"))
		return WIDE;
	return f || !isatty(STDOUT_FILENO) ? TSV : TABLE;
}

/* Asked for every row: the options are read by then, the answer stays. */
static enum form
wanted(void)
{
	static int known;
	static enum form form;

	if (!known)
		form = choose();
	known = 1;
	return form;
}

int
out_human(void)
{
	enum form f = wanted();

	return f == TABLE || f == WIDE;
}

struct out *
out_open(const char *schema, const struct out_col *cols, int n_cols, int name_col)
{
	struct out *o = calloc(1, sizeof(*o));

	if (o)
		o->width = calloc((size_t)n_cols, sizeof(*o->width));
	if (!o || !o->width)
		opts_no_memory();
	o->schema = schema;
	o->cols = cols;
	o->n_cols = n_cols;
	o->name_col = name_col;
	o->form = wanted();
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	return o;
}

/* Control characters could drive a terminal or break a line: they become '?'. */
static void
put_clean(struct buf *b, const char *s)
{
	size_t n = strlen(s), i;
	char *to = buf_room(b, n);

	for (i = 0; to && i < n; i++)
		to[i] = (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? '?' : s[i];
	b->len += to ? n : 0;
}

const char *
out_safe(char *buf, uint64_t size, const char *text)
{
	uint64_t i;

	for (i = 0; i + 1 < size && text[i]; i++)
		buf[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	buf[i] = 0;
	return buf;
}

static void
text_cell(const struct out *o, const struct out_col *c, union out_value v, struct buf *b)
{
	int people = o->form == TABLE || o->form == WIDE;
	char t[NUM_TEXT + 8];

	switch (c->type) {
	case OUT_TEXT:
		put_clean(b, v.s ? v.s : "-");
		return;
	case OUT_COUNT:
		if (v.u == OUT_NONE)
			buf_chr(b, '-');
		else
			buf_u64(b, v.u);
		return;
	case OUT_SIZE:
		if (v.u == OUT_NONE)
			buf_chr(b, '-');
		else if (people)
			buf_str(b, num_size_text(t, v.u));
		else
			buf_u64(b, v.u);
		return;
	case OUT_TIME:
		buf_str(b, v.i ? clock_text(t, v.i) : "-");
		return;
	default:
		break;
	}
	if (isnan(v.d))
		buf_chr(b, '-');
	else if (c->type == OUT_SHARE)
		buf_printf(b, people ? "%.1f %%" : "%.4f", people ? v.d * 100 : v.d);
	else if (c->type == OUT_AGE && people)
		buf_str(b, num_duration_text(t, v.d));
	else if (c->type == OUT_AGE && v.d >= 0 && v.d < 1e18)
		buf_u64(b, (uint64_t)(v.d + 0.5));
	else
		buf_printf(b, "%.*f", c->type == OUT_AGE ? 0 : c->digits, v.d);
}

static void
json_cell(const struct out_col *c, union out_value v, struct buf *b)
{
	char t[32];

	switch (c->type) {
	case OUT_TEXT:
		if (v.s)
			buf_json(b, v.s, strlen(v.s));
		else
			buf_str(b, "null");
		return;
	case OUT_COUNT:
	case OUT_SIZE:
		if (v.u == OUT_NONE)
			buf_str(b, "null");
		else
			buf_u64(b, v.u);
		return;
	case OUT_TIME:
		if (v.i)
			buf_printf(b, "\"%s\"", clock_text(t, v.i));
		else
			buf_str(b, "null");
		return;
	default:
		if (!isfinite(v.d))
			buf_str(b, "null");
		else if (c->type == OUT_NUMBER && c->digits > 0)
			buf_printf(b, "%.*f", c->digits, v.d);
		else
			buf_printf(b, "%.9g", v.d);
	}
}

static int
shown(const struct out *o, int i)
{
	return o->cols[i].wide == 0 || (o->cols[i].wide == 1 && o->form == WIDE);
}

static void
json_row(struct out *o, const union out_value *v)
{
	struct buf *b = &o->text;
	int i;

	buf_printf(b, "{\"schema\":\"%s\"", o->schema);
	for (i = 0; i < o->n_cols; i++) {
		buf_printf(b, ",\"%s\":", o->cols[i].name);
		json_cell(&o->cols[i], v[i], b);
	}
	buf_str(b, "}\n");
}

static void
tsv_row(struct out *o, const union out_value *v)
{
	struct buf *b = &o->text;
	int i, first = 1;

	for (i = 0; i < o->n_cols; i++) {
		if (o->form == NAME ? i != o->name_col : !shown(o, i))
			continue;
		if (!first)
			buf_chr(b, '\t');
		first = 0;
		text_cell(o, &o->cols[i], v[i], b);
	}
	buf_chr(b, o->form == NAME && opts_common.nul ? 0 : '\n');
}

static void
put_text(struct out *o)
{
	if (o->text.fail)
		opts_no_memory();
	fwrite(o->text.p, 1, o->text.len, stdout);
	o->text.len = 0;
}

void
out_row(struct out *o, const union out_value *v)
{
	int i;

	if (o->form == JSON || o->form == TSV || o->form == NAME) {
		(o->form == JSON ? json_row : tsv_row)(o, v);
		if (!o->hold)
			put_text(o);
		return;
	}
	for (i = 0; i < o->n_cols; i++) {
		size_t start = o->cells.len;

		if (!shown(o, i))
			continue;
		text_cell(o, &o->cols[i], v[i], &o->cells);
		if ((int)(o->cells.len - start) > o->width[i])
			o->width[i] = (int)(o->cells.len - start);
		buf_chr(&o->cells, 0);
	}
	o->rows++;
}

#define BATCH 1024	/* rows a thread makes at a time */
#define BATCHES 16

struct many {
	struct out batch[BATCHES];
	size_t first, n;
	out_make *row;
	void *ctx;
};

static int
make_batch(void *ctx, size_t i, struct err *e)
{
	struct many *m = ctx;
	size_t at = m->first + i * BATCH, end = at + BATCH < m->n ? at + BATCH : m->n;

	(void)e;
	for (; at < end; at++)
		m->row(&m->batch[i], at, m->ctx);
	return 0;
}

void
out_rows(struct out *o, size_t n, out_make *row, void *ctx)
{
	struct many m = { .n = n, .row = row, .ctx = ctx };
	size_t i, batches;

	if (o->form == TABLE || o->form == WIDE || n <= BATCH) {
		for (i = 0; i < n; i++)
			row(o, i, ctx);
		return;
	}
	for (i = 0; i < BATCHES; i++)
		m.batch[i] = (struct out){ .schema = o->schema, .cols = o->cols,
			.n_cols = o->n_cols, .name_col = o->name_col, .form = o->form, .hold = 1 };
	for (; m.first < n; m.first += BATCHES * BATCH) {
		batches = (n - m.first + BATCH - 1) / BATCH;
		if (batches > BATCHES)
			batches = BATCHES;
		par_each(batches, 0, make_batch, &m, NULL);
		for (i = 0; i < batches; i++)
			put_text(&m.batch[i]);
	}
	for (i = 0; i < BATCHES; i++)
		buf_free(&m.batch[i].text);
}

static void
cell(const struct out *o, int i, const char *text, int last)
{
	if (o->cols[i].type != OUT_TEXT)
		printf("%*s%s", o->width[i], text, last ? "" : "  ");
	else if (last)
		printf("%s", text);
	else
		printf("%-*s  ", o->width[i], text);
}

static void
table(struct out *o)
{
	const char *p = buf_text(&o->cells);
	int i, last = 0;
	size_t r;

	for (i = 0; i < o->n_cols; i++) {
		if (!shown(o, i))
			continue;
		last = i;
		if ((int)strlen(o->cols[i].head) > o->width[i])
			o->width[i] = (int)strlen(o->cols[i].head);
	}
	for (i = 0; i < o->n_cols; i++)
		if (shown(o, i))
			cell(o, i, o->cols[i].head, i == last);
	putchar('\n');
	for (r = 0; p && r < o->rows; r++) {
		for (i = 0; i < o->n_cols; i++) {
			if (!shown(o, i))
				continue;
			cell(o, i, p, i == last);
			p += strlen(p) + 1;
		}
		putchar('\n');
	}
}

void
out_close(struct out *o)
{
	if (!o)
		return;
	if (o->rows)
		table(o);
	buf_free(&o->cells);
	buf_free(&o->text);
	free(o->width);
	free(o);
}

void
out_summary(const char *tool, const char *members, int to_stderr)
{
	if (!opts_common.json)
		return;
	fprintf(to_stderr ? stderr : stdout, "{\"schema\":\"kv.summary/1\",\"tool\":\"%s\",%s,"
		"\"exit\":\"%s\"}\n", tool, members, err_word(tool_mark(ERR_NONE)));
}
