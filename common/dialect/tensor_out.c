#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "dialect/npy.h"
#include "dialect/safetensors.h"
#include "dialect/tensor.h"
#include "digest/digest.h"

/*
 * How long the tensors get is known only at the end, so payloads are first kept in a
 * nameless file; in it, each layer-half of a chunk is one run. The result is made from those
 * runs under a temporary name and then renamed.
 */
enum form { FORM_SAFETENSORS, FORM_NPY, FORM_FOLDER };

struct piece {
	uint64_t at, tokens;
};

struct tensor_out {
	char *path;
	enum form form;
	struct tensor_opts o;
	int spool;
	struct piece *pieces;
	size_t n;
	uint64_t size, tokens;
	struct geom geom;
	struct key key;		/* of the last chunk */
};

static int
ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n > k && !strcmp(s + n - k, suffix);
}

/* Not O_TMPFILE, which NFS and FAT do not have. */
static int
spool_open(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char *name;
	int fd;

	if (asprintf(&name, "%.*s.export.XXXXXX.tmp", slash ? (int)(slash - path + 1) : 0,
		path) < 0)
		return err_sys(e, "export");
	fd = mkostemps(name, 4, O_CLOEXEC);
	if (fd >= 0) {
		unlink(name);
	} else {
		err_sys(e, "export: temporary file '%s'", name);
		err_named(e);
	}
	free(name);
	return fd;
}

int
tensor_out_open(struct tensor_out **out, const char *path, const struct tensor_opts *o,
	struct err *e)
{
	struct tensor_out *t = calloc(1, sizeof(*t));

	*out = NULL;
	if (!t || !(t->path = strdup(path))) {
		free(t);
		return err_sys(e, "export");
	}
	t->o = *o;
	t->form = ends(path, ".npy") ? FORM_NPY : ends(path, ".safetensors") ? FORM_SAFETENSORS
		: FORM_FOLDER;
	t->spool = -1;
	if (t->form == FORM_FOLDER && (!o->tokens || (o->layout != LAYOUT_G1_NHD
		&& o->layout != LAYOUT_G2_NHD && o->layout != LAYOUT_G3_NHD))) {
		err_set(e, ERR_USAGE, "export to '%s': folders of vLLM's example connector need "
			"--tokens and layout=g1-nhd, g2-nhd or g3-nhd", path);
		goto close_t;
	}
	t->spool = spool_open(path, e);
	if (t->spool < 0)
		goto close_t;
	*out = t;
	return 0;
close_t:
	tensor_out_close(t, 0, NULL);
	return -1;
}

/* Is c what comes after what is there? */
static int
follows(const struct tensor_out *t, const struct chunk_head *h, struct err *e)
{
	char text[KEY_SHORT];
	const struct key *k = &t->key;

	if (*h->codec || *h->cipher)
		return err_set(e, ERR_USAGE, "export: payloads must be plain");
	if (t->n == 0) {
		if (h->first_token == 0 || (h->first_token == CHUNK_UNKNOWN && !h->parent.len))
			return 0;
		return err_set(e, ERR_USAGE, "export: chunk %s is not the first of its chain",
			key_hash_short(text, &h->key.hash));
	}
	if (k->tp != h->key.tp || k->rank != h->key.rank || !geom_same(&t->geom, &h->geom))
		return err_set(e, ERR_USAGE, "export: several ranks or shapes: select one with "
			"--rank, or put ranks together with --to-tp 1");
	if (h->first_token == CHUNK_UNKNOWN && !h->parent.len)
		return err_set(e, ERR_USAGE, "export: the order of chunks is not known here: give "
			"--tokens");
	if ((h->first_token != CHUNK_UNKNOWN && h->first_token != t->tokens)
		|| (h->parent.len && key_hash_cmp(&h->parent, &k->hash)))
		return err_set(e, ERR_USAGE, "export: chunk %s is of another chain: select one "
			"with --chain", key_hash_short(text, &h->key.hash));
	return 0;
}

int
tensor_out_put(struct tensor_out *t, const struct chunk *c, struct err *e)
{
	const struct chunk_head *h = &c->head;
	struct piece *more;

	if (follows(t, h, e) < 0)
		return -1;
	more = realloc(t->pieces, (t->n + 1) * sizeof(*more));
	if (!more)
		return err_sys(e, "export");
	t->pieces = more;
	if (io_pwrite(t->spool, chunk_payload(c), h->payload, t->size, e) < 0)
		return -1;
	more[t->n++] = (struct piece){ t->size, h->tokens };
	t->size += h->payload;
	t->tokens += h->tokens;
	t->geom = h->geom;
	t->key = h->key;
	return 0;
}

/* ---- making the result ---- */

/* Copy n bytes of the spool at at to offset to of fd. */
static int
copy_run(const struct tensor_out *t, int fd, uint64_t to, uint64_t at, uint64_t n,
	struct err *e)
{
	enum { STEP = 1 << 20 };
	unsigned char *p = malloc(STEP);
	ssize_t k = 0;

