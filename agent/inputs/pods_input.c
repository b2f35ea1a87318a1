/*
 * pods_input: which logs are read here. tail_tree finds them, tail_* reads them.
 */
#include "agent/inputs/pods.h"

#include "agent/base/log.h"
#include "agent/inputs/docker_places.h"
#include "agent/inputs/pods_log.h"
#include "agent/inputs/tail_tree.h"

#include <stdio.h>
#include <stdlib.h>

#define BELOW "/*_*_*/*/*.log" /* namespace_pod_uid/container/run.log */

struct pods_input {
    struct tail_turns turns;
    const struct kubernetes_settings *settings;
    const struct docker_settings *docker;
    struct tail_tree_pattern pattern;
    char *path; /* of pattern */
    struct tail_tree *tree;
    bool said; /* that there are pods */
};

/* ---- what is read here ---- */

static struct tail_tree_log *create_log(void *arg, const void *rule,
                                        const struct tail_tree_link *link, const char *folder,
                                        const char *stem)
{
    struct pods_input *d = arg;
    struct tail_shared *s = &d->turns.shared;
    const struct pods_link *by = (const struct pods_link *)(const void *)link;
    struct pods_name pod;
    struct bytes container;
    struct pods_log *l;

    (void)rule;
    if (!pods_log_place(by ? by->from : folder, &pod, &container) || pods_name_is_own(pod.uid) ||
        pods_name_is_excluded(&pod, d->settings->exclude))
        return NULL;
    if (by && !s->work) {
        s->work = base_alloc(sizeof *s->work);
        json_keys_seen_init(&s->work->seen);
    }
    l = pods_log_create(s, folder, stem, by, pods_name_node());
    if (l && !d->said)
        log_info("reading pods", LOG_STR("path", d->settings->pods));
    d->said |= l != NULL;
    return l ? &l->in : NULL;
}

static void free_log(struct tail_tree_log *l)
{
    pods_log_free(pods_log_of(&l->log));
}

/* A container that the docker input finds in its folder is read there, once. */
static struct tail_tree_link *follow(void *arg, int dir, const char *folder, const char *name)
{
    struct pods_input *d = arg;
    struct tail_tree_link *link = pods_log_follow(dir, folder, name);

    if (link && d->docker && docker_places_holds(d->docker->containers, link->folder)) {
        pods_log_free_link(link);
        return NULL;
    }
    return link;
}

static const struct tail_tree_use use = {
    .id = TAIL_ID_POD,
    .polling = "cannot use inotify, polling pods instead",
    .parse = pods_log_parse,
    .create = create_log,
    .free = free_log,
    .follow = follow,
    .free_link = pods_log_free_link,
};

/* ---- life ---- */

struct pods_input *pods_input_start(const struct kubernetes_settings *settings,
                                    const struct docker_settings *docker, struct loop *loop,
                                    struct intake *in)
{
    struct pods_input *d = base_calloc(1, sizeof *d);
    size_t n = strlen(settings->pods);

    while (n > 1 && settings->pods[n - 1] == '/')
        n--;
    d->settings = settings;
    d->docker = docker;
    d->path = base_alloc(n + sizeof BELOW);
    memcpy(d->path, settings->pods, n);
    memcpy(d->path + n, BELOW, sizeof BELOW);
    d->pattern.path = d->path;
    tail_turns_init(&d->turns, &pods_log_kind, in, loop);
    d->turns.shared.max_held_bytes = TAIL_MAX_HELD_BYTES;
    d->tree = tail_tree_start(&d->turns.shared, &use, d, &d->pattern, 1, loop, tail_turns_changed,
                              &d->turns);
    tail_turns_begin(&d->turns, &tail_tree_turns, d->tree);
    return d;
}

void pods_input_stop(struct pods_input *d)
{
    if (!d)
        return;
    tail_tree_stop(d->tree);
    tail_turns_fini(&d->turns);
    free(d->turns.shared.work);
    free(d->path);
    free(d);
}

/* ---- turns ---- */

struct tail_turns *pods_input_turns(struct pods_input *d)
{
    return &d->turns;
}

void pods_input_formats_changed(struct pods_input *d)
{
    for (struct tail_log *log = d->turns.shared.all; log; log = log->next_all)
        pods_log_make_origin(pods_log_of(log));
}
