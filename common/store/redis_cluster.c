#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "store/redis_cluster.h"
#include "store/redis_net.h"

#define RANGES_MAX 16384

/* CRC-16/XMODEM: polynomial 0x1021, from 0 (Redis Cluster specification, appendix A). */
static unsigned
crc16(const char *p, size_t n)
{
	unsigned crc = 0;
	int bit;

	for (; n > 0; n--) {
		crc ^= (unsigned)(unsigned char)*p++ << 8;
		for (bit = 0; bit < 8; bit++)
			crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
		crc &= 0xffff;
	}
	return crc;
}

unsigned
redis_slot(const char *key, size_t n)
{
	const char *open = memchr(key, '{', n), *close;

	if (open) {
		open++;
		close = memchr(open, '}', n - (size_t)(open - key));
		if (close && close > open)
			return crc16(open, (size_t)(close - open)) % REDIS_SLOTS;
	}
	return crc16(key, n) % REDIS_SLOTS;
}

static int
drop(struct resp *r, size_t n, struct err *e)
{
	struct resp_item it;

	for (; n > 0; n--)
		if (resp_next(r, &it, e) < 0 || resp_drop(r, &it, e) < 0)
			return -1;
	return 0;
}

/* [from, to, [host, port, ...], replicas ...] */
static int
read_range(struct resp *r, struct redis_range *x, struct err *e)
{
	int64_t from, to, port;
	size_t n, inner;

	if (resp_get_array(r, &n, e) < 0)
		return -1;
	if (n < 3)
		return err_set(e, ERR_CORRUPT, "cluster: bad map of slots");
	if (resp_get_number(r, &from, e) < 0 || resp_get_number(r, &to, e) < 0 ||
	    resp_get_array(r, &inner, e) < 0)
		return -1;
	if (inner < 2 || from < 0 || to < from || to >= REDIS_SLOTS)
		return err_set(e, ERR_CORRUPT, "cluster: bad map of slots");
	if (resp_get_text(r, x->at.host, sizeof(x->at.host), e) < 0 ||
	    resp_get_number(r, &port, e) < 0)
		return -1;
	if (port < 1 || port > 65535)
		return err_set(e, ERR_CORRUPT, "cluster: bad port");
	x->from = (unsigned)from;
	x->to = (unsigned)to;
	x->at.port = (int)port;
	return drop(r, inner - 2 + n - 3, e);
}

int
redis_slots_ask(struct resp *r, struct redis_slots *out, struct err *e)
{
	struct resp_item it;
	int64_t i;

	out->v = NULL;
	out->n = 0;
	resp_call(r, "CLUSTER SLOTS");
	if (resp_flush(r, e) < 0 || resp_next(r, &it, e) < 0)
		return -1;
	if (it.type != RESP_ARRAY)	/* cluster support disabled, not allowed, unknown */
		return resp_drop(r, &it, e);
	if (it.n > RANGES_MAX)
		return err_set(e, ERR_CORRUPT, "cluster: bad map of slots");
	out->v = calloc((size_t)it.n + 1, sizeof(*out->v));
	if (!out->v)
		return err_sys(e, "cluster");
	for (i = 0; i < it.n; i++) {
		if (read_range(r, &out->v[i], e) < 0) {
			redis_slots_free(out);
			return -1;
		}
	}
	out->n = (size_t)it.n;
	return 0;
}

void
redis_slots_free(struct redis_slots *s)
{
	free(s->v);
	s->v = NULL;
	s->n = 0;
}

int
redis_redirect(const char *line, unsigned *slot, struct redis_place *to, int *asking)
{
	char text[8];
	const char *port;
	uint64_t v;
	size_t n;

	*asking = !strncmp(line, "ASK ", 4);
	if (!*asking && strncmp(line, "MOVED ", 6) != 0)
		return -1;
	line += *asking ? 4 : 6;
	n = strcspn(line, " ");
	snprintf(text, sizeof(text), "%.*s", (int)n, line);
	if (!line[n] || num_u64(&v, text, 0, REDIS_SLOTS - 1, "slot", NULL) < 0)
		return -1;
	*slot = (unsigned)v;
	line += n + 1;
	port = strrchr(line, ':');
	if (!port || (size_t)(port - line) >= sizeof(to->host) ||
	    num_u64(&v, port + 1, 1, 65535, "port", NULL) < 0)
		return -1;
	memcpy(to->host, line, (size_t)(port - line));
	to->host[port - line] = 0;
	to->port = (int)v;
	return 0;
}
