#include "parsers/format_regex.h"

#include "parsers/format_date.h"
#include "parsers/format_put.h"
#include "parsers/pattern.h"
#include "parsers/timestamp.h"

#include <stdlib.h>

enum type { TYPE_STRING, TYPE_LONG, TYPE_DOUBLE, TYPE_BOOLEAN };

struct group {
    char *name; /* with dots */
    unsigned number;
    enum type type;
    bool is_time, is_message;
};

struct format_regex {
    struct pattern *pattern;
    struct group *groups;
    size_t n;
    struct format_date *date; /* NULL: times are in RFC 3339 */
};

/* a__b is a.b, as a group's name can have no dots. */
static char *dotted(const char *name)
{
    char *copy = base_strdup(name), *to = copy;

    for (const char *p = name; *p; p++) {
        bool inside = p > name && p[0] == '_' && p[1] == '_' && p[2] && p[2] != '_';

        *to++ = inside ? '.' : *p;
        p += inside;
    }
    *to = '\0';
    return copy;
}

static enum type type_called(const char *name)
{
    static const char *const names[] = {"string", "long", "double", "boolean"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum type)i;
    return TYPE_STRING; /* the configuration was checked */
}

static bool is_time(const char *name, const struct parser_settings *s)
{
    if (s->time_key && s->time_key[0])
        return strcmp(name, s->time_key) == 0;
    return strcmp(name, "time") == 0 || strcmp(name, "timestamp") == 0;
}

static void read_groups(struct format_regex *r, const struct parser_settings *s)
{
    size_t n;
    const struct pattern_name *names = pattern_names(r->pattern, &n);

    r->groups = base_calloc(n, sizeof *r->groups);
    for (r->n = 0; r->n < n; r->n++) {
        struct group *g = &r->groups[r->n];
        const char *name = names[r->n].name;

        g->name = dotted(name);
        g->number = names[r->n].group;
        g->is_time = is_time(name, s);
        g->is_message = strcmp(name, "message") == 0 || strcmp(name, "msg") == 0;
        for (const struct field_pair *t = s->types; t && t->name; t++)
            if (strcmp(t->name, name) == 0)
                g->type = type_called(t->value);
    }
}

static bool has_group(const struct format_regex *r, const char *name)
{
    size_t n;
    const struct pattern_name *names = pattern_names(r->pattern, &n);

    for (size_t i = 0; i < n; i++)
        if (!name || strcmp(names[i].name, name) == 0)
            return true;
    return false;
}

static int check_groups(const struct format_regex *r, const struct parser_settings *s,
                        struct error *e)
{
    if (!has_group(r, NULL))
        return error_set(e, "pattern: it names no group; write (?<name>…)");
    for (const struct field_pair *t = s->types; t && t->name; t++)
        if (!has_group(r, t->name))
            return error_set(e, "types: the pattern has no group %.60s", t->name);
    if (s->time_key && s->time_key[0] && !has_group(r, s->time_key))
        return error_set(e, "time_key: the pattern has no group %.60s", s->time_key);
    return 0;
}

static int read_formats(struct format_regex *r, const struct parser_settings *s, struct error *e)
{
    if (!s->time_formats || !s->time_formats[0])
        return 0;
    r->date = format_date_create(s->time_formats,
                                 s->time_zone && s->time_zone[0] ? s->time_zone : "local", e);
    return r->date ? 0 : -1;
}

struct format_regex *format_regex_create(const struct parser_settings *s, struct error *e)
{
    struct format_regex *r = base_calloc(1, sizeof *r);
    struct error why;

    r->pattern = pattern_create(s->pattern, &why);
    if (!r->pattern) {
        error_set(e, "pattern: %s", why.text);
    } else if (check_groups(r, s, e) == 0 && read_formats(r, s, e) == 0) {
        read_groups(r, s);
        return r;
    }
    format_regex_free(r);
    return NULL;
}

void format_regex_free(struct format_regex *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++)
        free(r->groups[i].name);
    free(r->groups);
    format_date_free(r->date);
    pattern_free(r->pattern);
    free(r);
}

/* The JSON of a boolean, none when s is no such word. */
static struct bytes boolean(struct bytes s)
{
    static const char *const words[] = {"true", "yes", "on", "1", "false", "no", "off", "0"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (s.n == strlen(words[i]) && strncasecmp(s.p, words[i], s.n) == 0)
            return i < 4 ? BYTES_LITERAL("true") : BYTES_LITERAL("false");
    return BYTES_NONE;
}

static void put(const struct group *g, struct bytes value, struct format_work *w)
{
    struct bytes name = bytes_str(g->name), truth;
    bool minus = value.n > 1 && value.p[0] == '-';

    if (g->type == TYPE_LONG && format_is_digits(value))
        format_put_digits(w, g->name, value);
    else if ((g->type == TYPE_DOUBLE && format_is_decimal(value)) ||
             (g->type == TYPE_LONG && minus && format_is_decimal(value) &&
              !memchr(value.p, '.', value.n)))
        format_put_json(w, name, value);
    else if (g->type == TYPE_BOOLEAN && (truth = boolean(value)).n)
        format_put_json(w, name, truth);
    else
        format_put_named(w, name, value);
}

bool format_regex_read(const struct format *f, struct bytes text, struct format_work *w,
                       struct format_result *out)
{
    const struct format_regex *r = f->regex;
    bool has_message = false;

    if (pattern_search(r->pattern, text, w->pattern) != PATTERN_FOUND)
        return false;
    for (size_t i = 0; i < r->n; i++) {
        const struct group *g = &r->groups[i];
        struct bytes value = pattern_group(w->pattern, g->number);

        if (value.n == 0 || (g->type != TYPE_STRING && bytes_is(value, "-")))
            continue;
        put(g, value, w);
        has_message |= g->is_message;
        if (g->is_time && w->want_time && !out->has_time)
            out->has_time = r->date ? format_date_read(r->date, value, &out->time_ns)
                                    : timestamp_parse(value, &out->time_ns);
    }
    if (!has_message)
        format_put_string(w, "message", text);
    return true;
}
