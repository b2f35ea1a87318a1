/* json and mutate; grok, kv and date have files of their own. */
#include "agent/commands/logstash_filters.h"

#include "agent/commands/logstash_dates.h"
#include "agent/commands/logstash_hints.h"
#include "agent/commands/logstash_readers.h"

#define PLACE PLAN_RECORD

void logstash_filters_refuse(struct logstash_filter *f, const struct logstash_value *v,
                             const char *why)
{
    work_leave_out(f->w, PLACE, work_option_span(v), "%.*s: %.*s: %s", (int)f->plugin->text.n,
                   f->plugin->text.p, (int)MIN(v->name.n, 60u), v->name.p, why);
}

/* How many inputs the filter has this result for. */
size_t logstash_filters_count(const struct logstash_filter *f, enum when_result result)
{
    size_t n = 0;

    for (size_t i = 0; i < f->w->n_inputs; i++)
        n += f->states[i].result == result;
    return n;
}

/* Whether it holds for all records. If not, that is said. */
static bool holds_for_all(struct logstash_filter *f)
{
    if (!f->rest && logstash_filters_count(f, WHEN_ALWAYS) == f->w->n_inputs &&
        f->states[0].result == WHEN_ALWAYS)
        return true;
    work_leave_out(f->w, PLACE, f->plugin->at,
                   "%.*s: it depends on a condition, and barge does this to all records or none",
                   (int)f->plugin->text.n, f->plugin->text.p);
    return false;
}

/* What every filter may have, and does when it has succeeded. */
bool logstash_filters_common(struct logstash_filter *f, const struct logstash_value *v)
{
    bool list = v->kind == LOGSTASH_ARRAY;

    if (bytes_is(v->name, "remove_field")) {
        for (const struct logstash_value *x = list ? v->first : v; x; x = list ? x->next : NULL)
            logstash_remove(f->w, x, work_option_span(v));
        return true;
    }
    if (bytes_is(v->name, "add_field") || bytes_is(v->name, "add_tag") ||
        bytes_is(v->name, "remove_tag")) {
        logstash_filters_refuse(f, v,
                                "barge cannot make this depend on whether a filter has succeeded");
        return true;
    }
    return work_needs_nothing(v);
}

/* ---- json ---- */

static void take_json_option(struct logstash_filter *f, const struct logstash_value *v)
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
        logstash_filters_refuse(f, v, "an object's members are merged at the top of the document");
    else if (bytes_is(v->name, "tag_on_failure"))
        logstash_filters_refuse(f, v, "a message that is text is no failure, and not tagged");
    else if (!logstash_filters_common(f, v))
        logstash_filters_refuse(f, v, "barge has nothing that stands for it");
}

static void take_json(struct logstash_filter *f)
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
    struct logstash_filter *f;
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

static void take_mutation(struct logstash_filter *f, const struct logstash_value *v)
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
                logstash_filters_refuse(f, v, "a hash was expected");
            return;
        }
    if (bytes_is(v->name, "add_tag"))
        logstash_tag(f->w, v, work_option_span(v));
    else if (bytes_is(v->name, "remove_tag"))
        logstash_filters_refuse(f, v, "barge's tags stay");
    else if (!logstash_filters_common(f, v))
        logstash_filters_refuse(f, v, logstash_hints_mutate(v->name));
}

/* Whether name, a or [a][b], is the field there, as conditions write it. */
bool logstash_filters_same_field(struct bytes name, struct bytes there)
{
    struct bytes inside;

    if (!there.p || bytes_equal(name, there))
        return there.p != NULL;
    inside = bytes_of(there.p + 1, there.n - 2);
    return bytes_equal(name, inside) && !memchr(inside.p, '[', inside.n);
}

/* Whether name is the field that the filter's condition asks for. */
static bool is_asked_for(const struct logstash_filter *f, const struct logstash_value *name)
{
    for (size_t i = 0; i < MAX(f->w->n_inputs, 1u); i++)
        if (!logstash_filters_same_field(name->text, f->states[i].there))
            return false;
    return true;
}

struct asked_arg {
    const struct logstash_filter *f;
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
static bool asks_for_what_it_changes(const struct logstash_filter *f)
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
static void take_mutate(struct logstash_filter *f)
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

/* ---- all ---- */

static void take_other(struct logstash_filter *f)
{
    work_leave_out(f->w, PLACE, f->plugin->at, "filter %.*s: %s", (int)MIN(f->plugin->text.n, 60u),
                   f->plugin->text.p, logstash_hints_filter(f->plugin->text));
}

bool logstash_filter(struct work *w, const struct logstash_value *plugin, const struct when *states,
                     bool rest)
{
    static const struct {
        const char *name;
        void (*fn)(struct logstash_filter *f);
    } filters[] = {{"json", take_json},
                   {"mutate", take_mutate},
                   {"grok", logstash_readers_grok},
                   {"kv", logstash_readers_kv},
                   {"date", logstash_dates_take}};
    static const char *const several[] = {"match",        "pattern_definitions",
                                          "patterns_dir", "add_field",
                                          "remove_field", "add_tag",
                                          "remove_tag",   NULL};
    struct logstash_filter f = {.w = w, .plugin = plugin, .states = states, .rest = rest};

    if (w->n_inputs && logstash_filters_count(&f, WHEN_NEVER) == w->n_inputs) {
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
