/*
 * tail_files: the files that a log has and had: their lists, positions and descriptors.
 *
 * A file is opened as soon as it is seen and held until it was read to its end after its rotation
 * was noticed; a removed one also until what was read from it is on disk. Without a descriptor a
 * file is known by its first line (tail_file.h) and its position entry, so that .gz and late
 * finds continue where reading stopped. One thread.
 */
#ifndef BARGE_TAIL_FILES_H
#define BARGE_TAIL_FILES_H

#include "agent/inputs/tail_log.h"

/* Takes a position entry of an earlier life. Before the first scan. */
void tail_files_restore(struct tail_log *log, uint64_t source, const struct tail_position *p);

/* Writes the positions that have changed. */
void tail_files_save(struct tail_log *log);

/* Takes f, with its position, out of its log's lists: it belongs to another one now. Not while
 * framing waits in it. To the log that it is in already: only its position is written. */
void tail_files_move(struct tail_file *f, struct tail_log *to);

/* Forgets all that is known of the log but the files that are being read, and that it was there. */
void tail_files_forget_log(struct tail_log *log);

/* Opens a log file (or, with O_DIRECTORY, a folder) for reading; when descriptors run out, one that
 * is idle is given back. -1 with errno. */
int tail_files_open(struct tail_log *log, int dir, const char *name, int flags);
/* Whether a descriptor that was opened elsewhere may be kept, one that is idle being given back
 * when descriptors run out. */
bool tail_files_may_keep(struct tail_shared *s, int fd);
/* Gives the descriptor back. */
void tail_files_close(struct tail_file *f);
/* Gives the memory for decompressing back. */
void tail_files_end_inflating(struct tail_file *f);
/* Closes and frees; f is in no list of its container any more. Its position stays. */
void tail_files_free(struct tail_file *f);

/* Takes f out of its list (log->files or log->known). */
void tail_files_unlist(struct tail_file *f);
/* Puts f, which is under no name, from its list into log->known. */
void tail_files_set_aside(struct tail_file *f);
/* Forgets f and its position. It is in log->files or log->known. */
void tail_files_drop(struct tail_file *f);

/* f is open and has no name any more: it joins shared->removed. */
void tail_files_mark_removed(struct tail_file *f);
/* It leaves shared->removed. */
void tail_files_forget_removed(struct tail_file *f);

/* Of all containers: after a commit, or when the durable mark moved: sees which removed files may
 * be closed. */
void tail_files_committed(struct tail_shared *s);
/* Unread bytes of files that are under no name any more. */
uint64_t tail_files_held(struct tail_shared *s);
/* Lets the oldest removed files go while more than settings->max_held_bytes of them are unread. */
void tail_files_limit_held(struct tail_shared *s);

#endif
