#include "agent/inputs/tail_scan.h"

#include "agent/base/clock.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_identity.h"
#include "agent/inputs/tail_orphans.h"
#include "agent/inputs/tail_start.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* A .gz that has not changed for this long is not being written any more. */
#define DAMAGED_AFTER_MS 60000
#define BIRTH_SLACK_NS 20000000

struct name {
    char text[NAME_MAX + 1];
    uint64_t index;
    bool compressed;
    struct tail_inode inode;
    bool settled; /* belongs to a file that is known, or to none */
};

struct scan {
    struct tail_log *log;
    DIR *stream;
    int dir; /* the stream's */
    struct name *names;
    size_t n;
    bool denied; /* we have no right to read a file */
    bool unsure; /* some name's file could not be told, and may be one that is known */
};

/* The oldest first; of a plain file and its compressed copy the plain one. */
static int by_age(const void *a, const void *b)
{
    const struct name *x = a, *y = b;

    if (x->index != y->index)
        return x->index > y->index ? -1 : 1;
    return (int)x->compressed - (int)y->compressed;
}

static void list_names(struct scan *s)
{
    struct dirent *entry;
    int more;

    while ((more = io_list_next(s->stream, &entry)) > 0) {
        struct name n = {0};

        if (!s->log->shared->kind->is_log(s->log, entry->d_name, &n.index, &n.compressed))
            continue;
        if (s->n == TAIL_MAX_NAMES) {
            log_warn("a log has more files than are looked at",
                     LOG_STR(s->log->shared->kind->what, s->log->name),
                     LOG_U64("files", TAIL_MAX_NAMES));
            s->unsure = true;
            break;
        }
        snprintf(n.text, sizeof n.text, "%s", entry->d_name);
        if (s->n % 16 == 0)
            s->names = base_realloc(s->names, (s->n + 16) * sizeof *s->names);
        s->names[s->n++] = n;
    }
    if (more < 0) {
        log_warn("a log's folder cannot be listed to its end",
                 LOG_STR(s->log->shared->kind->what, s->log->name),
                 LOG_STR("reason", strerror(errno)));
        s->unsure = true;
    }
    if (s->n)
        qsort(s->names, s->n, sizeof *s->names, by_age);
}

/* ---- files that are known already ---- */

static void set_index(struct tail_file *f, uint64_t index)
{
    if (f->index == 0 && index != 0) {
        f->dirty = true; /* once more, now that nothing can be written to it any longer */
        f->log->shared->owe_sync = true;
    }
    f->index = index;
}

/* A name leads to f, or to a copy of it. A copy's name counts only where f has none of its own. */
static void found(struct tail_file *f, const struct name *n)
{
    bool own = f->fd >= 0 && !f->removed && tail_inode_same(&f->inode, &n->inode);

    f->seen = f->log->scan;
    f->missing_since_ms = 0;
    if (own || f->fd < 0 || f->removed)
        set_index(f, n->index);
}

static bool is_file(const struct tail_file *f, const struct tail_inode *inode, bool compressed)
{
    if (f->fd >= 0 && f->compressed == compressed && tail_inode_same(&f->inode, inode))
        return true;
    if (tail_inode_unchanged(&f->copy, inode))
        return true;
    /* Without a descriptor the inode may be another's by now; it need not be opened only when
     * nothing about it changed and nothing is left to be read. */
    return f->fd < 0 && !f->dirty && tail_inode_unchanged(&f->inode, inode);
}

static struct tail_file *match(struct tail_log *log, const struct tail_inode *inode,
                               bool compressed)
{
    for (struct tail_file *f = log->files; f; f = f->next)
        if (is_file(f, inode, compressed))
            return f;
    return NULL;
}

static void match_names(struct scan *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct name *n = &s->names[i];
        struct tail_file *f;

        if (tail_inode_get(s->dir, n->text, &n->inode) < 0) {
            n->settled = true; /* renamed or removed just now: its event will come */
            s->unsure = true;
            continue;
        }
        if (!n->inode.regular) {
            log_warn("not a regular file, not read",
                     LOG_STR(s->log->shared->kind->what, s->log->name), LOG_STR("name", n->text));
            n->settled = true;
            continue;
        }
        f = match(s->log, &n->inode, n->compressed);
        if (!f)
            continue;
        if (f->fd >= 0 && n->inode.size != f->size && !f->compressed && !n->compressed)
            f->dirty = true;
        found(f, n);
        n->settled = true;
    }
}

