/*
 * tail_reading: reads a log's files in their order and hands the records in. One thread.
 */
#ifndef BARGE_TAIL_READING_H
#define BARGE_TAIL_READING_H

#include "agent/inputs/tail_log.h"

#define TAIL_MAX_GZ_READERS 4 /* at a time: each takes up to 1.2 MiB */
#define TAIL_MAX_JOIN_BYTES                                                                        \
    (64u << 20)              /* unfinished lines in memory, all logs of an input together          \
                              */
#define TAIL_WAIT_MS 2000    /* before an unended last line of a rotated file is its last record */
#define TAIL_SILENCE_MS 1250 /* of a stream: its pending event ends. More than MULTILINE_GAP_NS */
#define TAIL_SILENCE_TICK_MS 250
#define TAIL_STOPPED_MS                                                                            \
    5000 /* nothing more is written this long after a log's writer has stopped */
#define TAIL_REMOVED_MS                                                                            \
    60000                  /* a removed text file may still be written to, this long after it was */
#define TAIL_QUIET_MS 5000 /* a rotated file stays open this long after its last growth */

enum tail_turn { TAIL_TURN_IDLE, TAIL_TURN_MORE, TAIL_TURN_FULL };

/* Reads one stretch of the oldest file that has something. *n is increased by the bytes read. */
enum tail_turn tail_reading_turn(struct tail_log *log, size_t *n);

/* What waits for the clock: tails, retries, quiet files, missing ones. Sets shared->attention when
 * more waits. */
void tail_reading_tick(struct tail_log *log);

/* Where a stream was silent, all is read once more and its pending event ended. Between turns; sets
 * shared->lines_wait when more pends. */
void tail_reading_silence(struct tail_shared *s);

#endif
