/*
 * The writer's side: records are built at the tail in memory, and go to the file with the commit
 * that ends the turn (earlier, but not visible to anybody, when they grow beyond what should stay
 * in memory).
 *
 * Every write says where it goes, so one that failed half way is simply done again in the same
 * place: nothing is ever appended behind garbage. What cannot be written stays at the tail; room is
 * denied until it can.
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
#include <sys/mman.h>
#include <unistd.h>

#define FLUSH_BYTES                                                                                \
    (256u << 10) /* pending bytes beyond which they are written ahead of the commit */
#define RECORD_OVERHEAD (BUFFER_FORMAT_DATA_OVERHEAD + BUFFER_MAX_INDEX)
#define AHEAD_BYTES (64u << 20) /* a turn ends when it has brought this much */
#define TAIL_BYTES                                                                                 \
    ((size_t)AHEAD_BYTES + FLUSH_BYTES + BUFFER_MAX_RECORD + RECORD_OVERHEAD +                     \
     2 * BUFFER_FORMAT_HEADER + 2 * (size_t)BUFFER_FORMAT_COMMIT_MAX)
#define KEEP_BYTES (768u << 10) /* of the tail's memory; more is given back after a large fill */
#define POSITIONS_SHARE 32      /* of the cap: what positions may take in a head at most */
#define DROPS_COMMIT_MS                                                                            \
    1000 /* drops alone are committed this often: a flood must not fill the log with books */
#define SPACE_CHECK_MS 1000
#define SPACE_SHORT_BYTES (64u << 20)
#define SPACE_SHORT_MS 10
#define BEGIN_RETRY_MS 1000
#define SLACK (16u << 10)

static size_t positions_max(const struct buffer *b)
{
    return (size_t)MIN((uint64_t)BUFFER_FORMAT_POSITIONS_MAX, b->o.max_bytes / POSITIONS_SHARE);
}

static size_t commit_bytes(const struct buffer *b)
{
    return BUFFER_FORMAT_HEAD + BUFFER_FORMAT_BOOKS + buffer_positions_dirty_bytes(b->w.positions);
}

static size_t head_bytes(const struct buffer *b)
{
    return BUFFER_FORMAT_HEADER + BUFFER_FORMAT_HEAD + BUFFER_FORMAT_BOOKS +
           buffer_positions_all_bytes(b->w.positions);
}

/* ---- room ---- */