/* What is open and has no name any more was removed. */
static void mark_removed(struct tail_log *log)
{
    for (struct tail_file *f = log->files; f; f = f->next) {
        struct tail_inode now;

        if (f->fd < 0 || f->removed || f->seen == log->scan)
            continue;
        if (tail_inode_get(f->fd, NULL, &now) == 0 && now.links == 0)
            tail_files_mark_removed(f);
    }
}

/* What was empty when it was opened may have its first line by now. It must be known by it before a
 * copy of it is found. */
static void identify_held(struct tail_log *log)
{
    for (struct tail_file *f = log->files; f; f = f->next)
        if (f->fd >= 0 && !f->identified && !f->compressed)
            tail_file_identify(f, false, log->shared->scratch);
}

/* ---- files that are new here ---- */

static bool is_younger(const struct tail_file *a, const struct tail_file *b)
{
    return a->inode.btime_ns && b->inode.btime_ns && a->inode.btime_ns > b->inode.btime_ns;
}

static void insert(struct tail_log *log, struct tail_file *f)
{
    struct tail_file **at = &log->files;

    while (*at && (*at)->index >= f->index && !(f->adopted && is_younger(*at, f)))
        at = &(*at)->next;
    f->next = *at;
    *at = f;
}

/* A file was found that had been announced, or will be: not one that stood there before its folder
 * was watched. (The clock of births is a coarse one.) */
static void settle_announcement(struct tail_log *log, const struct tail_file *f)
{
    int64_t born = f->inode.btime_ns ? f->inode.btime_ns : f->inode.mtime_ns;

    if (!log->shared->kind->announced)
        return;
    if (!log->first_look || born >= log->watched_since_ns - BIRTH_SLACK_NS)
        log->created_unseen--;
}

/* Puts the files into the order of their names, now that all names are known. Those without stay
 * behind the one that they stand behind: a live file that was removed by hand is still the newest.
 */
static void sort_files(struct tail_log *log)
{
    struct tail_file *rest = log->files, *next;
    uint64_t rank = TAIL_FILE_NAMELESS;

    log->files = NULL;
    for (struct tail_file *f = rest; f; f = next) {
        struct tail_file **at = &log->files;

        next = f->next;
        rank = f->index == TAIL_FILE_NAMELESS ? rank : f->index;
        f->rank = rank;
        while (*at && (*at)->rank >= rank)
            at = &(*at)->next;
        f->next = *at;
        *at = f;
    }
}

static struct tail_file *by_source(struct tail_file *list, uint64_t source)
{
    for (; list; list = list->next)
        if (list->identified && list->at.source == source)
            return list;
    return NULL;
}

/* The setting `start`, for what stood there before barge did. */
static void skip_old(struct tail_log *log, struct tail_file *f)
{
    const struct tail_shared *s = log->shared;
    int64_t since =
        clock_wall_ns() - (int64_t)MIN(log->start_ms, (uint64_t)INT64_MAX / 1000000) * 1000000;
    bool at_end = log->start_ms == UINT64_MAX;
    uint64_t from = 0;

    if (log->start_ms == 0)
        return;
    /* Where lines tell no time, or cannot be found without reading all: by the file's last change,
     * whole or not at all. */
    if (!at_end && (f->compressed || !s->kind->since) && f->inode.mtime_ns >= since)
        return;
    if (f->compressed) {
        f->complete = true;
        f->dirty = false;
        from = f->inode.size;
    } else {
        from = at_end || !s->kind->since ? tail_start_end(f, s->scratch)
                                         : s->kind->since(f, since, s->scratch);
        f->at.offset = f->safe = from;
    }
    if (from == 0)
        return;
    metric_add(s->kind->metrics.skipped, from);
    log_info("older log lines are skipped", LOG_STR(log->shared->kind->what, log->name),
             LOG_U64("skipped_bytes", from), LOG_STR("knob", s->kind->start_knob));
}