	if (!p)
		return err_sys(e, "export");
	while (n > 0) {
		k = io_pread(t->spool, p, n < STEP ? n : STEP, at, e);
		if (k <= 0 || io_pwrite(fd, p, (size_t)k, to, e) < 0)
			break;
		at += (uint64_t)k;
		to += (uint64_t)k;
		n -= (uint64_t)k;
	}
	free(p);
	if (n && k == 0)
		return err_set(e, ERR_FAILED, "export: temporary file cut short");
	return n ? -1 : 0;
}

/* Where a piece's layer-half lies in the spool. */
static uint64_t
half_at(const struct tensor_out *t, const struct piece *p, uint32_t c, uint32_t l)
{
	return p->at + ((uint64_t)c * t->geom.layers + l) * p->tokens * geom_row(&t->geom);
}

/* The first n tokens of layer-half c of layer l, in order, to offset to. */
static int
copy_half(const struct tensor_out *t, int fd, uint64_t to, uint32_t c, uint32_t l,
	uint64_t n, struct err *e)
{
	uint64_t row = geom_row(&t->geom), k;
	const struct piece *p;

	for (p = t->pieces; n > 0; p++, n -= k, to += k * row) {
		k = p->tokens < n ? p->tokens : n;
		if (copy_run(t, fd, to, half_at(t, p, c, l), k * row, e) < 0)
			return -1;
	}
	return 0;
}

static int
write_npy(const struct tensor_out *t, int fd, struct err *e)
{
	const struct geom *g = &t->geom;
	uint64_t shape[5] = { g->kv, g->layers, t->tokens, g->heads, g->head_dim };
	uint64_t half = t->tokens * geom_row(g);
	struct buf b = { 0 };
	uint32_t i;
	int r = npy_header(&b, g->dtype, shape, 5, e);

	if (r == 0)
		r = io_pwrite(fd, b.p, b.len, 0, e);
	for (i = 0; r == 0 && i < g->kv * g->layers; i++)
		r = copy_half(t, fd, b.len + i * half, i / g->layers, i % g->layers, t->tokens, e);
	buf_free(&b);
	return r;
}

static int
write_safetensors(const struct tensor_out *t, int fd, struct err *e)
{
	const struct geom *g = &t->geom;
	uint64_t shape[3] = { t->tokens, g->heads, g->head_dim };
	struct safetensors s = { 0 };
	struct buf b = { 0 };
	char name[64];
	uint32_t i, n = g->kv * g->layers;
	size_t k;
	int r = safetensors_add_meta(&s, "model", t->key.model, e);

	for (i = 0; r == 0 && i < n; i++) {
		snprintf(name, sizeof(name), "model.layers.%u.self_attn.%c",
			g->layer_first + i % g->layers, i < g->layers ? 'k' : 'v');
		r = safetensors_add(&s, name, g->dtype, shape, 3, e);
	}
	if (r == 0)
		r = safetensors_header(&s, &b, e);
	if (r == 0)
		r = io_pwrite(fd, b.p, b.len, 0, e);
	for (i = 0; r == 0 && i < n; i++) {
		snprintf(name, sizeof(name), "model.layers.%u.self_attn.%c",
			g->layer_first + i % g->layers, i < g->layers ? 'k' : 'v');
		for (k = 0; k < s.n && strcmp(s.t[k].name, name); k++)
			;
		r = copy_half(t, fd, s.data + s.t[k].begin, i / g->layers, i % g->layers,
			t->tokens, e);
	}
	safetensors_free(&s);
	buf_free(&b);
	return r;
}

/* Make path: fill() into a temporary beside it, then rename. */
static int
make_file(const struct tensor_out *t, const char *path,
	int (*fill)(const struct tensor_out *, int, uint32_t, struct err *), uint32_t arg,
	struct err *e)
{
	char *tmp = NULL;
	int fd, r;

	if (asprintf(&tmp, "%s.%d.tmp", path, (int)getpid()) < 0)
		return err_sys(e, "export");
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0) {
		r = err_sys(e, "export '%s'", tmp);
		goto done;
	}
	r = fill(t, fd, arg, e);
	if (close(fd) < 0 && r == 0)
		r = err_sys(e, "export '%s'", tmp);
	if (r == 0 && rename(tmp, path) < 0)
		r = err_sys(e, "export '%s'", path);
	if (r < 0)
		unlink(tmp);
done:
	free(tmp);
	return r;
}

static int
fill_file(const struct tensor_out *t, int fd, uint32_t arg, struct err *e)
{
	(void)arg;
	return t->form == FORM_NPY ? write_npy(t, fd, e) : write_safetensors(t, fd, e);
}

/* ---- folders of vLLM's example connector ---- */

/* What the connector stores of a prompt: whole blocks, and never its last token. */
static uint64_t
aligned(const struct tensor_out *t)
{
	uint64_t block = t->o.block ? t->o.block : 16;

	return t->o.n_tokens ? (t->o.n_tokens - 1) / block * block : 0;
}

