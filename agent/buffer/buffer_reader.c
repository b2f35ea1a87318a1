/*
 * The reader's side: pread of committed records, as they lie on disk, into the caller's memory;
 * every checksum is verified there. What does not verify is looked at record by record: a bad
 * payload costs that record, a bad head the way to the next one that verifies.
 */
#include "agent/buffer/buffer_internal.h"

#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/buffer/buffer_scan.h"

#include <errno.h>
#include <fcntl.h>

/* What buffer_read puts before the records: where they lie. In memory only. */
struct prefix {
    uint64_t segment;
    uint64_t offset;
};

/* A segment as the reader may see it now. */
struct view {
    uint64_t number, name, data_start, end;
    uint64_t end_seq; /* of the first record behind it */
    uint32_t key;
    bool last;
    struct buffer_point durable;
};

/* ---- files ---- */

void buffer_reader_init(struct buffer *b)
{
    for (int i = 0; i < BUFFER_READER_FILES; i++)
        b->r.files[i].fd = -1;
}

void buffer_reader_fini(struct buffer *b)
{
    for (int i = 0; i < BUFFER_READER_FILES; i++)
        if (b->r.files[i].fd >= 0)
            io_close(b->r.files[i].fd);
    buffer_reader_init(b);
}

/* Under lock. */
static bool has_segment(const struct buffer *b, const struct view *v)
{
    for (size_t i = 0; i < b->n_segments; i++)
        if (b->segments[i]->number == v->number)
            return true;
    return false;
}

static bool was_deleted(struct buffer *b, const struct view *v)
{
    bool there;

    pthread_mutex_lock(&b->lock);
    there = has_segment(b, v);
    pthread_mutex_unlock(&b->lock);
    return !there;
}

/* The descriptor of v's file, the reader's until files_done; -1 with errno. */
static int file_of(struct buffer *b, const struct view *v)
{
    struct buffer_reader_file *f = NULL, *oldest = b->r.files;
    char name[BUFFER_NAME_MAX];
    int fd = -1, error;

    pthread_mutex_lock(&b->lock);
    b->r.clock++;
    for (int i = 0; i < BUFFER_READER_FILES && !f; i++) {
        if (b->r.files[i].fd >= 0 && b->r.files[i].name == v->name)
            f = &b->r.files[i];
        else if (b->r.files[i].used < oldest->used)
            oldest = &b->r.files[i];
    }
    if (f) {
        f->used = b->r.clock;
        f->busy = true;
        fd = f->fd;
    } else {
        fd = oldest->fd;
        oldest->fd = -1;
    }
    pthread_mutex_unlock(&b->lock);
    if (f)
        return fd;
    if (fd >= 0)
        io_close(fd);
    buffer_segment_name(name, v->name, "seg");
    fd = io_open(b->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    error = errno;
    pthread_mutex_lock(&b->lock);
    *oldest = (struct buffer_reader_file){
        .name = v->name, .fd = fd, .used = b->r.clock, .busy = true, .gone = !has_segment(b, v)};
    pthread_mutex_unlock(&b->lock);
    errno = error;
    return fd;
}

/* Closes what forget says. */
static void close_files(struct buffer *b,
                        bool (*forget)(struct buffer_reader_file *f, const struct view *v),
                        const struct view *v)
{
    int fds[BUFFER_READER_FILES];
    size_t n = 0;

    pthread_mutex_lock(&b->lock);
    for (int i = 0; i < BUFFER_READER_FILES; i++) {
        struct buffer_reader_file *f = &b->r.files[i];

        if (!forget(f, v) || f->fd < 0)
            continue;
        fds[n++] = f->fd;
        f->fd = -1;
        f->used = 0;
    }
    pthread_mutex_unlock(&b->lock);
    while (n > 0)
        io_close(fds[--n]);
}

static bool is_gone(struct buffer_reader_file *f, const struct view *v)
{
    (void)v;
    f->busy = false;
    return f->gone;
}

static bool is_of(struct buffer_reader_file *f, const struct view *v)
{
    return f->name == v->name;
}

/* The reader is done with what file_of gave it. */
static void files_done(struct buffer *b)
{
    close_files(b, is_gone, NULL);
}

/* Forgets the open file: by this name there may be another one now. */
static void forget_file(struct buffer *b, const struct view *v)
{
    close_files(b, is_of, v);
}

int buffer_reader_forget(struct buffer *b, uint64_t name)
{
    for (int i = 0; i < BUFFER_READER_FILES; i++) {
        struct buffer_reader_file *f = &b->r.files[i];
        int fd = f->fd;

        if (fd < 0 || f->name != name)
            continue;
        f->gone = f->busy;
        if (f->busy)
            return -1;
        f->fd = -1;
        f->used = 0;
        return fd;
    }
    return -1;
}

/* ---- segments ---- */

/* The first segment whose number is at least number. */
static bool find_view(struct buffer *b, uint64_t number, struct view *v)
{
    bool found = false;

    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < b->n_segments && !found; i++) {
        const struct buffer_segment *g = b->segments[i];

        if (g->number < number)
            continue;
        *v = (struct view){.number = g->number,
                           .name = g->name,
                           .data_start = g->data_start,
                           .end = g->end,
                           .end_seq = b->end.seq,
                           .key = g->key,
                           .last = i + 1 == b->n_segments,
                           .durable = b->durable};
        if (!v->last)
            v->end_seq = b->segments[i + 1]->first_seq;
        found = true;
    }
    pthread_mutex_unlock(&b->lock);
    return found;
}

