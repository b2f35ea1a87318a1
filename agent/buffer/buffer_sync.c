/*
 * The sync thread: what may wait for the disk. It fsyncs what is owed, writes the state in place,
 * deletes what is finished, keeps a spare file ready, and tells the writer when there is room.
 *
 * An fsync that failed is never tried again on the same file: the kernel has forgotten which pages
 * it could not write. The segment is copied to a new file, which is fsynced in its stead; until
 * then nothing in it counts as durable.
 *
 * Order matters in two places: a name is fsynced (its folder) before its contents count as durable;
 * and segments are unlinked only when a later head, with all positions, is durable, and the state
 * has been told.
 */
#include "agent/buffer/buffer_internal.h"

#include "agent/base/clock.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/buffer/buffer_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define LAZY_MS 1000
#define LAZY_BYTES                                                                                 \
    (4u << 20) /* a second with more traffic than this is not synced for the positions' sake */
#define SEALED_MS 1000 /* a sealed segment gets this long to be delivered before it is fsynced */
#define STATE_MS 50
#define STATE_PATIENCE_MS 10000
#define RETRY_MS 1000
#define IDLE_MS 1000
#define IDLE_BYTES                                                                                 \
    (64u << 10) /* a delivered current segment larger than this is replaced when nothing happens   \
                 */
#define COPY_BYTES (256u << 10)
#define BAD_SHARE 8

void buffer_sync_wake(struct buffer *b)
{
    pthread_cond_signal(&b->wake);
}

/* All functions here are called with the lock held; those that do system calls let it go meanwhile.
 */

static void call(struct buffer *b, void (*fn)(void *arg))
{
    if (!fn)
        return;
    pthread_mutex_unlock(&b->lock);
    fn(b->o.arg);
    pthread_mutex_lock(&b->lock);
}

static struct buffer_segment *last_segment(const struct buffer *b)
{
    return b->n_segments ? b->segments[b->n_segments - 1] : NULL;
}

static bool head_durable(const struct buffer *b, const struct buffer_segment *g)
{
    return b->o.sync_off || (g->dir_synced && g->synced_to >= g->data_start);
}

static bool whole_durable(const struct buffer_segment *g)
{
    return g->dir_synced && g->synced_to >= g->end;
}

/* ---- state ---- */

/* false when it is not as safe as it was to be. */
static bool write_state(struct buffer *b, bool sync)
{
    struct buffer_state s;
    bool replace = b->state_failed, lost = false;
    int rc = 0, error = 0;

    buffer_fill_state(b, &s);
    b->state_dirty = false;
    pthread_mutex_unlock(&b->lock);
    if (b->state.fd < 0)
        rc = buffer_state_open(&b->state, b->dir);
    if (rc == 0 && replace) {
        rc = buffer_state_replace(&b->state, b->dir, &s);
        lost = rc < 0;
    } else if (rc == 0) {
        rc = buffer_state_write(&b->state, &s);
        if (rc == 0 && sync && !b->o.sync_off) {
            rc = io_fdatasync(b->state.fd);
            lost = rc < 0;
            metric_add(M_BUFFER_SYNCS, 1);
        }
    }
    error = errno;
    pthread_mutex_lock(&b->lock);
    b->state_ms = clock_mono_ms();
    b->state_failed = lost;
    if (rc < 0) {
        log_error("buffer: the state file cannot be written; after a crash more is sent again",
                  LOG_STR("why", strerror(error)));
        b->state_dirty = true;
        b->state_retry_ms = b->state_ms + RETRY_MS;
        if (!b->state_failing_ms)
            b->state_failing_ms = b->state_ms;
    } else {
        b->state_retry_ms = b->state_failing_ms = 0;
    }
    return rc == 0;
}

/* ---- fsync ---- */

/* The durable point anew; whoever waits for it is told. */
static void settle(struct buffer *b)
{
    struct buffer_point was = b->durable;

    buffer_update_durable(b);
    if (!buffer_point_before(was, b->durable))
        return;
    b->state_dirty = true; /* recovery is the surer, the later a mark it finds */
    if (atomic_exchange(&b->held, false))
        call(b, b->o.on_data);
}

