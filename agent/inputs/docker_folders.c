#include "agent/inputs/docker_folders.h"

#include "agent/base/clock.h"
#include "agent/base/hash.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/inputs/docker_places.h"
#include "agent/inputs/tail_events.h"
#include "agent/inputs/tail_orphans.h"
#include "agent/inputs/tail_reading.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BUCKETS 4096
#define PREFIX_DIGITS 12
#define POLL_MS 1000         /* containers without a watch */
#define UNREAD_SCAN_MS 10000 /* containers with something unread */
#define RESCAN_MS 60000
#define IDLE_MS 10000
#define PLACES_MS 5000 /* folders that are not there, or not any more */
#define GONE_KEEP_MS 300000
#define ORPHAN_KEEP_MS                                                                             \
    3600000 /* positions of containers that are nowhere: their folder may be mounted later */

#define FOLDER_EVENTS                                                                              \
    (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |         \
     IN_ONLYDIR)
#define CONFIG_EVENTS (IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR | IN_DONT_FOLLOW)
#define LOG_EVENTS (CONFIG_EVENTS | IN_CREATE | IN_MODIFY | IN_MOVED_FROM | IN_DELETE)

struct docker_folder {
    struct docker_folder *next;
    char *path;
    int fd;      /* -1: not there */
    bool denied; /* it is there, but we have no right to open it */
    int watch;   /* -1: none */
    struct tail_inode inode;
    uint64_t scan;
};

struct docker_folders {
    struct tail_shared *shared;
    const struct docker_settings *settings;
    void (*changed)(void *arg);
    void *arg;
    struct tail_events events;
    struct docker_holder *holder;
    bool waiting_said;
    struct docker_folder *list;
    struct docker_container *by_id[BUCKETS];
    size_t n_containers;
    bool polls; /* some container has no watch */
    struct tail_orphans orphans;
    char own[DOCKER_OWN_IDS_MAX][65];
    size_t n_own;
    uint64_t started_ms, polled_ms, unread_ms, rescanned_ms, places_ms;
};

/* ---- containers by id ---- */

static size_t bucket_of(const char *hex)
{
    return (size_t)hash_64(0, hex, PREFIX_DIGITS) % BUCKETS;
}

struct docker_container *docker_folders_container(struct docker_folders *d, struct bytes id)
{
    struct docker_container *found = NULL;

    if (id.n < PREFIX_DIGITS || id.n > DOCKER_HEX_BYTES)
        return NULL;
    for (struct docker_container *c = d->by_id[bucket_of(id.p)]; c; c = c->next_bucket) {
        if (memcmp(c->hex, id.p, id.n) != 0)
            continue;
        if (found)
            return NULL;
        found = c;
    }
    return found;
}

/* ---- watches ---- */

/* Where the watches do not suffice for both, the holder's is worth more: a file that grows can be
 * polled, one that is gone cannot. */
static void hold_container(struct docker_folders *d, struct docker_container *c, const char *path)
{
    if (c->follow == DOCKER_FOLLOWED && c->holder < 0) {
        if (c->watch < 0)
            docker_container_count_anew(c);
        c->holder = docker_holder_watch(d->holder, path, c->hex);
        if (c->holder < 0 && d->holder && errno == ENOSPC)
            tail_events_say_used_up(&d->events);
    } else if (c->follow != DOCKER_FOLLOWED && c->holder >= 0) {
        docker_holder_unwatch(d->holder, c->holder);
        c->holder = -1;
    }
}

static void watch_container(struct docker_folders *d, struct docker_container *c)
{
    uint32_t mask = c->follow == DOCKER_FOLLOWED ? LOG_EVENTS : CONFIG_EVENTS;
    char path[4096];

    if (!c->folder || (c->watch >= 0 && c->watch_mask == mask))
        return;
    snprintf(path, sizeof path, "%s/%s", c->folder->path, c->hex);
    hold_container(d, c, path);
    c->watch = tail_events_watch(&d->events, path, mask, c);
    c->watch_mask = mask;
    d->polls |= c->watch < 0;
}

static void unwatch_container(struct docker_folders *d, struct docker_container *c)
{
    docker_holder_unwatch(d->holder, c->holder);
    tail_events_unwatch(&d->events, c->watch, c);
    c->holder = c->watch = -1;
}

/* ---- containers come and go ---- */