static struct buffer_point fsynced(struct buffer *b)
{
    struct buffer_point p;

    pthread_mutex_lock(&b->lock);
    p = b->durable;
    pthread_mutex_unlock(&b->lock);
    return p;
}

static void note_damage(struct buffer *b, const struct view *v, uint64_t at, const char *what)
{
    log_error("buffer: damaged on disk; what is hit is left out", LOG_STR("what", what),
              LOG_U64("segment", v->number), LOG_U64("offset", at));
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < b->n_segments; i++)
        if (b->segments[i]->number == v->number)
            b->segments[i]->damaged = true;
    pthread_mutex_unlock(&b->lock);
}

static void skip_to(struct buffer_cursor *c, uint64_t seq, uint64_t *lost)
{
    if (seq > c->seq) {
        *lost += seq - c->seq;
        c->seq = seq;
    }
}

/* ---- reading on ---- */

enum walk_end {
    WALK_WANTS_MORE, /* the next record is not wholly there: whole says how large it is (0: not even
                        its head) */
    WALK_STALE,      /* the next one does not count: size in whole */
    WALK_GAP,        /* numbers are missing before the next one */
    WALK_HELD,       /* the next one must be durable first */
    WALK_DAMAGE,
    WALK_END
};

struct walk {
    size_t n;       /* bytes walked over */
    bool documents; /* data records among them */
    uint64_t seq;   /* expected next */
    uint64_t whole;
    uint64_t gap_to;
};

/* Verifies records in p (n bytes that lie at offset at) as far as they may be handed out. */
static enum walk_end walk(struct walk *w, const struct view *v, uint64_t at, const char *p,
                          size_t n)
{
    for (;;) {
        const char *head = p + w->n;
        struct buffer_head h;
        uint64_t size;

        w->whole = 0;
        if (at + w->n == v->end)
            return WALK_END;
        if (n - w->n < BUFFER_FORMAT_HEAD)
            return WALK_WANTS_MORE;
        if (!buffer_format_head_get(head, v->key, &h))
            return WALK_DAMAGE;
        size = buffer_format_size(&h);
        if (size > v->end - at - w->n)
            return WALK_DAMAGE;
        w->whole = size;
        if (n - w->n < size)
            return WALK_WANTS_MORE;
        /* Read before; or cut off by a recovery, which left it to the next segment's numbers to
         * tell. */
        if ((h.type == BUFFER_TYPE_DATA && h.seq < w->seq) ||
            h.seq + (h.type == BUFFER_TYPE_DATA) > v->end_seq)
            return WALK_STALE;
        if (h.seq > w->seq) {
            w->gap_to = h.seq;
            return WALK_GAP;
        }
        if (UNLIKELY(h.flags & BUFFER_DURABLE_FIRST) && h.type == BUFFER_TYPE_DATA &&
            buffer_point_before(v->durable, (struct buffer_point){v->number, at + w->n + size}))
            return WALK_HELD;
        if (buffer_format_payload_crc(v->key, h.seq, head + BUFFER_FORMAT_HEAD, h.length) !=
            h.payload_crc)
            return WALK_DAMAGE;
        if (h.type == BUFFER_TYPE_DATA) {
            w->documents = true;
            w->seq++;
        }
        w->n += size;
    }
}

/* Moves behind damage at *from: to the next record that verifies, or the segment's end. Stays when
 * it verifies after all (unless forced): nothing is given up for a passing trouble. */
