#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/num.h"
#include "dialect/npy.h"
#include "dialect/row.h"
#include "dialect/safetensors.h"
#include "dialect/tensor_map.h"

#define LAYERS TENSOR_LAYERS

/* Take one tensor's shape for that of all. Shapes that differ are ERR_CORRUPT. */
static int
shape_is(struct tensor_map *t, const struct geom *g, uint64_t tokens, enum layout layout,
	const char *name, struct err *e)
{
	struct geom *h = &t->geom;

	if (g->dtype == DT_NONE || !tokens || !g->heads || !g->head_dim)
		return err_set(e, ERR_CORRUPT, "'%.100s': no KV tensor: empty, or elements we do "
			"not know", name);
	if (!h->kv) {
		*h = *g;
		t->tokens = tokens;
		t->layout = layout;
		return 0;
	}
	if (h->dtype != g->dtype || h->kv != g->kv || h->heads != g->heads
		|| h->head_dim != g->head_dim || t->tokens != tokens || t->layout != layout)
		return err_set(e, ERR_CORRUPT, "'%.100s': differs from the other tensors in shape",
			name);
	return 0;
}

static enum dtype
dtype_for(const struct tensor_opts *o, enum dtype d, unsigned size)
{
	enum dtype want = o->geom ? o->geom->dtype : DT_NONE;

	if (d == DT_NONE && size == 2)
		return want != DT_NONE && dtype_size(want) == 2 ? want : DT_BF16;
	if (d == DT_U8 && want != DT_NONE && dtype_size(want) == 1)
		return want;
	return d;
}

/* Heads of a rank, as geometry says; 1 if it is not known. */
static uint32_t
heads_of(const struct tensor_opts *o)
{
	uint32_t tp = o->tp ? o->tp : 1, heads = o->geom ? o->geom->heads_total : 1;

	return heads > tp ? heads / tp : 1;
}

static void
split(const struct tensor_opts *o, struct geom *g, uint64_t width)
{
	uint32_t heads = heads_of(o);

	g->heads = width % heads ? 1 : heads;
	g->head_dim = (uint32_t)(width / g->heads);
}

/* Layer number and 'k' or 'v' of a tensor's name; 0 if it is none. */
static int
kv_name(const char *name, uint32_t *layer)
{
	static const char *const ks[] = { ".k", ".key", ".k_cache", ".key_cache" };
	static const char *const vs[] = { ".v", ".value", ".v_cache", ".value_cache" };
	const char *p = strstr(name, "layers."), *end = strrchr(name, '.');
	char text[8];
	uint64_t n;
	size_t len, i;

	if (!p || !end)
		return 0;
	p += 7;
	len = strspn(p, "0123456789");
	if (len == 0 || len >= sizeof(text) || p[len] != '.')
		return 0;
	memcpy(text, p, len);
	text[len] = '\0';
	if (num_u64(&n, text, 0, LAYERS - 1, "", NULL) < 0)
		return 0;
	*layer = (uint32_t)n;
	for (i = 0; i < 4; i++) {
		if (!strcmp(end, ks[i]))
			return 'k';
		if (!strcmp(end, vs[i]))
			return 'v';
	}
	return 0;
}

static int
too_wide(const struct st_tensor *s)
{
	unsigned i;

	for (i = 0; i < s->dims; i++)
		if (s->shape[i] > INT32_MAX)
			return 1;
	return 0;
}

static int
take_half(struct tensor_map *t, const struct tensor_opts *o, const struct st_tensor *s,
	uint64_t data, int fd, struct err *e)
{
	struct geom g = { .kv = 2, .dtype = dtype_for(o, s->dtype, 0) };
	struct source *l;
	uint32_t layer = 0;
	int half = kv_name(s->name, &layer);

	if (!half)
		return 0;
	if (too_wide(s) || s->dims < 2 || s->dims > 3)
		return err_set(e, ERR_CORRUPT, "'%.100s': shape is not [tokens, heads, head_dim]",
			s->name);
	if (s->dims == 3) {
		g.heads = (uint32_t)s->shape[1];
		g.head_dim = (uint32_t)s->shape[2];
	} else {
		split(o, &g, s->shape[1]);
	}
	if (shape_is(t, &g, s->shape[0], LAYOUT_LTD, s->name, e) < 0)
		return -1;
	l = &t->layer[layer];
	if (l->seen & (half == 'k' ? 1 : 2))
		return err_set(e, ERR_CORRUPT, "'%.100s': layer %u twice", s->name, layer);
	l->seen |= half == 'k' ? 1 : 2;
	l->fd = fd;
	l->at[half == 'v'] = data + s->begin;
	if (t->geom.layers <= layer)
		t->geom.layers = layer + 1;
	return 0;
}

