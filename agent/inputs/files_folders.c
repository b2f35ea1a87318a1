#include "agent/inputs/files_folders.h"

#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/inputs/files_name.h"
#include "agent/inputs/tail_events.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_orphans.h"
#include "agent/inputs/tail_reading.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#define POLL_MS 1000
#define WALK_MS 5000    /* between two looks for folders that fit a pattern */
#define RESCAN_MS 60000 /* between two looks at everything */
#define ORPHAN_KEEP_MS 3600000
#define MAX_DEPTH 32
#define NFS_MAGIC 0x6969
#define CIFS_MAGIC 0xFF534D42u
#define SMB2_MAGIC 0xFE534D42u
#define FUSE_MAGIC 0x65735546
#define P9_MAGIC 0x01021997

#define EVENTS                                                                                     \
    (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE |            \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

/* A rule's pattern for the names of one folder. */
struct pattern {
    struct pattern *next;
    const struct files_rule *rule;
    const char *names; /* the pattern's last part; NULL: only folders below are looked for */
};

struct files_folder {
    struct files_folder *next;
    char *path;
    int fd;    /* -1: gone, its logs are read to their end */
    int watch; /* -1: it is polled */
    struct tail_inode inode;
    struct pattern *patterns; /* in the order of the rules */
    struct files_log *logs;
    uint64_t walk; /* the last one that found it */
};

struct files_folders {
    struct tail_shared *shared;
    const struct files_rule *rules;
    size_t n_rules;
    void (*changed)(void *arg);
    void *arg;
    struct tail_events events;
    struct files_folder *list;
    size_t n_folders, n_logs;
    uint64_t walk;
    bool want_walk, polls, first, watches_used_up, too_many;
    struct tail_orphans orphans;
    uint64_t started_ms, walked_ms, polled_ms, rescanned_ms;
};

/* ---- logs ---- */

static bool fits(const struct pattern *p, const char *folder, const char *name, const char *stem)
{
    return p->names &&
           (fnmatch(p->names, name, FNM_PERIOD) == 0 || fnmatch(p->names, stem, FNM_PERIOD) == 0) &&
           !files_log_is_excluded(p->rule->settings, bytes_str(folder), name);
}

static struct files_log *find_log(const struct files_folder *f, const char *stem)
{
    struct files_log *l = f->logs;

    while (l && strcmp(l->stem, stem) != 0)
        l = l->next;
    return l;
}

/* The log that a name in f belongs to; it is made when there is none yet. NULL when no rule fits.
 */
static struct files_log *log_of(struct files_folders *d, struct files_folder *f, const char *name,
                                struct files_name *n)
{
    const struct pattern *p = f->patterns;
    struct files_log *l, **at = &f->logs;

    if (!files_name_parse(name, n))
        return NULL;
    l = find_log(f, n->stem);
    if (l)
        return files_log_is_excluded(l->rule->settings, bytes_str(f->path), name) ? NULL : l;
    while (p && !fits(p, f->path, name, n->stem))
        p = p->next;
    if (!p)
        return NULL;
    if (d->n_logs == FILES_MAX_LOGS) {
        if (!d->too_many)
            log_warn("too many log files, further ones are not read", LOG_U64("logs", d->n_logs));
        d->too_many = true;
        return NULL;
    }
    l = files_log_create(d->shared, p->rule, f->path, n->stem);
    l->folder = f;
    d->n_logs++;
    l->log.first_seen = !tail_orphans_restore(&d->orphans, &l->log) && d->first;
    tail_log_want_scan(&l->log);
    while (*at)
        at = &(*at)->next;
    *at = l;
    return l;
}

static void forget_log(struct files_folders *d, struct files_log *l)
{
    struct files_log **at = &l->folder->logs;

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    d->n_logs--;
    files_log_free(l);
}

static void rescan(struct files_folders *d, struct files_folder *f, bool look)
{
    DIR *dir = f->fd >= 0 ? io_list(f->fd) : NULL;
    struct dirent *entry;
    struct files_name n;

    while (dir && io_list_next(dir, &entry) > 0)
        if (entry->d_type != DT_DIR)
            log_of(d, f, entry->d_name, &n);
    if (dir)
        io_list_end(dir);
    for (struct files_log *l = f->logs; l && look; l = l->next)
        tail_log_want_scan(&l->log);
}

/* ---- folders ---- */

static bool is_unreal(int fd, bool *remote)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return false;
    switch ((uint64_t)fs.f_type & 0xffffffffu) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEVPTS_SUPER_MAGIC:
        return true;
    case NFS_MAGIC:
    case CIFS_MAGIC:
    case SMB2_MAGIC:
    case FUSE_MAGIC:
    case P9_MAGIC:
        *remote = true;
        return false;
    default:
        return false;
    }
}