/* What progress may need on top of what is there: a commit, and the head of the next segment. */
static uint64_t slack_bytes(const struct buffer *b)
{
    return SLACK + head_bytes(b) + commit_bytes(b);
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* The file system's room beyond what is to stay free, looked at once a second, and often where it
 * runs short. */
static uint64_t space_left(struct buffer *b)
{
    struct buffer_writer *w = &b->w;
    uint64_t now = clock_mono_ms();
    unsigned long long free_bytes, total;

    if (b->o.min_free_bytes == 0 && b->o.min_free_share <= 0)
        return w->space_left = BUFFER_NEVER;
    if (w->space_checked_ms &&
        now - w->space_checked_ms <
            (w->space_left > SPACE_SHORT_BYTES ? SPACE_CHECK_MS : SPACE_SHORT_MS))
        return w->space_left;
    w->space_checked_ms = now;
    if (io_space(b->dir, &free_bytes, &total) < 0)
        w->space_left = BUFFER_NEVER; /* the write itself will tell */
    else
        w->space_left = less(
            free_bytes, MAX(b->o.min_free_bytes, (uint64_t)(b->o.min_free_share * (double)total)));
    return w->space_left;
}

static void update_room(struct buffer *b)
{
    struct buffer_writer *w = &b->w;
    uint64_t used, cannot_wait, limit, space = space_left(b);
    bool refused, short_of_space;

    pthread_mutex_lock(&b->lock);
    /* The spare file's room is set aside whether it is there now or not. */
    used = b->used + MAX(b->spare_bytes, buffer_spare_bytes(head_bytes(b)));
    cannot_wait = buffer_cannot_wait_bytes(b);
    short_of_space = space < SLACK;
    refused = b->refused;
    if (short_of_space && b->room_ms == BUFFER_NEVER) {
        b->room_ms = clock_mono_ms() + SPACE_CHECK_MS;
        buffer_sync_wake(b);
    }
    pthread_mutex_unlock(&b->lock);
    used += w->tail_n + slack_bytes(b);
    limit = less(b->o.max_bytes, used);
    w->room[BUFFER_CANNOT_WAIT] =
        MIN(limit, less(b->o.cannot_wait_max_bytes, cannot_wait + w->cannot_wait_pending));
    w->room[BUFFER_CAN_WAIT] = less(limit, b->o.reserve_bytes);
    for (int i = 0; i < 2; i++)
        w->room[i] = refused ? 0 : MIN(w->room[i], less(space, w->tail_n));
}

/* What keeps n bytes out; lock held. NULL: what is told elsewhere, or goes by itself. */
static const char *knob_for_room(const struct buffer *b, enum buffer_class class, uint64_t n)
{
    const struct buffer_writer *w = &b->w;

    if (b->refused || b->frontier.seq == b->end.seq)
        return NULL;
    if (less(w->space_left, w->tail_n) < n)
        return "buffer.min_free";
    if (class == BUFFER_CANNOT_WAIT &&
        less(b->o.cannot_wait_max_bytes, buffer_cannot_wait_bytes(b) + w->cannot_wait_pending) < n)
        return "buffer.gelf_max";
    return "buffer.max_size";
}

static bool has_room(struct buffer *b, enum buffer_class class, uint64_t n)
{
    const char *knob;

    if (LIKELY(n <= b->w.room[class]))
        return true;
    update_room(b);
    if (n <= b->w.room[class] && b->w.segment)
        return true;
    if (!atomic_load_explicit(&b->denied, memory_order_relaxed)) {
        atomic_store_explicit(&b->denied, true, memory_order_relaxed);
        /* All is delivered, and yet no room: what is full is the current segment itself. */
        pthread_mutex_lock(&b->lock);
        if (b->frontier.seq == b->end.seq && b->n_segments > 0)
            atomic_store_explicit(&b->want_roll, true, memory_order_relaxed);
        knob = knob_for_room(b, class, n);
        buffer_publish(b);
        buffer_sync_wake(b);
        pthread_mutex_unlock(&b->lock);
        if (knob)
            log_warn("the buffer is full: files wait, datagrams are dropped",
                     LOG_STR("knob", knob));
    }
    return false;
}

bool buffer_has_room(struct buffer *b, enum buffer_class class, size_t n)
{
    return has_room(b, class, (uint64_t)n + RECORD_OVERHEAD);
}

size_t buffer_record_limit(const struct buffer *b)
{
    uint64_t limit = b->o.max_bytes - b->o.reserve_bytes;

    /* What stays when everything is delivered: state, spare, the current segment's head; and the
     * slack. */
    limit = less(limit, BUFFER_FORMAT_STATE + 6 * (uint64_t)head_bytes(b) + b->o.max_bytes / 8 +
                            4 * SLACK);
    limit = MIN(limit, b->o.cannot_wait_max_bytes);
    return (size_t)MIN(less(limit, RECORD_OVERHEAD), (uint64_t)BUFFER_MAX_RECORD);
}

/* ---- writing ---- */

static void refuse(struct buffer *b, const char *what, int error)
{
    log_error("buffer: the disk refuses; intake waits", LOG_STR("what", what),
              LOG_STR("dir", b->o.dir), LOG_STR("why", strerror(error)));
    pthread_mutex_lock(&b->lock);
    b->refused = true;
    if (b->room_ms == BUFFER_NEVER) {
        b->room_ms = clock_mono_ms() + SPACE_CHECK_MS;
        buffer_sync_wake(b);
    }
    pthread_mutex_unlock(&b->lock);
    b->w.room[0] = b->w.room[1] = 0;
}

/* Writes the first n bytes of the tail behind what is written. Not a commit: nobody sees them yet.
 */
static int flush(struct buffer *b, size_t n)
{
    struct buffer_writer *w = &b->w;

    if (io_pwrite_all(w->fd, w->tail, n, (off_t)w->written, NULL) < 0) {
        int error = errno;

        /* Blocks behind the end would only be in the way; that they stay when this fails does no
         * harm. */
        io_truncate(w->fd, (off_t)w->written);
        refuse(b, "write", error);
        errno = error;
        return -1;
    }
    metric_add(M_BUFFER_WRITTEN, n);
    w->written += n;
    w->space_left = w->space_left == BUFFER_NEVER ? BUFFER_NEVER : less(w->space_left, n);
    return 0;
}

/* What the tail does not hold any more; used: how far it was filled. */
static void give_memory_back(struct buffer *b, size_t used)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t kept = MAX((size_t)KEEP_BYTES, (b->w.tail_n + page - 1) / page * page);

    if (used > kept)
        madvise(b->w.tail + kept, TAIL_BYTES - kept, MADV_DONTNEED);
}

