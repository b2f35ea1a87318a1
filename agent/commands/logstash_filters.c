/* json, mutate, grok, date and kv, as far as barge has what stands for them. */
#include "agent/commands/logstash_work.h"

#include "agent/commands/logstash_grok.h"
#include "agent/config/config_value.h"

#include <stdlib.h>

#define PLACE PLAN_RECORD
#define DEFINITIONS 64 /* of patterns, in one filter */

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
        refuse(f, v, "barge has nothing that stands for it");
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
        else if (f->states[i].result != WHEN_NEVER &&
                 (w->inputs[i].gelf ? all_taken(w)
                                    : w->plan.files[w->inputs[i].file].parser.kind != NULL))
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
            plan_copy_parser(&w->plan.files[w->inputs[i].file].parser, parser);
        else if (s->result == WHEN_ALWAYS && !all_taken(w))
            add_rule(f, parser, "", "");
        for (size_t k = 0; k < s->n; k++)
            add_rule(f, parser, s->selectors[k].container, s->selectors[k].image);
    }
    return true;
}

/* ---- grok ---- */

struct grok {
    const struct logstash_value *patterns; /* a text, or a list of texts */
    struct logstash_grok_definition own[DEFINITIONS];
    size_t n_own;
};

static void on_definition(void *arg, const struct logstash_value *name,
                          const struct logstash_value *value)
{
    struct grok *g = arg;

    if (g->n_own < DEFINITIONS)
        g->own[g->n_own++] = (struct logstash_grok_definition){name->text, value->text};
}

static void on_match(void *arg, const struct logstash_value *name,
                     const struct logstash_value *value)
{
    struct grok *g = arg;

    g->patterns = !g->patterns && work_is(name, "message") ? value : NULL;
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
    for (size_t i = 0; i < g->n_own; i++)
        if (bytes_equal(g->own[i].name, name))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (bytes_is(name, names[i]))
            return true;
    return false;
}

