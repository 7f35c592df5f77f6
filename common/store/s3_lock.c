#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "store/s3.h"

/*
 * A lock is an object that only one can create: PUT with If-None-Match: *. It says who
 * holds it: "host pid time number\n", the number by chance. One whose holder is a dead
 * process of this host, or that is older than lock-age, is taken over: written again, and
 * read back after a moment, since two may do so at once and the last one written counts.
 */
#define TEXT_MAX 512
#define SETTLE_S 0.5

struct holder {
	char text[TEXT_MAX];	/* all of it */
	char host[256];
	int64_t pid;
	double age_s;
};

static char *
lock_key(const struct s3 *s, const char *what, struct err *e)
{
	char name[128];

	snprintf(name, sizeof(name), "%slock-%s", S3_OWN, what);
	return s3_key(s, name, e);
}

static void
mine(char out[TEXT_MAX])
{
	char host[256] = "unknown", when[32];
	uint64_t number;

	gethostname(host, sizeof(host) - 1);
	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		number = (uint64_t)clock_now_ns();
	snprintf(out, TEXT_MAX, "%s %ld %s %016llx\n", host, (long)getpid(),
		clock_text(when, clock_now()), (unsigned long long)number);
}

static int
put_text(struct s3 *s, const char *key, const char *text, int excl, struct err *e)
{
	struct iovec iov = { (void *)text, strlen(text) };
	struct s3_body b = { .iov = &iov, .n = 1, .len = iov.iov_len };
	struct s3_call c = { .method = "PUT", .key = key, .body = &b };

	if (excl)
		c.header[0] = (struct s3_pair){ "if-none-match", "*" };
	if (s3_do(s, &c, e) == 0)
		return 0;
	return excl && c.status == 412 ? 1 : -1;
}

/* 1: nobody holds it any more. */
static int
read_holder(struct s3 *s, const char *key, struct holder *h, struct err *e)
{
	struct buf text = { 0 };
	struct s3_call c = { .method = "GET", .key = key, .text = &text };
	int rc = s3_do(s, &c, e);
	char *pid;

	memset(h, 0, sizeof(*h));
	if (rc < 0) {
		buf_free(&text);
		return e->kind == ERR_ABSENT ? 1 : -1;
	}
	snprintf(h->text, sizeof(h->text), "%s", buf_text(&text) ? text.p : "");
	buf_free(&text);
	snprintf(h->host, sizeof(h->host), "%.*s", (int)strcspn(h->text, " \n"), h->text);
	pid = h->text + strcspn(h->text, " ");
	h->pid = strtol(pid, NULL, 10);
	h->age_s = c.mtime ? (double)(clock_now() - c.mtime) : 0;
	return 0;
}

static int
is_stale(const struct s3 *s, const struct holder *h)
{
	char host[256] = "";

	if (h->age_s > s->lock_age_s)
		return 1;
	gethostname(host, sizeof(host) - 1);
	return !strcmp(host, h->host) && h->pid > 1 && kill((pid_t)h->pid, 0) < 0 &&
		errno == ESRCH;
}

static int
taken(const struct holder *h, const char *what, struct err *e)
{
	char age[NUM_TEXT];

	return err_set(e, ERR_TEMP, "lock '%s': held by process %lld of host '%.60s' for %s", what,
		(long long)h->pid, h->host, num_duration_text(age, h->age_s));
}

static int
take_over(struct s3 *s, const char *key, const char *text, const char *what, struct err *e)
{
	struct holder h;
	int rc;

	if (put_text(s, key, text, 0, e) < 0 || clock_sleep(SETTLE_S, e) < 0)
		return -1;
	rc = read_holder(s, key, &h, e);
	if (rc == 0 && strcmp(h.text, text) != 0)
		return taken(&h, what, e);
	return rc <= 0 ? rc : err_set(e, ERR_TEMP, "lock '%s': lost to another", what);
}

int
s3_lock(struct store *base, const char *what, struct err *e)
{
	struct s3 *s = (struct s3 *)base;
	char *key = lock_key(s, what, e), text[TEXT_MAX];
	struct holder h;
	int rc = -1, tries;

	if (!key)
		return -1;
	mine(text);
	for (tries = 0; tries < 3; tries++) {
		rc = put_text(s, key, text, 1, e);
		if (rc <= 0)
			break;
		rc = read_holder(s, key, &h, e);
		if (rc > 0)	/* given back meanwhile: try again */
			continue;
		/* Ours: the answer to our first request was lost. */
		if (rc == 0 && strcmp(h.text, text) != 0)
			rc = is_stale(s, &h) ? take_over(s, key, text, what, e) :
				taken(&h, what, e);
		break;
	}
	free(key);
	return rc > 0 ? err_set(e, ERR_TEMP, "lock '%s': others keep taking it", what) : rc;
}

void
s3_unlock(struct store *base, const char *what)
{
	struct s3 *s = (struct s3 *)base;
	char *key = lock_key(s, what, NULL);
	struct s3_call c = { .method = "DELETE", .key = key, .finish = 1 };

	if (key)
		s3_do(s, &c, NULL);
	free(key);
}
