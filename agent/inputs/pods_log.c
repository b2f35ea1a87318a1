#include "agent/inputs/pods_log.h"

#include "agent/base/clock.h"
#include "agent/inputs/docker_places.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define HEX_DIGITS 64

/* ---- names ---- */

bool pods_log_parse(const char *name, struct tail_name *to)
{
    struct pods_log_name n;
    char hex[HEX_DIGITS + 1];

    if (pods_name_is_log(name, &n)) {
        snprintf(to->stem, sizeof to->stem, "%llu.log", (unsigned long long)n.run);
        to->index = n.index;
        to->compressed = n.compressed;
        return true;
    }
    snprintf(hex, sizeof hex, "%s", name);
    if (!docker_places_is_id(hex) || !docker_places_is_log(hex, name, &to->index, &to->compressed))
        return false;
    snprintf(to->stem, sizeof to->stem, "%s" DOCKER_PLACES_LOG_SUFFIX, hex);
    return true;
}

static bool is_log(const struct tail_log *log, const char *name, uint64_t *index, bool *compressed)
{
    const struct pods_log *l = (const struct pods_log *)(const void *)log;
    struct pods_log_name n;

    if (l->hex[0])
        return docker_places_is_log(l->hex, name, index, compressed);
    if (!pods_name_is_log(name, &n) || n.run != l->run)
        return false;
    *index = n.index;
    *compressed = n.compressed;
    return true;
}

bool pods_log_place(const char *folder, struct pods_name *pod, struct bytes *container)
{
    const char *last = strrchr(folder, '/'), *before;
    char name[NAME_MAX + 1];
    size_t n;

    before = last && last > folder ? memrchr(folder, '/', (size_t)(last - folder)) : NULL;
    if (!before || last[1] == '\0')
        return false;
    n = (size_t)(last - before - 1);
    if (n >= sizeof name)
        return false;
    memcpy(name, before + 1, n);
    name[n] = '\0';
    if (!pods_name_parse(name, pod))
        return false;
    pod->namespace.p = before + 1;
    pod->pod.p = pod->namespace.p + pod->namespace.n + 1;
    pod->uid.p = pod->pod.p + pod->pod.n + 1;
    *container = bytes_str(last + 1);
    return true;
}

/* ---- links ---- */

struct tail_tree_link *pods_log_follow(int dir, const char *folder, const char *name)
{
    struct pods_log_name n;
    struct pods_link *link;
    char path[PATH_MAX], to[PATH_MAX], *file, *hex;

