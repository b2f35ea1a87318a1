/*
 * A disk that forgets and fails, in the place of agent/base/io.c: define nothing else, include it
 * once, and the library's io.o stays out of the program. Files live in a real folder (what the page
 * cache shows); beside it stands what a loss of power would leave: the sectors that were fsynced,
 * the names whose folder was. Faults are set by the test. Thread-safe; one call at a time.
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
#include <unistd.h>

#define CRASH_SECTOR 512
#define CRASH_FILES 4096
#define CRASH_NAMES 4096

enum crash_call {
    CRASH_WRITE,
    CRASH_SYNC,
    CRASH_DIR_SYNC,
    CRASH_OPEN,
    CRASH_RENAME,
    CRASH_UNLINK,
    CRASH_ALLOCATE,
    CRASH_READ,
    CRASH_CALLS
};

struct crash_file {
    ino_t ino;
    char *durable;
    size_t durable_n;
    bool *dirty; /* sectors written since they were fsynced */
    bool *lost;  /* sectors of a failed fsync: the page cache thinks they are clean */
    size_t sectors;
    bool resized;
};

struct crash_name {
    char name[64];
    ino_t ino;
};

static struct {
    pthread_mutex_t lock;
    struct crash_file files[CRASH_FILES];
    size_t n_files;
    struct crash_name names[CRASH_NAMES]; /* durable ones */
    size_t n_names;
    char dir[256];
    /* Faults: call number fail_at[kind] (counted from 1) fails with fail_errno[kind]; from then on
     * when fail_on is set. */
    uint64_t calls[CRASH_CALLS], all_calls, fail_at[CRASH_CALLS], fail_any_at;
    int fail_errno[CRASH_CALLS], fail_any_errno;
    bool fail_on[CRASH_CALLS], fail_any_on;
    bool short_writes; /* a failing write writes half first */
    bool slow;         /* what fails takes its time, as disks do */
    uint64_t room; /* bytes that may still be written behind the files' ends; UINT64_MAX: no end */
    uint64_t seed;
} crash = {.lock = PTHREAD_MUTEX_INITIALIZER, .room = UINT64_MAX, .seed = 1};

static uint64_t crash_random(uint64_t below)
{
    crash.seed ^= crash.seed << 13;
    crash.seed ^= crash.seed >> 7;
    crash.seed ^= crash.seed << 17;
    return crash.seed % below;
}

