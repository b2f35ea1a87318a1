/*
 * tail_events: an input's folders under inotify's eyes, and what it says of them, in portions:
 * while events keep coming they are left to gather for some milliseconds, as many small writes are
 * many events. One thread.
 */
#ifndef BARGE_TAIL_EVENTS_H
#define BARGE_TAIL_EVENTS_H

#include "agent/inputs/tail_log.h"
#include "agent/inputs/watch_table.h"
#include "agent/loop/loop.h"

#include <sys/inotify.h>

struct tail_events {
    int inotify; /* -1: there is none, folders are polled */
    struct watch_table watches;
    bool used_up; /* said once */
    struct loop_io *io;
    struct loop_timer *look; /* armed while events are left alone */
    char *buffer;
    struct tail_shared *shared;
    /* What is said where the kernel has no inotify for us, and where it has no more watches. */
    const char *no_inotify, *no_watches;
    /* An event of what is watched; with IN_IGNORED the watch has ended by itself. */
    void (*handle)(void *arg, void *of, const struct inotify_event *e);
    /* Events were lost, of whatever. */
    void (*lost)(void *arg);
    /* After each portion; after each look. */
    void (*visit)(void *arg);
    void (*looked)(void *arg);
    void *arg;
};

/* ev: zeroed but for texts, functions and arg. shared->now_ms is set before any is called. */
void tail_events_start(struct tail_events *ev, struct tail_shared *s, struct loop *loop);
void tail_events_stop(struct tail_events *ev);

/* Watches path, or changes what it is watched for; of: borrowed, for handle. Returns the watch, -1
 * when there are none left, which is said: then it is to be polled. Who asks for the same folder by
 * another path has the same watch from then on, and its events. */
int tail_events_watch(struct tail_events *ev, const char *path, uint32_t mask, void *of);
/* No event of it is handed on any more. Nothing is done for -1, and when it is another's by now. */
void tail_events_unwatch(struct tail_events *ev, int watch, const void *of);
/* Says, once, that there are no watches left. */
void tail_events_say_used_up(struct tail_events *ev);

/* Whether every_ms have passed since *last_ms, which is then now. */
static inline bool tail_events_due(uint64_t *last_ms, uint64_t now_ms, uint64_t every_ms)
{
    if (now_ms - *last_ms < every_ms)
        return false;
    *last_ms = now_ms;
    return true;
}

#endif
