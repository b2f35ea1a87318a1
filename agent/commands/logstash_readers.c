#include "agent/commands/logstash_readers.h"

#include "agent/commands/logstash_patterns.h"

#include <stdlib.h>

#define PLACE PLAN_RECORD
#define PATTERNS 16 /* or lists of them, in one filter */

/* ---- parsers ---- */

/* Whether some rule of `parsers` is for all containers. */
static bool all_taken(const struct work *w)
{
    for (size_t i = 0; i < w->plan.n_rules; i++)
        if (w->plan.rules[i].container && strcmp(w->plan.rules[i].container, "*") == 0 &&
            !w->plan.rules[i].image)
            return true;
    return false;
}

static void add_rule(struct logstash_filter *f, const struct plan_parser *parser,
                     const char *container, const char *image)
{
    struct plan_rule *r = plan_new_rule(&f->w->plan);

    if (*container || !*image)
        plan_set(&r->container, *container ? container : "*");
    if (*image)
        plan_set(&r->image, image);
    plan_copy_parser(&r->parser, parser);
    f->made = true;
}

bool logstash_readers_check(struct work *w, const struct plan_parser *p, struct error *e)
{
    struct plan plan = {0};
    struct strbuf yaml = {0};
    struct plan_rule *r = plan_new_rule(&plan);
    int rc;

    plan_set(&r->container, "*");
    plan_copy_parser(&r->parser, p);
    plan_write(&plan, &yaml);
    rc = work_check(w, &yaml, e);
    strbuf_fini(&yaml);
    plan_fini(&plan);
    return rc == 0;
}

/* Whether the input's messages have a parser already that parser cannot take the place of. Lines
 * that a codec puts together can be read by a pattern. */
static bool is_read(const struct work *w, const struct work_input *in,
                    const struct plan_parser *parser)
{
    const struct plan_parser *there = in->gelf ? NULL : &w->plan.files[in->file].parser;

    if (in->gelf)
        return all_taken(w);
    if (there->kind && strcmp(there->kind, "multiline") == 0)
        return strcmp(parser->kind, "regex") != 0;
    return there->kind != NULL;
}

static void set_parser(struct plan_file *file, const struct plan_parser *parser)
{
    char *start = file->parser.start;

    file->parser.start = NULL;
    plan_copy_parser(&file->parser, parser);
    file->parser.start = start;
}

/* Has the filter's inputs read by parser. false when that cannot be; it was said. */
static bool use_parser(struct logstash_filter *f, const struct plan_parser *parser)
{
    struct work *w = f->w;
    struct error e;
    const char *why = NULL;

    if (logstash_filters_count(f, WHEN_NEVER) == w->n_inputs)
        why = "it is for no input that is taken over";
    for (size_t i = 0; !why && i < w->n_inputs; i++) {
        if (f->states[i].result == WHEN_UNKNOWN)
            why = "it depends on a condition that barge does not know; it has a parser by "
                  "container, image or label";
        else if (f->states[i].result != WHEN_NEVER && is_read(w, &w->inputs[i], parser))
            why = "a message is read by one parser, and there is one already";
    }
    if (!why && !logstash_readers_check(w, parser, &e))
        why = e.text;
    if (why) {
        work_leave_out(w, PLACE, f->plugin->at, "%.*s: %s", (int)f->plugin->text.n,
                       f->plugin->text.p, why);
        return false;
    }
    for (size_t i = 0; i < w->n_inputs; i++) {
        const struct when *s = &f->states[i];

        if (s->result == WHEN_NEVER)
            continue;
        if (!w->inputs[i].gelf)
            set_parser(&w->plan.files[w->inputs[i].file], parser);
        else if (s->result == WHEN_ALWAYS && !all_taken(w))
            add_rule(f, parser, "", "");
        for (size_t k = 0; k < s->n; k++)
            add_rule(f, parser, s->selectors[k].container, s->selectors[k].image);
    }
    return true;
}

/* ---- grok ---- */

struct grok {
    const struct logstash_value *patterns[PATTERNS]; /* each a text, or a list of texts */
    size_t n;
    bool others; /* some are for other fields than the message, or are too many */
    struct logstash_patterns own;
};

static void on_match(void *arg, const struct logstash_value *name,
                     const struct logstash_value *value)
{
    struct grok *g = arg;

    if (work_is(name, "message") && g->n < PATTERNS)
        g->patterns[g->n++] = value;
    else
        g->others = true;
}

static bool is_access_log(struct bytes p, const struct grok *g)
{
    static const char *const names[] = {"COMBINEDAPACHELOG", "COMMONAPACHELOG", "HTTPD_COMBINEDLOG",
                                        "HTTPD_COMMONLOG",   "NGINXACCESS",     "NGINX_ACCESS"};
    bool begins = p.n && p.p[0] == '^', ends = p.n > 1 && p.p[p.n - 1] == '$';
    struct bytes name;

    p = bytes_of(p.p + begins, p.n - begins - ends);
    if (p.n < 3 || p.p[0] != '%' || p.p[1] != '{' || p.p[p.n - 1] != '}')
        return false;
    name = bytes_of(p.p + 2, p.n - 3);
    for (size_t i = 0; i < g->own.n; i++)
        if (bytes_equal(g->own.list[i].name, name))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (bytes_is(name, names[i]))
            return true;
    return false;
}

