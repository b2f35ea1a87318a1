/*
 * What mutate and its like do to the members of a record. barge has one order for all rules
 * (rename, convert, remove, add), so one that hangs on another order is left out. Members that
 * Logstash's inputs make are not in barge's record when its rules look at it: they have no or
 * another name.
 */
#include "agent/commands/logstash_work.h"

#include "agent/config/config_value.h"

#include <stdlib.h>

#define PLACE PLAN_RECORD

/* What becomes of a member that an input of Logstash makes; "" when barge has no such thing. */
struct member {
    const char *name, *ours;
    bool no_other; /* no message has a member of this name */
};

static const struct member of_all[] = {
    {"@version", "", false},      {"event.original", "", true},      {"@metadata", "", true},
    {"host", "host.name", false}, {"host.name", "host.name", false},
};
static const struct member of_gelf[] = {
    {"version", "", false},
    {"source_host", "", false},
    {"command", "", false},
    {"created", "", false},
    {"image_id", "", false},
    {"container_id", "container.id", false},
    {"tag", "container.labels.tag", false},
    {"container_name", "container.name", false},
    {"image_name", "container.image.name", false},
};
static const struct member of_file[] = {
    {"path", "log.file.path", false},
    {"log.file.path", "log.file.path", false},
};
/* grok's names for an access log. */
static const struct member of_nginx[] = {
    {"clientip", "source.ip", true},
    {"ident", "", true},
    {"auth", "user.name", true},
    {"timestamp", "", true},
    {"verb", "http.request.method", true},
    {"request", "url.original", true},
    {"httpversion", "http.version", true},
    {"rawrequest", "", true},
    {"response", "http.response.status_code", true},
    {"bytes", "http.response.body.bytes", true},
    {"referrer", "http.request.referrer", true},
    {"agent", "user_agent.original", true},
};

