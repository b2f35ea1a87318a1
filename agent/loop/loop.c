#include "agent/loop/loop.h"

#include "agent/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_PER_ROUND 64

struct loop_io {
    struct loop *loop;
    int fd;
    uint32_t events;
    void (*fn)(void *arg, uint32_t events);
    void *arg;
    const char *file;
    int line;
    struct loop_io *next, **prev; /* all, or those to be freed after the round */
};

struct loop_timer {
    struct loop *loop;
    uint64_t due_ms; /* UINT64_MAX: not armed */
    void (*fn)(void *arg);
    void *arg;
    const char *file;
    int line;
    struct loop_timer *next, **prev;
};

struct loop {
    int epoll, wake;
    bool stopped;
    uint64_t now_ms;
    bool (*turn)(void *arg);
    void *turn_arg;
    struct loop_io *ios;
    struct loop_io *removed; /* may still stand in the events of this round */
    struct loop_timer *timers;
    struct loop_timer *next_timer;   /* the walk over timers, so that one may remove another */
    _Atomic uint64_t round_began_ms; /* 0 while waiting */
};

/* Lists are short (a handful of sockets, inotify, some timers), so they are walked. */
#define LIST_ADD(head, x)                                                                          \
    do {                                                                                           \
        (x)->next = *(head);                                                                       \
        (x)->prev = (head);                                                                        \
        if ((x)->next)                                                                             \
            (x)->next->prev = &(x)->next;                                                          \
        *(head) = (x);                                                                             \
    } while (0)
#define LIST_REMOVE(x)                                                                             \
    do {                                                                                           \
        *(x)->prev = (x)->next;                                                                    \
        if ((x)->next)                                                                             \
            (x)->next->prev = (x)->prev;                                                           \
    } while (0)

struct loop *loop_create(void)
{
    struct loop *l = base_calloc(1, sizeof *l);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};

    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll < 0 || l->wake < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &ev) < 0)
        base_die("cannot make an event loop: %s", strerror(errno));
    l->now_ms = clock_mono_ms();
    return l;
}

static void free_removed(struct loop *l)
{
    while (l->removed) {
        struct loop_io *io = l->removed;

        l->removed = io->next;
        free(io);
    }
}

void loop_destroy(struct loop *l)
{
    for (struct loop_io *io = l->ios; io; io = io->next)
        fprintf(stderr, "barge: descriptor %d left in the loop by %s:%d\n", io->fd, io->file,
                io->line);
    for (struct loop_timer *t = l->timers; t; t = t->next)
        fprintf(stderr, "barge: timer left in the loop by %s:%d\n", t->file, t->line);
    ASSERT(!l->ios && !l->timers);
    free_removed(l);
    close(l->epoll);
    close(l->wake);
    free(l);
}

struct loop_io *loop_io_add_at(struct loop *l, int fd, uint32_t events,
                               void (*fn)(void *arg, uint32_t events), void *arg, const char *file,
                               int line)
{
    struct loop_io *io = base_calloc(1, sizeof *io);
    struct epoll_event ev = {.events = events, .data.ptr = io};

    *io = (struct loop_io){
        .loop = l, .fd = fd, .events = events, .fn = fn, .arg = arg, .file = file, .line = line};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
        free(io);
        return NULL;
    }
    LIST_ADD(&l->ios, io);
    return io;
}

void loop_io_set(struct loop_io *io, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = io};

    if (io->events == events)
        return;
    io->events = events;
    if (epoll_ctl(io->loop->epoll, EPOLL_CTL_MOD, io->fd, &ev) < 0)
        base_die("epoll refuses descriptor %d: %s", io->fd, strerror(errno));
}

void loop_io_remove(struct loop_io **handle)
{
    struct loop_io *io = *handle;

    if (!io)
        return;
    *handle = NULL;
    epoll_ctl(io->loop->epoll, EPOLL_CTL_DEL, io->fd, NULL);
    LIST_REMOVE(io);
    io->fn = NULL;
    io->next = io->loop->removed;
    io->loop->removed = io;
}

struct loop_timer *loop_timer_add_at(struct loop *l, void (*fn)(void *arg), void *arg,
                                     const char *file, int line)
{
    struct loop_timer *t = base_calloc(1, sizeof *t);

    *t = (struct loop_timer){
        .loop = l, .due_ms = UINT64_MAX, .fn = fn, .arg = arg, .file = file, .line = line};
    LIST_ADD(&l->timers, t);
    return t;
}

void loop_timer_set(struct loop_timer *t, uint64_t after_ms)
{
    t->due_ms = clock_mono_ms() + after_ms;
}

bool loop_timer_armed(const struct loop_timer *t)
{
    return t->due_ms != UINT64_MAX;
}

void loop_timer_remove(struct loop_timer **handle)
{
    struct loop_timer *t = *handle;

    if (!t)
        return;
    *handle = NULL;
    if (t->loop->next_timer == t)
        t->loop->next_timer = t->next;
    LIST_REMOVE(t);
    free(t);
}

void loop_set_turn(struct loop *l, bool (*fn)(void *arg), void *arg)
{
    l->turn = fn;
    l->turn_arg = arg;
}

static int wait_ms(const struct loop *l, bool more)
{
    uint64_t due = UINT64_MAX, now = clock_mono_ms();

    if (more)
        return 0;
    for (const struct loop_timer *t = l->timers; t; t = t->next)
        due = MIN(due, t->due_ms);
    if (due == UINT64_MAX)
        return -1;
    if (due <= now)
        return 0;
    return due - now > INT_MAX ? INT_MAX : (int)(due - now);
}

static void fire_timers(struct loop *l)
{
    for (struct loop_timer *t = l->timers; t; t = l->next_timer) {
        l->next_timer = t->next;
        if (t->due_ms <= l->now_ms) {
            t->due_ms = UINT64_MAX;
            t->fn(t->arg);
        }
    }
    l->next_timer = NULL;
}

static void dispatch(struct loop *l, const struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        struct loop_io *io = events[i].data.ptr;
        uint64_t count;

        if (!io) {
            if (read(l->wake, &count, sizeof count) < 0)
                continue; /* EAGAIN: an earlier round took it */
        } else if (io->fn) {
            io->fn(io->arg, events[i].events);
        }
    }
    free_removed(l);
}

void loop_run(struct loop *l)
{
    struct epoll_event events[EVENTS_PER_ROUND];
    bool more = l->turn != NULL; /* what was there before the start is no event */

    l->stopped = false;
    while (!l->stopped) {
        int timeout = wait_ms(l, more), n;

        if (timeout != 0)
            atomic_store_explicit(&l->round_began_ms, 0, memory_order_relaxed);
        n = epoll_wait(l->epoll, events, EVENTS_PER_ROUND, timeout);
        if (n < 0 && errno != EINTR)
            base_die("waiting for events failed: %s", strerror(errno));
        l->now_ms = clock_mono_ms();
        atomic_store_explicit(&l->round_began_ms, l->now_ms, memory_order_relaxed);
        dispatch(l, events, n);
        fire_timers(l);
        more = l->turn ? l->turn(l->turn_arg) : false;
    }
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

void loop_wake(struct loop *l)
{
    static const uint64_t one = 1;

    if (write(l->wake, &one, sizeof one) < 0) {
        /* EAGAIN: the counter is full, so a wake-up is due anyway. */
    }
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

uint64_t loop_busy_ms(const struct loop *l)
{
    uint64_t began = atomic_load_explicit(&l->round_began_ms, memory_order_relaxed);
    uint64_t now = clock_mono_ms();

    return began && now > began ? now - began : 0;
}
