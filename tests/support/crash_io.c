/*
 * crash_io: agent/base/io.c for a test build of the whole program (build/barge-crash): a disk that
 * forgets and fails. Two things, each asked for by the environment; without them it is io.c.
 *
 * BARGE_FAULTS="RULE; RULE…", where a RULE is
 *     stop CALL[@NAME] N [before|half|after]    SIGKILL at the Nth such call, counted from 1
 *     fail CALL[@NAME] N ERRNO [COUNT]          it and COUNT-1 more fail (0: all from there on)
 * CALL: create write sync dirsync truncate allocate rename link unlink mkdir, or any of them. NAME:
 * pattern (fnmatch) for the last part of the path; of a rename, the new one. half: of a write, the
 * first half of its bytes reaches the file. A write that fails does so half-way, too.
 *
 * BARGE_DISK="ROOT SHADOW" (same file system) keeps beside the files below ROOT, which are what the
 * page cache shows, what the platter has: what a loss of power would leave.
 *     SHADOW/disk/INODE    bytes as of its last fsync
 *     SHADOW/lost/INODE    a byte for each sector: 1 when a failed fsync left it clean, but not
 *                          written
 *     SHADOW/names/FOLDER  its names as of its last fsync: "INODE TYPE NAME" a line; / in FOLDER is
 *                          written as %, ROOT itself is %
 *     SHADOW/live/INODE    a link to the file, so that no inode number comes twice and a file
 *                          whose unlink was not fsynced can come back
 * All of it survives kill -9, and goes on in the next life. tests/support/disk.py begins it and
 * cuts the power. Nothing is fsynced for real then.
 *
 * The sandbox is left out (--wrap): neither the shadow nor links are among what the agent may do.
 *
 * One call at a time, as the bookkeeping must not see a file change.
 */
#include "agent/base/base.h"
#include "agent/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SECTOR 512
#define MAX_RULES 16
#define MAX_FILES 64

enum call {
    CREATE,
    WRITE,
    SYNC,
    DIRSYNC,
    TRUNCATE,
    ALLOCATE,
    RENAME,
    LINK,
    UNLINK,
    MKDIR,
    ANY,
    CALLS
};

static const char *const call_names[CALLS] = {"create",   "write",    "sync",   "dirsync",
                                              "truncate", "allocate", "rename", "link",
                                              "unlink",   "mkdir",    "any"};

struct rule {
    enum call call;
    char name[64]; /* "": any */
    unsigned long n, count, seen;
    bool stop;
    enum { BEFORE, HALF, AFTER } when;
    int error;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule rules[MAX_RULES];
static size_t n_rules;
static char root[1024], shadow[1024]; /* "": nothing is kept */

/* Where a file may differ from its copy on disk; a file that is not listed: anywhere. */
static struct changed {
    ino_t ino;
    off_t from;
} changed[MAX_FILES];
static size_t n_changed;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "crash_io: %s: %s\n", what, strerror(errno));
    abort();
}

static _Noreturn void stop_here(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* ---- what the environment asks for ---- */

static int errno_of(const char *name)
{
    static const struct {
        const char *name;
        int error;
    } known[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EDQUOT", EDQUOT},
                 {"EROFS", EROFS},   {"EMFILE", EMFILE}, {"ENOENT", ENOENT}};

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].error;
    errno = EINVAL;
    die(name);
}

static void read_rule(const char *text)
{
    char kind[8] = "", call[80] = "", what[16] = "before", *at;
    struct rule *r = &rules[n_rules++];

    *r = (struct rule){.call = CALLS, .count = 1};
    if (n_rules > MAX_RULES ||
        sscanf(text, "%7s %79s %lu %15s %lu", kind, call, &r->n, what, &r->count) < 3)
        die(text);
    at = strchr(call, '@');
    if (at) {
        *at = '\0';
        snprintf(r->name, sizeof r->name, "%.63s", at + 1);
    }
    for (enum call c = 0; c < CALLS; c++)
        if (strcmp(call_names[c], call) == 0)
            r->call = c;
    r->stop = strcmp(kind, "stop") == 0;
    if (r->call == CALLS || r->n == 0)
        die(text);
    if (r->stop)
        r->when = strcmp(what, "half") == 0 ? HALF : strcmp(what, "after") == 0 ? AFTER : BEFORE;
    else
        r->error = errno_of(what);
}