static const struct member *look(const struct member *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

static const struct member *member_of_input(const struct work *w, const char *name)
{
    const struct member *m = look(of_all, ARRAY_LEN(of_all), name);
    bool gelf = false, file = false;

    for (size_t i = 0; i < w->n_inputs; i++) {
        gelf |= w->inputs[i].gelf;
        file |= !w->inputs[i].gelf;
    }
    if (!m && gelf)
        m = look(of_gelf, ARRAY_LEN(of_gelf), name);
    if (!m && file)
        m = look(of_file, ARRAY_LEN(of_file), name);
    if (!m && w->nginx)
        m = look(of_nginx, ARRAY_LEN(of_nginx), name);
    if (!m && strncmp(name, "@metadata.", 10) == 0)
        m = &of_all[2];
    return m;
}

/* {SECTION: {NAME: VALUE}} as barge would see it. */
static int check_pair(struct work *w, const char *section, const char *name, const char *value,
                      struct error *e)
{
    struct strbuf yaml = {0};
    int rc;

    strbuf_printf(&yaml, "fields: {%s: {", section);
    config_value_add_quoted(&yaml, name);
    strbuf_printf(&yaml, ": %s}}", value);
    rc = work_check(w, &yaml, e);
    strbuf_fini(&yaml);
    return rc;
}

static int check_text(struct work *w, const char *section, const char *name, const char *value,
                      struct error *e)
{
    struct strbuf quoted = {0};
    int rc;

    config_value_add_quoted(&quoted, value);
    rc = check_pair(w, section, name, quoted.p, e);
    strbuf_fini(&quoted);
    return rc;
}

/* Whether nothing was asked of name so far that would have to come after what is asked now. -1 with
 * *e. */
static int check_order(const struct work *w, const char *name, struct error *e)
{
    if (plan_find_pair(&w->plan.add, name))
        return error_set(e, "%s is set before this, and barge sets fields last", name);
    return 0;
}

static int rename_field(struct work *w, const char *from, const char *to, struct error *e)
{
    const struct member *m = member_of_input(w, from);
    struct plan_pair *converted;

    if (m)
        return error_set(e,
                         *m->ours ? "%s is called %s by barge, and keeps that name"
                                  : "there is no %s in barge's documents",
                         from, m->ours);
    if (check_order(w, from, e) < 0)
        return -1;
    if (plan_find_text(&w->plan.remove, from) != SIZE_MAX ||
        plan_find_text(&w->plan.remove, to) != SIZE_MAX)
        return error_set(e, "one of both is removed before this, and barge renames first");
    if (plan_find_pair(&w->plan.rename, from))
        return error_set(e, "%s is renamed already", from);
    if (check_text(w, "rename", from, to, e) < 0)
        return -1;
    converted = plan_find_pair(&w->plan.convert, from);
    if (converted)
        plan_set(&converted->name, to);
    plan_add_pair(&w->plan.rename, from, to);
    return 0;
}

void logstash_rename(struct work *w, const struct logstash_value *from,
                     const struct logstash_value *to, struct logstash_span at)
{
    struct error e;
    char *a = work_field(from, &e), *b = a ? work_field(to, &e) : NULL;

    if (!b || rename_field(w, a, b, &e) < 0)
        work_leave_out(w, PLACE, at, "rename: %s", e.text);
    free(a);
    free(b);
}

/* Whether what was asked so far leaves nothing called so. */
static bool is_gone(const struct work *w, const char *name)
{
    return plan_find_text(&w->plan.remove, name) != SIZE_MAX ||
           plan_find_pair(&w->plan.rename, name);
}

static int convert_field(struct work *w, const char *field, const char *type, struct error *e)
{
    const struct member *m = member_of_input(w, field);
    struct plan_pair *there = plan_find_pair(&w->plan.convert, field);

    if (m && !(w->nginx && look(of_nginx, ARRAY_LEN(of_nginx), field)))
        return error_set(e,
                         *m->ours ? "%s is called %s by barge, which knows its type"
                                  : "there is no %s in barge's documents",
                         field, m->ours);
    if (m)
        return 0; /* numbers of an access log are numbers */
    if (check_order(w, field, e) < 0)
        return -1;
    if (is_gone(w, field))
        return 0;
    if (check_text(w, "convert", field, type, e) < 0)
        return -1;
    if (there)
        plan_set(&there->value, type);
    else
        plan_add_pair(&w->plan.convert, field, type);
    return 0;
}

void logstash_convert(struct work *w, const struct logstash_value *field, const char *type,
                      struct logstash_span at)
{
    struct error e;
    char *name = work_field(field, &e);

    if (!name || convert_field(w, name, type, &e) < 0)
        work_leave_out(w, PLACE, at, "convert: %s", e.text);
    free(name);
}

static int remove_field(struct work *w, const char *field, struct error *e)
{
    static const char *const kept[] = {"@timestamp", "message"};
    const struct member *m = member_of_input(w, field);
    struct strbuf yaml = {0};
    int rc;

    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (strcmp(field, kept[i]) == 0)
            return error_set(e, "barge keeps %s", field);
    if (m && *m->ours && plan_find_text(&w->plan.redact, m->ours) == SIZE_MAX)
        plan_add_text(&w->plan.redact, m->ours);
    if ((m && m->no_other) || plan_find_text(&w->plan.remove, field) != SIZE_MAX)
        return 0; /* else a message may have one of its own */
    strbuf_add_str(&yaml, "fields: {remove: [");
    config_value_add_quoted(&yaml, field);
    strbuf_add_str(&yaml, "]}");
    rc = work_check(w, &yaml, e);
    strbuf_fini(&yaml);
    if (rc < 0)
        return -1;
    plan_drop_pair(&w->plan.add, field);
    plan_add_text(&w->plan.remove, field);
    return 0;
}

void logstash_remove(struct work *w, const struct logstash_value *field, struct logstash_span at)
{
    struct error e;
    char *name = work_field(field, &e);

    if (!name || remove_field(w, name, &e) < 0)
        work_leave_out(w, PLACE, at, "remove_field: %s", e.text);
    free(name);
}

/* value as YAML: Logstash makes texts of all of them. */
static int add_value(const struct logstash_value *value, struct strbuf *to, struct error *e)
{
    char *text;

    if (value->kind == LOGSTASH_ARRAY) {
        strbuf_add_char(to, '[');
        for (const struct logstash_value *v = value->first; v; v = v->next) {
            strbuf_add_str(to, v == value->first ? "" : ", ");
            if (v->kind == LOGSTASH_ARRAY || add_value(v, to, e) < 0)
                return v->kind == LOGSTASH_ARRAY ? error_set(e, "lists of texts are known") : -1;
        }
        strbuf_add_char(to, ']');
        return 0;
    }
    text = work_text(value, e);
    if (!text)
        return -1;
    if (strstr(text, "%{")) {
        free(text);
        return error_set(e, "a value that depends on the record cannot be set");
    }
    config_value_add_quoted(to, text);
    free(text);
    return 0;
}

static int add_field(struct work *w, const char *field, const struct logstash_value *value,
                     bool instead, struct error *e)
{
    struct strbuf yaml = {0};
    int rc = 0;

    if (strncmp(field, "@metadata", 9) == 0)
        rc = error_set(e, "there is no @metadata; nothing is known of a record but its fields");
    else if (plan_find_pair(&w->plan.add, field) && !instead)
        rc = error_set(e, "%s is set already", field);
    if (rc == 0)
        rc = add_value(value, &yaml, e);
    if (rc == 0)
        rc = check_pair(w, "add", field, yaml.p, e);
    if (rc == 0 && instead && plan_find_text(&w->plan.remove, field) == SIZE_MAX)
        plan_add_text(&w->plan.remove, field);
    if (rc == 0) {
        plan_drop_pair(&w->plan.add, field);
        plan_add_pair(&w->plan.add, field, yaml.p);
    }
    strbuf_fini(&yaml);
    return rc;
}

void logstash_add(struct work *w, const struct logstash_value *field,
                  const struct logstash_value *value, bool instead, struct logstash_span at)
{
    struct error e;
    char *name = work_field(field, &e);

    if (!name || add_field(w, name, value, instead, &e) < 0)
        work_leave_out(w, PLACE, at, "%s: %s", instead ? "replace" : "a field that is added",
                       e.text);
    free(name);
}

void logstash_tag(struct work *w, const struct logstash_value *tags, struct logstash_span at)
{
    bool list = tags->kind == LOGSTASH_ARRAY;

    for (const struct logstash_value *v = list ? tags->first : tags; v; v = list ? v->next : NULL) {
        struct error e;
        char *text = work_text(v, &e);

        if (text && strstr(text, "%{")) {
            error_set(&e, "a tag that depends on the record cannot be set");
            free(text);
            text = NULL;
        }
        if (!text)
            work_leave_out(w, PLACE, at, "tags: %s", e.text);
        else if (plan_find_text(&w->plan.tags, text) == SIZE_MAX)
            plan_add_text(&w->plan.tags, text);
        free(text);
    }
}
