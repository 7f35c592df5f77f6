#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/par.h"
#include "base/stop.h"
#include "base/xml.h"
#include "store/s3_note.h"

#define PARTS_MAX 10000
#define PART_JOBS 4		/* side by side, beside the other objects' */

struct upload {
	struct s3 *s;
	const char *key;
	const struct s3_body *all;
	uint64_t part;		/* bytes of each but the last */
	size_t n;
	char (*etags)[96];
	char id[1024];
};

static int
take_id(void *ctx, const char *path, const char *text, struct err *e)
{
	struct upload *u = ctx;

	if (strcmp(path, "InitiateMultipartUploadResult/UploadId") != 0)
		return 0;
	if (!*text || strlen(text) >= sizeof(u->id))
		return err_set(e, ERR_CORRUPT, "multipart: no usable upload id");
	strcpy(u->id, text);
	return 0;
}

/* No signal breaks it off: who does not hear the upload's id cannot take it back. */
static int
begin(struct upload *u, struct err *e)
{
	struct buf text = { 0 };
	struct s3_body none = { 0 };
	struct s3_call c = {
		.method = "POST", .key = u->key, .query = { { "uploads", "" } }, .body = &none,
		.text = &text, .finish = 1,
	};
	int rc;

	if (stop_asked())
		return err_set(e, ERR_STOPPED, "stopped by a signal");
	s3_put_headers(u->s, &c, 0, u->s->storage_class);
	rc = s3_do(u->s, &c, e);
	if (rc == 0 && text.len && buf_room(&text, 1))
		rc = xml_scan(text.p, text.len, take_id, u, e);
	buf_free(&text);
	if (rc == 0 && !u->id[0])
		rc = err_set(e, ERR_CORRUPT, "multipart: no upload id");
	return rc;
}

static int
put_part(void *ctx, size_t i, struct err *e)
{
	struct upload *u = ctx;
	uint64_t at = i * u->part, left = u->all->len - at;
	struct s3_body b = *u->all;
	char number[16];
	struct s3_call c = {
		.method = "PUT", .key = u->key, .body = &b,
		.query = { { "partNumber", number }, { "uploadId", u->id } },
	};

	b.off += at;
	b.len = left < u->part ? left : u->part;
	snprintf(number, sizeof(number), "%zu", i + 1);
	if (s3_do(u->s, &c, e) < 0)
		return err_in(e, "part %zu", i + 1);
	if (!c.etag[0] || strpbrk(c.etag, "<&"))
		return err_set(e, ERR_CORRUPT, "part %zu: no usable etag", i + 1);
	memcpy(u->etags[i], c.etag, sizeof(c.etag));
	return 0;
}

/* The answer to the completion is 200 before it is decided: an error may stand in it. */
static int
take_result(void *ctx, const char *path, const char *text, struct err *e)
{
	int *good = ctx;

	if (!strcmp(path, "Error/Code"))
		return err_set(e, ERR_TEMP, "multipart: completion failed (%.60s)", text);
	if (!strcmp(path, "CompleteMultipartUploadResult"))
		*good = 1;
	return 0;
}

static int
complete(struct upload *u, int excl, struct err *e)
{
	struct buf xml = { 0 }, text = { 0 };
	struct s3_text body;
	struct s3_call c = {
		.method = "POST", .key = u->key, .query = { { "uploadId", u->id } }, .text = &text,
	};
	int good = 0, rc;
	size_t i;

	buf_str(&xml, "<CompleteMultipartUpload>");
	for (i = 0; i < u->n; i++)
		buf_printf(&xml, "<Part><PartNumber>%zu</PartNumber><ETag>%s</ETag></Part>", i + 1,
			u->etags[i]);
	buf_str(&xml, "</CompleteMultipartUpload>");
	c.body = s3_text(&body, &xml);
	if (excl && u->s->if_none_match)
		c.header[0] = (struct s3_pair){ "if-none-match", "*" };
	rc = xml.fail ? err_set(e, ERR_FAILED, "out of memory") : s3_do(u->s, &c, e);
	if (rc == 0 && text.len && buf_room(&text, 1))
		rc = xml_scan(text.p, text.len, take_result, &good, e);
	if (rc == 0 && !good)
		rc = err_set(e, ERR_CORRUPT, "multipart: the completion says nothing");
	buf_free(&xml);
	buf_free(&text);
	return rc < 0 && excl && c.status == 412 ? 1 : rc;
}