static __attribute__((constructor)) void begin(void)
{
    const char *faults = getenv("BARGE_FAULTS"), *disk = getenv("BARGE_DISK");

    if (faults && *faults) {
        char *copy = strdup(faults), *save = NULL;

        for (char *p = strtok_r(copy, ";", &save); p; p = strtok_r(NULL, ";", &save))
            read_rule(p);
        free(copy);
    }
    if (disk && *disk &&
        (sscanf(disk, "%1023s %1023s", root, shadow) != 2 || root[0] != '/' || shadow[0] != '/'))
        die("BARGE_DISK wants two absolute paths");
}

/* ---- faults ---- */

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void path_of(int fd, char to[PATH_MAX])
{
    char self[64];
    ssize_t n;

    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    n = readlink(self, to, PATH_MAX - 1);
    to[MAX(n, 0)] = '\0';
}

/* Counts a call; name NULL: that of fd. Returns the rule that it falls under, which has killed us
 * where it says before; errno is what a failing one says. */
static struct rule *fault(enum call call, int fd, const char *name)
{
    struct rule *hit = NULL;
    char path[PATH_MAX] = "";

    for (size_t i = 0; i < n_rules; i++) {
        struct rule *r = &rules[i];

        if (r->call != call && r->call != ANY)
            continue;
        if (r->name[0] && !name && !path[0])
            path_of(fd, path);
        if (r->name[0] && fnmatch(r->name, last_part(name ? name : path), 0) != 0)
            continue;
        r->seen++;
        if (r->seen >= r->n && (r->seen < r->n + r->count || r->count == 0) && !hit)
            hit = r;
    }
    if (hit && hit->stop && (hit->when == BEFORE || (hit->when == HALF && call != WRITE)))
        stop_here();
    if (hit)
        errno = hit->error;
    return hit;
}

/* Behind the call. */
static void stop_after(const struct rule *r)
{
    if (r && r->stop)
        stop_here();
}

#define FAILS(r) ((r) && !(r)->stop)

/* ---- what is on disk ---- */

static void shadow_path(char to[2 * PATH_MAX], const char *kind, ino_t ino)
{
    snprintf(to, 2 * PATH_MAX, "%s/%s/%llu", shadow, kind, (unsigned long long)ino);
}

/* Whether fd is a file whose fate is recorded. */
static bool recorded(int fd, struct stat *st)
{
    char live[2 * PATH_MAX];

    if (!shadow[0] || fstat(fd, st) < 0 || !S_ISREG(st->st_mode))
        return false;
    shadow_path(live, "live", st->st_ino);
    return access(live, F_OK) == 0;
}

static struct changed *changed_of(ino_t ino)
{
    for (size_t i = 0; i < n_changed; i++)
        if (changed[i].ino == ino)
            return &changed[i];
    return NULL;
}

/* A file that is opened for writing: recorded from now on, when it lies below root. */
static void record(int fd)
{
    char path[PATH_MAX], self[64], to[2 * PATH_MAX];
    struct stat st;

    path_of(fd, path);
    if (strncmp(path, root, strlen(root)) != 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    shadow_path(to, "live", st.st_ino);
    if (linkat(AT_FDCWD, self, AT_FDCWD, to, AT_SYMLINK_FOLLOW) < 0) {
        if (errno != EEXIST)
            die(to);
        return;
    }
    /* The number may have been another file's. */
    if (changed_of(st.st_ino))
        *changed_of(st.st_ino) = (struct changed){st.st_ino, 0};
    shadow_path(to, "disk", st.st_ino);
    unlink(to);
    shadow_path(to, "lost", st.st_ino);
    unlink(to);
}

static int open_shadow(const char *kind, ino_t ino, int flags)
{
    char path[2 * PATH_MAX];
    int fd;

    shadow_path(path, kind, ino);
    fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0 && (flags & O_CREAT))
        die(path);
    return fd;
}