static void skip_damage(struct buffer *b, const struct view *v, int fd, struct buffer_cursor *from,
                        bool force)
{
    enum buffer_scan_result got;
    struct buffer_scan s;
    struct buffer_head h;

    buffer_scan_init(&s, fd, v->key, from->point.offset, v->end);
    got = buffer_scan_next(&s, &h);
    if (got != BUFFER_SCAN_RECORD || force) {
        if (got == BUFFER_SCAN_BAD_HEAD)
            buffer_scan_resync(&s, from->seq, v->end_seq);
        note_damage(b, v, from->point.offset, s.io_error ? "cannot be read" : "checksum");
        from->point.offset = s.at;
    }
    buffer_scan_fini(&s);
}

static struct buffer_cursor behind(struct buffer_point at, uint64_t seq, uint64_t bytes)
{
    at.offset += bytes;
    return (struct buffer_cursor){at, seq};
}

/* Moves *from into the segment that v shows. false when that has nothing more to give: *from went
 * on to the next one, if there is one. */
static bool enter(struct buffer_cursor *from, const struct view *v, uint64_t *lost)
{
    if (from->point.segment != v->number)
        from->point = (struct buffer_point){v->number, 0};
    from->point.offset = MAX(from->point.offset, v->data_start);
    if (from->point.offset < v->end)
        return true;
    skip_to(from, v->end_seq, lost);
    if (!v->last)
        from->point = (struct buffer_point){v->number + 1, 0};
    return false;
}

/* What to do where the next record cannot be handed out: moves *from over it and says true, or
 * false when that is all for now. */
static bool get_over(struct buffer *b, const struct view *v, int fd, const struct walk *w,
                     enum walk_end end, struct buffer_cursor *from, uint64_t *lost,
                     unsigned *attempts)
{
    switch (end) {
    case WALK_STALE:
        from->point.offset += w->whole;
        return true;
    case WALK_GAP:
        skip_to(from, w->gap_to, lost);
        return true;
    case WALK_HELD:
        atomic_store(&b->held, true);
        /* It may have become durable before that was seen. */
        return buffer_point_before(v->durable, fsynced(b));
    case WALK_DAMAGE:
        /* By this name there may be a newer file, whose bytes are whole: look once more before
         * giving up. */
        if (++*attempts % 4 == 1)
            forget_file(b, v);
        else
            skip_damage(b, v, fd, from, *attempts % 4 == 0);
        return true;
    case WALK_WANTS_MORE:
    case WALK_END:
        note_damage(b, v, from->point.offset, "cut short");
        from->point.offset = v->end;
        return true;
    }
    return false;
}

static size_t read_on(struct buffer *b, struct buffer_cursor *from, char *to, size_t cap,
                      uint64_t *lost, size_t *need)
{
    struct prefix prefix;
    unsigned attempts = 0;
    struct view v;

    *lost = 0;
    *need = 0;
    ASSERT(cap >= sizeof prefix + BUFFER_FORMAT_HEAD);
    while (find_view(b, from->point.segment, &v)) {
        struct walk w = {.seq = from->seq};
        bool io_error = false;
        enum walk_end end;
        size_t want;
        ssize_t got;
        int fd;

        if (!enter(from, &v, lost)) {
            if (v.last)
                return 0;
            continue;
        }
        w.seq = from->seq;
        want = (size_t)MIN((uint64_t)(cap - sizeof prefix), v.end - from->point.offset);
        fd = file_of(b, &v);
        got = fd < 0
                  ? -1
                  : buffer_scan_pread(fd, to + sizeof prefix, want, from->point.offset, &io_error);
        if (fd < 0 && errno == ENOENT && was_deleted(b, &v))
            continue; /* delivered: there were but books left in it */
        if (fd < 0 && (errno == ENOENT || errno == ELOOP)) {
            got = 0; /* somebody took it away */
        } else if (got < 0) {
            log_error("buffer: cannot read; tried again", LOG_U64("segment", v.number),
                      LOG_STR("why", strerror(errno)));
            return 0;
        }
        end = walk(&w, &v, from->point.offset, to + sizeof prefix, (size_t)got);
        if (w.n == 0) {
            if (end == WALK_WANTS_MORE && (size_t)got == want && w.whole > want) {
                *need = sizeof prefix + (size_t)w.whole;
                return 0;
            }
            if (!get_over(b, &v, fd, &w, end, from, lost, &attempts))
                return 0;
            continue;
        }
        prefix = (struct prefix){v.number, from->point.offset};
        memcpy(to, &prefix, sizeof prefix);
        *from = behind(from->point, w.seq, w.n);
        if (w.documents)
            return sizeof prefix + w.n;
    }
    return 0;
}