    (void)dir;
    if (!pods_name_is_log(name, &n) || n.index != 0 ||
        (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path ||
        !realpath(path, to))
        return NULL;
    /* …/ID/ID-json.log and nothing else: a link that somebody else has put there leads nowhere. */
    file = strrchr(to, '/');
    if (!file || file == to)
        return NULL;
    *file++ = '\0';
    hex = strrchr(to, '/');
    if (!hex || !docker_places_is_id(hex + 1) || strncmp(file, hex + 1, HEX_DIGITS) != 0 ||
        strcmp(file + HEX_DIGITS, DOCKER_PLACES_LOG_SUFFIX) != 0)
        return NULL;
    link = base_calloc(1, sizeof *link);
    link->in.folder = base_strdup(to);
    link->in.names = base_strdup(file);
    link->from = base_strdup(folder);
    link->run = n.run;
    return &link->in;
}

void pods_log_free_link(struct tail_tree_link *link)
{
    struct pods_link *l = (struct pods_link *)(void *)link;

    free(l->in.folder);
    free(l->in.names);
    free(l->from);
    free(l);
}

/* ---- records ---- */

/* The frame's emit. */
static bool emit(void *arg, const struct docker_framed *f)
{
    struct pods_log *l = pods_log_of(arg);
    unsigned flags = 0;
    struct record r = docker_framed_record(f, l->origin);

    if (UNLIKELY(!f->time_known))
        r.time_ns = clock_wall_ns();
    /* Neither is the same for each reading: what hangs on it must be on disk first. */
    if (UNLIKELY(!f->time_known || f->cut))
        flags = BUFFER_DURABLE_FIRST;
    return intake_file_record(l->in.log.shared->intake, &r, f->source, f->position, f->hash,
                              flags) == INTAKE_TAKEN;
}

static struct bytes no_label(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return BYTES_NONE;
}

void pods_log_make_origin(struct pods_log *l)
{
    struct origin_facts facts = {
        .container_id = bytes_str(l->hex),
        .container_name = l->container,
        .service_guess = pods_name_workload(&l->pod, l->node),
        .file_path = bytes_str(l->path),
        .kubernetes = {.namespace = l->pod.namespace,
                       .pod = l->pod.pod,
                       .uid = l->pod.uid,
                       .container = l->container,
                       .node = l->node},
    };

    facts.format = formats_of(intake_formats(l->in.log.shared->intake), &facts, no_label, NULL);
    tail_log_set_lines(&l->in.log, facts.format ? format_lines(facts.format) : NULL);
    origin_free(l->origin);
    l->origin = origin_create(&facts);
    l->in.log.tally = origin_tally(l->origin);
}

/* ---- life ---- */

/* Whether both are runs of one container. */
static bool is_sibling(const struct pods_log *a, const struct pods_log *b)
{
    return bytes_equal(a->pod.uid, b->pod.uid) && bytes_equal(a->pod.pod, b->pod.pod) &&
           bytes_equal(a->pod.namespace, b->pod.namespace) &&
           bytes_equal(a->container, b->container);
}

/* Nothing is written to a run's log any more when the next run has begun. */
static void end_older_runs(struct pods_log *l)
{
    for (struct tail_log *log = l->in.log.shared->all; log; log = log->next_all) {
        struct pods_log *other = pods_log_of(log);

        if (other == l || log->gone || !is_sibling(other, l))
            continue;
        if (other->run < l->run)
            tail_log_set_over(log);
        else if (other->run > l->run)
            tail_log_set_over(&l->in.log);
    }
}

struct pods_log *pods_log_create(struct tail_shared *s, const char *folder, const char *stem,
                                 const struct pods_link *link, struct bytes node)
{
    const char *own = link ? link->from : folder;
    struct pods_log *l = base_calloc(1, sizeof *l);
    struct pods_log_name name;
    char file[32];
    size_t n = strlen(own);

    if (link) {
        snprintf(l->hex, sizeof l->hex, "%s", stem);
        name.run = link->run;
    } else if (!pods_name_is_log(stem, &name)) {
        free(l);
        return NULL;
    }
    snprintf(file, sizeof file, "/%llu.log", (unsigned long long)name.run);
    l->run = name.run;
    l->node = node;
    l->path = base_alloc(n + strlen(file) + 1);
    memcpy(l->path, own, n + 1);
    if (!pods_log_place(l->path, &l->pod, &l->container)) {
        free(l->path);
        free(l);
        return NULL;
    }
    memcpy(l->path + n, file, strlen(file) + 1);
    l->place = l->pod.namespace.p;
    l->in.stem = link ? link->in.names : l->path + n + 1;
    l->in.log.name = l->place;
    l->in.log.uses_gz = true;
    if (link)
        tail_position_id_hex(&l->in.log.id, TAIL_ID_POD, l->hex);
    else
        tail_position_id(&l->in.log.id, TAIL_ID_POD, l->place);
    l->in.log.frame.emit = emit;
    l->in.log.frame.cri = !link;
    tail_log_init(&l->in.log, s);
    pods_log_make_origin(l);
    end_older_runs(l);
    return l;
}

void pods_log_free(struct pods_log *l)
{
    tail_log_fini(&l->in.log);
    origin_free(l->origin);
    free(l->path);
    free(l);
}

const struct tail_kind pods_log_kind = {
    .what = "pod",
    .start_knob = "none",
    .max_held_knob = TAIL_MAX_HELD_TEXT,
    .is_log = is_log,
    .unreadable_names = "inputs.kubernetes.unreadable_logs",
    .metrics = {M_PODS_LINES, M_PODS_BYTES, M_PODS_SKIPPED, M_PODS_INVALID, M_PODS_AT_RISK,
                M_PODS_LET_GO, M_PODS_MISSED, M_PODS_CONTAINERS, M_PODS_FILES, M_PODS_LAG,
                M_PODS_HELD, M_PODS_UNREADABLE},
};
