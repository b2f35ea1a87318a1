/*
 * tail_start: where to begin in a file that was never read, as the setting `start` says. One
 * thread.
 */
#ifndef BARGE_TAIL_START_H
#define BARGE_TAIL_START_H

#include "agent/inputs/tail_file.h"

/* The offset behind the last line feed of a plain file. */
uint64_t tail_start_end(struct tail_file *f, char *scratch);

/* The offset of the first line of a plain file whose time is not before since_ns; lines stand in
 * the order of their times. Found by halving, so a large file costs some reads. */
uint64_t tail_start_since(struct tail_file *f, int64_t since_ns, char *scratch);

#endif
