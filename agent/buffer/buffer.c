#include "agent/buffer/buffer_internal.h"

#include "agent/base/clock.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define SEGMENT_MIN (256u << 10)
#define SEGMENT_MAX (64u << 20)
/* Damaged files kept for a look may take this share of the cap. */
#define BAD_SHARE 8

/* ---- figures ---- */

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

uint64_t buffer_cannot_wait_bytes(const struct buffer *b)
{
    uint64_t passed = b->cannot_wait_total;

    if (b->frontier.seq >= b->end.seq)
        return 0;
    for (size_t i = b->n_segments; i-- > 0;) {
        const struct buffer_segment *g = b->segments[i];
        uint64_t offset = b->frontier.point.offset, in = less(passed, g->cannot_wait_before);

        passed = MIN(passed, g->cannot_wait_before);
        if (g->number > b->frontier.point.segment)
            continue;
        /* Within a segment the class of what is finished is not known: in proportion. */
        if (g->number < b->frontier.point.segment || offset >= g->end)
            passed += in;
        else if (offset > g->data_start)
            passed += (uint64_t)((double)in * ((double)(offset - g->data_start) /
                                               (double)(g->end - g->data_start)));
        break;
    }
    return b->cannot_wait_total - passed;
}

static uint64_t oldest_age_s(const struct buffer *b)
{
    uint32_t since = 0;
    uint64_t now = (uint64_t)(clock_wall_ns() / 1000000000);

    if (b->frontier.seq >= b->end.seq)
        return 0;
    for (size_t i = 0; i < b->n_ages && b->ages[i].seq <= b->frontier.seq; i++)
        since = b->ages[i].time_s;
    return since && now > since ? now - since : 0;
}

void buffer_stats(struct buffer *b, struct buffer_stats *s)
{
    *s = (struct buffer_stats){.max_bytes = b->o.max_bytes};
    pthread_mutex_lock(&b->lock);
    s->read = b->end.seq;
    for (int i = 0; i < BUFFER_DROP_KINDS; i++) {
        s->dropped[i] = atomic_load_explicit(&b->dropped[i], memory_order_relaxed);
        s->read += s->dropped[i];
    }
    s->delivered = b->finished.delivered;
    s->duplicate = b->finished.duplicate;
    s->dead_lettered = b->finished.dead_lettered;
    s->damaged = b->finished.damaged;
    s->buffered = b->end.seq - b->frontier.seq;
    s->bytes = b->used + b->spare_bytes;
    s->segments = b->n_segments;
    s->cannot_wait_bytes = buffer_cannot_wait_bytes(b);
    s->oldest_age_s = oldest_age_s(b);
    s->full = atomic_load_explicit(&b->denied, memory_order_relaxed);
    pthread_mutex_unlock(&b->lock);
}

void buffer_publish(const struct buffer *b)
{
    metric_set(M_BUFFER_FULL, atomic_load_explicit(&b->denied, memory_order_relaxed));
}

/* ---- points ---- */

void buffer_fill_books(const struct buffer *b, struct buffer_books *k)
{
    *k = (struct buffer_books){
        .wall_ns = clock_wall_ns(),
        .durable = {b->durable, b->durable_seq},
        .frontier = b->frontier,
        .finished = b->finished,
        .cannot_wait_total = b->cannot_wait_total,
    };
    for (int i = 0; i < BUFFER_DROP_KINDS; i++)
        k->dropped[i] = atomic_load_explicit(&b->dropped[i], memory_order_relaxed);
}

void buffer_fill_state(const struct buffer *b, struct buffer_state *s)
{
    *s = (struct buffer_state){.reserved = b->reserved};
    memcpy(s->salt, b->salt, sizeof s->salt);
    buffer_fill_books(b, &s->books);
    for (size_t i = 0; i < b->n_segments && !s->suspect; i++)
        if (b->segments[i]->failed)
            s->suspect = b->segments[i]->number;
}

void buffer_update_durable(struct buffer *b)
{
    struct buffer_cursor d = b->end;

    for (size_t i = 0; i < b->n_segments && !b->o.sync_off; i++) {
        const struct buffer_segment *g = b->segments[i];

        if (g->dir_synced && g->synced_to >= g->end)
            continue;
        if (g->dir_synced && g->synced_to > 0)
            d = (struct buffer_cursor){{g->number, g->synced_to}, g->synced_seq};
        else
            d = (struct buffer_cursor){{g->number, 0}, g->first_seq};
        break;
    }
    if (buffer_point_before(b->durable, d.point)) {
        b->durable = d.point;
        b->durable_seq = d.seq;
    }
}