/* Whether p is a row of whole records, as they were built. */
static bool whole_records(const char *p, size_t n, uint32_t key)
{
    for (size_t at = 0; at < n;) {
        struct buffer_head h;

        if (n - at < BUFFER_FORMAT_HEAD || !buffer_format_head_get(p + at, key, &h) ||
            buffer_format_size(&h) > n - at ||
            buffer_format_payload_crc(key, h.seq, p + at + BUFFER_FORMAT_HEAD, h.length) !=
                h.payload_crc)
            return false;
        at += buffer_format_size(&h);
    }
    return true;
}

/* What was flushed ahead of its commit, back to the tail: nobody has seen it, so the file can be
 * left where its last commit ends. (buffer_reserve sees to it that it fits.) */
static int take_back(struct buffer *b)
{
    struct buffer_writer *w = &b->w;
    struct buffer_segment *g = w->segment;
    size_t n = (size_t)(w->written - g->end);
    bool io_error = false;

    if (n == 0)
        return 0;
    ASSERT(n + w->tail_n <= TAIL_BYTES);
    memmove(w->tail + n, w->tail, w->tail_n);
    if (buffer_scan_pread(w->fd, w->tail, n, g->end, &io_error) != (ssize_t)n ||
        !whole_records(w->tail, n, g->key)) {
        memmove(w->tail, w->tail + n, w->tail_n);
        return -1;
    }
    w->tail_n += n;
    w->written = g->end;
    io_truncate(w->fd, (off_t)g->end);
    pthread_mutex_lock(&b->lock);
    b->used -= less(g->size, g->end);
    g->size = g->end;
    pthread_mutex_unlock(&b->lock);
    return 0;
}

/* ---- segments ---- */

/* The file that the next segment is written to before it gets its name: the spare one, or else a
 * new one. */
static int take_spare(struct buffer *b, const char **name)
{
    int fd;

    pthread_mutex_lock(&b->lock);
    fd = b->spare_fd;
    b->spare_fd = -1;
    b->spare_bytes = 0;
    b->spare_taken = true;
    pthread_mutex_unlock(&b->lock);
    *name = BUFFER_SPARE_NAME;
    if (fd < 0) {
        *name = BUFFER_NEXT_NAME;
        fd = buffer_spare_open(b, *name);
    }
    return fd;
}

/* Writes the head of segment number, and only then gives the file its name: a segment has its whole
 * head, or is not there. Returns the descriptor, or -1 with errno. */
static int make_segment(struct buffer *b, uint64_t number, const char *head, size_t n)
{
    char name[BUFFER_NAME_MAX];
    const char *unnamed;
    int error, fd = take_spare(b, &unnamed);

    buffer_segment_name(name, number, "seg");
    if (fd >= 0 &&
        (io_pwrite_all(fd, head, n, 0, NULL) < 0 || io_rename(b->dir, unnamed, b->dir, name) < 0)) {
        error = errno;
        io_close(fd);
        errno = error;
        fd = -1;
    }
    error = errno;
    pthread_mutex_lock(&b->lock);
    b->spare_taken = false;
    pthread_mutex_unlock(&b->lock);
    errno = error;
    return fd;
}

/* Header and snapshot, built at the tail behind what is pending. */
static size_t build_head(struct buffer *b, struct buffer_header *h, char *to)
{
    uint32_t key = buffer_format_key(b->salt, h->number), count;
    struct buffer_head head = {.type = BUFFER_TYPE_SNAPSHOT, .seq = h->prev.seq};
    char *payload = to + BUFFER_FORMAT_HEADER + BUFFER_FORMAT_HEAD;
    struct buffer_books books;
    size_t n = BUFFER_FORMAT_BOOKS;

    pthread_mutex_lock(&b->lock);
    buffer_fill_books(b, &books);
    pthread_mutex_unlock(&b->lock);
    /* Not what changed since: it may be ahead of records that are still pending. */
    n += buffer_positions_put_committed(b->w.positions, payload + n, &count);
    buffer_format_books_put(payload, &books, count);
    head.length = (uint32_t)n;
    head.time_s = (uint32_t)(books.wall_ns / 1000000000);
    head.payload_crc = buffer_format_payload_crc(key, head.seq, payload, n);
    buffer_format_head_put(to + BUFFER_FORMAT_HEADER, key, &head);
    h->created_ns = books.wall_ns;
    h->durable = books.durable;
    h->cannot_wait_before = books.cannot_wait_total;
    h->data_start = BUFFER_FORMAT_HEADER + BUFFER_FORMAT_HEAD + n;
    buffer_format_header_put(to, h);
    return (size_t)h->data_start;
}

