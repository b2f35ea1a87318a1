/*
 * loop: epoll with timers, for the intake thread. One loop, one thread; only loop_wake may be
 * called from others. Callbacks run inside loop_run and may add and remove anything, themselves
 * included.
 */
#ifndef BARGE_LOOP_H
#define BARGE_LOOP_H

#include "agent/base/base.h"

struct loop;
struct loop_io;
struct loop_timer;

struct loop *loop_create(void);

/* All handles must have been removed before: leftovers are reported with the place that added them,
 * and abort. */
void loop_destroy(struct loop *l);

/* Calls fn(arg, events) when fd has events (EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR).
 * Level-triggered. fd is borrowed. NULL with errno when epoll refuses it. */
#define loop_io_add(l, fd, events, fn, arg)                                                        \
    loop_io_add_at((l), (fd), (events), (fn), (arg), __FILE__, __LINE__)
struct loop_io *loop_io_add_at(struct loop *l, int fd, uint32_t events,
                               void (*fn)(void *arg, uint32_t events), void *arg, const char *file,
                               int line);

/* Changes the events waited for; 0 pauses. */
void loop_io_set(struct loop_io *io, uint32_t events);

/* Removes and sets *io to NULL. NULL inside is fine. Before closing the fd. */
void loop_io_remove(struct loop_io **io);

/* A one-shot timer, unarmed at first. */
#define loop_timer_add(l, fn, arg) loop_timer_add_at((l), (fn), (arg), __FILE__, __LINE__)
struct loop_timer *loop_timer_add_at(struct loop *l, void (*fn)(void *arg), void *arg,
                                     const char *file, int line);
/* Arms (or re-arms) it to fire once, after_ms from now. 0: at the next turn. */
void loop_timer_set(struct loop_timer *t, uint64_t after_ms);
bool loop_timer_armed(const struct loop_timer *t);
void loop_timer_remove(struct loop_timer **t);

/* Called once before the loop waits, after each round of callbacks: the end of a turn. It returns
 * true when there is more work that waits for no event (the loop then polls without sleeping and
 * calls it again). */
void loop_set_turn(struct loop *l, bool (*fn)(void *arg), void *arg);

/* Runs until loop_stop. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Any thread, also a signal handler: makes the loop turn once more. */
void loop_wake(struct loop *l);

/* clock_mono_ms as of the start of the current round: cheap. */
uint64_t loop_now_ms(const struct loop *l);

/* For how long the current round of callbacks has been running, 0 while the loop waits: whether it
 * makes progress (health). Any thread. */
uint64_t loop_busy_ms(const struct loop *l);

#endif