/* The patterns as one, which finds the first that fits. */
static int translate(const struct grok *g, struct logstash_grok *to, struct error *e)
{
    bool list = g->patterns->kind == LOGSTASH_ARRAY;
    const struct logstash_value *first = list ? g->patterns->first : g->patterns;
    bool several = list && first && first->next;

    if (!first)
        return error_set(e, "it has no pattern");
    if (several)
        strbuf_add_str(&to->pattern, "(?:");
    for (const struct logstash_value *v = first; v; v = list ? v->next : NULL) {
        char *text = work_text(v, e);
        int rc = text ? logstash_grok_add(to, bytes_str(text), g->own, g->n_own, e) : -1;

        free(text);
        if (rc < 0)
            return -1;
        if (several)
            strbuf_add_char(&to->pattern, v->next ? '|' : ')');
    }
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

static bool use_regex(struct filter *f, const struct grok *g)
{
    struct logstash_grok to = {0};
    struct plan_parser parser = {0};
    struct error e;
    bool used = false;

    if (translate(g, &to, &e) < 0) {
        work_leave_out(f->w, PLACE, f->plugin->at, "grok: %s", e.text);
    } else {
        plan_set(&parser.kind, "regex");
        plan_set(&parser.pattern, to.pattern.p ? to.pattern.p : "");
        for (size_t i = 0; i < to.n; i++)
            if (to.fields[i].type)
                plan_add_pair(&parser.types, to.fields[i].group, to.fields[i].type);
        used = use_parser(f, &parser);
    }
    if (used) {
        rename_groups(f, &to);
        if (captures(&to, "message") && !overwrites_message(f->plugin))
            work_remark(f->w, PLACE, f->plugin->at,
                        "grok: the message is what the pattern calls so; Logstash would have kept "
                        "both, as a list");
    }
    plan_free_parser(&parser);
    logstash_grok_fini(&to);
    return used;
}

static void take_grok_option(struct filter *f, const struct logstash_value *v)
{
    static const char *const taken[] = {"match", "pattern_definitions"};
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
    if (bytes_is(v->name, "patterns_dir") || bytes_is(v->name, "patterns_files_glob"))
        work_remark(f->w, PLACE, work_option_span(v),
                    "grok: it was not read, as all patterns that are used were known without it");
    else if (bytes_is(v->name, "tag_on_failure"))
        refuse(f, v, "what does not match is tagged parse_failed");
    else if ((bytes_is(v->name, "break_on_match") || bytes_is(v->name, "named_captures_only")) &&
             work_bool(v) == 1)
        return;
    else if (bytes_is(v->name, "keep_empty_captures") && work_bool(v) == 0)
        return;
    else if (!take_common(f, v))
        refuse(f, v, "barge has nothing that stands for it");
}

static void take_grok(struct filter *f)
{
    const struct logstash_value *match = logstash_tree_option(f->plugin, "match");
    const struct logstash_value *own = logstash_tree_option(f->plugin, "pattern_definitions");
    struct plan_parser nginx = {.kind = NULL};
    struct grok g = {0};
    const struct logstash_value *first;
    bool used;

    if (own)
        work_entries(own, on_definition, &g);
    if (match)
        work_entries(match, on_match, &g);
    if (!g.patterns) {
        work_leave_out(f->w, PLACE, f->plugin->at, "grok: parsers read the message, and it alone");
        return;
    }
    first = g.patterns->kind == LOGSTASH_ARRAY ? g.patterns->first : g.patterns;
    if (first && first->kind == LOGSTASH_STRING && is_access_log(first->text, &g) &&
        (first == g.patterns || !first->next)) {
        plan_set(&nginx.kind, "nginx");
        used = use_parser(f, &nginx);
        plan_free_parser(&nginx);
        f->w->nginx |= used;
    } else {
        used = use_regex(f, &g);
    }
    for (const struct logstash_value *v = f->plugin->first; v && used; v = v->next)
        take_grok_option(f, v);
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

/* Whether the times of this input's records are what the filter asks for. */
static bool has_time(const struct filter *f, size_t input, const struct logstash_value *field,
                     const struct logstash_value *format)
{
    const struct work_input *in = &f->w->inputs[input];
    const struct plan_parser *p = in->gelf ? NULL : &f->w->plan.files[in->file].parser;
    bool named = work_is(field, "timestamp") || (!in->gelf && work_is(field, "time"));

    if (!named)
        return false;
    if (in->gelf) /* a message's own timestamp is another matter */
        return !f->w->json && !in->json && (work_is(format, "UNIX") || work_is(format, "UNIX_MS"));
    if (p->kind && strcmp(p->kind, "nginx") == 0)
        return true;
    return p->kind && strcmp(p->kind, "regex") == 0 && work_is(format, "ISO8601");
}

static void take_date(struct filter *f)
{
    const struct logstash_value *match = logstash_tree_option(f->plugin, "match");
    const struct logstash_value *field = match ? match->first : NULL;
    const struct logstash_value *target = logstash_tree_option(f->plugin, "target");
    bool had =
        field && field->next && !field->next->next && (!target || work_is(target, "@timestamp"));
    bool gelf = false;

    for (size_t i = 0; i < f->w->n_inputs; i++) {
        if (f->states[i].result == WHEN_NEVER)
            continue;
        gelf |= f->w->inputs[i].gelf;
        had = had && has_time(f, i, field, field->next);
    }
    if (!had || f->w->n_inputs == 0) {
        work_leave_out(f->w, PLACE, f->plugin->at,
                       gelf ? "date: @timestamp is the time that the sender of a message gave it; "
                              "times within messages stay as they are"
                            : "date: @timestamp is taken from an access log, or by parser: regex "
                              "from a group time or timestamp in ISO8601");
        return;
    }
    for (const struct logstash_value *v = f->plugin->first; v; v = v->next) {
        bool usual =
            bytes_is(v->name, "match") || bytes_is(v->name, "target") ||
            (bytes_is(v->name, "locale") && v->text.n > 1 && memcmp(v->text.p, "en", 2) == 0);

        if (!usual && !take_common(f, v))
            refuse(f, v, "barge has nothing that stands for it");
    }
}

/* ---- all ---- */

static void take_other(struct filter *f)
{
    static const struct {
        const char *name, *why;
    } hints[] = {
        {"drop", "barge keeps every record; whole containers are left out by "
                 "inputs.docker.exclude"},
        {"multiline", "lines are put together by `parser: multiline`, of containers and of files"},
        {"anonymize", "see `redact`, action: hash"},
        {"fingerprint", "barge gives each document an _id of its own; for pseudonyms see `redact`"},
    };

    for (size_t i = 0; i < ARRAY_LEN(hints); i++)
        if (bytes_is(f->plugin->text, hints[i].name)) {
            work_leave_out(f->w, PLACE, f->plugin->at, "filter %s: %s", hints[i].name,
                           hints[i].why);
            return;
        }
    work_leave_out(f->w, PLACE, f->plugin->at, "filter %.*s: barge has nothing that stands for it",
                   (int)MIN(f->plugin->text.n, 60u), f->plugin->text.p);
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
    struct filter f = {.w = w, .plugin = plugin, .states = states, .rest = rest};

    if (w->n_inputs && count(&f, WHEN_NEVER) == w->n_inputs) {
        work_remark(w, PLACE, plugin->at,
                    "%.*s: its condition holds for no input that is taken over",
                    (int)MIN(plugin->text.n, 60u), plugin->text.p);
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(filters); i++)
        if (bytes_is(plugin->text, filters[i].name)) {
            filters[i].fn(&f);
            return f.made;
        }
    take_other(&f);
    return false;
}