static int
abort_upload(struct s3 *s, const char *key, const char *id, struct err *e)
{
	struct s3_call c = {
		.method = "DELETE", .key = key, .query = { { "uploadId", id } }, .finish = 1,
	};

	return s3_do(s, &c, e);
}

/* The answer to a completion that worked may have been lost: asked again, the upload is gone
 * and the object is there. */
static int
is_there(const struct upload *u)
{
	struct s3_call c = { .method = "HEAD", .key = u->key };

	return s3_do(u->s, &c, NULL) == 0 && c.size == u->all->len && strchr(c.etag, '-');
}

int
s3_multipart(struct s3 *s, const char *key, const struct s3_body *b, int excl, struct err *e)
{
	struct upload u = { .s = s, .key = key, .all = b, .part = s->multipart };
	struct s3_call head = { .method = "HEAD", .key = key };
	struct s3_note note;
	struct err gone;
	int rc, left = 0;

	/* Not every server that knows conditions heeds them on a completion. */
	if (excl && s3_do(s, &head, NULL) == 0)
		return 1;
	while (u.part * PARTS_MAX < b->len)
		u.part *= 2;
	u.n = (size_t)((b->len + u.part - 1) / u.part);
	u.etags = calloc(u.n, sizeof(*u.etags));
	if (!u.etags)
		return err_sys(e, "multipart");
	rc = begin(&u, e);
	if (rc == 0) {
		s3_note_begin(&note, s, key, u.id);
		rc = par_each(u.n, PART_JOBS, put_part, &u, e);
		if (rc == 0)
			rc = complete(&u, excl, e);
		if (rc < 0 && e->kind == ERR_ABSENT && is_there(&u))
			rc = 0;
		if (rc != 0)
			left = abort_upload(s, key, u.id, &gone) < 0 && gone.kind != ERR_ABSENT;
		s3_note_end(&note, left);
	}
	free(u.etags);
	return rc;
}

/* The uploads never completed: those whose writers are known to be dead, then the rest, a page
 * at a time. */
struct uploads {
	struct s3 *s;
	int notes[S3_NOTE_DIRS];
	int64_t before;		/* those begun earlier, if nothing is known of the writer */
	int dry;
	store_each *each;
	void *ctx;
	char key[1100], id[1024];	/* of the element being read */
	int64_t begun;
	int more, enough, whole;
	char next_key[1100], next_id[1024];
};

static int
sweep_one(struct uploads *u, const char *key, const char *id, int64_t begun, struct err *e)
{
	struct store_item it = {
		.name = key + strlen(u->s->prefix), .mtime_ns = clock_ns(begun), .ttl_s = -1,
		.hits = -1, .litter = 1,
	};
	int rc = u->each ? u->each(u->ctx, &it, e) : 0;

	if (rc != 0) {
		u->enough = 1;
		return rc;
	}
	if (!u->dry)
		rc = abort_upload(u->s, key, id, e);
	return rc < 0 && e->kind == ERR_ABSENT ? 0 : rc;	/* another sweeper's */
}

/* Its writer may have died when all was done but to take back the note, or somebody else may
 * have swept it: nothing of it is to be told then. */
static int
sweep_dead(void *ctx, const char *key, const char *id, int64_t begun, struct err *e)
{
	struct uploads *u = ctx;
	struct buf text = { 0 };
	struct s3_call c = {
		.method = "GET", .key = key, .text = &text,
		.query = { { "max-parts", "1" }, { "uploadId", id } },
	};
	int gone = s3_do(u->s, &c, NULL) < 0 && !strcmp(c.code, "NoSuchUpload");

	buf_free(&text);
	return gone ? 0 : sweep_one(u, key, id, begun, e);
}

