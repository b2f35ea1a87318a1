#include "agent/inputs/tail_reading.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_scan.h"

#include <errno.h>

/* ---- records ---- */

bool tail_reading_emit(void *arg, const struct docker_framed *f)
{
    struct docker_container *c = arg;
    unsigned flags = 0;
    struct record r = {
        .origin = c->origin,
        .text = f->text,
        .text_form = f->text_form,
        .text_flags = f->text_flags,
        .members = f->members,
        .n_members = f->n_members,
        .members_duplicate = f->members_duplicate,
        .stream = f->stream,
        .severity = -1,
        .tags = f->tags,
        .time_ns = f->time_ns,
        .time_text = f->time_text,
        .attrs = f->attrs,
    };

    if (UNLIKELY(!f->time_known)) {
        /* The container's birth is the same for every reading; the time of arrival is not, so its
         * index must be on disk first. */
        r.time_ns = c->created_known ? c->created_ns : clock_wall_ns();
        flags = c->created_known ? 0 : BUFFER_DURABLE_FIRST;
    }
    return intake_file_record(c->shared->intake, &r, f->source, f->position, f->hash, flags) ==
           INTAKE_TAKEN;
}

static void take_figures(struct docker_container *c, size_t bytes)
{
    struct docker_frame *f = &c->frame;

    metric_add(M_DOCKER_LINES, f->lines);
    metric_add(M_DOCKER_BYTES, bytes);
    if (f->skipped_bytes)
        metric_add(M_DOCKER_SKIPPED, f->skipped_bytes);
    if (f->invalid_lines)
        metric_add(M_DOCKER_INVALID, f->invalid_lines);
    f->lines = f->skipped_bytes = f->invalid_lines = 0;
    c->shared->changed = true;
}

/* ---- one file ---- */

static enum tail_turn failed(struct docker_container *c, struct tail_file *f)
{
    log_warn("cannot read a log file", LOG_STR("container", c->hex),
             LOG_STR("reason", strerror(errno)));
    f->dirty = true;
    c->retry_ms = c->shared->now_ms + TAIL_RETRY_MS;
    c->shared->attention = true;
    tail_files_end_inflating(f);
    return TAIL_TURN_IDLE;
}

/* Other bytes stand where reading stopped: the file was truncated, and may have grown again. What
 * it was stays known, a copy of it may turn up; what it is now is another file. */
static void truncated(struct docker_container *c, struct tail_file *f)
{
    struct tail_file *fresh = tail_file_create(c), **at = &c->files;
    uint64_t unread = f->size > f->at.offset ? f->size - f->at.offset : 0;

    log_warn("a log file was truncated or replaced in place, read from its beginning",
             LOG_STR("container", c->hex), LOG_U64("read_bytes", f->at.offset),
             LOG_U64("unread_bytes", unread));
    fresh->fd = f->fd;
    fresh->compressed = f->compressed;
    fresh->gz = f->gz;
    fresh->index = f->index;
    fresh->seen = f->seen;
    fresh->inode = f->inode;
    fresh->dirty = true;
    fresh->quiet_since_ms = c->shared->now_ms;
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
    docker_container_want_scan(c);
}

/* Whether a compressed file may be read now: each reader takes memory. */
static bool may_inflate(struct docker_container *c, struct tail_file *f)
{
    if (!f->compressed || f->gz)
        return true;
    if (c->shared->gz_readers >= TAIL_MAX_GZ_READERS)
        return false;
    c->shared->gz_readers++;
    f->gz = tail_gz_open(f->fd);
    return true;
}

static void note_growth(struct tail_file *f, uint64_t size)
{
    if (f->size == size)
        return;
    f->size = size;
    f->quiet_since_ms = f->container->shared->now_ms;
}

/* Reads one stretch of f. IDLE: it is at its end for now (f->dirty false), or cannot be read now
 * (f->dirty true). */
