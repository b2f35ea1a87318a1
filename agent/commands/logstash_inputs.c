/* gelf and file; what they say of each record (type, tags, add_field) where all say the same. */
#include "agent/commands/logstash_work.h"

#include "agent/commands/logstash_hints.h"
#include "agent/commands/logstash_patterns.h"
#include "agent/config/config_value.h"

#include <stdlib.h>

#define PLACE PLAN_INPUTS

/* Leaves an option of an input out. */
static void refuse(struct work *w, const char *plugin, const struct logstash_value *v,
                   const char *why)
{
    work_leave_out(w, PLACE, work_option_span(v), "%s: %.*s: %s", plugin, (int)MIN(v->name.n, 60u),
                   v->name.p, why);
}

/* What is told apart by input is told for all of them together, further below. */
static bool is_of_records(const struct logstash_value *v)
{
    static const char *const names[] = {"type", "tags", "add_field", NULL};

    return work_is_named(v, names);
}

static struct work_input *new_input(struct work *w, const struct logstash_value *plugin)
{
    const struct logstash_value *type = logstash_tree_option(plugin, "type");
    struct work_input *in = &w->inputs[w->n_inputs++];

    w->plan.inputs = true;
    work_repeated(w, PLACE, plugin, NULL);
    in->plugin = plugin;
    in->when.tags = logstash_tree_option(plugin, "tags");
    if (type && type->kind <= LOGSTASH_BAREWORD)
        in->when.type = type->text;
    return in;
}

/* Why lines that match pattern and do what the codec says cannot be told; NULL: *start is the
 * pattern of lines that begin a record. */
static const char *start_of(const struct logstash_value *codec, const char *pattern,
                            struct strbuf *start)
{
    bool negate = work_on(codec, "negate", false);

    if (!work_is(logstash_tree_option(codec, "what"), "previous"))
        return "barge knows which lines begin a record, and not which ones go on in the next";
    if (negate)
        strbuf_add_str(start, pattern);
    else if (pattern[0] == '^' && !strchr(pattern, '|'))
        strbuf_printf(start, "^(?!%s)", pattern + 1);
    else
        strbuf_printf(start, "^(?!.*(?:%s))", pattern);
    return NULL;
}

/* The pattern of lines that begin a record, as barge takes it; NULL with *e. */
static char *read_start(struct work *w, const struct logstash_value *codec, struct error *e)
{
    const struct logstash_value *pattern = logstash_tree_option(codec, "pattern");
    struct logstash_patterns own;
    struct logstash_grok grok = {.lines = false};
    struct strbuf start = {0}, yaml = {0};
    const char *why = NULL;
    char *text = pattern ? work_text(pattern, e) : NULL, *result = NULL;

    logstash_patterns_read(w, codec, &own);
    if (!pattern)
        error_set(e, "it has no pattern");
    if (text && logstash_grok_add(&grok, bytes_str(text), own.list, own.n, e) == 0) {
        why = start_of(codec, grok.pattern.n ? grok.pattern.p : "", &start);
        if (why)
            error_set(e, "%s", why);
    }
    if (start.n) {
        strbuf_add_str(&yaml, "inputs: {files: [{paths: [/x], parser: multiline, start: ");
        config_value_add_quoted(&yaml, start.p);
        strbuf_add_str(&yaml, "}]}");
        if (work_check(w, &yaml, e) == 0)
            result = base_strdup(start.p);
    }
    free(text);
    logstash_grok_fini(&grok);
    logstash_patterns_fini(&own);
    strbuf_fini(&start);
    strbuf_fini(&yaml);
    return result;
}

static void take_multiline_option(struct work *w, const struct logstash_value *v)
{
    static const char *const taken[] = {
        "pattern", "negate", "what", "patterns_dir", "patterns_files_glob", NULL};
    static const char *const ceilings[] = {"max_lines", "max_bytes", NULL};

    if (work_is_named(v, taken) || work_needs_nothing(v) ||
        (bytes_is(v->name, "charset") && work_is(v, "UTF-8")) ||
        (bytes_is(v->name, "multiline_tag") && work_is(v, "")))
        return;
    if (work_is_named(v, ceilings))
        work_remark(w, PLACE, work_option_span(v),
                    "multiline: a record has at most 4,096 lines and 1 MiB");
    else if (bytes_is(v->name, "auto_flush_interval"))
        work_remark(w, PLACE, work_option_span(v),
                    "multiline: what was not continued for 1.25 s is complete");
    else
        refuse(w, "multiline", v, "barge has nothing that stands for it");
}

