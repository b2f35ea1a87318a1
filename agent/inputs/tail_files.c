#include "agent/inputs/tail_files.h"

#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* ---- positions ---- */

void tail_files_restore(struct tail_log *log, uint64_t source, const struct tail_position *p)
{
    struct tail_file *f = tail_file_create(log);

    f->identified = true;
    f->at.source = source;
    f->at.offset = p->done;
    f->marker = p->marker;
    f->marker_n = p->marker_n;
    f->inode_key = p->inode;
    f->head = p->head;
    f->head_n = p->head_n;
    f->drawn = p->drawn;
    log->drawn |= p->drawn;
    f->complete = p->complete;
    f->settled = p->resume == p->done && !p->by_stream;
    f->has_entry = true;
    f->entry_n = tail_position_write(p, f->entry);
    f->aside = true;
    f->next = log->known;
    log->known = f;
}

/* source NULL: the log's own entry. */
static void set_entry(struct tail_log *log, const uint64_t *source, struct bytes value)
{
    char key[TAIL_KEY_BYTES];
    size_t n = tail_position_key(&log->id, source, key);

    buffer_position_set(log->shared->buffer, bytes_of(key, n), value);
}

static void save_file(struct tail_log *log, struct tail_file *f, const struct docker_frame_at *from)
{
    struct tail_position p = {
        .resume = from->offset,
        .done = from->replay_to,
        .made = from->made,
        .complete = f->complete && from->offset == from->replay_to,
        .in_long_line = from->in_long_line,
        .time_known = from->time_known,
        .time_ns = from->time_ns,
        .marker = f->marker,
        .marker_n = (uint8_t)f->marker_n,
        .drawn = f->drawn,
        .head_n = f->head_n,
        .head = f->head,
        .inode = f->inode_key,
    };
    char value[TAIL_POSITION_BYTES];
    size_t n;

    for (size_t i = 0; from->by_stream && i < TAIL_STREAMS; i++) {
        p.from[i] = from->from[i];
        p.by_stream |= p.from[i] != p.done;
    }
    f->settled = p.resume == p.done && !p.by_stream;
    n = tail_position_write(&p, value);
    if (f->has_entry && bytes_equal(bytes_of(value, n), bytes_of(f->entry, f->entry_n)))
        return;
    memcpy(f->entry, value, n);
    f->entry_n = n;
    f->has_entry = true;
    set_entry(log, &f->at.source, bytes_of(value, n));
}

/* Writes what has changed. A restart must see all records behind the first unfinished one again, so
 * newer files begin at their beginning while something waits in an older one. */
void tail_files_save(struct tail_log *log)
{
    unsigned older = 0;

    if (!log->has_own_entry) {
        char seen[TAIL_POSITION_BYTES];
        size_t n = tail_position_write(
            &(struct tail_position){.time_ns = (int64_t)log->shared->boot}, seen);

        set_entry(log, NULL, bytes_of(seen, n));
        log->has_own_entry = true;
    }
    for (struct tail_file *f = log->files; f; f = f->next) {
        struct docker_frame_at from;

        if (!f->identified)
            continue;
        from = docker_frame_resume(&log->frame, &f->at, &older);
        /* While records are made once more, the entry of the earlier life holds, unless each
         * stream's own says how far they were. */
        if (from.by_stream)
            from.replay_to = f->at.offset;
        else if (f->at.offset < f->at.replay_to)
            continue;
        if (f->at.offset || f->has_entry || f->complete)
            save_file(log, f, &from);
    }
    /* What was truncated while a record that began in it waited. */
    for (struct tail_file *f = log->known; f && !older; f = f->next) {
        if (!f->superseded || f->settled || !f->has_entry ||
            docker_frame_waits_in(&log->frame, &f->at))
            continue;
        save_file(log, f,
                  &(struct docker_frame_at){.offset = f->at.offset,
                                            .replay_to = f->at.offset,
                                            .time_known = f->at.time_known,
                                            .time_ns = f->at.time_ns});
    }
}