static void set_lost(ino_t ino, off_t from, off_t to, char value)
{
    int fd = open_shadow("lost", ino, value ? O_RDWR | O_CREAT : O_RDWR);

    if (fd < 0)
        return;
    for (off_t s = from / SECTOR; s * SECTOR < to; s++)
        if (pwrite(fd, &value, 1, s) != 1)
            die("lost");
    close(fd);
}

static bool is_lost(int lost, off_t at)
{
    char c = 0;

    return lost >= 0 && pread(lost, &c, 1, at / SECTOR) == 1 && c;
}

/* Bytes [from, to) are about to change. */
static void note_change(int fd, off_t from, off_t to)
{
    struct changed *c;
    struct stat st;

    if (!recorded(fd, &st))
        return;
    c = changed_of(st.st_ino);
    if (c)
        c->from = MIN(c->from, from);
    set_lost(st.st_ino, from, to, 0);
}

/* What an fsync brings to the disk, sector by sector; failed: what it then never will. */
static void note_sync(int fd, bool failed)
{
    struct changed *c;
    struct stat st;
    int live, disk, lost;
    char path[2 * PATH_MAX], is[SECTOR], was[SECTOR];

    if (!recorded(fd, &st))
        return;
    shadow_path(path, "live", st.st_ino); /* fd itself may be for writing only */
    live = open(path, O_RDONLY | O_CLOEXEC);
    disk = open_shadow("disk", st.st_ino, O_RDWR | O_CREAT);
    lost = open_shadow("lost", st.st_ino, O_RDONLY);
    if (live < 0)
        die(path);
    c = changed_of(st.st_ino);
    for (off_t at = c ? c->from / SECTOR * SECTOR : 0; at < st.st_size; at += SECTOR) {
        ssize_t n = pread(live, is, sizeof is, at), m = pread(disk, was, sizeof was, at);

        if (n == m && memcmp(is, was, (size_t)n) == 0)
            continue;
        if (failed)
            set_lost(st.st_ino, at, at + 1, 1);
        else if (!is_lost(lost, at) && pwrite(disk, is, (size_t)n, at) != n)
            die("disk");
    }
    if (!failed && ftruncate(disk, st.st_size) < 0)
        die("disk");
    close(live);
    close(disk);
    if (lost >= 0)
        close(lost);
    if (failed)
        return;
    if (!c && n_changed == MAX_FILES)
        n_changed = 0;
    if (!c)
        c = &changed[n_changed++];
    *c = (struct changed){st.st_ino, st.st_size};
}

/* Whether a name on disk leads to this inode. */
static bool named_on_disk(const char *ino)
{
    char path[2 * PATH_MAX], line[PATH_MAX], begin_of_line[300];
    DIR *d;
    struct dirent *e;
    bool found = false;

    snprintf(path, sizeof path, "%s/names", shadow);
    snprintf(begin_of_line, sizeof begin_of_line, "%s ", ino);
    d = opendir(path);
    while (d && !found && (e = readdir(d))) {
        FILE *f;

        snprintf(path, sizeof path, "%s/names/%s", shadow, e->d_name);
        f = e->d_name[0] == '.' ? NULL : fopen(path, "re");
        while (f && !found && fgets(line, sizeof line, f))
            found = strncmp(line, begin_of_line, strlen(begin_of_line)) == 0;
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return found;
}

/* Files that no name leads to any more, neither in the page cache nor on disk. */
static void forget_gone(void)
{
    static const char *const kinds[] = {"live", "disk", "lost"};
    char path[2 * PATH_MAX];
    struct dirent *e;
    struct stat st;
    DIR *d;

    snprintf(path, sizeof path, "%s/live", shadow);
    d = opendir(path);
    while (d && (e = readdir(d))) {
        snprintf(path, sizeof path, "%s/live/%s", shadow, e->d_name);
        if (e->d_name[0] == '.' || stat(path, &st) < 0 || st.st_nlink > 1 ||
            named_on_disk(e->d_name))
            continue;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
            snprintf(path, sizeof path, "%s/%s/%s", shadow, kinds[i], e->d_name);
            unlink(path);
        }
    }
    if (d)
        closedir(d);
}

