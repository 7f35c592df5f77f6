#include <string.h>

#include "wire/proto.h"

int
wire_recv(struct conn *c, struct wire_msg *m, size_t max, int wait, struct err *e)
{
	unsigned char head[WIRE_HEAD];
	int rc = conn_read(c, head, sizeof(head), wait, e);

	if (rc <= 0)
		return rc;
	if (wire_get_head(m, head, max, e) < 0)
		return err_in(e, "'%s'", conn_name(c));
	m->body.len = 0;
	if (!buf_room(&m->body, m->len ? m->len : 1))
		return err_sys(e, "message");
	if (m->len && (rc = conn_read(c, m->body.p, m->len, 1, e)) <= 0)
		return rc < 0 ? -1 : err_set(e, ERR_TEMP, "read '%s': the peer closed in the "
		    "middle", conn_name(c));
	return 1;
}

int
wire_send_with(struct conn *c, struct buf *b, const void *p, size_t n, struct err *e)
{
	struct iovec iov[2] = { { b->p, b->len }, { (void *)p, n } };
	int rc = b->fail ? err_set(e, ERR_FAILED, "message: out of memory") :
	    conn_writev(c, iov, n ? 2 : 1, e);

	b->len = 0;
	return rc;
}

int
wire_send(struct conn *c, struct buf *b, struct err *e)
{
	return wire_send_with(c, b, NULL, 0, e);
}

void
wire_verdict_of(struct wire_verdict *v, uint32_t id, int state, const struct err *why)
{
	size_t i;

	memset(v, 0, sizeof(*v));
	v->id = id;
	v->state = (uint8_t)state;
	if (!why)
		return;
	v->kind = (uint8_t)why->kind;
	for (i = 0; i + 1 < sizeof(v->text) && why->text[i]; i++)
		v->text[i] = why->text[i];
	for (i = 0; v->text[i]; i++)	/* a peer's decoder refuses control characters */
		if ((unsigned char)v->text[i] < 0x20 || v->text[i] == 0x7f)
			v->text[i] = '?';
}

int
wire_verdict_err(const struct wire_verdict *v, struct err *e)
{
	enum err_kind kind = v->kind ? (enum err_kind)v->kind : ERR_FAILED;

	if (kind == ERR_STOPPED)	/* it was, and not we */
		return err_set(e, ERR_TEMP, "the other end: %s", v->text);
	return err_set(e, kind, "%s", *v->text ? v->text : "no reason given");
}
