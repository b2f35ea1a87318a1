/*
 * A disk that forgets and fails, in the place of agent/base/io.c: define nothing else, include it
 * once, and the library's io.o stays out of the program. Files live in a real folder (what the page
 * cache shows); beside it stands what a loss of power would leave: the sectors that were fsynced,
 * the names whose folder was. Faults are set by the test, and so is the call at which the process
 * or the power ends. Thread-safe; one call at a time.
 */
#ifndef BARGE_TEST_IO_CRASH_H
#define BARGE_TEST_IO_CRASH_H

#include "agent/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define CRASH_SECTOR 512
#define CRASH_PAGE 8 /* sectors */
#define CRASH_FILES 4096
#define CRASH_NAMES 1024
#define CRASH_PATH 512
#define CRASH_LABELS 128
#define CRASH_UNUSED __attribute__((unused))

enum crash_call {
    CRASH_WRITE,
    CRASH_SYNC,
    CRASH_DIR_SYNC,
    CRASH_OPEN, /* with O_CREAT */
    CRASH_RENAME,
    CRASH_UNLINK,
    CRASH_ALLOCATE,
    CRASH_CHANGES, /* those before this one change the disk, and so do: */
    CRASH_TRUNCATE = CRASH_CHANGES,
    CRASH_MKDIR,
    CRASH_READ,
    CRASH_LOOK, /* open without O_CREAT */
    CRASH_STAT,
    CRASH_LIST,
    CRASH_CALLS
};

/* How it ends. KILLED: the process alone; the page cache stays, and so does what was not fsynced,
 * to be lost by a later cut. The others: the power, and of what was not fsynced nothing, all or any
 * part is on the disk. */
enum crash_kind { CRASH_NOTHING_KEPT, CRASH_ALL_KEPT, CRASH_SOME_KEPT, CRASH_KILLED };

struct crash_file {
    ino_t ino;
    char *durable;
    size_t durable_n;
    bool *dirty; /* sectors written since they were fsynced */
    bool *lost;  /* sectors of a failed fsync: the page cache thinks they are clean */
    size_t sectors;
};

struct crash_name {
    char path[96]; /* below crash.dir */
    ino_t ino;
    bool folder;
};

struct crash_names {
    struct crash_name list[CRASH_NAMES];
    size_t n;
};

struct crash_disk {
    struct crash_file files[CRASH_FILES];
    size_t n_files;
    struct crash_names names; /* durable ones */
};

static struct {
    pthread_mutex_t lock;
    struct crash_disk disk;
    struct crash_disk after; /* of a process that was killed: what its successor finds */
    char dir[256];
    /* Faults: call number fail_at[kind] (counted from 1) fails with fail_errno[kind]; from then on
     * when fail_on is set. */
    uint64_t calls[CRASH_CALLS], all_calls, fail_at[CRASH_CALLS], fail_any_at;
    int fail_errno[CRASH_CALLS], fail_any_errno;
    bool fail_on[CRASH_CALLS], fail_any_on;
    bool any_failed;        /* fail_any_at came true */
    bool short_writes;      /* a failing write writes half first */
    bool nonsense;          /* what the power took was being written: it may hold anything */
    bool slow;              /* what fails takes its time, as disks do */
    bool hang;              /* fsyncs do not return */
    off_t bad_from, bad_to; /* of segments: these bytes cannot be read */
    bool no_inodes;         /* no new file can be made, though there is room */
    uint64_t room; /* bytes that may still be written behind the files' ends; UINT64_MAX: no end */
    uint64_t seed; /* of the test's own choices: its one thread */
    uint64_t dice_seed; /* of what an end leaves, whichever thread comes to it: under lock */
    /* The end: before the call that brings stop_in to 0 (or in the middle of it, where it is a
     * write). */
    uint64_t stop_in; /* 0: not asked for */
    bool stop_half;
    /* An fsync failed, and nobody can know but its caller: not the moment to be killed. */
    bool untold;
    enum crash_kind stop_kind;
    char stop_to[256];
    void (*on_stop)(void); /* at that very moment */
    bool stopped;
    char stop_label[32];
    uint64_t cut; /* differs from one loss of power to the next */
    /* At which calls it was stopped: kind of call and of file. */
    struct {
        char text[32];
        unsigned n;
    } labels[CRASH_LABELS];
} crash = {.lock = PTHREAD_MUTEX_INITIALIZER, .room = UINT64_MAX, .seed = 1, .dice_seed = 1};

static uint64_t crash_draw(uint64_t *seed, uint64_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed % below;
}

/* For the test's choices; they are the same for the same seed, whatever other threads do. */
static CRASH_UNUSED uint64_t crash_random(uint64_t below)
{
    return crash_draw(&crash.seed, below);
}

static uint64_t crash_dice(uint64_t below)
{
    return crash_draw(&crash.dice_seed, below);
}

