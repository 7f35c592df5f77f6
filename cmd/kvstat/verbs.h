#ifndef CMD_KVSTAT_VERBS_H
#define CMD_KVSTAT_VERBS_H

/* One file a verb. Each reads its options (argv[0] is the verb), does its work, prints, and
 * notes its status with tool_fail() or tool_mark(). */
void verb_ls(int argc, char **argv);
void verb_du(int argc, char **argv);
void verb_show(int argc, char **argv);
void verb_verify(int argc, char **argv);
void verb_chain(int argc, char **argv);
void verb_diff(int argc, char **argv);
void verb_sim(int argc, char **argv);
void verb_index(int argc, char **argv);

#endif
