#ifndef BASE_HOLDER_H
#define BASE_HOLDER_H

#include "base/err.h"

/*
 * Does any process hold the file dir/name open or mapped? Told by its device and inode
 * through /proc, never by its name, which may stand for another file by now; and by the
 * kernel, which grants a write lease (fcntl(2)) only on what nobody else has open, in
 * whatever PID namespace. 1: yes. 0: no. -1: ERR_ABSENT, not there; ERR_REFUSED, not to be
 * told: a process of the file's owner may not be looked into, and there are no leases.
 */
int holder_any(int dir, const char *name, struct err *e);

#endif
