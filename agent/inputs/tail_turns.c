#include "agent/inputs/tail_turns.h"

#include "agent/base/clock.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_reading.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>

#define TURN_BYTES (2 * TAIL_CHUNK_BYTES) /* what other sources may have to wait for */
#define TURN_LOGS 256                     /* of which most have a line or two */
#define RESERVED_DESCRIPTORS 128
#define TICK_MS 1000
#define SHOW_MS 200 /* between two counts of what is unread */

/* Raises the limit as far as it goes. Returns the number from which on descriptors are left to
 * others. */
static int raise_descriptor_limit(void)
{
    struct rlimit limit;
    rlim_t most;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return INT_MAX;
    if (limit.rlim_cur < limit.rlim_max) {
        most = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            limit.rlim_cur = most;
    }
    most = MIN(limit.rlim_cur, (rlim_t)INT_MAX);
    return (int)(most - MIN(most / 4, (rlim_t)RESERVED_DESCRIPTORS));
}

/* ---- figures ---- */

static void show_figures(struct tail_turns *t)
{
    tail_log_show(&t->shared);
    t->shown_ms = t->shared.now_ms;
}

/* ---- time ---- */

/* Something may be due before the idle tick. */
static void tick_soon(struct tail_turns *t)
{
    const struct tail_shared *s = &t->shared;

    /* Before all is there, nothing is asked. */
    if (!t->folders || t->soon ||
        !(s->attention || s->changed || s->removed || s->ready || t->full ||
          t->folders->polls(t->arg)))
        return;
    t->soon = true;
    loop_timer_set(t->tick, TICK_MS);
}

static void on_tick(void *arg)
{
    struct tail_turns *t = arg;
    struct tail_shared *s = &t->shared;

    s->now_ms = clock_mono_ms();
    s->attention = t->soon = false;
    t->full = false; /* a net under tail_turns_room: the next turn finds out */
    t->folders->tick(t->arg);
    tail_files_limit_held(s);
    if (s->changed)
        show_figures(t);
    if (s->unreadable_changed)
        tail_log_name_unreadable(s);
    loop_timer_set(t->tick, t->folders->idle_ms);
    tick_soon(t);
}

static void watch_lines(struct tail_turns *t)
{
    if (t->lines_watched || !t->shared.lines_wait)
        return;
    t->lines_watched = true;
    loop_timer_set(t->silence, TAIL_SILENCE_TICK_MS);
}

static void on_silence(void *arg)
{
    struct tail_turns *t = arg;

    t->shared.now_ms = clock_mono_ms();
    t->lines_watched = false;
    tail_reading_silence(&t->shared);
    watch_lines(t);
}

void tail_turns_changed(void *arg)
{
    tick_soon(arg);
}

/* ---- life ---- */

void tail_turns_init(struct tail_turns *t, const struct tail_kind *kind, struct intake *in,
                     struct loop *loop)
{
    struct tail_shared *s = &t->shared;

    s->kind = kind;
    s->intake = in;
    s->buffer = intake_buffer(in);
    s->scratch = base_alloc(TAIL_SCRATCH_BYTES);
    s->spare_from = raise_descriptor_limit();
    s->now_ms = clock_mono_ms();
    t->tick = loop_timer_add(loop, on_tick, t);
    t->silence = loop_timer_add(loop, on_silence, t);
}

void tail_turns_begin(struct tail_turns *t, const struct tail_folders *folders, void *arg)
{
    t->folders = folders;
    t->arg = arg;
    show_figures(t);
    tail_log_name_unreadable(&t->shared);
    loop_timer_set(t->tick, folders->idle_ms);
    tick_soon(t);
}

void tail_turns_fini(struct tail_turns *t)
{
    loop_timer_remove(&t->tick);
    loop_timer_remove(&t->silence);
    free(t->shared.scratch);
    t->shared.scratch = NULL;
}

/* ---- turns ---- */

/* False when the intake has no room: nothing more is read until there is. */
static bool read_logs(struct tail_shared *s)
{
    size_t done = 0, rounds = 0;

    while (s->ready && done < TURN_BYTES && rounds++ < TURN_LOGS) {
        struct tail_log *log;

        if (!intake_has_room(s->intake, BUFFER_CAN_WAIT, 2 * TAIL_CHUNK_BYTES))
            return false;
        log = tail_log_take_ready(s);
        switch (tail_reading_turn(log, &done)) {
        case TAIL_TURN_FULL:
            tail_log_set_ready(log);
            return false;
        case TAIL_TURN_MORE:
            tail_log_set_ready(log);
            break;
        case TAIL_TURN_IDLE:
            break;
        }
    }
    return true;
}

bool tail_turns_run(struct tail_turns *t)
{
    struct tail_shared *s = &t->shared;
    bool was_full = t->full;

    if (t->folders->before)
        t->folders->before(t->arg);
    if (s->visits)
        t->folders->visit(t->arg);
    if (!s->ready)
        return false;
    s->now_ms = clock_mono_ms();
    if (!t->full)
        t->full = !read_logs(s);
    t->folders->visit(t->arg);
    if (s->changed && s->now_ms - t->shown_ms >= (t->full && !was_full ? SHOW_MS / 10 : SHOW_MS))
        show_figures(t);
    tick_soon(t);
    watch_lines(t);
    return s->ready && !t->full;
}

void tail_turns_room(struct tail_turns *t)
{
    t->full = false;
}

void tail_turns_committed(struct tail_turns *t)
{
    t->shared.now_ms = clock_mono_ms();
    tail_files_committed(&t->shared);
}

bool tail_turns_owe(struct tail_turns *t)
{
    return tail_files_held(&t->shared) != 0;
}
