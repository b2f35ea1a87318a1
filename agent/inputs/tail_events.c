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

/* True when there may be more. */
static bool read_events(struct tail_events *ev)
{
    ssize_t n = io_read(ev->inotify, ev->buffer, EVENT_BYTES);

    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const void *)(ev->buffer + at);

        at += (ssize_t)(sizeof *e + e->len);
        ev->handle(ev->arg, e);
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

void tail_events_start(struct tail_events *ev, struct tail_shared *s, struct loop *loop,
                       const char *polling)
{
    ev->shared = s;
    ev->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (ev->inotify < 0) {
        log_warn(polling, LOG_STR("reason", strerror(errno)),
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
    free(ev->buffer);
}