static struct buffer_segment *segment_of(const struct buffer *b, const struct buffer_header *h,
                                         int fd)
{
    struct buffer_segment *g = base_calloc(1, sizeof *g);

    *g = (struct buffer_segment){
        .number = h->number,
        .name = h->number,
        .key = buffer_format_key(b->salt, h->number),
        .header_ok = true,
        .size = h->data_start,
        .data_start = h->data_start,
        .end = h->data_start,
        .first_seq = h->prev.seq,
        .cannot_wait_before = h->cannot_wait_before,
        .created_s = (uint32_t)(h->created_ns / 1000000000),
        .prev = h->prev,
        .fd = fd,
    };
    return g;
}

/* What is pending was built for another segment, whose key is in its checksums. */
static void rekey_tail(struct buffer *b)
{
    uint32_t key = b->w.segment->key;

    for (size_t at = 0; at < b->w.tail_n;) {
        char *p = b->w.tail + at;
        struct buffer_head h;

        buffer_format_head_read(p, &h);
        h.payload_crc = buffer_format_payload_crc(key, h.seq, p + BUFFER_FORMAT_HEAD, h.length);
        buffer_format_head_put(p, key, &h);
        at += buffer_format_size(&h);
    }
}

/* Begins the next segment. -1: logged, the current one (if any) goes on. */
static int roll(struct buffer *b)
{
    struct buffer_writer *w = &b->w;
    struct buffer_header h = {.number = w->next_number++};
    char *head = w->tail + w->tail_n;
    struct buffer_segment *g;
    size_t n;
    int fd;

    /* What was flushed ahead of its commit cannot move to another file. */
    ASSERT(!w->segment || w->written == w->segment->end);
    memcpy(h.salt, b->salt, sizeof h.salt);
    hash_random(&h.nonce, sizeof h.nonce);
    h.prev = b->end; /* only this thread moves it */
    n = build_head(b, &h, head);
    fd = make_segment(b, h.number, head, n);
    if (fd < 0)
        return -1;
    metric_add(M_BUFFER_WRITTEN, n);
    g = segment_of(b, &h, fd);
    pthread_mutex_lock(&b->lock);
    if (b->n_segments == b->segments_cap) {
        b->segments_cap = b->segments_cap * 2 + 16;
        b->segments = base_realloc(b->segments, b->segments_cap * sizeof *b->segments);
    }
    if (w->segment)
        w->segment->sealed_ms = clock_mono_ms();
    b->segments[b->n_segments++] = g;
    b->used += n;
    /* A frontier at the end moves along: what is finished before it can go. */
    if (b->frontier.seq >= b->end.seq)
        b->frontier.point = (struct buffer_point){g->number, g->data_start};
    b->end.point = (struct buffer_point){g->number, g->data_start};
    b->head_bytes = n;
    b->reserved = MAX(b->reserved, h.number + BUFFER_RESERVE_NUMBERS);
    b->refused = false;
    buffer_update_durable(b);
    if (buffer_spare_due(b))
        buffer_spare_make(b);
    buffer_sync_wake(b);
    pthread_mutex_unlock(&b->lock);
    w->segment = g;
    w->fd = fd;
    w->nonce = h.nonce;
    w->written = n;
    rekey_tail(b);
    give_memory_back(b, w->tail_n + n);
    return 0;
}

/* A segment to write to, when there is none: the disk was full or refused at the start. */
static int begin_segment(struct buffer *b)
{
    uint64_t now = clock_mono_ms();

    if (b->w.segment)
        return 0;
    if (b->w.begin_failed_ms && now - b->w.begin_failed_ms < BEGIN_RETRY_MS)
        return -1;
    if (roll(b) == 0)
        return 0;
    b->w.begin_failed_ms = now;
    refuse(b, "new segment", errno);
    return -1;
}

