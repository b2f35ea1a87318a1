/*
 * files_input: the turns. Folders say which logs there are, tail_* reads them.
 */
#include "agent/inputs/files.h"

#include "agent/base/hash.h"
#include "agent/base/io.h"
#include "agent/inputs/files_log.h"
#include "agent/inputs/files_name.h"
#include "agent/inputs/tail_tree.h"

#include <fcntl.h>
#include <stdlib.h>

struct files_input {
    struct tail_turns turns;
    struct files_rule *rules;
    size_t n_rules;
    struct tail_tree_pattern *patterns;
    size_t n_patterns;
    struct tail_tree *tree;
};

/* ---- logs ---- */

static bool is_excluded(const void *rule, const char *folder, const char *name)
{
    return files_log_is_excluded(rule, bytes_str(folder), name);
}

static struct tail_tree_log *create_log(void *arg, const void *rule,
                                        const struct tail_tree_link *link, const char *folder,
                                        const char *stem)
{
    struct files_input *d = arg;

    ASSERT(!link);
    return &files_log_create(&d->turns.shared, rule, folder, stem)->in;
}

static void free_log(struct tail_tree_log *l)
{
    files_log_free(files_log_of(&l->log));
}

static const struct tail_tree_use use = {
    .id = TAIL_ID_PATH,
    .polling = "cannot use inotify, polling log files instead",
    .parse = files_name_parse,
    .is_excluded = is_excluded,
    .create = create_log,
    .free = free_log,
};

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

static void add_patterns(struct files_input *d, const struct files_rule *r)
{
    for (char *const *p = r->settings->paths; *p; p++) {
        d->patterns = base_realloc(d->patterns, (d->n_patterns + 1) * sizeof *d->patterns);
        d->patterns[d->n_patterns++] = (struct tail_tree_pattern){.path = *p, .rule = r};
    }
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
        add_patterns(d, r);
    }
    return 0;
}

static void free_rules(struct files_input *d)
{
    for (size_t i = 0; i < d->n_rules; i++)
        format_free(d->rules[i].format);
    free(d->patterns);
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
    s->max_held_bytes = TAIL_MAX_HELD_BYTES;
    d->tree = tail_tree_start(s, &use, d, d->patterns, d->n_patterns, loop, tail_turns_changed,
                              &d->turns);
    tail_turns_begin(&d->turns, &tail_tree_turns, d->tree);
    return d;
}

void files_input_stop(struct files_input *d)
{
    if (!d)
        return;
    tail_tree_stop(d->tree);
    tail_turns_fini(&d->turns);
    free_rules(d);
    free(d);
}

/* ---- turns ---- */

struct tail_turns *files_input_turns(struct files_input *d)
{
    return &d->turns;
}

size_t files_input_fixed(const char *pattern)
{
    return tail_tree_fixed(pattern);
}
