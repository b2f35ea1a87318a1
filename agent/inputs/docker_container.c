#include "agent/inputs/docker_container.h"

#include "agent/base/clock.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "parsers/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>

#define CONFIG_NAME "config.v2.json"
#define HOST_CONFIG_NAME "hostconfig.json"

/* ---- records ---- */

static bool hand_in(void *arg, const struct docker_framed *f)
{
    struct docker_container *c = arg;
    unsigned flags = 0;
    struct record r = {
        .origin = c->origin,
        .text = f->text,
        .text_form = f->text_form,
        .text_flags = f->text_flags,
        .stream = f->stream,
        .severity = -1,
        .tags = f->tags,
        .time_ns = f->time_ns,
        .time_text = f->time_text,
        .attrs = f->attrs,
    };

    if (UNLIKELY(!f->time_known)) {
        /* The container's birth is the same for every reading; the time of arrival is not, so its
         * index must be on disk first. */
        r.time_ns = c->created_known ? c->created_ns : clock_wall_ns();
        flags = c->created_known ? 0 : BUFFER_DURABLE_FIRST;
    }
    return intake_file_record(c->shared->intake, &r, f->source, f->position, f->hash, flags) ==
           INTAKE_TAKEN;
}

static void take_figures(struct docker_container *c, size_t bytes)
{
    struct docker_frame *f = &c->frame;

    metric_add(M_DOCKER_LINES, f->lines);
    metric_add(M_DOCKER_BYTES, bytes);
    if (f->skipped_bytes)
        metric_add(M_DOCKER_SKIPPED, f->skipped_bytes);
    if (f->invalid_lines)
        metric_add(M_DOCKER_INVALID, f->invalid_lines);
    f->lines = f->skipped_bytes = f->invalid_lines = 0;
    c->shared->changed = true;
}

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
    origin_free(c->origin);
    c->origin = origin_create(&facts);
}

struct docker_container *docker_container_create(struct docker_shared *s, const char *hex)
{
    struct docker_container *c = base_calloc(1, sizeof *c);

