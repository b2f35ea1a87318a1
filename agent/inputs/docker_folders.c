#include "agent/inputs/docker_folders.h"

#include "agent/base/clock.h"
#include "agent/base/hash.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/inputs/docker_places.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_reading.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#define BUCKETS 4096
#define PREFIX_DIGITS 12
#define EVENT_BYTES 65536
#define READS_PER_LOOK 16
#define LOOK_MS 10           /* how often events are looked at while they keep coming */
#define POLL_MS 1000         /* containers without a watch */
#define UNREAD_SCAN_MS 10000 /* containers with something unread */
#define RESCAN_MS 60000
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

/* What a watch descriptor belongs to. */
struct watch {
    struct watch *next;
    int wd;
    uint32_t mask;
    struct docker_container *container; /* or folder */
    struct docker_folder *folder;
};

/* A position of an earlier life whose container has not turned up yet. */
struct orphan {
    uint8_t id[DOCKER_ID_BYTES];
    bool has_source, taken;
    uint64_t source;
    struct tail_position position;
};

struct docker_folders {
    struct tail_shared *shared;
    struct loop *loop;
    void (*changed)(void *arg);
    void *arg;
    int inotify; /* -1: polling only */
    struct loop_io *io;
    struct loop_timer *look; /* armed while events are left alone */
    struct docker_holder *holder;
    bool watches_used_up; /* said once */
    bool waiting_said;
    struct docker_folder *list;
    struct watch *watches[BUCKETS];
    struct docker_container *by_id[BUCKETS];
    size_t n_containers;
    bool polls;   /* some container has no watch */
    char *events; /* EVENT_BYTES */
    struct orphan *orphans;
    size_t n_orphans, orphans_cap;
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

static struct watch **watch_at(struct docker_folders *d, int wd)
{
    struct watch **at = &d->watches[(unsigned)wd % BUCKETS];

    while (*at && (*at)->wd != wd)
        at = &(*at)->next;
    return at;
}

static void forget_watch(struct docker_folders *d, int wd)
{
    struct watch **at = watch_at(d, wd), *w = *at;

    if (!w)
        return;
    *at = w->next;
    if (w->container) {
        w->container->watch = -1;
    } else {
        w->folder->watch = -1;
    }
    free(w);
}

static void say_used_up(struct docker_folders *d)
{
    if (d->watches_used_up)
        return;
    d->watches_used_up = true;
    log_warn("no inotify watches left, polling instead: costs CPU time, and files that live for "
             "less than a second may be missed",
             LOG_STR("knob", "fs.inotify.max_user_watches"));
}

/* Watches path, or changes what is watched for. -1 when it cannot be watched. */
static int watch(struct docker_folders *d, const char *path, uint32_t mask,
                 struct docker_container *c, struct docker_folder *f)
{
    int wd = d->inotify < 0 ? -1 : inotify_add_watch(d->inotify, path, mask);
    struct watch **at, *w;