/* Both generators anew. */
static CRASH_UNUSED void crash_seed(uint64_t seed)
{
    crash.seed = seed * 0x9E3779B97F4A7C15ull | 1;
    for (int i = 0; i < 10; i++)
        crash_random(2);
    crash.dice_seed = ~crash.seed | 1;
}

/* Whether a kernel ever gives this error for such a call. */
static bool crash_may_say(enum crash_call kind, int error)
{
    bool opens = kind == CRASH_OPEN || kind == CRASH_LOOK || kind == CRASH_LIST;

    return error == EMFILE ? opens : kind < CRASH_READ || error == EIO;
}

static bool crash_fails_now(enum crash_call kind)
{
    uint64_t n = ++crash.calls[kind], all = crash.all_calls;

    if (crash_may_say(kind, crash.fail_any_errno))
        all = ++crash.all_calls;

    if (crash.fail_at[kind] &&
        (n == crash.fail_at[kind] || (crash.fail_on[kind] && n > crash.fail_at[kind]))) {
        errno = crash.fail_errno[kind];
        return true;
    }
    if (crash.fail_any_at && crash_may_say(kind, crash.fail_any_errno) &&
        (all == crash.fail_any_at || (crash.fail_any_on && all > crash.fail_any_at))) {
        crash.any_failed = true;
        errno = crash.fail_any_errno;
        return true;
    }
    return false;
}

static bool crash_fails(enum crash_call kind)
{
    bool fails = crash_fails_now(kind);
    int error = errno;

    if (fails && crash.slow)
        usleep(1500);
    errno = error;
    return fails;
}

/* ---- files ---- */

static struct crash_file *crash_file_in(struct crash_disk *d, ino_t ino)
{
    for (size_t i = d->n_files; i-- > 0;)
        if (d->files[i].ino == ino)
            return &d->files[i];
    if (d->n_files == CRASH_FILES)
        abort();
    d->files[d->n_files] = (struct crash_file){.ino = ino};
    return &d->files[d->n_files++];
}

static struct crash_file *crash_file_of(ino_t ino)
{
    return crash_file_in(&crash.disk, ino);
}

static void crash_free_file(struct crash_file *f)
{
    free(f->durable);
    free(f->dirty);
    free(f->lost);
}

static void crash_free_disk(struct crash_disk *d)
{
    for (size_t i = 0; i < d->n_files; i++)
        crash_free_file(&d->files[i]);
    d->n_files = 0;
    d->names.n = 0;
}

/* Whether its name ends so. */
static bool crash_is(int fd, const char *end)
{
    char self[64], path[CRASH_PATH] = "";
    ssize_t n;

    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    n = readlink(self, path, sizeof path - 1);
    return n >= (ssize_t)strlen(end) && !strcmp(path + n - strlen(end), end);
}

static struct crash_file *crash_fd(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return NULL;
    return crash_file_of(st.st_ino);
}

static void crash_sectors(struct crash_file *f, size_t sectors)
{
    if (sectors <= f->sectors)
        return;
    sectors *= 2;
    f->dirty = realloc(f->dirty, sectors);
    f->lost = realloc(f->lost, sectors);
    memset(f->dirty + f->sectors, 0, sectors - f->sectors);
    memset(f->lost + f->sectors, 0, sectors - f->sectors);
    f->sectors = sectors;
}

static void crash_mark(struct crash_file *f, size_t at, size_t n)
{
    if (n == 0)
        return;
    crash_sectors(f, (at + n) / CRASH_SECTOR + 1);
    for (size_t s = at / CRASH_SECTOR; s <= (at + n - 1) / CRASH_SECTOR; s++) {
        f->dirty[s] = true;
        f->lost[s] = false;
    }
}

/* All of an open file's bytes; to be freed. */
static char *crash_read_all(int in, size_t *n)
{
    struct stat st;
    char *p;
    ssize_t got;

    if (fstat(in, &st) < 0)
        abort();
    p = malloc((size_t)st.st_size + 1);
    got = pread(in, p, (size_t)st.st_size, 0);
    *n = got > 0 ? (size_t)got : 0;
    return p;
}

/* The file's content as an fsync leaves it: what is live, but for what an earlier failed one lost.
 */
static void crash_synced(struct crash_file *f, int in)
{
    size_t n;
    char *live = crash_read_all(in, &n);

    crash_sectors(f, n / CRASH_SECTOR + 1);
    for (size_t s = 0; s * CRASH_SECTOR < n; s++) {
        size_t at = s * CRASH_SECTOR, m = n - at < CRASH_SECTOR ? n - at : CRASH_SECTOR;

        if (!f->lost[s])
            continue;
        memset(live + at, 0, m);
        if (at < f->durable_n)
            memcpy(live + at, f->durable + at, f->durable_n - at < m ? f->durable_n - at : m);
    }
    free(f->durable);
    f->durable = live;
    f->durable_n = n;
    memset(f->dirty, 0, f->sectors);
}

