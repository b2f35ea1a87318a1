/*
 * tail_turns: the turns of an input that follows files: each log that has something to read gets
 * one stretch a turn, in a circle, until the turn's share is used up or the intake is full. One
 * thread.
 */
#ifndef BARGE_TAIL_TURNS_H
#define BARGE_TAIL_TURNS_H

#include "agent/inputs/tail_log.h"

/* A zeroed struct is ready to be filled: what all inputs need is. */
void tail_turns_init(struct tail_shared *s, const struct tail_kind *kind, struct intake *in);
/* When there are no logs any more. */
void tail_turns_fini(struct tail_shared *s);

/* One turn. False when the intake has no room: nothing more is read until there is. */
bool tail_turns_run(struct tail_shared *s);

#endif