/* n tokens of a piece, K and V pairwise as the generation has them, to offset to. */
static int
copy_pairs(const struct tensor_out *t, int fd, const struct piece *p, uint64_t to, uint32_t l,
	uint64_t n, struct err *e)
{
	uint64_t half = n * geom_row(&t->geom);
	struct layout_side from = layout_neutral(&t->geom, n), side = from;
	struct layout_span w = { .tokens = n, .heads = t->geom.heads };
	unsigned char *mem = malloc(4 * half), *at[2] = { mem, mem + half };
	unsigned char *pairs[2] = { mem + 2 * half, NULL };
	struct layout_plan plan;
	int r = -1;
	uint32_t c;

	if (!mem)
		return err_sys(e, "export");
	side.layout = t->o.layout;
	side.block = 1;
	side.blocks = n;
	for (c = 0; c < 2; c++)
		if (io_pread(t->spool, at[c], half, half_at(t, p, c, l), e) != (ssize_t)half)
			goto done;
	if (layout_plan(&plan, &side, &from, &w, e) < 0)
		goto done;
	layout_copy(&plan, pairs, at);
	layout_plan_free(&plan);
	r = io_pwrite(fd, pairs[0], 2 * half, to, e);
done:
	free(mem);
	return r;
}

static int
fill_layer(const struct tensor_out *t, int fd, uint32_t l, struct err *e)
{
	const struct geom *g = &t->geom;
	uint64_t n = aligned(t), row = geom_row(g), done, k;
	uint64_t shape[4] = { n, 2, g->heads, g->head_dim };
	struct safetensors s = { 0 };
	const struct piece *p = t->pieces;
	struct buf b = { 0 };
	unsigned dims = 4;
	uint32_t c;
	int r;

	if (g->kv == 1) {
		dims = 2;
		shape[1] = g->head_dim;
	} else if (t->o.layout == LAYOUT_G1_NHD) {
		dims = 3;
		shape[0] = 2;
		shape[1] = n;
		shape[2] = (uint64_t)g->heads * g->head_dim;
	} else if (t->o.layout == LAYOUT_G3_NHD) {
		dims = 3;
		shape[1] = g->heads;
		shape[2] = 2 * g->head_dim;
	}
	r = safetensors_add(&s, "kv_cache", g->dtype, shape, dims, e);
	if (r == 0)
		r = safetensors_header(&s, &b, e);
	if (r == 0)
		r = io_pwrite(fd, b.p, b.len, 0, e);
	if (g->kv == 1 || t->o.layout == LAYOUT_G1_NHD) {
		for (c = 0; r == 0 && c < g->kv; c++)
			r = copy_half(t, fd, b.len + c * n * row, c, l, n, e);
	} else {
		for (done = 0; r == 0 && done < n; done += k, p++) {
			k = p->tokens < n - done ? p->tokens : n - done;
			r = copy_pairs(t, fd, p, b.len + 2 * done * row, l, k, e);
		}
	}
	safetensors_free(&s);
	buf_free(&b);
	return r;
}

/* The folder's name: MD5 of the stored tokens as 64-bit integers. */
static int
folder_name(const struct tensor_out *t, char hex[33], struct err *e)
{
	uint64_t n = aligned(t), i;
	unsigned char *p = malloc(8 * n + 1), sum[DIGEST_MD5];
	int rc;

	if (!p)
		return err_sys(e, "export");
	for (i = 0; i < n; i++)
		put_le64(p + 8 * i, t->o.tokens[i]);
	rc = digest_md5(sum, p, 8 * n, e);
	free(p);
	if (rc < 0)
		return err_in(e, "export");
	hex_write(hex, sum, sizeof(sum));
	return 0;
}

static int
write_folder(const struct tensor_out *t, struct err *e)
{
	char hex[33], *dir = NULL, *path;
	uint32_t l;
	int r;

	if (aligned(t) > t->tokens || aligned(t) == 0)
		return err_set(e, ERR_USAGE, "export: the connector stores %llu tokens of this "
			"prompt, here are %llu: keep the tail, or give fewer --tokens",
			(unsigned long long)aligned(t), (unsigned long long)t->tokens);
	if (folder_name(t, hex, e) < 0)
		return -1;
	if (asprintf(&dir, "%s/%s", t->path, hex) < 0)
		return err_sys(e, "export");
	r = io_mkdirs(dir, 0777, e);
	for (l = 0; r == 0 && l < t->geom.layers; l++) {
		if (asprintf(&path, "%s/model.layers.%u.self_attn.attn.safetensors", dir,
			t->geom.layer_first + l) < 0)
			return err_sys(e, "export");
		r = make_file(t, path, fill_layer, l, e);
		free(path);
	}
	free(dir);
	return r;
}

int
tensor_out_close(struct tensor_out *t, int keep, struct err *e)
{
	int r = 0;

	if (!t)
		return 0;
	if (keep && t->n == 0)
		r = err_set(e, ERR_ABSENT, "export to '%s': no chunks came", t->path);
	else if (keep && t->form == FORM_FOLDER)
		r = write_folder(t, e);
	else if (keep)
		r = make_file(t, t->path, fill_file, 0, e);
	if (t->spool >= 0)
		close(t->spool);
	free(t->pieces);
	free(t->path);
	free(t);
	return r;
}