static void take_multiline(struct work *w, const struct logstash_value *codec,
                           struct plan_parser *parser)
{
    struct error e;
    char *start = read_start(w, codec, &e);

    if (!start) {
        work_leave_out(w, PLACE, work_option_span(codec),
                       "multiline: %s (parser: multiline knows stack traces, too)", e.text);
        return;
    }
    plan_set(&parser->kind, "multiline");
    plan_set(&parser->start, start);
    free(start);
    if (!logstash_tree_option(codec, "multiline_tag"))
        work_remark(w, PLACE, work_option_span(codec),
                    "multiline: records of several lines are not tagged multiline");
    for (const struct logstash_value *v = codec->first; v; v = v->next)
        take_multiline_option(w, v);
}

/* plain, line and json say how a message is read, and barge looks by itself. */
static void take_codec(struct work *w, const char *plugin, const struct logstash_value *v,
                       struct work_input *in)
{
    static const char *const plain[] = {"plain", "line", NULL};
    bool options =
        v->kind == LOGSTASH_PLUGIN && v->first &&
        (v->first->next || !bytes_is(v->first->name, "charset") || !work_is(v->first, "UTF-8"));

    if (v->kind == LOGSTASH_PLUGIN || v->kind <= LOGSTASH_BAREWORD) {
        if (bytes_is(v->text, "multiline")) {
            if (in->gelf)
                refuse(w, plugin, v, "a message of GELF is not put together with others");
            else
                take_multiline(w, v, &w->plan.files[in->file].parser);
            return;
        }
        if (bytes_is(v->text, "json") || bytes_is(v->text, "json_lines"))
            in->json = true;
        if (!options && (in->json || bytes_is(v->text, plain[0]) || bytes_is(v->text, plain[1])))
            return;
    }
    refuse(w, plugin, v,
           options ? "UTF-8 alone is read, and other options are not known" : "this is not read");
}

/* ---- gelf ---- */

/* HOST:PORT of the options; owned, NULL when one is left out. */
static char *address(struct work *w, const struct logstash_value *plugin, const char *port_name)
{
    const struct logstash_value *host = logstash_tree_option(plugin, "host");
    const struct logstash_value *port = logstash_tree_option(plugin, port_name);
    struct strbuf to = {0}, yaml = {0};
    struct error e;
    char *host_text, *port_text;
    bool v6;

    if (!port)
        port = logstash_tree_option(plugin, "port");
    host_text = host ? work_text(host, &e) : base_strdup("0.0.0.0");
    port_text = port ? work_text(port, &e) : base_strdup("12201");
    if (host_text && port_text) {
        v6 = strchr(host_text, ':') && host_text[0] != '[' && !strstr(host_text, "${");
        strbuf_printf(&to, v6 ? "[%s]:%s" : "%s:%s", host_text, port_text);
        strbuf_add_str(&yaml, "inputs: {gelf: {udp: ");
        plan_yaml_text(&yaml, to.p);
        strbuf_add_str(&yaml, "}}");
        if (work_check(w, &yaml, &e) < 0)
            strbuf_fini(&to);
    }
    if (!to.p)
        work_leave_out(w, PLACE, plugin->at, "gelf: %s", e.text);
    free(host_text);
    free(port_text);
    strbuf_fini(&yaml);
    return to.p;
}

static bool listen_at(struct work *w, const struct logstash_value *plugin, bool wanted,
                      const char *port, char **to)
{
    char *at = wanted ? address(w, plugin, port) : NULL;

    if (at)
        plan_set(to, at);
    free(at);
    return !wanted || *to;
}

