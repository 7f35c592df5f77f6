#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"
#include "base/clock.h"
#include "tool.h"

static void
add_number(struct buf *line, const char *name, uint64_t v)
{
	if (v)
		buf_printf(line, ",\"%s\":%llu", name, (unsigned long long)v);
}

void
access_begin(struct buf *line, double time_s, uint64_t tokens, uint64_t chunk_tokens,
	uint64_t chunk_bytes)
{
	buf_printf(line, "{\"schema\":\"kv.access/1\",\"time\":%.6f", time_s);
	add_number(line, "tokens", tokens);
	add_number(line, "chunk_tokens", chunk_tokens);
	add_number(line, "chunk_bytes", chunk_bytes);
	buf_str(line, ",\"keys\":[");
}

/* A chunk, or a rank of it, was read and is good. They come nearly in order. */
static int
came(void *ctx, struct pool *pool, struct flow_item *it, struct err *e)
{
	struct access *a = ctx;
	const struct chunk_head *h = &it->chunk.head;
	size_t n = a->picked->n_keys, i, k;

	(void)pool, (void)e;
	pthread_mutex_lock(&a->lock);
	for (i = 0; i < n; i++) {
		k = (a->last + i) % n;
		if (key_hash_cmp(&a->picked->keys[k], &h->key.hash) != 0)
			continue;
		a->found[k] = 1;
		a->last = k;
		break;
	}
	a->bytes += chunk_size(&it->chunk);
	if (h->chunk_tokens)
		a->chunk_tokens = h->chunk_tokens;
	pthread_mutex_unlock(&a->lock);
	return 0;
}

static void
no_free(struct flow_step *s)
{
	(void)s;
}

struct flow_step *
access_watch(struct access *a, const struct picked *picked, struct flow_step *list)
{
	a->found = calloc(picked->n_keys + 1, 1);
	if (!a->found)
		return list;
	pthread_mutex_init(&a->lock, NULL);
	a->picked = picked;
	a->step = (struct flow_step){ came, a, no_free, list };
	return &a->step;
}

static void
request(struct buf *line, const struct access *a, const struct picked *p, uint64_t chunk_tokens)
{
	char hex[KEY_HEX];
	uint64_t n = 0;
	size_t i;

	for (i = 0; a->found && i < p->n_keys; i++)
		n += a->found[i];
	if (!p->n_tokens && a->chunk_tokens)	/* a chain has no --chunk-tokens to go by */
		chunk_tokens = a->chunk_tokens;
	access_begin(line, (double)clock_now_ns() / 1e9, p->n_tokens, chunk_tokens,
		n ? a->bytes / n : 0);
	for (i = 0; i < p->n_keys; i++)
		buf_printf(line, "%s\"%s\"", i ? "," : "", key_hash_hex(hex, &p->keys[i]));
	buf_str(line, "],\"found\":[");
	for (i = 0; i < p->n_keys; i++)
		buf_printf(line, "%s%d", i ? "," : "", a->found && a->found[i]);
	buf_str(line, "]}\n");
}

/* One write, so that many may share the file; a pipe that nobody reads is not waited for. */
static int
append(const char *file, const struct buf *line, struct err *e)
{
	int fd, rc = 0;
	ssize_t n;

	if (line->fail)
		return err_set(e, ERR_FAILED, "out of memory");
	fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0640);
	n = fd < 0 ? -1 : write(fd, line->p, line->len);
	if (n >= 0 && (size_t)n < line->len)
		errno = ENOSPC;
	if (n < (ssize_t)line->len)
		rc = err_sys(e, "access log '%s'", file);
	if (fd >= 0)
		close(fd);
	return rc;
}

void
access_write(struct access *a, const char *file, const struct picked *picked, uint64_t chunk_tokens)
{
	struct buf line = { 0 };
	struct err e;

	request(&line, a, picked, chunk_tokens);
	if (append(file, &line, &e) < 0)
		tool_warn("the request is not logged: %s", e.text);
	buf_free(&line);
	free(a->found);
	a->found = NULL;
}