/* The file behind a known identity turns up, under a new name or again. `fresh` was opened and
 * identified; it is used up. */
static void attach(struct tail_log *log, struct tail_file *f, struct tail_file *fresh,
                   const struct name *n)
{
    struct tail_position p;
    bool from_entry =
        f->aside && f->has_entry && tail_position_read(bytes_of(f->entry, f->entry_n), &p);

    tail_files_unlist(f);
    f->fd = fresh->fd;
    f->compressed = fresh->compressed;
    f->inode = fresh->inode;
    f->inode_key = fresh->inode_key;
    f->head_at = fresh->head_at;
    f->size = f->compressed ? f->at.offset : f->inode.size;
    f->identified = true;
    f->aside = false;
    f->quiet_since_ms = log->shared->now_ms;
    f->missing_since_ms = 0;
    fresh->fd = -1;
    tail_file_free(fresh);
    f->index = n->index;
    f->seen = log->scan;
    if (from_entry)
        tail_file_continue(f, &p);
    if (f->at.by_stream)
        tail_log_count_by_stream(log);
    insert(log, f);
    if (f->complete && (f->compressed || f->inode.size == f->at.offset)) {
        f->dirty = false;
        tail_files_close(f);
        return;
    }
    f->complete = false;
    f->dirty = true;
}

/* A copy of what is known anyway: Docker's .gz beside the file it was made from, or an operator's.
 */
static void note_copy(struct tail_file *f, struct tail_file *copy, const struct name *n)
{
    f->copy = copy->inode;
    found(f, n);
    tail_file_free(copy);
}

/* The file is new here. */
static void take_new(struct scan *s, struct tail_file *fresh, const struct name *n)
{
    struct tail_log *log = s->log;

    fresh->index = n->index;
    fresh->seen = log->scan;
    fresh->dirty = true;
    if (log->first_seen)
        skip_old(log, fresh);
    insert(log, fresh);
    settle_announcement(log, fresh);
}

/* ---- text files, which are not told by their first line alone (tail_identity.h) ---- */

/* It may be in the making, and is looked at again. */
static void look_later(struct scan *s, struct tail_file *fresh)
{
    struct tail_log *log = s->log;

    s->unsure = true;
    log->retry_ms = log->shared->now_ms + TAIL_RETRY_MS;
    log->shared->attention = true;
    tail_file_free(fresh);
}

static bool is_young(const struct tail_file *f)
{
    return clock_wall_ns() - f->inode.mtime_ns < TAIL_MISSING_MS * (int64_t)1000000;
}

/* Whether other has the text that was read in f, as far as can be told without decompressing it. */
static bool has_text(const struct tail_file *f, struct tail_file *other)
{
    return tail_identity_begins_alike(f, other) &&
           (other->compressed || tail_file_same_text(f, other));
}

/* Whether f, which is not open, still has its inode under some name. */
static bool stands_here(struct scan *s, const struct tail_file *f)
{
    for (size_t i = 0; i < s->n; i++) {
        struct tail_file look = {.log = s->log, .fd = -1};
        bool stands;

        if (tail_identity_inode(&s->names[i].inode) != f->inode_key || s->names[i].compressed)
            continue;
        look.fd = tail_files_open(s->log, s->dir, s->names[i].text, 0);
        stands = look.fd >= 0 &&
                 tail_file_identify(&look, true, s->log->shared->scratch) == TAIL_FILE_KNOWN &&
                 has_text(f, &look);
        tail_file_close(&look);
        if (stands)
            return true;
    }
    return false;
}

/* Whether fresh goes on with f, of which there is no descriptor. */
static bool goes_on(struct scan *s, const struct tail_file *f, struct tail_file *fresh,
                    const struct name *n)
{
    bool same_inode = f->inode_key == fresh->inode_key;

    if (!has_text(f, fresh)) /* a power cut took some of it: what is read again has the same ids */
        return same_inode && f->aside && !s->log->same_boot && !fresh->compressed;
    if (same_inode)
        return true;
    /* Of a live file that has a new inode only much text proves that it is a copy: a new one may
     * begin with the same words. */
    if (n->index == 0 && f->at.offset <= TAIL_HEAD_BYTES)
        return false;
    return !f->aside || !stands_here(s, f);
}

