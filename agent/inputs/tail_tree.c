#include "agent/inputs/tail_tree.h"

#include "agent/base/hash.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
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
#define WALK_MS                                                                                    \
    5000 /* between two looks at where the patterns begin, and for what could not be opened */
#define RESCAN_MS 60000 /* between two looks at everything */
#define ORPHAN_KEEP_MS 3600000
#define MAX_DEPTH 32
#define PATH_BUCKETS 4096
#define NFS_MAGIC 0x6969
#define CIFS_MAGIC 0xFF534D42u
#define SMB2_MAGIC 0xFE534D42u
#define FUSE_MAGIC 0x65735546
#define P9_MAGIC 0x01021997

#define NAME_EVENTS (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)
#define EVENTS                                                                                     \
    (NAME_EVENTS | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

/* A rule's pattern for the names of one folder. */
struct pattern {
    struct pattern *next;
    const void *rule;
    const char *names; /* the pattern's last part; NULL: only folders below are looked for */
    struct tail_tree_link *link; /* owned; by which the folder was found, or NULL */
};

struct tail_tree_folder {
    struct tail_tree_folder *next, *next_path;
    char *path;
    bool there; /* false: gone, its logs are read to their end */
    int fd;     /* -1: opened for each look, so that logs have descriptors, too (open_folder) */
    int watch;  /* -1: it is polled. Folders that are one, by different paths, have the same */
    struct tail_inode inode;
    struct pattern *patterns; /* in the order of the rules */
    struct tail_tree_log *logs;
    uint64_t walk; /* the last one that found it */
};

struct tail_tree {
    struct tail_shared *shared;
    const struct tail_tree_use *use;
    void *arg; /* of use */
    const struct tail_tree_pattern *patterns;
    struct tail_inode *roots; /* what the patterns' fixed folders were at the last walk */
    size_t n_patterns;
    void (*changed)(void *arg);
    void *changed_arg;
    struct tail_events events;
    struct tail_tree_folder *list;
    struct tail_tree_folder *paths[PATH_BUCKETS];
    size_t n_folders, n_logs;
    uint64_t walk;
    bool want_walk, incomplete, polls, first, too_many, too_many_folders;
    struct tail_orphans orphans;
    uint64_t started_ms, polled_ms, rescanned_ms, looked_ms;
};

/* ---- descriptors of folders ---- */

/* Also where nothing holds its number, which another one may have got. */
static bool is_same(const struct tail_inode *a, const struct tail_inode *b)
{
    return tail_inode_same(a, b) && a->btime_ns == b->btime_ns;
}

/* errno: EMFILE or ENFILE. */
static void say_used_up(struct tail_tree *d, const char *path)
{
    d->incomplete = true;
    log_warn("no descriptor left for a folder of log files", LOG_STR("path", path),
             LOG_STR("knob", errno == EMFILE ? "LimitNOFILE (ulimit -n)" : "fs.file-max"));
}

/* The folder, which is there, for close_folder: the one that was found, whatever its path leads
 * through by now. -1: it cannot be had, now or any more, and is looked for again. */
static int open_folder(struct tail_tree *d, const struct tail_tree_folder *f)
{
    struct tail_inode now;
    int fd = f->fd;

    if (fd >= 0)
        return fd;
    fd = io_open(AT_FDCWD, f->path, O_RDONLY | O_DIRECTORY, 0);
    if (fd >= 0 && tail_inode_get(fd, NULL, &now) == 0 && is_same(&f->inode, &now))
        return fd;
    d->shared->attention = true;
    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        say_used_up(d, f->path);
    else
        d->want_walk = true;
    if (fd >= 0)
        io_close(fd);
    return -1;
}

/* fd: not -1. f: whose it may be, or NULL. */
static void close_folder(const struct tail_tree_folder *f, int fd)
{
    if (!f || f->fd != fd)
        io_close(fd);
}

/* ---- logs ---- */

static bool is_excluded(const struct tail_tree *d, const void *rule, const char *folder,
                        const char *name)
{
    return d->use->is_excluded && d->use->is_excluded(rule, folder, name);
}

static bool fits(const struct tail_tree *d, const struct pattern *p, const char *folder,
                 const char *name, const char *stem)
{
    return p->names &&
           (fnmatch(p->names, name, FNM_PERIOD) == 0 || fnmatch(p->names, stem, FNM_PERIOD) == 0) &&
           !is_excluded(d, p->rule, folder, name);
}

static struct tail_tree_log *find_log(const struct tail_tree_folder *f, const char *stem)
{
    struct tail_tree_log *l = f->logs;

    while (l && strcmp(l->stem, stem) != 0)
        l = l->next;
    return l;
}

/* Links are followed by walk, where they are at all. */
static bool is_link(struct tail_tree *d, const struct tail_tree_folder *f, const char *name)
{
    struct stat st;
    bool link;
    int fd = d->use->follow ? open_folder(d, f) : -1;

    if (fd < 0)
        return false;
    link = io_stat_at(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
    close_folder(f, fd);
    return link;
}

/* The log that a name in f belongs to; it is made when there is none yet. NULL when no rule fits.
 */
static struct tail_tree_log *log_of(struct tail_tree *d, struct tail_tree_folder *f,
                                    const char *name, struct tail_name *n)
{
    const struct pattern *p = f->patterns;
    struct tail_tree_log *l, **at = &f->logs;

    if (!d->use->parse(name, n))
        return NULL;
    l = find_log(f, n->stem);
    if (l)
        return is_excluded(d, l->rule, f->path, name) ? NULL : l;
    while (p && !fits(d, p, f->path, name, n->stem))
        p = p->next;
    if (!p)
        return NULL;
    if (is_link(d, f, name))
        return NULL;
    if (d->n_logs == TAIL_TREE_MAX_LOGS) {
        if (!d->too_many)
            log_warn("too many log files, further ones are not read", LOG_U64("logs", d->n_logs));
        d->too_many = true;
        return NULL;
    }
    l = d->use->create(d->arg, p->rule, p->link, f->path, n->stem);
    if (!l)
        return NULL;
    l->folder = f;
    l->rule = p->rule;
    d->n_logs++;
    l->log.first_seen = !tail_orphans_restore(&d->orphans, &l->log) && d->first;
    tail_log_want_scan(&l->log);
    while (*at)
        at = &(*at)->next;
    *at = l;
    return l;
}

static void forget_log(struct tail_tree *d, struct tail_tree_log *l)
{
    struct tail_tree_log **at = &l->folder->logs;

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    d->n_logs--;
    d->use->free(l);
}

static void rescan(struct tail_tree *d, struct tail_tree_folder *f, bool look)
{
    int fd = f->there ? open_folder(d, f) : -1;
    DIR *dir = fd >= 0 ? io_list(fd) : NULL;
    struct dirent *entry;
    struct tail_name n;

    while (dir && io_list_next(dir, &entry) > 0)
        if (entry->d_type != DT_DIR && !(entry->d_type == DT_LNK && d->use->follow))
            log_of(d, f, entry->d_name, &n);
    if (dir)
        io_list_end(dir);
    if (fd >= 0)
        close_folder(f, fd);
    for (struct tail_tree_log *l = f->logs; l && look; l = l->next)
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

/* f is open as fd. */
static void watch(struct tail_tree *d, struct tail_tree_folder *f, int fd)
{
    char path[40];

    if (f->watch >= 0)
        return;
    /* By the descriptor, so that no link can be put in its place. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    f->watch = tail_events_watch(&d->events, path, EVENTS, f);
}

static void watch_again(struct tail_tree *d, struct tail_tree_folder *f)
{
    int fd = open_folder(d, f);

    f->watch = -1;
    if (fd < 0)
        return;
    watch(d, f, fd);
    close_folder(f, fd);
}

static void lose_folder(struct tail_tree *d, struct tail_tree_folder *f)
{
    int wd = f->watch;

    if (!f->there)
        return;
    for (struct tail_tree_log *l = f->logs; l; l = l->next)
        if (!l->log.gone)
            tail_log_set_gone(&l->log);
    tail_events_unwatch(&d->events, f->watch, f);
    if (f->fd >= 0)
        io_close(f->fd);
    f->fd = f->watch = -1;
    f->there = false;
    for (struct tail_tree_folder *twin = d->list; twin; twin = twin->next)
        if (twin->watch == wd && wd >= 0)
            watch_again(d, twin);
}

static struct tail_tree_folder **path_at(struct tail_tree *d, const char *path)
{
    struct tail_tree_folder **at = &d->paths[hash_64(0, path, strlen(path)) % PATH_BUCKETS];

    while (*at && strcmp((*at)->path, path) != 0)
        at = &(*at)->next_path;
    return at;
}

static void add_pattern(struct tail_tree_folder *f, const void *rule, const char *names,
                        struct tail_tree_link *link)
{
    struct pattern **at = &f->patterns;

    for (; *at; at = &(*at)->next)
        if ((*at)->rule == rule && (*at)->names == names)
            return;
    *at = base_calloc(1, sizeof **at);
    (*at)->rule = rule;
    (*at)->names = names;
    (*at)->link = link;
}

/* NULL: there are too many. */
static struct tail_tree_folder *create_folder(struct tail_tree *d, const char *path)
{
    struct tail_tree_folder *f;

    if (d->n_folders == TAIL_TREE_MAX_FOLDERS) {
        if (!d->too_many_folders)
            log_warn("too many folders of log files, further ones are not read",
                     LOG_U64("folders", d->n_folders));
        d->too_many_folders = true;
        return NULL;
    }
    f = base_calloc(1, sizeof *f);
    f->path = base_strdup(path);
    f->fd = f->watch = -1;
    f->next = d->list;
    d->list = f;
    *path_at(d, path) = f;
    d->n_folders++;
    return f;
}

/* The folder of this path, which is open as fd: for close_folder afterwards. NULL when it is not to
 * be read. */
static struct tail_tree_folder *take_folder(struct tail_tree *d, const char *path, int fd)
{
    struct tail_tree_folder *f = *path_at(d, path);
    struct tail_inode inode;
    bool remote = false;

    if (tail_inode_get(fd, NULL, &inode) < 0 || is_unreal(fd, &remote))
        return NULL;
    if (f && f->there && is_same(&f->inode, &inode))
        return f;
    if (f)
        lose_folder(d, f);
    else
        f = create_folder(d, path);
    if (!f)
        return NULL;
    f->there = true;
    /* Numbers are given out from the lowest: of those that are for files half are left to logs. */
    f->fd = fd < d->shared->spare_from / 2 ? fd : -1;
    f->inode = inode;
    for (struct tail_tree_log *l = f->logs; l; l = l->next) {
        l->log.gone = l->log.over = false;
        tail_log_want_scan(&l->log);
    }
    if (!remote)
        watch(d, f, fd);
    return f;
}

size_t tail_tree_fixed(const char *pattern)
{
    size_t n = strcspn(pattern, "*?[");

    while (n > 0 && pattern[n - 1] != '/')
        n--;
    if (pattern[strcspn(pattern, "*?[")] == '\0') /* the last part is a name as it stands */
        n = (size_t)(strrchr(pattern, '/') + 1 - pattern);
    return n > 1 ? n - 1 : 1;
}

/* A folder could not be opened. */
static void say_closed(struct tail_tree *d, const char *path)
{
    if (errno == EMFILE || errno == ENFILE)
        say_used_up(d, path);
    if (errno != EACCES && errno != EPERM)
        return;
    d->incomplete = true;
    log_warn("cannot open a folder of log files", LOG_STR("path", path),
             LOG_STR("reason", strerror(errno)),
             LOG_STR("knob", "run as root or with CAP_DAC_READ_SEARCH"));
}

/* What stands in a log's place in f, which is open as folder, and leads elsewhere. */
static void follow_links(struct tail_tree *d, const struct tail_tree_folder *f, int folder)
{
    DIR *dir = d->use->follow ? io_list(folder) : NULL;
    struct dirent *entry;
    struct tail_name n;

    while (dir && io_list_next(dir, &entry) > 0) {
        struct tail_tree_link *link;
        struct tail_tree_folder *to = NULL;
        int fd;

        if ((entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) ||
            !d->use->parse(entry->d_name, &n))
            continue;
        link = d->use->follow(d->arg, folder, f->path, entry->d_name);
        if (!link)
            continue;
        fd = io_open(AT_FDCWD, link->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (fd >= 0)
            to = take_folder(d, link->folder, fd);
        else
            say_closed(d, link->folder);
        if (to)
            to->walk = d->walk;
        if (to && !to->patterns)
            add_pattern(to, NULL, link->names, link);
        else
            d->use->free_link(link);
        if (fd >= 0)
            close_folder(to, fd);
    }
    if (dir)
        io_list_end(dir);
}

static void walk(struct tail_tree *d, const void *rule, const char *rest, const char *path, int fd,
                 unsigned depth);

/* Goes on with a pattern in the folders below `path`, open as fd. */
static void walk_below(struct tail_tree *d, const void *rule, const char *rest, const char *path,
                       int fd, unsigned depth)
{
    const char *slash = strchr(rest, '/');
    char part[NAME_MAX + 1], below[4096];
    struct dirent *entry;
    DIR *dir;

    if (depth == MAX_DEPTH || (size_t)(slash - rest) >= sizeof part)
        return;
    memcpy(part, rest, (size_t)(slash - rest));
    part[slash - rest] = '\0';
    dir = io_list(fd);
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
        below_fd = io_open(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (below_fd >= 0)
            walk(d, rule, slash + 1, below, below_fd, depth + 1);
        else if (errno == EMFILE || errno == ENFILE)
            say_used_up(d, below);
        else
            d->incomplete |= errno != ENOENT && errno != ENOTDIR && errno != ELOOP;
    }
    if (dir)
        io_list_end(dir);
}

/* The same in the folder itself. fd is taken. */
static void walk(struct tail_tree *d, const void *rule, const char *rest, const char *path, int fd,
                 unsigned depth)
{
    struct tail_tree_folder *f = take_folder(d, path, fd);
    bool last = !strchr(rest, '/');

    if (f) {
        f->walk = d->walk;
        add_pattern(f, rule, last ? rest : NULL, NULL);
        if (last)
            follow_links(d, f, fd);
        else
            walk_below(d, rule, rest, path, fd, depth);
    }
    close_folder(f, fd);
}

/* The folder that pattern i begins with; -1 with errno. */
static int open_root(const struct tail_tree *d, size_t i, char path[4096])
{
    size_t n = tail_tree_fixed(d->patterns[i].path);

    if (n >= 4096) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(path, d->patterns[i].path, n);
    path[n] = '\0';
    return io_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

static void walk_pattern(struct tail_tree *d, size_t i)
{
    const struct tail_tree_pattern *p = &d->patterns[i];
    size_t n = tail_tree_fixed(p->path);
    char path[4096];
    int fd = open_root(d, i, path);

    d->roots[i] = (struct tail_inode){0};
    if (fd >= 0) {
        tail_inode_get(fd, NULL, &d->roots[i]);
        walk(d, p->rule, p->path + n + (n > 1), path, fd, 0);
        return;
    }
    say_closed(d, path);
}

/* Whether what a pattern begins with is another folder than at the last walk: no event tells. */
static bool roots_changed(const struct tail_tree *d)
{
    for (size_t i = 0; i < d->n_patterns; i++) {
        struct tail_inode now = {0};
        char path[4096];
        int fd = open_root(d, i, path);

        if (fd >= 0) {
            tail_inode_get(fd, NULL, &now);
            io_close(fd);
        }
        if (!tail_inode_same(&now, &d->roots[i]))
            return true;
    }
    return false;
}

/* Whether f, which the walk has not found, is there no more. Where something could not be opened it
 * is asked for by its name: what is taken for gone is forgotten, and begins anew when it is found.
 */
static bool is_gone(const struct tail_tree *d, const struct tail_tree_folder *f)
{
    struct tail_inode now;
    char path[4096 + 2];

    if (!d->incomplete)
        return true;
    snprintf(path, sizeof path, "%s/.", f->path);
    if (tail_inode_get(AT_FDCWD, path, &now) < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
    return !is_same(&now, &f->inode);
}

static void walk_all(struct tail_tree *d)
{
    d->walk++;
    d->want_walk = d->incomplete = false;
    for (size_t i = 0; i < d->n_patterns; i++)
        walk_pattern(d, i);
    for (struct tail_tree_folder *f = d->list; f; f = f->next) {
        if (f->walk == d->walk)
            rescan(d, f, false);
        else if (f->there && is_gone(d, f))
            lose_folder(d, f);
    }
}

/* ---- events ---- */

static void overflowed(void *arg)
{
    struct tail_tree *d = arg;

    log_warn("inotify events were lost, looking at all log files again",
             LOG_STR("knob", "fs.inotify.max_queued_events"));
    d->want_walk = true;
    d->rescanned_ms = 0;
}

static void handle_event(void *arg, void *of, const struct inotify_event *e)
{
    struct tail_tree *d = arg;
    struct tail_tree_folder *f = of;
    struct tail_name n;
    struct tail_tree_log *l;

    for (struct tail_tree_folder *twin = d->list; e->mask & IN_IGNORED && twin; twin = twin->next)
        if (twin->watch == e->wd)
            twin->watch = -1;
    if ((e->mask & (IN_ISDIR | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))) {
        d->want_walk |= !(e->mask & (IN_MODIFY | IN_CLOSE_WRITE));
        return;
    }
    l = e->len ? log_of(d, f, e->name, &n) : NULL;
    if (l)
        tail_log_event(&l->log, e->mask, n.index, n.compressed);
    else if (d->use->follow && e->len && (e->mask & NAME_EVENTS) && d->use->parse(e->name, &n))
        d->want_walk = true; /* a link, maybe */
}

/* Looks at the logs for which that is wanted. */
static void visit(void *arg)
{
    struct tail_tree *d = arg;
    struct tail_log *log;

    while ((log = tail_log_take_visit(d->shared))) {
        struct tail_tree_folder *f = tail_tree_log_of(log)->folder;
        int fd;

        if (log->gone || !f->there)
            continue;
        fd = open_folder(d, f);
        if (fd < 0) {
            log->retry_ms = d->shared->now_ms + TAIL_RETRY_MS;
            continue;
        }
        if (!tail_log_visit(log, fd, "."))
            tail_log_set_gone(log);
        close_folder(f, fd);
    }
}

static void on_looked(void *arg)
{
    struct tail_tree *d = arg;

    if (d->want_walk) {
        walk_all(d);
        visit(d);
    }
    d->changed(d->changed_arg);
}

/* ---- by the clock ---- */

static bool polls(void *arg)
{
    const struct tail_tree *d = arg;

    return d->polls;
}

static void free_folder(const struct tail_tree_use *use, struct tail_tree_folder *f)
{
    while (f->patterns) {
        struct pattern *p = f->patterns;

        f->patterns = p->next;
        if (p->link)
            use->free_link(p->link);
        free(p);
    }
    if (f->fd >= 0)
        io_close(f->fd);
    free(f->path);
    free(f);
}

static void forget_folders(struct tail_tree *d)
{
    for (struct tail_tree_folder **at = &d->list; *at;) {
        struct tail_tree_folder *f = *at;

        if (f->there || f->logs) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        *path_at(d, f->path) = f->next_path;
        d->n_folders--;
        free_folder(d->use, f);
    }
}

/* Nothing of it is left. */
static bool is_over(const struct tail_log *log)
{
    return !log->files && (log->gone || (log->scan > 0 && !log->known && !log->wants_visit &&
                                         log->hold_until_ms == 0 && !log->denied));
}

static void tick(void *arg)
{
    struct tail_tree *d = arg;
    struct tail_shared *s = d->shared;
    bool all = tail_events_due(&d->rescanned_ms, s->now_ms, RESCAN_MS);
    bool poll = tail_events_due(&d->polled_ms, s->now_ms, POLL_MS) && d->polls;

    if (all || d->want_walk ||
        (tail_events_due(&d->looked_ms, s->now_ms, WALK_MS) &&
         (d->incomplete || d->polls || roots_changed(d))))
        walk_all(d);
    if (d->orphans.n && s->now_ms - d->started_ms >= ORPHAN_KEEP_MS)
        tail_orphans_drop(&d->orphans, s->buffer);
    d->polls = false;
    for (struct tail_tree_folder *f = d->list; f; f = f->next) {
        if (f->there && (all || (poll && f->watch < 0)))
            rescan(d, f, true);
        d->polls |= f->there && f->watch < 0;
    }
    for (struct tail_log *log = s->all, *next; log; log = next) {
        next = log->next_all;
        tail_reading_tick(log);
        if (!is_over(log))
            continue;
        tail_files_forget_log(log);
        forget_log(d, tail_tree_log_of(log));
    }
    forget_folders(d);
    visit(d);
}

/* ---- life ---- */

const struct tail_folders tail_tree_turns = {
    .visit = visit, .tick = tick, .polls = polls, .idle_ms = WALK_MS};

struct tail_tree *tail_tree_start(struct tail_shared *s, const struct tail_tree_use *use, void *arg,
                                  const struct tail_tree_pattern *patterns, size_t n,
                                  struct loop *loop, void (*changed)(void *arg), void *changed_arg)
{
    struct tail_tree *d = base_calloc(1, sizeof *d);

    d->shared = s;
    d->use = use;
    d->arg = arg;
    d->patterns = patterns;
    d->n_patterns = n;
    d->roots = base_calloc(n ? n : 1, sizeof *d->roots);
    d->changed = changed;
    d->changed_arg = changed_arg;
    d->first = true;
    d->started_ms = d->polled_ms = d->rescanned_ms = d->looked_ms = s->now_ms;
    tail_orphans_take(&d->orphans, s->buffer, use->id);
    s->orphans = &d->orphans;
    d->events.no_inotify = use->polling;
    d->events.no_watches = "no inotify watches left, polling log files instead";
    d->events.handle = handle_event;
    d->events.lost = overflowed;
    d->events.visit = visit;
    d->events.looked = on_looked;
    d->events.arg = d;
    tail_events_start(&d->events, s, loop);
    walk_all(d);
    d->first = false;
    visit(d);
    return d;
}

void tail_tree_stop(struct tail_tree *d)
{
    while (d->list) {
        struct tail_tree_folder *f = d->list;

        while (f->logs)
            forget_log(d, f->logs);
        d->list = f->next;
        free_folder(d->use, f);
    }
    tail_events_stop(&d->events);
    tail_orphans_fini(&d->orphans);
    free(d->roots);
    free(d);
}