struct buffer_point buffer_durable(const struct buffer *const_b)
{
    struct buffer *b = (struct buffer *)const_b; /* for its lock only */
    struct buffer_point p;

    pthread_mutex_lock(&b->lock);
    p = buffer_point_before(b->durable, b->frontier.point) ? b->frontier.point : b->durable;
    pthread_mutex_unlock(&b->lock);
    return p;
}

struct buffer_point buffer_end(struct buffer *b)
{
    struct buffer_point p;

    pthread_mutex_lock(&b->lock);
    p = b->end.point;
    pthread_mutex_unlock(&b->lock);
    return p;
}

/* ---- opening ---- */

static int open_folder(struct buffer *b, struct error *e)
{
    const char *dir = b->o.dir;
    int parent;

    if (io_mkdir(AT_FDCWD, dir, 0700) < 0 && errno != EEXIST)
        return error_set(e, "cannot make the buffer's folder %s: %s", dir, strerror(errno));
    b->dir = io_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
    if (b->dir < 0)
        return error_set(e, "cannot open the buffer's folder %s: %s", dir, strerror(errno));
    /* Its name, too, is to last; also when a life made it that was killed before it came to this.
     */
    parent = io_open(b->dir, "..", O_RDONLY | O_DIRECTORY, 0);
    if (parent < 0 || io_fsync(parent) < 0)
        log_warn("buffer: the name of its folder cannot be synced", LOG_STR("dir", dir),
                 LOG_STR("why", strerror(errno)));
    if (parent >= 0)
        io_close(parent);
    /* The kernel drops the lock with the process: nothing is left behind that somebody would have
     * to remove. */
    if (io_lock(b->dir, LOCK_EX | LOCK_NB) < 0) {
        error_set(e,
                  errno == EWOULDBLOCK ? "the buffer in %s is used by another process; each agent "
                                         "needs a data_dir of its own"
                                       : "the buffer in %s cannot be locked",
                  dir);
        io_close(b->dir);
        return -1;
    }
    return 0;
}

static void set_limits(struct buffer *b)
{
    struct buffer_options *o = &b->o;

    o->max_bytes = MAX(o->max_bytes, (uint64_t)BUFFER_MIN_BYTES);
    if (o->cannot_wait_max_bytes == 0)
        o->cannot_wait_max_bytes = o->max_bytes;
    o->reserve_bytes = MIN(o->reserve_bytes, o->max_bytes / 2);
    b->segment_bytes = o->segment_bytes;
    if (b->segment_bytes == 0)
        b->segment_bytes =
            MAX(MIN(o->max_bytes / 16, (uint64_t)SEGMENT_MAX), (uint64_t)SEGMENT_MIN);
    b->segment_bytes = MIN(b->segment_bytes, o->max_bytes / 4);
}

/* Files that are no part of the log: out of the way, without taking a byte. */
static void clear_leftovers(struct buffer *b, struct buffer_recovered *r)
{
    b->left = base_alloc((r->n_left + 1) * sizeof *b->left);
    for (size_t i = 0; i < r->n_left; i++) {
        struct buffer_leftover *l = &r->left[i];
        char aside[BUFFER_NAME_MAX + 16];

        switch (l->kind) {
        case BUFFER_LEFT_FOREIGN:
            snprintf(aside, sizeof aside, "%s.foreign", l->name);
            log_warn("buffer: a segment of another buffer was set aside", LOG_STR("file", l->name));
            io_rename(b->dir, l->name, b->dir, aside);
            continue;
        case BUFFER_LEFT_UNREADABLE:
            log_warn("buffer: a segment without a readable record was set aside",
                     LOG_STR("file", l->name), LOG_U64("bytes", l->size));
            if (b->bad_bytes + l->size <= b->o.max_bytes / BAD_SHARE) {
                snprintf(aside, sizeof aside, "%.16s.bad", l->name);
                if (io_rename(b->dir, l->name, b->dir, aside) == 0) {
                    b->bad_bytes += l->size;
                    continue;
                }
            }
            break;
        case BUFFER_LEFT_KEPT:
            if (b->bad_bytes + l->size <= b->o.max_bytes / BAD_SHARE) {
                b->bad_bytes += l->size;
                continue;
            }
            break;
        case BUFFER_LEFT_EMPTY:
        case BUFFER_LEFT_TORN:
            break;
        }
        b->used += l->size;
        b->left[b->n_left++] = *l;
    }
    b->used += b->bad_bytes;
}