/* Whether the current segment has done its work: it is large enough, or replacing it frees what is
 * delivered, or its fsync failed. */
static bool roll_is_due(struct buffer *b)
{
    const struct buffer_segment *g = b->w.segment;
    uint64_t data = g->end - g->data_start;
    bool asked = atomic_load_explicit(&b->want_roll, memory_order_relaxed), finished, failed;

    if (!asked && g->end < b->segment_bytes / 2)
        return false;
    pthread_mutex_lock(&b->lock);
    finished = b->frontier.seq == b->end.seq;
    failed = g->failed;
    pthread_mutex_unlock(&b->lock);
    if (data == 0)
        return failed;
    return asked || g->end >= b->segment_bytes || (finished && data >= b->segment_bytes / 2);
}

static void roll_if_due(struct buffer *b)
{
    struct buffer_writer *w = &b->w;
    uint64_t now;

    if (!w->segment || w->pending || !roll_is_due(b))
        return;
    now = clock_mono_ms();
    if (w->begin_failed_ms && now - w->begin_failed_ms < BEGIN_RETRY_MS)
        return;
    /* Before, not after: the new segment's first fsync may fail at once, and ask for another. */
    atomic_store(&b->want_roll, false);
    if (roll(b) == 0) {
        w->begin_failed_ms = 0;
    } else {
        atomic_store(&b->want_roll, true);
        w->begin_failed_ms = now;
        log_warn("buffer: cannot begin the next segment; the current one grows",
                 LOG_STR("why", strerror(errno)));
    }
}

/* ---- records ---- */

char *buffer_reserve(struct buffer *b, enum buffer_class class, size_t max)
{
    struct buffer_writer *w = &b->w;

    ASSERT(max <= BUFFER_MAX_RECORD);
    if (UNLIKELY(!has_room(b, class, (uint64_t)max + RECORD_OVERHEAD)))
        return NULL;
    if (UNLIKELY(!w->segment || w->written + w->tail_n - w->segment->end >= AHEAD_BYTES))
        return NULL;
    if (UNLIKELY(w->tail_n >= FLUSH_BYTES)) {
        size_t n = w->tail_n;

        if (flush(b, n) < 0)
            return NULL;
        w->tail_n = 0;
        give_memory_back(b, n);
        pthread_mutex_lock(&b->lock);
        b->used += less(w->written, w->segment->size);
        w->segment->size = MAX(w->segment->size, w->written);
        pthread_mutex_unlock(&b->lock);
    }
    if (!w->pending)
        w->time_s = (uint32_t)(clock_wall_ns() / 1000000000);
    w->reserved = max;
    return w->tail + w->tail_n + BUFFER_FORMAT_HEAD;
}

void buffer_segment_identity(const struct buffer *b, uint64_t *nonce, uint64_t *number)
{
    ASSERT(b->w.segment);
    *nonce = b->w.nonce;
    *number = b->w.next_seq - b->w.segment->first_seq;
}

void buffer_append(struct buffer *b, enum buffer_class class, const uint8_t id[BUFFER_ID_BYTES],
                   struct bytes index, unsigned flags, size_t n)
{
    struct buffer_writer *w = &b->w;
    char *head = w->tail + w->tail_n, *payload = head + BUFFER_FORMAT_HEAD;
    struct buffer_head h = {
        .length = (uint32_t)(n + BUFFER_ID_BYTES + index.n),
        .type = BUFFER_TYPE_DATA,
        .flags = (uint8_t)flags,
        .class = (uint8_t) class,
        .index_n = (uint8_t)index.n,
        .seq = w->next_seq,
        .time_s = w->time_s,
    };
    uint64_t size = buffer_format_size(&h);

    ASSERT(n <= w->reserved && index.n <= BUFFER_MAX_INDEX);
    memcpy(payload + n, id, BUFFER_ID_BYTES);
    memcpy(payload + n + BUFFER_ID_BYTES, index.p, index.n);
    h.payload_crc = buffer_format_payload_crc(w->segment->key, h.seq, payload, h.length);
    buffer_format_head_put(head, w->segment->key, &h);
    w->reserved = 0;
    w->tail_n += size;
    w->next_seq++;
    w->pending = true;
    w->owed |= flags;
    w->room[0] = less(w->room[0], size);
    w->room[1] = less(w->room[1], size);
    if (class == BUFFER_CANNOT_WAIT) {
        w->cannot_wait_pending += size;
        w->owed |= BUFFER_OWES_SYNC;
    }
}