/* [kv, layers, tokens, heads, head_dim] or [kv, layers, tokens, width]. */
static int
take_whole(struct tensor_map *t, const struct tensor_opts *o, const uint64_t *shape,
	unsigned dims, const struct source *s, enum dtype dtype, struct err *e)
{
	struct geom g = { .kv = (uint32_t)shape[0], .dtype = dtype };
	uint64_t half;
	uint32_t i;

	for (i = 0; i < dims; i++)
		if (shape[i] > INT32_MAX)
			dims = 0;
	if (dims < 4 || dims > 5 || (shape[0] != 1 && shape[0] != 2) || shape[1] > LAYERS
		|| shape[1] == 0)
		return err_set(e, ERR_CORRUPT, "shape is not [kv, layers, tokens, heads, "
			"head_dim]");
	if (dims == 5) {
		g.heads = (uint32_t)shape[3];
		g.head_dim = (uint32_t)shape[4];
	} else if (g.kv == 1) {
		g.heads = 1;
		g.head_dim = (uint32_t)shape[3];
	} else {
		split(o, &g, shape[3]);
	}
	if (shape_is(t, &g, shape[2], LAYOUT_LTD, "kvcache", e) < 0)
		return -1;
	t->geom.layers = (uint32_t)shape[1];
	half = shape[2] * geom_row(&g);
	for (i = 0; i < shape[1]; i++) {
		t->layer[i] = (struct source){ .fd = s->fd, .seen = 3,
			.at = { s->at[0] + i * half, s->at[0] + (shape[1] + i) * half } };
	}
	return 0;
}

static int
take_file(struct tensor_map *t, const struct tensor_opts *o, const struct safetensors *s,
	const char *path, int fd, struct err *e)
{
	const struct st_tensor *whole = safetensors_find(s, "kvcache");
	size_t i;

	for (i = 0; i < s->n_meta && !*t->model; i++)
		if (!strcmp(s->meta[i].name, "model"))
			snprintf(t->model, sizeof(t->model), "%s",
				s->meta[i].value);
	if (whole) {
		struct source at = { .fd = fd, .at = { s->data + whole->begin } };

		return take_whole(t, o, whole->shape, whole->dims, &at,
			dtype_for(o, whole->dtype, 0), e);
	}
	for (i = 0; i < s->n; i++)
		if (take_half(t, o, &s->t[i], s->data, fd, e) < 0)
			return -1;
	if (!t->geom.kv)
		return err_set(e, ERR_CORRUPT, "'%s': no tensors named '...layers.N....k' and "
			"'.v', and none named kvcache", path);
	return 0;
}

/* A layer of an example folder. */
static int
take_example(struct tensor_map *t, const struct tensor_opts *o, const struct safetensors *s,
	uint32_t layer, int fd, struct err *e)
{
	const struct st_tensor *x = safetensors_find(s, "kv_cache");
	enum layout layout;
	struct geom g;
	uint64_t tokens;

	if (!x)
		return err_set(e, ERR_CORRUPT, "layer %u: no tensor kv_cache", layer);
	if (example_shape(x, heads_of(o), &g, &layout, &tokens, e) < 0)
		return -1;
	g.dtype = dtype_for(o, x->dtype, 0);
	t->layer[layer] = (struct source){ .fd = fd, .seen = 3, .at = { s->data + x->begin, 0 } };
	if (layout == LAYOUT_G1_NHD)
		t->layer[layer].at[1] = s->data + x->begin + tokens * geom_row(&g);
	if (layout != LAYOUT_G2_NHD && layout != LAYOUT_G3_NHD)
		layout = LAYOUT_LTD;	/* one run of K, one of V */
	if (shape_is(t, &g, tokens, layout, "kv_cache", e) < 0)
		return -1;
	if (t->geom.layers <= layer)
		t->geom.layers = layer + 1;
	return 0;
}

