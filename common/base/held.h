#ifndef BASE_HELD_H
#define BASE_HELD_H

/*
 * A file that its writer holds with flock(2) as long as it writes: however the writer ends, the
 * kernel lets go, so who gets the lock knows that the writer is dead. Nobody's process id
 * is looked at: namespaces and numbers used again do not matter. Such a file must be
 * known as one that is held, by its name; of others nothing is known.
 */

/* Is the file system of fd one that this kernel alone writes to? Of others (NFS, SMB, FUSE, Ceph,
 * Lustre ... and those not known here) a lock does not tell: its holder may be elsewhere. */
int held_here(int fd);

/* Hold fd, which was just created as dir/name. 1: held, until fd is closed. 0: a sweeper took it
 * for dead in the instant between, and it is gone: create it anew. */
int held_take(int fd, int dir, const char *name);

/* DEAD: *fd has dir/name open for reading and holds it; close it after the file was removed. LIVE:
 * somebody holds it. UNKNOWN: it is gone, may not be opened, or is not held_here(). An empty
 * file is DEAD if it is still so after 10 ms: its writer may be about to hold it. */
enum held { HELD_UNKNOWN, HELD_LIVE, HELD_DEAD };
enum held held_look(int *fd, int dir, const char *name);

#endif
