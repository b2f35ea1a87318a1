#include "agent/inputs/tail_log.h"

#include "agent/base/log.h"
#include "agent/base/strbuf.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/inotify.h>

#define NAMES_BYTES 300 /* of what cannot be read; no further one is named */

/* ---- life ---- */

void tail_log_init(struct tail_log *log, struct tail_shared *s)
{
    log->shared = s;
    log->followed = true;
    log->finished_ns = INT64_MIN;
    log->grown_ms = s->now_ms;
    log->frame.arg = log;
    log->frame.work = log->frame.plain || log->frame.cri ? NULL : s->work;
    s->attention = s->changed = true;
    log->next_all = s->all;
    s->all = log;
}

static void leave_list(struct tail_log **head, struct tail_log **last, struct tail_log *log,
                       size_t link)
{
    struct tail_log *before = NULL;

    for (struct tail_log **at = head; *at;
         before = *at, at = (struct tail_log **)(void *)((char *)*at + link)) {
        if (*at != log)
            continue;
        *at = *(struct tail_log **)(void *)((char *)log + link);
        if (last && *last == log)
            *last = before;
        return;
    }
}

static void free_files(struct tail_file **list)
{
    while (*list) {
        struct tail_file *f = *list;

        *list = f->next;
        tail_files_free(f);
    }
}

void tail_log_fini(struct tail_log *log)
{
    struct tail_shared *s = log->shared;

    free_files(&log->files);
    free_files(&log->known);
    leave_list(&s->all, NULL, log, offsetof(struct tail_log, next_all));
    if (log->is_ready)
        leave_list(&s->ready, &s->ready_last, log, offsetof(struct tail_log, next_ready));
    if (log->wants_visit)
        leave_list(&s->visits, &s->visits_last, log, offsetof(struct tail_log, next_visit));
    s->join_bytes -= docker_frame_bytes(&log->frame);
    docker_frame_forget(&log->frame);
    tail_multi_free(log->frame.multi);
    log->frame.multi = NULL;
    s->unreadable_changed |= log->denied;
    s->changed = true;
}

static enum text_form form(const struct tail_log *log)
{
    return log->frame.plain ? TEXT_RAW : log->frame.cri ? TEXT_LINE : TEXT_ESCAPED;
}

void tail_log_set_lines(struct tail_log *log, const struct multiline_rule *rule)
{
    static const struct multiline_rule none = {0};

    if (!log->frame.multi) {
        if (rule)
            log->frame.multi = tail_multi_create(rule, form(log));
        return;
    }
    tail_multi_set_rule(log->frame.multi, rule ? rule : &none);
    if (tail_multi_is_full(log->frame.multi))
        tail_log_set_ready(log);
}

void tail_log_count_by_stream(struct tail_log *log)
{
    static const struct multiline_rule none = {0};

    if (!log->frame.multi)
        log->frame.multi = tail_multi_create(&none, form(log));
}

/* ---- what is wanted ---- */

void tail_log_set_ready(struct tail_log *log)
{
    struct tail_shared *s = log->shared;

    if (log->is_ready)
        return;
    log->is_ready = true;
    log->next_ready = NULL;
    if (s->ready)
        s->ready_last->next_ready = log;
    else
        s->ready = log;
    s->ready_last = log;
}

struct tail_log *tail_log_take_ready(struct tail_shared *s)
{
    struct tail_log *log = s->ready;

    if (!log)
        return NULL;
    s->ready = log->next_ready;
    log->is_ready = false;
    return log;
}

void tail_log_want_visit(struct tail_log *log)
{
    struct tail_shared *s = log->shared;

    if (log->wants_visit || log->gone)
        return;
    log->wants_visit = true;
    log->next_visit = NULL;
    if (s->visits)
        s->visits_last->next_visit = log;
    else
        s->visits = log;
    s->visits_last = log;
}

void tail_log_want_scan(struct tail_log *log)
{
    log->wants_scan = true;
    tail_log_want_visit(log);
}

struct tail_log *tail_log_take_visit(struct tail_shared *s)
{
    struct tail_log *log = s->visits;

    if (!log)
        return NULL;
    s->visits = log->next_visit;
    log->wants_visit = false;
    return log;
}

void tail_log_wake(struct tail_log *log, uint64_t index)
{
    struct tail_file *f = log->files;

    while (f && (f->index != index || f->removed))
        f = f->next;
    if (!f || f->fd < 0)
        tail_log_want_scan(log);
    if (!f)
        return;
    f->dirty = true;
    tail_log_set_ready(log);
}

