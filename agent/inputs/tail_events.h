/*
 * tail_events: what inotify says of an input's folders, in portions: while events keep coming they
 * are left to gather for some milliseconds, as many small writes are many events. One thread.
 */
#ifndef BARGE_TAIL_EVENTS_H
#define BARGE_TAIL_EVENTS_H

#include "agent/inputs/tail_log.h"
#include "agent/loop/loop.h"

#include <sys/inotify.h>

struct tail_events {
    int inotify; /* for inotify_add_watch; -1: there is none, folders are polled */
    struct loop_io *io;
    struct loop_timer *look; /* armed while events are left alone */
    char *buffer;
    struct tail_shared *shared;
    /* Each event; after each portion; after each look. */
    void (*handle)(void *arg, const struct inotify_event *e);
    void (*visit)(void *arg);
    void (*looked)(void *arg);
    void *arg;
};

/* The functions and arg are set. polling: what is said where the kernel has no inotify for us.
 * shared->now_ms is set before anything is called. */
void tail_events_start(struct tail_events *ev, struct tail_shared *s, struct loop *loop,
                       const char *polling);
void tail_events_stop(struct tail_events *ev);

/* Whether every_ms have passed since *last_ms, which is then now. */
static inline bool tail_events_due(uint64_t *last_ms, uint64_t now_ms, uint64_t every_ms)
{
    if (now_ms - *last_ms < every_ms)
        return false;
    *last_ms = now_ms;
    return true;
}

#endif