void buffer_position_set(struct buffer *b, struct bytes key, struct bytes value)
{
    if (!buffer_positions_set(b->w.positions, key, value, positions_max(b)))
        log_warn(
            "buffer: too many read positions; a file without one is read again after a restart",
            LOG_U64("bytes", positions_max(b)), LOG_STR("knob", "buffer.max_size"));
}

void buffer_position_each(struct buffer *b,
                          void (*fn)(void *arg, struct bytes key, struct bytes value), void *arg)
{
    buffer_positions_each(b->w.positions, fn, arg);
}

void buffer_count_drop(struct buffer *b, enum buffer_drop kind, uint64_t n)
{
    atomic_fetch_add_explicit(&b->dropped[kind], n, memory_order_relaxed);
}

/* ---- commit ---- */

static uint64_t dropped_sum(const struct buffer *b)
{
    uint64_t sum = 0;

    for (int i = 0; i < BUFFER_DROP_KINDS; i++)
        sum += atomic_load_explicit(&b->dropped[i], memory_order_relaxed);
    return sum;
}

/* The commit record behind the pending ones. */
static size_t build_commit(struct buffer *b, char *to)
{
    struct buffer_writer *w = &b->w;
    char *payload = to + BUFFER_FORMAT_HEAD;
    struct buffer_head head = {.type = BUFFER_TYPE_COMMIT, .seq = w->next_seq};
    struct buffer_books books;
    size_t n = BUFFER_FORMAT_BOOKS;
    uint32_t count;

    pthread_mutex_lock(&b->lock);
    buffer_fill_books(b, &books);
    pthread_mutex_unlock(&b->lock);
    books.cannot_wait_total += w->cannot_wait_pending;
    n += buffer_positions_put_dirty(w->positions, payload + n, &count);
    buffer_format_books_put(payload, &books, count);
    head.length = (uint32_t)n;
    head.time_s = (uint32_t)(books.wall_ns / 1000000000);
    head.payload_crc = buffer_format_payload_crc(w->segment->key, head.seq, payload, n);
    buffer_format_head_put(to, w->segment->key, &head);
    return BUFFER_FORMAT_HEAD + n;
}

static void note_age(struct buffer *b, uint64_t seq, uint32_t time_s)
{
    if (b->n_ages && b->ages[b->n_ages - 1].time_s == time_s)
        return;
    if (b->n_ages == BUFFER_AGE_MARKS) {
        size_t kept = 0;

        /* What is delivered goes first; then every second one. */
        while (kept + 1 < b->n_ages && b->ages[kept + 1].seq <= b->frontier.seq)
            kept++;
        b->n_ages -= kept;
        memmove(b->ages, b->ages + kept, b->n_ages * sizeof *b->ages);
        if (kept == 0) {
            for (size_t i = 0; i < BUFFER_AGE_MARKS / 2; i++)
                b->ages[i] = b->ages[2 * i];
            b->n_ages = BUFFER_AGE_MARKS / 2;
        }
    }
    b->ages[b->n_ages++] = (struct buffer_age_mark){seq, time_s};
}

/* Makes what was written visible, and says what is owed. Under lock. */
static void publish_commit(struct buffer *b, uint64_t bytes)
{
    struct buffer_writer *w = &b->w;
    uint64_t now = clock_mono_ms();
    bool all_finished = b->frontier.seq == b->end.seq;

    if (w->next_seq > b->end.seq)
        note_age(b, b->end.seq, w->time_s);
    b->end = (struct buffer_cursor){{w->segment->number, w->written}, w->next_seq};
    if (all_finished && w->next_seq == b->frontier.seq)
        b->frontier.point = b->end.point;
    b->cannot_wait_total += w->cannot_wait_pending;
    w->segment->end = w->written;
    b->used += less(w->written, w->segment->size);
    w->segment->size = MAX(w->segment->size, w->written);
    b->head_bytes = head_bytes(b);
    b->refused = false;
    b->last_commit_ms = now;
    b->lazy_written += bytes;
    if (b->o.sync_off) {
        buffer_update_durable(b);
    } else if (w->owed & (BUFFER_OWES_SYNC | BUFFER_DURABLE_FIRST)) {
        if (now + b->o.sync_ms < b->owe_ms) {
            b->owe_ms = now + b->o.sync_ms;
            buffer_sync_wake(b);
        }
    }
    if (!b->o.sync_off && b->lazy_ms == BUFFER_NEVER) {
        b->lazy_ms = now + 1000;
        buffer_sync_wake(b);
    }
    buffer_publish(b);
}