static void add_container(struct docker_folders *d, struct docker_folder *f, const char *hex,
                          bool stood_before)
{
    struct docker_container *c = docker_folders_container(d, bytes_str(hex));

    if (c && !c->log.gone)
        return;
    if (!c) {
        size_t bucket = bucket_of(hex);

        if (d->n_containers == DOCKER_MAX_CONTAINERS) {
            log_warn("too many containers, further ones are not read",
                     LOG_U64("containers", DOCKER_MAX_CONTAINERS));
            return;
        }
        c = docker_container_create(d->shared, hex, d->settings);
        c->log.start_ms = d->settings->start_ms;
        c->next_bucket = d->by_id[bucket];
        d->by_id[bucket] = c;
        d->n_containers++;
        c->log.first_seen = !tail_orphans_restore(&d->orphans, &c->log) && stood_before;
        for (size_t i = 0; i < d->n_own; i++)
            if (strcmp(d->own[i], hex) == 0)
                docker_container_follow(c, DOCKER_OWN);
    }
    c->log.gone = false;
    c->folder = f;
    /* Watched before it is looked at, so that nothing falls between. */
    watch_container(d, c);
    docker_container_want_config(c);
    tail_log_want_scan(&c->log);
}

static void lose_container(struct docker_folders *d, struct docker_container *c)
{
    unwatch_container(d, c);
    docker_container_set_gone(c);
}

static void forget_container(struct docker_folders *d, struct docker_container *c)
{
    struct docker_container **at = &d->by_id[bucket_of(c->hex)];

    unwatch_container(d, c);
    while (*at != c)
        at = &(*at)->next_bucket;
    *at = c->next_bucket;
    d->n_containers--;
    docker_container_free(c);
}

/* ---- folders ---- */

