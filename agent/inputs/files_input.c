/*
 * files_input: the turns. Folders say which logs there are, tail_* reads them.
 */
#include "agent/inputs/files.h"

#include "agent/base/hash.h"
#include "agent/base/io.h"
#include "agent/inputs/files_folders.h"
#include "agent/inputs/tail_turns.h"

#include <fcntl.h>
#include <stdlib.h>

struct files_input {
    struct tail_turns turns;
    struct files_rule *rules;
    size_t n_rules;
    struct files_folders *folders;
};

/* ---- folders ---- */

static void visit(void *arg)
{
    files_folders_visit(arg);
}

static void tick(void *arg)
{
    files_folders_tick(arg);
}

static bool polls(void *arg)
{
    return files_folders_polls(arg);
}

static const struct tail_folders folders = {
    .visit = visit, .tick = tick, .polls = polls, .idle_ms = 5000};

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
    struct tail_shared *s = &d->turns.shared;

    if (make_rules(d, rules, e) < 0) {
        free_rules(d);
        free(d);
        return NULL;
    }
    tail_turns_init(&d->turns, &files_log_kind, in, loop);
    s->boot = boot_name();
    s->max_held_bytes = FILES_MAX_HELD_BYTES;
    d->folders = files_folders_start(s, d->rules, d->n_rules, loop, tail_turns_changed, &d->turns);
    tail_turns_begin(&d->turns, &folders, d->folders);
    return d;
}

void files_input_stop(struct files_input *d)
{
    if (!d)
        return;
    files_folders_stop(d->folders);
    tail_turns_fini(&d->turns);
    free_rules(d);
    free(d);
}

/* ---- turns ---- */

bool files_input_turn(struct files_input *d)
{
    return tail_turns_run(&d->turns);
}

void files_input_room(struct files_input *d)
{
    tail_turns_room(&d->turns);
}

void files_input_committed(struct files_input *d)
{
    tail_turns_committed(&d->turns);
}

size_t files_input_fixed(const char *pattern)
{
    return files_folders_fixed(pattern);
}