static enum tail_turn read_file(struct docker_container *c, struct tail_file *f, bool final,
                                size_t *n)
{
    struct tail_shared *s = c->shared;
    size_t before = *n;
    uint64_t size = f->size;
    enum tail_read got;

    if (f->fd < 0) {
        docker_container_want_scan(c);
        return TAIL_TURN_IDLE;
    }
    if (!may_inflate(c, f))
        return TAIL_TURN_MORE;
    if (!f->identified) {
        switch (tail_file_identify(f, c->id, final, s->scratch)) {
        case TAIL_FILE_KNOWN:
            break;
        case TAIL_FILE_NOT_YET:
            f->tail =
                !final && tail_inode_get(f->fd, NULL, &f->inode) == 0 && f->inode.size > f->head_at;
            f->dirty = false;
            note_growth(f, f->compressed ? f->size : f->inode.size);
            return TAIL_TURN_IDLE;
        case TAIL_FILE_FAILED:
            return errno == EAGAIN ? TAIL_TURN_MORE : failed(c, f);
        }
    }
    got = tail_file_read(f, &c->frame, final, s->scratch, n);
    if (f->size != size)
        f->quiet_since_ms = s->now_ms;
    if (*n != before) {
        c->active_ms = s->now_ms;
        take_figures(c, *n - before);
    }
    switch (got) {
    case TAIL_READ_MORE:
        return TAIL_TURN_MORE;
    case TAIL_READ_FULL:
        return TAIL_TURN_FULL;
    case TAIL_READ_CHANGED:
        truncated(c, f);
        return TAIL_TURN_MORE;
    case TAIL_READ_FAILED:
        return failed(c, f);
    case TAIL_READ_END:
        f->dirty = false;
        break;
    }
    return TAIL_TURN_IDLE;
}

/* A file that has been rotated or removed and stands at its end: whether that is its end for good.
 * IDLE with f->complete set when it is. */
static enum tail_turn finish(struct docker_container *c, struct tail_file *f, size_t *n)
{
    struct tail_shared *s = c->shared;

    if (f->tail) {
        enum tail_turn turn;

        if (!c->gone && !f->compressed && s->now_ms - f->quiet_since_ms < TAIL_WAIT_MS) {
            s->attention = true;
            return TAIL_TURN_IDLE;
        }
        turn = read_file(c, f, true, n);
        if (turn != TAIL_TURN_IDLE || f->dirty)
            return turn;
        f->tail = false;
    }
    if (f->gz && tail_gz_broken(f->gz))
        log_warn("a compressed log file is cut off or damaged, read as far as it goes",
                 LOG_STR("container", c->hex), LOG_U64("read_bytes", f->at.offset));
    f->complete = true;
    s->owe_sync = true;
    s->attention = true;
    tail_files_end_inflating(f);
    return TAIL_TURN_IDLE;
}

/* ---- unfinished lines ---- */

/* Whether what waits can be read again: not when it stood in a file that was truncated since. */
static bool can_rewind(const struct docker_container *c)
{
    if (c->gone || !docker_join_waits(&c->frame.join))
        return false;
    for (const struct tail_file *f = c->known; f; f = f->next)
        if (docker_frame_waits_in(&c->frame, &f->at))
            return false;
    return true;
}

/* Whether a is the better one to be set back: one that has nothing to read just waits; of those
 * that read, the one that loses least. */
static bool is_better(const struct docker_container *a, const struct docker_container *b)
{
    if (!b)
        return true;
    if (a->is_ready != b->is_ready)
        return !a->is_ready;
    return a->is_ready ? a->frame.join.bytes < b->frame.join.bytes : a->active_ms < b->active_ms;
}

/* Forgets the unfinished lines of c: they are read again when there is more of them. */
static void set_back(struct docker_container *c)
{
    bool older_waits = false;

    for (struct tail_file *f = c->files; f; f = f->next) {
        struct docker_frame_at from =
            older_waits ? docker_frame_restart(&f->at) : docker_frame_resume(&c->frame, &f->at);

        older_waits |= docker_frame_waits_in(&c->frame, &f->at);
        if (from.offset == f->at.offset)
            continue;
        f->at = from;
        f->marker = f->marker_n = 0;
        f->complete = false;
    }
    c->shared->join_bytes -= c->frame.join.bytes;
    docker_join_forget(&c->frame.join);
    c->rewound = true;
}

/* More unfinished lines than may be kept in memory: others than this one are set back. */
static void limit_join_memory(struct docker_container *current)
{
    struct tail_shared *s = current->shared;

    while (s->join_bytes > TAIL_MAX_JOIN_BYTES) {
        struct docker_container *best = NULL;

        for (struct docker_container *c = s->all; c; c = c->next_all)
            if (c != current && can_rewind(c) && is_better(c, best))
                best = c;
        if (!best)
            return; /* one container alone stays below */
        set_back(best);
    }
}

/* Framing was set back: what had been framed is to be read once more before anything new. */
static void wake_rewound(struct docker_container *c)
{
    for (struct tail_file *f = c->files; f; f = f->next)
        f->dirty |= f->at.offset < f->at.replay_to;
    c->rewound = false;
}

