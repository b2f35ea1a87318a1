/*
 * buffer_state: the file `state`: two slots in place, so that moving the frontier needs no new byte
 * on a full disk and a torn write leaves the other slot. An accelerator: what it says can be had
 * from the segments, only older. One thread.
 */
#ifndef BARGE_BUFFER_STATE_H
#define BARGE_BUFFER_STATE_H

#include "agent/buffer/buffer_format.h"

#define BUFFER_STATE_NAME "state"

struct buffer_state_file {
    int fd; /* -1: could not be made yet */
    unsigned next_slot;
    uint64_t generation; /* of the last slot written */
};

/* The newest slot that verifies. false when there is none. *newer: a slot of that later version was
 * met (0: none). *slot: where it lies. */
bool buffer_state_load(int dir, struct buffer_state *s, unsigned *slot, uint32_t *newer);

/* Opens the file for writing, makes it with both slots' blocks when it is not there or too short.
 * -1 with errno. */
int buffer_state_open(struct buffer_state_file *f, int dir);

/* Writes s into the older slot, with the next generation. -1 with errno; the other slot stands. */
int buffer_state_write(struct buffer_state_file *f, struct buffer_state *s);

/* A new file in the place of one whose fsync failed; fsynced when this returns 0. */
int buffer_state_replace(struct buffer_state_file *f, int dir, struct buffer_state *s);

void buffer_state_close(struct buffer_state_file *f);

#endif
