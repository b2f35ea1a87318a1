/*
 * docker_input: the turns. Folders and containers say which container has something to read.
 * Files are opened and held by the events, whether or not there is room.
 */
#include "agent/inputs/docker.h"

#include "agent/inputs/docker_folders.h"

#include <stdlib.h>

struct docker_input {
    struct tail_turns turns;
    struct docker_folders *folders;
};

/* ---- life ---- */

struct docker_input *docker_input_start(const struct docker_settings *settings, struct loop *loop,
                                        struct intake *in, struct docker_holder *holder,
                                        struct error *e)
{
    struct docker_input *d = base_calloc(1, sizeof *d);
    struct tail_shared *s = &d->turns.shared;

    (void)e;
    tail_turns_init(&d->turns, &docker_container_kind, in, loop);
    s->max_held_bytes = settings->max_held_bytes;
    s->work = base_alloc(sizeof *s->work);
    json_keys_seen_init(&s->work->seen);
    d->folders = docker_folders_start(s, settings, loop, holder, tail_turns_changed, &d->turns);
    tail_turns_begin(&d->turns, &docker_folders_turns, d->folders);
    return d;
}

void docker_input_stop(struct docker_input *d)
{
    if (!d)
        return;
    docker_folders_stop(d->folders);
    tail_turns_fini(&d->turns);
    free(d->turns.shared.work);
    free(d);
}

/* ---- turns ---- */

struct tail_turns *docker_input_turns(struct docker_input *d)
{
    return &d->turns;
}

void docker_input_formats_changed(struct docker_input *d)
{
    for (struct tail_log *log = d->turns.shared.all; log; log = log->next_all)
        docker_container_make_origin(docker_container_of(log));
}

const struct origin *docker_input_origin(struct docker_input *d, struct bytes container_id)
{
    const struct docker_container *c = docker_folders_container(d->folders, container_id);

    return c ? c->origin : NULL;
}