/* The names of a folder as they now are, on disk. */
static void note_dirsync(int fd)
{
    char path[PATH_MAX], name[PATH_MAX], fresh[2 * PATH_MAX], to[2 * PATH_MAX];
    struct dirent *e;
    DIR *d;
    FILE *f;

    path_of(fd, path);
    if (!shadow[0] || strncmp(path, root, strlen(root)) != 0)
        return;
    snprintf(name, sizeof name, "%.4000s%%", path + strlen(root));
    for (char *p = name; *p; p++)
        *p = *p == '/' ? '%' : *p;
    snprintf(fresh, sizeof fresh, "%s/new-names", shadow);
    snprintf(to, sizeof to, "%s/names/%.4000s", shadow, name);
    d = opendir(path);
    f = fopen(fresh, "we");
    if (!d || !f)
        die(path);
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            fprintf(f, "%llu %c %s\n", (unsigned long long)e->d_ino,
                    e->d_type == DT_DIR ? 'd' : 'f', e->d_name);
    closedir(d);
    if (fclose(f) != 0 || rename(fresh, to) < 0)
        die(to);
    forget_gone();
}

/* ---- the calls ---- */

#define RETRY(expr)                                                                                \
    ({                                                                                             \
        __typeof__(expr) r_;                                                                       \
        do                                                                                         \
            r_ = (expr);                                                                           \
        while (r_ == -1 && errno == EINTR);                                                        \
        r_;                                                                                        \
    })
#define LOCKED(type, expr)                                                                         \
    do {                                                                                           \
        type rc_;                                                                                  \
        int error_;                                                                                \
        pthread_mutex_lock(&lock);                                                                 \
        rc_ = (expr);                                                                              \
        error_ = errno;                                                                            \
        pthread_mutex_unlock(&lock);                                                               \
        errno = error_;                                                                            \
        return rc_;                                                                                \
    } while (0)

static int do_open(int dir, const char *path, int flags, mode_t mode)
{
    bool creates = (flags & O_CREAT) && faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    struct rule *r = creates ? fault(CREATE, -1, path) : NULL;
    int fd = FAILS(r) ? -1 : RETRY(openat(dir, path, flags | O_CLOEXEC, mode));

    if (fd >= 0 && shadow[0] && (flags & O_ACCMODE) != O_RDONLY) {
        record(fd);
        if (flags & O_TRUNC)
            note_change(fd, 0, 0);
    }
    stop_after(r);
    return fd;
}

int io_open(int dir, const char *path, int flags, mode_t mode)
{
    LOCKED(int, do_open(dir, path, flags, mode));
}

int io_close(int fd)
{
    return close(fd);
}

ssize_t io_read(int fd, void *to, size_t n)
{
    return RETRY(read(fd, to, n));
}

ssize_t io_pread(int fd, void *to, size_t n, off_t at)
{
    return RETRY(pread(fd, to, n, at));
}

static ssize_t do_pwrite(int fd, const void *from, size_t n, off_t at)
{
    struct rule *r = fault(WRITE, fd, NULL);
    int error = errno;
    ssize_t got;

    if (r && (!r->stop || r->when == HALF))
        n /= 2;
    note_change(fd, at, at + (off_t)n);
    got = n ? RETRY(pwrite(fd, from, n, at)) : 0;
    stop_after(r);
    if (FAILS(r)) {
        errno = error;
        return -1;
    }
    return got;
}

