#include "agent/inputs/docker_container.h"

#include "agent/base/clock.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/inputs/docker_holder.h"
#include "agent/inputs/docker_places.h"
#include "agent/inputs/pods_name.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_reading.h"
#include "agent/inputs/tail_scan.h"
#include "agent/inputs/tail_start.h"
#include "parsers/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>

/* ---- life ---- */

/* The pod that a kubelet has made a container for; empty slices when it was no kubelet. */
static struct pods_name pod_of(struct docker_config *config)
{
    return (struct pods_name){
        .namespace = docker_config_label(config, "io.kubernetes.pod.namespace"),
        .pod = docker_config_label(config, "io.kubernetes.pod.name"),
        .uid = docker_config_label(config, "io.kubernetes.pod.uid"),
    };
}

/* What the origin of records is made of, from the config when there is one. */
void docker_container_make_origin(struct docker_container *c)
{
    struct pods_name pod = pod_of(&c->config);
    struct origin_facts facts = {
        .container_id = bytes_of(c->hex, DOCKER_HEX_BYTES),
        .container_name = bytes_str(c->config.name),
        .image_name = bytes_str(c->config.image),
    };

    if (pod.pod.n) {
        facts.kubernetes.namespace = pod.namespace;
        facts.kubernetes.pod = pod.pod;
        facts.kubernetes.uid = pod.uid;
        facts.kubernetes.container =
            docker_config_label(&c->config, "io.kubernetes.container.name");
        facts.kubernetes.node = pods_name_node();
    }
    origin_guess_service(&facts, docker_config_label, &c->config);
    facts.format =
        formats_of(intake_formats(c->log.shared->intake), &facts, docker_config_label, &c->config);
    tail_log_set_lines(&c->log, facts.format ? format_lines(facts.format) : NULL);
    origin_free(c->origin);
    c->origin = origin_create(&facts);
    c->log.tally = origin_tally(c->origin);
}

/* The frame's emit. */
static bool emit(void *arg, const struct docker_framed *f)
{
    struct docker_container *c = docker_container_of(arg);
    unsigned flags = 0;
    struct record r = docker_framed_record(f, c->origin);

    if (UNLIKELY(!f->time_known)) {
        /* The container's birth is the same for every reading; the time of arrival is not, so its
         * index must be on disk first. */
        r.time_ns = c->created_known ? c->created_ns : clock_wall_ns();
        flags = c->created_known ? 0 : BUFFER_DURABLE_FIRST;
    }
    if (UNLIKELY(f->cut))
        flags |= BUFFER_DURABLE_FIRST;
    return intake_file_record(c->log.shared->intake, &r, f->source, f->position, f->hash, flags) ==
           INTAKE_TAKEN;
}

struct docker_container *docker_container_create(struct tail_shared *s, const char *hex,
                                                 const struct docker_settings *settings)
{
    struct docker_container *c = base_calloc(1, sizeof *c);

    c->settings = settings;
    c->watch = c->holder = -1;
    memcpy(c->hex, hex, DOCKER_HEX_BYTES);
    tail_position_id_hex(&c->log.id, TAIL_ID_CONTAINER, hex);
    c->log.name = c->hex;
    c->log.frame.emit = emit;
    c->log.hold_until_ms = s->now_ms + DOCKER_CONFIG_WAIT_MS;
    tail_log_init(&c->log, s);
    docker_container_make_origin(c);
    return c;
}

void docker_container_free(struct docker_container *c)
{
    c->log.shared->unreadable_changed |= c->follow == DOCKER_ELSEWHERE;
    tail_log_fini(&c->log);
    docker_config_fini(&c->config);
    origin_free(c->origin);
    free(c->log_driver);
    free(c);
}

/* ---- what is wanted ---- */

void docker_container_want_config(struct docker_container *c)
{
    c->wants_config = true;
    tail_log_want_visit(&c->log);
}

void docker_container_event(struct docker_container *c, uint32_t mask, const char *name)
{
    uint64_t index;
    bool compressed;

    if (!docker_places_is_log(c->hex, name, &index, &compressed)) {
        if ((mask & (IN_MOVED_TO | IN_CLOSE_WRITE)) &&
            (strcmp(name, DOCKER_CONFIG_NAME) == 0 || strcmp(name, DOCKER_HOST_CONFIG_NAME) == 0))
            docker_container_want_config(c);
        return;
    }
    if (c->follow != DOCKER_FOLLOWED)
        return;
    if ((mask & IN_CREATE) && index == 0 && c->holder < 0)
        c->log.created_unseen++;
    tail_log_event(&c->log, mask, index, compressed);
}

