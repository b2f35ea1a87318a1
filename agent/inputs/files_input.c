/*
 * files_input: the turns. Folders say which logs there are, tail_* reads them.
 */
#include "agent/inputs/files.h"

#include "agent/base/clock.h"
#include "agent/base/hash.h"
#include "agent/base/io.h"
#include "agent/base/metrics.h"
#include "agent/base/strbuf.h"
#include "agent/inputs/files_folders.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_turns.h"

#include <fcntl.h>
#include <stdlib.h>

#define TICK_MS 1000
#define IDLE_TICK_MS 5000
#define SHOW_MS 200 /* between two counts of what is unread */

struct files_input {
    struct tail_shared shared;
    struct files_rule *rules;
    size_t n_rules;
    struct files_folders *folders;
    struct loop_timer *tick;
    uint64_t shown_ms;
    bool soon; /* the tick comes within a second */
    bool full; /* the intake had no room; files_input_room or the tick ends it */
};

/* ---- figures ---- */

static void name_unreadable(struct tail_shared *s)
{
    struct strbuf names = {0};
    uint64_t n = 0;

    for (const struct tail_log *log = s->all; log; log = log->next_all) {
        if (log->gone || !log->denied)
            continue;
        n++;
        if (names.n < 300)
            strbuf_printf(&names, "%s%s (permission denied)", names.n ? ", " : "", log->name);
    }
    metric_set(M_FILES_UNREADABLE, n);
    metric_text_set("inputs.files.unreadable_files", strbuf_bytes(&names));
    strbuf_fini(&names);
    s->unreadable_changed = false;
}

static void show_figures(struct files_input *d)
{
    tail_log_show(&d->shared);
    d->shown_ms = d->shared.now_ms;
}

/* ---- time ---- */

static void tick_soon(struct files_input *d)
{
    const struct tail_shared *s = &d->shared;

    if (d->soon || !(s->attention || s->changed || s->removed || s->ready || d->full ||
                     files_folders_polls(d->folders)))
        return;
    d->soon = true;
    loop_timer_set(d->tick, TICK_MS);
}

static void on_tick(void *arg)
{
    struct files_input *d = arg;
    struct tail_shared *s = &d->shared;

    s->now_ms = clock_mono_ms();
    s->attention = d->soon = false;
    d->full = false; /* a net under files_input_room: the next turn finds out */
    files_folders_tick(d->folders);
    tail_files_limit_held(s);
    if (s->changed)
        show_figures(d);
    if (s->unreadable_changed)
        name_unreadable(s);
    loop_timer_set(d->tick, IDLE_TICK_MS);
    tick_soon(d);
}

static void on_changed(void *arg)
{
    tick_soon(arg);
}

/* ---- life ---- */

/* Kept with positions: whether the machine was started again since. */
static uint64_t boot_name(void)
{
    int fd = io_open(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY, 0);
    char id[64];
    ssize_t n = fd >= 0 ? io_read(fd, id, sizeof id) : 0;

    if (fd >= 0)
        io_close(fd);
    return hash_64(0, id, n > 0 ? (size_t)n : 0) | 1;
}

static int make_rules(struct files_input *d, struct file_rule *const *rules, struct error *e)
{
    size_t n = 0;

    while (rules[n])
        n++;
    d->rules = base_calloc(n ? n : 1, sizeof *d->rules);
    for (; d->n_rules < n; d->n_rules++) {
        struct files_rule *r = &d->rules[d->n_rules];
        struct error why;

        r->settings = rules[d->n_rules];
        if (format_create(&r->settings->parser, &r->format, &why) < 0)
            return error_set(e, "inputs.files[%zu].%s", d->n_rules, why.text);
    }
    return 0;
}

static void free_rules(struct files_input *d)
{
    for (size_t i = 0; i < d->n_rules; i++)
        format_free(d->rules[i].format);
    free(d->rules);
}

int files_input_check(struct file_rule *const *rules, struct error *e)
{
    struct files_input d = {0};
    int rc = make_rules(&d, rules, e);

    free_rules(&d);
    return rc;
}

struct files_input *files_input_start(struct file_rule *const *rules, struct loop *loop,
                                      struct intake *in, struct error *e)
{
    struct files_input *d = base_calloc(1, sizeof *d);
    struct tail_shared *s = &d->shared;

    if (make_rules(d, rules, e) < 0) {
        free_rules(d);
        free(d);
        return NULL;
    }
    tail_turns_init(s, &files_log_kind, in);
    s->boot = boot_name();
    s->max_held_bytes = FILES_MAX_HELD_BYTES;
    d->tick = loop_timer_add(loop, on_tick, d);
    d->folders = files_folders_start(s, d->rules, d->n_rules, loop, on_changed, d);
    show_figures(d);
    name_unreadable(s);
    loop_timer_set(d->tick, IDLE_TICK_MS);
    tick_soon(d);
    return d;
}

void files_input_stop(struct files_input *d)
{
    if (!d)
        return;
    files_folders_stop(d->folders);
    loop_timer_remove(&d->tick);
    tail_turns_fini(&d->shared);
    free_rules(d);
    free(d);
}

/* ---- turns ---- */

bool files_input_turn(struct files_input *d)
{
    struct tail_shared *s = &d->shared;

    if (s->visits)
        files_folders_visit(d->folders);
    if (!s->ready)
        return false;
    s->now_ms = clock_mono_ms();
    if (!d->full)
        d->full = !tail_turns_run(s);
    files_folders_visit(d->folders);
    if (s->changed && s->now_ms - d->shown_ms >= SHOW_MS)
        show_figures(d);
    tick_soon(d);
    return s->ready && !d->full;
}

void files_input_room(struct files_input *d)
{
    d->full = false;
}

void files_input_committed(struct files_input *d)
{
    d->shared.now_ms = clock_mono_ms();
    tail_files_committed(&d->shared);
}

size_t files_input_fixed(const char *pattern)
{
    return files_folders_fixed(pattern);
}