static void take_gelf(struct work *w, const struct logstash_value *plugin)
{
    static const char *const known[] = {"host",    "port",    "port_udp", "port_tcp",
                                        "use_udp", "use_tcp", NULL};
    bool udp = work_on(plugin, "use_udp", true), tcp = work_on(plugin, "use_tcp", false);
    struct work_input *in;

    if ((udp && w->plan.udp) || (tcp && w->plan.tcp)) {
        work_leave_out(w, PLACE, plugin->at,
                       "gelf: barge has one address for UDP and one for TCP, and this is one more");
        return;
    }
    if (!listen_at(w, plugin, udp, "port_udp", &w->plan.udp) ||
        !listen_at(w, plugin, tcp, "port_tcp", &w->plan.tcp))
        return;
    in = new_input(w, plugin);
    in->gelf = in->when.containers = true;
    for (const struct logstash_value *v = plugin->first; v; v = v->next) {
        if (work_is_named(v, known) || is_of_records(v) || work_needs_nothing(v))
            continue;
        if (bytes_is(v->name, "codec"))
            take_codec(w, "gelf", v, in);
        else if (bytes_is(v->name, "remap") || bytes_is(v->name, "strip_leading_underscore")) {
            if (work_bool(v) != 1)
                refuse(w, "gelf", v,
                       "the message is always full_message or short_message, and names lose "
                       "their underscore");
        } else {
            refuse(w, "gelf", v, "this option is not known");
        }
    }
}

/* ---- file ---- */

/* {a,b} as one path each: everything up to `at` is done. */
static void add_paths(struct plan_texts *to, const char *path, unsigned depth)
{
    const char *open = strchr(path, '{'), *close = open ? strchr(open, '}') : NULL;

    while (open && open > path && open[-1] == '$') { /* a variable */
        open = strchr(close ? close : open + 1, '{');
        close = open ? strchr(open, '}') : NULL;
    }
    if (!open || !close || depth == 4 || to->n > 100) {
        plan_add_text(to, path);
        return;
    }
    for (const char *p = open + 1; p <= close;) {
        size_t n = strcspn(p, ",}");
        struct strbuf one = {0};

        strbuf_add(&one, path, (size_t)(open - path));
        strbuf_add(&one, p, n);
        strbuf_add_str(&one, close + 1);
        add_paths(to, one.p, depth + 1);
        strbuf_fini(&one);
        p += n + 1;
    }
}

/* Whether barge takes text in the list called key, "paths" or "exclude". */
static int check_path(struct work *w, const char *text, const char *key, struct error *e)
{
    struct strbuf yaml = {0};
    int rc;

    strbuf_printf(&yaml, "inputs: {files: [{paths: [%s", *key == 'p' ? "" : "/x], exclude: [");
    config_value_add_quoted(&yaml, text);
    strbuf_add_str(&yaml, "]}]}");
    rc = work_check(w, &yaml, e);
    strbuf_fini(&yaml);
    return rc;
}

/* Each of some, which is v, into to; what barge refuses is left out. some is given back. */
static void take_paths(struct work *w, const struct logstash_value *v, const char *key,
                       struct plan_texts *some, struct plan_texts *to)
{
    struct error e;

    for (size_t i = 0; i < some->n; i++) {
        if (check_path(w, some->list[i], key, &e) < 0)
            work_leave_out(w, PLACE, v->at, "file: %s: %s", *key == 'p' ? "path" : key, e.text);
        else if (plan_find_text(to, some->list[i]) == SIZE_MAX)
            plan_add_text(to, some->list[i]);
        free(some->list[i]);
    }
    free(some->list);
}

/* The texts of a list or of one value. */
static void take_texts(struct work *w, const struct logstash_value *v, const char *key,
                       struct plan_texts *to)
{
    bool list = v->kind == LOGSTASH_ARRAY;

    for (const struct logstash_value *x = list ? v->first : v; x; x = list ? x->next : NULL) {
        struct plan_texts some = {0};
        struct error e;
        char *text = work_text(x, &e);

        if (!text)
            work_leave_out(w, PLACE, x->at, "file: %.*s: %s", (int)v->name.n, v->name.p, e.text);
        else if (*key == 'p')
            add_paths(&some, text, 0);
        else
            plan_add_text(&some, text);
        take_paths(w, x, key, &some, to);
        free(text);
    }
}