    c->shared = s;
    c->watch = -1;
    memcpy(c->hex, hex, DOCKER_HEX_BYTES);
    for (size_t i = 0; i < DOCKER_ID_BYTES; i++)
        c->id[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    c->frame.emit = hand_in;
    c->frame.arg = c;
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

static void forget_removed(struct docker_file *f)
{
    for (struct docker_file **at = &f->container->shared->removed; *at; at = &(*at)->next_removed) {
        if (*at != f)
            continue;
        *at = f->next_removed;
        return;
    }
}

static void end_inflating(struct docker_file *f)
{
    if (f->gz)
        f->container->shared->gz_readers--;
    docker_gz_close(f->gz);
    f->gz = NULL;
}

static void close_file(struct docker_file *f)
{
    end_inflating(f);
    docker_file_close(f);
    f->container->shared->changed = true;
}

static void free_file(struct docker_file *f)
{
    if (f->removed)
        forget_removed(f);
    close_file(f);
    docker_file_free(f);
}

void docker_container_free(struct docker_container *c)
{
    struct docker_shared *s = c->shared;

    while (c->files) {
        struct docker_file *f = c->files;

        c->files = f->next;
        free_file(f);
    }
    while (c->known) {
        struct docker_file *f = c->known;

        c->known = f->next;
        free_file(f);
    }
    leave_list(&s->all, NULL, c, offsetof(struct docker_container, next_all));
    if (c->is_ready)
        leave_list(&s->ready, &s->ready_last, c, offsetof(struct docker_container, next_ready));
    if (c->wants_visit)
        leave_list(&s->visits, &s->visits_last, c, offsetof(struct docker_container, next_visit));
    s->join_bytes -= c->frame.join.bytes;
    docker_join_forget(&c->frame.join);
    if (c->follow == DOCKER_ELSEWHERE)
        s->unreadable_changed = true;
    s->changed = true;
    docker_config_fini(&c->config);
    origin_free(c->origin);
    free(c->log_driver);
    free(c);
}

/* ---- positions ---- */

void docker_container_restore(struct docker_container *c, uint64_t source,
                              const struct docker_position *p)
{
    struct docker_file *f = docker_file_create(c);

    f->identified = true;
    f->at.source = source;
    f->at.offset = p->done;
    f->complete = p->complete;
    f->settled = p->resume == p->done;
    f->has_entry = true;
    docker_position_write(p, f->entry);
    f->aside = true;
    f->next = c->known;
    c->known = f;
}

static void save_file(struct docker_container *c, struct docker_file *f,
                      const struct docker_frame_at *from)
{
    struct docker_position p = {
        .resume = from->offset,
        .done = from->replay_to,
        .made = from->made,
        .complete = f->complete && from->offset == from->replay_to,
        .in_long_line = from->in_long_line,
        .time_known = from->time_known,
        .time_ns = from->time_ns,
        .marker = f->marker,
        .marker_n = (uint8_t)f->marker_n,
    };
    char key[DOCKER_KEY_BYTES], value[DOCKER_POSITION_BYTES];

    f->settled = p.resume == p.done;
    docker_position_write(&p, value);
    if (f->has_entry && memcmp(value, f->entry, sizeof value) == 0)
        return;
    memcpy(f->entry, value, sizeof value);
    f->has_entry = true;
    docker_position_key(c->id, f->at.source, key);
    buffer_position_set(c->shared->buffer, bytes_of(key, sizeof key),
                        bytes_of(value, sizeof value));
}

/* Writes what has changed. A restart must see all records behind the first unfinished one again, so
 * newer files begin at their beginning while something waits in an older one. */
static void save(struct docker_container *c)
{
    bool older_waits = false;

    if (!c->has_own_entry) {
        char seen[DOCKER_POSITION_BYTES];

        docker_position_write(&(struct docker_position){0}, seen);
        buffer_position_set(c->shared->buffer, bytes_of(c->id, DOCKER_ID_BYTES),
                            bytes_of(seen, sizeof seen));
        c->has_own_entry = true;
    }
    for (struct docker_file *f = c->files; f; f = f->next) {
        struct docker_frame_at from;

        if (!f->identified)
            continue;
        from = older_waits ? docker_frame_restart(&f->at) : docker_frame_resume(&c->frame, &f->at);
        older_waits |= docker_frame_waits_in(&c->frame, &f->at);
        /* While records are made once more, the entry of the earlier life holds. */
        if (f->at.offset >= f->at.replay_to && (f->at.offset || f->has_entry || f->complete))
            save_file(c, f, &from);
    }
    /* What was truncated while a record that began in it waited. */
    for (struct docker_file *f = c->known; f && !older_waits; f = f->next) {
        if (!f->superseded || f->settled || !f->has_entry ||
            docker_frame_waits_in(&c->frame, &f->at))
            continue;
        save_file(c, f,
                  &(struct docker_frame_at){.offset = f->at.offset, .replay_to = f->at.offset});
    }
}

static bool has_twin(const struct docker_file *list, const struct docker_file *f)
{
    for (; list; list = list->next)
        if (list != f && list->identified && list->at.source == f->at.source)
            return true;
    return false;
}

/* Removes f's position, unless another file that begins with the same line goes on with it (a
 * truncation that was not noticed by name). */
static void remove_entry(struct docker_container *c, const struct docker_file *f)
{
    char key[DOCKER_KEY_BYTES];

    if (!f->has_entry || has_twin(c->files, f) || has_twin(c->known, f))
        return;
    docker_position_key(c->id, f->at.source, key);
    buffer_position_set(c->shared->buffer, bytes_of(key, sizeof key), BYTES_NONE);
}

/* ---- lists of files ---- */

void docker_container_unlist(struct docker_file *f)
{
    struct docker_container *c = f->container;

    for (struct docker_file **at = &c->files; *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            f->next = NULL;
            return;
        }
    for (struct docker_file **at = &c->known; *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            f->next = NULL;
            return;
        }
}

void docker_container_set_aside(struct docker_file *f)
{
    struct docker_container *c = f->container;

    docker_container_unlist(f);
    f->index = DOCKER_FILE_NAMELESS;
    f->aside = true;
    f->dirty = false;
    f->next = c->known;
    c->known = f;
    c->shared->attention = true;
}

void docker_container_drop_file(struct docker_file *f)
{
    struct docker_container *c = f->container;

    remove_entry(c, f);
    docker_container_unlist(f);
    free_file(f);
    c->shared->changed = true;
}

void docker_container_mark_removed(struct docker_file *f)
{
    struct docker_shared *s = f->container->shared;
    struct docker_file **at = &s->removed;

    if (f->removed)
        return;
    f->removed = true;
    f->index = DOCKER_FILE_NAMELESS;
    f->dirty = true;
    f->marked = false;
    while (*at)
        at = &(*at)->next_removed;
    f->next_removed = NULL;
    *at = f;
    s->owe_sync = s->owe_urgent = true;
}

/* ---- descriptors ---- */

static bool can_spare(const struct docker_container *c, const struct docker_file *f)
{
    return f->fd >= 0 && !f->dirty && !f->removed && f->identified && !f->tail &&
           !docker_frame_waits_in(&c->frame, &f->at);
}

/* Gives the descriptor back that has been quiet the longest: its file is found again by its name.
 */
static bool spare_descriptor(struct docker_shared *s)
{
    struct docker_file *quietest = NULL;

    for (struct docker_container *c = s->all; c; c = c->next_all)
        for (struct docker_file *f = c->files; f; f = f->next)
            if (can_spare(c, f) && (!quietest || f->quiet_since_ms < quietest->quiet_since_ms))
                quietest = f;
    if (!quietest)
        return false;
    if (docker_inode_get(quietest->fd, NULL, &quietest->inode) < 0 ||
        quietest->inode.size != quietest->at.offset)
        quietest->dirty = true;
    close_file(quietest);
    return true;
}

int docker_container_open(struct docker_container *c, int dir, const char *name, int flags)
{
    const int how = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags;
    int fd = io_open(dir, name, how, 0);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && spare_descriptor(c->shared))
        fd = io_open(dir, name, how, 0);
    /* Numbers are given out from the lowest: the last ones are left to sockets and the buffer. */
    if (fd >= c->shared->spare_from && !spare_descriptor(c->shared)) {
        io_close(fd);
        errno = EMFILE;
        return -1;
    }
    return fd;
}

/* ---- what is wanted ---- */

void docker_container_set_ready(struct docker_container *c)
{
    struct docker_shared *s = c->shared;

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
    struct docker_shared *s = c->shared;

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
    struct docker_file *f = c->files;

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

    if (!docker_scan_is_log(c, name, &index, &compressed)) {
        if ((mask & (IN_MOVED_TO | IN_CLOSE_WRITE)) &&
            (strcmp(name, CONFIG_NAME) == 0 || strcmp(name, HOST_CONFIG_NAME) == 0))
            docker_container_want_config(c);
        return;
    }
    if (c->follow != DOCKER_FOLLOWED)
        return;
    if ((mask & IN_CREATE) && index == 0) {
        c->created_unseen++;
        c->shared->rotated_ms = c->shared->now_ms;
    }
    if (mask & (IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE))
        docker_container_want_scan(c);
    if (!compressed && (mask & IN_MODIFY))
        wake_file(c, index);
    if (compressed && (mask & IN_CLOSE_WRITE))
        docker_container_want_scan(c);
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
        struct docker_file *f = c->files;

        if (f->removed)
            forget_removed(f);
        f->removed = false;
        close_file(f);
        docker_container_set_aside(f);
    }
    for (struct docker_file *f = c->known, *next; f; f = next) {
        next = f->next;
        if (!f->has_entry)
            docker_container_drop_file(f);
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
        if (c->follow == DOCKER_ELSEWHERE && !c->log_driver) {
            c->log_driver = base_strdup(h.log_driver);
            log_info("container logs with a driver that cannot be read here",
                     LOG_STR("container", c->has_config ? c->config.name : c->hex),
                     LOG_STR("driver", h.log_driver), LOG_STR("knob", "--log-driver json-file"));
        }
        docker_host_config_fini(&h);
    }
    free(text);
}