/* The only pattern; NULL when there are several, or none. */
static const struct logstash_value *only_pattern(const struct grok *g)
{
    const struct logstash_value *v = g->n == 1 ? g->patterns[0] : NULL;

    if (v && v->kind == LOGSTASH_ARRAY)
        v = v->first && !v->first->next ? v->first : NULL;
    return v;
}

/* (?i), (?m) … */
static bool has_flag(const char *text)
{
    while ((text = strstr(text, "(?")) != NULL) {
        text += 2;
        if (*text && strchr("imx-", *text))
            return true;
    }
    return false;
}

/* Adds one pattern behind those before it. A group of its own keeps its (?i) from the next. */
static int add_pattern(const struct grok *g, const struct logstash_value *v, bool several,
                       struct logstash_grok *to, struct error *e)
{
    char *text = work_text(v, e);
    bool group = several && text && has_flag(text);
    int rc;

    if (to->n_patterns)
        strbuf_add_char(&to->pattern, '|');
    if (group)
        strbuf_add_str(&to->pattern, "(?:");
    rc = text ? logstash_grok_add(to, bytes_str(text), g->own.list, g->own.n, e) : -1;
    if (group)
        strbuf_add_char(&to->pattern, ')');
    free(text);
    return rc;
}

/* The patterns as one, which finds the first that fits. */
static int translate(const struct grok *g, struct logstash_grok *to, struct error *e)
{
    bool several = !only_pattern(g);

    if (several)
        strbuf_add_str(&to->pattern, "(?:");
    for (size_t i = 0; i < g->n; i++) {
        bool list = g->patterns[i]->kind == LOGSTASH_ARRAY;
        const struct logstash_value *v = list ? g->patterns[i]->first : g->patterns[i];

        for (; v; v = list ? v->next : NULL)
            if (add_pattern(g, v, several, to, e) < 0)
                return -1;
    }
    if (to->n_patterns == 0)
        return error_set(e, "it has no pattern");
    if (several)
        strbuf_add_char(&to->pattern, ')');
    return 0;
}

/* What a group's name becomes in the document. */
static void dotted(const char *group, struct strbuf *to)
{
    for (const char *p = group; *p; p++) {
        bool dot = p > group && p[0] == '_' && p[1] == '_';

        strbuf_add_char(to, dot ? '.' : *p);
        p += dot;
    }
}

/* Gives fields the names that a group cannot have. */
static void rename_groups(struct logstash_filter *f, const struct logstash_grok *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct strbuf name = {0};
        struct logstash_value from = {.kind = LOGSTASH_STRING}, to = from;

        dotted(g->fields[i].group, &name);
        from.text = strbuf_bytes(&name);
        to.text = bytes_str(g->fields[i].field);
        if (!bytes_equal(from.text, to.text))
            logstash_rename(f->w, &from, &to, f->plugin->at);
        strbuf_fini(&name);
    }
}

static bool captures(const struct logstash_grok *g, const char *field)
{
    for (size_t i = 0; i < g->n; i++)
        if (strcmp(g->fields[i].field, field) == 0)
            return true;
    return false;
}

static bool overwrites_message(const struct logstash_value *plugin)
{
    const struct logstash_value *v = logstash_tree_option(plugin, "overwrite");

    return v && (work_is(v, "message") || (v->first && work_is(v->first, "message")));
}

/* Whether messages may have several lines: those of gelf, and what a codec puts together. */
static bool has_lines(const struct logstash_filter *f)
{
    bool lines = f->w->n_inputs == 0;

    for (size_t i = 0; i < f->w->n_inputs; i++) {
        const struct work_input *in = &f->w->inputs[i];

        if (f->states[i].result != WHEN_NEVER)
            lines |= in->gelf || f->w->plan.files[in->file].parser.start;
    }
    return lines;
}

/* What is not as grok would have it. */
static void tell_differences(struct logstash_filter *f, const struct logstash_grok *g)
{
    if (captures(g, "message") && !overwrites_message(f->plugin))
        work_remark(f->w, PLACE, f->plugin->at,
                    "grok: the message is what the pattern calls so; Logstash would have kept "
                    "both, as a list");
    if (g->lines && g->begins)
        work_remark(f->w, PLACE, f->plugin->at,
                    "grok: ^ is the beginning of a message, and not of each line in it");
    if (g->twice)
        work_leave_out(f->w, PLACE,
                       (struct logstash_span){f->plugin->at.begin, f->plugin->at.begin},
                       "grok: %s is captured more than once, of which Logstash makes a list; barge "
                       "has the last",
                       g->twice);
}

static void describe(const struct logstash_grok *g, struct plan_parser *parser)
{
    plan_set(&parser->kind, "regex");
    plan_set(&parser->pattern, g->pattern.p ? g->pattern.p : "");
    for (size_t i = 0; i < g->n; i++) {
        plan_add_pair(&parser->groups, g->fields[i].field, g->fields[i].group);
        if (g->fields[i].type)
            plan_add_pair(&parser->types, g->fields[i].group, g->fields[i].type);
    }
}