/* Whether a copy of f, which has a name or a descriptor, may have this name. Copies are rotated
 * files: the live file, and what is newer than f, is none. */
static bool may_be_copy(const struct tail_file *f, const struct tail_file *fresh,
                        const struct name *n)
{
    return n->index > 0 && (f->removed || f->index == TAIL_FILE_NAMELESS || n->index > f->index ||
                            (n->index == f->index && fresh->compressed));
}

/* What is known already, open and by name, or not. Returns whether fresh was used up. */
static bool take_known_text(struct scan *s, struct tail_file *list, struct tail_file *fresh,
                            const struct name *n)
{
    for (struct tail_file *f = list; f; f = f->next) {
        bool here = f->fd >= 0 || (!f->aside && f->seen == s->log->scan) ||
                    (f->complete && !f->aside && fresh->compressed);

        if (!f->identified || f->head_n == 0)
            continue;
        if (!here && goes_on(s, f, fresh, n)) {
            /* Where its last event has not been handed on, it would be read twice. */
            if (docker_frame_waits_in(&s->log->frame, &f->at))
                look_later(s, fresh);
            else
                attach(s->log, f, fresh, n);
            return true;
        }
        if (!here || !may_be_copy(f, fresh, n))
            continue;
        if (has_text(f, fresh) && (fresh->compressed || fresh->inode.size >= f->at.offset)) {
            note_copy(f, fresh, n);
            return true;
        }
        if (is_young(fresh) && tail_identity_is_part(f, fresh)) {
            look_later(s, fresh);
            return true;
        }
    }
    return false;
}

/* A file that another log of this input has read: it was renamed across what rotation does. */
static struct tail_file *in_another_log(const struct scan *s, struct tail_file *fresh)
{
    for (const struct tail_log *log = s->log->shared->all; log; log = log->next_all) {
        if (log == s->log)
            continue;
        for (int k = 0; k < 2; k++)
            for (struct tail_file *f = k ? log->known : log->files; f; f = f->next)
                if (f->identified && f->head_n && f->inode_key == fresh->inode_key &&
                    f->compressed == fresh->compressed && has_text(f, fresh))
                    return f;
    }
    return NULL;
}

/* The same while nobody looked. */
static bool take_orphan(struct scan *s, struct tail_file *fresh, const struct name *n)
{
    struct tail_file *f;
    size_t at = 0;

    while ((f = tail_orphans_adopt(s->log->shared->orphans, s->log, fresh->inode_key, &at))) {
        if (!has_text(f, fresh))
            continue; /* forgotten with all that is missing */
        attach(s->log, f, fresh, n);
        return true;
    }
    return false;
}

/* Ends the events that wait in f, so that another log may have it. false: the intake is full. */
static bool end_events(struct tail_file *f)
{
    struct docker_frame *frame = &f->log->frame;
    size_t held = docker_frame_bytes(frame);

    if (!docker_frame_waits_in(frame, &f->at))
        return true;
    docker_frame_cut(frame, tail_multi_pending_in(frame->multi, f->at.source));
    f->log->shared->join_bytes -= held - docker_frame_bytes(frame);
    tail_files_save(f->log); /* in one commit with them */
    return !docker_frame_waits_in(frame, &f->at);
}

static bool take_over(struct scan *s, struct tail_file *fresh, const struct name *n)
{
    struct tail_file *f = in_another_log(s, fresh);

    if (!f)
        return take_orphan(s, fresh, n);
    if (!end_events(f)) {
        look_later(s, fresh);
        return true;
    }
    if (fresh->inode.links > 1) { /* one file of two names is read once */
        tail_file_free(fresh);
        return true;
    }
    tail_files_move(f, s->log);
    if (f->fd < 0) {
        attach(s->log, f, fresh, n);
        return true;
    }
    tail_file_free(fresh);
    f->index = n->index;
    f->seen = s->log->scan;
    f->missing_since_ms = 0;
    f->dirty = true;
    insert(s->log, f);
    return true;
}

