#include "agent/inputs/tail_reading.h"

#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/base/tally.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_identity.h"
#include "agent/inputs/tail_scan.h"

#include <errno.h>

static void take_figures(struct tail_log *log, size_t bytes)
{
    struct docker_frame *f = &log->frame;

    metric_add(log->shared->kind->metrics.lines, f->lines);
    metric_add(log->shared->kind->metrics.bytes, bytes);
    tally_add(log->tally, f->lines, bytes);
    if (f->skipped_bytes)
        metric_add(log->shared->kind->metrics.skipped, f->skipped_bytes);
    if (f->invalid_lines)
        metric_add(log->shared->kind->metrics.invalid, f->invalid_lines);
    f->lines = f->skipped_bytes = f->invalid_lines = 0;
    log->shared->changed = true;
}

/* ---- one file ---- */

static enum tail_turn failed(struct tail_log *log, struct tail_file *f)
{
    log_warn("cannot read a log file", LOG_STR(log->shared->kind->what, log->name),
             LOG_STR("reason", strerror(errno)));
    f->dirty = true;
    log->retry_ms = log->shared->now_ms + TAIL_RETRY_MS;
    log->shared->attention = true;
    tail_files_end_inflating(f);
    return TAIL_TURN_IDLE;
}

/* Other bytes stand where reading stopped: the file was truncated, and may have grown again. What
 * it was stays known, a copy of it may turn up; what it is now is another file. */
static void truncated(struct tail_log *log, struct tail_file *f)
{
    struct tail_file *fresh = tail_file_create(log), **at = &log->files;
    uint64_t unread = f->size > f->at.offset ? f->size - f->at.offset : 0;

    if (log->frame.multi) { /* what pends can no longer be read again */
        tail_multi_cut(log->frame.multi, log->frame.plain
                                             ? tail_multi_pending_in(log->frame.multi, f->at.source)
                                             : ~0u);
        tail_multi_uproot(log->frame.multi);
    }

    log_warn("a log file was truncated or replaced in place, read from its beginning",
             LOG_STR(log->shared->kind->what, log->name), LOG_U64("read_bytes", f->at.offset),
             LOG_U64("unread_bytes", unread));
    fresh->fd = f->fd;
    fresh->compressed = f->compressed;
    fresh->gz = f->gz;
    fresh->index = f->index;
    fresh->seen = f->seen;
    fresh->inode = f->inode;
    fresh->dirty = true;
    fresh->quiet_since_ms = log->shared->now_ms;
    f->fd = -1;
    f->gz = NULL;
    f->inode = (struct tail_inode){0};
    f->complete = unread == 0;
    f->superseded = true;
    while (*at != f)
        at = &(*at)->next;
    fresh->next = f->next;
    f->next = fresh;
    if (f->removed) {
        tail_files_forget_removed(f);
        f->removed = false;
        tail_files_mark_removed(fresh);
    }
    tail_files_set_aside(f);
    tail_log_want_scan(log);
}

/* Whether a compressed file may be read now: each reader takes memory. */
static bool may_inflate(struct tail_log *log, struct tail_file *f)
{
    if (!f->compressed || f->gz)
        return true;
    if (log->shared->gz_readers >= TAIL_MAX_GZ_READERS)
        return false;
    log->shared->gz_readers++;
    f->gz = tail_gz_open(f->fd);
    return true;
}

static void note_growth(struct tail_file *f, uint64_t size)
{
    if (f->size == size)
        return;
    f->size = size;
    f->quiet_since_ms = f->log->shared->now_ms;
}

/* For records that say nothing of their time. */
static void note_written(struct tail_log *log, struct tail_file *f)
{
    struct tail_inode now;

    log->drawn |= f->drawn;
    log->written_ns = tail_inode_get(f->fd, NULL, &now) == 0 ? now.mtime_ns : INT64_MAX;
}

/* Reads one stretch of f. IDLE: it is at its end for now (f->dirty false), or cannot be read now
 * (f->dirty true). */
static enum tail_turn read_file(struct tail_log *log, struct tail_file *f, bool final, size_t *n)
{
    struct tail_shared *s = log->shared;
    size_t before = *n;
    uint64_t size = f->size, known;
    enum tail_read got;