/* A number of seconds, or "2 days", as barge writes a duration; owned, NULL when it is none. */
static char *duration(const struct logstash_value *v)
{
    static const struct {
        const char *unit, *ours;
    } units[] = {
        {"", "s"},        {"s", "s"},   {"sec", "s"},  {"second", "s"},
        {"seconds", "s"}, {"m", "m"},   {"min", "m"},  {"minute", "m"},
        {"minutes", "m"}, {"h", "h"},   {"hour", "h"}, {"hours", "h"},
        {"d", "d"},       {"day", "d"}, {"days", "d"}, {"ms", "ms"},
    };
    struct strbuf to = {0};
    size_t n = 0, unit;

    if (v->kind > LOGSTASH_BAREWORD)
        return NULL;
    while (n < v->text.n && v->text.p[n] >= '0' && v->text.p[n] <= '9')
        n++;
    for (unit = n; unit < v->text.n && v->text.p[unit] == ' ';)
        unit++;
    if (n == 0 || n > 9 || strspn(v->text.p, "0") >= n)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (bytes_is(bytes_of(v->text.p + unit, v->text.n - unit), units[i].unit)) {
            strbuf_printf(&to, "%.*s%s", (int)n, v->text.p, units[i].ours);
            return to.p;
        }
    return NULL;
}

static void take_start(struct work *w, const struct logstash_value *plugin, struct plan_file *f)
{
    const struct logstash_value *start = logstash_tree_option(plugin, "start_position");
    const struct logstash_value *mode = logstash_tree_option(plugin, "mode");
    const struct logstash_value *older = logstash_tree_option(plugin, "ignore_older");
    bool whole = work_is(start, "beginning") || work_is(mode, "read");
    char *age = older ? duration(older) : NULL;

    if (start && !whole && !work_is(start, "end"))
        refuse(w, "file", start, "there are beginning and end");
    if (older && !age)
        refuse(w, "file", older, "a number of seconds, or one with a unit, was expected");
    if (!whole)
        plan_set(&f->begin, "end");
    else
        plan_set(&f->begin, age);
    if (age && !whole)
        work_remark(w, PLACE, work_option_span(older),
                    "file: ignore_older: begin: end leaves out older files anyhow");
    free(age);
}

static const struct {
    const char *name, *why;
} file_remarks[] = {
    {"sincedb_path", "barge keeps its positions in data_dir, by what is in the files"},
    {"sincedb_write_interval", "positions are written with the records that they belong to"},
    {"sincedb_clean_after", "positions go when their files do"},
    {"stat_interval", "the kernel tells when a file grows"},
    {"discover_interval", "the kernel tells when a file is made"},
    {"close_older", "barge closes what need not be open"},
    {"max_open_files", "barge has ceilings of its own"},
    {"file_chunk_count", "barge shares its time between files by itself"},
    {"file_chunk_size", "barge shares its time between files by itself"},
    {"file_sort_by", "barge shares its time between files by itself"},
    {"file_sort_direction", "barge shares its time between files by itself"},
};

static void take_file_option(struct work *w, const struct logstash_value *v, struct work_input *in)
{
    if (bytes_is(v->name, "codec")) {
        take_codec(w, "file", v, in);
        return;
    }
    if (bytes_is(v->name, "delimiter")) {
        if (!work_is(v, "\n") && !work_is(v, "\\n"))
            refuse(w, "file", v, "a record ends with a line feed");
        return;
    }
    if (bytes_is(v->name, "mode")) {
        if (work_is(v, "read"))
            refuse(w, "file", v, "files are followed; a rotated .gz is read with its log alone");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(file_remarks); i++)
        if (bytes_is(v->name, file_remarks[i].name)) {
            work_remark(w, PLACE, work_option_span(v), "file: %s: %s", file_remarks[i].name,
                        file_remarks[i].why);
            return;
        }
    refuse(w, "file", v, "barge has nothing that stands for it");
}