static void take_text(struct scan *s, struct tail_file *fresh, const struct name *n)
{
    if (!take_known_text(s, s->log->files, fresh, n) &&
        !take_known_text(s, s->log->known, fresh, n) && !take_over(s, fresh, n))
        take_new(s, fresh, n);
}

/* A text file without a whole line yet. Returns whether it was dealt with. */
static bool take_beginning(struct scan *s, struct tail_file *fresh, const struct name *n)
{
    if (!s->log->shared->kind->by_content || n->index == 0 || n->compressed)
        return false;
    if (is_young(fresh)) /* a copy in the making */
        look_later(s, fresh);
    else if (fresh->inode.size == 0)
        tail_file_free(fresh);
    else
        return false;
    return true;
}

/* ---- any file ---- */

static void take_identified(struct scan *s, struct tail_file *fresh, const struct name *n)
{
    struct tail_log *log = s->log;
    struct tail_file *f;

    if (log->shared->kind->by_content) {
        take_text(s, fresh, n);
        return;
    }
    f = by_source(log->files, fresh->at.source);

    if (!f)
        f = by_source(log->known, fresh->at.source);
    if (f && f->fd < 0 && !(f->complete && !f->aside && fresh->compressed)) {
        attach(log, f, fresh, n);
        return;
    }
    if (f && !fresh->compressed && fresh->inode.size < f->at.offset) {
        s->unsure = true; /* a copy that is not whole yet */
        tail_file_free(fresh);
        return;
    }
    if (f && (fresh->compressed || tail_file_same_text(f, fresh))) {
        note_copy(f, fresh, n);
        return;
    }
    take_new(s, fresh, n);
}

static void open_failed(struct scan *s, const struct name *n)
{
    struct tail_log *log = s->log;

    s->unsure = true;
    if (errno == ENOENT)
        return;
    s->denied |= errno == EACCES || errno == EPERM;
    log->retry_ms = log->shared->now_ms + TAIL_RETRY_MS;
    log->shared->attention = true;
    if (errno == EMFILE || errno == ENFILE)
        log_warn("no descriptor left for a log file", LOG_STR(log->shared->kind->what, log->name),
                 LOG_STR("knob", errno == EMFILE ? "LimitNOFILE (ulimit -n)" : "fs.file-max"));
    else
        log_warn("cannot open a log file", LOG_STR(log->shared->kind->what, log->name),
                 LOG_STR("name", n->text), LOG_STR("reason", strerror(errno)),
                 LOG_STR("knob", errno == EACCES || errno == EPERM
                                     ? "run as root or with CAP_DAC_READ_SEARCH"
                                     : "none"));
}

/* A file that was opened: is it new, a known one under a new name, or a copy? Takes fd. */
static void take_opened(struct scan *s, const struct name *n, int fd)
{
    struct tail_log *log = s->log;
    struct tail_file *fresh = tail_file_create(log), *f;
    enum tail_known known;
    bool empty = false;

    fresh->fd = fd;
    fresh->compressed = n->compressed;
    fresh->adopted = s->dir < 0;
    if (tail_inode_get(fd, NULL, &fresh->inode) < 0 || !fresh->inode.regular) {
        tail_file_free(fresh);
        return;
    }
    f = match(log, &fresh->inode, n->compressed);
    if (f) { /* it got this name after match_names had looked */
        if (!fresh->adopted)
            found(f, n);
        tail_file_free(fresh);
        return;
    }
    fresh->size = n->compressed ? 0 : fresh->inode.size;
    fresh->quiet_since_ms = log->shared->now_ms;
    known = tail_file_identify(fresh, false, log->shared->scratch);
    if (known == TAIL_FILE_NOT_YET && fresh->gz && !tail_gz_broken(fresh->gz)) {
        /* Whole, and without a line's end: one line, or empty. */
        known = tail_file_identify(fresh, true, log->shared->scratch);
        empty = known == TAIL_FILE_NOT_YET;
    }
    tail_gz_close(fresh->gz); /* the readers that stay are counted */
    fresh->gz = NULL;
    if (known == TAIL_FILE_KNOWN) {
        take_identified(s, fresh, n);
        return;
    }
    if (known == TAIL_FILE_NOT_YET && take_beginning(s, fresh, n))
        return;
    if (n->compressed && !empty) { /* being written, or damaged */
        s->unsure = true;
        if (clock_wall_ns() - fresh->inode.mtime_ns > DAMAGED_AFTER_MS * (int64_t)1000000)
            log_warn("a compressed log file cannot be read",
                     LOG_STR(log->shared->kind->what, log->name), LOG_STR("name", n->text),
                     LOG_U64("bytes", fresh->inode.size));
        tail_file_free(fresh);
        return;
    }
    fresh->index = n->index;
    fresh->seen = log->scan;
    fresh->dirty = fresh->inode.size != 0 && !empty;
    fresh->complete = empty;
    insert(log, fresh);
    settle_announcement(log, fresh);
}

