/* json, mutate, grok, date and kv, as far as barge has what stands for them. */
#include "agent/commands/logstash_work.h"

#include "agent/commands/logstash_hints.h"
#include "agent/commands/logstash_patterns.h"
#include "agent/config/config_value.h"

#include <stdlib.h>

#define PLACE PLAN_RECORD
#define PATTERNS 16 /* or lists of them, in one filter */

/* One filter, and when it holds for each input. */
struct filter {
    struct work *w;
    const struct logstash_value *plugin;
    const struct when *states;
    bool rest; /* for what no rule of `parsers` before it took */
    bool made; /* a rule of `parsers` */
};

static void refuse(struct filter *f, const struct logstash_value *v, const char *why)
{
    work_leave_out(f->w, PLACE, work_option_span(v), "%.*s: %.*s: %s", (int)f->plugin->text.n,
                   f->plugin->text.p, (int)MIN(v->name.n, 60u), v->name.p, why);
}

/* How many inputs the filter has this result for. */
static size_t count(const struct filter *f, enum when_result result)
{
    size_t n = 0;

    for (size_t i = 0; i < f->w->n_inputs; i++)
        n += f->states[i].result == result;
    return n;
}

/* Whether it holds for all records. If not, that is said. */
static bool holds_for_all(struct filter *f)
{
    if (!f->rest && count(f, WHEN_ALWAYS) == f->w->n_inputs && f->states[0].result == WHEN_ALWAYS)
        return true;
    work_leave_out(f->w, PLACE, f->plugin->at,
                   "%.*s: it depends on a condition, and barge does this to all records or none",
                   (int)f->plugin->text.n, f->plugin->text.p);
    return false;
}

/* What every filter may have, and does when it has succeeded. */
static bool take_common(struct filter *f, const struct logstash_value *v)
{
    bool list = v->kind == LOGSTASH_ARRAY;

    if (bytes_is(v->name, "remove_field")) {
        for (const struct logstash_value *x = list ? v->first : v; x; x = list ? x->next : NULL)
            logstash_remove(f->w, x, work_option_span(v));
        return true;
    }
    if (bytes_is(v->name, "add_field") || bytes_is(v->name, "add_tag") ||
        bytes_is(v->name, "remove_tag")) {
        refuse(f, v, "barge cannot make this depend on whether a filter has succeeded");
        return true;
    }
    return work_needs_nothing(v);
}

/* ---- json ---- */

static void take_json_option(struct filter *f, const struct logstash_value *v)
{
    if (bytes_is(v->name, "source") || bytes_is(v->name, "skip_on_invalid_json"))
        return;
    if (bytes_is(v->name, "remove_field") &&
        (work_is(v, "message") || (v->kind == LOGSTASH_ARRAY && v->first && !v->first->next &&
                                   work_is(v->first, "message")))) {
        work_remark(f->w, PLACE, work_option_span(v),
                    "json: barge keeps no second copy of a message that it has taken apart");
        return;
    }
    if (bytes_is(v->name, "target"))
        refuse(f, v, "an object's members are merged at the top of the document");
    else if (bytes_is(v->name, "tag_on_failure"))
        refuse(f, v, "a message that is text is no failure, and not tagged");
    else if (!take_common(f, v))
        refuse(f, v, "barge has nothing that stands for it");
}

static void take_json(struct filter *f)
{
    const struct logstash_value *source = logstash_tree_option(f->plugin, "source");

    if (!work_is(source, "message")) {
        work_leave_out(f->w, PLACE, f->plugin->at,
                       "json: barge looks for JSON in the message alone");
        return;
    }
    for (size_t i = 0; i < f->w->n_inputs; i++)
        if (f->states[i].result != WHEN_ALWAYS && f->states[i].result != WHEN_NEVER &&
            !f->states[i].object) {
            work_leave_out(f->w, PLACE, f->plugin->at,
                           "json: it depends on a condition; barge takes every message apart that "
                           "is a JSON object, where `parsers` says nothing else");
            break;
        }
    f->w->json = true;
    for (const struct logstash_value *v = f->plugin->first; v; v = v->next)
        take_json_option(f, v);
}

/* ---- mutate ---- */

struct pair_arg {
    struct filter *f;
    struct logstash_span at;
};