static void rescan_folder(struct docker_folders *d, struct docker_folder *f, bool first)
{
    DIR *dir = io_list(f->fd);
    struct dirent *entry;
    int more = -1;

    while (dir && (more = io_list_next(dir, &entry)) > 0)
        if (docker_places_is_id(entry->d_name))
            add_container(d, f, entry->d_name, first);
    if (more < 0)
        log_warn("cannot list the containers folder", LOG_STR("path", f->path),
                 LOG_STR("reason", strerror(errno)));
    if (dir)
        io_list_end(dir);
    for (struct tail_log *log = d->shared->all; log; log = log->next_all) {
        struct docker_container *c = docker_container_of(log);

        struct stat st;

        if (c->folder == f && io_stat_at(f->fd, c->hex, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
            errno == ENOENT)
            lose_container(d, c);
    }
}

static void lose_folder(struct docker_folders *d, struct docker_folder *f)
{
    log_warn("the containers folder is gone, waiting for it", LOG_STR("path", f->path));
    for (struct tail_log *log = d->shared->all; log; log = log->next_all)
        if (docker_container_of(log)->folder == f)
            lose_container(d, docker_container_of(log));
    tail_events_unwatch(&d->events, f->watch, f);
    io_close(f->fd);
    f->fd = f->watch = -1;
}

/* Whether the same folder is followed under another path already. */
static bool is_twin(const struct docker_folders *d, const struct docker_folder *f,
                    const struct tail_inode *inode)
{
    for (const struct docker_folder *o = d->list; o; o = o->next)
        if (o != f && o->fd >= 0 && tail_inode_same(&o->inode, inode))
            return true;
    return false;
}

static void try_folder(struct docker_folders *d, struct docker_folder *f)
{
    int fd = io_open(AT_FDCWD, f->path, O_RDONLY | O_DIRECTORY, 0);
    struct tail_inode inode;

    if (fd < 0) {
        f->denied = errno == EACCES;
        return;
    }
    if (tail_inode_get(fd, NULL, &inode) < 0 || is_twin(d, f, &inode)) {
        io_close(fd);
        return;
    }
    f->fd = fd;
    f->inode = inode;
    f->watch = tail_events_watch(&d->events, f->path, FOLDER_EVENTS, f);
    log_info("reading containers", LOG_STR("path", f->path));
    rescan_folder(d, f, true);
}

static void add_folder(struct docker_folders *d, const char *path)
{
    struct docker_folder *f, **at = &d->list;

    for (; *at; at = &(*at)->next)
        if (strcmp((*at)->path, path) == 0)
            return;
    f = base_calloc(1, sizeof *f);
    f->path = base_strdup(path);
    f->fd = f->watch = -1;
    *at = f;
}

/* Said once, until there is a folder again. */
static void say_waiting(const struct docker_folders *d)
{
    bool denied = false;

    for (const struct docker_folder *f = d->list; f; f = f->next) {
        if (f->denied)
            log_warn("cannot open the containers folder: no right to, trying again",
                     LOG_STR("path", f->path),
                     LOG_STR("knob", "run as root or with CAP_DAC_READ_SEARCH"));
        denied |= f->denied;
    }
    if (!denied)
        log_info("no containers folder yet, waiting for it", LOG_STR("path", d->list->path),
                 LOG_STR("knob", "inputs.docker.containers"));
}

static void find_folders(struct docker_folders *d)
{
    const char *setting = d->settings->containers;
    bool some = false;

    if (strcmp(setting, "auto") == 0) {
        char *paths[DOCKER_PLACES_MAX];
        size_t n = docker_places_find(paths);

        for (size_t i = 0; i < n; i++) {
            add_folder(d, paths[i]);
            free(paths[i]);
        }
    } else {
        add_folder(d, setting);
    }
    for (struct docker_folder *f = d->list; f; f = f->next) {
        if (f->fd < 0)
            try_folder(d, f);
        some |= f->fd >= 0;
    }
    if (!some && !d->waiting_said)
        say_waiting(d);
    d->waiting_said = !some;
}

/* Whether the folder that we hold is still what its path means. */
static void check_folder(struct docker_folders *d, struct docker_folder *f)
{
    struct tail_inode now;

    if (f->fd < 0)
        return;
    if (tail_inode_get(AT_FDCWD, f->path, &now) < 0 ? errno == ENOENT || errno == ENOTDIR
                                                    : !tail_inode_same(&now, &f->inode)) {
        /* A path that is a symbolic link is compared by what it leads to. */
        int fd = io_open(AT_FDCWD, f->path, O_RDONLY | O_DIRECTORY, 0);
        bool same =
            fd >= 0 && tail_inode_get(fd, NULL, &now) == 0 && tail_inode_same(&now, &f->inode);

        if (fd >= 0)
            io_close(fd);
        if (!same)
            lose_folder(d, f);
    }
}

/* ---- events ---- */

static void rescan_all(struct docker_folders *d)
{
    for (struct docker_folder *f = d->list; f; f = f->next) {
        check_folder(d, f);
        if (f->fd >= 0)
            rescan_folder(d, f, false);
    }
    for (struct tail_log *log = d->shared->all; log; log = log->next_all) {
        struct docker_container *c = docker_container_of(log);

        if (c->folder && c->watch < 0)
            watch_container(d, c);
        docker_container_count_anew(c);
        docker_container_want_config(c);
        tail_log_want_scan(&c->log);
    }
}

static void overflowed(void *arg)
{
    struct docker_folders *d = arg;

    log_warn("inotify events were lost, looking at everything again",
             LOG_STR("knob", "fs.inotify.max_queued_events"));
    rescan_all(d);
}

static void folder_event(struct docker_folders *d, struct docker_folder *f,
                         const struct inotify_event *e)
{
    struct docker_container *c;

    if (e->mask & IN_IGNORED) {
        f->watch = -1;
        return;
    }
    if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) {
        if (f->fd >= 0)
            lose_folder(d, f);
        return;
    }
    if (e->len == 0 || !docker_places_is_id(e->name))
        return;
    if (e->mask & (IN_CREATE | IN_MOVED_TO)) {
        if (e->mask & IN_ISDIR)
            add_container(d, f, e->name, false);
        return;
    }
    c = docker_folders_container(d, bytes_str(e->name));
    if (c && c->folder == f)
        lose_container(d, c);
}

static void container_event(struct docker_folders *d, struct docker_container *c,
                            const struct inotify_event *e)
{
    if (e->mask & IN_IGNORED) { /* the folder has gone, or is going: its parent tells */
        tail_log_want_scan(&c->log);
        docker_holder_unwatch(d->holder, c->holder);
        c->holder = c->watch = -1;
    } else if (e->len) {
        docker_container_event(c, e->mask, e->name);
    }
}

static void handle_event(void *arg, void *of, const struct inotify_event *e)
{
    struct docker_folders *d = arg;
    struct docker_folder *f = d->list;

    while (f && f != of)
        f = f->next;
    if (f)
        folder_event(d, f, e);
    else
        container_event(d, of, e);
}

/* Takes the log files that were opened as they were made (docker_holder.h), if there are any. */
static void take_held(void *arg)
{
    struct docker_folders *d = arg;
    struct docker_held held;

    while (docker_holder_take(d->holder, &held)) {
        struct docker_container *c = docker_folders_container(d, bytes_str(held.hex));

        d->shared->now_ms = clock_mono_ms();
        if (c)
            docker_container_hold(c, &held);
        else if (held.hex[0] == '\0')
            overflowed(d);
        if (!c)
            docker_held_close(&held);
    }
}