size_t buffer_read(struct buffer *b, struct buffer_cursor *from, char *to, size_t cap,
                   uint64_t *lost, size_t *need)
{
    size_t n = read_on(b, from, to, cap, lost, need);

    files_done(b);
    return n;
}

/* ---- what was read ---- */

/* Fills in the record whose (verified) head lies at p. */
static void fill(struct buffer_record *r, const char *p, const struct buffer_head *h,
                 struct buffer_point at)
{
    size_t n = h->length - BUFFER_ID_BYTES - h->index_n;
    const char *document = p + BUFFER_FORMAT_HEAD;

    r->seq = h->seq;
    memcpy(r->id, document + n, BUFFER_ID_BYTES);
    r->flags = h->flags;
    r->class = h->class;
    r->age_base_s = h->time_s;
    r->index = bytes_of(document + n + BUFFER_ID_BYTES, h->index_n);
    r->document = bytes_of(document, n);
    r->at = at;
}

bool buffer_next(const char *to, size_t n, size_t *at, struct buffer_record *record)
{
    struct prefix prefix;

    if (n == 0)
        return false;
    if (*at == 0)
        *at = sizeof prefix;
    memcpy(&prefix, to, sizeof prefix);
    while (*at < n) {
        struct buffer_head h;
        size_t here = *at;

        buffer_format_head_read(to + here, &h);
        *at += buffer_format_size(&h);
        if (h.type != BUFFER_TYPE_DATA)
            continue;
        fill(record, to + here, &h,
             (struct buffer_point){prefix.segment, prefix.offset + here - sizeof prefix});
        return true;
    }
    return false;
}

size_t buffer_record_size(const struct buffer_record *record)
{
    return BUFFER_FORMAT_DATA_OVERHEAD + record->index.n + record->document.n;
}

struct buffer_cursor buffer_record_end(const struct buffer_record *record)
{
    return behind(record->at, record->seq + 1, buffer_record_size(record));
}

int buffer_read_at(struct buffer *b, struct buffer_point at, uint64_t seq, char *to, size_t cap,
                   struct buffer_record *record)
{
    struct view v;
    struct buffer_head h;

    if (cap < BUFFER_FORMAT_HEAD || !find_view(b, at.segment, &v) || v.number != at.segment ||
        at.offset >= v.end)
        return -1;
    for (int attempt = 0; attempt < 2; attempt++) {
        size_t want = (size_t)MIN((uint64_t)cap, v.end - at.offset);
        bool io_error = false;
        int fd = file_of(b, &v);

        if (fd >= 0 && buffer_scan_pread(fd, to, want, at.offset, &io_error) == (ssize_t)want &&
            want >= BUFFER_FORMAT_HEAD && buffer_format_head_get(to, v.key, &h) &&
            h.type == BUFFER_TYPE_DATA && h.seq == seq && buffer_format_size(&h) <= want &&
            buffer_format_payload_crc(v.key, seq, to + BUFFER_FORMAT_HEAD, h.length) ==
                h.payload_crc) {
            fill(record, to, &h, at);
            files_done(b);
            return 0;
        }
        forget_file(b, &v);
    }
    files_done(b);
    return -1;
}

/* ---- the frontier ---- */

struct buffer_cursor buffer_frontier(struct buffer *b)
{
    struct buffer_cursor c;

    pthread_mutex_lock(&b->lock);
    c = b->frontier;
    pthread_mutex_unlock(&b->lock);
    return c;
}

void buffer_advance(struct buffer *b, struct buffer_cursor to, const struct buffer_outcome *outcome)
{
    pthread_mutex_lock(&b->lock);
    ASSERT(to.seq >= b->frontier.seq && to.seq <= b->end.seq);
    ASSERT(buffer_outcome_sum(outcome) == to.seq - b->frontier.seq);
    if (to.seq > b->frontier.seq) {
        b->finished.delivered += outcome->delivered;
        b->finished.duplicate += outcome->duplicate;
        b->finished.dead_lettered += outcome->dead_lettered;
        b->finished.damaged += outcome->damaged;
        b->frontier.seq = to.seq;
    }
    b->frontier = (struct buffer_cursor){
        buffer_point_before(b->frontier.point, to.point) ? to.point : b->frontier.point, to.seq};
    /* All that lies between here and the end are books. */
    if (to.seq == b->end.seq)
        b->frontier.point = b->end.point;
    b->state_dirty = true;
    buffer_update_durable(b);
    buffer_publish(b);
    buffer_sync_wake(b);
    pthread_mutex_unlock(&b->lock);
}