void tail_log_event(struct tail_log *log, uint32_t mask, uint64_t index, bool compressed)
{
    if (mask & (IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE))
        tail_log_want_scan(log);
    if (!compressed && (mask & IN_MODIFY))
        tail_log_wake(log, index);
    if (compressed && (mask & IN_CLOSE_WRITE))
        tail_log_want_scan(log);
}

bool tail_log_visit(struct tail_log *log, int folder, const char *name)
{
    if (!log->wants_scan || !log->followed || log->gone)
        return true;
    log->wants_scan = false;
    if (!tail_scan(log, folder, name))
        return false;
    for (struct tail_file *f = log->files; f; f = f->next)
        if (f->dirty)
            tail_log_set_ready(log);
    tail_files_save(log);
    log->shared->changed = true;
    return true;
}

void tail_log_unfollow(struct tail_log *log)
{
    log->followed = false;
    log->shared->join_bytes -= docker_frame_bytes(&log->frame);
    docker_frame_forget(&log->frame);
    while (log->files) {
        struct tail_file *f = log->files;

        if (f->removed)
            tail_files_forget_removed(f);
        f->removed = false;
        tail_files_close(f);
        tail_files_set_aside(f);
    }
    for (struct tail_file *f = log->known, *next; f; f = next) {
        next = f->next;
        if (!f->has_entry)
            tail_files_drop(f);
    }
}

/* ---- the end ---- */

void tail_log_set_over(struct tail_log *log)
{
    if (log->over)
        return;
    log->over = true;
    for (struct tail_file *f = log->files; f; f = f->next)
        f->dirty |= f->fd >= 0;
    log->shared->attention = true;
    tail_log_set_ready(log);
}

void tail_log_set_gone(struct tail_log *log)
{
    log->gone = true;
    for (struct tail_file *f = log->files, *next; f; f = next) {
        next = f->next;
        if (f->fd >= 0) {
            tail_files_mark_removed(f);
            continue;
        }
        if (!f->complete && (f->dirty || f->inode.size > f->at.offset)) {
            metric_add(log->shared->kind->metrics.missed, 1);
            log_warn("a log was removed before one of its files was read to its end",
                     LOG_STR(log->shared->kind->what, log->name),
                     LOG_U64("read_bytes", f->at.offset));
        }
        tail_files_drop(f);
    }
    tail_files_forget_log(log);
    log->shared->attention = true;
    tail_log_set_ready(log);
}

bool tail_log_finished(const struct tail_log *log)
{
    return log->gone && !log->files;
}

/* ---- figures ---- */

void tail_log_show(struct tail_shared *s)
{
    uint64_t logs = 0, files = 0, lag_bytes = 0, held_bytes = 0;

    for (const struct tail_log *log = s->all; log; log = log->next_all) {
        logs += log->followed && !log->gone;
        for (struct tail_file *f = log->files; f; f = f->next) {
            struct tail_inode now;
            uint64_t unread;

            if (f->fd < 0)
                continue;
            files++;
            /* Only of those with something unread the size may have changed. */
            if (f->dirty && !f->compressed && tail_inode_get(f->fd, NULL, &now) == 0)
                f->size = now.size;
            unread = f->complete ? 0 : tail_file_unread(f);
            lag_bytes += unread;
            if (f->index != 0)
                held_bytes += unread;
        }
    }
    metric_set(s->kind->metrics.logs, logs);
    metric_set(s->kind->metrics.files, files);
    metric_set(s->kind->metrics.lag, lag_bytes);
    metric_set(s->kind->metrics.held, held_bytes);
    s->changed = lag_bytes != 0;
}

static const char *unreadable(struct tail_log *log, const char **name)
{
    const struct tail_kind *kind = log->shared->kind;

    if (log->gone)
        return NULL;
    if (kind->unreadable)
        return kind->unreadable(log, name);
    return log->denied ? TAIL_DENIED : NULL;
}

void tail_log_name_unreadable(struct tail_shared *s)
{
    struct strbuf names = {0};
    uint64_t n = 0;

    for (struct tail_log *log = s->all; log; log = log->next_all) {
        const char *name = log->name, *why = unreadable(log, &name);

        if (!why)
            continue;
        n++;
        if (names.n < NAMES_BYTES)
            strbuf_printf(&names, "%s%s (%s)", names.n ? ", " : "", name, why);
    }
    metric_set(s->kind->metrics.unreadable, n);
    metric_text_set(s->kind->unreadable_names, strbuf_bytes(&names));
    strbuf_fini(&names);
    s->unreadable_changed = false;
}
