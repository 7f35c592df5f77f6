#ifndef CMD_NOTE_H
#define CMD_NOTE_H

#include "flow/catalog.h"

/* Have what is read from and put into a place noted in its store's index: that of --index,
 * made if need be, or the one in the standard place if there is one; --index none: not. An
 * index that cannot be had is a warning: the copy goes on. */
void note_open(struct place *p, const char *url);
void note_close(struct place *p);	/* before place_close(); says what was lost */

#endif