/* ---- names ---- */

static void crash_add_name(struct crash_names *names, const char *path, ino_t ino, bool folder)
{
    if (names->n == CRASH_NAMES || strlen(path) >= sizeof names->list[0].path)
        abort();
    strcpy(names->list[names->n].path, path);
    names->list[names->n].ino = ino;
    names->list[names->n++].folder = folder;
}

/* What lies in a folder (a path below crash.dir; "": itself), and below it when deep. */
static void crash_names_now(struct crash_names *names, const char *folder, bool deep)
{
    char path[CRASH_PATH];
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof path, "%s/%s", crash.dir, folder);
    d = opendir(path);
    while (d && (e = readdir(d))) {
        char below[CRASH_PATH];

        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        snprintf(below, sizeof below, "%s%s%s", folder, *folder ? "/" : "", e->d_name);
        crash_add_name(names, below, e->d_ino, e->d_type == DT_DIR);
        if (deep && e->d_type == DT_DIR)
            crash_names_now(names, below, true);
    }
    if (d)
        closedir(d);
}

static const struct crash_name *crash_find(const struct crash_names *names, const char *path)
{
    for (size_t i = 0; i < names->n; i++)
        if (!strcmp(names->list[i].path, path))
            return &names->list[i];
    return NULL;
}

static const struct crash_name *crash_find_inode(const struct crash_names *names, ino_t ino)
{
    for (size_t i = 0; i < names->n; i++)
        if (names->list[i].ino == ino)
            return &names->list[i];
    return NULL;
}

/* Whether path lies right in folder. */
static bool crash_lies_in(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    if (n > 0 && (strncmp(path, folder, n) != 0 || path[n++] != '/'))
        return false;
    return !strchr(path + n, '/');
}

static void crash_folder_synced(const char *folder)
{
    struct crash_names *names = &crash.disk.names;
    size_t kept = 0;

    for (size_t i = 0; i < names->n; i++)
        if (!crash_lies_in(names->list[i].path, folder))
            names->list[kept++] = names->list[i];
    names->n = kept;
    crash_names_now(names, folder, false);
}