static bool crash_fails_now(enum crash_call kind)
{
    uint64_t n = ++crash.calls[kind], all = ++crash.all_calls;

    if (crash.fail_at[kind] &&
        (n == crash.fail_at[kind] || (crash.fail_on[kind] && n > crash.fail_at[kind]))) {
        errno = crash.fail_errno[kind];
        return true;
    }
    if (crash.fail_any_at &&
        (all == crash.fail_any_at || (crash.fail_any_on && all > crash.fail_any_at))) {
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

static struct crash_file *crash_file_of(ino_t ino)
{
    for (size_t i = crash.n_files; i-- > 0;)
        if (crash.files[i].ino == ino)
            return &crash.files[i];
    if (crash.n_files == CRASH_FILES)
        abort();
    crash.files[crash.n_files] = (struct crash_file){.ino = ino};
    return &crash.files[crash.n_files++];
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

static size_t crash_live(int fd, char **p)
{
    struct stat st;
    char self[64];
    ssize_t n;
    int in;

    /* The descriptor itself may be for writing only. */
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    in = open(self, O_RDONLY | O_CLOEXEC);
    if (in < 0 || fstat(in, &st) < 0)
        abort();
    *p = malloc((size_t)st.st_size + 1);
    n = pread(in, *p, (size_t)st.st_size, 0);
    close(in);
    return n > 0 ? (size_t)n : 0;
}

/* The file's content as an fsync leaves it: what is live, but for what an earlier failed one lost.
 */
static void crash_synced(struct crash_file *f, int fd)
{
    char *live;
    size_t n = crash_live(fd, &live);

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
    f->resized = false;
}

static void crash_names_now(struct crash_name *names, size_t *n)
{
    DIR *d = opendir(crash.dir);
    struct dirent *e;

    *n = 0;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.' || e->d_type == DT_DIR)
            continue;
        if (*n == CRASH_NAMES)
            abort();
        snprintf(names[*n].name, sizeof names[*n].name, "%.63s", e->d_name);
        names[(*n)++].ino = e->d_ino;
    }
    if (d)
        closedir(d);
}

/* Begins anew: all that lies in dir is durable. */
static __attribute__((unused)) void crash_start(const char *dir)
{
    pthread_mutex_lock(&crash.lock);
    for (size_t i = 0; i < crash.n_files; i++) {
        free(crash.files[i].durable);
        free(crash.files[i].dirty);
        free(crash.files[i].lost);
    }
    crash.n_files = 0;
    snprintf(crash.dir, sizeof crash.dir, "%s", dir);
    crash_names_now(crash.names, &crash.n_names);
    for (size_t i = 0; i < crash.n_names; i++) {
        char path[400];
        int fd;

        snprintf(path, sizeof path, "%s/%s", dir, crash.names[i].name);
        fd = open(path, O_RDONLY);
        if (fd >= 0) {
            crash_synced(crash_file_of(crash.names[i].ino), fd);
            close(fd);
        }
    }
    memset(crash.calls, 0, sizeof crash.calls);
    crash.all_calls = 0;
    pthread_mutex_unlock(&crash.lock);
}

static __attribute__((unused)) void crash_no_faults(void)
{
    pthread_mutex_lock(&crash.lock);
    memset(crash.fail_at, 0, sizeof crash.fail_at);
    memset(crash.fail_on, 0, sizeof crash.fail_on);
    crash.fail_any_at = 0;
    crash.fail_any_on = false;
    crash.short_writes = false;
    crash.slow = false;
    crash.room = UINT64_MAX;
    pthread_mutex_unlock(&crash.lock);
}

static __attribute__((unused)) void crash_fail(enum crash_call kind, uint64_t after, int error,
                                               bool on)
{
    pthread_mutex_lock(&crash.lock);
    crash.fail_at[kind] = crash.calls[kind] + after;
    crash.fail_errno[kind] = error;
    crash.fail_on[kind] = on;
    pthread_mutex_unlock(&crash.lock);
}

enum crash_kind { CRASH_NOTHING_KEPT, CRASH_ALL_KEPT, CRASH_SOME_KEPT };

static bool crash_keep(enum crash_kind kind, uint64_t percent)
{
    return kind == CRASH_ALL_KEPT || (kind == CRASH_SOME_KEPT && crash_random(100) < percent);
}

static void crash_write_out(const char *to, const char *name, ino_t ino, const char *live_dir,
                            const char *live_name, enum crash_kind kind, uint64_t percent)
{
    struct crash_file *f = crash_file_of(ino);
    size_t live_n = 0, n;
    char path[400], *live = NULL, *out;
    int fd = -1;

    if (live_name) {
        snprintf(path, sizeof path, "%s/%s", live_dir, live_name);
        fd = open(path, O_RDONLY);
        if (fd >= 0) {
            live_n = crash_live(fd, &live);
            close(fd);
        }
    }
    n = fd >= 0 && crash_keep(kind, percent) ? live_n : f->durable_n;
    out = calloc(1, (n > live_n ? n : live_n) + f->durable_n + CRASH_SECTOR);
    if (f->durable_n)
        memcpy(out, f->durable, f->durable_n < n ? f->durable_n : n);
    for (size_t s = 0; s * CRASH_SECTOR < live_n && s < f->sectors; s++) {
        size_t at = s * CRASH_SECTOR, m = live_n - at < CRASH_SECTOR ? live_n - at : CRASH_SECTOR;

        if ((f->dirty[s] && crash_keep(kind, percent)) || (f->lost[s] && kind == CRASH_ALL_KEPT)) {
            memcpy(out + at, live + at, m);
            n = n > at + m ? n : at + m;
        }
    }
    snprintf(path, sizeof path, "%s/%s", to, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, out, n) != (ssize_t)n)
        abort();
    close(fd);
    free(out);
    free(live);
}

/* Makes in `to` what a loss of power at this moment leaves: all that is durable, and of the rest
 * nothing, all, or any of it. */
static __attribute__((unused)) void crash_cut(const char *to, enum crash_kind kind)
{
    static struct crash_name live[CRASH_NAMES];
    size_t n_live;
    uint64_t percent;

    pthread_mutex_lock(&crash.lock);
    percent = crash_random(101);
    crash_names_now(live, &n_live);
    mkdir(to, 0700);
    for (size_t i = 0; i < n_live; i++) {
        const struct crash_name *was = NULL;

        for (size_t k = 0; k < crash.n_names && !was; k++)
            if (!strcmp(crash.names[k].name, live[i].name))
                was = &crash.names[k];
        if ((was && was->ino == live[i].ino) || crash_keep(kind, percent)) {
            crash_write_out(to, live[i].name, live[i].ino, crash.dir, live[i].name, kind, percent);
        } else if (was) {
            const char *elsewhere = NULL;

            for (size_t k = 0; k < n_live; k++)
                if (live[k].ino == was->ino)
                    elsewhere = live[k].name;
            crash_write_out(to, live[i].name, was->ino, crash.dir, elsewhere, kind, percent);
        }
    }
    for (size_t k = 0; k < crash.n_names; k++) {
        const char *elsewhere = NULL;
        bool there = false;

        for (size_t i = 0; i < n_live; i++) {
            there = there || !strcmp(crash.names[k].name, live[i].name);
            if (live[i].ino == crash.names[k].ino)
                elsewhere = live[i].name;
        }
        if (!there && kind != CRASH_ALL_KEPT && !crash_keep(kind, percent))
            crash_write_out(to, crash.names[k].name, crash.names[k].ino, crash.dir, elsewhere, kind,
                            percent);
    }
    pthread_mutex_unlock(&crash.lock);
}

/* ---- io.h ---- */

#define CRASH_LOCKED(type, expr)                                                                   \
    do {                                                                                           \
        type r_;                                                                                   \
        int e_;                                                                                    \
        pthread_mutex_lock(&crash.lock);                                                           \
        r_ = (expr);                                                                               \
        e_ = errno;                                                                                \
        pthread_mutex_unlock(&crash.lock);                                                         \
        errno = e_;                                                                                \
        return r_;                                                                                 \
    } while (0)

static int crash_open_(int dir, const char *path, int flags, mode_t mode)
{
    bool fresh = (flags & O_CREAT) && faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    int fd;

    if ((flags & O_CREAT) && crash_fails(CRASH_OPEN))
        return -1;
    if (fresh && crash.room == 0) {
        errno = ENOSPC;
        return -1;
    }
    fd = openat(dir, path, flags | O_CLOEXEC, mode);
    if (fd >= 0 && (fresh || (flags & O_TRUNC))) {
        struct stat st;

        fstat(fd, &st);
        if (S_ISREG(st.st_mode)) {
            struct crash_file *f = crash_file_of(st.st_ino);

            if (fresh) {
                /* A number that was another file's before. */
                free(f->durable);
                free(f->dirty);
                free(f->lost);
                *f = (struct crash_file){.ino = st.st_ino};
            }
            f->resized = true;
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
    return read(fd, to, n);
}

ssize_t io_pread(int fd, void *to, size_t n, off_t at)
{
    CRASH_LOCKED(ssize_t, crash_fails(CRASH_READ) ? -1 : pread(fd, to, n, at));
}

static ssize_t crash_pwrite_(int fd, const void *from, size_t n, off_t at)
{
    struct crash_file *f = crash_fd(fd);
    struct stat st;
    ssize_t got;

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
    return got;
}

ssize_t io_pwrite(int fd, const void *from, size_t n, off_t at)
{
    CRASH_LOCKED(ssize_t, crash_pwrite_(fd, from, n, at));
}

static int crash_sync_(int fd)
{
    struct crash_file *f = crash_fd(fd);

    if (crash_fails(CRASH_SYNC)) {
        /* The pages are marked clean all the same; the next fsync will say that all is well. */
        for (size_t s = 0; f && s < f->sectors; s++) {
            f->lost[s] = f->lost[s] || f->dirty[s];
            f->dirty[s] = false;
        }
        return -1;
    }
    if (f)
        crash_synced(f, fd);
    return 0;
}

int io_fdatasync(int fd)
{
    CRASH_LOCKED(int, crash_sync_(fd));
}

static int crash_dir_sync_(int fd)
{
    struct stat a, b;

    if (crash_fails(CRASH_DIR_SYNC))
        return -1;
    if (fstat(fd, &a) == 0 && stat(crash.dir, &b) == 0 && a.st_ino == b.st_ino)
        crash_names_now(crash.names, &crash.n_names);
    return 0;
}

int io_fsync(int fd)
{
    CRASH_LOCKED(int, crash_dir_sync_(fd));
}

static int crash_truncate_(int fd, off_t n)
{
    struct crash_file *f = crash_fd(fd);
    struct stat before, after;
    int rc;

    if (f)
        f->resized = true;
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

int io_rename(int dir, const char *from, int to_dir, const char *to)
{
    CRASH_LOCKED(int, crash_fails(CRASH_RENAME) ? -1 : renameat(dir, from, to_dir, to));
}

static int crash_unlink_(int dir, const char *path)
{
    struct stat st;

    if (crash_fails(CRASH_UNLINK))
        return -1;
    if (crash.room != UINT64_MAX && fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
        crash.room += (uint64_t)st.st_blocks * 512;
    return unlinkat(dir, path, 0);
}

int io_unlink(int dir, const char *path)
{
    CRASH_LOCKED(int, crash_unlink_(dir, path));
}

int io_mkdir(int dir, const char *path, mode_t mode)
{
    return mkdirat(dir, path, mode);
}

int io_space(int fd, unsigned long long *free_bytes, unsigned long long *total_bytes)
{
    (void)fd;
    *total_bytes = 1ull << 40;
    *free_bytes = crash.room == UINT64_MAX ? 1ull << 39 : crash.room;
    return 0;
}

int io_pwrite_all(int fd, const void *from, size_t n, off_t at, size_t *done)
{
    const char *p = from;
    size_t down = 0;

    while (down < n) {
        ssize_t got = io_pwrite(fd, p + down, n - down, at + (off_t)down);

        if (got <= 0) {
            if (got == 0)
                errno = ENOSPC;
            break;
        }
        down += (size_t)got;
    }
    if (done)
        *done = down;
    return down == n ? 0 : -1;
}

#endif