void docker_container_count_anew(struct docker_container *c)
{
    c->log.watched_since_ns = clock_wall_ns();
    c->log.created_unseen = 0;
    c->log.first_look = true;
}

/* ---- config ---- */

void docker_container_follow(struct docker_container *c, enum docker_follow how)
{
    if (c->follow == how)
        return;
    if (c->follow == DOCKER_ELSEWHERE || how == DOCKER_ELSEWHERE)
        c->log.shared->unreadable_changed = true;
    c->follow = how;
    if (how == DOCKER_FOLLOWED) {
        c->log.followed = true;
        tail_log_want_scan(&c->log);
        return;
    }
    tail_log_unfollow(&c->log);
}

static enum docker_follow follow_driver(const char *driver)
{
    if (driver[0] == '\0' || strcmp(driver, "json-file") == 0)
        return DOCKER_FOLLOWED;
    if (strcmp(driver, "gelf") == 0 || strcmp(driver, "none") == 0)
        return DOCKER_NO_FILE;
    return DOCKER_ELSEWHERE;
}

/* Once, by its name: the engine may write hostconfig.json before config.v2.json. */
static void name_elsewhere(struct docker_container *c)
{
    bool waits = !c->has_config && c->log.shared->now_ms < c->log.hold_until_ms;

    if (c->follow != DOCKER_ELSEWHERE || c->elsewhere_said || waits)
        return;
    c->elsewhere_said = true;
    log_info("container logs with a driver that cannot be read here",
             LOG_STR("container", c->has_config ? c->config.name : c->hex),
             LOG_STR("driver", c->log_driver), LOG_STR("knob", "--log-driver json-file"));
}

static void load_host_config(struct docker_container *c, int dir)
{
    struct docker_host_config h;
    struct error e;
    char *text;
    size_t n;

    if (docker_config_load(dir, DOCKER_HOST_CONFIG_NAME, &text, &n, &e) < 0)
        return;
    if (docker_host_config_parse(bytes_of(text, n), &h, &e) == 0) {
        enum docker_follow how = follow_driver(h.log_driver);

        c->log.uses_gz |= h.compress;
        if (c->follow == DOCKER_FOLLOWED)
            docker_container_follow(c, how);
        if (c->follow == DOCKER_ELSEWHERE && !c->log_driver)
            c->log_driver = base_strdup(h.log_driver);
        name_elsewhere(c);
        docker_host_config_fini(&h);
    }
    free(text);
}

/* A pod's container that inputs.kubernetes leaves out. */
static bool is_excluded(const struct docker_container *c, struct docker_config *fresh)
{
    struct pods_name pod = pod_of(fresh);

    return pod.pod.n && c->settings->exclude_pods &&
           pods_name_is_excluded(&pod, c->settings->exclude_pods);
}

static void take_config(struct docker_container *c, struct docker_config *fresh)
{
    bool excluded = docker_config_excluded(fresh, c->settings->exclude) || is_excluded(c, fresh);

    docker_config_fini(&c->config);
    c->config = *fresh;
    c->has_config = true;
    c->log.hold_until_ms = 0;
    c->log.stopped = !c->config.running;
    c->created_known = timestamp_parse(bytes_str(c->config.created), &c->created_ns);
    if (!timestamp_parse(bytes_str(c->config.finished), &c->log.finished_ns))
        c->log.finished_ns = INT64_MIN;
    docker_container_make_origin(c);
    if (c->follow == DOCKER_FOLLOWED &&
        pods_name_is_own(docker_config_label(&c->config, "io.kubernetes.pod.uid")))
        docker_container_follow(c, DOCKER_OWN);
    if (c->follow == DOCKER_FOLLOWED && excluded)
        docker_container_follow(c, DOCKER_EXCLUDED);
    else if (c->follow == DOCKER_EXCLUDED && !excluded)
        docker_container_follow(c, DOCKER_FOLLOWED);
    /* When it has ended, its log was closed before this was written: once more to the end. */
    if (c->follow == DOCKER_FOLLOWED)
        tail_log_wake(&c->log, 0);
}

/* fd: of docker_config_open; it is closed. */
static void load_config_from(struct docker_container *c, int fd)
{
    struct docker_config fresh;
    struct error e;
    char *text;
    size_t n;

    if (docker_config_read(fd, DOCKER_CONFIG_NAME, &text, &n, &e) < 0)
        return;
    if (docker_config_parse(bytes_of(text, n), &fresh, &e) == 0)
        take_config(c, &fresh);
    free(text);
}

