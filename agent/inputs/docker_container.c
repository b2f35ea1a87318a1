#include "agent/inputs/docker_container.h"

#include "agent/base/clock.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/inputs/docker_holder.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_reading.h"
#include "agent/inputs/tail_scan.h"
#include "parsers/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>

#define CONFIG_NAME "config.v2.json"
#define HOST_CONFIG_NAME "hostconfig.json"

/* ---- life ---- */

static uint8_t hex_digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* What the origin of records is made of, from the config when there is one. */
static void make_origin(struct docker_container *c)
{
    struct origin_facts facts = {
        .container_id = bytes_of(c->hex, DOCKER_HEX_BYTES),
        .container_name = bytes_str(c->config.name),
        .image_name = bytes_str(c->config.image),
    };

    origin_guess_service(&facts, docker_config_label, &c->config);
    facts.format =
        formats_of(intake_formats(c->shared->intake), &facts, docker_config_label, &c->config);
    origin_free(c->origin);
    c->origin = origin_create(&facts);
}

struct docker_container *docker_container_create(struct tail_shared *s, const char *hex)
{
    struct docker_container *c = base_calloc(1, sizeof *c);

    c->shared = s;
    c->watch = c->holder = -1;
    memcpy(c->hex, hex, DOCKER_HEX_BYTES);
    for (size_t i = 0; i < DOCKER_ID_BYTES; i++)
        c->id[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    c->frame.emit = tail_reading_emit;
    c->frame.arg = c;
    c->frame.work = c->shared->work;
    c->config_until_ms = s->now_ms + DOCKER_CONFIG_WAIT_MS;
    s->attention = s->changed = true;
    make_origin(c);
    c->next_all = s->all;
    s->all = c;
    return c;
}

static void leave_list(struct docker_container **head, struct docker_container **last,
                       struct docker_container *c, size_t link)
{
    struct docker_container *before = NULL;