/* Segments at the end of the log that hold no record: each start leaves one, and nothing points at
 * them. */
static void leave_empty_segments(struct buffer *b, struct buffer_recovered *r)
{
    while (r->n > 0 && r->segments[r->n - 1]->first_seq == r->end.seq) {
        struct buffer_segment *g = r->segments[r->n - 1];
        struct buffer_leftover *l;

        b->left = base_realloc(b->left, (b->n_left + 1) * sizeof *b->left);
        l = &b->left[b->n_left++];
        *l = (struct buffer_leftover){.size = g->size, .kind = BUFFER_LEFT_EMPTY};
        buffer_segment_name(l->name, g->name, "seg");
        b->used += g->size;
        r->n--;
        free(g);
        if (r->n > 0)
            r->end.point =
                (struct buffer_point){r->segments[r->n - 1]->number, r->segments[r->n - 1]->end};
    }
}

static void adopt_log(struct buffer *b, struct buffer_recovered *r)
{
    leave_empty_segments(b, r);
    b->segments = r->segments;
    b->n_segments = r->n;
    b->segments_cap = r->n;
    r->segments = NULL;
    r->n = 0;
    for (size_t i = 0; i < b->n_segments; i++) {
        struct buffer_segment *g = b->segments[i];

        b->used += g->size;
        if (g->number < r->durable.point.segment)
            g->synced_to = g->end;
        else if (g->number == r->durable.point.segment)
            g->synced_to = MIN(r->durable.point.offset, g->end);
        g->synced_seq = r->durable.seq;
        g->dir_synced = g->synced_to > 0;
        /* An fsync by another process does not make good what one failed to write. */
        g->failed = r->suspect && g->number >= r->suspect && g->synced_to < g->end;
        if (b->n_ages < BUFFER_AGE_MARKS / 2)
            b->ages[b->n_ages++] = (struct buffer_age_mark){g->first_seq, g->created_s};
    }
    b->end = r->end;
    b->frontier = r->books.frontier;
    b->finished = r->books.finished;
    b->durable = r->durable.point;
    b->durable_seq = r->durable.seq;
    b->cannot_wait_total = r->books.cannot_wait_total;
    for (int i = 0; i < BUFFER_DROP_KINDS; i++)
        atomic_init(&b->dropped[i], r->books.dropped[i]);
}

/* The spare file of the last life may be the only room left on the disk. */
static void adopt_spare(struct buffer *b)
{
    int fd = io_open(b->dir, BUFFER_SPARE_NAME, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    struct stat st;

    io_unlink(b->dir, BUFFER_NEXT_NAME);
    if (fd < 0)
        return;
    if (io_stat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        io_close(fd);
        return;
    }
    /* After a crash it may hold the head of what was to become a segment, or did: its new name may
     * be there beside the old one. A file gets one head in its life: cut and written anew, after a
     * loss of power it might hold the old one under the new one's name. */
    if (st.st_size > 0) {
        io_close(fd);
        io_unlink(b->dir, BUFFER_SPARE_NAME);
        return;
    }
    b->spare_fd = fd;
    b->spare_bytes = (uint64_t)st.st_blocks * 512;
}

static void tell(const struct buffer *b, const struct buffer_recovered *r)
{
    if (r->fresh)
        return;
    if (!r->state_found)
        log_warn(
            "buffer: the state file is missing or damaged; it was made again from the segments",
            LOG_STR("dir", b->o.dir));
    if (r->positions_lost && b->n_segments > 0)
        log_warn(
            "buffer: the read positions are damaged; files are read again where they are not known",
            LOG_STR("dir", b->o.dir));
    if (r->torn_bytes)
        log_warn("buffer: a torn end was cut", LOG_U64("bytes", r->torn_bytes));
    log_info("buffer: opened", LOG_U64("records", b->end.seq - b->frontier.seq),
             LOG_U64("segments", b->n_segments), LOG_U64("bytes", b->used));
}

/* A state on disk before the first segment of this life: recovery takes a missing one for damage,
 * and a segment number that was used is never used again, also when the loss of power takes all
 * trace of its file: its bytes may turn up in another. */
static void begin_state(struct buffer *b)
{
    struct buffer_state s;
    int rc = buffer_state_open(&b->state, b->dir);

    b->reserved = b->w.next_number + BUFFER_RESERVE_NUMBERS;
    if (rc == 0) {
        buffer_fill_state(b, &s);
        rc = buffer_state_write(&b->state, &s);
        if (rc == 0 && !b->o.sync_off) {
            b->state_failed = io_fdatasync(b->state.fd) < 0;
            rc = b->state_failed ? -1 : io_fsync(b->dir);
        }
    }
    if (rc < 0)
        log_warn("buffer: the state file cannot be written", LOG_STR("why", strerror(errno)));
}

static struct buffer *make(const struct buffer_options *o)
{
    struct buffer *b = base_calloc(1, sizeof *b);
    pthread_condattr_t attr;

    b->o = *o;
    b->o.dir = b->dir_name = base_strdup(o->dir);
    b->dir = -1;
    b->spare_fd = -1;
    b->state.fd = -1;
    b->owe_ms = b->lazy_ms = BUFFER_NEVER;
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->wake, &attr);
    pthread_condattr_destroy(&attr);
    buffer_reader_init(b);
    return b;
}

