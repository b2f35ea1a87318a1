/*
 * docker_input: the turns. Folders and containers say which container has something to read.
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
#include "agent/inputs/tail_turns.h"

#include <stdlib.h>

#define TICK_MS 1000
#define SHOW_MS 200 /* between two counts of what is unread */
#define IDLE_TICK_MS 10000

struct docker_input {
    struct tail_shared shared;
    struct docker_folders *folders;
    struct loop_timer *tick;
    struct loop_timer *silence; /* set: in lines_watched */
    uint64_t shown_ms;
    bool lines_watched;
    bool soon; /* the tick comes within a second */
    bool full; /* the intake had no room; docker_input_room or the tick ends it */
};

/* ---- figures ---- */

static void name_unreadable(struct tail_shared *s)
{
    struct strbuf names = {0};
    uint64_t n = 0;

    for (struct tail_log *log = s->all; log; log = log->next_all) {
        const struct docker_container *c = docker_container_of(log);
        bool elsewhere = c->follow == DOCKER_ELSEWHERE;

        if (c->log.gone || !(elsewhere || (c->follow == DOCKER_FOLLOWED && c->log.denied)))
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
    tail_log_show(&d->shared);
    d->shown_ms = d->shared.now_ms;
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

static void watch_lines(struct docker_input *d)
{
    if (d->lines_watched || !d->shared.lines_wait)
        return;
    d->lines_watched = true;
    loop_timer_set(d->silence, TAIL_SILENCE_TICK_MS);
}

static void on_silence(void *arg)
{
    struct docker_input *d = arg;

    d->shared.now_ms = clock_mono_ms();
    d->lines_watched = false;
    tail_reading_silence(&d->shared);
    watch_lines(d);
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
    tail_turns_init(s, &docker_container_kind, in);
    s->max_held_bytes = settings->max_held_bytes;
    s->work = base_alloc(sizeof *s->work);
    json_keys_seen_init(&s->work->seen);
    d->tick = loop_timer_add(loop, on_tick, d);
    d->silence = loop_timer_add(loop, on_silence, d);
    d->folders = docker_folders_start(s, settings, loop, holder, on_changed, d);
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
    loop_timer_remove(&d->silence);
    tail_turns_fini(&d->shared);
    free(d->shared.work);
    free(d);
}

/* ---- turns ---- */

bool docker_input_turn(struct docker_input *d)
{
    struct tail_shared *s = &d->shared;
    bool was_full = d->full;

    docker_folders_take_held(d->folders);
    if (s->visits)
        docker_folders_visit(d->folders);
    if (!s->ready)
        return false;
    s->now_ms = clock_mono_ms();
    if (!d->full)
        d->full = !tail_turns_run(s);
    docker_folders_visit(d->folders);
    if (s->changed && s->now_ms - d->shown_ms >= (d->full && !was_full ? SHOW_MS / 10 : SHOW_MS))
        show_figures(d);
    tick_soon(d);
    watch_lines(d);
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

void docker_input_formats_changed(struct docker_input *d)
{
    for (struct tail_log *log = d->shared.all; log; log = log->next_all)
        docker_container_make_origin(docker_container_of(log));
}

const struct origin *docker_input_origin(struct docker_input *d, struct bytes container_id)
{
    const struct docker_container *c = docker_folders_container(d->folders, container_id);

    return c ? c->origin : NULL;
}