static void failed(struct buffer *b, struct buffer_segment *g, const char *what, int error)
{
    log_error("buffer: fsync failed; the segment is written again to a new file",
              LOG_STR("what", what), LOG_U64("segment", g->number),
              LOG_STR("why", strerror(error)));
    g->failed = true;
    b->copy_retry_ms = 0;
    write_state(b, false); /* for the next life, should this one be killed before it is mended */
    if (g == last_segment(b)) {
        /* It can be copied only when nothing is written to it any more. */
        atomic_store(&b->want_roll, true);
        call(b, b->o.on_room);
    }
}

/* The folder: names made so far. Segments whose name could not be made durable count as failed. */
static bool sync_names(struct buffer *b)
{
    uint64_t newest = last_segment(b)->number;
    int rc, error;

    pthread_mutex_unlock(&b->lock);
    rc = io_fsync(b->dir);
    error = errno;
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < b->n_segments && b->segments[i]->number <= newest; i++) {
        if (b->segments[i]->dir_synced)
            continue;
        if (rc == 0)
            b->segments[i]->dir_synced = true;
        else if (!b->segments[i]->failed)
            failed(b, b->segments[i], "folder", error);
    }
    return rc == 0;
}

/* Whether g is durable up to where it ended when this was called. */
static bool sync_segment(struct buffer *b, struct buffer_segment *g)
{
    uint64_t target = g->end, seq = b->end.seq;
    int rc, error, fd = g->fd;

    for (size_t i = 0; i + 1 < b->n_segments; i++)
        if (b->segments[i] == g)
            seq = b->segments[i + 1]->first_seq;
    if (g->failed || (!g->dir_synced && !sync_names(b)))
        return false;
    pthread_mutex_unlock(&b->lock);
    if (fd < 0) {
        char name[BUFFER_NAME_MAX];

        /* Of an earlier life of the agent. */
        buffer_segment_name(name, g->name, "seg");
        fd = io_open(b->dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    }
    rc = fd < 0 ? -1 : io_fdatasync(fd);
    error = errno;
    metric_add(M_BUFFER_SYNCS, 1);
    pthread_mutex_lock(&b->lock);
    g->fd = fd;
    if (rc < 0) {
        failed(b, g, "segment", error);
        return false;
    }
    g->synced_to = MAX(g->synced_to, target);
    g->synced_seq = MAX(g->synced_seq, seq);
    if (g != last_segment(b) && whole_durable(g)) {
        io_close(g->fd);
        g->fd = -1;
    }
    settle(b);
    return true;
}

/* Everything committed so far, oldest first; stops where one fails, for what follows is not durable
 * without it. */
static void sync_all(struct buffer *b)
{
    b->owe_ms = b->lazy_ms = BUFFER_NEVER;
    b->lazy_written = 0;
    for (size_t i = 0; i < b->n_segments; i++)
        if (!whole_durable(b->segments[i]) && !sync_segment(b, b->segments[i]))
            break;
}

static int copy_file(struct buffer *b, int from, uint64_t n, const char *name)
{
    int to = io_open(b->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    char *p = base_alloc(COPY_BYTES);
    int rc = to < 0 ? -1 : 0, error;
    bool io_error = false;

    for (uint64_t at = 0; rc == 0 && at < n;) {
        size_t want = (size_t)MIN((uint64_t)COPY_BYTES, n - at);
        ssize_t got = buffer_scan_pread(from, p, want, at, &io_error);

        rc = got < 0 ? -1 : io_pwrite_all(to, p, (size_t)got, (off_t)at, NULL);
        /* Shorter than it was: what is missing was durable or delivered once, and is damage. */
        if (got < (ssize_t)want)
            break;
        at += want;
    }
    if (rc == 0)
        rc = io_fdatasync(to);
    error = errno;
    free(p);
    if (to >= 0)
        io_close(to);
    errno = error;
    return rc;
}

/* A sealed segment whose fsync failed, to a new file of the same name and contents, as the page
 * cache still has them. */
static void copy_segment(struct buffer *b, struct buffer_segment *g)
{
    char name[BUFFER_NAME_MAX], copy[BUFFER_NAME_MAX];
    uint64_t n = g->end;
    int rc, error, fd = g->fd;

    buffer_segment_name(name, g->name, "seg");
    buffer_segment_name(copy, g->name, "copy");
    pthread_mutex_unlock(&b->lock);
    if (fd < 0)
        fd = io_open(b->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    io_unlink(b->dir, copy);
    rc = fd < 0 ? -1 : copy_file(b, fd, n, copy);
    if (rc == 0)
        rc = io_rename(b->dir, copy, b->dir, name);
    if (rc == 0)
        rc = io_fsync(b->dir);
    error = errno;
    if (rc < 0)
        io_unlink(b->dir, copy);
    pthread_mutex_lock(&b->lock);
    g->fd = fd;
    if (rc < 0) {
        log_error("buffer: a segment could not be written again", LOG_U64("segment", g->number),
                  LOG_STR("why", strerror(error)));
        b->copy_retry_ms = clock_mono_ms() + RETRY_MS;
        return;
    }
    io_close(fd);
    g->fd = -1;
    g->failed = false;
    g->dir_synced = true;
    b->used -= g->size - n;
    g->size = n;
    g->synced_to = n;
    log_info("buffer: the segment was written again and is durable", LOG_U64("segment", g->number));
    settle(b);
    b->state_dirty = true;
    b->owe_ms = 0; /* what is behind it was left out meanwhile */
}

/* One of the things that owe an fsync. true when there was one. */
static bool sync_due(struct buffer *b, uint64_t now, uint64_t *due)
{
    if (b->o.sync_off)
        return false;
    for (size_t i = 0; i + 1 < b->n_segments; i++) {
        struct buffer_segment *g = b->segments[i];

        /* What is delivered is to be deleted, and nothing else. */
        if (!g->failed || b->segments[i + 1]->first_seq <= b->frontier.seq)
            continue;
        if (b->copy_retry_ms <= now) {
            copy_segment(b, g);
            return true;
        }
        *due = MIN(*due, b->copy_retry_ms);
    }
    if (b->owe_ms <= now) {
        /* Delivered meanwhile: nothing is owed any more. The positions have a second. */
        if (b->frontier.seq == b->end.seq)
            b->owe_ms = BUFFER_NEVER;
        else
            sync_all(b);
        return true;
    }
    *due = MIN(*due, b->owe_ms);
    /* A new head, at once: what is finished before it waits for it. */
    if (b->n_segments && !head_durable(b, last_segment(b)) && !last_segment(b)->failed)
        return sync_segment(b, last_segment(b)) || true;
    for (size_t i = 0; i + 1 < b->n_segments; i++) {
        struct buffer_segment *g = b->segments[i];

        if (whole_durable(g) || g->failed || b->segments[i + 1]->first_seq <= b->frontier.seq)
            continue;
        if (g->sealed_ms + SEALED_MS <= now)
            return sync_segment(b, g) || true;
        *due = MIN(*due, g->sealed_ms + SEALED_MS);
    }
    if (b->lazy_ms <= now) {
        if (b->lazy_written <= LAZY_BYTES) {
            sync_all(b);
        } else {
            b->lazy_written = 0;
            b->lazy_ms = now + LAZY_MS;
        }
        return true;
    }
    *due = MIN(*due, b->lazy_ms);
    return false;
}

/* ---- deleting ---- */

/* How many segments at the front are finished; the last one never is. */
static size_t finished(const struct buffer *b)
{
    size_t k = 0;

    while (k + 1 < b->n_segments && b->segments[k + 1]->first_seq <= b->frontier.seq)
        k++;
    return k;
}

/* A damaged segment is kept for a look, as long as such take no more than their share. */
static int remove_file(struct buffer *b, const struct buffer_segment *g, bool keep)
{
    char name[BUFFER_NAME_MAX], bad[BUFFER_NAME_MAX];

    buffer_segment_name(name, g->name, "seg");
    buffer_segment_name(bad, g->name, "bad");
    if (keep)
        return io_rename(b->dir, name, b->dir, bad);
    return io_unlink(b->dir, name);
}

static void delete_first(struct buffer *b)
{
    struct buffer_segment *g = b->segments[0];
    bool keep = g->damaged && b->bad_bytes + g->size <= b->o.max_bytes / BAD_SHARE;
    int rc, error, readers = buffer_reader_forget(b, g->name);

    b->n_segments--;
    memmove(b->segments, b->segments + 1, b->n_segments * sizeof *b->segments);
    pthread_mutex_unlock(&b->lock);
    if (g->fd >= 0)
        io_close(g->fd);
    if (readers >= 0)
        io_close(readers);
    rc = remove_file(b, g, keep);
    error = errno;
    pthread_mutex_lock(&b->lock);
    if (rc < 0 && error != ENOENT) {
        /* It stays behind the frontier, and goes with the next start. Its bytes are still there. */
        log_warn("buffer: a delivered segment cannot be deleted", LOG_U64("segment", g->number),
                 LOG_STR("why", strerror(error)));
    } else if (keep) {
        b->bad_bytes += g->size;
    } else {
        b->used -= g->size;
    }
    free(g);
}

static void delete_leftovers(struct buffer *b)
{
    while (b->n_left > 0) {
        struct buffer_leftover l = b->left[--b->n_left];
        int rc;

        pthread_mutex_unlock(&b->lock);
        rc = io_unlink(b->dir, l.name);
        if (rc < 0 && errno == ENOENT)
            rc = 0;
        pthread_mutex_lock(&b->lock);
        if (rc == 0)
            b->used -= l.size;
    }
}

static bool delete_due(struct buffer *b, uint64_t now)
{
    size_t k = finished(b);
    struct buffer_segment *heir;

    if (b->n_segments == 0)
        return false;
    if (b->n_left && (b->o.sync_off ||
                      buffer_point_before((struct buffer_point){b->first_new, 0}, b->durable))) {
        delete_leftovers(b);
        return true;
    }
    if (k == 0)
        return false;
    heir = b->segments[k];
    if (!head_durable(b, heir) && (heir->failed || !sync_segment(b, heir)))
        return false;
    /* A state that cannot be written for long does not stop deletion: the records are delivered,
     * and the room is needed. The next start then takes some of them for damaged. */
    if (b->state_retry_ms > now && now - b->state_failing_ms < STATE_PATIENCE_MS)
        return false;
    /* It may be failing since now, which is later than when this turn began. */
    if (!write_state(b, true) && clock_mono_ms() - b->state_failing_ms < STATE_PATIENCE_MS)
        return false;
    while (k-- > 0)
        delete_first(b);
    buffer_update_durable(b);
    buffer_publish(b);
    return true;
}

/* ---- room ---- */

int buffer_spare_open(const struct buffer *b, const char *name)
{
    int how = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK;
    int fd = io_open(b->dir, name, how, 0600);

    if (fd >= 0 || errno != EEXIST || io_unlink(b->dir, name) < 0)
        return fd;
    return io_open(b->dir, name, how, 0600);
}

bool buffer_spare_due(const struct buffer *b)
{
    return (b->spare_fd < 0 || b->spare_bytes < buffer_spare_bytes(b->head_bytes)) &&
           !b->spare_taken && !b->spare_busy;
}

void buffer_spare_make(struct buffer *b)
{
    uint64_t n = buffer_spare_bytes(b->head_bytes);
    int fd = b->spare_fd;
    bool full = false;
    struct stat st;

    b->spare_fd = -1; /* the writer takes it no more: it may be closed here */
    b->spare_busy = true;
    pthread_mutex_unlock(&b->lock);
    if (fd < 0)
        fd = buffer_spare_open(b, BUFFER_SPARE_NAME);
    if (fd >= 0 && (io_stat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        io_close(fd);
        fd = -1;
    }
    /* A file system that cannot allocate has a spare file without room: better than none. */
    if (fd >= 0)
        full = io_allocate(fd, 0, (off_t)n) < 0 && (errno == ENOSPC || errno == EDQUOT);
    pthread_mutex_lock(&b->lock);
    b->spare_busy = false;
    b->spare_fd = fd;
    if (fd < 0 || full)
        b->spare_retry_ms = clock_mono_ms() + RETRY_MS;
    else
        b->spare_bytes = n;
}

/* Whether the writer ought to look again, and when. */
static bool room_due(struct buffer *b, uint64_t now, uint64_t *due)
{
    struct buffer_segment *g = last_segment(b);
    uint64_t idle_at = b->last_commit_ms + IDLE_MS;

    if (b->room_ms <= now) {
        b->room_ms = BUFFER_NEVER;
        atomic_store(&b->denied, false);
        call(b, b->o.on_room);
        return true;
    }
    *due = MIN(*due, b->room_ms);
    if (b->room_appeared) {
        b->room_appeared = false;
        if (atomic_exchange(&b->denied, false)) {
            call(b, b->o.on_room);
            return true;
        }
    }
    /* All delivered, nothing new: the current segment gives its room back. */
    if (g && b->frontier.seq == b->end.seq && g->end - g->data_start > IDLE_BYTES &&
        !atomic_load(&b->want_roll)) {
        if (idle_at <= now) {
            atomic_store(&b->want_roll, true);
            call(b, b->o.on_room);
            return true;
        }
        *due = MIN(*due, idle_at);
    }
    return false;
}

/* ---- the thread ---- */

/* Does one thing that is due. Otherwise says when the next one is. */
static bool work(struct buffer *b, uint64_t *due)
{
    uint64_t now = clock_mono_ms(), state_at;

    *due = BUFFER_NEVER;
    if (sync_due(b, now, due))
        return true;
    if (delete_due(b, now)) {
        b->room_appeared = true;
        return true;
    }
    if (b->state_dirty) {
        state_at = MAX(b->state_ms + STATE_MS, b->state_retry_ms);
        if (state_at <= now) {
            write_state(b, false);
            b->room_appeared = true; /* for what waits for its share, not for the disk */
            return true;
        }
        *due = MIN(*due, state_at);
    }
    if (b->n_segments && buffer_spare_due(b)) {
        if (b->spare_retry_ms <= now) {
            buffer_spare_make(b);
            return true;
        }
        *due = MIN(*due, b->spare_retry_ms);
    }
    return room_due(b, now, due);
}

static void wait_until(struct buffer *b, uint64_t due_ms)
{
    struct timespec t = {.tv_sec = (time_t)(due_ms / 1000),
                         .tv_nsec = (long)(due_ms % 1000) * 1000000};

    if (due_ms == BUFFER_NEVER)
        pthread_cond_wait(&b->wake, &b->lock);
    else
        pthread_cond_timedwait(&b->wake, &b->lock, &t);
}

/* The writer is done: whatever can be made durable is, the current segment by a copy, too. */
static void finish(struct buffer *b)
{
    b->reserved = b->w.next_number;
    if (!b->o.sync_off) {
        sync_all(b);
        for (size_t i = 0; i < b->n_segments; i++)
            if (b->segments[i]->failed)
                copy_segment(b, b->segments[i]);
        sync_all(b);
    }
    delete_due(b, clock_mono_ms());
    delete_due(b, clock_mono_ms());
}

static void *sync_main(void *arg)
{
    struct buffer *b = arg;
    uint64_t due;

    pthread_mutex_lock(&b->lock);
    while (!b->stop)
        if (!work(b, &due))
            wait_until(b, due);
    finish(b);
    write_state(b, true);
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

void buffer_sync_start(struct buffer *b)
{
    int rc = pthread_create(&b->thread, NULL, sync_main, b);

    if (rc != 0)
        base_die("no thread for the buffer's fsync: %s", strerror(rc));
}

void buffer_sync_stop(struct buffer *b)
{
    pthread_mutex_lock(&b->lock);
    b->stop = true;
    buffer_sync_wake(b);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
}