static void on_rename(void *arg, const struct logstash_value *name,
                      const struct logstash_value *value)
{
    struct pair_arg *a = arg;

    logstash_rename(a->f->w, name, value, a->at);
}

static void on_convert(void *arg, const struct logstash_value *name,
                       const struct logstash_value *value)
{
    static const char *const types[][2] = {
        {"integer", "long"}, {"float", "double"}, {"string", "string"}, {"boolean", "boolean"}};
    struct pair_arg *a = arg;

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (work_is(value, types[i][0])) {
            logstash_convert(a->f->w, name, types[i][1], a->at);
            return;
        }
    work_leave_out(a->f->w, PLACE, a->at,
                   "mutate: convert: there are integer, float, string and boolean");
}

static void on_replace(void *arg, const struct logstash_value *name,
                       const struct logstash_value *value)
{
    struct pair_arg *a = arg;

    logstash_add(a->f->w, name, value, true, a->at);
}

static void on_add(void *arg, const struct logstash_value *name, const struct logstash_value *value)
{
    struct pair_arg *a = arg;

    logstash_add(a->f->w, name, value, false, a->at);
}

static void take_mutation(struct filter *f, const struct logstash_value *v)
{
    static const struct {
        const char *name;
        void (*fn)(void *arg, const struct logstash_value *name,
                   const struct logstash_value *value);
    } pairs[] = {{"rename", on_rename},
                 {"convert", on_convert},
                 {"replace", on_replace},
                 {"add_field", on_add}};
    struct pair_arg arg = {f, work_option_span(v)};

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (bytes_is(v->name, pairs[i].name)) {
            if (work_entries(v, pairs[i].fn, &arg) < 0)
                refuse(f, v, "a hash was expected");
            return;
        }
    if (bytes_is(v->name, "add_tag"))
        logstash_tag(f->w, v, work_option_span(v));
    else if (bytes_is(v->name, "remove_tag"))
        refuse(f, v, "barge's tags stay");
    else if (!take_common(f, v))
        refuse(f, v, logstash_hints_mutate(v->name));
}

/* Whether name, a or [a][b], is the field there, as conditions write it. */
static bool is_same_field(struct bytes name, struct bytes there)
{
    struct bytes inside;

    if (!there.p || bytes_equal(name, there))
        return there.p != NULL;
    inside = bytes_of(there.p + 1, there.n - 2);
    return bytes_equal(name, inside) && !memchr(inside.p, '[', inside.n);
}

/* Whether name is the field that the filter's condition asks for. */
static bool is_asked_for(const struct filter *f, const struct logstash_value *name)
{
    for (size_t i = 0; i < MAX(f->w->n_inputs, 1u); i++)
        if (!is_same_field(name->text, f->states[i].there))
            return false;
    return true;
}

struct asked_arg {
    const struct filter *f;
    bool others;
};

static void look_for_others(void *arg, const struct logstash_value *name,
                            const struct logstash_value *value)
{
    struct asked_arg *a = arg;

    (void)value;
    a->others |= !is_asked_for(a->f, name);
}

/* if [a] { mutate { convert => { "a" => … } } }: what is done to a field alone is done where there
 * is one. */
static bool asks_for_what_it_changes(const struct filter *f)
{
    struct asked_arg arg = {f, f->rest};

    for (const struct logstash_value *v = f->plugin->first; v; v = v->next) {
        bool list = v->kind == LOGSTASH_ARRAY;

        if (bytes_is(v->name, "rename") || bytes_is(v->name, "convert"))
            arg.others |= work_entries(v, look_for_others, &arg) < 0;
        else if (bytes_is(v->name, "remove_field"))
            for (const struct logstash_value *x = list ? v->first : v; x; x = list ? x->next : NULL)
                arg.others |= !is_asked_for(f, x);
        else
            arg.others |= !work_needs_nothing(v);
    }
    return !arg.others;
}

/* In Logstash's order, whatever order they stand in. */
static void take_mutate(struct filter *f)
{
    static const char *const order[] = {"rename",    "replace",      "convert", "",
                                        "add_field", "remove_field", "add_tag", "remove_tag"};

    if (!asks_for_what_it_changes(f) && !holds_for_all(f))
        return;
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        for (const struct logstash_value *v = f->plugin->first; v; v = v->next) {
            bool named = false;

            for (size_t k = 0; k < ARRAY_LEN(order); k++)
                named |= bytes_is(v->name, order[k]);
            if (named ? bytes_is(v->name, order[i]) : !*order[i])
                take_mutation(f, v);
        }
}

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

