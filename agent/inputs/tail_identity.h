/*
 * tail_identity: who a plain text file is. Docker's lines begin with what no other line has, a time
 * to the nanosecond; a line of text may begin a thousand files (MySQL's slow log begins with the
 * same banner after each rotation). So a text file has
 *
 *   a source, which goes into `_id`s: hash of the log, the first line, and the inode it was first
 *     seen under (number and birth). It can be told again from the file alone, and where it cannot
 *     (the file was truncated in place, and is another one now) it is `drawn` from what stood there
 *     before, and its records are sent only when it is on disk.
 *   a head, by which it is known again under another name, inode, or compressed: hash of up to
 *     1,024 bytes of its beginning, of as many as have been read, together with the 64 bytes
 *     before where reading stopped (tail_file's marker).
 *
 * Both stand in its position entry. Which of several files that begin alike is the known one is
 * tail_scan's to say. One thread.
 */
#ifndef BARGE_TAIL_IDENTITY_H
#define BARGE_TAIL_IDENTITY_H

#include "agent/inputs/tail_file.h"

#define TAIL_HEAD_BYTES 1024

/* The inode as a number that outlives the descriptor; 0 when i is unset. */
uint64_t tail_identity_inode(const struct tail_inode *i);

/* Reads the beginning from f->head_at on: sets head and inode_key, and a source that no other file
 * of its log has. Not before its first line is whole, or final says that it will not get any
 * longer. */
enum tail_known tail_identity_find(struct tail_file *f, bool final);

/* More of the beginning has been read: the head takes it in. */
void tail_identity_grow(struct tail_file *f);

/* Whether the head of f is the beginning of other, too. */
bool tail_identity_begins_alike(const struct tail_file *f, struct tail_file *other);

/* Whether all there is of the plain file `part` stands in f, which is open, as well, as far as its
 * beginning and its end tell. */
bool tail_identity_is_part(struct tail_file *f, struct tail_file *part);

#endif