ssize_t io_pwrite(int fd, const void *from, size_t n, off_t at)
{
    LOCKED(ssize_t, do_pwrite(fd, from, n, at));
}

static int do_sync(int fd)
{
    struct rule *r = fault(SYNC, fd, NULL);
    int rc = 0;

    if (FAILS(r))
        rc = -1;
    else if (!shadow[0])
        rc = RETRY(fdatasync(fd));
    note_sync(fd, rc < 0);
    stop_after(r);
    if (FAILS(r))
        errno = r->error;
    return rc;
}

int io_fdatasync(int fd)
{
    LOCKED(int, do_sync(fd));
}

static int do_dirsync(int fd)
{
    struct rule *r = fault(DIRSYNC, fd, NULL);

    if (FAILS(r))
        return -1;
    if (!shadow[0] && RETRY(fsync(fd)) < 0)
        return -1;
    note_dirsync(fd);
    stop_after(r);
    return 0;
}

int io_fsync(int fd)
{
    LOCKED(int, do_dirsync(fd));
}

static int do_truncate(int fd, off_t n)
{
    struct rule *r = fault(TRUNCATE, fd, NULL);
    int rc = -1;

    if (!FAILS(r)) {
        note_change(fd, n, n);
        rc = RETRY(ftruncate(fd, n));
    }
    stop_after(r);
    return rc;
}

int io_truncate(int fd, off_t n)
{
    LOCKED(int, do_truncate(fd, n));
}

static int do_allocate(int fd, off_t from, off_t n)
{
    struct rule *r = fault(ALLOCATE, fd, NULL);
    int rc = FAILS(r) ? -1 : RETRY(fallocate(fd, FALLOC_FL_KEEP_SIZE, from, n));

    stop_after(r);
    return rc;
}

int io_allocate(int fd, off_t from, off_t n)
{
    LOCKED(int, do_allocate(fd, from, n));
}

static int do_rename(int dir, const char *from, int to_dir, const char *to)
{
    struct rule *r = fault(RENAME, -1, to);
    int rc = FAILS(r) ? -1 : renameat(dir, from, to_dir, to);

    stop_after(r);
    return rc;
}

int io_rename(int dir, const char *from, int to_dir, const char *to)
{
    LOCKED(int, do_rename(dir, from, to_dir, to));
}

static int do_link(int dir, const char *from, int to_dir, const char *to)
{
    struct rule *r = fault(LINK, -1, to);
    int rc = FAILS(r) ? -1 : linkat(dir, from, to_dir, to, 0);

    stop_after(r);
    return rc;
}

int io_link(int dir, const char *from, int to_dir, const char *to)
{
    LOCKED(int, do_link(dir, from, to_dir, to));
}

static int do_unlink(int dir, const char *path)
{
    struct rule *r = fault(UNLINK, -1, path);
    int rc = FAILS(r) ? -1 : unlinkat(dir, path, 0);

    stop_after(r);
    return rc;
}

int io_unlink(int dir, const char *path)
{
    LOCKED(int, do_unlink(dir, path));
}

static int do_mkdir(int dir, const char *path, mode_t mode)
{
    struct rule *r = fault(MKDIR, -1, path);
    int rc = FAILS(r) ? -1 : mkdirat(dir, path, mode);

    stop_after(r);
    return rc;
}

int io_mkdir(int dir, const char *path, mode_t mode)
{
    LOCKED(int, do_mkdir(dir, path, mode));
}

struct config;
void __wrap_confine_enter(const char *config_path, const struct config *c);

void __wrap_confine_enter(const char *config_path, const struct config *c)
{
    (void)config_path;
    (void)c;
}

int io_space(int fd, unsigned long long *free_bytes, unsigned long long *total_bytes)
{
    struct statvfs s;

    if (RETRY(fstatvfs(fd, &s)) == -1)
        return -1;
    *free_bytes = (unsigned long long)s.f_bavail * s.f_frsize;
    *total_bytes = (unsigned long long)s.f_blocks * s.f_frsize;
    return 0;
}