/* ---- turns ---- */

static bool waits_for_config(const struct docker_container *c)
{
    return c->config_until_ms && c->shared->now_ms < c->config_until_ms && !c->gone;
}

/* Whether nothing can continue what waits. That the config says "not running" is not enough: it
 * says so until some time after a run has begun, while the run's first words stand in the log
 * already. They are younger than the end of the run before. So may be a run's last words, which the
 * engine reads after its end: those are told by time alone. */
static bool run_is_over(const struct docker_container *c)
{
    if (c->gone)
        return true;
    if (!c->stopped)
        return false;
    if (c->finished_ns != INT64_MIN && docker_join_youngest_ns(&c->frame.join) <= c->finished_ns)
        return true;
    return c->shared->now_ms - c->active_ms >= TAIL_STOPPED_MS;
}

static enum tail_turn turn_over_files(struct docker_container *c, size_t *n)
{
    size_t before = *n;

    for (struct tail_file *f = c->files; f; f = f->next) {
        bool newest = !f->next && !c->gone;
        enum tail_turn turn;

        /* Many small files must not make a turn longer than a large one. */
        if (*n - before >= TAIL_CHUNK_BYTES)
            return TAIL_TURN_MORE;
        if (f->dirty) {
            turn = read_file(c, f, false, n);
            if (turn != TAIL_TURN_IDLE || f->dirty)
                return turn;
        }
        if (newest || f->complete || f->fd < 0)
            continue;
        turn = finish(c, f, n);
        if (turn != TAIL_TURN_IDLE || !f->complete)
            return turn;
    }
    if (docker_join_waits(&c->frame.join)) {
        if (run_is_over(c))
            return docker_frame_flush(&c->frame) ? TAIL_TURN_IDLE : TAIL_TURN_FULL;
        c->shared->attention |= c->stopped;
    }
    return TAIL_TURN_IDLE;
}

enum tail_turn tail_reading_turn(struct docker_container *c, size_t *n)
{
    size_t join_bytes = c->frame.join.bytes;
    enum tail_turn turn;

    if (c->follow != DOCKER_FOLLOWED || waits_for_config(c))
        return TAIL_TURN_IDLE;
    c->config_until_ms = 0;
    if (c->rewound)
        wake_rewound(c);
    turn = turn_over_files(c, n);
    c->shared->join_bytes += c->frame.join.bytes - join_bytes;
    if (c->shared->join_bytes > TAIL_MAX_JOIN_BYTES)
        limit_join_memory(c);
    if (!c->gone || c->files)
        tail_files_save(c);
    return turn;
}

/* ---- by the clock ---- */

static void tick_file(struct docker_container *c, struct tail_file *f)
{
    struct tail_shared *s = c->shared;

    if (f->fd < 0)
        return;
    if (f->tail && (f->next || c->gone)) {
        s->attention = true;
        docker_container_set_ready(c);
    }
    if (f->removed && !f->complete && !f->dirty) {
        /* Removed by hand, and Docker goes on writing to it: no event tells. */
        f->dirty = true;
        docker_container_set_ready(c);
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
        docker_container_set_ready(c);
        return;
    }
    tail_files_close(f);
}

void tail_reading_tick(struct docker_container *c)
{
    struct tail_shared *s = c->shared;

    if (c->gone && !c->files)
        return;
    if (c->config_until_ms) {
        if (s->now_ms >= c->config_until_ms)
            docker_container_set_ready(c);
        else
            s->attention = true;
    }
    if (c->retry_ms) {
        s->attention = true;
        if (s->now_ms >= c->retry_ms) {
            c->retry_ms = 0;
            docker_container_want_scan(c);
            docker_container_set_ready(c);
        }
    }
    if (c->known && c->follow == DOCKER_FOLLOWED && !c->gone) {
        bool due = false;

        for (struct tail_file *f = c->known; f; f = f->next)
            due |= f->missing_since_ms && s->now_ms - f->missing_since_ms >= TAIL_MISSING_MS;
        s->attention = true;
        if (due)
            docker_container_want_scan(c);
    }
    if (c->stopped && c->follow == DOCKER_FOLLOWED && docker_join_waits(&c->frame.join)) {
        s->attention = true;
        if (run_is_over(c))
            docker_container_set_ready(c);
    }
    for (struct tail_file *f = c->files; f; f = f->next)
        tick_file(c, f);
}