static void open_name(struct scan *s, const struct name *n)
{
    int fd = tail_files_open(s->log, s->dir, n->text, 0);

    if (fd < 0)
        open_failed(s, n);
    else
        take_opened(s, n, fd);
}

void tail_scan_adopt(struct tail_log *log, int fd)
{
    struct scan s = {.log = log, .dir = -1};
    struct name live = {0};

    if (!log->followed || !tail_files_may_keep(log->shared, fd)) {
        io_close(fd);
        return;
    }
    take_opened(&s, &live, fd);
}

/* ---- files that are gone ---- */

static void forget_missing(struct tail_log *log, struct tail_file *list)
{
    for (struct tail_file *f = list, *next; f; f = next) {
        next = f->next;
        if (f->fd >= 0 || f->seen == log->scan ||
            (f->superseded && docker_frame_waits_in(&log->frame, &f->at)))
            continue;
        if (f->missing_since_ms == 0) {
            f->missing_since_ms = log->shared->now_ms;
            tail_files_set_aside(f); /* so that newer files do not wait for it */
        }
        if (log->shared->now_ms - f->missing_since_ms < TAIL_MISSING_MS)
            continue;
        if (!f->complete) {
            metric_add(log->shared->kind->metrics.missed, 1);
            log_warn("a log file was gone before it was known to be read to its end",
                     LOG_STR(log->shared->kind->what, log->name),
                     LOG_U64("read_bytes", f->at.offset));
        }
        tail_files_drop(f);
    }
}

/* Files that were announced and removed before they could be opened. */
static void count_missed(struct tail_log *log)
{
    if (log->created_unseen <= 0)
        return;
    metric_add(log->shared->kind->metrics.missed, (uint64_t)log->created_unseen);
    log_warn("log files were rotated away before they could be opened",
             LOG_STR(log->shared->kind->what, log->name), LOG_I64("files", log->created_unseen),
             LOG_STR("knob", "max-size of the container's log-opt"));
    log->created_unseen = 0;
}

static void note_denied(struct tail_log *log, bool denied)
{
    log->shared->unreadable_changed |= denied != log->denied;
    log->denied = denied;
}

bool tail_scan(struct tail_log *log, int folder, const char *name)
{
    struct scan s = {.log = log};

    s.dir = tail_files_open(log, folder, name, O_DIRECTORY);
    if (s.dir < 0) {
        struct name whole = {.text = "."};

        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
            return false;
        open_failed(&s, &whole);
        note_denied(log, s.denied);
        return true;
    }
    s.stream = fdopendir(s.dir);
    if (!s.stream)
        base_die("cannot list a folder: %s", strerror(errno));
    log->scan++;
    list_names(&s);
    match_names(&s);
    mark_removed(log);
    identify_held(log);
    for (size_t i = 0; i < s.n; i++) {
        log->uses_gz |= s.names[i].compressed;
        if (!s.names[i].settled)
            open_name(&s, &s.names[i]);
    }
    if (!s.unsure) {
        sort_files(log);
        forget_missing(log, log->files);
        forget_missing(log, log->known);
        count_missed(log);
    }
    note_denied(log, s.denied);
    log->first_seen = log->first_look = false;
    free(s.names);
    io_list_end(s.stream);
    return true;
}
