#include "agent/inputs/files_log.h"

#include "agent/base/clock.h"
#include "agent/base/strbuf.h"
#include "agent/inputs/files_name.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

/* The file of this source, which is being read or was truncated while its last event waited. */
static struct tail_file *file_of(struct tail_log *log, uint64_t source)
{
    for (int k = 0; k < 2; k++)
        for (struct tail_file *f = k ? log->known : log->files; f; f = f->next)
            if (f->identified && f->at.source == source)
                return f;
    return NULL;
}

/* The frame's emit. A record without a time of its own has that of the last one before it in its
 * file that told one: it is decided here, where records come in their order, not when its first
 * line was framed, for then the one before it may have waited. */
static bool emit(void *arg, const struct docker_framed *f)
{
    struct files_log *l = files_log_of(arg);
    struct tail_file *from = file_of(&l->in.log, f->source);
    bool known = from && from->at.time_known;
    /* The last change of the file is later than the line, and nearer to it than now when the line
     * is an old one. It is not the same for each reading, so the index must be on disk first. */
    int64_t time = known ? from->at.time_ns : MIN(l->in.log.written_ns, clock_wall_ns());
    unsigned flags = !known || f->cut || l->in.log.drawn ? BUFFER_DURABLE_FIRST : 0;
    struct record r = {
        .origin = l->origin,
        .text = f->text,
        .text_form = f->text_form,
        .text_flags = f->text_flags,
        .stream = STREAM_NONE,
        .severity = -1,
        .tags = f->tags,
        .joined = f->joined,
        .own_time = true,
        .time_ns = time,
    };

    if (intake_file_record(l->in.log.shared->intake, &r, f->source, f->position, f->hash, flags) !=
        INTAKE_TAKEN)
        return false;
    if (r.time_ns != time && from) {
        from->at.time_ns = r.time_ns;
        from->at.time_known = true;
    }
    return true;
}

struct files_log *files_log_create(struct tail_shared *s, const struct files_rule *rule,
                                   const char *folder, const char *stem)
{
    struct files_log *l = base_calloc(1, sizeof *l);
    size_t n = strlen(folder), m = strlen(stem);
    struct origin_facts facts = {
        .service_label = bytes_str(rule->settings->service),
        .format = rule->format,
    };

    l->path = base_alloc(n + 1 + m + 1);
    snprintf(l->path, n + 1 + m + 1, "%s%s%s", folder, n > 1 ? "/" : "", stem);
    l->in.stem = l->path + strlen(l->path) - m;
    facts.file_path = bytes_str(l->path);
    l->origin = origin_create(&facts);
    l->in.log.tally = origin_tally(l->origin);
    l->in.log.name = l->path;
    l->in.log.uses_gz = true;
    l->in.log.start_ms = rule->settings->start_ms;
    tail_position_id(&l->in.log.id, TAIL_ID_PATH, l->path);
    l->in.log.frame.emit = emit;
    l->in.log.frame.plain = true;
    tail_log_init(&l->in.log, s);
    tail_log_set_lines(&l->in.log, rule->format ? format_lines(rule->format) : NULL);
    return l;
}

void files_log_free(struct files_log *l)
{
    tail_log_fini(&l->in.log);
    origin_free(l->origin);
    free(l->path);
    free(l);
}

bool files_log_is_excluded(const struct files_rule *rule, struct bytes folder, const char *name)
{
    struct strbuf path = {0};
    bool excluded = false;

    if (!rule->settings->exclude[0])
        return false;
    strbuf_add_bytes(&path, folder);
    strbuf_add_str(&path, folder.n > 1 ? "/" : "");
    strbuf_add_str(&path, name);
    for (char *const *p = rule->settings->exclude; *p && !excluded; p++)
        excluded = fnmatch(*p, (*p)[0] == '/' ? path.p : name, 0) == 0;
    strbuf_fini(&path);
    return excluded;
}

static bool is_log(const struct tail_log *log, const char *name, uint64_t *index, bool *compressed)
{
    const struct files_log *l = (const struct files_log *)(const void *)log;
    ptrdiff_t folder = MAX(l->in.stem - l->path - 1, (ptrdiff_t)1);
    struct tail_name n;

    if (!files_name_parse(name, &n) || strcmp(n.stem, l->in.stem) != 0)
        return false;
    if (files_log_is_excluded(l->in.rule, bytes_of(l->path, (size_t)folder), name))
        return false;
    *index = n.index;
    *compressed = n.compressed;
    return true;
}

const struct tail_kind files_log_kind = {
    .what = "path",
    .start_knob = "inputs.files: begin",
    .max_held_knob = TAIL_MAX_HELD_TEXT,
    .is_log = is_log,
    .unreadable_names = "inputs.files.unreadable_files",
    .by_content = true,
    .metrics = {M_FILES_LINES, M_FILES_BYTES, M_FILES_SKIPPED, M_FILES_SKIPPED, M_FILES_AT_RISK,
                M_FILES_LET_GO, M_FILES_MISSED, M_FILES_LOGS, M_FILES_FILES, M_FILES_LAG,
                M_FILES_HELD, M_FILES_UNREADABLE},
};