    if (f->fd < 0) {
        tail_log_want_scan(log);
        return TAIL_TURN_IDLE;
    }
    if (!may_inflate(log, f))
        return TAIL_TURN_MORE;
    if (!f->identified) {
        switch (tail_file_identify(f, final, s->scratch)) {
        case TAIL_FILE_KNOWN:
            break;
        case TAIL_FILE_NOT_YET:
            f->tail =
                !final && tail_inode_get(f->fd, NULL, &f->inode) == 0 && f->inode.size > f->head_at;
            f->dirty = false;
            note_growth(f, f->compressed ? f->size : f->inode.size);
            return TAIL_TURN_IDLE;
        case TAIL_FILE_FAILED:
            return errno == EAGAIN ? TAIL_TURN_MORE : failed(log, f);
        }
    }
    if (s->kind->by_content)
        note_written(log, f);
    known = MAX(f->at.offset, f->at.replay_to);
    got = tail_file_read(f, &log->frame, final, s->scratch, n);
    if (f->at.offset > known)
        log->grown_ms = s->now_ms;
    if (UNLIKELY(f->head_n) && f->head_n < TAIL_HEAD_BYTES)
        tail_identity_grow(f);
    if (f->size != size)
        f->quiet_since_ms = s->now_ms;
    if (*n != before) {
        log->active_ms = s->now_ms;
        take_figures(log, *n - before);
    }
    switch (got) {
    case TAIL_READ_MORE:
        return TAIL_TURN_MORE;
    case TAIL_READ_FULL:
        return TAIL_TURN_FULL;
    case TAIL_READ_CHANGED:
        truncated(log, f);
        return TAIL_TURN_MORE;
    case TAIL_READ_FAILED:
        return failed(log, f);
    case TAIL_READ_END:
        f->dirty = false;
        break;
    }
    return TAIL_TURN_IDLE;
}

/* A file that has been rotated or removed and stands at its end: whether that is its end for good.
 * IDLE with f->complete set when it is. */
static enum tail_turn finish(struct tail_log *log, struct tail_file *f, size_t *n)
{
    struct tail_shared *s = log->shared;

    if (f->tail) {
        enum tail_turn turn;

        if (!log->gone && !f->compressed && s->now_ms - f->quiet_since_ms < TAIL_WAIT_MS) {
            s->attention = true;
            return TAIL_TURN_IDLE;
        }
        turn = read_file(log, f, true, n);
        if (turn != TAIL_TURN_IDLE || f->dirty)
            return turn;
        f->tail = false;
    }
    if (f->gz && tail_gz_broken(f->gz))
        log_warn("a compressed log file is cut off or damaged, read as far as it goes",
                 LOG_STR(log->shared->kind->what, log->name), LOG_U64("read_bytes", f->at.offset));
    f->complete = true;
    s->owe_sync = true;
    s->attention = true;
    tail_files_end_inflating(f);
    return TAIL_TURN_IDLE;
}

/* ---- unfinished lines ---- */

/* Whether what waits can be let go. A container's is read again: not when it stood in a file that
 * was truncated since. A text file's may be gone by then: it ends. */
static bool can_let_go(const struct tail_log *log)
{
    if (log->gone || !docker_frame_waits(&log->frame))
        return false;
    if (log->frame.plain)
        return true;
    for (const struct tail_file *f = log->known; f; f = f->next)
        if (docker_frame_waits_in(&log->frame, &f->at))
            return false;
    return true;
}

/* Whether a is the better one to be set back: one that has nothing to read just waits; of those
 * that read, the one that loses least. */
static bool is_better(const struct tail_log *a, const struct tail_log *b)
{
    if (!b)
        return true;
    if (a->is_ready != b->is_ready)
        return !a->is_ready;
    return a->is_ready ? docker_frame_bytes(&a->frame) < docker_frame_bytes(&b->frame)
                       : a->active_ms < b->active_ms;
}

/* Forgets the unfinished lines of log: they are read again when there is more of them, or to end
 * events that are silent. */
static void set_back(struct tail_log *log)
{
    unsigned older = 0;

    for (struct tail_file *f = log->files; f; f = f->next) {
        struct docker_frame_at from = docker_frame_resume(&log->frame, &f->at, &older);

        if (from.offset == f->at.offset)
            continue;
        f->at = from;
        f->marker = f->marker_n = 0;
        f->complete = false;
    }
    docker_frame_forget(&log->frame);
    log->rewound = true;
}

