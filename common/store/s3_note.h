#ifndef STORE_S3_NOTE_H
#define STORE_S3_NOTE_H

#include "digest/digest.h"
#include "store/s3.h"

/*
 * Notes of this user on this host about multipart uploads under way. A note is a file that the
 * writer holds (base/held.h) from the server's answer, which names the upload, until that
 * is completed or aborted: so a sweep knows which uploads' writers are dead. It tells endpoint,
 * bucket, key and upload id, percent-coded, and no secret. Notes lie in kvtools/ of
 * $XDG_RUNTIME_DIR, else in /run/kvtools, else in /tmp/kvtools-UID: the first that
 * is the user's own, that only he may write to, and whose locks tell (held_here()).
 * Where there is none, and for an upload whose writer dies before it has its note, age alone
 * tells.
 */
#define S3_NOTE_DIRS 3

struct s3_note {
	int dir, fd;		/* -1: no note */
	char name[DIGEST128_HEX + 1];
};

/* Note an upload. No error if that cannot be. */
void s3_note_begin(struct s3_note *n, const struct s3 *s, const char *key, const char *id);
/* No longer under way. left: it may still be there, and so the note stays, held by nobody. */
void s3_note_end(struct s3_note *n, int left);

/* All of the user's directories of notes, wherever a writer found his; -1: not there. */
void s3_notes_open(int dirs[S3_NOTE_DIRS]);
void s3_notes_close(int dirs[S3_NOTE_DIRS]);

/* Each upload into the store whose writer is known to be dead. each() returns 0: it is gone, or
 * with dry would be, so its note goes too, unless dry; 1: enough; -1 with e set. 0, 1 or -1. */
typedef int s3_note_fn(void *ctx, const char *key, const char *id, int64_t begun, struct err *e);
int s3_notes_dead(const int dirs[S3_NOTE_DIRS], const struct s3 *s, int dry, s3_note_fn *each,
	void *ctx, struct err *e);
/* 1: the upload has a note. */
int s3_notes_have(const int dirs[S3_NOTE_DIRS], const struct s3 *s, const char *key,
	const char *id);

#endif