static bool has_twin(const struct tail_file *list, const struct tail_file *f)
{
    for (; list; list = list->next)
        if (list != f && list->identified && list->at.source == f->at.source)
            return true;
    return false;
}

/* Removes f's position, unless another file that begins with the same line goes on with it (a
 * truncation that was not noticed by name). */
static void remove_entry(struct tail_log *log, const struct tail_file *f)
{
    if (f->has_entry && !has_twin(log->files, f) && !has_twin(log->known, f))
        set_entry(log, &f->at.source, BYTES_NONE);
}

void tail_files_move(struct tail_file *f, struct tail_log *to)
{
    if (f->has_entry) {
        if (f->log != to)
            set_entry(f->log, &f->at.source, BYTES_NONE);
        set_entry(to, &f->at.source, bytes_of(f->entry, f->entry_n));
    }
    if (f->log != to)
        tail_files_unlist(f);
    f->log = to;
    to->drawn |= f->drawn;
    if (f->at.by_stream)
        tail_log_count_by_stream(to);
}

void tail_files_forget_log(struct tail_log *log)
{
    while (log->known)
        tail_files_drop(log->known);
    if (log->has_own_entry)
        set_entry(log, NULL, BYTES_NONE);
    log->has_own_entry = true; /* never to be written again */
}

/* ---- descriptors ---- */

void tail_files_end_inflating(struct tail_file *f)
{
    if (f->gz)
        f->log->shared->gz_readers--;
    tail_gz_close(f->gz);
    f->gz = NULL;
}

void tail_files_close(struct tail_file *f)
{
    tail_files_end_inflating(f);
    tail_file_close(f);
    f->log->shared->changed = true;
}

static bool can_spare(const struct tail_log *log, const struct tail_file *f)
{
    return f->fd >= 0 && !f->dirty && !f->removed && f->identified && !f->tail &&
           !docker_frame_waits_in(&log->frame, &f->at);
}

/* Gives the descriptor back that has been quiet the longest: its file is found again by its name.
 */
static bool spare_descriptor(struct tail_shared *s)
{
    struct tail_file *quietest = NULL;

    for (struct tail_log *log = s->all; log; log = log->next_all)
        for (struct tail_file *f = log->files; f; f = f->next)
            if (can_spare(log, f) && (!quietest || f->quiet_since_ms < quietest->quiet_since_ms))
                quietest = f;
    if (!quietest)
        return false;
    if (tail_inode_get(quietest->fd, NULL, &quietest->inode) < 0 ||
        quietest->inode.size != quietest->at.offset)
        quietest->dirty = true;
    tail_files_close(quietest);
    return true;
}

bool tail_files_may_keep(struct tail_shared *s, int fd)
{
    /* Numbers are given out from the lowest: the last ones are left to sockets and the buffer. */
    return fd < s->spare_from || spare_descriptor(s);
}

int tail_files_open(struct tail_log *log, int dir, const char *name, int flags)
{
    const int how = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags;
    int fd = io_open(dir, name, how, 0);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && spare_descriptor(log->shared))
        fd = io_open(dir, name, how, 0);
    if (fd < log->shared->spare_from)
        return fd;
    /* Opened again it has the number that was given back: those at the end stay free. */
    io_close(fd);
    if (spare_descriptor(log->shared))
        return io_open(dir, name, how, 0);
    errno = EMFILE;
    return -1;
}

/* ---- lists ---- */

void tail_files_forget_removed(struct tail_file *f)
{
    for (struct tail_file **at = &f->log->shared->removed; *at; at = &(*at)->next_removed) {
        if (*at != f)
            continue;
        *at = f->next_removed;
        return;
    }
}

void tail_files_free(struct tail_file *f)
{
    if (f->removed)
        tail_files_forget_removed(f);
    tail_files_close(f);
    tail_file_free(f);
}

void tail_files_unlist(struct tail_file *f)
{
    struct tail_log *log = f->log;

    for (struct tail_file **at = &log->files; *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            f->next = NULL;
            return;
        }
    for (struct tail_file **at = &log->known; *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            f->next = NULL;
            return;
        }
}