static void discard(struct buffer *b)
{
    for (size_t i = 0; i < b->n_segments; i++) {
        if (b->segments[i]->fd >= 0)
            io_close(b->segments[i]->fd);
        free(b->segments[i]);
    }
    free(b->segments);
    free(b->left);
    buffer_reader_fini(b);
    buffer_positions_free(b->w.positions);
    buffer_state_close(&b->state);
    if (b->spare_fd >= 0)
        io_close(b->spare_fd);
    if (b->dir >= 0)
        io_close(b->dir);
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->lock);
    free(b->dir_name);
    free(b);
}

struct buffer *buffer_open(const struct buffer_options *o, bool *newer, struct error *e)
{
    struct buffer *b = make(o);
    struct buffer_recovered r;
    uint32_t newer_version = 0;

    if (newer)
        *newer = false;
    set_limits(b);
    if (open_folder(b, e) < 0) {
        b->dir = -1;
        discard(b);
        return NULL;
    }
    if (buffer_recover(b->dir, &r, &newer_version, e) < 0) {
        if (newer)
            *newer = newer_version != 0;
        discard(b);
        return NULL;
    }
    memcpy(b->salt, r.salt, sizeof b->salt);
    clear_leftovers(b, &r);
    adopt_log(b, &r);
    b->state.next_slot = r.state_found ? r.state_slot ^ 1 : 0;
    b->state.generation = r.state_generation;
    b->used += BUFFER_FORMAT_STATE;
    b->w.positions = r.positions;
    r.positions = NULL;
    b->w.next_number = r.next_number;
    b->first_new = r.next_number;
    begin_state(b);
    tell(b, &r);
    buffer_recovered_fini(&r);
    adopt_spare(b);
    buffer_writer_init(b);
    b->state_dirty = true;
    buffer_publish(b);
    buffer_sync_start(b);
    return b;
}

struct buffer *buffer_open_view(const char *dir, struct error *e)
{
    struct buffer *b = make(&(struct buffer_options){.dir = dir});
    struct buffer_recovered r;
    uint32_t newer_version = 0;

    b->read_only = true;
    set_limits(b);
    b->dir = io_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
    if (b->dir < 0) {
        error_set(e, "cannot open %s: %s", dir, strerror(errno));
        discard(b);
        return NULL;
    }
    if (buffer_recover(b->dir, &r, &newer_version, e) < 0) {
        discard(b);
        return NULL;
    }
    if (r.fresh) {
        error_set(e, "%s holds no buffer; name the agent's data_dir, or the folder buffer in it",
                  dir);
        buffer_recovered_fini(&r);
        discard(b);
        return NULL;
    }
    memcpy(b->salt, r.salt, sizeof b->salt);
    b->w.positions = r.positions;
    r.positions = NULL;
    adopt_log(b, &r);
    /* Whatever was committed may be looked at. */
    b->durable = b->end.point;
    b->torn_bytes = r.torn_bytes;
    b->state_found = r.state_found;
    buffer_recovered_fini(&r);
    return b;
}

void buffer_close(struct buffer *b)
{
    if (!b->read_only) {
        if (buffer_commit(b) < 0)
            log_error("buffer: what was read last could not be written and is lost, unless its "
                      "file is read again");
        buffer_sync_stop(b);
        buffer_writer_fini(b);
    }
    discard(b);
}