static void load_config(struct docker_container *c, int folder)
{
    int dir = tail_files_open(&c->log, folder, c->hex, O_DIRECTORY), fd;
    struct error e;

    if (dir < 0)
        return;
    fd = docker_config_open(dir, DOCKER_CONFIG_NAME, &e);
    if (fd >= 0) {
        load_config_from(c, fd);
        tail_inode_get(dir, DOCKER_CONFIG_NAME, &c->config_inode);
    }
    load_host_config(c, dir);
    io_close(dir);
}

void docker_container_visit(struct docker_container *c, int folder)
{
    if (c->wants_config || !c->has_config) {
        c->wants_config = false;
        load_config(c, folder);
    }
    if (!tail_log_visit(&c->log, folder, c->hex))
        docker_container_set_gone(c);
}

void docker_container_poll(struct docker_container *c, int folder)
{
    char path[2 * DOCKER_HEX_BYTES + sizeof "/-json.log"];
    struct tail_inode now;
    struct tail_file *f = c->log.files;

    if (c->log.gone)
        return;
    snprintf(path, sizeof path, "%s/%s", c->hex, DOCKER_CONFIG_NAME);
    if (tail_inode_get(folder, path, &now) == 0 &&
        !(tail_inode_same(&now, &c->config_inode) && now.mtime_ns == c->config_inode.mtime_ns))
        docker_container_want_config(c);
    if (c->follow != DOCKER_FOLLOWED)
        return;
    while (f && f->next)
        f = f->next;
    snprintf(path, sizeof path, "%s/%s-json.log", c->hex, c->hex);
    if (tail_inode_get(folder, path, &now) < 0) {
        if (f && f->index == 0)
            tail_log_want_scan(&c->log);
        return;
    }
    if (!f || f->index != 0 || !tail_inode_same(&now, &f->inode))
        tail_log_want_scan(&c->log);
    else if (now.size != f->at.offset)
        tail_log_wake(&c->log, 0);
}

/* ---- what is held ---- */

void docker_container_hold(struct docker_container *c, const struct docker_held *held)
{
    c->log.created_unseen += held->made;
    for (unsigned i = held->n; i > 0; i--)
        tail_scan_adopt(&c->log, held->fds[i - 1]);
    if (held->config >= 0 && !c->has_config)
        load_config_from(c, held->config);
    else if (held->config >= 0)
        io_close(held->config);
    tail_log_want_scan(&c->log);
    for (struct tail_file *f = c->log.files; f; f = f->next) {
        if (c->log.gone && f->fd >= 0)
            tail_files_mark_removed(f);
        /* What has a newer one behind it will not grow any more: once more to its end, whatever was
         * read before that was so. */
        f->dirty |= f->index == 0 && f->next != NULL;
        if (f->dirty)
            tail_log_set_ready(&c->log);
    }
}

/* ---- the folder is gone ---- */

void docker_container_set_gone(struct docker_container *c)
{
    if (c->log.gone)
        return;
    c->log.shared->unreadable_changed |= c->follow == DOCKER_ELSEWHERE || c->log.denied;
    c->gone_since_ms = c->log.shared->now_ms;
    c->folder = NULL;
    tail_log_set_gone(&c->log);
}

static bool is_log(const struct tail_log *log, const char *name, uint64_t *index, bool *compressed)
{
    return docker_places_is_log(log->name, name, index, compressed);
}

static const char *unreadable(struct tail_log *log, const char **name)
{
    const struct docker_container *c = docker_container_of(log);

    if (c->config.name && c->config.name[0])
        *name = c->config.name;
    if (c->follow == DOCKER_ELSEWHERE)
        return c->log_driver;
    return c->follow == DOCKER_FOLLOWED && log->denied ? TAIL_DENIED : NULL;
}

const struct tail_kind docker_container_kind = {
    .what = "container",
    .start_knob = "inputs.docker.start",
    .max_held_knob = "inputs.docker.max_held",
    .is_log = is_log,
    .since = tail_start_since,
    .unreadable = unreadable,
    .unreadable_names = "inputs.docker.unreadable_containers",
    .announced = true,
    .metrics = {M_DOCKER_LINES, M_DOCKER_BYTES, M_DOCKER_SKIPPED, M_DOCKER_INVALID,
                M_DOCKER_AT_RISK, M_DOCKER_LET_GO, M_DOCKER_MISSED, M_DOCKER_CONTAINERS,
                M_DOCKER_FILES, M_DOCKER_LAG, M_DOCKER_HELD, M_DOCKER_UNREADABLE},
};