static void watch(struct files_folders *d, struct files_folder *f)
{
    char path[40];

    if (d->events.inotify < 0 || f->watch >= 0)
        return;
    /* By the descriptor, so that no link can be put in its place. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", f->fd);
    f->watch = inotify_add_watch(d->events.inotify, path, EVENTS);
    if (f->watch < 0 && errno == ENOSPC && !d->watches_used_up) {
        d->watches_used_up = true;
        log_warn("no inotify watches left, polling log files instead",
                 LOG_STR("knob", "fs.inotify.max_user_watches"));
    }
}

static void lose_folder(struct files_folders *d, struct files_folder *f)
{
    if (f->fd < 0)
        return;
    for (struct files_log *l = f->logs; l; l = l->next)
        if (!l->log.gone)
            tail_log_set_gone(&l->log);
    if (f->watch >= 0)
        inotify_rm_watch(d->events.inotify, f->watch);
    f->watch = -1;
    io_close(f->fd);
    f->fd = -1;
}

static void add_pattern(struct files_folder *f, const struct files_rule *rule, const char *names)
{
    struct pattern **at = &f->patterns;

    for (; *at; at = &(*at)->next)
        if ((*at)->rule == rule && (*at)->names == names)
            return;
    *at = base_calloc(1, sizeof **at);
    (*at)->rule = rule;
    (*at)->names = names;
}

/* The folder of this path, which is open as fd (taken). NULL when it is not to be read. */
static struct files_folder *take_folder(struct files_folders *d, const char *path, int fd)
{
    struct files_folder *f = d->list;
    struct tail_inode inode;
    bool remote = false;

    if (tail_inode_get(fd, NULL, &inode) < 0 || is_unreal(fd, &remote)) {
        io_close(fd);
        return NULL;
    }
    while (f && strcmp(f->path, path) != 0)
        f = f->next;
    if (f && f->fd >= 0 && tail_inode_same(&f->inode, &inode)) {
        io_close(fd);
        return f;
    }
    if (f)
        lose_folder(d, f);
    if (!f) {
        if (d->n_folders == FILES_MAX_FOLDERS) {
            io_close(fd);
            return NULL;
        }
        f = base_calloc(1, sizeof *f);
        f->path = base_strdup(path);
        f->fd = f->watch = -1;
        f->next = d->list;
        d->list = f;
        d->n_folders++;
    }
    f->fd = fd;
    f->inode = inode;
    for (struct files_log *l = f->logs; l; l = l->next) {
        l->log.gone = false;
        tail_log_want_scan(&l->log);
    }
    if (!remote)
        watch(d, f);
    return f;
}

size_t files_folders_fixed(const char *pattern)
{
    size_t n = strcspn(pattern, "*?[");

    while (n > 0 && pattern[n - 1] != '/')
        n--;
    if (pattern[strcspn(pattern, "*?[")] == '\0') /* the last part is a name as it stands */
        n = (size_t)(strrchr(pattern, '/') + 1 - pattern);
    return n > 1 ? n - 1 : 1;
}

/* Goes on with a pattern in the folder `path`, open as fd (taken). */
static void walk(struct files_folders *d, const struct files_rule *rule, const char *rest,
                 const char *path, int fd, unsigned depth)
{
    const char *slash = strchr(rest, '/');
    struct files_folder *f = take_folder(d, path, fd);
    char part[NAME_MAX + 1], below[4096];
    struct dirent *entry;
    DIR *dir;

    if (!f)
        return;
    f->walk = d->walk;
    if (!slash) {
        add_pattern(f, rule, rest);
        return;
    }
    add_pattern(f, rule, NULL);
    if (depth == MAX_DEPTH || (size_t)(slash - rest) >= sizeof part)
        return;
    memcpy(part, rest, (size_t)(slash - rest));
    part[slash - rest] = '\0';
    dir = io_list(f->fd);
    while (dir && io_list_next(dir, &entry) > 0) {
        int below_fd;

        if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
            continue;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fnmatch(part, entry->d_name, FNM_PERIOD) != 0)
            continue;
        if ((size_t)snprintf(below, sizeof below, "%s%s%s", path, path[1] ? "/" : "",
                             entry->d_name) >= sizeof below)
            continue;
        below_fd = io_open(f->fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (below_fd >= 0)
            walk(d, rule, slash + 1, below, below_fd, depth + 1);
    }
    if (dir)
        io_list_end(dir);
}

static void walk_all(struct files_folders *d)
{
    d->walk++;
    d->want_walk = false;
    d->walked_ms = d->shared->now_ms;
    for (size_t i = 0; i < d->n_rules; i++) {
        for (char *const *p = d->rules[i].settings->paths; *p; p++) {
            size_t n = files_folders_fixed(*p);
            char path[4096];
            int fd;

            if (n >= sizeof path)
                continue;
            memcpy(path, *p, n);
            path[n] = '\0';
            fd = io_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
            if (fd >= 0)
                walk(d, &d->rules[i], *p + n + (n > 1), path, fd, 0);
            else if (errno == EACCES || errno == EPERM)
                log_warn("cannot open a folder of log files", LOG_STR("path", path),
                         LOG_STR("reason", strerror(errno)),
                         LOG_STR("knob", "run as root or with CAP_DAC_READ_SEARCH"));
        }
    }
    for (struct files_folder *f = d->list; f; f = f->next) {
        if (f->walk != d->walk)
            lose_folder(d, f);
        else
            rescan(d, f, false);
    }
}

/* ---- events ---- */

static void handle_event(void *arg, const struct inotify_event *e)
{
    struct files_folders *d = arg;
    struct files_folder *f = d->list;
    struct files_name n;
    struct files_log *l;

    if (e->mask & IN_Q_OVERFLOW) {
        log_warn("inotify events were lost, looking at all log files again",
                 LOG_STR("knob", "fs.inotify.max_queued_events"));
        d->want_walk = true;
        d->rescanned_ms = 0;
        return;
    }
    while (f && f->watch != e->wd)
        f = f->next;
    if (!f)
        return;
    if (e->mask & IN_IGNORED)
        f->watch = -1;
    if ((e->mask & (IN_ISDIR | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))) {
        d->want_walk |= !(e->mask & (IN_MODIFY | IN_CLOSE_WRITE));
        return;
    }
    l = e->len ? log_of(d, f, e->name, &n) : NULL;
    if (l)
        tail_log_event(&l->log, e->mask, n.index, n.compressed);
}

static void on_portion(void *arg)
{
    files_folders_visit(arg);
}

static void on_looked(void *arg)
{
    struct files_folders *d = arg;

    if (d->want_walk) {
        walk_all(d);
        files_folders_visit(d);
    }
    d->changed(d->arg);
}

void files_folders_visit(struct files_folders *d)
{
    struct tail_log *log;

    while ((log = tail_log_take_visit(d->shared))) {
        struct files_folder *f = files_log_of(log)->folder;

        if (!log->gone && f->fd >= 0 && !tail_log_visit(log, f->fd, "."))
            tail_log_set_gone(log);
    }
}

/* ---- by the clock ---- */

bool files_folders_polls(const struct files_folders *d)
{
    return d->polls;
}

static void free_folder(struct files_folder *f)
{
    while (f->patterns) {
        struct pattern *p = f->patterns;

        f->patterns = p->next;
        free(p);
    }
    if (f->fd >= 0)
        io_close(f->fd);
    free(f->path);
    free(f);
}

static void forget_folders(struct files_folders *d)
{
    for (struct files_folder **at = &d->list; *at;) {
        struct files_folder *f = *at;

        if (f->fd >= 0 || f->logs) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        d->n_folders--;
        free_folder(f);
    }
}

/* Nothing of it is left. */
static bool is_over(const struct tail_log *log)
{
    return !log->files && (log->gone || (log->scan > 0 && !log->known && !log->wants_visit &&
                                         log->hold_until_ms == 0 && !log->denied));
}

void files_folders_tick(struct files_folders *d)
{
    struct tail_shared *s = d->shared;
    bool all = tail_events_due(&d->rescanned_ms, s->now_ms, RESCAN_MS);
    bool poll = tail_events_due(&d->polled_ms, s->now_ms, POLL_MS) && d->polls;

    if (all || d->want_walk || s->now_ms - d->walked_ms >= WALK_MS)
        walk_all(d);
    if (d->orphans.n && s->now_ms - d->started_ms >= ORPHAN_KEEP_MS)
        tail_orphans_drop(&d->orphans, s->buffer);
    d->polls = false;
    for (struct files_folder *f = d->list; f; f = f->next) {
        if (f->fd >= 0 && (all || (poll && f->watch < 0)))
            rescan(d, f, true);
        d->polls |= f->fd >= 0 && f->watch < 0;
    }
    for (struct tail_log *log = s->all, *next; log; log = next) {
        next = log->next_all;
        tail_reading_tick(log);
        if (!is_over(log))
            continue;
        tail_files_forget_log(log);
        forget_log(d, files_log_of(log));
    }
    forget_folders(d);
    files_folders_visit(d);
}

/* ---- life ---- */

struct files_folders *files_folders_start(struct tail_shared *s, const struct files_rule *rules,
                                          size_t n, struct loop *loop, void (*changed)(void *arg),
                                          void *arg)
{
    struct files_folders *d = base_calloc(1, sizeof *d);

    d->shared = s;
    d->rules = rules;
    d->n_rules = n;
    d->changed = changed;
    d->arg = arg;
    d->first = true;
    d->started_ms = d->polled_ms = d->rescanned_ms = s->now_ms;
    tail_orphans_take(&d->orphans, s->buffer, TAIL_ID_PATH);
    s->orphans = &d->orphans;
    d->events = (struct tail_events){
        .handle = handle_event, .visit = on_portion, .looked = on_looked, .arg = d};
    tail_events_start(&d->events, s, loop, "cannot use inotify, polling log files instead");
    walk_all(d);
    d->first = false;
    files_folders_visit(d);
    return d;
}

void files_folders_stop(struct files_folders *d)
{
    while (d->list) {
        struct files_folder *f = d->list;

        while (f->logs)
            forget_log(d, f->logs);
        d->list = f->next;
        free_folder(f);
    }
    tail_events_stop(&d->events);
    tail_orphans_fini(&d->orphans);
    free(d);
}
