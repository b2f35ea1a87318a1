/*
 * replay: reads the files of dead letters that `barge replay` (or an index that accepts again) put
 * into data_dir/replay, hands each document in as it was, with its `_id` and index, and removes the
 * file when its last record is in the buffer and fsynced. How far a file was read is a position of
 * the buffer, so a restart neither loses nor repeats. Intake thread.
 */
#ifndef BARGE_INPUT_REPLAY_H
#define BARGE_INPUT_REPLAY_H

#include "agent/loop/loop.h"
#include "agent/pipeline/intake.h"

struct replay_input;

/* Makes the folder, reads positions from the intake's buffer, begins to watch. NULL with *e when
 * the folder cannot be had. */
struct replay_input *replay_input_start(const char *data_dir, struct loop *loop, struct intake *in,
                                        struct error *e);

/* Reads for one bounded turn. true when there is more to read now. The agent commits afterwards. */
bool replay_input_turn(struct replay_input *r);

/* There may be room in the buffer again. */
void replay_input_room(struct replay_input *r);

/* Called after each successful commit and whenever the durable mark moved. */
void replay_input_committed(struct replay_input *r);

void replay_input_stop(struct replay_input *r);

#endif
