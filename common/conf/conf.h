#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Settings by name, and where each came from. Order: option > KVTOOLS_NAME in the
 * environment > [kvtools] of the user's file > of the system's file. Names are
 * those of the long options without dashes in front: "endpoint-url", "ca-bundle".
 * Files (kvtools.conf(5)): $XDG_CONFIG_HOME/kvtools/config, /etc/kvtools/config,
 * INI; [store NAME] sections with url= give the stores named @NAME.
 */
struct conf;

/* file NULL: the two standard places, whose absence is no error. */
int conf_open(struct conf **out, const char *file, struct err *e);
void conf_close(struct conf *c);

/* An option from the command line. The text is copied. */
int conf_set(struct conf *c, const char *name, const char *value, struct err *e);

/* Value or NULL; valid until conf_close() or the next conf_set() of that name.
 * c may be NULL: environment alone. */
const char *conf_get(const struct conf *c, const char *name);
/* "option", "environment KVTOOLS_X", "file PATH:LINE", or NULL when not set. */
const char *conf_origin(const struct conf *c, const char *name);

/* "@prod/sub" -> URL of the store with /sub appended, other text as it is; malloc'ed.
 * NULL with ERR_USAGE: no such store in the configuration. */
char *conf_store_url(const struct conf *c, const char *text, struct err *e);

/* Each setting that has a value, and each [store], for kvstat env. */
int conf_each(const struct conf *c,
	int (*each)(void *ctx, const char *name, const char *value, const char *origin), void *ctx);

/* A secret by the ways a service gets one, first that is set: --NAME-file FILE (conf),
 * --credential (file of that name in $CREDENTIALS_DIRECTORY), environment variable env.
 * out gets the text without its trailing newline. ERR_ABSENT if none is set;
 * ERR_REFUSED if the file can be read by others. */
int conf_secret(const struct conf *c, const char *name, const char *env, struct buf *out,
	struct err *e);
void conf_forget(struct buf *secret);	/* overwrite and free */

#endif
