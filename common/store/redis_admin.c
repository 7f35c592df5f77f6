#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "store/redis.h"

/* ---- space ---- */

#define INFO_MAX 65536

struct memory {
	uint64_t max, used;
};

/* "name:digits" at the beginning of a line. */
static uint64_t
field(const char *info, const char *name)
{
	const char *p = strstr(info, name);
	char text[24];
	uint64_t v;

	if (!p)
		return 0;
	p += strlen(name);
	snprintf(text, sizeof(text), "%.*s", (int)strspn(p, "0123456789"), p);
	return num_u64(&v, text, 0, UINT64_MAX, name, NULL) == 0 ? v : 0;
}

static int
ask_memory(void *ctx, struct resp *r, struct err *e)
{
	struct memory *m = ctx;
	char *info = malloc(INFO_MAX);
	int rc = -1;

	if (!info)
		return err_sys(e, "info");
	resp_call(r, "INFO memory");
	if (resp_flush(r, e) == 0 && resp_get_text(r, info, INFO_MAX, e) >= 0) {
		m->max += field(info, "\nmaxmemory:");
		m->used += field(info, "\nused_memory:");
		rc = 0;
	}
	free(info);
	return rc;
}

int
redis_space(struct store *s, uint64_t *total, uint64_t *free_bytes, struct err *e)
{
	struct redis_net *net = ((struct redis_store *)s)->net;
	struct memory m = { 0 };
	size_t i;

	for (i = 0; i < redis_net_nodes(net); i++)
		if (redis_net_run_at(net, i, ask_memory, &m, e) < 0)
			return -1;
	*total = m.max;
	*free_bytes = m.max > m.used ? m.max - m.used : 0;
	return 0;
}

/* ---- lock ---- */

/*
 * A key with the holder's host, pid and time as its value, that expires by itself: SET NX.
 * Whoever works on renews it on the way. A lock of a process of this host that is dead is
 * taken over, by a script that checks that it is still that one.
 */
#define LOCK_S 600

static const char take_over[] =
	"if redis.call('GET', KEYS[1]) == ARGV[1] then "
	"redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) return 1 end return 0";
static const char let_go[] =
	"if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end "
	"return 0";
static const char renew[] =
	"if redis.call('GET', KEYS[1]) == ARGV[1] then "
	"return redis.call('EXPIRE', KEYS[1], ARGV[2]) end return 0";

struct locking {
	const char *key;
	const char *script, *a, *b;	/* with its arguments; b may be NULL */
	const char *text;		/* what to write: SET NX */
	char holder[160];
	int64_t answer;
	int tries;
};

static int
run_script(void *ctx, struct resp *r, struct err *e)
{
	struct locking *l = ctx;

	resp_begin(r, l->b ? 7 : 6);
	resp_text(r, "EVAL");
	resp_text(r, l->script);
	resp_number(r, 1);
	resp_text(r, l->key);
	resp_text(r, l->a);
	if (l->b)
		resp_text(r, l->b);
	resp_number(r, LOCK_S);
	return resp_flush(r, e) < 0 ? -1 : resp_get_number(r, &l->answer, e);
}

/* answer 1: ours, maybe by a try whose answer was lost. 0: holder has it. */
static int
set_lock(void *ctx, struct resp *r, struct err *e)
{
	struct locking *l = ctx;
	char text[8];
	int rc;

	l->tries++;
	resp_begin(r, 6);
	resp_text(r, "SET");
	resp_text(r, l->key);
	resp_text(r, l->text);
	resp_text(r, "NX");
	resp_text(r, "EX");
	resp_number(r, LOCK_S);
	resp_begin(r, 2);
	resp_text(r, "GET");
	resp_text(r, l->key);
	if (resp_flush(r, e) < 0)
		return -1;
	rc = resp_get_text(r, text, sizeof(text), e);
	if (rc < 0 || resp_get_text(r, l->holder, sizeof(l->holder), e) < 0)
		return -1;
	l->answer = rc == 0 || (l->tries > 1 && !strcmp(l->holder, l->text));
	return 0;
}

/* "host pid since" of a lock. dead: a process of this host that is no more. */
static int
is_dead(const char *holder, const char *host)
{
	size_t n = strcspn(holder, " ");
	char text[16];
	int64_t pid;

	if (n != strlen(host) || strncmp(holder, host, n) != 0 || !holder[n])
		return 0;
	holder += n + 1;
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(holder, " "), holder);
	if (num_i64(&pid, text, 1, INT32_MAX, "pid", NULL) < 0)
		return 0;
	return kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* Who has it, in words; what a terminal would obey is left out. */
static int
held(const struct locking *l, const char *what, struct err *e)
{
	size_t i, host = strcspn(l->holder, " "), pid;
	char text[sizeof(l->holder)];

	for (i = 0; l->holder[i]; i++)
		text[i] = (unsigned char)l->holder[i] < 0x20 ? '?' : l->holder[i];
	text[i] = 0;
	if (!text[host])
		return err_set(e, ERR_TEMP, "lock '%s': held by '%s'", what, text);
	pid = strcspn(text + host + 1, " ");
	return err_set(e, ERR_TEMP, "lock '%s': held by process %.*s of host '%.*s' since%s", what,
		(int)pid, text + host + 1, (int)host, text, text + host + 1 + pid);
}

int
redis_lock(struct store *st, const char *what, struct err *e)
{
	struct redis_store *s = (struct redis_store *)st;
	char host[64] = "", now[32], name[64];
	struct buf key = { 0 };
	struct locking l = { .text = s->lock_text };
	int rc;

	if (gethostname(host, sizeof(host) - 1) < 0 || !*host)
		strcpy(host, "host");
	snprintf(name, sizeof(name), REDIS_OWN "lock:%s", what);
	snprintf(s->lock_text, sizeof(s->lock_text), "%s %ld %s", host, (long)getpid(),
		clock_text(now, clock_now()));
	l.key = redis_key(s, name, &key, e);
	if (!l.key)
		return -1;
	rc = redis_net_run(s->net, l.key, set_lock, &l, e);
	if (rc == 0 && !l.answer && is_dead(l.holder, host)) {
		l.script = take_over;
		l.a = l.holder;
		l.b = s->lock_text;
		rc = redis_net_run(s->net, l.key, run_script, &l, e);
	}
	if (rc == 0 && !l.answer)
		rc = held(&l, what, e);
	if (rc == 0) {
		strcpy(s->lock_name, name);
		s->lock_until_s = clock_now() + LOCK_S;
	}
	buf_free(&key);
	return rc;
}

static void
on_lock(struct redis_store *s, const char *script)
{
	struct buf key = { 0 };
	struct err ignored;
	struct locking l = { .script = script, .a = s->lock_text };

	l.key = redis_key(s, s->lock_name, &key, &ignored);
	if (l.key)
		redis_net_run(s->net, l.key, run_script, &l, &ignored);
	buf_free(&key);
}

void
redis_unlock(struct store *st, const char *what)
{
	struct redis_store *s = (struct redis_store *)st;

	(void)what;
	if (s->lock_until_s)
		on_lock(s, let_go);
	s->lock_until_s = 0;
}

void
redis_lock_renew(struct redis_store *s)
{
	if (!s->lock_until_s || clock_now() < s->lock_until_s - LOCK_S / 2)
		return;
	s->lock_until_s = clock_now() + LOCK_S;
	on_lock(s, renew);
}