static bool use_regex(struct logstash_filter *f, const struct grok *g)
{
    struct logstash_grok to = {.lines = has_lines(f)};
    struct plan_parser parser = {0};
    struct error e;
    bool used = false;

    if (translate(g, &to, &e) < 0) {
        if (g->own.unread)
            work_leave_out(f->w, PLACE, f->plugin->at,
                           "grok: %s; patterns_dir: %s cannot be read; put it beside the "
                           "configuration",
                           e.text, g->own.unread);
        else
            work_leave_out(f->w, PLACE, f->plugin->at, "grok: %s", e.text);
    } else {
        describe(&to, &parser);
        used = use_parser(f, &parser);
    }
    if (used) {
        rename_groups(f, &to);
        tell_differences(f, &to);
    }
    plan_free_parser(&parser);
    logstash_grok_fini(&to);
    return used;
}

static void take_grok_option(struct logstash_filter *f, const struct logstash_value *v,
                             const struct grok *g)
{
    static const char *const taken[] = {"match", "pattern_definitions", "patterns_files_glob"};
    static const char *const about_it[] = {"timeout_millis", "timeout_scope", "tag_on_timeout"};

    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        if (bytes_is(v->name, taken[i]))
            return;
    for (size_t i = 0; i < ARRAY_LEN(about_it); i++)
        if (bytes_is(v->name, about_it[i])) {
            work_remark(f->w, PLACE, work_option_span(v),
                        "grok: barge gives a pattern up by itself that takes a message too long");
            return;
        }
    if (bytes_is(v->name, "overwrite") && overwrites_message(f->plugin) &&
        (v->kind != LOGSTASH_ARRAY || !v->first->next))
        return;
    if (bytes_is(v->name, "patterns_dir")) {
        if (g->own.unread)
            logstash_filters_refuse(
                f, v,
                "it cannot be read; all patterns that are used were known without it, but it "
                "may have others of these names");
    } else if (bytes_is(v->name, "tag_on_failure"))
        logstash_filters_refuse(f, v, "what does not match is tagged parse_failed");
    else if ((bytes_is(v->name, "break_on_match") || bytes_is(v->name, "named_captures_only")) &&
             work_bool(v) == 1)
        return;
    else if (bytes_is(v->name, "keep_empty_captures") && work_bool(v) == 0)
        return;
    else if (!logstash_filters_common(f, v))
        logstash_filters_refuse(f, v, "barge has nothing that stands for it");
}

static void take_patterns(struct logstash_filter *f, const struct grok *g)
{
    const struct logstash_value *only = only_pattern(g);
    struct plan_parser nginx = {.kind = NULL};
    bool used;

    if (g->n == 0 || g->others) {
        work_leave_out(f->w, PLACE, f->plugin->at, "grok: parsers read the message, and it alone");
        return;
    }
    if (only && only->kind == LOGSTASH_STRING && is_access_log(only->text, g)) {
        plan_set(&nginx.kind, "nginx");
        used = use_parser(f, &nginx);
        plan_free_parser(&nginx);
        f->w->nginx |= used;
    } else {
        used = use_regex(f, g);
    }
    for (const struct logstash_value *v = f->plugin->first; v && used; v = v->next)
        take_grok_option(f, v, g);
}

void logstash_readers_grok(struct logstash_filter *f)
{
    struct grok g = {.n = 0};

    logstash_patterns_read(f->w, f->plugin, &g.own);
    for (const struct logstash_value *v = f->plugin->first; v; v = v->next)
        if (bytes_is(v->name, "match"))
            g.others |= work_entries(v, on_match, &g) < 0;
    take_patterns(f, &g);
    logstash_patterns_fini(&g.own);
}

/* ---- kv ---- */

void logstash_readers_kv(struct logstash_filter *f)
{
    struct plan_parser logfmt = {.kind = NULL};
    const struct logstash_value *source = logstash_tree_option(f->plugin, "source");
    bool used;

    if (source && !work_is(source, "message")) {
        work_leave_out(f->w, PLACE, f->plugin->at, "kv: parsers read the message, and it alone");
        return;
    }
    plan_set(&logfmt.kind, "logfmt");
    used = use_parser(f, &logfmt);
    if (used)
        work_remark(f->w, PLACE, f->plugin->at,
                    "kv: numbers become numbers, and a message that does not begin with a pair is "
                    "text");
    plan_free_parser(&logfmt);
    for (const struct logstash_value *v = f->plugin->first; v && used; v = v->next) {
        bool usual = (bytes_is(v->name, "field_split") && work_is(v, " ")) ||
                     (bytes_is(v->name, "value_split") && work_is(v, "=")) ||
                     bytes_is(v->name, "source");

        if (!usual && !logstash_filters_common(f, v))
            logstash_filters_refuse(
                f, v, "parser: logfmt reads key=value key=\"quoted value\", and has no options");
    }
}