/* Open, and read the header: of a .npy at most its limit, of safetensors exactly. */
static int
open_file(struct tensor_map *t, const char *path, struct buf *b, uint64_t *size, struct err *e)
{
	int npy = strlen(path) > 4 && !strcmp(path + strlen(path) - 4, ".npy");
	int *more = realloc(t->fds, (t->n_fds + 1) * sizeof(*more)), fd;
	uint64_t want = npy ? NPY_HEADER_MAX : 8;
	struct stat st;
	ssize_t n;

	if (!more)
		return err_sys(e, "'%s'", path);
	t->fds = more;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	t->fds[t->n_fds++] = fd;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat '%s'", path);
	*size = (uint64_t)st.st_size;
	b->len = 0;
	if (!buf_room(b, want))
		return err_sys(e, "'%s'", path);
	n = io_pread(fd, b->p, want, 0, e);
	if (n < 0)
		return -1;
	b->len = (size_t)n;
	if (!npy && n == 8 && get_le64(b->p) <= SAFETENSORS_HEADER_MAX
		&& get_le64(b->p) <= *size) {
		want = get_le64(b->p);
		if (!buf_room(b, want))
			return err_sys(e, "'%s'", path);
		n = io_pread(fd, b->p + 8, want, 8, e);
		if (n < 0)
			return -1;
		b->len = 8 + (size_t)n;
	}
	return 0;
}

static int
open_one(struct tensor_map *t, const struct tensor_opts *o, const char *path, int64_t layer,
	struct err *e)
{
	struct buf b = { 0 };
	struct safetensors s = { 0 };
	struct npy a;
	uint64_t size = 0;
	size_t n = strlen(path);
	int r = open_file(t, path, &b, &size, e), fd;

	if (r < 0)
		goto done;
	fd = t->fds[t->n_fds - 1];
	if (n > 4 && !strcmp(path + n - 4, ".npy")) {
		r = npy_parse(&a, b.p, b.len, size, e);
		if (r == 0) {
			struct source at = { .fd = fd, .at = { a.data } };

			r = take_whole(t, o, a.shape, a.dims, &at,
				dtype_for(o, a.dtype, a.size), e);
		}
	} else {
		r = safetensors_parse(&s, b.p, b.len, size, e);
		if (r == 0 && layer < 0)
			r = take_file(t, o, &s, path, fd, e);
		else if (r == 0)
			r = take_example(t, o, &s, (uint32_t)layer, fd, e);
	}
	if (r < 0)
		err_in(e, "'%s'", path);
done:
	safetensors_free(&s);
	buf_free(&b);
	return r;
}

static int
layer_file(const struct dirent *d, uint32_t *layer)
{
	char name[280];
	size_t n = strlen(d->d_name);

	if (n < 13 || strcmp(d->d_name + n - 12, ".safetensors"))
		return 0;
	snprintf(name, sizeof(name), "%.*s.k", (int)(n - 12), d->d_name);
	return kv_name(name, layer) == 'k';
}

static int
has_layer(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	uint32_t layer;
	int found = 0;

	while (dir && !found && (d = readdir(dir)))
		found = layer_file(d, &layer);
	if (dir)
		closedir(dir);
	return found;
}

int
tensor_path(const char *path)
{
	size_t n = strlen(path);
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return has_layer(path);
	if (n > 15 && !strcmp(path + n - 15, ".kv.safetensors"))
		return 0;	/* a chunk */
	return (n > 12 && !strcmp(path + n - 12, ".safetensors")) ||
		(n > 4 && !strcmp(path + n - 4, ".npy"));
}

static int
open_folder(struct tensor_map *t, const struct tensor_opts *o, const char *path, struct err *e)
{
	struct buf name = { 0 };
	struct dirent *d;
	DIR *dir = opendir(path);
	uint32_t layer;
	int r = 0;

	if (!dir)
		return err_sys(e, "open '%s'", path);
	while (r == 0 && (d = readdir(dir))) {
		if (!layer_file(d, &layer))
			continue;
		name.len = 0;
		buf_printf(&name, "%s/%s", path, d->d_name);
		r = buf_text(&name) ? open_one(t, o, name.p, layer, e) : err_sys(e, "'%s'", path);
	}
	closedir(dir);
	buf_free(&name);
	if (r == 0 && !t->geom.kv)
		return err_set(e, ERR_CORRUPT, "'%s': no layer files of vLLM's example connector",
			path);
	return r;
}

int
tensor_map_open(struct tensor_map *t, const char *path, const struct tensor_opts *o,
	struct err *e)
{
	struct stat st;
	uint32_t i;
	int r;

	if (stat(path, &st) < 0)
		return err_sys(e, "'%s'", path);
	r = S_ISDIR(st.st_mode) ? open_folder(t, o, path, e) : open_one(t, o, path, -1, e);
	if (r < 0)
		return -1;
	for (i = 0; i < t->geom.layers; i++)
		if (t->layer[i].seen != 3)
			return err_set(e, ERR_CORRUPT, "'%s': layer %u of %u is missing", path, i,
				t->geom.layers);
	return 0;
}

void
tensor_map_close(struct tensor_map *t)
{
	size_t i;

	for (i = 0; i < t->n_fds; i++)
		close(t->fds[i]);
	free(t->fds);
}
