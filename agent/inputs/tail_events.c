#include "agent/inputs/tail_events.h"

#include "agent/base/clock.h"
#include "agent/base/io.h"
#include "agent/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define EVENT_BYTES 65536
#define READS_PER_LOOK 16
#define LOOK_MS 10 /* how often events are looked at while they keep coming */

static void hand_on(struct tail_events *ev, const struct inotify_event *e)
{
    void *of;

    if (e->mask & IN_Q_OVERFLOW) {
        ev->lost(ev->arg);
        return;
    }
    of = e->mask & IN_IGNORED ? watch_table_take(&ev->watches, e->wd)
                              : watch_table_get(&ev->watches, e->wd);
    if (of)
        ev->handle(ev->arg, of, e);
}

/* True when there may be more. */
static bool read_events(struct tail_events *ev)
{
    ssize_t n = io_read(ev->inotify, ev->buffer, EVENT_BYTES);

    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const void *)(ev->buffer + at);

        at += (ssize_t)(sizeof *e + e->len);
        hand_on(ev, e);
    }
    return n > 0;
}

static void on_events(void *arg, uint32_t mask)
{
    struct tail_events *ev = arg;

    (void)mask;
    ev->shared->now_ms = clock_mono_ms();
    for (int i = 0; i < READS_PER_LOOK && read_events(ev); i++)
        ev->visit(ev->arg);
    /* Many small writes are many events: the next ones are left to gather. */
    loop_io_set(ev->io, 0);
    loop_timer_set(ev->look, LOOK_MS);
    ev->looked(ev->arg);
}

static void on_look(void *arg)
{
    struct tail_events *ev = arg;

    loop_io_set(ev->io, EPOLLIN);
}

void tail_events_say_used_up(struct tail_events *ev)
{
    if (!ev->used_up)
        log_warn(ev->no_watches, LOG_STR("knob", "fs.inotify.max_user_watches"));
    ev->used_up = true;
}

int tail_events_watch(struct tail_events *ev, const char *path, uint32_t mask, void *of)
{
    int wd = ev->inotify < 0 ? -1 : inotify_add_watch(ev->inotify, path, mask);

    if (wd < 0 && ev->inotify >= 0 && errno == ENOSPC)
        tail_events_say_used_up(ev);
    if (wd >= 0)
        watch_table_put(&ev->watches, wd, of);
    return wd;
}

void tail_events_unwatch(struct tail_events *ev, int watch, const void *of)
{
    if (watch < 0 || watch_table_get(&ev->watches, watch) != of)
        return;
    watch_table_take(&ev->watches, watch);
    /* Fails when the folder has gone: then the kernel did it. */
    inotify_rm_watch(ev->inotify, watch);
}

void tail_events_start(struct tail_events *ev, struct tail_shared *s, struct loop *loop)
{
    ev->shared = s;
    ev->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (ev->inotify < 0) {
        log_warn(ev->no_inotify, LOG_STR("reason", strerror(errno)),
                 LOG_STR("knob", "fs.inotify.max_user_instances"));
        return;
    }
    ev->buffer = base_alloc(EVENT_BYTES);
    ev->look = loop_timer_add(loop, on_look, ev);
    ev->io = loop_io_add(loop, ev->inotify, EPOLLIN, on_events, ev);
    if (!ev->io)
        base_die("epoll refuses inotify: %s", strerror(errno));
}

void tail_events_stop(struct tail_events *ev)
{
    loop_io_remove(&ev->io);
    loop_timer_remove(&ev->look);
    if (ev->inotify >= 0)
        io_close(ev->inotify);
    watch_table_fini(&ev->watches, NULL);
    free(ev->buffer);
}