static void take_config(struct docker_container *c, struct docker_config *fresh)
{
    bool excluded = docker_config_excluded(fresh, c->shared->settings->exclude);
    bool was_stopped = c->stopped;

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
    /* Its log was closed before this was written: once more to the end, then nothing can be waiting
     * for a continuation. */
    if (c->follow == DOCKER_FOLLOWED && (c->stopped != was_stopped || !c->is_ready))
        docker_container_wake(c);
}

static void load_config(struct docker_container *c, int folder)
{
    int dir = docker_container_open(c, folder, c->hex, O_DIRECTORY);
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
        docker_inode_get(dir, CONFIG_NAME, &c->config_inode);
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
        docker_scan(c, folder);
        for (struct docker_file *f = c->files; f; f = f->next)
            if (f->dirty)
                docker_container_set_ready(c);
        save(c);
        c->shared->changed = true;
    }
}

void docker_container_poll(struct docker_container *c, int folder)
{
    char path[2 * DOCKER_HEX_BYTES + sizeof "/-json.log"];
    struct docker_inode now;
    struct docker_file *f = c->files;

    if (c->gone)
        return;
    c->created_unseen = MIN(c->created_unseen, 0);
    snprintf(path, sizeof path, "%s/%s", c->hex, CONFIG_NAME);
    if (docker_inode_get(folder, path, &now) == 0 &&
        !(docker_inode_same(&now, &c->config_inode) && now.mtime_ns == c->config_inode.mtime_ns))
        docker_container_want_config(c);
    if (c->follow != DOCKER_FOLLOWED)
        return;
    while (f && f->next)
        f = f->next;
    snprintf(path, sizeof path, "%s/%s-json.log", c->hex, c->hex);
    if (docker_inode_get(folder, path, &now) < 0) {
        if (f && f->index == 0)
            docker_container_want_scan(c);
        return;
    }
    if (!f || f->index != 0 || !docker_inode_same(&now, &f->inode))
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
    c->shared->unreadable_changed |= c->follow == DOCKER_ELSEWHERE;
    c->gone_since_ms = c->shared->now_ms;
    c->folder = NULL;
    for (struct docker_file *f = c->files, *next; f; f = next) {
        next = f->next;
        if (f->fd >= 0) {
            docker_container_mark_removed(f);
            continue;
        }
        if (!f->complete) {
            metric_add(M_DOCKER_MISSED, 1);
            log_warn("a container was removed before one of its log files was read to its end",
                     LOG_STR("container", c->hex), LOG_U64("read_bytes", f->at.offset));
        }
        docker_container_drop_file(f);
    }
    while (c->known)
        docker_container_drop_file(c->known);
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

/* ---- reading ---- */

static bool waits_for_config(const struct docker_container *c)
{
    return c->config_until_ms && c->shared->now_ms < c->config_until_ms && !c->gone;
}

static enum docker_turn failed(struct docker_container *c, struct docker_file *f)
{
    log_warn("cannot read a log file", LOG_STR("container", c->hex),
             LOG_STR("reason", strerror(errno)));
    f->dirty = true;
    c->retry_ms = c->shared->now_ms + DOCKER_RETRY_MS;
    c->shared->attention = true;
    end_inflating(f);
    return DOCKER_TURN_IDLE;
}

/* Other bytes stand where reading stopped: the file was truncated, and may have grown again. What
 * it was stays known, a copy of it may turn up; what it is now is another file. */
static void truncated(struct docker_container *c, struct docker_file *f)
{
    struct docker_file *fresh = docker_file_create(c), **at = &c->files;
    uint64_t unread = f->size > f->at.offset ? f->size - f->at.offset : 0;

    log_warn("a log file was truncated or replaced in place, read from its beginning",
             LOG_STR("container", c->hex), LOG_U64("read_bytes", f->at.offset),
             LOG_U64("unread_bytes", unread));
    fresh->fd = f->fd;
    fresh->compressed = f->compressed;
    fresh->gz = f->gz;
    fresh->index = f->index;
    fresh->seen = f->seen;
    fresh->inode = f->inode;
    fresh->dirty = true;
    fresh->quiet_since_ms = c->shared->now_ms;
    f->fd = -1;
    f->gz = NULL;
    f->inode = (struct docker_inode){0};
    f->complete = unread == 0;
    f->superseded = true;
    while (*at != f)
        at = &(*at)->next;
    fresh->next = f->next;
    f->next = fresh;
    if (f->removed) {
        forget_removed(f);
        f->removed = false;
        docker_container_mark_removed(fresh);
    }
    docker_container_set_aside(f);
    docker_container_want_scan(c);
}

/* Whether a compressed file may be read now: each reader takes memory. */
static bool may_inflate(struct docker_container *c, struct docker_file *f)
{
    if (!f->compressed || f->gz)
        return true;
    if (c->shared->gz_readers >= DOCKER_MAX_GZ_READERS)
        return false;
    c->shared->gz_readers++;
    f->gz = docker_gz_open(f->fd);
    return true;
}

static void note_growth(struct docker_file *f, uint64_t size)
{
    if (f->size == size)
        return;
    f->size = size;
    f->quiet_since_ms = f->container->shared->now_ms;
}

/* Reads one stretch of f. IDLE: it is at its end for now (f->dirty false), or cannot be read now
 * (f->dirty true). */
static enum docker_turn read_file(struct docker_container *c, struct docker_file *f, bool final,
                                  size_t *n)
{
    struct docker_shared *s = c->shared;
    size_t before = *n;
    uint64_t size = f->size;
    enum docker_read got;

    if (f->fd < 0) {
        docker_container_want_scan(c);
        return DOCKER_TURN_IDLE;
    }
    if (!may_inflate(c, f))
        return DOCKER_TURN_MORE;
    if (!f->identified) {
        switch (docker_file_identify(f, c->id, final, s->scratch)) {
        case DOCKER_FILE_KNOWN:
            break;
        case DOCKER_FILE_NOT_YET:
            f->tail = !final && docker_inode_get(f->fd, NULL, &f->inode) == 0 &&
                      f->inode.size > f->head_at;
            f->dirty = false;
            note_growth(f, f->compressed ? f->size : f->inode.size);
            return DOCKER_TURN_IDLE;
        case DOCKER_FILE_FAILED:
            return failed(c, f);
        }
    }
    got = docker_file_read(f, &c->frame, final, s->scratch, n);
    if (f->size != size)
        f->quiet_since_ms = s->now_ms;
    if (*n != before) {
        c->active_ms = s->now_ms;
        take_figures(c, *n - before);
    }
    switch (got) {
    case DOCKER_READ_MORE:
        return DOCKER_TURN_MORE;
    case DOCKER_READ_FULL:
        return DOCKER_TURN_FULL;
    case DOCKER_READ_CHANGED:
        truncated(c, f);
        return DOCKER_TURN_MORE;
    case DOCKER_READ_FAILED:
        return failed(c, f);
    case DOCKER_READ_END:
        f->dirty = false;
        break;
    }
    return DOCKER_TURN_IDLE;
}

/* A file that has been rotated or removed and stands at its end: whether that is its end for good.
 * IDLE with f->complete set when it is. */
static enum docker_turn finish(struct docker_container *c, struct docker_file *f, size_t *n)
{
    struct docker_shared *s = c->shared;

    if (f->tail) {
        enum docker_turn turn;

        if (!c->gone && !f->compressed && s->now_ms - f->quiet_since_ms < DOCKER_TAIL_WAIT_MS) {
            s->attention = true;
            return DOCKER_TURN_IDLE;
        }
        turn = read_file(c, f, true, n);
        if (turn != DOCKER_TURN_IDLE || f->dirty)
            return turn;
        f->tail = false;
    }
    if (f->gz && docker_gz_broken(f->gz))
        log_warn("a compressed log file is cut off or damaged, read as far as it goes",
                 LOG_STR("container", c->hex), LOG_U64("read_bytes", f->at.offset));
    f->complete = true;
    s->owe_sync = true;
    s->attention = true;
    end_inflating(f);
    return DOCKER_TURN_IDLE;
}

/* Whether what waits can be read again: not when it stood in a file that was truncated since. */
static bool can_rewind(const struct docker_container *c)
{
    if (c->gone || !docker_join_waits(&c->frame.join))
        return false;
    for (const struct docker_file *f = c->known; f; f = f->next)
        if (docker_frame_waits_in(&c->frame, &f->at))
            return false;
    return true;
}

/* Whether a is the better one to be set back: one that has nothing to read just waits; of those
 * that read, the one that loses least. */
static bool is_better(const struct docker_container *a, const struct docker_container *b)
{
    if (!b)
        return true;
    if (a->is_ready != b->is_ready)
        return !a->is_ready;
    return a->is_ready ? a->frame.join.bytes < b->frame.join.bytes : a->active_ms < b->active_ms;
}

/* Forgets the unfinished lines of c: they are read again when there is more of them. */
static void set_back(struct docker_container *c)
{
    bool older_waits = false;

    for (struct docker_file *f = c->files; f; f = f->next) {
        struct docker_frame_at from =
            older_waits ? docker_frame_restart(&f->at) : docker_frame_resume(&c->frame, &f->at);

        older_waits |= docker_frame_waits_in(&c->frame, &f->at);
        if (from.offset == f->at.offset)
            continue;
        f->at = from;
        f->marker = f->marker_n = 0;
        f->complete = false;
    }
    c->shared->join_bytes -= c->frame.join.bytes;
    docker_join_forget(&c->frame.join);
    c->rewound = true;
}

/* More unfinished lines than may be kept in memory: others than this one are set back. */
static void limit_join_memory(struct docker_container *current)
{
    struct docker_shared *s = current->shared;

    while (s->join_bytes > DOCKER_MAX_JOIN_BYTES) {
        struct docker_container *best = NULL;

        for (struct docker_container *c = s->all; c; c = c->next_all)
            if (c != current && can_rewind(c) && is_better(c, best))
                best = c;
        if (!best)
            return; /* one container alone stays below */
        set_back(best);
    }
}

/* Framing was set back: what had been framed is to be read once more before anything new. */
static void wake_rewound(struct docker_container *c)
{
    for (struct docker_file *f = c->files; f; f = f->next)
        f->dirty |= f->at.offset < f->at.replay_to;
    c->rewound = false;
}

/* Whether nothing can continue what waits. That the config says "not running" is not enough: it
 * says so until some time after a run has begun, while the run's first words stand in the log
 * already. They are younger than the end of the run before. So may be a run's last words, which the
 * engine reads after its end: those are told by time alone. */
static bool run_is_over(const struct docker_container *c)
{
    if (c->gone)
        return true;
    if (!c->stopped)
        return false;
    if (c->finished_ns != INT64_MIN && docker_join_youngest_ns(&c->frame.join) <= c->finished_ns)
        return true;
    return c->shared->now_ms - c->active_ms >= DOCKER_STOPPED_MS;
}

static enum docker_turn turn_over_files(struct docker_container *c, size_t *n)
{
    size_t before = *n;

    for (struct docker_file *f = c->files; f; f = f->next) {
        bool newest = !f->next && !c->gone;
        enum docker_turn turn;

        /* Many small files must not make a turn longer than a large one. */
        if (*n - before >= DOCKER_CHUNK_BYTES)
            return DOCKER_TURN_MORE;
        if (f->dirty) {
            turn = read_file(c, f, false, n);
            if (turn != DOCKER_TURN_IDLE || f->dirty)
                return turn;
        }
        if (newest || f->complete || f->fd < 0)
            continue;
        turn = finish(c, f, n);
        if (turn != DOCKER_TURN_IDLE || !f->complete)
            return turn;
    }
    if (docker_join_waits(&c->frame.join)) {
        if (run_is_over(c))
            return docker_frame_flush(&c->frame) ? DOCKER_TURN_IDLE : DOCKER_TURN_FULL;
        c->shared->attention |= c->stopped;
    }
    return DOCKER_TURN_IDLE;
}

enum docker_turn docker_container_turn(struct docker_container *c, size_t *n)
{
    size_t join_bytes = c->frame.join.bytes;
    enum docker_turn turn;

    if (c->follow != DOCKER_FOLLOWED || waits_for_config(c))
        return DOCKER_TURN_IDLE;
    c->config_until_ms = 0;
    if (c->rewound)
        wake_rewound(c);
    turn = turn_over_files(c, n);
    c->shared->join_bytes += c->frame.join.bytes - join_bytes;
    if (c->shared->join_bytes > DOCKER_MAX_JOIN_BYTES)
        limit_join_memory(c);
    if (!c->gone || c->files)
        save(c);
    return turn;
}

/* ---- by the clock ---- */

static void tick_file(struct docker_container *c, struct docker_file *f)
{
    struct docker_shared *s = c->shared;

    if (f->fd < 0)
        return;
    if (f->tail && (f->next || c->gone)) {
        s->attention = true;
        docker_container_set_ready(c);
    }
    if (f->removed && !f->complete && !f->dirty) {
        /* Removed by hand, and Docker goes on writing to it: no event tells. */
        f->dirty = true;
        docker_container_set_ready(c);
        s->attention = true;
    }
    if (!f->complete || f->removed || f->dirty || !docker_file_settled(f))
        return;
    if (s->now_ms - f->quiet_since_ms < DOCKER_QUIET_MS) {
        s->attention = true;
        return;
    }
    if (docker_inode_get(f->fd, NULL, &f->inode) == 0 && f->inode.size != f->at.offset &&
        !f->compressed) {
        f->dirty = true;
        docker_container_set_ready(c);
        return;
    }
    close_file(f);
}

void docker_container_tick(struct docker_container *c)
{
    struct docker_shared *s = c->shared;

    if (c->gone && !c->files)
        return;
    if (c->config_until_ms) {
        if (s->now_ms >= c->config_until_ms)
            docker_container_set_ready(c);
        else
            s->attention = true;
    }
    if (c->retry_ms) {
        s->attention = true;
        if (s->now_ms >= c->retry_ms) {
            c->retry_ms = 0;
            docker_container_want_scan(c);
            docker_container_set_ready(c);
        }
    }
    if (c->known && c->follow == DOCKER_FOLLOWED && !c->gone) {
        bool due = false;

        for (struct docker_file *f = c->known; f; f = f->next)
            due |= f->missing_since_ms && s->now_ms - f->missing_since_ms >= DOCKER_MISSING_MS;
        s->attention = true;
        if (due)
            docker_container_want_scan(c);
    }
    if (c->stopped && c->follow == DOCKER_FOLLOWED && docker_join_waits(&c->frame.join)) {
        s->attention = true;
        if (run_is_over(c))
            docker_container_set_ready(c);
    }
    for (struct docker_file *f = c->files; f; f = f->next)
        tick_file(c, f);
}

/* ---- removed files ---- */

static bool is_before(struct buffer_point a, struct buffer_point b)
{
    return a.segment != b.segment ? a.segment < b.segment : a.offset < b.offset;
}

/* Everything that was read from f is on disk. */
static void release(struct docker_file *f)
{
    struct docker_container *c = f->container;

    forget_removed(f);
    f->removed = false;
    close_file(f);
    if (c->gone || !c->uses_gz)
        docker_container_drop_file(f);
    else
        docker_container_set_aside(f); /* until no .gz of it is left */
}

void docker_shared_committed(struct docker_shared *s)
{
    struct buffer_point end, durable;
    uint64_t at_risk = 0;

    if (s->owe_sync)
        buffer_owe_sync(s->buffer, s->owe_urgent);
    s->owe_sync = s->owe_urgent = false;
    if (!s->removed) {
        if (metric_get(M_DOCKER_AT_RISK))
            metric_set(M_DOCKER_AT_RISK, 0);
        return;
    }
    end = buffer_end(s->buffer);
    durable = buffer_durable(s->buffer);
    for (struct docker_file *f = s->removed, *next; f; f = next) {
        next = f->next_removed;
        if (f->marked && !is_before(durable, f->mark_point)) {
            f->safe = f->mark;
            f->marked = false;
        }
        if (!f->marked && f->safe < f->at.offset) {
            f->mark = f->at.offset;
            f->mark_point = end;
            f->marked = true;
            if (is_before(durable, end))
                buffer_owe_sync(s->buffer, true);
            else
                f->safe = f->mark;
        }
        if (f->safe >= f->at.offset && f->complete && !f->dirty && docker_file_settled(f)) {
            release(f);
            continue;
        }
        at_risk += f->at.offset - MIN(f->safe, f->at.offset);
    }
    metric_set(M_DOCKER_AT_RISK, at_risk);
}

void docker_shared_limit_held(struct docker_shared *s)
{
    uint64_t held = 0, most = s->settings->max_held_bytes;
    struct docker_inode now;

    for (struct docker_file *f = s->removed; f; f = f->next_removed) {
        if (f->complete || docker_inode_get(f->fd, NULL, &now) < 0)
            continue;
        f->size = f->compressed ? f->size : now.size;
        held += docker_file_unread(f);
    }
    for (struct docker_file *f = s->removed; f && held > most; f = f->next_removed) {
        uint64_t unread = docker_file_unread(f);

        if (f->complete || unread == 0)
            continue;
        held -= unread;
        metric_add(M_DOCKER_LET_GO, unread);
        log_warn("a removed log file is let go before it was read to its end",
                 LOG_STR("container", f->container->hex), LOG_U64("lost_bytes", unread),
                 LOG_STR("knob", "inputs.docker.max_held"));
        f->complete = true;
        f->dirty = f->tail = false;
    }
}
