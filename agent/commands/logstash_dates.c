#include "agent/commands/logstash_dates.h"

#include "agent/commands/logstash_readers.h"

#include <stdlib.h>

#define PLACE PLAN_RECORD

struct date {
    const struct logstash_value *field, *formats; /* the first format, the others beside it */
    char *zone;                                   /* as time_zone has it; NULL: none */
};

/* Whether there is a Z in a format that is no text of it ('Z'). */
static bool has_zone(struct bytes format)
{
    bool quoted = false, zone = false;

    for (size_t i = 0; i < format.n; i++) {
        quoted ^= format.p[i] == '\'';
        zone |= format.p[i] == 'Z' && !quoted;
    }
    return zone;
}

/* Whether all times of the formats say their zone themselves. */
static bool names_its_zone(const struct date *d)
{
    for (const struct logstash_value *v = d->formats; v; v = v->next)
        if (!work_is(v, "UNIX") && !work_is(v, "UNIX_MS") && !has_zone(v->text))
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
static bool date_always_holds(const struct logstash_filter *f, size_t input, const struct date *d)
{
    const struct when *s = &f->states[input];

    return s->result == WHEN_ALWAYS ||
           (s->result == WHEN_UNKNOWN && !f->rest &&
            (s->parsed || logstash_filters_same_field(d->field->text, s->there)));
}

/* Whether barge takes this format; what it refuses is left out. */
static bool check_format(struct logstash_filter *f, const struct plan_parser *of,
                         const struct date *d, const struct logstash_value *format)
{
    struct plan_parser p = {0};
    struct error e;
    char *text = work_text(format, &e);
    bool holds = text != NULL;

    if (holds) {
        plan_copy_parser(&p, of);
        plan_add_text(&p.time_formats, text);
        plan_set(&p.time_zone, d->zone);
        holds = logstash_readers_check(f->w, &p, &e);
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
static const char *why_no_time(const struct logstash_filter *f, size_t input, const struct date *d)
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
static void set_times(struct logstash_filter *f, const struct date *d)
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
static int read_zone(struct logstash_filter *f, struct date *d, struct error *e)
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

static void take_date_option(struct logstash_filter *f, const struct logstash_value *v)
{
    bool usual = bytes_is(v->name, "match") || bytes_is(v->name, "target") ||
                 bytes_is(v->name, "timezone") ||
                 (bytes_is(v->name, "locale") && v->text.n > 1 && memcmp(v->text.p, "en", 2) == 0);

    if (bytes_is(v->name, "tag_on_failure"))
        logstash_filters_refuse(
            f, v,
            "a time that cannot be read is not tagged; the record has that of the one "
            "before it");
    else if (!usual && !logstash_filters_common(f, v))
        logstash_filters_refuse(f, v, "barge has nothing that stands for it");
    if (bytes_is(v->name, "remove_field"))
        work_remark(f->w, PLACE, work_option_span(v),
                    "date: remove_field: whether the time could be read or not");
}

void logstash_dates_take(struct logstash_filter *f)
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