static void add_rule(struct filter *f, const struct plan_parser *parser, const char *container,
                     const char *image)
{
    struct plan_rule *r = plan_new_rule(&f->w->plan);

    if (*container || !*image)
        plan_set(&r->container, *container ? container : "*");
    if (*image)
        plan_set(&r->image, image);
    plan_copy_parser(&r->parser, parser);
    f->made = true;
}

static bool parser_check(struct work *w, const struct plan_parser *p, struct error *e)
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
static bool use_parser(struct filter *f, const struct plan_parser *parser)
{
    struct work *w = f->w;
    struct error e;
    const char *why = NULL;

    if (count(f, WHEN_NEVER) == w->n_inputs)
        why = "it is for no input that is taken over";
    for (size_t i = 0; !why && i < w->n_inputs; i++) {
        if (f->states[i].result == WHEN_UNKNOWN)
            why = "it depends on a condition that barge does not know; it has a parser by "
                  "container, image or label";
        else if (f->states[i].result != WHEN_NEVER && is_read(w, &w->inputs[i], parser))
            why = "a message is read by one parser, and there is one already";
    }
    if (!why && !parser_check(w, parser, &e))
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
static void rename_groups(struct filter *f, const struct logstash_grok *g)
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
static bool has_lines(const struct filter *f)
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
static void tell_differences(struct filter *f, const struct logstash_grok *g)
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

static bool use_regex(struct filter *f, const struct grok *g)
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

static void take_grok_option(struct filter *f, const struct logstash_value *v, const struct grok *g)
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
            refuse(f, v,
                   "it cannot be read; all patterns that are used were known without it, but it "
                   "may have others of these names");
    } else if (bytes_is(v->name, "tag_on_failure"))
        refuse(f, v, "what does not match is tagged parse_failed");
    else if ((bytes_is(v->name, "break_on_match") || bytes_is(v->name, "named_captures_only")) &&
             work_bool(v) == 1)
        return;
    else if (bytes_is(v->name, "keep_empty_captures") && work_bool(v) == 0)
        return;
    else if (!take_common(f, v))
        refuse(f, v, "barge has nothing that stands for it");
}

static void take_patterns(struct filter *f, const struct grok *g)
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

static void take_grok(struct filter *f)
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

static void take_kv(struct filter *f)
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

        if (!usual && !take_common(f, v))
            refuse(f, v, "parser: logfmt reads key=value key=\"quoted value\", and has no options");
    }
}

/* ---- date ---- */

struct date {
    const struct logstash_value *field, *formats; /* the first format, the others beside it */
    char *zone;                                   /* as time_zone has it; NULL: none */
};

/* Whether all times of the formats say their zone themselves. */
static bool names_its_zone(const struct date *d)
{
    for (const struct logstash_value *v = d->formats; v; v = v->next)
        if (!work_is(v, "UNIX") && !work_is(v, "UNIX_MS") && !memchr(v->text.p, 'Z', v->text.n))
            return false;
    return true;
}

/* A zone that has no summer time, as an offset; NULL when it is not known. */
static const char *offset_of(const char *zone)
{
    static const char *const zones[][2] = {{"UTC", "UTC"},
                                           {"Etc/UTC", "UTC"},
                                           {"GMT", "UTC"},
                                           {"Etc/GMT", "UTC"},
                                           {"Z", "UTC"},
                                           {"Zulu", "UTC"},
                                           {"Etc/UCT", "UTC"},
                                           {"Etc/Zulu", "UTC"},
                                           {"Universal", "UTC"},
                                           {"Etc/Universal", "UTC"},
                                           {"Asia/Kolkata", "+05:30"},
                                           {"Asia/Calcutta", "+05:30"},
                                           {"Asia/Tokyo", "+09:00"},
                                           {"Asia/Shanghai", "+08:00"},
                                           {"Asia/Singapore", "+08:00"},
                                           {"Asia/Seoul", "+09:00"},
                                           {"Asia/Hong_Kong", "+08:00"}};

    for (size_t i = 0; i < ARRAY_LEN(zones); i++)
        if (strcmp(zone, zones[i][0]) == 0)
            return zones[i][1];
    return strlen(zone) == 6 && (zone[0] == '+' || zone[0] == '-') && zone[3] == ':' ? zone : NULL;
}

