/*
 * tail_turns: the turns and the clock of an input that follows files: each log that has something
 * to read gets one stretch a turn, in a circle, until the turn's share is used up or the intake is
 * full; what waits for time to pass is looked at every second, while anything waits. Which logs
 * there are is the input's to say. One thread.
 */
#ifndef BARGE_TAIL_TURNS_H
#define BARGE_TAIL_TURNS_H

#include "agent/inputs/tail_log.h"
#include "agent/loop/loop.h"

/* What the input looks after itself. */
struct tail_folders {
    void (*before)(void *arg); /* at the beginning of each turn; NULL: nothing */
    void (*visit)(void *arg);  /* looks at the logs for which that is wanted */
    void (*tick)(
        void *arg); /* to be called every second while something waits, else every idle_ms */
    bool (*polls)(void *arg); /* whether something is looked at by the clock alone */
    uint64_t idle_ms;
};

struct tail_turns {
    struct tail_shared shared; /* what its logs and folders are handed */
    const struct tail_folders *folders;
    void *arg; /* of folders */
    struct loop_timer *tick;
    struct loop_timer *silence; /* set: in lines_watched */
    uint64_t shown_ms;
    bool lines_watched;
    bool soon; /* the tick comes within a second */
    bool full; /* the intake had no room; tail_turns_room or the tick ends it */
};

/* t: zeroed. shared is ready when this returns; the input makes its folders and logs with it, then
 * begins. */
void tail_turns_init(struct tail_turns *t, const struct tail_kind *kind, struct intake *in,
                     struct loop *loop);
void tail_turns_begin(struct tail_turns *t, const struct tail_folders *folders, void *arg);
/* When there are no logs any more. */
void tail_turns_fini(struct tail_turns *t);

/* One bounded turn, in fair order. true when there is more to read now; false also when the intake
 * has no room. Called by the agent at the end of each round of the loop, behind the sockets; the
 * agent commits afterwards. */
bool tail_turns_run(struct tail_turns *t);

/* There may be room in the buffer again. While there is none, files are still opened as they
 * appear, and held when they are rotated or removed; max_held_bytes counts the unread bytes of
 * those without a name any more: what still has one costs no disk that would be given back. */
void tail_turns_room(struct tail_turns *t);
/* After each successful commit, and whenever the durable mark moved: files that were removed and
 * read may be closed. */
void tail_turns_committed(struct tail_turns *t);
/* Whether there is something to read that nobody can read after us: in files that are under no name
 * any more. As far as the events say that have been taken. */
bool tail_turns_owe(struct tail_turns *t);
/* Something happened outside a turn (arg: the struct tail_turns): it may wait for the clock. */
void tail_turns_changed(void *arg);

#endif
