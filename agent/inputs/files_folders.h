/*
 * files_folders: the folders that the rules of inputs.files lead to, and the logs in them. inotify
 * tells what happens; looking again is the net under it, and polling stands in where no watches are
 * left or the file system is another machine's. Only the words of the operator may be links: what a
 * * found is opened without following any, and /proc and its like are left alone. Intake thread.
 */
#ifndef BARGE_FILES_FOLDERS_H
#define BARGE_FILES_FOLDERS_H

#include "agent/inputs/files_log.h"
#include "agent/loop/loop.h"

#define FILES_MAX_HELD_BYTES (1ull << 30) /* unread, of removed files */
#define FILES_MAX_FOLDERS 4096
#define FILES_MAX_LOGS 65536

struct files_folders;

/* rules: n of them, borrowed. changed(arg) is called after events were handled. */
struct files_folders *files_folders_start(struct tail_shared *s, const struct files_rule *rules,
                                          size_t n, struct loop *loop, void (*changed)(void *arg),
                                          void *arg);
void files_folders_stop(struct files_folders *d);

/* Looks at the logs for which that is wanted. */
void files_folders_visit(struct files_folders *d);

/* To be called every second while shared->attention or files_folders_polls, else every ten. */
void files_folders_tick(struct files_folders *d);
bool files_folders_polls(const struct files_folders *d);

/* The beginning of a pattern that has no wildcard: the folder that is opened by its name. Returns
 * its length in pattern, 1 for "/". */
size_t files_folders_fixed(const char *pattern);

#endif