void tail_files_set_aside(struct tail_file *f)
{
    struct tail_log *log = f->log;

    tail_files_unlist(f);
    f->index = TAIL_FILE_NAMELESS;
    f->aside = true;
    f->dirty = false;
    f->next = log->known;
    log->known = f;
    log->shared->attention = true;
}

void tail_files_drop(struct tail_file *f)
{
    struct tail_log *log = f->log;

    remove_entry(log, f);
    tail_files_unlist(f);
    tail_files_free(f);
    log->shared->changed = true;
}

void tail_files_mark_removed(struct tail_file *f)
{
    struct tail_shared *s = f->log->shared;
    struct tail_file **at = &s->removed;

    if (f->removed)
        return;
    f->removed = true;
    f->index = TAIL_FILE_NAMELESS;
    f->dirty = true;
    f->marked = false;
    while (*at)
        at = &(*at)->next_removed;
    f->next_removed = NULL;
    *at = f;
    s->owe_sync = s->owe_urgent = true;
}

/* ---- removed files ---- */

static bool is_before(struct buffer_point a, struct buffer_point b)
{
    return a.segment != b.segment ? a.segment < b.segment : a.offset < b.offset;
}

/* Everything that was read from f is on disk. */
static void release(struct tail_file *f)
{
    struct tail_log *log = f->log;

    tail_files_forget_removed(f);
    f->removed = false;
    tail_files_close(f);
    if (log->gone || !log->uses_gz)
        tail_files_drop(f);
    else
        tail_files_set_aside(f); /* until no .gz of it is left */
}

void tail_files_committed(struct tail_shared *s)
{
    struct buffer_point end, durable;
    uint64_t at_risk = 0;

    if (s->owe_sync)
        buffer_owe_sync(s->buffer, s->owe_urgent);
    s->owe_sync = s->owe_urgent = false;
    if (!s->removed) {
        if (metric_get(s->kind->metrics.at_risk))
            metric_set(s->kind->metrics.at_risk, 0);
        return;
    }
    end = buffer_end(s->buffer);
    durable = buffer_durable(s->buffer);
    for (struct tail_file *f = s->removed, *next; f; f = next) {
        next = f->next_removed;
        if (f->marked && !is_before(durable, f->mark_point)) {
            f->safe = f->mark;
            f->marked = false;
        }
        if (!f->marked && f->safe < f->at.offset) {
            f->mark = f->at.offset;
            f->mark_point = end;
            f->marked = true;
            if (is_before(durable, end))
                buffer_owe_sync(s->buffer, true);
            else
                f->safe = f->mark;
        }
        if (f->safe >= f->at.offset && f->complete && !f->dirty && tail_file_settled(f)) {
            release(f);
            continue;
        }
        at_risk += f->at.offset - MIN(f->safe, f->at.offset);
    }
    metric_set(s->kind->metrics.at_risk, at_risk);
}

uint64_t tail_files_held(struct tail_shared *s)
{
    struct tail_inode now;
    uint64_t held = 0;

    for (struct tail_file *f = s->removed; f; f = f->next_removed) {
        if (f->complete || tail_inode_get(f->fd, NULL, &now) < 0)
            continue;
        f->size = f->compressed ? f->size : now.size;
        held += tail_file_unread(f);
    }
    return held;
}

void tail_files_limit_held(struct tail_shared *s)
{
    uint64_t held = tail_files_held(s), most = s->max_held_bytes;

    for (struct tail_file *f = s->removed; f && held > most; f = f->next_removed) {
        uint64_t unread = tail_file_unread(f);

        if (f->complete || unread == 0)
            continue;
        held -= unread;
        metric_add(s->kind->metrics.let_go, unread);
        log_warn("a removed log file is let go before it was read to its end",
                 LOG_STR(f->log->shared->kind->what, f->log->name), LOG_U64("lost_bytes", unread),
                 LOG_STR("knob", s->kind->max_held_knob));
        f->complete = true;
        f->dirty = f->tail = false;
    }
}