static void take_file(struct work *w, const struct logstash_value *plugin)
{
    static const char *const known[] = {"path", "exclude", "start_position", "ignore_older", NULL};
    const struct logstash_value *path = logstash_tree_option(plugin, "path");
    const struct logstash_value *exclude = logstash_tree_option(plugin, "exclude");
    struct plan_texts paths = {0};
    struct plan_file *f;
    struct work_input *in;

    if (path)
        take_texts(w, path, "paths", &paths);
    if (paths.n == 0) {
        free(paths.list);
        if (!path)
            work_leave_out(w, PLACE, plugin->at, "file: it has no path");
        return;
    }
    in = new_input(w, plugin);
    f = plan_new_file(&w->plan);
    in->file = w->plan.n_files - 1;
    f->paths = paths;
    if (exclude)
        take_texts(w, exclude, "exclude", &f->exclude);
    take_start(w, plugin, f);
    for (const struct logstash_value *v = plugin->first; v; v = v->next)
        if (!work_is_named(v, known) && !is_of_records(v) && !work_needs_nothing(v))
            take_file_option(w, v, in);
}

/* ---- all ---- */

static void take_input(struct work *w, const struct logstash_value *plugin)
{
    if (w->n_inputs == WORK_INPUTS) {
        work_leave_out(w, PLACE, plugin->at, "more than %d inputs are not taken over", WORK_INPUTS);
    } else if (bytes_is(plugin->text, "gelf")) {
        take_gelf(w, plugin);
    } else if (bytes_is(plugin->text, "file")) {
        take_file(w, plugin);
    } else {
        work_leave_out(w, PLACE, plugin->at, "input %.*s: %s", (int)MIN(plugin->text.n, 60u),
                       plugin->text.p, logstash_hints_input(plugin->text));
    }
}

/* Whether every input that is taken over has the same value of this option. */
static bool all_alike(const struct work *w, const char *name)
{
    struct bytes all = logstash_source_bytes(w->source);
    const struct logstash_value *first = logstash_tree_option(w->inputs[0].plugin, name);

    for (size_t i = 1; i < w->n_inputs; i++) {
        const struct logstash_value *v = logstash_tree_option(w->inputs[i].plugin, name);

        if (!v || !first ||
            !bytes_equal(bytes_of(all.p + v->at.begin, v->at.end - v->at.begin),
                         bytes_of(all.p + first->at.begin, first->at.end - first->at.begin)))
            return false;
    }
    return first != NULL;
}

static void say_of_all(struct work *w, const char *name)
{
    const struct logstash_value *v = logstash_tree_option(w->inputs[0].plugin, name);
    struct logstash_value type = {.kind = LOGSTASH_STRING, .text = BYTES_LITERAL("type")};

    if (strcmp(name, "type") == 0) {
        logstash_add(w, &type, v, false, work_option_span(v));
        return;
    }
    if (strcmp(name, "tags") == 0) {
        logstash_tag(w, v, work_option_span(v));
        return;
    }
    if (v->kind != LOGSTASH_HASH) {
        work_leave_out(w, PLACE, work_option_span(v), "add_field: a hash was expected");
        return;
    }
    for (const struct logstash_value *x = v->first; x; x = x->next) {
        struct logstash_value field = {.kind = LOGSTASH_STRING, .at = x->name_at, .text = x->name};

        logstash_add(w, &field, x, false, work_option_span(x));
    }
}

static void say_of_records(struct work *w)
{
    static const char *const names[] = {"type", "tags", "add_field"};

    for (size_t k = 0; k < ARRAY_LEN(names) && w->n_inputs; k++) {
        if (all_alike(w, names[k])) {
            say_of_all(w, names[k]);
            continue;
        }
        for (size_t i = 0; i < w->n_inputs; i++) {
            const struct logstash_value *v = logstash_tree_option(w->inputs[i].plugin, names[k]);

            if (v)
                work_leave_out(w, PLACE, work_option_span(v),
                               "%s: barge sets fields for all inputs alike, and these differ%s",
                               names[k], k == 0 ? " (conditions on [type] were told apart)" : "");
        }
    }
}

void logstash_inputs(struct work *w, const struct logstash_item *first)
{
    for (const struct logstash_item *i = first; i; i = i->next) {
        if (i->plugin)
            take_input(w, i->plugin);
        else
            work_leave_out(w, PLACE, i->at, "an input cannot depend on a condition");
    }
}

void logstash_inputs_end(struct work *w)
{
    for (size_t i = 0; i < w->n_inputs; i++)
        w->typed |= w->inputs[i].when.type.p != NULL;
    say_of_records(w);
}
