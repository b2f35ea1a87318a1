/*
 * tail_reading: reads a container's files in their order and hands the records in. One thread.
 */
#ifndef BARGE_TAIL_READING_H
#define BARGE_TAIL_READING_H

#include "agent/inputs/docker_container.h"

#define TAIL_MAX_GZ_READERS 4 /* at a time: each takes up to 1.2 MiB */
#define TAIL_MAX_JOIN_BYTES                                                                        \
    (64u << 20)              /* unfinished lines in memory, all containers together                \
                              */
#define TAIL_WAIT_MS 2000    /* before an unended last line of a rotated file is its last record */
#define TAIL_STOPPED_MS 5000 /* a container that has stopped writes nothing more after this */
#define TAIL_QUIET_MS 5000   /* a rotated file stays open this long after its last growth */

/* The frame's emit: arg is the container. */
bool tail_reading_emit(void *arg, const struct docker_framed *r);

enum tail_turn { TAIL_TURN_IDLE, TAIL_TURN_MORE, TAIL_TURN_FULL };

/* Reads one stretch of the oldest file that has something. *n is increased by the bytes read. */
enum tail_turn tail_reading_turn(struct docker_container *c, size_t *n);

/* What waits for the clock: tails, retries, quiet files, missing ones. Sets shared->attention when
 * more waits. */
void tail_reading_tick(struct docker_container *c);

#endif