    for (struct docker_container **at = head; *at;
         before = *at, at = (struct docker_container **)(void *)((char *)*at + link)) {
        if (*at != c)
            continue;
        *at = *(struct docker_container **)(void *)((char *)c + link);
        if (last && *last == c)
            *last = before;
        return;
    }
}

void docker_container_free(struct docker_container *c)
{
    struct tail_shared *s = c->shared;

    while (c->files) {
        struct tail_file *f = c->files;

        c->files = f->next;
        tail_files_free(f);
    }
    while (c->known) {
        struct tail_file *f = c->known;

        c->known = f->next;
        tail_files_free(f);
    }
    leave_list(&s->all, NULL, c, offsetof(struct docker_container, next_all));
    if (c->is_ready)
        leave_list(&s->ready, &s->ready_last, c, offsetof(struct docker_container, next_ready));
    if (c->wants_visit)
        leave_list(&s->visits, &s->visits_last, c, offsetof(struct docker_container, next_visit));
    s->join_bytes -= c->frame.join.bytes;
    docker_join_forget(&c->frame.join);
    s->unreadable_changed |= c->follow == DOCKER_ELSEWHERE || c->denied;
    s->changed = true;
    docker_config_fini(&c->config);
    origin_free(c->origin);
    free(c->log_driver);
    free(c);
}

/* ---- what is wanted ---- */

void docker_container_set_ready(struct docker_container *c)
{
    struct tail_shared *s = c->shared;

    if (c->is_ready)
        return;
    c->is_ready = true;
    c->next_ready = NULL;
    if (s->ready)
        s->ready_last->next_ready = c;
    else
        s->ready = c;
    s->ready_last = c;
}

static void want_visit(struct docker_container *c)
{
    struct tail_shared *s = c->shared;

    if (c->wants_visit || c->gone)
        return;
    c->wants_visit = true;
    c->next_visit = NULL;
    if (s->visits)
        s->visits_last->next_visit = c;
    else
        s->visits = c;
    s->visits_last = c;
}

void docker_container_want_scan(struct docker_container *c)
{
    c->wants_scan = true;
    want_visit(c);
}

void docker_container_want_config(struct docker_container *c)
{
    c->wants_config = true;
    want_visit(c);
}

static void wake_file(struct docker_container *c, uint32_t index)
{
    struct tail_file *f = c->files;

    while (f && (f->index != index || f->removed))
        f = f->next;
    if (!f || f->fd < 0)
        docker_container_want_scan(c);
    if (!f)
        return;
    f->dirty = true;
    docker_container_set_ready(c);
}

void docker_container_wake(struct docker_container *c)
{
    wake_file(c, 0);
}

void docker_container_event(struct docker_container *c, uint32_t mask, const char *name)
{
    uint32_t index;
    bool compressed;

    if (!tail_scan_is_log(c, name, &index, &compressed)) {
        if ((mask & (IN_MOVED_TO | IN_CLOSE_WRITE)) &&
            (strcmp(name, CONFIG_NAME) == 0 || strcmp(name, HOST_CONFIG_NAME) == 0))
            docker_container_want_config(c);
        return;
    }
    if (c->follow != DOCKER_FOLLOWED)
        return;
    if ((mask & IN_CREATE) && index == 0 && c->holder < 0)
        c->created_unseen++;
    if (mask & (IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE))
        docker_container_want_scan(c);
    if (!compressed && (mask & IN_MODIFY))
        wake_file(c, index);
    if (compressed && (mask & IN_CLOSE_WRITE))
        docker_container_want_scan(c);
}

void docker_container_count_anew(struct docker_container *c)
{
    c->watched_since_ns = clock_wall_ns();
    c->created_unseen = 0;
    c->first_look = true;
}

void docker_container_hold(struct docker_container *c, const struct docker_held *held)
{
    c->created_unseen += held->made;
    for (unsigned i = held->n; i > 0; i--)
        tail_scan_adopt(c, held->fds[i - 1]);
    docker_container_want_scan(c);
    for (struct tail_file *f = c->files; f; f = f->next) {
        if (c->gone && f->fd >= 0)
            tail_files_mark_removed(f);
        /* What has a newer one behind it will not grow any more: once more to its end, whatever was
         * read before that was so. */
        f->dirty |= f->index == 0 && f->next != NULL;
        if (f->dirty)
            docker_container_set_ready(c);
    }
}

/* ---- config ---- */

static void follow(struct docker_container *c, enum docker_follow how)
{
    if (c->follow == how)
        return;
    if (c->follow == DOCKER_ELSEWHERE || how == DOCKER_ELSEWHERE)
        c->shared->unreadable_changed = true;
    c->follow = how;
    if (how == DOCKER_FOLLOWED) {
        docker_container_want_scan(c);
        return;
    }
    /* The positions stay: it may be followed again. */
    c->shared->join_bytes -= c->frame.join.bytes;
    docker_join_forget(&c->frame.join);
    while (c->files) {
        struct tail_file *f = c->files;

        if (f->removed)
            tail_files_forget_removed(f);
        f->removed = false;
        tail_files_close(f);
        tail_files_set_aside(f);
    }
    for (struct tail_file *f = c->known, *next; f; f = next) {
        next = f->next;
        if (!f->has_entry)
            tail_files_drop(f);
    }
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
    bool waits = !c->has_config && c->shared->now_ms < c->config_until_ms;

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

    if (docker_config_load(dir, HOST_CONFIG_NAME, &text, &n, &e) < 0)
        return;
    if (docker_host_config_parse(bytes_of(text, n), &h, &e) == 0) {
        enum docker_follow how = follow_driver(h.log_driver);

        c->uses_gz |= h.compress;
        if (c->follow == DOCKER_FOLLOWED)
            follow(c, how);
        if (c->follow == DOCKER_ELSEWHERE && !c->log_driver)
            c->log_driver = base_strdup(h.log_driver);
        name_elsewhere(c);
        docker_host_config_fini(&h);
    }
    free(text);
}

static void take_config(struct docker_container *c, struct docker_config *fresh)
{
    bool excluded = docker_config_excluded(fresh, c->shared->settings->exclude);

    docker_config_fini(&c->config);
    c->config = *fresh;
    c->has_config = true;
    c->config_until_ms = 0;
    c->stopped = !c->config.running;
    c->created_known = timestamp_parse(bytes_str(c->config.created), &c->created_ns);
    if (!timestamp_parse(bytes_str(c->config.finished), &c->finished_ns))
        c->finished_ns = INT64_MIN;
    make_origin(c);
    if (c->follow == DOCKER_FOLLOWED && excluded)
        follow(c, DOCKER_EXCLUDED);
    else if (c->follow == DOCKER_EXCLUDED && !excluded)
        follow(c, DOCKER_FOLLOWED);
    /* When it has ended, its log was closed before this was written: once more to the end. */
    if (c->follow == DOCKER_FOLLOWED)
        docker_container_wake(c);
}

static void load_config(struct docker_container *c, int folder)
{
    int dir = tail_files_open(c, folder, c->hex, O_DIRECTORY);
    struct docker_config fresh;
    struct error e;
    char *text;
    size_t n;

    if (dir < 0)
        return;
    if (docker_config_load(dir, CONFIG_NAME, &text, &n, &e) == 0) {
        if (docker_config_parse(bytes_of(text, n), &fresh, &e) == 0)
            take_config(c, &fresh);
        free(text);
        tail_inode_get(dir, CONFIG_NAME, &c->config_inode);
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
    if (c->wants_scan && c->follow == DOCKER_FOLLOWED && !c->gone) {
        c->wants_scan = false;
        tail_scan(c, folder);
        for (struct tail_file *f = c->files; f; f = f->next)
            if (f->dirty)
                docker_container_set_ready(c);
        tail_files_save(c);
        c->shared->changed = true;
    }
}

void docker_container_poll(struct docker_container *c, int folder)
{
    char path[2 * DOCKER_HEX_BYTES + sizeof "/-json.log"];
    struct tail_inode now;
    struct tail_file *f = c->files;

    if (c->gone)
        return;
    snprintf(path, sizeof path, "%s/%s", c->hex, CONFIG_NAME);
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
            docker_container_want_scan(c);
        return;
    }
    if (!f || f->index != 0 || !tail_inode_same(&now, &f->inode))
        docker_container_want_scan(c);
    else if (now.size != f->at.offset)
        docker_container_wake(c);
}

/* ---- the folder is gone ---- */

void docker_container_set_gone(struct docker_container *c)
{
    if (c->gone)
        return;
    c->gone = true;
    c->shared->unreadable_changed |= c->follow == DOCKER_ELSEWHERE || c->denied;
    c->gone_since_ms = c->shared->now_ms;
    c->folder = NULL;
    for (struct tail_file *f = c->files, *next; f; f = next) {
        next = f->next;
        if (f->fd >= 0) {
            tail_files_mark_removed(f);
            continue;
        }
        if (!f->complete && (f->dirty || f->inode.size > f->at.offset)) {
            metric_add(M_DOCKER_MISSED, 1);
            log_warn("a container was removed before one of its log files was read to its end",
                     LOG_STR("container", c->hex), LOG_U64("read_bytes", f->at.offset));
        }
        tail_files_drop(f);
    }
    while (c->known)
        tail_files_drop(c->known);
    if (c->has_own_entry)
        buffer_position_set(c->shared->buffer, bytes_of(c->id, DOCKER_ID_BYTES), BYTES_NONE);
    c->has_own_entry = true; /* never to be written again */
    c->shared->attention = true;
    docker_container_set_ready(c);
}

bool docker_container_finished(const struct docker_container *c)
{
    return c->gone && !c->files;
}