static int crash_open_live(const char *path)
{
    char whole[CRASH_PATH];

    snprintf(whole, sizeof whole, "%s/%s", crash.dir, path);
    return open(whole, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

/* ---- beginning, faults ---- */

/* Begins anew: all that lies in dir is durable. */
static CRASH_UNUSED void crash_start(const char *dir)
{
    pthread_mutex_lock(&crash.lock);
    crash_free_disk(&crash.disk);
    crash_free_disk(&crash.after);
    snprintf(crash.dir, sizeof crash.dir, "%s", dir);
    crash_names_now(&crash.disk.names, "", true);
    for (size_t i = 0; i < crash.disk.names.n; i++) {
        const struct crash_name *name = &crash.disk.names.list[i];
        int fd = name->folder ? -1 : crash_open_live(name->path);

        if (fd >= 0) {
            crash_synced(crash_file_of(name->ino), fd);
            close(fd);
        }
    }
    memset(crash.calls, 0, sizeof crash.calls);
    crash.all_calls = 0;
    crash.untold = false;
    crash.stop_in = 0;
    crash.stopped = false;
    pthread_mutex_unlock(&crash.lock);
}

static CRASH_UNUSED void crash_no_faults(void)
{
    pthread_mutex_lock(&crash.lock);
    memset(crash.fail_at, 0, sizeof crash.fail_at);
    memset(crash.fail_on, 0, sizeof crash.fail_on);
    crash.fail_any_at = 0;
    crash.fail_any_on = false;
    crash.any_failed = false;
    crash.short_writes = false;
    crash.slow = false;
    crash.no_inodes = false;
    crash.hang = false;
    crash.bad_from = crash.bad_to = 0;
    crash.room = UINT64_MAX;
    pthread_mutex_unlock(&crash.lock);
}

static CRASH_UNUSED void crash_fail(enum crash_call kind, uint64_t after, int error, bool on)
{
    pthread_mutex_lock(&crash.lock);
    crash.fail_at[kind] = crash.calls[kind] + after;
    crash.fail_errno[kind] = error;
    crash.fail_on[kind] = on;
    pthread_mutex_unlock(&crash.lock);
}

/* Bytes of segments that cannot be read. */
static CRASH_UNUSED void crash_bad_sectors(off_t from, off_t to)
{
    pthread_mutex_lock(&crash.lock);
    crash.bad_from = from;
    crash.bad_to = to;
    pthread_mutex_unlock(&crash.lock);
}

static CRASH_UNUSED void crash_set_room(uint64_t room)
{
    pthread_mutex_lock(&crash.lock);
    crash.room = room;
    pthread_mutex_unlock(&crash.lock);
}

/* ---- the end ---- */

static bool crash_keep(enum crash_kind kind, uint64_t percent)
{
    return kind == CRASH_ALL_KEPT || (kind == CRASH_SOME_KEPT && crash_dice(100) < percent);
}

static void crash_put_file(const char *to, const char *path, const char *p, size_t n)
{
    char whole[CRASH_PATH];
    int fd;

    snprintf(whole, sizeof whole, "%s/%s", to, path);
    fd = open(whole, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n)
        abort();
    close(fd);
}

/* One file after the loss of power: its durable bytes, and of the others some, in runs of a sector
 * or a page; what never was durable may also be nonsense. */
static void crash_write_out(const char *to, const char *path, ino_t ino,
                            const struct crash_names *live, enum crash_kind kind, uint64_t percent)
{
    const struct crash_name *now = crash_find_inode(live, ino);
    struct crash_file *f = crash_file_of(ino);
    int fd = now ? crash_open_live(now->path) : -1;
    size_t live_n = 0, n, run = kind == CRASH_SOME_KEPT && crash_dice(2) ? CRASH_PAGE : 1;
    char *bytes = NULL, *out;
    bool keep = false;

    if (fd >= 0) {
        bytes = crash_read_all(fd, &live_n);
        close(fd);
    }
    n = fd >= 0 && crash_keep(kind, percent) ? live_n : f->durable_n;
    out = calloc(1, (n > live_n ? n : live_n) + f->durable_n + CRASH_SECTOR);
    if (f->durable_n)
        memcpy(out, f->durable, f->durable_n < n ? f->durable_n : n);
    for (size_t s = 0; s * CRASH_SECTOR < live_n && s < f->sectors; s++) {
        size_t at = s * CRASH_SECTOR, m = live_n - at < CRASH_SECTOR ? live_n - at : CRASH_SECTOR;

        if (s % run == 0)
            keep = crash_keep(kind, percent);
        if ((f->dirty[s] && keep) || (f->lost[s] && kind == CRASH_ALL_KEPT)) {
            memcpy(out + at, bytes + at, m);
            if (crash.nonsense && kind == CRASH_SOME_KEPT && at >= f->durable_n &&
                crash_dice(40) == 0)
                for (size_t i = 0; i < m; i++)
                    out[at + i] = (char)crash_dice(256);
            n = n > at + m ? n : at + m;
        }
    }
    crash_put_file(to, path, out, n);
    free(out);
    free(bytes);
}

static void crash_cut_folder(const char *to, const char *folder, const struct crash_names *live,
                             enum crash_kind kind, uint64_t percent);

static void crash_cut_name(const char *to, const struct crash_name *name,
                           const struct crash_names *live, enum crash_kind kind, uint64_t percent)
{
    char whole[CRASH_PATH];

    if (!name->folder) {
        crash_write_out(to, name->path, name->ino, live, kind, percent);
        return;
    }
    snprintf(whole, sizeof whole, "%s/%s", to, name->path);
    mkdir(whole, 0700);
    crash_cut_folder(to, name->path, live, kind, percent);
}

/* Whether the name that a file got since its folder was fsynced is kept: one answer for each file,
 * because a rename leaves it the old name or the new one (or both), never none. */
static bool crash_keep_name(ino_t ino, enum crash_kind kind, uint64_t percent)
{
    uint64_t x = (crash.cut + (uint64_t)ino) * 0x9E3779B97F4A7C15ull;

    return kind == CRASH_ALL_KEPT || (kind == CRASH_SOME_KEPT && (x >> 32) % 100 < percent);
}

/* The names of one folder: the durable ones, and those that changed since, if they are kept. */
static void crash_cut_folder(const char *to, const char *folder, const struct crash_names *live,
                             enum crash_kind kind, uint64_t percent)
{
    const struct crash_names *durable = &crash.disk.names;

    for (size_t i = 0; i < live->n; i++) {
        const struct crash_name *now = &live->list[i], *was;

        if (!crash_lies_in(now->path, folder))
            continue;
        was = crash_find(durable, now->path);
        if ((was && was->ino == now->ino) || crash_keep_name(now->ino, kind, percent))
            crash_cut_name(to, now, live, kind, percent);
        else if (was)
            crash_cut_name(to, was, live, kind, percent);
    }
    for (size_t i = 0; i < durable->n; i++) {
        const struct crash_name *was = &durable->list[i], *now;
        bool gone;

        if (!crash_lies_in(was->path, folder) || crash_find(live, was->path))
            continue;
        now = crash_find_inode(live, was->ino);
        gone = crash_keep(kind, percent);
        if (gone && now && !crash_find(durable, now->path))
            gone = crash_keep_name(was->ino, kind, percent);
        if (kind != CRASH_ALL_KEPT && !gone)
            crash_cut_name(to, was, live, kind, percent);
    }
}

/* The files as they are, and what is known about each goes over to its copy. */
static void crash_kill_to(const char *to, const struct crash_names *live)
{
    static ino_t ghosts = (ino_t)1 << 62;
    ino_t copies[CRASH_NAMES];
    char whole[CRASH_PATH];

    crash_free_disk(&crash.after);
    for (size_t i = 0; i < live->n; i++) {
        const struct crash_name *now = &live->list[i];
        struct crash_file *f, *copy;
        struct stat st;
        size_t n;
        int fd;

        snprintf(whole, sizeof whole, "%s/%s", to, now->path);
        if (now->folder) {
            mkdir(whole, 0700);
        } else if ((fd = crash_open_live(now->path)) >= 0) {
            char *p = crash_read_all(fd, &n);

            close(fd);
            crash_put_file(to, now->path, p, n);
            free(p);
        }
        if (stat(whole, &st) < 0)
            abort();
        copies[i] = st.st_ino;
        if (now->folder)
            continue;
        f = crash_file_of(now->ino);
        copy = crash_file_in(&crash.after, st.st_ino);
        crash_sectors(copy, f->sectors);
        if (f->sectors) {
            memcpy(copy->dirty, f->dirty, f->sectors);
            memcpy(copy->lost, f->lost, f->sectors);
        }
        copy->durable = malloc(f->durable_n + 1);
        copy->durable_n = f->durable_n;
        if (f->durable_n)
            memcpy(copy->durable, f->durable, f->durable_n);
    }
    for (size_t i = 0; i < crash.disk.names.n; i++) {
        const struct crash_name *was = &crash.disk.names.list[i],
                                *now = crash_find_inode(live, was->ino);
        ino_t ino = now ? copies[now - live->list] : ++ghosts;

        crash_add_name(&crash.after.names, was->path, ino, was->folder);
        if (!now && !was->folder) {
            struct crash_file *f = crash_file_of(was->ino);
            struct crash_file *copy = crash_file_in(&crash.after, ino);

            copy->durable = malloc(f->durable_n + 1);
            copy->durable_n = f->durable_n;
            if (f->durable_n)
                memcpy(copy->durable, f->durable, f->durable_n);
        }
    }
}

static void crash_end_(const char *to, enum crash_kind kind)
{
    static struct crash_names live;

    live.n = 0;
    crash_names_now(&live, "", true);
    crash.cut = crash_dice(UINT32_MAX);
    mkdir(to, 0700);
    if (kind == CRASH_KILLED)
        crash_kill_to(to, &live);
    else
        crash_cut_folder(to, "", &live, kind, crash_dice(101));
}

/* The same between calls. */
static CRASH_UNUSED bool crash_untold(void)
{
    bool untold;

    pthread_mutex_lock(&crash.lock);
    untold = crash.untold;
    pthread_mutex_unlock(&crash.lock);
    return untold;
}

/* Makes in `to` what a kill or a loss of power at this moment leaves. */
static CRASH_UNUSED void crash_cut(const char *to, enum crash_kind kind)
{
    pthread_mutex_lock(&crash.lock);
    crash_end_(to, kind);
    pthread_mutex_unlock(&crash.lock);
}

/* The same at the nth call from now that changes the disk: see crash.stopped. */
static CRASH_UNUSED void crash_stop_at(uint64_t n, bool half, const char *to, enum crash_kind kind)
{
    pthread_mutex_lock(&crash.lock);
    crash.stop_in = n;
    crash.stop_half = half;
    crash.stop_kind = kind;
    crash.stopped = false;
    snprintf(crash.stop_to, sizeof crash.stop_to, "%s", to);
    pthread_mutex_unlock(&crash.lock);
}

static CRASH_UNUSED bool crash_stopped(void)
{
    bool stopped;

    pthread_mutex_lock(&crash.lock);
    stopped = crash.stopped;
    pthread_mutex_unlock(&crash.lock);
    return stopped;
}

/* Whether it was stopped; if not, it will not be any more. */
static CRASH_UNUSED bool crash_was_stopped(void)
{
    bool stopped;

    pthread_mutex_lock(&crash.lock);
    stopped = crash.stopped;
    crash.stop_in = 0;
    pthread_mutex_unlock(&crash.lock);
    return stopped;
}

/* The folder that crash_cut made has taken the place of dir: goes on there. */
static CRASH_UNUSED void crash_go_on(const char *dir, enum crash_kind kind)
{
    if (kind != CRASH_KILLED) {
        crash_start(dir);
        return;
    }
    pthread_mutex_lock(&crash.lock);
    crash_free_disk(&crash.disk);
    crash.disk = crash.after;
    crash.after.n_files = 0;
    crash.after.names.n = 0;
    crash.untold = false;
    snprintf(crash.dir, sizeof crash.dir, "%s", dir);
    crash.stop_in = 0;
    crash.stopped = false;
    pthread_mutex_unlock(&crash.lock);
}

/* What kind of file that is: the end of its name, or a name without a dot as it is. */
static const char *crash_class(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');

    return dot && dot[1] ? dot + 1 : name;
}

/* Every call that changes the disk comes by here first. at, n: of a write. */
static void crash_point(const char *what, const char *path, int fd, const void *from, size_t n,
                        off_t at)
{
    char self[64], text[32], name[CRASH_PATH] = "";
    struct crash_file *f;

    if (crash.stop_in == 0 || --crash.stop_in > 0)
        return;
    if (crash.untold && crash.stop_kind == CRASH_KILLED) {
        crash.stop_in = 1;
        return;
    }
    if (!path) {
        snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
        if (readlink(self, name, sizeof name - 1) < 0)
            abort();
        path = name + (strncmp(name, crash.dir, strlen(crash.dir)) == 0 ? strlen(crash.dir) : 0);
        path = *path == '/' && path == name ? "outside" : *path ? path : "top";
    }
    snprintf(text, sizeof text, "%s %.20s", what, crash_class(path));
    strcpy(crash.stop_label, text);
    for (size_t i = 0; i < CRASH_LABELS; i++) {
        if (crash.labels[i].n && strcmp(crash.labels[i].text, text) != 0)
            continue;
        strcpy(crash.labels[i].text, text);
        crash.labels[i].n++;
        break;
    }
    if (crash.stop_half && n > 1) {
        f = crash_fd(fd);
        if (pwrite(fd, from, n / 2, at) > 0 && f)
            crash_mark(f, (size_t)at, n / 2);
    }
    crash_end_(crash.stop_to, crash.stop_kind);
    crash.stopped = true;
    if (crash.on_stop)
        crash.on_stop();
}

/* How often it was stopped at calls whose label begins so. */
static CRASH_UNUSED unsigned crash_stops(const char *text)
{
    unsigned n = 0;

    for (size_t i = 0; i < CRASH_LABELS; i++)
        if (crash.labels[i].n && !strncmp(crash.labels[i].text, text, strlen(text)))
            n += crash.labels[i].n;
    return n;
}

/* Says where it was stopped, and, unless seed (of the environment) chose one life, that it was
 * stopped at each of these. */
static CRASH_UNUSED void crash_assert_stops(const char *const *texts, size_t n, const char *seed)
{
    for (size_t i = 0; i < CRASH_LABELS; i++)
        if (crash.labels[i].n)
            print_message("%6u ends at: %s\n", crash.labels[i].n, crash.labels[i].text);
    for (size_t i = 0; i < n && !getenv(seed); i++)
        if (!crash_stops(texts[i]))
            fail_msg("never ended at: %s", texts[i]);
}

/* Runs seeds 1 to n: as many as the variable `many` of the environment says, or the one alone that
 * `one` names. */
static CRASH_UNUSED void crash_run_seeds(const char *one, const char *many, uint64_t n,
                                         void (*run)(uint64_t seed, bool faults), bool faults)
{
    const char *only = getenv(one), *count = getenv(many);

    if (count)
        n = strtoull(count, NULL, 10);
    if (only) {
        run(strtoull(only, NULL, 10), faults);
        return;
    }
    for (uint64_t seed = 1; seed <= n; seed++) {
        printf("seed %llu\r", (unsigned long long)seed);
        run(seed, faults);
    }
}

/* ---- io.h ---- */

/* CRASH_JITTER=1: calls wait a little now and then, so that threads meet in other orders. */
static void crash_jitter(void)
{
    static _Thread_local uint64_t seed;
    struct timespec t;

    if (!getenv("CRASH_JITTER"))
        return;
    if (!seed) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        seed = (uint64_t)t.tv_nsec * 0x9E3779B97F4A7C15ull | 1;
    }
    if (crash_draw(&seed, 6) == 0)
        usleep((useconds_t)crash_draw(&seed, 400));
}

#define CRASH_LOCKED(type, expr)                                                                   \
    do {                                                                                           \
        type r_;                                                                                   \
        int e_;                                                                                    \
        crash_jitter();                                                                            \
        pthread_mutex_lock(&crash.lock);                                                           \
        r_ = (expr);                                                                               \
        e_ = errno;                                                                                \
        pthread_mutex_unlock(&crash.lock);                                                         \
        crash_jitter();                                                                            \
        errno = e_;                                                                                \
        return r_;                                                                                 \
    } while (0)

static int crash_open_(int dir, const char *path, int flags, mode_t mode)
{
    bool fresh = (flags & O_CREAT) && faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    int fd;

    if (fresh || (flags & O_TRUNC))
        crash_point("open", path, -1, NULL, 0, 0);
    if (crash_fails(flags & O_CREAT ? CRASH_OPEN : CRASH_LOOK))
        return -1;
    if (fresh && (crash.room == 0 || crash.no_inodes)) {
        errno = ENOSPC;
        return -1;
    }
    fd = openat(dir, path, flags | O_CLOEXEC, mode);
    if (fd >= 0 && fresh) {
        struct stat st;

        fstat(fd, &st);
        if (S_ISREG(st.st_mode)) {
            struct crash_file *f = crash_file_of(st.st_ino);

            /* A number that was another file's before. */
            crash_free_file(f);
            *f = (struct crash_file){.ino = st.st_ino};
        }
    }
    return fd;
}

int io_open(int dir, const char *path, int flags, mode_t mode)
{
    CRASH_LOCKED(int, crash_open_(dir, path, flags, mode));
}

int io_close(int fd)
{
    return close(fd);
}

ssize_t io_read(int fd, void *to, size_t n)
{
    CRASH_LOCKED(ssize_t, crash_fails(CRASH_READ) ? -1 : read(fd, to, n));
}

static ssize_t crash_pread_(int fd, void *to, size_t n, off_t at)
{
    if (crash_fails(CRASH_READ))
        return -1;
    if (at < crash.bad_to && at + (off_t)n > crash.bad_from && crash_is(fd, ".seg")) {
        errno = EIO;
        return -1;
    }
    return pread(fd, to, n, at);
}

ssize_t io_pread(int fd, void *to, size_t n, off_t at)
{
    CRASH_LOCKED(ssize_t, crash_pread_(fd, to, n, at));
}

static ssize_t crash_pwrite_(int fd, const void *from, size_t n, off_t at)
{
    struct crash_file *f = crash_fd(fd);
    struct stat st;
    ssize_t got;

    crash_point("write", NULL, fd, from, n, at);
    if (crash_fails(CRASH_WRITE)) {
        int error = errno;

        if (crash.short_writes && n > 1 && pwrite(fd, from, n / 2, at) > 0 && f)
            crash_mark(f, (size_t)at, n / 2);
        errno = error;
        return -1;
    }
    fstat(fd, &st);
    if (crash.room != UINT64_MAX && (uint64_t)at + n > (uint64_t)st.st_blocks * 512) {
        uint64_t beyond = (uint64_t)at + n - (uint64_t)st.st_blocks * 512;

        if (beyond > crash.room) {
            if (beyond - crash.room >= n) {
                errno = ENOSPC;
                return -1;
            }
            n -= (size_t)(beyond - crash.room);
            beyond = crash.room;
        }
        crash.room -= beyond;
    }
    got = pwrite(fd, from, n, at);
    if (got > 0 && f)
        crash_mark(f, (size_t)at, (size_t)got);
    if (got > 0 && crash.untold && crash_is(fd, "/state"))
        crash.untold = false;
    return got;
}

ssize_t io_pwrite(int fd, const void *from, size_t n, off_t at)
{
    CRASH_LOCKED(ssize_t, crash_pwrite_(fd, from, n, at));
}

static int crash_sync_(int fd)
{
    struct crash_file *f = crash_fd(fd);
    char self[64];
    int in;

    crash_point("sync", NULL, fd, NULL, 0, 0);
    if (crash_fails(CRASH_SYNC)) {
        /* The pages are marked clean all the same; the next fsync will say that all is well. */
        for (size_t s = 0; f && s < f->sectors; s++) {
            f->lost[s] = f->lost[s] || f->dirty[s];
            f->dirty[s] = false;
        }
        crash.untold = crash.untold || crash_is(fd, ".seg") || crash_is(fd, "/all.ndjson");
        return -1;
    }
    /* The descriptor itself may be for writing only. */
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    in = open(self, O_RDONLY | O_CLOEXEC);
    if (f && in >= 0)
        crash_synced(f, in);
    if (in >= 0)
        close(in);
    return 0;
}

int io_fdatasync(int fd)
{
    bool hangs = true;

    while (hangs) {
        pthread_mutex_lock(&crash.lock);
        hangs = crash.hang;
        pthread_mutex_unlock(&crash.lock);
        if (hangs)
            usleep(500);
    }
    CRASH_LOCKED(int, crash_sync_(fd));
}

static int crash_dir_sync_(int fd)
{
    char self[64], path[CRASH_PATH] = "";
    size_t top = strlen(crash.dir);

    crash_point("dirsync", NULL, fd, NULL, 0, 0);
    if (crash_fails(CRASH_DIR_SYNC))
        return -1;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    if (readlink(self, path, sizeof path - 1) < 0)
        abort();
    if (!strncmp(path, crash.dir, top) && (path[top] == '/' || !path[top]))
        crash_folder_synced(path[top] ? path + top + 1 : "");
    return 0;
}

int io_fsync(int fd)
{
    CRASH_LOCKED(int, crash_dir_sync_(fd));
}

static int crash_truncate_(int fd, off_t n)
{
    struct stat before, after;
    int rc;

    crash_point("truncate", NULL, fd, NULL, 0, 0);
    if (crash_fails(CRASH_TRUNCATE))
        return -1;
    if (crash_is(fd, "/all.ndjson"))
        crash.untold = false; /* it is cut away */
    fstat(fd, &before);
    rc = ftruncate(fd, n);
    fstat(fd, &after);
    if (crash.room != UINT64_MAX && after.st_blocks < before.st_blocks)
        crash.room += (uint64_t)(before.st_blocks - after.st_blocks) * 512;
    return rc;
}

int io_truncate(int fd, off_t n)
{
    CRASH_LOCKED(int, crash_truncate_(fd, n));
}

static int crash_allocate_(int fd, off_t from, off_t n)
{
    crash_point("allocate", NULL, fd, NULL, 0, 0);
    if (crash_fails(CRASH_ALLOCATE))
        return -1;
    if (crash.room < (uint64_t)n) {
        errno = ENOSPC;
        return -1;
    }
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, from, n);
}