/* Ends the events that wait. false: the intake is full. */
static bool cut_off(struct tail_log *log)
{
    bool all = docker_frame_cut(&log->frame, ~0u);

    tail_files_save(log); /* in one commit with them */
    if (!all)
        tail_log_set_ready(log); /* nothing else need ever happen to it */
    return all;
}

/* false: it holds memory still. */
static bool let_go(struct tail_log *log)
{
    size_t held = docker_frame_bytes(&log->frame);
    bool gone = true;

    if (log->frame.plain)
        gone = cut_off(log);
    else
        set_back(log);
    log->shared->join_bytes -= held - docker_frame_bytes(&log->frame);
    return gone;
}

/* More unfinished lines than may be kept in memory: those of others than this one are let go. */
static void limit_join_memory(struct tail_log *current)
{
    struct tail_shared *s = current->shared;

    while (s->join_bytes > TAIL_MAX_JOIN_BYTES) {
        struct tail_log *best = NULL;

        for (struct tail_log *log = s->all; log; log = log->next_all)
            if (log != current && can_let_go(log) && is_better(log, best))
                best = log;
        if (!best || !let_go(best))
            return; /* one log alone stays below */
    }
}

/* Framing was set back: what had been framed is to be read once more before anything new. */
static void wake_rewound(struct tail_log *log)
{
    for (struct tail_file *f = log->files; f; f = f->next)
        f->dirty |= f->at.offset < f->at.replay_to;
    log->rewound = false;
    log->rereading = true;
}

/* ---- turns ---- */

static bool is_held(const struct tail_log *log)
{
    return log->hold_until_ms && log->shared->now_ms < log->hold_until_ms && !log->gone;
}

/* Whether nothing can continue what waits. That the config says "not running" is not enough: it
 * says so until some time after a run has begun, while the run's first words stand in the log
 * already. They are younger than the end of the run before. So may be a run's last words, which the
 * engine reads after its end: those are told by time alone. */
static bool run_is_over(const struct tail_log *log)
{
    if (log->gone || log->over)
        return true;
    if (!log->stopped)
        return false;
    if (log->finished_ns != INT64_MIN &&
        docker_join_youngest_ns(&log->frame.join) <= log->finished_ns)
        return true;
    return log->shared->now_ms - log->active_ms >= TAIL_STOPPED_MS;
}

/* All was read: ends the events whose streams are silent, and those that began in files of which
 * nothing would be left if we were killed now. false: the intake is full. */
static bool end_events(struct tail_log *log)
{
    struct tail_multi *m = log->frame.multi;
    unsigned ended = 0;

    /* More events than memory is for could else be read again for ever, silent for a moment. */
    if (log->rereading)
        tail_multi_silent_since(m, log->grown_ms);
    log->rereading = false;
    if (log->silent)
        ended = tail_multi_silent(m, log->shared->now_ms, TAIL_SILENCE_MS);
    log->silent = false;
    for (const struct tail_file *f = log->files; f; f = f->next)
        if (f->removed && f->complete)
            ended |= tail_multi_pending_in(m, f->at.source);
    return docker_frame_cut(&log->frame, ended);
}

/* Removed, while its log goes on, and nobody has written to it for long. */
static bool is_given_up(const struct tail_log *log, const struct tail_file *f)
{
    return f->removed && log->shared->kind->by_content &&
           log->shared->now_ms - f->quiet_since_ms >= TAIL_REMOVED_MS;
}

static enum tail_turn turn_over_files(struct tail_log *log, size_t *n)
{
    size_t before = *n;

    if (log->frame.multi && !docker_frame_cut(&log->frame, 0))
        return TAIL_TURN_FULL;
    for (struct tail_file *f = log->files; f; f = f->next) {
        bool newest = !f->next && !log->gone && !log->over && !is_given_up(log, f);
        enum tail_turn turn;

        /* Many small files must not make a turn longer than a large one. */
        if (*n - before >= TAIL_CHUNK_BYTES)
            return TAIL_TURN_MORE;
        if (f->dirty) {
            turn = read_file(log, f, false, n);
            if (turn != TAIL_TURN_IDLE || f->dirty)
                return turn;
        }
        if (newest || f->complete || f->fd < 0)
            continue;
        turn = finish(log, f, n);
        if (turn != TAIL_TURN_IDLE || !f->complete)
            return turn;
    }
    if (log->frame.multi && !end_events(log))
        return TAIL_TURN_FULL;
    if (docker_join_waits(&log->frame.join) ||
        ((log->gone || log->over) && docker_frame_waits(&log->frame))) {
        if (run_is_over(log))
            return docker_frame_flush(&log->frame) ? TAIL_TURN_IDLE : TAIL_TURN_FULL;
        log->shared->attention |= log->stopped;
    }
    return TAIL_TURN_IDLE;
}

