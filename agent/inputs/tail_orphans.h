/*
 * tail_orphans: the positions of earlier lives, until the logs that they belong to turn up. One
 * thread.
 */
#ifndef BARGE_TAIL_ORPHANS_H
#define BARGE_TAIL_ORPHANS_H

#include "agent/inputs/tail_log.h"

struct tail_orphan;

/* A zeroed struct is empty. */
struct tail_orphans {
    struct tail_orphan *list; /* owned; in the order of ids */
    size_t n, cap;
    char kind;
};

/* Takes those of one kind (TAIL_ID_*) from the buffer. */
void tail_orphans_take(struct tail_orphans *o, struct buffer *b, char kind);
/* Gives log what is known of it. False when nothing is. Before its first scan. */
bool tail_orphans_restore(struct tail_orphans *o, struct tail_log *log);
/* Gives log the next position of a file with this inode (tail_identity.h) whose own log has not
 * turned up: its name was changed while nobody looked. Returns the file, in log->known, NULL when
 * there is none (more). *at: where to go on, 0 at first. */
struct tail_file *tail_orphans_adopt(struct tail_orphans *o, struct tail_log *log, uint64_t inode,
                                     size_t *at);
/* Forgets those that no log came for, in the buffer as well. */
void tail_orphans_drop(struct tail_orphans *o, struct buffer *b);
void tail_orphans_fini(struct tail_orphans *o);

#endif