/* Whether what the condition asks for is there where the filter has something to do, or is what
 * the parser before it says. */
static bool date_always_holds(const struct filter *f, size_t input, const struct date *d)
{
    const struct when *s = &f->states[input];

    return s->result == WHEN_ALWAYS || (s->result == WHEN_UNKNOWN && !f->rest &&
                                        (s->parsed || is_same_field(d->field->text, s->there)));
}

/* Whether barge takes this format; what it refuses is left out. */
static bool check_format(struct filter *f, const struct plan_parser *of, const struct date *d,
                         const struct logstash_value *format)
{
    struct plan_parser p = {0};
    struct error e;
    char *text = work_text(format, &e);
    bool holds = text != NULL;

    if (holds) {
        plan_copy_parser(&p, of);
        plan_add_text(&p.time_formats, text);
        plan_set(&p.time_zone, d->zone);
        holds = parser_check(f->w, &p, &e);
        plan_free_parser(&p);
    }
    if (!holds)
        work_leave_out(f->w, PLACE, format->at, "date: %s", e.text);
    free(text);
    return holds;
}

/* The group that the field is captured by; NULL when there is none. */
static const char *group_of(const struct plan_parser *p, const struct date *d)
{
    struct error e;
    char *field = work_field(d->field, &e);
    const struct plan_pair *group = field ? plan_find_pair(&p->groups, field) : NULL;

    free(field);
    return group ? group->value : NULL;
}

/* Why the times of this input's records cannot be what the filter asks for; NULL: they can. */
static const char *why_no_time(const struct filter *f, size_t input, const struct date *d)
{
    const struct work_input *in = &f->w->inputs[input];
    const struct plan_parser *p = in->gelf ? NULL : &f->w->plan.files[in->file].parser;
    const struct logstash_value *only = d->formats->next ? NULL : d->formats;

    if (!date_always_holds(f, input, d))
        return "it depends on a condition that barge does not know";
    if (in->gelf) /* a message's own timestamp is another matter */
        return work_is(d->field, "timestamp") && !f->w->json && !in->json &&
                       (work_is(only, "UNIX") || work_is(only, "UNIX_MS"))
                   ? NULL
                   : "@timestamp is the time that the sender of a message gave it; times within "
                     "messages stay as they are";
    if (p->kind && strcmp(p->kind, "nginx") == 0)
        return work_is(d->field, "timestamp") && work_is(only, "dd/MMM/yyyy:HH:mm:ss Z")
                   ? NULL
                   : "@timestamp is what the access log has";
    if (!p->kind || strcmp(p->kind, "regex") != 0 || !group_of(p, d))
        return "barge takes times from what grok captures of plain files (time_key, time_formats)";
    return p->time_formats.n ? "the records have a time already" : NULL;
}

/* Has the files of the filter's inputs say when. */
static void set_times(struct filter *f, const struct date *d)
{
    struct plan_parser *first = NULL;

    for (size_t i = 0; i < f->w->n_inputs; i++) {
        const struct work_input *in = &f->w->inputs[i];
        struct plan_parser *p = in->gelf ? NULL : &f->w->plan.files[in->file].parser;

        if (f->states[i].result == WHEN_NEVER || !p || strcmp(p->kind, "regex") != 0)
            continue;
        for (const struct logstash_value *v = d->formats; v && !first; v = v->next) {
            struct error e;
            char *text = check_format(f, p, d, v) ? work_text(v, &e) : NULL;

            if (text)
                plan_add_text(&p->time_formats, text);
            free(text);
        }
        for (size_t k = 0; first && k < first->time_formats.n; k++)
            plan_add_text(&p->time_formats, first->time_formats.list[k]);
        first = p;
        if (p->time_formats.n == 0)
            continue;
        plan_set(&p->time_key, group_of(p, d));
        plan_set(&p->time_zone, d->zone);
    }
}