int io_allocate(int fd, off_t from, off_t n)
{
    CRASH_LOCKED(int, crash_allocate_(fd, from, n));
}

static int crash_rename_(int dir, const char *from, int to_dir, const char *to)
{
    crash_point("rename", to, -1, NULL, 0, 0);
    return crash_fails(CRASH_RENAME) ? -1 : renameat(dir, from, to_dir, to);
}

int io_rename(int dir, const char *from, int to_dir, const char *to)
{
    CRASH_LOCKED(int, crash_rename_(dir, from, to_dir, to));
}

static int crash_link_(int dir, const char *from, int to_dir, const char *to)
{
    crash_point("link", to, -1, NULL, 0, 0);
    return crash_fails(CRASH_RENAME) ? -1 : linkat(dir, from, to_dir, to, 0);
}

int io_link(int dir, const char *from, int to_dir, const char *to)
{
    CRASH_LOCKED(int, crash_link_(dir, from, to_dir, to));
}

static int crash_unlink_(int dir, const char *path)
{
    struct stat st;
    bool there = fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;

    if (there)
        crash_point("unlink", path, -1, NULL, 0, 0);
    if (crash_fails(CRASH_UNLINK))
        return -1;
    if (crash.room != UINT64_MAX && there)
        crash.room += (uint64_t)st.st_blocks * 512;
    return unlinkat(dir, path, 0);
}

