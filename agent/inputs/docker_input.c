/*
 * docker_input: the turns. Folders and containers say which container has something to read; each
 * gets one stretch a turn, in a circle, until the turn's share is used up or the intake is full.
 * Files are opened and held by the events, whether or not there is room.
 */
#include "agent/inputs/docker.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/base/strbuf.h"
#include "agent/inputs/docker_folders.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_reading.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>

#define TURN_BYTES (2 * TAIL_CHUNK_BYTES) /* what other sources may have to wait for */
#define TURN_CONTAINERS 256               /* of which most have a line or two */
#define RESERVED_DESCRIPTORS 128
#define TICK_MS 1000
#define SHOW_MS 200 /* between two counts of what is unread */
#define IDLE_TICK_MS 10000

struct docker_input {
    struct tail_shared shared;
    struct docker_folders *folders;
    struct loop_timer *tick;
    uint64_t shown_ms;
    bool soon; /* the tick comes within a second */
    bool full; /* the intake had no room; docker_input_room or the tick ends it */
};

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

static void name_unreadable(struct tail_shared *s)
{
    struct strbuf names = {0};
    uint64_t n = 0;

    for (const struct docker_container *c = s->all; c; c = c->next_all) {
        bool elsewhere = c->follow == DOCKER_ELSEWHERE;

        if (c->gone || !(elsewhere || (c->follow == DOCKER_FOLLOWED && c->denied)))
            continue;
        n++;
        if (names.n < 300)
            strbuf_printf(&names, "%s%s (%s)", names.n ? ", " : "",
                          c->config.name && c->config.name[0] ? c->config.name : c->hex,
                          elsewhere ? c->log_driver : "permission denied");
    }
    metric_set(M_DOCKER_UNREADABLE, n);
    metric_text_set("inputs.docker.unreadable_containers", strbuf_bytes(&names));
    strbuf_fini(&names);
    s->unreadable_changed = false;
}

static void show_figures(struct docker_input *d)
{
    struct tail_shared *s = &d->shared;
    uint64_t containers = 0, files = 0, lag = 0, held = 0;

    for (const struct docker_container *c = s->all; c; c = c->next_all) {
        containers += c->follow == DOCKER_FOLLOWED && !c->gone;
        for (struct tail_file *f = c->files; f; f = f->next) {
            struct tail_inode now;
            uint64_t unread;

            if (f->fd < 0)
                continue;
            files++;
            /* Only of those with something unread the size may have changed. */
            if (f->dirty && !f->compressed && tail_inode_get(f->fd, NULL, &now) == 0)
                f->size = now.size;
            unread = f->complete ? 0 : tail_file_unread(f);
            lag += unread;
            if (f->index != 0)
                held += unread;
        }
    }
    metric_set(M_DOCKER_CONTAINERS, containers);
    metric_set(M_DOCKER_FILES, files);
    metric_set(M_DOCKER_LAG, lag);
    metric_set(M_DOCKER_HELD, held);
    s->changed = lag != 0;
    d->shown_ms = s->now_ms;
}

/* ---- time ---- */

/* Something may be due before the idle tick. */
static void tick_soon(struct docker_input *d)
{
    const struct tail_shared *s = &d->shared;

    if (d->soon || !(s->attention || s->changed || s->removed || s->ready || d->full ||
                     docker_folders_polls(d->folders)))
        return;
    d->soon = true;
    loop_timer_set(d->tick, TICK_MS);
}

static void on_tick(void *arg)
{
    struct docker_input *d = arg;
    struct tail_shared *s = &d->shared;

    s->now_ms = clock_mono_ms();
    s->attention = d->soon = false;
    d->full = false; /* a net under docker_input_room: the next turn finds out */
    docker_folders_tick(d->folders);
    tail_files_limit_held(s);
    if (s->changed)
        show_figures(d);
    if (s->unreadable_changed)
        name_unreadable(s);
    loop_timer_set(d->tick, IDLE_TICK_MS);
    tick_soon(d);
}

static void on_changed(void *arg)
{
    tick_soon(arg);
}

/* ---- life ---- */

struct docker_input *docker_input_start(const struct docker_settings *settings, struct loop *loop,
                                        struct intake *in, struct docker_holder *holder,
                                        struct error *e)
{
    struct docker_input *d = base_calloc(1, sizeof *d);
    struct tail_shared *s = &d->shared;

    (void)e;
    s->settings = settings;
    s->intake = in;
    s->buffer = intake_buffer(in);
    s->scratch = base_alloc(TAIL_SCRATCH_BYTES);
    s->work = base_alloc(sizeof *s->work);
    json_keys_seen_init(&s->work->seen);
    s->spare_from = raise_descriptor_limit();
    s->now_ms = clock_mono_ms();
    d->tick = loop_timer_add(loop, on_tick, d);
    d->folders = docker_folders_start(s, loop, holder, on_changed, d);
    show_figures(d);
    name_unreadable(s);
    loop_timer_set(d->tick, IDLE_TICK_MS);
    tick_soon(d);
    return d;
}

void docker_input_stop(struct docker_input *d)
{
    if (!d)
        return;
    docker_folders_stop(d->folders);
    loop_timer_remove(&d->tick);
    free(d->shared.scratch);
    free(d->shared.work);
    free(d);
}

/* ---- turns ---- */

static struct docker_container *take_ready(struct tail_shared *s)
{
    struct docker_container *c = s->ready;

    s->ready = c->next_ready;
    c->is_ready = false;
    return c;
}

bool docker_input_turn(struct docker_input *d)
{
    struct tail_shared *s = &d->shared;
    size_t done = 0, rounds = 0;
    bool was_full = d->full;

    docker_folders_take_held(d->folders);
    if (s->visits)
        docker_folders_visit(d->folders);
    if (!s->ready)
        return false;
    s->now_ms = clock_mono_ms();
    while (s->ready && !d->full && done < TURN_BYTES && rounds++ < TURN_CONTAINERS) {
        struct docker_container *c;

        if (!intake_has_room(s->intake, BUFFER_CAN_WAIT, 2 * TAIL_CHUNK_BYTES)) {
            d->full = true;
            break;
        }
        c = take_ready(s);
        switch (tail_reading_turn(c, &done)) {
        case TAIL_TURN_FULL:
            d->full = true;
            docker_container_set_ready(c);
            break;
        case TAIL_TURN_MORE:
            docker_container_set_ready(c);
            break;
        case TAIL_TURN_IDLE:
            break;
        }
    }
    docker_folders_visit(d->folders);
    if (s->changed && s->now_ms - d->shown_ms >= (d->full && !was_full ? SHOW_MS / 10 : SHOW_MS))
        show_figures(d);
    tick_soon(d);
    return s->ready && !d->full;
}

void docker_input_room(struct docker_input *d)
{
    d->full = false;
}

void docker_input_committed(struct docker_input *d)
{
    d->shared.now_ms = clock_mono_ms();
    tail_files_committed(&d->shared);
}

const struct origin *docker_input_origin(struct docker_input *d, struct bytes container_id)
{
    const struct docker_container *c = docker_folders_container(d->folders, container_id);

    return c ? c->origin : NULL;
}