/* The zone that times without one are of; -1 with *e when barge has no such zone. */
static int read_zone(struct filter *f, struct date *d, struct error *e)
{
    const struct logstash_value *v = logstash_tree_option(f->plugin, "timezone");
    char *text = v ? work_text(v, e) : NULL;
    const char *offset = text ? offset_of(text) : NULL;

    if (!v || names_its_zone(d)) {
        free(text);
        return 0;
    }
    if (offset)
        d->zone = base_strdup(offset);
    else if (text)
        error_set(e,
                  "timezone: barge has no rules of regions; take it out here, and run barge with "
                  "TZ=%.60s, which then holds for all times without a zone",
                  text);
    free(text);
    return offset ? 0 : -1;
}

static void take_date_option(struct filter *f, const struct logstash_value *v)
{
    bool usual = bytes_is(v->name, "match") || bytes_is(v->name, "target") ||
                 bytes_is(v->name, "timezone") ||
                 (bytes_is(v->name, "locale") && v->text.n > 1 && memcmp(v->text.p, "en", 2) == 0);

    if (bytes_is(v->name, "tag_on_failure"))
        refuse(f, v,
               "a time that cannot be read is not tagged; the record has that of the one "
               "before it");
    else if (!usual && !take_common(f, v))
        refuse(f, v, "barge has nothing that stands for it");
    if (bytes_is(v->name, "remove_field"))
        work_remark(f->w, PLACE, work_option_span(v),
                    "date: remove_field: whether the time could be read or not");
}

static void take_date(struct filter *f)
{
    const struct logstash_value *match = logstash_tree_option(f->plugin, "match");
    const struct logstash_value *target = logstash_tree_option(f->plugin, "target");
    struct date d = {.field = match ? match->first : NULL};
    struct error e = {"match: a field and its formats were expected"};
    const char *why = NULL;

    d.formats = d.field && match->kind == LOGSTASH_ARRAY ? d.field->next : NULL;
    for (const struct logstash_value *v = d.field; v && d.formats; v = v->next)
        if (v->kind > LOGSTASH_BAREWORD)
            d.formats = NULL;
    if (!d.formats)
        why = e.text;
    else if (target && !work_is(target, "@timestamp"))
        why = "target: barge reads times for @timestamp alone";
    else if (f->w->n_inputs == 0)
        why = "it is for no input that is taken over";
    for (size_t i = 0; i < f->w->n_inputs && !why; i++)
        if (f->states[i].result != WHEN_NEVER)
            why = why_no_time(f, i, &d);
    if (!why && read_zone(f, &d, &e) < 0)
        why = e.text;
    if (why)
        work_leave_out(f->w, PLACE, f->plugin->at, "date: %s", why);
    else
        set_times(f, &d);
    for (const struct logstash_value *v = f->plugin->first; v && !why; v = v->next)
        take_date_option(f, v);
    free(d.zone);
}

/* ---- all ---- */

static void take_other(struct filter *f)
{
    work_leave_out(f->w, PLACE, f->plugin->at, "filter %.*s: %s", (int)MIN(f->plugin->text.n, 60u),
                   f->plugin->text.p, logstash_hints_filter(f->plugin->text));
}

bool logstash_filter(struct work *w, const struct logstash_value *plugin, const struct when *states,
                     bool rest)
{
    static const struct {
        const char *name;
        void (*fn)(struct filter *f);
    } filters[] = {{"json", take_json},
                   {"mutate", take_mutate},
                   {"grok", take_grok},
                   {"kv", take_kv},
                   {"date", take_date}};
    static const char *const several[] = {"match",        "pattern_definitions",
                                          "patterns_dir", "add_field",
                                          "remove_field", "add_tag",
                                          "remove_tag",   NULL};
    struct filter f = {.w = w, .plugin = plugin, .states = states, .rest = rest};

    if (w->n_inputs && count(&f, WHEN_NEVER) == w->n_inputs) {
        work_remark(w, PLACE, plugin->at,
                    "%.*s: its condition holds for no input that is taken over",
                    (int)MIN(plugin->text.n, 60u), plugin->text.p);
        return false;
    }
    if (!bytes_is(plugin->text, "mutate"))
        work_repeated(w, PLACE, plugin, several);
    for (size_t i = 0; i < ARRAY_LEN(filters); i++)
        if (bytes_is(plugin->text, filters[i].name)) {
            filters[i].fn(&f);
            return f.made;
        }
    take_other(&f);
    return false;
}