    if (wd < 0) {
        if (d->inotify >= 0 && errno == ENOSPC)
            say_used_up(d);
        return -1;
    }
    at = watch_at(d, wd);
    if (!*at) {
        *at = base_calloc(1, sizeof **at);
        (*at)->wd = wd;
    }
    w = *at;
    w->mask = mask;
    w->container = c;
    w->folder = f;
    return wd;
}

/* Where the watches do not suffice for both, the holder's is worth more: a file that grows can be
 * polled, one that is gone cannot. */
static void hold_container(struct docker_folders *d, struct docker_container *c, const char *path)
{
    if (c->follow == DOCKER_FOLLOWED && c->holder < 0) {
        if (c->watch < 0)
            docker_container_count_anew(c);
        c->holder = docker_holder_watch(d->holder, path, c->hex);
        if (c->holder < 0 && d->holder && errno == ENOSPC)
            say_used_up(d);
    } else if (c->follow != DOCKER_FOLLOWED && c->holder >= 0) {
        docker_holder_unwatch(d->holder, c->holder);
        c->holder = -1;
    }
}

static void watch_container(struct docker_folders *d, struct docker_container *c)
{
    uint32_t mask = c->follow == DOCKER_FOLLOWED ? LOG_EVENTS : CONFIG_EVENTS;
    char path[4096];

    if (!c->folder || (c->watch >= 0 && (*watch_at(d, c->watch))->mask == mask))
        return;
    snprintf(path, sizeof path, "%s/%s", c->folder->path, c->hex);
    hold_container(d, c, path);
    c->watch = watch(d, path, mask, c, NULL);
    d->polls |= c->watch < 0;
}

static void unwatch_container(struct docker_folders *d, struct docker_container *c)
{
    int wd = c->watch;

    docker_holder_unwatch(d->holder, c->holder);
    c->holder = -1;
    if (wd < 0)
        return;
    forget_watch(d, wd);
    inotify_rm_watch(d->inotify, wd); /* fails when the folder has gone: then the kernel did it */
}

/* ---- positions of earlier lives ---- */

static int by_orphan_id(const void *a, const void *b)
{
    return memcmp(((const struct orphan *)a)->id, ((const struct orphan *)b)->id, DOCKER_ID_BYTES);
}

static void take_orphan(void *arg, struct bytes key, struct bytes value)
{
    struct docker_folders *d = arg;
    struct orphan o = {0};

    if (!tail_position_key_read(key, o.id, &o.has_source, &o.source) ||
        !tail_position_read(value, &o.position))
        return;
    if (d->n_orphans == d->orphans_cap) {
        d->orphans_cap = MAX(d->orphans_cap * 2, (size_t)64);
        d->orphans = base_realloc(d->orphans, d->orphans_cap * sizeof *d->orphans);
    }
    d->orphans[d->n_orphans++] = o;
}

/* Gives c what is known of it. False when nothing is. */
static bool restore(struct docker_folders *d, struct docker_container *c)
{
    struct orphan key, *o = NULL;

    memcpy(key.id, c->id, DOCKER_ID_BYTES);
    if (d->n_orphans)
        o = bsearch(&key, d->orphans, d->n_orphans, sizeof *o, by_orphan_id);
    if (!o)
        return false;
    while (o > d->orphans && memcmp(o[-1].id, c->id, DOCKER_ID_BYTES) == 0)
        o--;
    for (; o < d->orphans + d->n_orphans && memcmp(o->id, c->id, DOCKER_ID_BYTES) == 0; o++) {
        if (o->taken)
            continue;
        o->taken = true;
        if (o->has_source)
            tail_files_restore(c, o->source, &o->position);
        else
            c->has_own_entry = true;
    }
    return true;
}

static void drop_orphans(struct docker_folders *d)
{
    for (size_t i = 0; i < d->n_orphans; i++) {
        const struct orphan *o = &d->orphans[i];
        char key[TAIL_KEY_BYTES];

        if (o->taken)
            continue;
        tail_position_key(o->id, o->source, key);
        buffer_position_set(d->shared->buffer,
                            bytes_of(key, o->has_source ? TAIL_KEY_BYTES : DOCKER_ID_BYTES),
                            BYTES_NONE);
    }
    free(d->orphans);
    d->orphans = NULL;
    d->n_orphans = d->orphans_cap = 0;
}

/* ---- containers come and go ---- */

static void add_container(struct docker_folders *d, struct docker_folder *f, const char *hex,
                          bool stood_before)
{
    struct docker_container *c = docker_folders_container(d, bytes_str(hex));

    if (c && !c->gone)
        return;
    if (!c) {
        size_t bucket = bucket_of(hex);

        if (d->n_containers == DOCKER_MAX_CONTAINERS) {
            log_warn("too many containers, further ones are not read",
                     LOG_U64("containers", DOCKER_MAX_CONTAINERS));
            return;
        }
        c = docker_container_create(d->shared, hex);
        c->next_bucket = d->by_id[bucket];
        d->by_id[bucket] = c;
        d->n_containers++;
        c->first_seen = !restore(d, c) && stood_before;
        for (size_t i = 0; i < d->n_own; i++)
            if (strcmp(d->own[i], hex) == 0)
                c->follow = DOCKER_OWN;
    }
    c->gone = false;
    c->folder = f;
    /* Watched before it is looked at, so that nothing falls between. */
    watch_container(d, c);
    docker_container_want_config(c);
    docker_container_want_scan(c);
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
    for (struct docker_container *c = d->shared->all; c; c = c->next_all) {
        struct stat st;

        if (c->folder == f && io_stat_at(f->fd, c->hex, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
            errno == ENOENT)
            lose_container(d, c);
    }
}

static void lose_folder(struct docker_folders *d, struct docker_folder *f)
{
    log_warn("the containers folder is gone, waiting for it", LOG_STR("path", f->path));
    for (struct docker_container *c = d->shared->all; c; c = c->next_all)
        if (c->folder == f)
            lose_container(d, c);
    if (f->watch >= 0) {
        int wd = f->watch;

        forget_watch(d, wd);
        inotify_rm_watch(d->inotify, wd);
    }
    io_close(f->fd);
    f->fd = -1;
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
    f->watch = watch(d, f->path, FOLDER_EVENTS, NULL, f);
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
    const char *setting = d->shared->settings->containers;
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
    for (struct docker_container *c = d->shared->all; c; c = c->next_all) {
        if (c->folder && c->watch < 0)
            watch_container(d, c);
        docker_container_count_anew(c);
        docker_container_want_config(c);
        docker_container_want_scan(c);
    }
}

static void overflowed(struct docker_folders *d)
{
    log_warn("inotify events were lost, looking at everything again",
             LOG_STR("knob", "fs.inotify.max_queued_events"));
    rescan_all(d);
}

static void folder_event(struct docker_folders *d, struct docker_folder *f,
                         const struct inotify_event *e)
{
    struct docker_container *c;

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

static void handle_event(struct docker_folders *d, const struct inotify_event *e)
{
    struct watch *w;

    if (e->mask & IN_Q_OVERFLOW) {
        overflowed(d);
        return;
    }
    w = *watch_at(d, e->wd);
    if (!w)
        return;
    if (w->folder) {
        folder_event(d, w->folder, e);
        if (e->mask & IN_IGNORED)
            forget_watch(d, e->wd);
        return;
    }
    if (e->mask & IN_IGNORED) { /* the folder has gone, or is going: its parent tells */
        docker_container_want_scan(w->container);
        docker_holder_unwatch(d->holder, w->container->holder);
        w->container->holder = -1;
        forget_watch(d, e->wd);
        return;
    }
    if (e->len)
        docker_container_event(w->container, e->mask, e->name);
}

/* Reads what has happened. True when there may be more. */
static bool read_events(struct docker_folders *d)
{
    ssize_t n = io_read(d->inotify, d->events, EVENT_BYTES);

    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const void *)(d->events + at);

        at += (ssize_t)(sizeof *e + e->len);
        handle_event(d, e);
    }
    return n > 0;
}

void docker_folders_take_held(struct docker_folders *d)
{
    struct docker_held held;

    while (docker_holder_take(d->holder, &held)) {
        struct docker_container *c = docker_folders_container(d, bytes_str(held.hex));

        d->shared->now_ms = clock_mono_ms();
        if (c)
            docker_container_hold(c, &held);
        else if (held.hex[0] == '\0')
            overflowed(d);
        for (unsigned i = 0; !c && i < held.n; i++)
            io_close(held.fds[i]);
    }
}

static void on_events(void *arg, uint32_t mask)
{
    struct docker_folders *d = arg;

    (void)mask;
    d->shared->now_ms = clock_mono_ms();
    for (int i = 0; i < READS_PER_LOOK && read_events(d); i++)
        docker_folders_visit(d);
    /* Many small writes are many events: the next ones are left to gather. */
    loop_io_set(d->io, 0);
    loop_timer_set(d->look, LOOK_MS);
    d->changed(d->arg);
}

static void on_look(void *arg)
{
    struct docker_folders *d = arg;

    loop_io_set(d->io, EPOLLIN);
}

void docker_folders_visit(struct docker_folders *d)
{
    struct tail_shared *s = d->shared;

    docker_folders_take_held(d); /* ahead of the scans that would look for these files */
    while (s->visits) {
        struct docker_container *c = s->visits;

        s->visits = c->next_visit;
        c->wants_visit = false;
        if (!c->folder)
            continue;
        docker_container_visit(c, c->folder->fd);
        if (c->gone)
            unwatch_container(d, c);
        else
            watch_container(d, c);
    }
}

/* ---- by the clock ---- */

bool docker_folders_polls(const struct docker_folders *d)
{
    return d->polls;
}

static bool due(uint64_t *last_ms, uint64_t now_ms, uint64_t every_ms)
{
    if (now_ms - *last_ms < every_ms)
        return false;
    *last_ms = now_ms;
    return true;
}

void docker_folders_tick(struct docker_folders *d)
{
    struct tail_shared *s = d->shared;
    uint64_t now = s->now_ms;
    bool rescan = due(&d->rescanned_ms, now, RESCAN_MS);
    bool poll = due(&d->polled_ms, now, POLL_MS) && d->polls;
    bool unread = due(&d->unread_ms, now, UNREAD_SCAN_MS);

    if (due(&d->places_ms, now, PLACES_MS)) {
        /* No event tells of a folder that is removed: our descriptor keeps it. */
        for (struct docker_folder *f = d->list; f; f = f->next)
            check_folder(d, f);
        find_folders(d);
    }
    for (struct docker_folder *f = d->list; rescan && f; f = f->next) {
        if (f->fd >= 0)
            rescan_folder(d, f, false);
    }
    if (d->orphans && now - d->started_ms >= ORPHAN_KEEP_MS)
        drop_orphans(d);
    d->polls = false;
    for (struct docker_container *c = s->all, *next; c; c = next) {
        next = c->next_all;
        tail_reading_tick(c);
        if (docker_container_finished(c) && now - c->gone_since_ms >= GONE_KEEP_MS) {
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
        if (unread && c->is_ready)
            docker_container_want_scan(c);
    }
    docker_folders_visit(d);
}

/* ---- life ---- */

static void start_inotify(struct docker_folders *d)
{
    d->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (d->inotify < 0) {
        log_warn("cannot use inotify, polling instead", LOG_STR("reason", strerror(errno)),
                 LOG_STR("knob", "fs.inotify.max_user_instances"));
        return;
    }
    d->look = loop_timer_add(d->loop, on_look, d);
    d->io = loop_io_add(d->loop, d->inotify, EPOLLIN, on_events, d);
    if (!d->io)
        base_die("epoll refuses inotify: %s", strerror(errno));
}

struct docker_folders *docker_folders_start(struct tail_shared *s, struct loop *loop,
                                            struct docker_holder *holder,
                                            void (*changed)(void *arg), void *arg)
{
    struct docker_folders *d = base_calloc(1, sizeof *d);

    d->shared = s;
    d->loop = loop;
    d->holder = holder;
    d->changed = changed;
    d->arg = arg;
    d->started_ms = d->polled_ms = d->unread_ms = d->rescanned_ms = d->places_ms = s->now_ms;
    d->n_own = docker_places_own_ids(d->own);
    buffer_position_each(s->buffer, take_orphan, d);
    if (d->n_orphans)
        qsort(d->orphans, d->n_orphans, sizeof *d->orphans, by_orphan_id);
    d->events = base_alloc(EVENT_BYTES);
    start_inotify(d);
    find_folders(d);
    docker_folders_visit(d);
    return d;
}

void docker_folders_stop(struct docker_folders *d)
{
    while (d->shared->all)
        forget_container(d, d->shared->all);
    while (d->list) {
        struct docker_folder *f = d->list;

        d->list = f->next;
        if (f->watch >= 0)
            forget_watch(d, f->watch);
        if (f->fd >= 0)
            io_close(f->fd);
        free(f->path);
        free(f);
    }
    loop_io_remove(&d->io);
    loop_timer_remove(&d->look);
    if (d->inotify >= 0)
        io_close(d->inotify);
    free(d->orphans);
    free(d->events);
    free(d);
}
