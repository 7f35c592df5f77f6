#ifndef CMD_KVSTAT_VERIFY_H
#define CMD_KVSTAT_VERIFY_H

/* Every object of the store at url against the checksums in file; updating: objects that are
 * new are taken into it, and it is made if it is not there. Tells everything. */
void verify_manifest(const char *url, const char *file, int updating);

#endif