enum tail_turn tail_reading_turn(struct tail_log *log, size_t *n)
{
    size_t join_bytes = docker_frame_bytes(&log->frame);
    enum tail_turn turn;

    if (!log->followed || is_held(log))
        return TAIL_TURN_IDLE;
    log->hold_until_ms = 0;
    if (log->rewound)
        wake_rewound(log);
    turn = turn_over_files(log, n);
    log->shared->join_bytes += docker_frame_bytes(&log->frame) - join_bytes;
    if (log->frame.multi) {
        tail_multi_silent(log->frame.multi, log->shared->now_ms, 0); /* since when they wait */
        log->shared->lines_wait |= tail_multi_pending(log->frame.multi) != 0;
    }
    if (log->shared->join_bytes > TAIL_MAX_JOIN_BYTES)
        limit_join_memory(log);
    if (!log->gone || log->files)
        tail_files_save(log);
    return turn;
}

/* ---- by the clock ---- */

static void tick_file(struct tail_log *log, struct tail_file *f)
{
    struct tail_shared *s = log->shared;

    if (f->fd < 0)
        return;
    if (f->tail && (f->next || log->gone || log->over)) {
        s->attention = true;
        tail_log_set_ready(log);
    }
    if (f->removed && !f->complete && !f->dirty) {
        /* Removed by hand, and Docker goes on writing to it: no event tells. */
        f->dirty = true;
        tail_log_set_ready(log);
        s->attention = true;
    }
    if (!f->complete || f->removed || f->dirty || !tail_file_settled(f))
        return;
    if (s->now_ms - f->quiet_since_ms < TAIL_QUIET_MS) {
        s->attention = true;
        return;
    }
    if (tail_inode_get(f->fd, NULL, &f->inode) == 0 && f->inode.size != f->at.offset &&
        !f->compressed) {
        f->dirty = true;
        tail_log_set_ready(log);
        return;
    }
    tail_files_close(f);
}

void tail_reading_tick(struct tail_log *log)
{
    struct tail_shared *s = log->shared;

    if (log->gone && !log->files)
        return;
    if (log->hold_until_ms) {
        if (s->now_ms >= log->hold_until_ms)
            tail_log_set_ready(log);
        else
            s->attention = true;
    }
    if (log->retry_ms) {
        s->attention = true;
        if (s->now_ms >= log->retry_ms) {
            log->retry_ms = 0;
            tail_log_want_scan(log);
            tail_log_set_ready(log);
        }
    }
    if (log->known && log->followed && !log->gone) {
        bool due = false;

        for (struct tail_file *f = log->known; f; f = f->next)
            due |= f->missing_since_ms && s->now_ms - f->missing_since_ms >= TAIL_MISSING_MS;
        s->attention = true;
        if (due)
            tail_log_want_scan(log);
    }
    if (log->stopped && log->followed && docker_join_waits(&log->frame.join)) {
        s->attention = true;
        if (run_is_over(log))
            tail_log_set_ready(log);
    }
    for (struct tail_file *f = log->files; f; f = f->next)
        tick_file(log, f);
}

void tail_reading_silence(struct tail_shared *s)
{
    s->lines_wait = false;
    for (struct tail_log *log = s->all; log; log = log->next_all) {
        struct tail_multi *m = log->frame.multi;

        if (!m || !log->followed || !(log->rewound || tail_multi_pending(m)))
            continue;
        s->lines_wait = true;
        if (!log->rewound && !tail_multi_silent(m, s->now_ms, TAIL_SILENCE_MS))
            continue;
        log->silent = true;
        for (struct tail_file *f = log->files; f; f = f->next)
            f->dirty |= f->fd >= 0 && (!f->next || tail_multi_pending_in(m, f->at.source));
        tail_log_set_ready(log);
    }
}