static int
sweep_listed(struct uploads *u, struct err *e)
{
	const char *prefix = u->s->prefix;
	int rc;

	if (u->enough || !u->key[0] || !u->id[0] || u->begun >= u->before ||
	    strncmp(u->key, prefix, strlen(prefix)) != 0 ||
	    s3_notes_have(u->notes, u->s, u->key, u->id))
		return 0;
	rc = sweep_one(u, u->key, u->id, u->begun, e);
	return rc < 0 ? -1 : 0;
}

static int
copy(char *to, size_t n, const char *text, struct err *e)
{
	if (strlen(text) >= n)
		return err_set(e, ERR_CORRUPT, "uploads: a name is too long");
	strcpy(to, text);
	return 0;
}

static int
take_upload(void *ctx, const char *path, const char *text, struct err *e)
{
	struct uploads *u = ctx;

	u->whole |= !strcmp(path, "ListMultipartUploadsResult");
	if (strncmp(path, "ListMultipartUploadsResult/", 27) != 0)
		return 0;
	path += 27;
	if (!strcmp(path, "Upload")) {
		int rc = sweep_listed(u, e);

		u->key[0] = u->id[0] = 0;
		return rc;
	}
	if (!strcmp(path, "Upload/Key"))
		return copy(u->key, sizeof(u->key), text, e);
	if (!strcmp(path, "Upload/UploadId"))
		return copy(u->id, sizeof(u->id), text, e);
	if (!strcmp(path, "Upload/Initiated"))
		return clock_read(&u->begun, text, e);
	if (!strcmp(path, "NextKeyMarker"))
		return copy(u->next_key, sizeof(u->next_key), text, e);
	if (!strcmp(path, "NextUploadIdMarker"))
		return copy(u->next_id, sizeof(u->next_id), text, e);
	if (!strcmp(path, "IsTruncated"))
		u->more = !strcmp(text, "true");
	return 0;
}

static int
list_uploads(struct uploads *u, struct err *e)
{
	struct buf text = { 0 };
	int rc = 0;

	while (rc == 0 && u->more && !u->enough) {
		char key[sizeof(u->next_key)], id[sizeof(u->next_id)];
		struct s3_call c = {
			.method = "GET", .text = &text,
			.query = { { "uploads", "" }, { "prefix", u->s->prefix } },
		};

		strcpy(key, u->next_key);
		strcpy(id, u->next_id);
		if (key[0]) {
			c.query[2] = (struct s3_pair){ "key-marker", key };
			c.query[3] = (struct s3_pair){ "upload-id-marker", id };
		}
		u->more = u->whole = 0;
		rc = s3_do(u->s, &c, e);
		if (rc == 0 && text.len && buf_room(&text, 1))
			rc = xml_scan(text.p, text.len, take_upload, u, e);
		if (rc == 0 && !u->whole)
			rc = err_set(e, ERR_CORRUPT, "uploads: the answer is no such list");
		if (rc == 0 && u->more && !strcmp(key, u->next_key) && !strcmp(id, u->next_id))
			rc = err_set(e, ERR_CORRUPT, "uploads: the list goes round in a circle");
	}
	buf_free(&text);
	return rc;
}

int
s3_sweep(struct store *base, double min_age_s, int dry, store_each *each, void *ctx,
	struct err *e)
{
	struct s3 *s = (struct s3 *)base;
	struct uploads *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return err_sys(e, "sweep");
	*u = (struct uploads){
		.s = s, .before = clock_now() - (int64_t)min_age_s, .dry = dry, .each = each,
		.ctx = ctx, .more = 1,
	};
	s3_notes_open(u->notes);
	rc = s3_notes_dead(u->notes, s, dry, sweep_dead, u, e);
	if (rc == 0)
		rc = list_uploads(u, e);
	s3_notes_close(u->notes);
	free(u);
	return rc < 0 ? err_in(e, "sweep") : 0;
}