int io_unlink(int dir, const char *path)
{
    CRASH_LOCKED(int, crash_unlink_(dir, path));
}

static int crash_mkdir_(int dir, const char *path, mode_t mode)
{
    crash_point("mkdir", path, -1, NULL, 0, 0);
    return crash_fails(CRASH_MKDIR) ? -1 : mkdirat(dir, path, mode);
}

int io_mkdir(int dir, const char *path, mode_t mode)
{
    CRASH_LOCKED(int, crash_mkdir_(dir, path, mode));
}

int io_stat(int fd, struct stat *st)
{
    CRASH_LOCKED(int, crash_fails(CRASH_STAT) ? -1 : fstat(fd, st));
}

int io_stat_at(int dir, const char *path, struct stat *st, int flags)
{
    CRASH_LOCKED(int, crash_fails(CRASH_STAT) ? -1 : fstatat(dir, path, st, flags));
}

int io_statx(int dir, const char *path, int flags, unsigned mask, struct statx *x)
{
    CRASH_LOCKED(int, crash_fails(CRASH_STAT) ? -1 : statx(dir, path, flags, mask, x));
}

off_t io_seek_data(int fd, off_t from)
{
    return lseek(fd, from, SEEK_DATA);
}

int io_lock(int fd, int how)
{
    return flock(fd, how);
}

static DIR *crash_list_(int dir)
{
    int fd = crash_fails(CRASH_LIST) ? -1 : openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? NULL : fdopendir(fd);
}

DIR *io_list(int dir)
{
    CRASH_LOCKED(DIR *, crash_list_(dir));
}

static int crash_list_next_(DIR *list, struct dirent **entry)
{
    if (crash_fails(CRASH_LIST))
        return -1;
    errno = 0;
    *entry = readdir(list);
    return *entry ? 1 : errno ? -1 : 0;
}

int io_list_next(DIR *list, struct dirent **entry)
{
    CRASH_LOCKED(int, crash_list_next_(list, entry));
}

void io_list_end(DIR *list)
{
    closedir(list);
}

int io_space(int fd, unsigned long long *free_bytes, unsigned long long *total_bytes)
{
    (void)fd;
    *total_bytes = 1ull << 40;
    *free_bytes = crash.room == UINT64_MAX ? 1ull << 39 : crash.room;
    return 0;
}

#endif