static void on_looked(void *arg)
{
    struct docker_folders *d = arg;

    d->changed(d->arg);
}

/* Does what docker_container_want_* asked for. */
static void visit(void *arg)
{
    struct docker_folders *d = arg;
    struct tail_log *log;

    take_held(d); /* ahead of the scans that would look for these files */
    while ((log = tail_log_take_visit(d->shared))) {
        struct docker_container *c = docker_container_of(log);

        if (!c->folder)
            continue;
        docker_container_visit(c, c->folder->fd);
        if (log->gone)
            unwatch_container(d, c);
        else
            watch_container(d, c);
    }
}

/* ---- by the clock ---- */

static bool polls(void *arg)
{
    const struct docker_folders *d = arg;

    return d->polls;
}

/* Polls what has no watch, rescans, waits for folders, forgets containers that are gone. */
static void tick(void *arg)
{
    struct docker_folders *d = arg;
    struct tail_shared *s = d->shared;
    uint64_t now = s->now_ms;
    bool rescan = tail_events_due(&d->rescanned_ms, now, RESCAN_MS);
    bool poll = tail_events_due(&d->polled_ms, now, POLL_MS) && d->polls;
    bool unread = tail_events_due(&d->unread_ms, now, UNREAD_SCAN_MS);

    if (tail_events_due(&d->places_ms, now, PLACES_MS)) {
        /* No event tells of a folder that is removed: our descriptor keeps it. */
        for (struct docker_folder *f = d->list; f; f = f->next)
            check_folder(d, f);
        find_folders(d);
    }
    for (struct docker_folder *f = d->list; rescan && f; f = f->next) {
        if (f->fd >= 0)
            rescan_folder(d, f, false);
    }
    if (d->orphans.n && now - d->started_ms >= ORPHAN_KEEP_MS)
        tail_orphans_drop(&d->orphans, s->buffer);
    d->polls = false;
    for (struct tail_log *log = s->all, *next; log; log = next) {
        struct docker_container *c = docker_container_of(log);

        next = log->next_all;
        tail_reading_tick(log);
        if (tail_log_finished(log) && now - c->gone_since_ms >= GONE_KEEP_MS) {
            forget_container(d, c);
            continue;
        }
        if (!c->folder)
            continue;
        if (rescan && c->watch < 0)
            watch_container(d, c);
        d->polls |= c->watch < 0;
        if (rescan || (poll && c->watch < 0))
            docker_container_poll(c, c->folder->fd);
        if (unread && log->is_ready)
            tail_log_want_scan(log);
    }
    visit(d);
}

/* ---- life ---- */

const struct tail_folders docker_folders_turns = {
    .before = take_held, .visit = visit, .tick = tick, .polls = polls, .idle_ms = IDLE_MS};

struct docker_folders *docker_folders_start(struct tail_shared *s,
                                            const struct docker_settings *settings,
                                            struct loop *loop, struct docker_holder *holder,
                                            void (*changed)(void *arg), void *arg)
{
    struct docker_folders *d = base_calloc(1, sizeof *d);

    d->shared = s;
    d->settings = settings;
    d->holder = holder;
    d->changed = changed;
    d->arg = arg;
    d->started_ms = d->polled_ms = d->unread_ms = d->rescanned_ms = d->places_ms = s->now_ms;
    d->n_own = docker_places_own_ids(d->own);
    tail_orphans_take(&d->orphans, s->buffer, TAIL_ID_CONTAINER);
    d->events.no_inotify = "cannot use inotify, polling instead";
    d->events.no_watches = "no inotify watches left, polling instead: costs CPU time, and files "
                           "that live for less than a second may be missed";
    d->events.handle = handle_event;
    d->events.lost = overflowed;
    d->events.visit = visit;
    d->events.looked = on_looked;
    d->events.arg = d;
    tail_events_start(&d->events, s, loop);
    find_folders(d);
    visit(d);
    return d;
}

void docker_folders_stop(struct docker_folders *d)
{
    while (d->shared->all)
        forget_container(d, docker_container_of(d->shared->all));
    while (d->list) {
        struct docker_folder *f = d->list;

        d->list = f->next;
        if (f->fd >= 0)
            io_close(f->fd);
        free(f->path);
        free(f);
    }
    tail_events_stop(&d->events);
    tail_orphans_fini(&d->orphans);
    free(d);
}