/* Whether a new segment helps where a write to the current one failed: the file itself may be the
 * trouble; on a full disk, all of it is delivered, and its room comes back with it. */
static bool another_may_do(struct buffer *b, int error)
{
    bool finished;

    if (error != ENOSPC && error != EDQUOT)
        return true;
    pthread_mutex_lock(&b->lock);
    finished = b->frontier.seq == b->end.seq && b->w.segment->end > b->w.segment->data_start;
    pthread_mutex_unlock(&b->lock);
    return finished;
}

/* Writes what is pending with its commit, in the next segment where the current one does not do. */
static int write_commit(struct buffer *b, size_t *bytes)
{
    struct buffer_writer *w = &b->w;

    for (int attempt = 0;; attempt++) {
        size_t n = w->tail_n + build_commit(b, w->tail + w->tail_n);

        if (flush(b, n) == 0) {
            *bytes = n;
            return 0;
        }
        if (attempt > 0 || !another_may_do(b, errno) || take_back(b) < 0 || roll(b) < 0)
            return -1;
    }
}

/* Whether a commit without records fits below the cap. */
static bool books_fit(struct buffer *b)
{
    uint64_t used;

    pthread_mutex_lock(&b->lock);
    used = b->used + b->spare_bytes;
    pthread_mutex_unlock(&b->lock);
    return used + commit_bytes(b) + head_bytes(b) <= b->o.max_bytes;
}

int buffer_commit(struct buffer *b)
{
    struct buffer_writer *w = &b->w;
    bool records = w->pending, positions = buffer_positions_dirty(w->positions);
    uint64_t drops = dropped_sum(b), flushed;
    size_t n;

    if (!records && !positions &&
        (drops == w->dropped_committed || clock_mono_ms() - w->last_commit_ms < DROPS_COMMIT_MS)) {
        begin_segment(b);
        roll_if_due(b);
        return 0;
    }
    if (begin_segment(b) < 0)
        return -1;
    if (!records && !books_fit(b)) {
        roll_if_due(b);
        return positions ? -1 : 0;
    }
    flushed = w->written - w->segment->end;
    if (write_commit(b, &n) < 0)
        return -1;
    w->tail_n = 0;
    w->pending = false;
    w->dropped_committed = drops;
    w->last_commit_ms = clock_mono_ms();
    buffer_positions_clean(w->positions);
    pthread_mutex_lock(&b->lock);
    publish_commit(b, flushed + n);
    pthread_mutex_unlock(&b->lock);
    w->cannot_wait_pending = 0;
    w->owed = 0;
    update_room(b);
    give_memory_back(b, n);
    if (records && b->o.on_data)
        b->o.on_data(b->o.arg);
    roll_if_due(b);
    return 0;
}

void buffer_owe_sync(struct buffer *b, bool urgent)
{
    uint64_t due = clock_mono_ms() + (urgent ? 0 : b->o.sync_ms);

    if (b->o.sync_off)
        return;
    pthread_mutex_lock(&b->lock);
    if (buffer_point_before(b->durable, b->end.point) && b->frontier.seq < b->end.seq &&
        due < b->owe_ms) {
        b->owe_ms = due;
        buffer_sync_wake(b);
    }
    pthread_mutex_unlock(&b->lock);
}

/* ---- life ---- */

void buffer_writer_init(struct buffer *b)
{
    struct buffer_writer *w = &b->w;

    w->tail = mmap(NULL, TAIL_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (w->tail == MAP_FAILED)
        base_die("out of memory (%zu bytes for the buffer's tail)", (size_t)TAIL_BYTES);
    w->next_seq = b->end.seq;
    w->dropped_committed = dropped_sum(b);
    b->room_ms = BUFFER_NEVER;
    begin_segment(b);
}

void buffer_writer_fini(struct buffer *b)
{
    munmap(b->w.tail, TAIL_BYTES);
}
